//! The rows of a text file, read in blocks.

use super::ReadOptions;
use super::batch::RowBatch;
use super::cells::{CellReader, LabelReader};
use super::counts::ReadCounts;
use super::places::{Places, check_table};
use crate::delimited::{MissingTexts, Presence, Records, records};
use crate::encode::{ROWS_AT_ONCE, UNKNOWN};
use crate::error::{DataError, LABEL, LABELS, SOURCE, shown};
use crate::fault::{BadCell, Fault};
use crate::schema::Schema;
use crate::schema_error::SchemaError;
use crate::text::TextSource;

/// Most values that are parsed before they are encoded, unless one row has more: 1 MiB, so that
/// they stay in the cache.
const VALUES_AT_ONCE: usize = 1 << 17;

/// An open text file.
pub(super) struct TextTable<'s> {
    schema: &'s Schema,
    records: Records,
    places: Places,
    header: Option<Vec<u8>>,
    /// Whether the current record is a row that was not read: the first one of a file without a
    /// header.
    is_pending: bool,
    missing: MissingTexts,
    columns: Vec<CellReader<'s>>,
    /// Where each label is, and how it is read; empty if they are not needed.
    labels: Vec<(usize, LabelReader<'s>)>,
    /// The values of the rows that are parsed, `[columns, stride]`.
    values: Vec<f64>,
    stride: usize,
}

impl<'s> TextTable<'s> {
    pub(super) fn open(
        schema: &'s Schema,
        path: &str,
        source: &TextSource,
        options: &ReadOptions,
    ) -> Result<Self, DataError> {
        check_table(schema, path)?;
        if options.labels.is_some() {
            let remedy = "labels is for IDX and NPY files: remove it";
            let (field, path) = (LABELS, path.to_owned());
            return Err(SchemaError::Superfluous { field, path, remedy }.into());
        }
        let is_bad = |c: &char| !c.is_ascii() || "\"\n\r".contains(*c);
        if let Some(delimiter) = options.delimiter.filter(is_bad) {
            return Err(SchemaError::BadDelimiter { delimiter }.into());
        }
        let mut records = records(source, path, options.delimiter)?;
        if !records.advance()? {
            return Err(DataError::Empty { field: SOURCE, path: path.to_owned() });
        }
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
        let first: Vec<String> = records.cells().map(text).collect();
        let places = Places::of_record(&first, schema, options, (path, records.line()))?;
        let header = places.has_header.then(|| records.record().to_vec());
        let columns: Vec<CellReader<'s>> = schema.columns.iter().map(CellReader::new).collect();
        let readers = schema.labels().map(LabelReader::new);
        let stride = (VALUES_AT_ONCE / columns.len().max(1)).clamp(1, ROWS_AT_ONCE);
        Ok(Self {
            labels: places.labels.iter().copied().zip(readers).collect(),
            is_pending: header.is_none(),
            missing: MissingTexts::new(&schema.missing),
            values: vec![0.0; columns.len() * stride],
            schema,
            records,
            places,
            header,
            columns,
            stride,
        })
    }

    pub(super) fn names(&self) -> Option<&[String]> {
        self.header.as_ref().map(|_| self.places.names.as_slice())
    }

    pub(super) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    pub(super) const fn delimiter(&self) -> u8 {
        self.records.delimiter()
    }

    /// Adds at most `rows` rows to the batch.
    pub(super) fn read(
        &mut self,
        batch: &mut RowBatch,
        rows: usize,
        counts: &mut ReadCounts,
    ) -> Result<(), DataError> {
        while batch.rows < rows {
            let wanted = self.stride.min(rows - batch.rows);
            let parsed = self.parse(batch, wanted, counts)?;
            let stride = self.stride.max(1);
            let values = self.values.chunks(stride).map(|c| c.get(..parsed).unwrap_or_default());
            self.schema.encoder.encode_columns(values, batch.grow(parsed));
            if parsed < wanted {
                break;
            }
        }
        Ok(())
    }

    /// Parses at most `wanted` rows, which is fewer only at the end of the file.
    fn parse(
        &mut self,
        batch: &mut RowBatch,
        wanted: usize,
        counts: &mut ReadCounts,
    ) -> Result<usize, DataError> {
        let mut parsed = 0;
        while parsed < wanted {
            if !std::mem::take(&mut self.is_pending) && !self.records.advance()? {
                break;
            }
            let (found, expected) = (self.records.count(), self.places.names.len());
            if found != expected {
                let (path, line) = (self.records.path().to_owned(), self.records.line());
                return Err(DataError::Ragged { path, line, found, expected });
            }
            let mut cells = self.labels.iter().map(|(place, _)| self.records.cell(*place));
            if cells.any(|cell| self.missing.presence(cell) == Presence::Missing) {
                counts.unlabelled += 1;
                continue;
            }
            if let Some(truth) = &mut batch.truth {
                for (place, label) in &self.labels {
                    label
                        .push(self.records.cell(*place), truth, counts)
                        .map_err(|fault| self.bad(LABEL, *place, fault))?;
                }
            }
            self.parse_row(parsed, counts)?;
            batch.push_record(self.records.record());
            parsed += 1;
        }
        Ok(parsed)
    }

    /// Parses the inputs of the current record as row `row` of the values.
    fn parse_row(&mut self, row: usize, counts: &mut ReadCounts) -> Result<(), DataError> {
        let values = self.values.chunks_mut(self.stride.max(1));
        let places = self.places.inputs.iter().zip(&self.columns).zip(values);
        for (((&place, column), values), unknown) in places.zip(&mut counts.unknown_categories) {
            let value = match column.read(self.records.cell(place), &self.missing) {
                Ok(value) => value,
                Err(fault) => return Err(self.bad(SOURCE, place, fault)),
            };
            *unknown += u64::from(value == UNKNOWN);
            if let Some(slot) = values.get_mut(row) {
                *slot = value;
            }
        }
        Ok(())
    }

    fn bad(&self, field: &'static str, place: usize, fault: Fault) -> DataError {
        let name = self.places.names.get(place).map(|name| shown(name));
        let cell = BadCell {
            field,
            path: self.records.path().to_owned(),
            line: self.records.line(),
            column: name.unwrap_or_default(),
            value: shown(&String::from_utf8_lossy(self.records.cell(place))),
            fault,
        };
        DataError::Cell { cell: Box::new(cell), more: 0 }
    }
}
