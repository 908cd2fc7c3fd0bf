//! Finds and opens the data that a spec names, and chooses the reader.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use caviar_common::data::{DataSpec, DataSummary};
use flate2::bufread::MultiGzDecoder;

use crate::arrays;
#[cfg(feature = "arrow")]
use crate::columnar;
use crate::content::Content;
use crate::dataset::{Dataset, Parts};
use crate::delimited;
use crate::error::{
    DELIMITER, DataError, HEADER, LABEL, LABELS, MISSING, SOURCE, TEST_SOURCE, VALIDATION_SOURCE,
};
use crate::file_error::FileError;
use crate::format::Format;
use crate::idx;
use crate::memory::MemoryBudget;
use crate::sparse;
use crate::split::split;
use crate::splits::Splits;
use crate::table::Table;
use crate::text::TextSource;

/// The bundled digits, a gzipped CSV file. `digits.LICENSE` states their origin and licence.
const DIGITS: &[u8] = include_bytes!("digits.csv.gz");
/// The name of their label column.
const DIGITS_LABEL: &str = "digit";

/// Reads the data that `spec` names. A relative path is relative to the working directory of the
/// process.
///
/// # Errors
/// What is wrong with the source, its files or their content; see [`DataError`].
pub fn load(spec: &DataSpec) -> Result<Dataset, DataError> {
    load_within(spec, MemoryBudget::DEFAULT)
}

/// Does what [`load`] does, with another limit for the part of a table that is in memory. The
/// result is the same.
///
/// # Errors
/// Those of [`load`].
pub fn load_within(spec: &DataSpec, memory: MemoryBudget) -> Result<Dataset, DataError> {
    let path = spec.source.as_str();
    match path.strip_prefix("builtin:") {
        Some("digits") => digits(spec),
        Some(name) => Err(DataError::UnknownBuiltin { name: name.to_owned() }),
        None => {
            let (content, label_field) = read(spec, memory)?;
            content.into_dataset(spec, label_field)
        }
    }
}

/// Reads a file. Also returns the field of the sweep file that names its labels.
pub(crate) fn read(
    spec: &DataSpec,
    memory: MemoryBudget,
) -> Result<(Content, &'static str), DataError> {
    let format = Format::of_file(&spec.source, SOURCE)?;
    refuse(spec, format)?;
    Ok(match format {
        Format::Text => {
            let source = TextSource::detect(&spec.source)?;
            let labels: Vec<&str> = spec.label_names().collect();
            let table = delimited::read(&source, spec, &labels, memory)?;
            (Content::Table(table), LABEL)
        }
        Format::Sparse => (Content::Table(sparse::read(spec)?), SOURCE),
        Format::Idx => (Content::Images(idx_files(spec)?), LABELS),
        Format::Npy => (arrays::read_files(spec)?, LABELS),
        Format::Npz => (arrays::read_archive(spec)?, LABEL),
        Format::Parquet | Format::Arrow => (Content::Table(columnar_file(spec, format)?), LABEL),
    })
}

/// The names of the columns of a table that can be its label, and whether they are in the file.
pub(crate) fn column_names(spec: &DataSpec) -> Result<(Vec<String>, bool), DataError> {
    let format = Format::of_file(&spec.source, SOURCE)?;
    refuse(spec, format)?;
    Ok(match format {
        Format::Text => {
            let header = delimited::header(&TextSource::detect(&spec.source)?, spec)?;
            (header.names, header.is_first_row)
        }
        Format::Sparse => (sparse::column_names(spec)?, true),
        Format::Npz => (arrays::array_names(&spec.source)?, true),
        Format::Idx | Format::Npy => {
            return Err(FileError::TwoFiles { path: spec.source.clone() }.into());
        }
        Format::Parquet | Format::Arrow => (columnar_names(spec, format)?, true),
    })
}

#[cfg(feature = "arrow")]
fn columnar_file(spec: &DataSpec, format: Format) -> Result<Table, DataError> {
    columnar::read(spec, format)
}

#[cfg(not(feature = "arrow"))]
fn columnar_file(spec: &DataSpec, format: Format) -> Result<Table, DataError> {
    Err(not_built(&spec.source, format))
}

#[cfg(feature = "arrow")]
fn columnar_names(spec: &DataSpec, format: Format) -> Result<Vec<String>, DataError> {
    columnar::column_names(spec, format)
}

#[cfg(not(feature = "arrow"))]
fn columnar_names(spec: &DataSpec, format: Format) -> Result<Vec<String>, DataError> {
    Err(not_built(&spec.source, format))
}

#[cfg(not(feature = "arrow"))]
pub(crate) fn not_built(path: &str, format: Format) -> DataError {
    let format = if format == Format::Parquet { "Parquet" } else { "Arrow" };
    FileError::NotBuilt { path: path.to_owned(), format }.into()
}

/// Loads, splits and summarises the data: all that a worker needs before it trains.
///
/// # Errors
/// Those of [`load`] and [`split()`].
pub fn prepare(spec: &DataSpec, sweep_seed: u64) -> Result<(Splits, DataSummary), DataError> {
    let dataset = load(spec)?;
    let splits = split(&dataset, spec, sweep_seed)?;
    let summary = dataset.summary(spec, sweep_seed)?;
    Ok((splits, summary))
}

