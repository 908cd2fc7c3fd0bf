//! The reader of the sparse text format of LIBSVM and SVMlight.
//!
//! Each line has a label and the features that are not zero: `label index:value index:value …`,
//! separated by blanks. A `#` begins a comment. The indices ascend within a line. They begin at 1,
//! or at 0 if any index of the file is 0.
//!
//! Example: `-1 1:0.5 4:2  # the first customer` has the label -1 and the features 0.5, 0, 0, 2.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use caviar_common::numbers::{index, to_u32, to_u64};
use caviar_common::text::shortened;

use crate::limits::{MAX_FEATURES, MAX_RECORD_BYTES, MAX_VALUES};

/// Longest text from a file that an error shows, in characters.
const SHOWN_CHARS: usize = 40;

/// Some editors begin a text file with this code.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of a file, without their zeros.
///
/// Row `r` has the values `values[rows[r]]` in the columns `indices[rows[r]]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sparse {
    /// The label of each row as it is written. It has no blank, colon or comma, and is not empty.
    pub(crate) labels: Vec<String>,
    /// Where `indices` and `values` have the items of each row.
    pub(crate) rows: Vec<Range<usize>>,
    /// The column of each value, from 0 in both kinds of files. They ascend within a row.
    pub(crate) indices: Vec<u32>,
    /// The values, all finite. A zero that is written out is one of them.
    pub(crate) values: Vec<f64>,
    /// The number of columns: the highest column that has a value, plus 1. At least 1.
    pub(crate) width: usize,
    /// Whether the file numbers its columns from 0. Column `c` is called `c` in such a file, and
    /// `c + 1` in others.
    pub(crate) is_zero_based: bool,
}

/// Why a file cannot be read. The text names the file, the line and the item, and says what is
/// expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibsvmError {
    /// The file cannot be read to its end: the disk fails, or the gzip data is damaged.
    #[error("{path}: cannot be read after byte {at}: {source}")]
    Read {
        /// The file that was being read.
        path: String,
        /// How many bytes were read before the line of the error, after decompression.
        at: u64,
        /// The error of the operating system or the decompressor.
        source: io::Error,
    },
    /// The file has only comments and blank lines, or nothing.
    #[error("{path}: has no rows: expected lines such as 1 3:0.5 7:2")]
    Empty {
        /// The path of the file.
        path: String,
    },
    /// No row has any item.
    #[error("{path}: has no features: expected lines such as 1 3:0.5 7:2")]
    NoFeatures {
        /// The path of the file.
        path: String,
    },
    /// A line that is longer than the limit.
    #[error("{path}, line {line}: has more than {MAX_RECORD_BYTES} bytes: is this a text file?")]
    LongLine {
        /// The path of the file.
        path: String,
        /// The line, from 1.
        line: u64,
    },
    /// Rows times columns exceed the limit.
    #[error(
        "{path}, line {line}: too large: expected at most {MAX_VALUES} numbers (rows times the \
         highest index, because the zeros are stored in memory)"
    )]
    TooLarge {
        /// The path of the file.
        path: String,
        /// The line that exceeds the limit, from 1.
        line: u64,
    },
    /// A label or a feature that is wrong.
    #[error("{path}, line {line}: {item:?} {fault}")]
    Item {
        /// The path of the file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// The label or the feature, at most 40 characters of it.
        item: String,
        /// What is wrong, and what is expected.
        fault: ItemFault,
    },
}

/// Why a label or a feature is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemFault {
    /// The bytes are not UTF-8 text.
    #[error("is not UTF-8: save the file in that encoding")]
    NotUtf8,
    /// The line begins with a feature.
    #[error("is where the label is missing: expected a label before the first index:value")]
    NoLabel,
    /// A label that is a list.
    #[error(
        "has a comma: expected one label for each row, and a point in a decimal number; rows with \
         several labels are not a task of Caviar"
    )]
    ManyLabels,
    /// A group of rows to rank.
    #[error("is for ranking, which is not a task of Caviar: remove it to classify or to regress")]
    Ranking,
    /// An item after the label that is not a pair.
    #[error("has no colon: expected index:value, such as 3:0.5")]
    NoColon,
    /// Text before the colon that is not digits only.
    #[error("has no whole number before the colon: expected index:value, such as 3:0.5")]
    BadIndex,
    /// An index beyond the limit of features.
    #[error("has an index that is too high: expected at most {MAX_FEATURES} features")]
    HighIndex,
    /// The index of the item before.
    #[error("has the index of the item before it: expected each index once in a line")]
    SameIndex,
    /// A lower index than that of the item before.
    #[error("follows the index {previous}: expected the indices of a line in ascending order")]
    Descending {
        /// The index of the item before.
        previous: u32,
    },
    /// Text after the colon that is not a number.
    #[error("has no number after the colon: expected index:value, such as 3:0.5 or 3:2e-3")]
    NotNumber,
    /// NaN, an infinity in words, or a number beyond the range of f64.
    #[error("has a value that is not finite: give a number, or remove the row")]
    NotFinite,
}

