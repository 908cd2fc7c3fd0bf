//! Finds and opens the data that a spec names, and chooses the reader.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use caviar_common::data::{DataSpec, DataSummary, TableSpec};
use flate2::bufread::MultiGzDecoder;

use crate::dataset::Dataset;
use crate::delimited;
use crate::error::{DataError, LABEL, LABELS, SOURCE};
use crate::examples::Splits;
use crate::idx;
use crate::split::split;
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
    let path = spec.source.as_str();
    match path.strip_prefix("builtin:") {
        Some("digits") => digits(spec),
        Some(name) => Err(DataError::UnknownBuiltin { name: name.to_owned() }),
        None if is_idx(path) => idx_files(spec),
        None if is_text(path) => text_file(spec),
        None => Err(DataError::UnknownFormat { path: path.to_owned() }),
    }
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
    let source = TextSource::from_bytes(&spec.source, DIGITS)?;
    // Its constant pixels at the border are no news to anybody, nor that it is a gzip file.
    let table = delimited::read(&source, spec, Some(DIGITS_LABEL))?;
    Ok(Dataset::from_table(table, spec, SOURCE)?.without_notes())
}

fn text_file(spec: &DataSpec) -> Result<Dataset, DataError> {
    let source = text_source(spec)?;
    let table = delimited::read(&source, spec, spec.label.as_deref())?;
    Dataset::from_table(table, spec, LABEL)
}

/// The text of a table.
pub(crate) fn text_source(spec: &DataSpec) -> Result<TextSource, DataError> {
    forbid(
        &spec.labels,
        LABELS,
        "labels is for IDX files: use label for the name of the label column of a table",
    )?;
    if !is_text(&spec.source) {
        return Err(DataError::UnknownFormat { path: spec.source.clone() });
    }
    Ok(TextSource::detect(&spec.source)?)
}

fn idx_files(spec: &DataSpec) -> Result<Dataset, DataError> {
    forbid(
        &spec.label,
        LABEL,
        "label is for tables: use labels for the path of the label file of an IDX file",
    )?;
    if spec.table != TableSpec::default() {
        return Err(DataError::Superfluous {
            field: SOURCE,
            remedy: "delimiter, header, columns, ignore, types and missing are for tables: an IDX \
                     file has none of them",
        });
    }
    let Some(labels) = &spec.labels else {
        return Err(DataError::LabelsNotGiven { path: spec.source.clone() });
    };
    let images = idx::Input { reader: open(&spec.source, SOURCE)?, path: &spec.source };
    let labels = idx::Input { reader: open(labels, LABELS)?, path: labels };
    let parts = idx::read(images, labels, spec.task)?;
    Dataset::new(parts, &spec.source, LABELS)
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
fn open(path: &str, field: &'static str) -> Result<Box<dyn Read>, DataError> {
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

/// The endings of the names of text files, after that of a compression. `.data` is common in the
/// UCI repository.
const TEXT_ENDINGS: [&str; 6] = [".csv", ".tsv", ".tab", ".txt", ".dat", ".data"];
/// The endings of compressed files. `.zip` can also replace the ending of the text.
const COMPRESSED_ENDINGS: [&str; 4] = [".gz", ".zst", ".zip", ".bgz"];

fn is_text(path: &str) -> bool {
    let name = plain_name(path);
    TEXT_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || path.to_lowercase().ends_with(".zip")
}

/// Common names of IDX files are `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and
/// `train.idx`.
fn is_idx(path: &str) -> bool {
    let name = plain_name(path);
    name.ends_with("ubyte")
        || name.rsplit_once('.').is_some_and(|(_, extension)| extension.starts_with("idx"))
}

/// The path in lower case and without the ending of a compression.
fn plain_name(path: &str) -> String {
    let name = path.to_lowercase();
    let plain = COMPRESSED_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    plain.unwrap_or(&name).to_owned()
}
