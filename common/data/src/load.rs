//! Finds and opens the data that a spec names, and chooses the reader.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use caviar_common::data::{DataSpec, DataSummary};
use flate2::bufread::MultiGzDecoder;

use crate::csv;
use crate::dataset::Dataset;
use crate::error::{DataError, LABEL, LABELS, SOURCE};
use crate::examples::Splits;
use crate::idx;
use crate::raw::Raw;
use crate::split::split;

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
    let (raw, label_field) = match path.strip_prefix("builtin:") {
        Some("digits") => (digits(spec)?, SOURCE),
        Some(name) => return Err(DataError::UnknownBuiltin { name: name.to_owned() }),
        None if is_csv(path) => (csv_file(spec)?, LABEL),
        None if is_idx(path) => (idx_files(spec)?, LABELS),
        None => return Err(DataError::UnknownFormat { path: path.to_owned() }),
    };
    Dataset::from_raw(raw, path, label_field)
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

fn digits(spec: &DataSpec) -> Result<Raw, DataError> {
    let other_label = spec.label.clone().filter(|label| label != "label");
    forbid(
        &other_label,
        LABEL,
        "the label column of builtin:digits is called \"label\": expected that, or remove label",
    )?;
    forbid(&spec.labels, LABELS, "builtin:digits includes its labels: remove labels")?;
    csv::read(MultiGzDecoder::new(DIGITS), &spec.source, Some(DIGITS_LABEL), spec.task)
}

fn csv_file(spec: &DataSpec) -> Result<Raw, DataError> {
    forbid(
        &spec.labels,
        LABELS,
        "labels is for IDX files: use label for the name of the label column of a CSV file",
    )?;
    csv::read(open(&spec.source, SOURCE)?, &spec.source, spec.label.as_deref(), spec.task)
}

fn idx_files(spec: &DataSpec) -> Result<Raw, DataError> {
    forbid(
        &spec.label,
        LABEL,
        "label is for CSV files: use labels for the path of the label file of an IDX file",
    )?;
    let Some(labels) = &spec.labels else {
        return Err(DataError::LabelsNotGiven { path: spec.source.clone() });
    };
    let images = idx::Input { reader: open(&spec.source, SOURCE)?, path: &spec.source };
    let labels = idx::Input { reader: open(labels, LABELS)?, path: labels };
    idx::read(images, labels, spec.task)
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

fn is_csv(path: &str) -> bool {
    plain_name(path).ends_with(".csv")
}

/// Common names of IDX files are `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and
/// `train.idx`.
fn is_idx(path: &str) -> bool {
    let name = plain_name(path);
    name.ends_with("ubyte")
        || name.rsplit_once('.').is_some_and(|(_, extension)| extension.starts_with("idx"))
}

/// The path in lower case and without `.gz`.
fn plain_name(path: &str) -> String {
    let name = path.to_lowercase();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}