/// Reads all rows. Lines can end in CR LF, and blank lines and comments are left out.
///
/// # Errors
/// The first thing in the file that is wrong; see [`LibsvmError`].
pub(crate) fn read(input: impl BufRead, path: &str) -> Result<Sparse, LibsvmError> {
    let mut lines = Lines { input, path, line: 0, at: 0, text: Vec::new() };
    let mut builder = Builder::default();
    while lines.advance()? {
        let content = lines.content();
        builder.push(content, lines.line).map_err(|BadItem { text, fault }| LibsvmError::Item {
            path: path.to_owned(),
            line: lines.line,
            item: text,
            fault,
        })?;
        if builder.count() > MAX_VALUES {
            return Err(LibsvmError::TooLarge { path: path.to_owned(), line: lines.line });
        }
    }
    builder.finish(path)
}

impl Sparse {
    /// The rows of several files, one file after the other. If one of them numbers its columns from
    /// 0, all do.
    pub(crate) fn chain(files: Vec<Self>) -> Self {
        let is_zero_based = files.iter().any(|file| file.is_zero_based);
        let mut files = files.into_iter().map(|mut file| {
            if is_zero_based && !file.is_zero_based {
                file.indices.iter_mut().for_each(|index| *index += 1);
                file.width += 1;
                file.is_zero_based = true;
            }
            file
        });
        let empty = || Self {
            labels: Vec::new(),
            rows: Vec::new(),
            indices: Vec::new(),
            values: Vec::new(),
            width: 1,
            is_zero_based,
        };
        let mut all = files.next().unwrap_or_else(empty);
        for file in files {
            let start = all.indices.len();
            all.labels.extend(file.labels);
            all.rows.extend(file.rows.into_iter().map(|row| row.start + start..row.end + start));
            all.indices.extend(file.indices);
            all.values.extend(file.values);
            all.width = all.width.max(file.width);
        }
        all
    }

    /// How many columns have no value in any row.
    pub(crate) fn unused(&self) -> usize {
        let mut is_used = vec![false; self.width];
        for column in &self.indices {
            if let Some(is_used) = is_used.get_mut(index(*column)) {
                *is_used = true;
            }
        }
        is_used.into_iter().filter(|is_used| !is_used).count()
    }

    /// The same values, sorted by column. Takes time in proportion to the values and the columns.
    pub(crate) fn into_columns(self) -> Columns {
        let mut ends = vec![0; self.width + 1];
        for column in &self.indices {
            if let Some(end) = ends.get_mut(index(*column) + 1) {
                *end += 1;
            }
        }
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        // Where the next value of each column goes.
        let mut next = ends.clone();
        let mut items = vec![(0, 0.0); self.values.len()];
        for (row, range) in (0_u32..).zip(&self.rows) {
            let indices = self.indices.get(range.clone()).unwrap_or_default();
            let values = self.values.get(range.clone()).unwrap_or_default();
            for (column, value) in indices.iter().zip(values) {
                let Some(place) = next.get_mut(index(*column)) else { continue };
                if let Some(item) = items.get_mut(*place) {
                    *item = (row, *value);
                }
                *place += 1;
            }
        }
        Columns { rows: self.rows.len(), ends, items }
    }

    /// All columns with their zeros, row by row: `rows.len() * width` values, at most
    /// [`MAX_VALUES`].
    #[cfg(test)]
    fn dense(&self) -> Vec<f64> {
        let mut dense = vec![0.0; self.rows.len() * self.width];
        for (cells, row) in dense.chunks_exact_mut(self.width.max(1)).zip(&self.rows) {
            let indices = self.indices.get(row.clone()).unwrap_or_default();
            let values = self.values.get(row.clone()).unwrap_or_default();
            for (column, value) in indices.iter().zip(values) {
                if let Some(cell) = cells.get_mut(index(*column)) {
                    *cell = *value;
                }
            }
        }
        dense
    }
}

/// The columns of a file, without their zeros.
pub(crate) struct Columns {
    /// The number of rows.
    rows: usize,
    /// Where the items of each column begin; one more entry says where the last column ends.
    ends: Vec<usize>,
    /// The rows and values of each column, in the order of the rows.
    items: Vec<(u32, f64)>,
}

impl Columns {
    /// One column (from 0) with its zeros, a value for each row. All are zero in a column that the
    /// file does not have.
    pub(crate) fn get(&self, column: usize) -> impl Iterator<Item = f64> {
        let ends = self.ends.get(column).copied().zip(self.ends.get(column + 1).copied());
        let items = ends.and_then(|(start, end)| self.items.get(start..end)).unwrap_or_default();
        let mut items = items.iter().peekable();
        (0..self.rows).map(move |row| {
            let is_here = |item: &&(u32, f64)| index(item.0) == row;
            items.next_if(is_here).map_or(0.0, |item| item.1)
        })
    }
}

