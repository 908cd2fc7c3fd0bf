//! The records of a text file at the speed of the memory: for tables that are read once, row by
//! row.
//!
//! [`Records`] finds the same cells as [`Rows`](super::rows::Rows), and keeps the bytes of each
//! record as they are in the file. A line without a quote, which nearly all lines are, is split
//! where it is in the buffer: nothing is copied. Other records are parsed by the crate `csv-core`,
//! which copies their cells without the quotes. Neither allocates memory for a record, once the
//! buffers have grown to the longest one.

use std::io::Read;
use std::ops::Range;

use caviar_common::numbers::{index, to_u32, to_u64};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use memchr::{memchr, memchr_iter};

use super::dialect::Dialect;
use super::rows::swallows_rows;
use crate::error::{DataError, SOURCE};
use crate::limits::{MAX_FEATURES, MAX_RECORD_BYTES};
use crate::text::read_chunk;

/// How much of the file is in memory at first, in bytes. The buffer grows with longer records.
const BUFFER_BYTES: usize = 1 << 18;
/// Most cells of a record whose places are kept. More are only counted.
const MAX_CELLS: usize = MAX_FEATURES + 2;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a file that are not blank and not comments.
pub(crate) struct Records {
    input: Box<dyn Read>,
    path: String,
    dialect: Dialect,
    buffer: Vec<u8>,
    /// The part of the buffer that comes after the current record.
    unread: Range<usize>,
    /// How many bytes of the file were read.
    at: u64,
    is_at_end: bool,
    /// The line after the current record, from 1.
    next_line: u64,
    /// The part of the buffer that has the current record, without its line end.
    record: Range<usize>,
    /// Whether the cells are in `unquoted` and not in the record itself.
    has_quotes: bool,
    /// Where each cell begins and ends.
    cells: Vec<(u32, u32)>,
    /// The number of cells, which can be more than are kept.
    count: usize,
    parser: Reader,
    /// What the parser writes: the cells, and where each of them ends.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    /// Reads UTF-8 whose lines end in a line feed, perhaps with a carriage return before it.
    pub(super) fn new(
        input: Box<dyn Read>,
        path: &str,
        dialect: Dialect,
    ) -> Result<Self, DataError> {
        let mut parser = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .comment(dialect.comment)
            .terminator(Terminator::Any(b'\n'))
            .build();
        // The parser removes a byte order mark before its first record, wherever that is.
        let _ = parser.read_record(b"first\n", &mut [0; 8], &mut [0; 2]);
        let mut records = Self {
            input,
            path: path.to_owned(),
            dialect,
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            at: 0,
            is_at_end: false,
            next_line: 1,
            record: 0..0,
            has_quotes: false,
            cells: Vec::new(),
            count: 0,
            parser,
            unquoted: vec![0; 1 << 10],
            ends: vec![0; 1 << 7],
        };
        while records.unread.len() < BYTE_ORDER_MARK.len() && !records.is_at_end {
            records.fill()?;
        }
        if records.unread().starts_with(BYTE_ORDER_MARK) {
            records.unread.start += BYTE_ORDER_MARK.len();
        }
        Ok(records)
    }

    /// Reads the next record. False at the end of the file. After an error, no record follows.
    pub(crate) fn advance(&mut self) -> Result<bool, DataError> {
        let result = self.next();
        if result.is_err() {
            (self.unread, self.is_at_end) = (0..0, true);
        }
        result
    }

