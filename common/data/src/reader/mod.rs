//! Reads later tables as the inputs of a model, row by row, in memory that does not grow with the
//! table.
//!
//! [`SchemaReader`] finds the columns that a [`Schema`] names, reads their cells by the rules of
//! the training, and encodes them with the same code. Columns that the model does not use are kept
//! as text and not looked at.
//!
//! Text files, IDX files and, batch by batch, Parquet and Arrow files are streamed. NumPy's arrays
//! and LIBSVM files are read into memory first.

mod batch;
mod cells;
mod chunks;
#[cfg(feature = "arrow")]
mod columnar;
mod counts;
mod files;
mod images;
mod places;
mod table;

pub use self::batch::{RowBatch, Truth};
pub use self::counts::ReadCounts;

use caviar_common::numbers::to_u64;

use self::cells::empty_truth;
use self::chunks::ChunkTable;
use self::images::ImageTable;
use self::table::TextTable;
use crate::error::{DataError, LABEL, SOURCE};
use crate::format::Format;
use crate::load::digits_source;
use crate::schema::Schema;
use crate::schema_error::SchemaError;
use crate::text::TextSource;

/// The name of the data that is part of the program.
const DIGITS: &str = "builtin:digits";

/// What a user can say about a file whose rows a model reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The character between two cells of a text file; detected if it is `None`.
    pub delimiter: Option<char>,
    /// Whether the first row of a text file names the columns. `None` for a header, unless the
    /// model was trained on a file without one and the first row has none of its names.
    pub header: Option<bool>,
    /// Whether the labels are read too. Rows without one are left out then.
    pub needs_label: bool,
    /// The path of the labels of an IDX or NPY file, if they are needed.
    pub labels: Option<String>,
}

/// Reads the rows of a file as the inputs of a model, batch by batch.
pub struct SchemaReader<'s> {
    schema: &'s Schema,
    needs_label: bool,
    rows: Source<'s>,
    counts: ReadCounts,
}

/// Where the rows come from.
enum Source<'s> {
    Text(Box<TextTable<'s>>),
    Images(ImageTable<'s>),
    Chunks(ChunkTable<'s>),
}

impl<'s> SchemaReader<'s> {
    /// Opens a file, and finds the columns that the model needs. A text file is read once to its
    /// end, to find out its encoding.
    ///
    /// # Errors
    /// The file cannot be opened, its format is not known, or it lacks a column that the model
    /// needs; see [`DataError`].
    pub fn open(schema: &'s Schema, path: &str, options: &ReadOptions) -> Result<Self, DataError> {
        let text = |source| TextTable::open(schema, path, &source, options).map(Box::new);
        if path == DIGITS {
            let rows = Source::Text(text(digits_source(path)?)?);
            return Ok(Self::of(schema, rows, options));
        }
        let rows = match Format::of_file(path, SOURCE)? {
            Format::Text => Source::Text(text(TextSource::detect(path)?)?),
            Format::Idx | Format::Sparse
                if options.needs_label && !schema.more_labels.is_empty() =>
            {
                let remedy = "has one label for each row, and the model predicts several: write \
                              the rows as CSV, or as arrays in an NPZ file";
                let (field, path) = (LABEL, path.to_owned());
                return Err(SchemaError::Superfluous { field, path, remedy }.into());
            }
            format @ (Format::Idx
            | Format::Npy
            | Format::Npz
            | Format::Sparse
            | Format::Parquet
            | Format::Arrow) => files::open(schema, path, options, format)?,
        };
        Ok(Self::of(schema, rows, options))
    }

    fn of(schema: &'s Schema, rows: Source<'s>, options: &ReadOptions) -> Self {
        let unknown_categories = vec![0; schema.columns.len()];
        let counts = ReadCounts { unknown_categories, ..ReadCounts::default() };
        Self { schema, needs_label: options.needs_label, rows, counts }
    }

    /// The names of all columns of the file, in its order. `None` if it has no header.
    pub fn names(&self) -> Option<&[String]> {
        match &self.rows {
            Source::Text(table) => table.names(),
            Source::Images(_) => None,
            Source::Chunks(table) => table.names.as_deref(),
        }
    }

    /// The header as it is in the file, without its line end. `None` if the file has none.
    pub fn header(&self) -> Option<&[u8]> {
        match &self.rows {
            Source::Text(table) => table.header(),
            Source::Images(_) => None,
            Source::Chunks(table) => table.header.as_deref(),
        }
    }

    /// The character between the cells of the [records](RowBatch::record), which is ASCII.
    pub fn delimiter(&self) -> u8 {
        match &self.rows {
            Source::Text(table) => table.delimiter(),
            Source::Images(_) | Source::Chunks(_) => b',',
        }
    }

    /// What was counted so far.
    pub const fn counts(&self) -> &ReadCounts {
        &self.counts
    }

    /// Replaces the content of the batch by the next rows, at most `rows` of them. Returns their
    /// number, which is 0 only at the end of the file or if `rows` is.
    ///
    /// # Errors
    /// A row that does not fit the schema, or the first thing in the file that is damaged. The
    /// reader has no further rows then, and the content of the batch is not to be used.
    pub fn read(&mut self, batch: &mut RowBatch, rows: usize) -> Result<usize, DataError> {
        batch.clear(self.schema.width(), empty_truth(self.schema, self.needs_label));
        match &mut self.rows {
            Source::Text(table) => table.read(batch, rows, &mut self.counts)?,
            Source::Images(table) => table.read(batch, rows, &mut self.counts)?,
            Source::Chunks(table) => table.read(batch, rows, &mut self.counts)?,
        }
        self.counts.rows += to_u64(batch.rows());
        Ok(batch.rows())
    }
}