/// The lines of a file. Limits their length, because the whole of a line is in memory.
struct Lines<'a, R> {
    input: R,
    path: &'a str,
    /// The number of the current line, from 1.
    line: u64,
    /// The offset of the next line, in bytes.
    at: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    /// Reads the next line. False at the end of the file.
    fn advance(&mut self) -> Result<bool, LibsvmError> {
        self.text.clear();
        self.line += 1;
        let limit = to_u64(MAX_RECORD_BYTES) + 1;
        let mut input = Read::take(&mut self.input, limit);
        let got = input.read_until(b'\n', &mut self.text).map_err(|source| LibsvmError::Read {
            path: self.path.to_owned(),
            at: self.at,
            source,
        })?;
        if got > MAX_RECORD_BYTES {
            return Err(LibsvmError::LongLine { path: self.path.to_owned(), line: self.line });
        }
        self.at += to_u64(got);
        Ok(got > 0)
    }

    /// The line without its comment.
    fn content(&self) -> &[u8] {
        let text = match self.line {
            1 => self.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.text),
            _ => &self.text,
        };
        text.split(|&byte| byte == b'#').next().unwrap_or_default()
    }
}

/// An item that is wrong.
struct BadItem {
    text: String,
    fault: ItemFault,
}

impl BadItem {
    fn new(item: &[u8], fault: ItemFault) -> Self {
        Self { text: shortened(&String::from_utf8_lossy(item), SHOWN_CHARS), fault }
    }
}

/// The rows read so far, with their indices as they are written.
#[derive(Default)]
struct Builder {
    labels: Vec<String>,
    rows: Vec<Range<usize>>,
    indices: Vec<u32>,
    values: Vec<f64>,
    highest: u32,
    /// The first line that has the highest index.
    highest_line: u64,
    is_zero_based: bool,
}

impl Builder {
    /// Adds the row of a line, if it has one.
    fn push(&mut self, content: &[u8], line: u64) -> Result<(), BadItem> {
        let mut items =
            content.split(|byte| byte.is_ascii_whitespace()).filter(|item| !item.is_empty());
        let Some(first) = items.next() else { return Ok(()) };
        self.labels.push(label(first).map_err(|fault| BadItem::new(first, fault))?);
        let start = self.indices.len();
        let mut previous = None;
        for item in items {
            let (index, value) = pair(item, previous).map_err(|fault| BadItem::new(item, fault))?;
            previous = Some(index);
            self.indices.push(index);
            self.values.push(value);
            self.is_zero_based |= index == 0;
            if index > self.highest {
                (self.highest, self.highest_line) = (index, line);
            }
        }
        self.rows.push(start..self.indices.len());
        Ok(())
    }

    /// The number of columns. It grows while rows are added.
    fn width(&self) -> usize {
        index(self.highest) + usize::from(self.is_zero_based)
    }

    /// How many numbers the rows have with their zeros. A row without columns counts as one, so
    /// that the limit applies to the labels too.
    fn count(&self) -> usize {
        self.rows.len().saturating_mul(self.width().max(1))
    }

    fn finish(mut self, path: &str) -> Result<Sparse, LibsvmError> {
        let (path, width) = (path.to_owned(), self.width());
        if self.rows.is_empty() {
            return Err(LibsvmError::Empty { path });
        }
        if width == 0 {
            return Err(LibsvmError::NoFeatures { path });
        }
        // The highest index of a file that begins at 1 is one too many if it begins at 0.
        if width > MAX_FEATURES {
            let (line, item) = (self.highest_line, format!("{}:", self.highest));
            return Err(LibsvmError::Item { path, line, item, fault: ItemFault::HighIndex });
        }
        if !self.is_zero_based {
            self.indices.iter_mut().for_each(|index| *index -= 1);
        }
        let Self { labels, rows, indices, values, is_zero_based, .. } = self;
        Ok(Sparse { labels, rows, indices, values, width, is_zero_based })
    }
}

/// The first item of a line.
fn label(item: &[u8]) -> Result<String, ItemFault> {
    let text = std::str::from_utf8(item).map_err(|_| ItemFault::NotUtf8)?;
    match text {
        _ if text.starts_with("qid:") => Err(ItemFault::Ranking),
        _ if text.contains(':') => Err(ItemFault::NoLabel),
        _ if text.contains(',') => Err(ItemFault::ManyLabels),
        _ => Ok(text.to_owned()),
    }
}

/// A feature: its index as it is written, and its value.
fn pair(item: &[u8], previous: Option<u32>) -> Result<(u32, f64), ItemFault> {
    let text = std::str::from_utf8(item).map_err(|_| ItemFault::NotUtf8)?;
    let (digits, value) = text.split_once(':').ok_or(ItemFault::NoColon)?;
    if digits == "qid" {
        return Err(ItemFault::Ranking);
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ItemFault::BadIndex);
    }
    // Digits that are not a u32 are a higher number.
    let index: u32 = digits.parse().map_err(|_| ItemFault::HighIndex)?;
    if index > to_u32(MAX_FEATURES) {
        return Err(ItemFault::HighIndex);
    }
    match previous {
        Some(previous) if previous == index => return Err(ItemFault::SameIndex),
        Some(previous) if previous > index => return Err(ItemFault::Descending { previous }),
        _ => {}
    }
    let value: f64 = value.parse().map_err(|_| ItemFault::NotNumber)?;
    if !value.is_finite() {
        return Err(ItemFault::NotFinite);
    }
    Ok((index, value))
}

#[cfg(test)]
mod tests;
