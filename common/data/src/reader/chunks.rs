//! The rows of a file that stores columns, which become values column by column.

use std::ops::Range;

use caviar_common::data::ColumnType;
use caviar_common::numbers::to_u64;

use super::batch::{RowBatch, Truth};
use super::cells::{CellReader, LabelReader};
use super::counts::ReadCounts;
use crate::delimited::{MissingTexts, Presence};
use crate::encode::{ROWS_AT_ONCE, UNKNOWN};
use crate::error::{DataError, LABEL, SOURCE};
use crate::labels::by_rows;
use crate::schema::{InputColumn, Schema};
use crate::stored::{Bad, Kind, Place, Stored, check_numbers, checked, merge, read_numbers};

/// Some rows of a file, as values.
pub(super) struct Chunk {
    rows: usize,
    /// The values of each column of the schema.
    columns: Vec<Vec<f64>>,
    truth: Option<Truth>,
    /// The rows as records of a text file, and where each of them ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    unlabelled: u64,
    unknown: Vec<u64>,
    unknown_classes: u64,
}

/// Makes values of the columns of a file.
pub(super) struct Chunker<'s> {
    schema: &'s Schema,
    columns: Vec<CellReader<'s>>,
    /// One for each label of the schema.
    labels: Vec<LabelReader<'s>>,
    missing: MissingTexts,
    path: String,
}

/// The labels of some rows, without the rows that have none.
pub(super) struct Labelled {
    pub(super) is_labelled: Vec<bool>,
    pub(super) truth: Option<Truth>,
    pub(super) unknown: u64,
}

impl Labelled {
    /// Rows whose labels are not asked for.
    fn unread(rows: usize) -> Self {
        Self { is_labelled: vec![true; rows], truth: None, unknown: 0 }
    }

    pub(super) fn unlabelled(&self) -> u64 {
        self.is_labelled.iter().map(|is_labelled| u64::from(!is_labelled)).sum()
    }

    /// Leaves out the items of the rows without a label. A row has `width` items.
    pub(super) fn retain<T>(&self, items: &mut Vec<T>, width: usize) {
        if self.is_labelled.contains(&false) {
            let mut item = 0;
            items.retain(|_| {
                let row = item / width.max(1);
                item += 1;
                self.is_labelled.get(row).copied().unwrap_or_default()
            });
        }
    }
}

impl<'s> Chunker<'s> {
    pub(super) fn new(schema: &'s Schema, path: &str) -> Self {
        Self {
            schema,
            columns: schema.columns.iter().map(CellReader::new).collect(),
            labels: schema.labels().map(LabelReader::new).collect(),
            missing: MissingTexts::new(&schema.missing),
            path: path.to_owned(),
        }
    }

