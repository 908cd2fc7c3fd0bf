//! Opens a file, and reads some of its columns.

use std::fs;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use caviar_common::numbers::to_usize;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::damaged;
use super::envelope::Envelope;
use super::guard::without_panic;
use super::pages::{check_nesting, check_pages};
use crate::error::{DataError, SOURCE};
use crate::format::Format;
use crate::limits::{MAX_FEATURES, MAX_VALUES};

/// The first bytes of Arrow's format for files.
const ARROW_MAGIC: &[u8] = b"ARROW1";
/// The first bytes of the first version of Feather, which is another format.
const FEATHER_1_MAGIC: &[u8] = b"FEA1";
/// Rows that are decoded at a time. A damaged file can claim much memory for each of them, so they
/// are few.
const BATCH_ROWS: usize = 4096;
/// Most memory for a table in Arrow's form, in bytes: as much as the most numbers take.
const MAX_BYTES: usize = MAX_VALUES.saturating_mul(size_of::<f64>());

/// An open file whose schema was read.
pub(crate) struct File {
    path: String,
    format: Format,
    schema: SchemaRef,
    reader: Reader,
}

enum Reader {
    Parquet(Box<ParquetRecordBatchReaderBuilder<fs::File>>),
    /// Arrow's formats, which are opened again once the columns are known.
    Arrow {
        is_stream: bool,
    },
}

impl File {
    pub(crate) fn open(path: &str, format: Format) -> Result<Self, DataError> {
        let mut file = open(path)?;
        if format == Format::Parquet {
            let builder = guarded(path, format, || {
                check_nesting(&mut file)?;
                ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())
            })?;
            let rows = builder.metadata().file_metadata().num_rows();
            let rows = u64::try_from(rows).map_or(usize::MAX, to_usize);
            let schema = builder.schema().clone();
            if rows > MAX_VALUES || schema.fields().len() > MAX_FEATURES + 1 {
                return Err(DataError::TooLarge { path: path.to_owned() });
            }
            let (path, reader) = (path.to_owned(), Reader::Parquet(Box::new(builder)));
            return Ok(Self { path, format, schema, reader });
        }
        let mut magic = Vec::new();
        let read = file.by_ref().take(8).read_to_end(&mut magic);
        read.and_then(|_| file.seek(SeekFrom::Start(0))).map_err(|source| DataError::Read {
            field: SOURCE,
            path: path.to_owned(),
            at: 0,
            source,
        })?;
        if magic.is_empty() {
            return Err(DataError::Empty { field: SOURCE, path: path.to_owned() });
        }
        if magic.starts_with(FEATHER_1_MAGIC) {
            let what = "it has version 1 of Feather: write it again with version 2";
            return Err(damaged(path, format, what));
        }
        let is_stream = !magic.starts_with(ARROW_MAGIC);
        check_sizes(&mut file, path, format, is_stream)?;
        let reader = arrow(path, format, is_stream, None)?;
        let (path, schema) = (path.to_owned(), reader.schema());
        Ok(Self { path, format, schema, reader: Reader::Arrow { is_stream } })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Reads the columns at these indices, in their order, which ascends.
    pub(crate) fn read(self, columns: &[usize]) -> Result<Vec<RecordBatch>, DataError> {
        let path = self.path.clone();
        let mut stream = self.stream(columns)?;
        let (mut batches, mut rows, mut bytes) = (Vec::new(), 0_usize, 0_usize);
        while let Some(batch) = stream.next()? {
            rows = rows.saturating_add(batch.num_rows());
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if rows.saturating_mul(columns.len()) > MAX_VALUES || bytes > MAX_BYTES {
                return Err(DataError::TooLarge { path });
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Reads the columns at these indices batch by batch.
    pub(crate) fn stream(self, columns: &[usize]) -> Result<Stream, DataError> {
        let Self { path, format, reader, schema } = self;
        let reader: Box<dyn RecordBatchReader> = match reader {
            Reader::Parquet(builder) => {
                let pages = open(&path)?;
                let copied = |column: &usize| {
                    let field = schema.fields().get(*column);
                    field.is_some_and(|field| is_copied(field.data_type()))
                };
                let row_bytes = guarded(&path, format, || {
                    check_pages(pages, builder.metadata(), columns, &copied)
                })?;
                let rows = MAX_BYTES.checked_div(to_usize(row_bytes)).unwrap_or(BATCH_ROWS);
                let roots = columns.iter().copied();
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                let builder = builder.with_projection(mask);
                let builder = builder.with_batch_size(rows.clamp(1, BATCH_ROWS));
                Box::new(guarded(&path, format, || {
                    builder.build().map_err(|error| error.to_string())
                })?)
            }
            Reader::Arrow { is_stream } => arrow(&path, format, is_stream, Some(columns.to_vec()))?,
        };
        Ok(Stream { path, format, reader })
    }
}

/// The batches of rows of some columns.
pub(crate) struct Stream {
    path: String,
    format: Format,
    reader: Box<dyn RecordBatchReader>,
}

impl Stream {
    /// The next rows; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, DataError> {
        let Self { path, format, reader } = self;
        guarded(path, *format, || reader.next().transpose().map_err(|error| error.to_string()))
    }
}

/// Checks the sizes that a file or a stream of Arrow states.
fn check_sizes(
    file: &mut fs::File,
    path: &str,
    format: Format,
    is_stream: bool,
) -> Result<(), DataError> {
    guarded(path, format, || {
        let file = BufReader::with_capacity(1 << 12, file);
        let mut envelope = Envelope::new(file, MAX_BYTES).map_err(|error| error.to_string())?;
        if is_stream { envelope.check_stream() } else { envelope.check_file() }
    })
}

/// Opens a file or a stream of Arrow. `columns` are those that are decoded; `None` for all.
fn arrow(
    path: &str,
    format: Format,
    is_stream: bool,
    columns: Option<Vec<usize>>,
) -> Result<Box<dyn RecordBatchReader>, DataError> {
    let file = BufReader::with_capacity(1 << 16, open(path)?);
    guarded(path, format, || {
        let boxed: Result<Box<dyn RecordBatchReader>, ArrowError> = if is_stream {
            StreamReader::try_new(file, columns).map(boxed)
        } else {
            FileReader::try_new(file, columns).map(boxed)
        };
        boxed.map_err(|error| error.to_string())
    })
}

fn boxed(reader: impl RecordBatchReader + 'static) -> Box<dyn RecordBatchReader> {
    Box::new(reader)
}

fn open(path: &str) -> Result<fs::File, DataError> {
    let failed = |source| DataError::Open { field: SOURCE, path: path.to_owned(), source };
    // Checked before opening: opening a pipe without a writer would block indefinitely.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a directory, a pipe or a device: expected a regular file",
        )));
    }
    fs::File::open(path).map_err(failed)
}

/// Whether the reader copies each text of such a column, also one that a page has once for many
/// rows. Views and dictionaries share it.
const fn is_copied(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8)
}

/// Calls one of the crates that read the formats. A panic in it, which a damaged file can cause,
/// becomes an error.
fn guarded<T>(
    path: &str,
    format: Format,
    read: impl FnOnce() -> Result<T, String>,
) -> Result<T, DataError> {
    let result =
        without_panic(read).unwrap_or_else(|| Err("its parts do not fit each other".to_owned()));
    result.map_err(|error| damaged(path, format, &error))
}