    fn next(&mut self) -> Result<bool, DataError> {
        while let Some(length) = self.find_line()? {
            let start = self.unread.start;
            let line = start..start.saturating_add(length);
            let bytes = self.buffer.get(line.clone()).unwrap_or_default();
            if self.dialect.comment.is_some() && bytes.first().copied() == self.dialect.comment {
                self.skip(length, 1);
                continue;
            }
            self.has_quotes = memchr(b'"', bytes).is_some();
            if self.has_quotes {
                self.parse()?;
            } else {
                self.record = line;
                self.split();
                self.skip(length, 1);
            }
            let is_blank = self.count <= 1 && self.cells().all(<[u8]>::is_empty);
            if !is_blank {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The cells of the current record, trimmed.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let content = self.content();
        self.cells.iter().map(move |&cell| at(content, cell))
    }

    /// The cell at an index from 0; empty if there is none.
    pub(crate) fn cell(&self, index: usize) -> &[u8] {
        self.cells.get(index).map(|&cell| at(self.content(), cell)).unwrap_or_default()
    }

    /// How many cells the current record has.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The current record as it is in the file, without its line end.
    pub(crate) fn record(&self) -> &[u8] {
        let record = self.buffer.get(self.record.clone()).unwrap_or_default();
        record.strip_suffix(b"\r").unwrap_or(record)
    }

    /// The line, from 1, on which the current record ends.
    pub(crate) const fn line(&self) -> u64 {
        self.next_line.saturating_sub(1)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The character between two cells.
    pub(crate) const fn delimiter(&self) -> u8 {
        self.dialect.delimiter
    }

    fn content(&self) -> &[u8] {
        if self.has_quotes {
            &self.unquoted
        } else {
            self.buffer.get(self.record.clone()).unwrap_or_default()
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.unread.clone()).unwrap_or_default()
    }

    /// Moves behind a record of `length` bytes and its line feed.
    fn skip(&mut self, length: usize, lines: u64) {
        self.next_line = self.next_line.saturating_add(lines);
        let next = self.unread.start.saturating_add(length).saturating_add(1);
        // The last line of a file can end without a line feed.
        self.unread.start = next.min(self.unread.end);
    }

    /// The length of the next line, which is in the buffer then; `None` at the end of the file.
    fn find_line(&mut self) -> Result<Option<usize>, DataError> {
        let mut searched = 0;
        loop {
            let rest = self.unread().get(searched..).unwrap_or_default();
            if let Some(found) = memchr(b'\n', rest) {
                return Ok(Some(searched + found));
            }
            searched = self.unread.len();
            if self.is_at_end {
                return Ok((searched > 0).then_some(searched));
            }
            self.fill()?;
        }
    }

    /// Reads more of the file behind the unread part, which moves to the start of the buffer.
    fn fill(&mut self) -> Result<(), DataError> {
        if self.unread.len() > MAX_RECORD_BYTES {
            let (path, line) = (self.path.clone(), self.next_line);
            return Err(DataError::LongRow { path, line });
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len().saturating_mul(2), 0);
        }
        let free = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
        let got = read_chunk(&mut self.input, free).map_err(|source| DataError::Read {
            field: SOURCE,
            path: self.path.clone(),
            at: self.at,
            source,
        })?;
        self.at = self.at.saturating_add(to_u64(got));
        self.unread.end = self.unread.end.saturating_add(got);
        self.is_at_end = got == 0;
        Ok(())
    }

    /// Finds the cells of a record without quotes.
    fn split(&mut self) {
        let record = self.buffer.get(self.record.clone()).unwrap_or_default();
        self.cells.clear();
        self.count = 0;
        let joins = self.dialect.joins_delimiters();
        let mut start = 0;
        let ends = memchr_iter(self.dialect.delimiter, record).chain([record.len()]);
        for end in ends {
            let cell = trimmed(record, start, end);
            start = end + 1;
            if joins && cell.0 == cell.1 {
                continue;
            }
            self.count += 1;
            if self.count <= MAX_CELLS {
                self.cells.push(cell);
            }
        }
    }

    /// Parses a record that begins in the line that is in the buffer, and moves behind it.
    fn parse(&mut self) -> Result<(), DataError> {
        let (mut used, mut written, mut cells) = (0, 0, 0);
        loop {
            let rest = self.unread().get(used..).unwrap_or_default();
            let is_end = rest.is_empty() && self.is_at_end;
            if rest.is_empty() && !is_end {
                self.fill()?;
                continue;
            }
            let input = self.buffer.get(self.unread.clone()).and_then(|rest| rest.get(used..));
            let input = if is_end { b"\n" } else { input.unwrap_or_default() };
            let (result, read, wrote, ended) = self.parser.read_record(
                input,
                self.unquoted.get_mut(written..).unwrap_or_default(),
                self.ends.get_mut(cells..).unwrap_or_default(),
            );
            (written, cells) = (written + wrote, cells + ended);
            if !is_end {
                used += read;
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull => self.unquoted.resize(self.unquoted.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if cells > MAX_CELLS => {
                    return Err(DataError::TooLarge { path: self.path.clone() });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty if is_end && read > 0 => {
                    let (path, line) = (self.path.clone(), self.next_line);
                    return Err(DataError::OpenQuote { path, line });
                }
                ReadRecordResult::InputEmpty => {}
            }
        }
        self.place_cells(cells)?;
        let bytes = self.unread().get(..used).unwrap_or_default();
        let length = bytes.strip_suffix(b"\n").unwrap_or(bytes).len();
        let record = bytes.get(..length).unwrap_or_default();
        let breaks = to_u64(memchr_iter(b'\n', record).count());
        self.record = self.unread.start..self.unread.start.saturating_add(length);
        self.skip(length, breaks + 1);
        Ok(())
    }

    /// Takes the places of the cells that the parser has written. Refuses a cell that seems to have
    /// swallowed rows; it must be looked at before it is trimmed, which can remove a line break.
    fn place_cells(&mut self, count: usize) -> Result<(), DataError> {
        self.cells.clear();
        let joins = self.dialect.joins_delimiters();
        let mut start = 0;
        for &end in self.ends.iter().take(count) {
            let cell = self.unquoted.get(start..end).unwrap_or_default();
            if memchr(b'\n', cell).is_some() && swallows_rows(cell, count, self.delimiter()) {
                let (path, line) = (self.path.clone(), self.next_line);
                return Err(DataError::BrokenCell { path, line });
            }
            let cell = trimmed(&self.unquoted, start, end);
            start = end;
            if !joins || cell.0 != cell.1 {
                self.cells.push(cell);
            }
        }
        self.count = self.cells.len();
        Ok(())
    }
}

/// The part of `content` from `start` to `end` without blanks around it.
fn trimmed(content: &[u8], start: usize, end: usize) -> (u32, u32) {
    let cell = content.get(start..end).unwrap_or_default();
    let left = cell.trim_ascii_end();
    let start = start + (left.len() - left.trim_ascii_start().len());
    // Records are shorter than 2^32 bytes.
    (to_u32(start), to_u32(start.max(end - (cell.len() - left.len()))))
}

fn at(content: &[u8], (start, end): (u32, u32)) -> &[u8] {
    content.get(index(start)..index(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::rows::Rows;
    use super::*;

    /// A reader that returns at most `most` bytes at a time.
    struct Slow {
        bytes: Vec<u8>,
        at: usize,
        most: usize,
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut rest = &self.bytes[self.at..];
            let size = buffer.len().min(self.most);
            let got = rest.read(&mut buffer[..size])?;
            self.at += got;
            Ok(got)
        }
    }

    type Found = (Vec<(u64, Vec<String>)>, Option<String>);

    fn text(cell: &[u8]) -> String {
        String::from_utf8_lossy(cell).into_owned()
    }

    fn by_rows(bytes: &[u8], dialect: Dialect) -> Found {
        let mut rows = Rows::new(Box::new(io::Cursor::new(bytes.to_vec())), "file", dialect);
        let mut found = Vec::new();
        loop {
            match rows.advance() {
                Ok(true) => found.push((rows.line(), rows.record().iter().map(text).collect())),
                Ok(false) => return (found, None),
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }

    fn by_records(bytes: &[u8], most: usize, dialect: Dialect) -> Found {
        let input = Slow { bytes: bytes.to_vec(), at: 0, most };
        let mut records = Records::new(Box::new(input), "file", dialect).unwrap();
        // The other reader would remove a byte order mark at the start.
        let (mut found, mut all) = (Vec::new(), b"first\n".to_vec());
        let error = loop {
            match records.advance() {
                Ok(true) => {
                    let cells: Vec<String> = records.cells().map(text).collect();
                    assert_eq!(records.count(), cells.len());
                    found.push((records.line(), cells));
                    all.extend_from_slice(records.record());
                    all.push(b'\n');
                }
                Ok(false) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        assert!(error.is_none() || !records.advance().unwrap());
        if error.is_none() {
            // The records as they are in the file have the same cells.
            let (copies, error) = by_rows(&all, Dialect { comment: None, ..dialect });
            assert_eq!(error, None);
            let cells = |found: &[(u64, Vec<String>)]| -> Vec<Vec<String>> {
                found.iter().map(|(_, cells)| cells.clone()).collect()
            };
            assert_eq!(cells(&copies[1..]), cells(&found));
        }
        (found, error)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn records_are_those_of_the_other_reader(
            parts in prop::collection::vec(
                select(vec![
                    "a", "1.5", ",", ",", ";", " ", "\"", "\"", "\"\"", "\n", "\n", "\r\n", "\r",
                    "#", "\u{e9}", "\t", "x,y", "\"a,b\"", "\"a\nb\"", "\u{feff}",
                ]),
                0..40,
            ),
            delimiter in select(b",; \t".to_vec()),
            has_comments in any::<bool>(),
            most in 1_usize..20,
        ) {
            let bytes = parts.concat().into_bytes();
            let dialect = Dialect { delimiter, comment: has_comments.then_some(b'#') };
            prop_assert_eq!(by_records(&bytes, most, dialect), by_rows(&bytes, dialect));
        }
    }

    #[test]
    fn a_record_longer_than_the_buffer_is_read_and_one_beyond_the_limit_is_not() {
        let dialect = Dialect { delimiter: b',', comment: None };
        let long = "7,".repeat(BUFFER_BYTES) + "\"8\n\"\n9\n";
        let (found, error) = by_records(long.as_bytes(), 1 << 16, dialect);
        assert_eq!((found.len(), found[0].1.len(), error), (2, BUFFER_BYTES + 1, None));
        assert_eq!((found[0].0, found[1].0), (2, 3));
        let endless = |byte: u8| {
            let input = io::repeat(byte).take(to_u64(2 * MAX_RECORD_BYTES));
            let mut records = Records::new(Box::new(input), "file", dialect).unwrap();
            records.advance().unwrap_err().to_string()
        };
        assert!(endless(b'x').starts_with("file, line 1: the row that starts here is too long"));
    }
}