    pub(super) const fn schema(&self) -> &'s Schema {
        self.schema
    }

    /// Reads `rows` rows of the columns of the schema, in its order, of which the first is row
    /// `first` of the file. `labels` are those of the schema, or empty if they are not asked for.
    /// `records` are all rows as records of a text file, if the file has named columns.
    pub(super) fn chunk<'a>(
        &self,
        (first, rows): (usize, usize),
        columns: impl Iterator<Item = &'a dyn Stored>,
        labels: &[&dyn Stored],
        records: Option<Vec<Vec<u8>>>,
    ) -> Result<Chunk, DataError> {
        let labelled = match labels {
            [] => Labelled::unread(rows),
            columns => self.labels(columns, first)?,
        };
        let mut chunk = Chunk {
            rows: labelled.is_labelled.iter().filter(|is_labelled| **is_labelled).count(),
            columns: Vec::with_capacity(self.columns.len()),
            text: Vec::new(),
            ends: Vec::new(),
            unlabelled: labelled.unlabelled(),
            unknown: Vec::with_capacity(self.columns.len()),
            unknown_classes: labelled.unknown,
            truth: None,
        };
        let inputs = self.schema.columns.iter().zip(&self.columns);
        for ((column, reader), stored) in inputs.zip(columns) {
            let mut values = self.values(column, reader, stored, rows).map_err(|bad| {
                let place = Place { field: SOURCE, path: &self.path, column: &column.name };
                bad.into_error(place, stored, first)
            })?;
            labelled.retain(&mut values, 1);
            let unknown = values.iter().filter(|value| **value == UNKNOWN).count();
            chunk.unknown.push(to_u64(unknown));
            chunk.columns.push(values);
        }
        if let Some(mut records) = records {
            labelled.retain(&mut records, 1);
            for record in records {
                chunk.text.extend_from_slice(&record);
                chunk.ends.push(chunk.text.len());
            }
        }
        chunk.truth = labelled.truth;
        Ok(chunk)
    }

    /// The values of a column, by what the file and the schema say that it holds.
    fn values(
        &self,
        column: &InputColumn,
        reader: &CellReader<'s>,
        stored: &dyn Stored,
        rows: usize,
    ) -> Result<Vec<f64>, Bad> {
        let is_text = matches!(stored.kind(), Kind::Text | Kind::Spelling);
        if !is_text && column.kind != ColumnType::Category {
            return read_numbers(stored, column.kind, rows);
        }
        let (mut row, mut bad, mut values) = (0, None, Vec::with_capacity(rows));
        stored.texts(&mut |text| {
            if bad.is_none() {
                let cell = text.map(str::trim).filter(|text| !text.is_empty());
                match cell.map_or(Ok(f64::NAN), |c| reader.read(c.as_bytes(), &self.missing)) {
                    Ok(value) => values.push(value),
                    Err(fault) => bad = Some(Bad { row, fault }),
                }
            }
            row += 1;
        });
        bad.map_or(Ok(values), Err)
    }

    /// Reads the labels of rows from a column for each label of the schema, in its order. Rows that
    /// lack one of them are left out. The first row is row `first` of the file.
    pub(super) fn labels(
        &self,
        columns: &[&dyn Stored],
        first: usize,
    ) -> Result<Labelled, DataError> {
        let mut is_labelled = Vec::new();
        for (stored, reader) in columns.iter().zip(&self.labels) {
            merge(&mut is_labelled, self.presence(*stored, reader));
        }
        let (mut classes, mut numbers) = (None, Vec::new());
        let mut counts = ReadCounts::default();
        let labels = self.schema.labels().zip(&self.labels);
        for ((label, reader), stored) in labels.zip(columns) {
            let place = Place { field: LABEL, path: &self.path, column: &label.name };
            if columns.len() > 1 {
                check_numbers(*stored, place)?;
            }
            let read = read_label(*stored, reader, &is_labelled, &mut counts);
            match read.map_err(|bad| bad.into_error(place, *stored, first))? {
                Truth::Classes(all) => classes = Some(all),
                Truth::Values(values) => numbers.push(values),
            }
        }
        let truth = classes.map_or_else(|| Truth::Values(by_rows(&numbers)), Truth::Classes);
        Ok(Labelled { is_labelled, truth: Some(truth), unknown: counts.unknown_classes })
    }

    /// Whether each row has this label.
    fn presence(&self, stored: &dyn Stored, reader: &LabelReader<'s>) -> Vec<bool> {
        let mut is_labelled = Vec::new();
        if is_number(stored) && reader.has_numbers() {
            stored.numbers(&mut |value| is_labelled.push(!value.is_nan()));
        } else {
            stored.texts(&mut |text| {
                let cell = text.map(|text| text.trim().as_bytes()).filter(|text| !text.is_empty());
                let is_present = |cell: &[u8]| {
                    self.missing.presence(cell) != Presence::Missing || reader.knows(cell)
                };
                is_labelled.push(cell.is_some_and(is_present));
            });
        }
        is_labelled
    }
}

fn is_number(stored: &dyn Stored) -> bool {
    matches!(stored.kind(), Kind::Number | Kind::Boolean | Kind::Date)
}

