//! The reader of CSV files: a header, one label column, and numbers in all other columns.

use std::collections::HashSet;
use std::io::{self, Read};

use caviar_common::data::Task;
use caviar_common::numbers::to_u64;
use caviar_common::text::edit_distance;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use crate::error::{BadCell, DataError, Fault, LABEL, SOURCE, shown};
use crate::labels::{Labels, parse_number};
use crate::limits::{MAX_FEATURES, MAX_RECORD_BYTES, MAX_VALUES};
use crate::raw::Raw;

/// Most columns that an error lists.
const LISTED_COLUMNS: usize = 20;

const LINE_FEED: &[u8] = b"\n";

/// Reads a file whose first line names the columns. Cells are trimmed and must not span lines,
/// blank lines are skipped, and lines can end in CR LF.
pub(crate) fn read(
    input: impl Read,
    path: &str,
    label: Option<&str>,
    task: Task,
) -> Result<Raw, DataError> {
    let mut rows = Rows::new(input, path);
    if !rows.advance()? {
        return Err(DataError::Empty { field: SOURCE, path: path.to_owned() });
    }
    let header = Header::check(&rows.record, path, rows.line(), label)?;
    let mut table = Table::new(&header, path, task);
    loop {
        match rows.advance() {
            Ok(true) => {}
            Ok(false) => return table.finish(),
            Err(error) => return table.fail(error),
        }
        if let Err(error) = table.push(&rows.record, rows.line()) {
            return table.fail(error);
        }
    }
}

/// The records of a file and their lines. Limits the length of a record.
struct Rows<'a, R> {
    reader: Reader<Rationed<R>>,
    record: ByteRecord,
    path: &'a str,
}

impl<'a, R: Read> Rows<'a, io::Chain<R, &'static [u8]>> {
    fn new(input: R, path: &'a str) -> Self {
        // The reader counts lines exactly only if every record ends with the line feed itself. So
        // only a line feed ends a record (trimming removes a carriage return before it), and the
        // last line gets one if it has none.
        let input =
            Rationed { input: input.chain(LINE_FEED), left: MAX_RECORD_BYTES, is_at_end: false };
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n'));
        Self { reader: builder.from_reader(input), record: ByteRecord::new(), path }
    }

    /// Reads the next record that is not blank and trims its cells. False at the end of the file.
    fn advance(&mut self) -> Result<bool, DataError> {
        loop {
            self.reader.get_mut().left = MAX_RECORD_BYTES;
            let start = self.reader.position().clone();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    self.check_quotes()?;
                    self.record.trim();
                    if self.record.len() > 1 || !self.record.as_slice().is_empty() {
                        return Ok(true);
                    }
                }
                Err(_) if self.reader.get_ref().left == 0 => {
                    return Err(DataError::LongRow {
                        path: self.path.to_owned(),
                        line: start.line(),
                    });
                }
                Err(error) => {
                    let (at, source) = (self.reader.position().byte(), io::Error::from(error));
                    return Err(DataError::Read {
                        field: SOURCE,
                        path: self.path.to_owned(),
                        at,
                        source,
                    });
                }
            }
        }
    }

    /// Refuses a line break in a quoted cell. In a table of numbers it means that a quote is
    /// missing or superfluous, and the rows below would become part of the cell. Must run before
    /// trimming, which can remove the line break.
    fn check_quotes(&self) -> Result<(), DataError> {
        let breaks = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        if breaks == 0 {
            return Ok(());
        }
        // If the quote is closed, the line feed that ends the record is still counted; if it is
        // never closed, the cell extends to the end of the file.
        let is_closed = !self.reader.get_ref().is_at_end;
        let last = self.reader.position().line().saturating_sub(u64::from(is_closed));
        let line = last.saturating_sub(to_u64(breaks));
        let path = self.path.to_owned();
        Err(if is_closed {
            DataError::BrokenCell { path, line }
        } else {
            DataError::OpenQuote { path, line }
        })
    }

    /// The line of the current record, from 1.
    fn line(&self) -> u64 {
        self.reader.position().line().saturating_sub(1)
    }
}

/// A reader with an allowance of bytes, which [`Rows::advance`] renews for each record. A quote
/// that is never closed then cannot fill the memory.
struct Rationed<R> {
    input: R,
    /// What is left of the allowance, in bytes.
    left: usize,
    /// Whether the end of the input was reached.
    is_at_end: bool,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(self.left);
        let Some(buffer) = buffer.get_mut(..size).filter(|b| !b.is_empty()) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let got = self.input.read(buffer)?;
        self.left = self.left.saturating_sub(got);
        self.is_at_end = got == 0;
        Ok(got)
    }
}

/// The first line of the file.
struct Header {
    names: Vec<String>,
    /// The index of the label column.
    label: usize,
}

