//! The data of a sweep: readers, splits and standardisation.
//!
//! [`load`] reads what a [`DataSpec`] names and checks every value. [`split()`] draws the splits
//! from the sweep's seed and standardises them with the statistics of the training split only.
//! Both are functions of their arguments, so every worker arrives at the same examples. The
//! [digest](Dataset::digest) tells whether two machines read the same data.
//!
//! ```
//! use caviar_common::data::{DataSpec, Task};
//!
//! let spec = DataSpec {
//!     source: "builtin:digits".to_owned(),
//!     label: None,
//!     labels: None,
//!     task: Task::Classification,
//!     validation: 0.2,
//!     test: 0.1,
//! };
//! let (splits, summary) = caviar_data::prepare(&spec, 7)?;
//! assert_eq!((summary.features, summary.outputs), (64, 10));
//! assert_eq!(splits.train.features.ncols(), 64);
//! # Ok::<(), caviar_data::DataError>(())
//! ```
#![forbid(unsafe_code)]

mod csv;
mod dataset;
mod error;
mod examples;
mod idx;
mod labels;
mod split;
mod standard;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use caviar_common::data::{DataSpec, DataSummary};
use flate2::bufread::MultiGzDecoder;

pub use self::dataset::Dataset;
pub use self::error::{BadCell, DataError, Fault};
use self::error::{LABEL, LABELS, SOURCE};
pub use self::examples::{Examples, Splits, Targets};
use self::labels::Labels;
pub use self::split::split;

/// Most numbers (rows times features) that are held: 2 GiB of f32.
pub const MAX_VALUES: usize = 1 << 29;
/// Most features.
pub const MAX_FEATURES: usize = 1 << 20;
/// Most classes.
pub const MAX_CLASSES: usize = 1 << 16;
/// Longest name of a class, in bytes.
pub const MAX_LABEL_BYTES: usize = 1 << 10;
/// Longest row of a CSV file, in bytes.
pub const MAX_RECORD_BYTES: usize = 1 << 22;
/// Fewest rows: 2 to train, because batch normalisation needs as many, and 1 to validate.
pub const MIN_ROWS: usize = 3;

/// The bundled digits, as a CSV file; origin and licence are in `digits.LICENSE`.
const DIGITS: &[u8] = include_bytes!("digits.csv.gz");
const DIGITS_LABEL: &str = "digit";

/// What the readers hand over: row-major values, as many to a row as there are names, and the
/// labels.
struct Raw {
    values: Vec<f32>,
    feature_names: Vec<String>,
    labels: Labels,
    /// Whether the features are the pixels of an image file, which share one unit.
    pixels: bool,
}

/// Reads the data that `spec` names, from the bundled digits or from files; relative paths are
/// relative to the process.
///
/// # Errors
/// Whatever is wrong with the source, its files or their contents; see [`DataError`].
pub fn load(spec: &DataSpec) -> Result<Dataset, DataError> {
    let path = spec.source.as_str();
    let (raw, label_field) = match path.strip_prefix("builtin:") {
        Some("digits") => (digits(spec)?, SOURCE),
        Some(name) => return Err(DataError::UnknownBuiltin { name: name.to_owned() }),
        None if is_csv(path) => (csv_file(spec)?, LABEL),
        None if is_idx(path) => (idx_files(spec)?, LABELS),
        None => return Err(DataError::UnknownFormat { path: path.to_owned() }),
    };
    Dataset::check(raw, path, label_field)
}

/// Loads, splits and summarises: all that a worker needs before it trains.
///
/// # Errors
/// Those of [`load`] and [`split()`].
pub fn prepare(spec: &DataSpec, sweep_seed: u64) -> Result<(Splits, DataSummary), DataError> {
    let dataset = load(spec)?;
    let splits = split(&dataset, spec, sweep_seed)?;
    let summary = dataset.summary(&splits);
    Ok((splits, summary))
}

fn digits(spec: &DataSpec) -> Result<Raw, DataError> {
    let other_label = spec.label.clone().filter(|label| label != "label");
    forbid(
        &other_label,
        LABEL,
        "the label of this built-in data is called \"label\": write that, or leave `label` out",
    )?;
    forbid(&spec.labels, LABELS, "built-in data has its labels: leave out `labels`")?;
    csv::read(MultiGzDecoder::new(DIGITS), &spec.source, Some(DIGITS_LABEL), spec.task)
}

fn csv_file(spec: &DataSpec) -> Result<Raw, DataError> {
    forbid(
        &spec.labels,
        LABELS,
        "`labels` is for IDX files: name the label column of a CSV file with `label`",
    )?;
    csv::read(open(&spec.source, SOURCE)?, &spec.source, spec.label.as_deref(), spec.task)
}

fn idx_files(spec: &DataSpec) -> Result<Raw, DataError> {
    forbid(
        &spec.label,
        LABEL,
        "`label` is for CSV files: name the label file of an IDX file with `labels`",
    )?;
    let Some(labels) = &spec.labels else {
        return Err(DataError::LabelsNotGiven { path: spec.source.clone() });
    };
    let images = idx::Input { reader: open(&spec.source, SOURCE)?, path: &spec.source };
    let labels = idx::Input { reader: open(labels, LABELS)?, path: labels };
    idx::read(images, labels, spec.task)
}

/// A field without a use here is a misunderstanding, better cleared up than passed over.
fn forbid(
    value: &Option<String>,
    field: &'static str,
    right: &'static str,
) -> Result<(), DataError> {
    value.as_ref().map_or(Ok(()), |_| Err(DataError::Superfluous { field, right }))
}

/// Opens a file, and decompresses it if it begins as gzip does, whatever its name.
fn open(path: &str, field: &'static str) -> Result<Box<dyn Read>, DataError> {
    let failed = |source| DataError::Open { field, path: path.to_owned(), source };
    // Before it is opened: a pipe that nobody writes to would keep the reader for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file, but a directory, a pipe or a device",
        )));
    }
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let compressed = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    Ok(if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn is_csv(path: &str) -> bool {
    plain_name(path).ends_with(".csv")
}

/// The names in use are `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and `train.idx`.
fn is_idx(path: &str) -> bool {
    let name = plain_name(path);
    name.ends_with("ubyte")
        || name.rsplit_once('.').is_some_and(|(_, extension)| extension.starts_with("idx"))
}

fn plain_name(path: &str) -> String {
    let name = path.to_lowercase();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}
