//! The rows of a Parquet or Arrow file, batch by batch.

use super::chunks::{Chunk, ChunkTable, Chunker};
use super::places::{Places, check_table};
use crate::columnar::{Batches, File, Stream, is_read, names};
use crate::error::{DataError, shown};
use crate::file_error::FileError;
use crate::format::Format;
use crate::schema::Schema;
use crate::stored::Stored;

/// A file whose batches become chunks.
struct Table<'s> {
    chunker: Chunker<'s>,
    stream: Stream,
    /// Where a batch has each column of the schema.
    inputs: Vec<usize>,
    /// Where it has each label, if they are needed.
    labels: Vec<usize>,
    /// The number of columns of a batch.
    width: usize,
    /// The rows of the batches before.
    rows: usize,
}

/// Opens a file. Its columns of a type that is not read, such as lists, are not in the records.
pub(super) fn open<'s>(
    schema: &'s Schema,
    path: &str,
    needs_label: bool,
    format: Format,
) -> Result<ChunkTable<'s>, DataError> {
    check_table(schema, path)?;
    let file = File::open(path, format)?;
    let arrow = file.schema();
    let all = names(&arrow);
    let read: Vec<usize> = arrow
        .fields()
        .iter()
        .enumerate()
        .filter_map(|(index, field)| is_read(field.data_type()).then_some(index))
        .collect();
    let names: Vec<String> = read.iter().filter_map(|&index| all.get(index).cloned()).collect();
    let places = Places::find(names, schema, needs_label, path)?;
    if let Some(name) = places.twice().and_then(|index| places.names.get(index)) {
        let (path, name) = (path.to_owned(), shown(name));
        return Err(FileError::NameTwice { path, name }.into());
    }
    let mut header = Vec::new();
    for (index, name) in places.names.iter().enumerate() {
        push_cell(&mut header, index > 0, name);
    }
    let (names, inputs, labels) = (places.names, places.inputs, places.labels);
    let chunker = Chunker::new(schema, path);
    let stream = file.stream(&read)?;
    let mut table = Table { chunker, stream, inputs, labels, width: names.len(), rows: 0 };
    let chunks = std::iter::from_fn(move || table.next().transpose());
    let mut table = ChunkTable::new(schema, chunks);
    (table.names, table.header) = (Some(names), Some(header));
    Ok(table)
}

impl Table<'_> {
    fn next(&mut self) -> Result<Option<Chunk>, DataError> {
        let Some(batch) = self.stream.next()? else { return Ok(None) };
        let (first, rows) = (self.rows, batch.num_rows());
        self.rows += rows;
        let batches = [batch];
        let columns: Vec<Batches<'_>> =
            (0..self.width).map(|index| Batches::new(&batches, index)).collect();
        let at = |places: &[usize]| -> Vec<&dyn Stored> {
            places.iter().filter_map(|&place| columns.get(place)).map(of_dyn).collect()
        };
        let (inputs, labels) = (at(&self.inputs), at(&self.labels));
        let records = records(&columns, rows);
        let inputs = inputs.into_iter();
        self.chunker.chunk((first, rows), inputs, &labels, Some(records)).map(Some)
    }
}

fn of_dyn<'a>(column: &'a Batches<'_>) -> &'a dyn Stored {
    column
}

/// The rows of a batch as records of a text file.
fn records(columns: &[Batches<'_>], rows: usize) -> Vec<Vec<u8>> {
    let mut records = vec![Vec::new(); rows];
    for (index, column) in columns.iter().enumerate() {
        let mut rest = records.iter_mut();
        column.texts(&mut |text| {
            if let Some(record) = rest.next() {
                push_cell(record, index > 0, text.unwrap_or_default());
            }
        });
    }
    records
}

/// Adds a cell, in quotes if it needs them (RFC 4180).
fn push_cell(record: &mut Vec<u8>, has_delimiter: bool, cell: &str) {
    if has_delimiter {
        record.push(b',');
    }
    let needs_quotes = cell.contains([',', '"', '\n', '\r']) || cell.trim() != cell;
    if needs_quotes {
        record.extend_from_slice(format!("\"{}\"", cell.replace('"', "\"\"")).as_bytes());
    } else {
        record.extend_from_slice(cell.as_bytes());
    }
}