impl Header {
    fn check(
        record: &ByteRecord,
        path: &str,
        line: u64,
        label: Option<&str>,
    ) -> Result<Self, DataError> {
        let names: Vec<String> =
            record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let path = || path.to_owned();
        let Some(wanted) = label.map(str::trim) else {
            return Err(DataError::LabelNotGiven { path: path(), columns: listed(&names) });
        };
        let mut found = names.iter().enumerate().filter(|(_, name)| *name == wanted);
        let Some((label, _)) = found.next() else {
            let (label, columns, hint) = (wanted.to_owned(), listed(&names), hint(&names, wanted));
            return Err(DataError::NoSuchColumn { path: path(), line, label, columns, hint });
        };
        let others = found.count();
        if others > 0 {
            let (label, count) = (wanted.to_owned(), others + 1);
            return Err(DataError::LabelTwice { path: path(), line, label, count });
        }
        let mut earlier = HashSet::with_capacity(names.len());
        let mut named = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
        if let Some((i, name)) = named.find(|(_, name)| !earlier.insert(name.as_str())) {
            let (name, column) = (shown(name), i + 1);
            return Err(DataError::NameTwice { path: path(), line, name, column });
        }
        if names.len() < 2 {
            return Err(DataError::NoFeatures { path: path() });
        }
        if names.len() - 1 > MAX_FEATURES {
            return Err(DataError::TooLarge { path: path() });
        }
        if let Some(unnamed) = names.iter().position(String::is_empty) {
            return Err(DataError::UnnamedColumn { path: path(), line, column: unnamed + 1 });
        }
        Ok(Self { names, label })
    }
}

/// The values read so far, and the first bad cell.
struct Table<'a> {
    header: &'a Header,
    path: &'a str,
    values: Vec<f32>,
    labels: Labels,
    bad: Option<BadCell>,
    /// How many bad cells follow the first one.
    more_bad: u64,
}

impl<'a> Table<'a> {
    fn new(header: &'a Header, path: &'a str, task: Task) -> Self {
        Self { header, path, values: Vec::new(), labels: Labels::new(task), bad: None, more_bad: 0 }
    }

    fn push(&mut self, record: &ByteRecord, line: u64) -> Result<(), DataError> {
        let expected = self.header.names.len();
        if record.len() != expected {
            return Err(DataError::Ragged {
                path: self.path.to_owned(),
                line,
                found: record.len(),
                expected,
            });
        }
        if self.values.len() + expected - 1 > MAX_VALUES {
            return Err(DataError::TooLarge { path: self.path.to_owned() });
        }
        for (column, cell) in record.iter().enumerate() {
            if let Err(fault) = self.cell(column, cell) {
                self.note(line, column, cell, fault);
            }
        }
        Ok(())
    }

    fn cell(&mut self, column: usize, cell: &[u8]) -> Result<(), Fault> {
        let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
        if column == self.header.label {
            return self.labels.push(text);
        }
        self.values.push(parse_number(text)?);
        Ok(())
    }

    fn note(&mut self, line: u64, column: usize, cell: &[u8], fault: Fault) {
        if self.bad.is_some() {
            self.more_bad += 1;
            return;
        }
        let field = if column == self.header.label { LABEL } else { SOURCE };
        let column = self.header.names.get(column).map(|name| shown(name)).unwrap_or_default();
        let value = shown(&String::from_utf8_lossy(cell));
        self.bad = Some(BadCell { field, path: self.path.to_owned(), line, column, value, fault });
    }

    /// The error that comes first in the file: a bad cell before `error`, or `error`.
    fn fail<T>(self, error: DataError) -> Result<T, DataError> {
        match self.bad {
            Some(cell) => Err(DataError::Cell { cell: Box::new(cell), more: self.more_bad }),
            None => Err(error),
        }
    }

    fn finish(self) -> Result<Raw, DataError> {
        if let Some(cell) = self.bad {
            return Err(DataError::Cell { cell: Box::new(cell), more: self.more_bad });
        }
        let mut feature_names = self.header.names.clone();
        let label = feature_names.remove(self.header.label);
        let (values, labels) = (self.values, self.labels);
        Ok(Raw { values, feature_names, labels, label, has_pixels: false })
    }
}

/// The names of the columns as an error lists them, at most 20.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(LISTED_COLUMNS).map(|name| format!("{:?}", shown(name))).collect();
    match names.len().saturating_sub(LISTED_COLUMNS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A likely cause of a label that no column has, or a likely correction.
fn hint(names: &[String], wanted: &str) -> String {
    if let [only] = names
        && only.contains([';', '\t'])
    {
        return "columns must be separated by commas".to_owned();
    }
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return "the first line must name the columns".to_owned();
    }
    let near = names
        .iter()
        .map(|name| (edit_distance(&name.to_lowercase(), &wanted.to_lowercase()), name))
        .min();
    match (near, names.last()) {
        (Some((edits, name)), _) if edits <= wanted.len() / 3 => {
            format!("did you mean {:?}?", shown(name))
        }
        (_, Some(last)) => format!("the last column is {:?}", shown(last)),
        (_, None) => String::new(),
    }
}
