//! The first pass over a text file: every cell is looked at, and none is kept.

use std::collections::HashSet;

use caviar_common::data::TableSpec;
use csv::ByteRecord;

use super::missing::{MissingTexts, Presence};
use super::rows::Rows;
use crate::error::{DataError, SOURCE};
use crate::forms::Candidates;
use crate::limits::{MAX_CATEGORIES, MAX_FEATURES};

/// Most different texts of a column that are remembered: one more than a category can have.
const MOST_TEXTS: usize = MAX_CATEGORIES + 1;

/// What was found out about a file and its columns.
pub(super) struct Scan {
    /// The line of the first record.
    pub(super) first_line: u64,
    /// The first record, which can be a header or the first row.
    pub(super) first: Vec<String>,
    pub(super) columns: Vec<ColumnScan>,
    /// Rows without the first record.
    pub(super) rows: u64,
}

/// What was found out about the cells of one column, without that of the first record.
pub(super) struct ColumnScan {
    /// The forms of the cells that have a value.
    pub(super) candidates: Candidates,
    /// Cells with a text that stands for a missing value only among numbers.
    pub(super) weakly_missing: u64,
    /// Cells that are equal to that of the first record.
    pub(super) like_first: u64,
    /// The different texts, from the first one on that is no number; `None` before.
    pub(super) texts: Option<Box<Texts>>,
}

/// The texts of a column.
#[derive(Default)]
pub(super) struct Texts {
    /// At most [`MOST_TEXTS`] of them.
    pub(super) different: HashSet<Box<str>>,
    /// Cells that were looked at.
    pub(super) cells: u64,
}

impl Texts {
    fn add(&mut self, cell: &str) {
        self.cells += 1;
        if self.different.len() < MOST_TEXTS && !self.different.contains(cell) {
            self.different.insert(cell.into());
        }
    }
}

impl Scan {
    /// Reads the whole file. The texts of the column with the name `label`, or of every column of
    /// that name, are collected from the first row on.
    pub(super) fn read(
        rows: &mut Rows<'_>,
        path: &str,
        table: &TableSpec,
        label: Option<&str>,
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
            label.is_some_and(|label| label.trim() == name)
        };
        let columns = first.iter().enumerate().map(is_label).map(ColumnScan::new).collect();
        let mut scan = Self { first_line: rows.line(), first, columns, rows: 0 };
        if table.header == Some(false) {
            scan.add(rows.record(), &missing);
        }
        while rows.advance()? {
            let (found, expected) = (rows.record().len(), scan.first.len());
            if found != expected {
                let (path, line) = (path.to_owned(), rows.line());
                return Err(DataError::Ragged { path, line, found, expected });
            }
            scan.rows += 1;
            scan.add(rows.record(), &missing);
        }
        Ok(scan)
    }

    fn add(&mut self, record: &ByteRecord, missing: &MissingTexts) {
        for ((cell, column), first) in record.iter().zip(&mut self.columns).zip(&self.first) {
            column.add(cell, first, missing);
        }
    }

    /// Whether the first record looks like a row and not like the names of the columns.
    ///
    /// Columns of numbers, booleans and dates decide: the record is a row if its cells fit them
    /// all, and a header if one does not. In a file of texts only, it is a row if each of its cells
    /// occurs again in its column.
    pub(super) fn starts_with_a_row(&self, missing: &MissingTexts) -> bool {
        let (mut fitting, mut repeated, mut unique) = (0_u64, 0_u64, 0_u64);
        for (column, first) in self.columns.iter().zip(&self.first) {
            if missing.presence(first.as_bytes()) != Presence::Present {
                continue;
            }
            match column.candidates.form() {
                Some(form) if form.parse(first).is_ok() => fitting += 1,
                Some(_) => return false,
                None if column.candidates.cells() == 0 || column.is_free_text() => {}
                None if column.like_first > 0 => repeated += 1,
                None => unique += 1,
            }
        }
        fitting > 0 || repeated > 0 && unique == 0
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
        } else if self.candidates.cells() > 0 && self.candidates.form().is_none() {
            self.texts.get_or_insert_default().add(cell);
        }
    }

    /// Whether the column is text that names each row rather than a category: more than half of its
    /// texts differ, or they are more than a category can have.
    pub(super) fn is_free_text(&self) -> bool {
        const FEWEST_TEXTS: usize = 20;
        self.texts.as_deref().is_some_and(|texts| {
            let different = texts.different.len();
            let is_mostly_different =
                u64::try_from(different).is_ok_and(|different| different * 2 > texts.cells);
            different >= MOST_TEXTS || different > FEWEST_TEXTS && is_mostly_different
        })
    }
}

/// The name of a column in a file without a header.
pub(crate) fn numbered(index: usize) -> String {
    format!("column{}", index + 1)
}

fn text(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).into_owned()
}
