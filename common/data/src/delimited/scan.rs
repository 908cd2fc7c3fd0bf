//! The first pass over a text file: every cell is looked at, and none is kept.

use std::collections::HashSet;

use caviar_common::data::TableSpec;
use csv::ByteRecord;

use super::rows::Rows;
use crate::error::{DataError, SOURCE, shown};
use crate::forms::Candidates;
use crate::limits::{MAX_CATEGORIES, MAX_FEATURES};
use crate::missing::{MissingTexts, Presence};

/// Most different texts of a column that are remembered: one more than a category can have.
const MOST_TEXTS: usize = MAX_CATEGORIES + 1;

/// What was found out about a file and its columns.
pub(super) struct Scan {
    /// The line of the first record.
    pub(super) first_line: u64,
    /// The first record, which can be a header or the first row.
    pub(super) first: Vec<String>,
    pub(super) columns: Vec<ColumnScan>,
}

/// What was found out about the cells of one column, without that of the first record.
pub(super) struct ColumnScan {
    /// The forms of the cells that have a value.
    pub(super) candidates: Candidates,
    /// Cells with a text that stands for a missing value only among numbers.
    pub(super) weakly_missing: u64,
    /// Cells that are equal to that of the first record.
    pub(super) like_first: u64,
    /// The different texts; only of the labels.
    pub(super) texts: Option<Box<Texts>>,
}

/// The different texts of a column, at most [`MOST_TEXTS`] of them.
#[derive(Default)]
pub(super) struct Texts(pub(super) HashSet<Box<str>>);

impl Texts {
    fn add(&mut self, cell: &str) {
        if self.0.len() < MOST_TEXTS && !self.0.contains(cell) {
            self.0.insert(cell.into());
        }
    }
}

impl Scan {
    /// Reads the whole file. The texts of the columns with the names `labels` are collected from
    /// the first row on.
    pub(super) fn read(
        rows: &mut Rows<'_>,
        path: &str,
        table: &TableSpec,
        labels: &[&str],
    ) -> Result<Self, DataError> {
        if !rows.advance()? {
            return Err(DataError::Empty { field: SOURCE, path: path.to_owned() });
        }
        let first: Vec<String> = rows.record().iter().map(text).collect();
        if first.len() > MAX_FEATURES + 1 {
            return Err(DataError::TooLarge { path: path.to_owned() });
        }
        let missing = MissingTexts::new(&table.missing);
        let is_label = |(index, name): (usize, &String)| {
            let name = if table.header == Some(false) { numbered(index) } else { name.clone() };
            labels.iter().any(|label| label.trim() == name)
        };
        let columns = first.iter().enumerate().map(is_label).map(ColumnScan::new).collect();
        let mut scan = Self { first_line: rows.line(), first, columns };
        if table.header == Some(false) {
            scan.add(rows.record(), &missing);
        }
        scan.extend(rows, path, table)?;
        Ok(scan)
    }

    /// Reads the rest of a file.
    pub(super) fn extend(
        &mut self,
        rows: &mut Rows<'_>,
        path: &str,
        table: &TableSpec,
    ) -> Result<(), DataError> {
        let missing = MissingTexts::new(&table.missing);
        while rows.advance()? {
            let (found, expected) = (rows.record().len(), self.first.len());
            if found != expected {
                let (path, line) = (path.to_owned(), rows.line());
                return Err(DataError::Ragged { path, line, found, expected });
            }
            self.add(rows.record(), &missing);
        }
        Ok(())
    }

    /// Refuses the header of a further file if it differs from that of the first one.
    pub(super) fn check_columns(
        &self,
        header: &ByteRecord,
        path: &str,
        first: &str,
        field: &'static str,
    ) -> Result<(), DataError> {
        let count = header.len().max(self.first.len());
        let name = |column: usize| header.get(column).map(text).unwrap_or_default();
        let expected = |column: usize| self.first.get(column).cloned().unwrap_or_default();
        match (0..count).find(|&column| name(column) != expected(column)) {
            None => Ok(()),
            Some(column) => Err(DataError::OtherColumns {
                field,
                path: path.to_owned(),
                first: first.to_owned(),
                column: column + 1,
                found: shown(&name(column)),
                expected: shown(&expected(column)),
            }),
        }
    }

    fn add(&mut self, record: &ByteRecord, missing: &MissingTexts) {
        for ((cell, column), first) in record.iter().zip(&mut self.columns).zip(&self.first) {
            column.add(cell, first, missing);
        }
    }

    /// Whether the first record looks like a row and not like the names of the columns.
    ///
    /// Columns of numbers, booleans and dates decide: the record is a header if one of its cells
    /// does not fit them. If all fit, whole numbers can still be names, such as 1 to 16 or years.
    /// So the record is a row if it has another number, or a number twice, as no header has.
    /// Otherwise, and in a file of texts only, it is a row if each of its texts occurs again in its
    /// column, and its numbers do not count up.
    pub(super) fn starts_with_a_row(&self, missing: &MissingTexts) -> bool {
        let mut fitting: Vec<&str> = Vec::new();
        let (mut repeated, mut unique) = (0_u64, 0_u64);
        for (column, first) in self.columns.iter().zip(&self.first) {
            if missing.presence(first.as_bytes()) != Presence::Present {
                continue;
            }
            match column.candidates.form() {
                Some(form) if form.parse(first).is_ok() => fitting.push(first),
                Some(_) => return false,
                None if column.candidates.cells() == 0 => {}
                None if column.like_first > 0 => repeated += 1,
                None => unique += 1,
            }
        }
        let different: HashSet<&str> = fitting.iter().copied().collect();
        let whole: Option<Vec<i64>> = fitting.iter().map(|cell| cell.parse().ok()).collect();
        let Some(whole) = whole.filter(|_| different.len() == fitting.len()) else { return true };
        let counts_up = whole.len() > 1
            && whole.iter().zip(whole.iter().skip(1)).all(|(a, b)| a.checked_add(1) == Some(*b));
        !counts_up && unique == 0 && (!whole.is_empty() || repeated > 0)
    }
}

impl ColumnScan {
    fn new(is_label: bool) -> Self {
        Self {
            candidates: Candidates::new(),
            weakly_missing: 0,
            like_first: 0,
            texts: is_label.then(Box::default),
        }
    }

    fn add(&mut self, cell: &[u8], first: &str, missing: &MissingTexts) {
        match missing.presence(cell) {
            Presence::Missing => return,
            Presence::MissingAmongNumbers => self.weakly_missing += 1,
            Presence::Present => {}
        }
        // The reader of the file returns UTF-8 only.
        let Ok(cell) = std::str::from_utf8(cell) else { return };
        self.like_first += u64::from(cell == first);
        let is_weak = missing.presence(cell.as_bytes()) == Presence::MissingAmongNumbers;
        if !is_weak {
            self.candidates.add(cell);
        }
        if let Some(texts) = &mut self.texts {
            texts.add(cell);
        }
    }
}

/// The name of a column in a file without a header.
pub(crate) fn numbered(index: usize) -> String {
    format!("column{}", index + 1)
}

fn text(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).into_owned()
}
