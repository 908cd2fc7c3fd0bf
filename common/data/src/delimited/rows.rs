//! The records of a text file and their lines.

use std::io::{self, Read};

use caviar_common::numbers::to_u64;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::dialect::Dialect;
use crate::error::{DataError, SOURCE};
use crate::limits::MAX_RECORD_BYTES;

const LINE_FEED: &[u8] = b"\n";

/// A file, and a line feed after its end.
type Ended = io::Chain<Box<dyn Read>, &'static [u8]>;

/// The records of a file. Limits the length of a record.
pub(super) struct Rows<'a> {
    reader: Reader<Rationed<Ended>>,
    record: ByteRecord,
    path: &'a str,
    dialect: Dialect,
}

impl<'a> Rows<'a> {
    pub(super) fn new(input: Box<dyn Read>, path: &'a str, dialect: Dialect) -> Self {
        // The reader counts lines exactly only if every record ends with the line feed itself. So
        // only a line feed ends a record (trimming removes a carriage return before it), and the
        // last line gets one if it has none.
        let input =
            Rationed { input: input.chain(LINE_FEED), left: MAX_RECORD_BYTES, is_at_end: false };
        let mut builder = ReaderBuilder::new();
        builder
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .comment(dialect.comment)
            .terminator(Terminator::Any(b'\n'));
        Self { reader: builder.from_reader(input), record: ByteRecord::new(), path, dialect }
    }

    /// Reads the next record that is not blank and trims its cells. False at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, DataError> {
        loop {
            self.reader.get_mut().left = MAX_RECORD_BYTES;
            let start = self.reader.position().clone();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    self.check_quotes()?;
                    self.record.trim();
                    if self.dialect.joins_delimiters() {
                        self.record = self.record.iter().filter(|cell| !cell.is_empty()).collect();
                    }
                    let is_blank = self.record.len() <= 1 && self.record.as_slice().is_empty();
                    if !is_blank {
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
                    let path = self.path.to_owned();
                    return Err(DataError::Read { field: SOURCE, path, at, source });
                }
            }
        }
    }

    /// The current record, with trimmed cells.
    pub(super) const fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// Refuses a quote that is never closed, and a cell over several lines if the lines within it
    /// look like rows: a quote is missing then, and the rows would silently become part of the
    /// cell. Must run before trimming, which can remove a line break.
    fn check_quotes(&self) -> Result<(), DataError> {
        let breaks = self.breaks();
        if breaks == 0 {
            return Ok(());
        }
        // If the quote is closed, the line feed that ends the record is still counted; if it is
        // never closed, the cell extends to the end of the file.
        let is_closed = !self.reader.get_ref().is_at_end;
        let last = self.reader.position().line().saturating_sub(u64::from(is_closed));
        let line = last.saturating_sub(breaks);
        let path = self.path.to_owned();
        if !is_closed {
            return Err(DataError::OpenQuote { path, line });
        }
        let (cells, delimiter) = (self.record.len(), self.dialect.delimiter);
        if self.record.iter().any(|cell| swallows_rows(cell, cells, delimiter)) {
            return Err(DataError::BrokenCell { path, line });
        }
        Ok(())
    }

    fn breaks(&self) -> u64 {
        to_u64(self.record.as_slice().iter().filter(|byte| **byte == b'\n').count())
    }

    /// The line, from 1, on which the current record ends.
    pub(super) fn line(&self) -> u64 {
        self.reader.position().line().saturating_sub(1)
    }
}

/// Whether a cell has lines in its middle that have as many delimiters as a row of `cells` cells
/// needs. In a table of two columns one comma proves little, so there all such lines must have it.
pub(super) fn swallows_rows(cell: &[u8], cells: usize, delimiter: u8) -> bool {
    let lines: Vec<&[u8]> = cell.split(|&byte| byte == b'\n').collect();
    let needed = cells.saturating_sub(1);
    let [_, middle @ .., _] = lines.as_slice() else { return false };
    let count = |line: &[u8]| line.iter().filter(|b| **b == delimiter).count();
    let is_row = |line: &&[u8]| needed > 0 && count(line) == needed;
    match needed {
        0 => false,
        1 => !middle.is_empty() && middle.iter().all(is_row),
        _ => middle.iter().any(is_row),
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