/// Reads one label of the rows that have all of them.
fn read_label(
    stored: &dyn Stored,
    reader: &LabelReader<'_>,
    is_labelled: &[bool],
    counts: &mut ReadCounts,
) -> Result<Truth, Bad> {
    let (mut row, mut bad, mut truth) = (0, None, reader.empty());
    // The row, if it is read.
    let mut next = |bad: &Option<Bad>| {
        let at = row;
        row += 1;
        is_labelled.get(at).is_some_and(|is_read| *is_read && bad.is_none()).then_some(at)
    };
    match &mut truth {
        Truth::Values(values) if is_number(stored) => stored.numbers(&mut |value| {
            let Some(row) = next(&bad) else { return };
            match checked(value) {
                Ok(value) => values.push(value),
                Err(fault) => bad = Some(Bad { row, fault }),
            }
        }),
        Truth::Values(_) | Truth::Classes(_) => stored.texts(&mut |text| {
            let Some(row) = next(&bad) else { return };
            let cell = text.unwrap_or_default().trim().as_bytes();
            if let Err(fault) = reader.push(cell, &mut truth, counts) {
                bad = Some(Bad { row, fault });
            }
        }),
    }
    bad.map_or(Ok(truth), Err)
}

/// The chunks of a file, and the rows of the first one that were returned.
pub(super) struct ChunkTable<'s> {
    pub(super) names: Option<Vec<String>>,
    pub(super) header: Option<Vec<u8>>,
    chunks: Box<dyn Iterator<Item = Result<Chunk, DataError>> + 's>,
    current: Option<Chunk>,
    at: usize,
    schema: &'s Schema,
}

impl<'s> ChunkTable<'s> {
    pub(super) fn new(
        schema: &'s Schema,
        chunks: impl Iterator<Item = Result<Chunk, DataError>> + 's,
    ) -> Self {
        let (chunks, current) = (Box::new(chunks), None);
        Self { names: None, header: None, chunks, current, at: 0, schema }
    }

    /// Adds at most `rows` rows to the batch.
    pub(super) fn read(
        &mut self,
        batch: &mut RowBatch,
        rows: usize,
        counts: &mut ReadCounts,
    ) -> Result<(), DataError> {
        while batch.rows() < rows {
            let Some(chunk) = self.current.as_ref().filter(|chunk| self.at < chunk.rows) else {
                let Some(chunk) = self.chunks.next() else { break };
                let chunk = chunk?;
                counts.unlabelled += chunk.unlabelled;
                counts.unknown_classes += chunk.unknown_classes;
                for (sum, unknown) in counts.unknown_categories.iter_mut().zip(&chunk.unknown) {
                    *sum += unknown;
                }
                (self.current, self.at) = (Some(chunk), 0);
                continue;
            };
            let end = chunk.rows.min(self.at + (rows - batch.rows()).min(ROWS_AT_ONCE));
            chunk.copy(self.at..end, batch, self.schema);
            self.at = end;
        }
        Ok(())
    }
}

impl Chunk {
    fn copy(&self, rows: Range<usize>, batch: &mut RowBatch, schema: &Schema) {
        match (&self.truth, &mut batch.truth) {
            (Some(Truth::Classes(all)), Some(Truth::Classes(classes))) => {
                classes.extend_from_slice(all.get(rows.clone()).unwrap_or_default());
            }
            (Some(Truth::Values(all)), Some(Truth::Values(values))) => {
                let outputs = schema.labels().count();
                let rows = rows.start * outputs..rows.end * outputs;
                values.extend_from_slice(all.get(rows).unwrap_or_default());
            }
            // Both are of the label's kind, or neither is asked for.
            (None | Some(Truth::Classes(_) | Truth::Values(_)), _) => {}
        }
        let mut start =
            rows.start.checked_sub(1).and_then(|row| self.ends.get(row)).copied().unwrap_or(0);
        for &end in self.ends.get(rows.clone()).unwrap_or_default() {
            batch.push_record(self.text.get(start..end).unwrap_or_default());
            start = end;
        }
        let out = batch.grow(rows.len());
        let columns = self.columns.iter();
        let columns = columns.map(|column| column.get(rows.clone()).unwrap_or_default());
        schema.encoder.encode_columns(columns, out);
    }
}
