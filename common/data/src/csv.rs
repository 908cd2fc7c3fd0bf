//! CSV files with a header: a label column, and numbers in all others.

use std::io::{self, Read};

use caviar_common::data::Task;
use caviar_common::text::edit_distance;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use crate::error::{BadCell, DataError, Fault, LABEL, SOURCE, shorten};
use crate::labels::{Labels, number};
use crate::{MAX_FEATURES, MAX_RECORD_BYTES, MAX_VALUES, Raw};

/// Columns that an error lists.
const LISTED_COLUMNS: usize = 20;

const LINE_FEED: &[u8] = b"\n";

/// Reads a file whose first line names the columns. Cells are trimmed and stand on one line, blank
/// lines are skipped, and lines may end in CR LF.
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

/// The records of a file, with their lines and a limit on their length.
struct Rows<'a, R> {
    reader: Reader<Rationed<R>>,
    record: ByteRecord,
    path: &'a str,
}

impl<'a, R: Read> Rows<'a, io::Chain<R, &'static [u8]>> {
    fn new(input: R, path: &'a str) -> Self {
        // The line count is exact only where a record ends with the line feed itself. So that alone
        // ends a record (a carriage return before it falls to the trimming) and the last line gets
        // one, too.
        let input =
            Rationed { input: input.chain(LINE_FEED), left: MAX_RECORD_BYTES, is_at_end: false };
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n'));
        Self { reader: builder.from_reader(input), record: ByteRecord::new(), path }
    }

    /// Reads the next record that is not blank, and trims its cells; false at the end.
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

    /// Only a quoted cell can hold a line break, and in a table of data that is a quote too many or
    /// too few: it would swallow the rows below it. The check comes before the trimming, which may
    /// take the line break away.
    fn check_quotes(&self) -> Result<(), DataError> {
        let breaks = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        if breaks == 0 {
            return Ok(());
        }
        // A closed quote leaves the line feed that ends its record; one that is never closed takes
        // every byte there is.
        let is_closed = !self.reader.get_ref().is_at_end;
        let last = self.reader.position().line().saturating_sub(u64::from(is_closed));
        let line = last.saturating_sub(u64::try_from(breaks).unwrap_or(u64::MAX));
        let path = self.path.to_owned();
        Err(if is_closed {
            DataError::BrokenCell { path, line }
        } else {
            DataError::OpenQuote { path, line }
        })
    }

    /// The line of the record.
    fn line(&self) -> u64 {
        self.reader.position().line().saturating_sub(1)
    }
}

/// Gives out a limited number of bytes between refills: a quote that is never closed must not
/// swallow all memory.
struct Rationed<R> {
    input: R,
    left: usize,
    /// Whether somebody asked for more than there is.
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

/// The names of the columns.
struct Header {
    names: Vec<String>,
    /// Which of them is the label.
    label: usize,
}

impl Header {
    fn check(
        record: &ByteRecord,
        path: &str,
        line: u64,
        label: Option<&str>,
    ) -> Result<Self, DataError> {
        let path = || path.to_owned();
        let names: Vec<String> =
            record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
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
            return Err(DataError::LabelTwice {
                path: path(),
                line,
                label: wanted.to_owned(),
                count: others + 1,
            });
        }
        if let Some((column, name)) = names
            .iter()
            .enumerate()
            .find(|(i, name)| !name.is_empty() && names.iter().take(*i).any(|n| n == *name))
        {
            return Err(DataError::NameTwice {
                path: path(),
                line,
                name: shorten(name),
                column: column + 1,
            });
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

/// The values read so far, or the first bad cell.
struct Table<'a> {
    header: &'a Header,
    path: &'a str,
    values: Vec<f32>,
    labels: Labels,
    bad: Option<BadCell>,
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
        self.values.push(number(text)?);
        Ok(())
    }

    fn note(&mut self, line: u64, column: usize, cell: &[u8], fault: Fault) {
        if self.bad.is_some() {
            self.more_bad += 1;
            return;
        }
        let field = if column == self.header.label { LABEL } else { SOURCE };
        let column = self.header.names.get(column).map(|name| shorten(name)).unwrap_or_default();
        let value = shorten(&String::from_utf8_lossy(cell));
        self.bad = Some(BadCell { field, path: self.path.to_owned(), line, column, value, fault });
    }

    /// What is wrong first: a bad cell before this, or this.
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
        feature_names.remove(self.header.label);
        Ok(Raw { values: self.values, feature_names, labels: self.labels, pixels: false })
    }
}

/// Names of columns for an error, shortened where they are many.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(LISTED_COLUMNS).map(|name| format!("{:?}", shorten(name))).collect();
    match names.len().saturating_sub(LISTED_COLUMNS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What may have been meant by a label that no column has.
fn hint(names: &[String], wanted: &str) -> String {
    if let [only] = names
        && only.contains([';', '\t'])
    {
        return "separate columns by commas".to_owned();
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
            format!("did you mean {:?}?", shorten(name))
        }
        (_, Some(last)) => format!("the last one is {:?}", shorten(last)),
        (_, None) => String::new(),
    }
}