fn digits(spec: &DataSpec) -> Result<Dataset, DataError> {
    let other_label = spec.label.clone().filter(|label| label != "label");
    forbid(
        &other_label,
        LABEL,
        "the label column of builtin:digits is called \"label\": expected that, or remove label",
    )?;
    forbid(&spec.labels, LABELS, "builtin:digits includes its labels: remove labels")?;
    let several = spec.more_labels.first().cloned();
    forbid(&several, LABEL, "builtin:digits has one label: remove label")?;
    let source = digits_source(&spec.source)?;
    // Its constant pixels at the border are no news to anybody, nor that it is a gzip file.
    let table = delimited::read(&source, spec, &[DIGITS_LABEL], MemoryBudget::DEFAULT)?;
    Ok(Dataset::from_table(table, spec, SOURCE)?.without_notes())
}

/// The text of the bundled digits, which errors call `name`.
pub(crate) fn digits_source(name: &str) -> Result<TextSource, DataError> {
    Ok(TextSource::from_bytes(name, DIGITS)?)
}

fn idx_files(spec: &DataSpec) -> Result<Parts, DataError> {
    let Some(labels) = &spec.labels else {
        return Err(DataError::LabelsNotGiven { path: spec.source.clone() });
    };
    let images = idx::Input { reader: open(&spec.source, SOURCE)?, path: &spec.source };
    let labels = idx::Input { reader: open(labels, LABELS)?, path: labels };
    idx::read(images, labels, spec.task)
}

/// Refuses the fields that do not apply to a format.
fn refuse(spec: &DataSpec, format: Format) -> Result<(), DataError> {
    match format {
        Format::Text | Format::Npz | Format::Parquet | Format::Arrow => forbid(
            &spec.labels,
            LABELS,
            "labels is for IDX and NPY files: use label for the name of the label column of a \
             table, or of an array of an NPZ file",
        )?,
        Format::Idx | Format::Npy => forbid(
            &spec.label_names().next().map(str::to_owned),
            LABEL,
            "label is for tables: use labels for the path of the label file of an IDX or NPY file",
        )?,
        Format::Sparse => {
            let other = spec.label.clone().filter(|label| label != sparse::LABEL_NAME);
            forbid(&other, LABEL, "a LIBSVM file has one label in each line: remove label")?;
            forbid(&spec.labels, LABELS, "a LIBSVM file includes its labels: remove labels")?;
            let several = spec.more_labels.first().cloned();
            let remedy = "a LIBSVM file has one label in each line: remove label, or write the \
                          table as CSV";
            forbid(&several, LABEL, remedy)?;
        }
    }
    match format {
        Format::Text => Ok(()),
        Format::Idx => {
            refuse_text_fields(spec)?;
            refuse_given_files(spec)?;
            arrays::refuse_columns(spec)
        }
        Format::Npy => {
            refuse_text_fields(spec)?;
            refuse_given_files(spec)
        }
        Format::Npz | Format::Sparse | Format::Parquet | Format::Arrow => refuse_text_fields(spec),
    }
}

/// Refuses the fields that only text files have.
fn refuse_text_fields(spec: &DataSpec) -> Result<(), DataError> {
    let refused = |field, remedy| Err(DataError::Superfluous { field, remedy });
    let table = &spec.table;
    if table.delimiter.is_some() {
        return refused(DELIMITER, "delimiter is for text tables such as CSV: remove it");
    }
    if table.header.is_some() {
        return refused(HEADER, "header is for text tables such as CSV: remove it");
    }
    if !table.missing.is_empty() {
        let remedy = "missing is for text tables such as CSV: this format has missing values of \
                      its own, so remove it";
        return refused(MISSING, remedy);
    }
    Ok(())
}

/// Refuses files with given splits for a format whose labels are in files of their own.
fn refuse_given_files(spec: &DataSpec) -> Result<(), DataError> {
    forbid(
        &spec.split.validation_source,
        VALIDATION_SOURCE,
        "validation_source is for files that include their labels: save the arrays as NPZ files, \
         or remove it and set validation",
    )?;
    forbid(
        &spec.split.test_source,
        TEST_SOURCE,
        "test_source is for files that include their labels: save the arrays as NPZ files, or \
         remove it and set test",
    )
}

/// Refuses a field that does not apply to this source, because its author expects an effect.
fn forbid(
    value: &Option<String>,
    field: &'static str,
    remedy: &'static str,
) -> Result<(), DataError> {
    value.as_ref().map_or(Ok(()), |_| Err(DataError::Superfluous { field, remedy }))
}

/// Opens a file, and decompresses it if its first two bytes are those of gzip, whatever its name.
pub(crate) fn open(path: &str, field: &'static str) -> Result<Box<dyn Read>, DataError> {
    let failed = |source| DataError::Open { field, path: path.to_owned(), source };
    // Checked before opening: opening a pipe without a writer would block indefinitely.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a directory, a pipe or a device: expected a regular file",
        )));
    }
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let is_compressed = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}
