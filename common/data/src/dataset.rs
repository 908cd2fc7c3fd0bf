//! Data as it was read.

use caviar_common::data::DataSummary;
use caviar_common::numbers::to_u64;
use ndarray::Array2;

use crate::error::{DataError, shorten};
use crate::examples::{Splits, Targets};
use crate::{MIN_ROWS, Raw};

/// Data as it was read: finite features, one target a row, at least [`MIN_ROWS`] rows and two
/// different targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Array2<f32>,
    targets: Targets,
    classes: Vec<String>,
    feature_names: Vec<String>,
    digest: String,
    pixels: bool,
}

impl Dataset {
    pub(crate) fn check(
        raw: Raw,
        path: &str,
        label_field: &'static str,
    ) -> Result<Self, DataError> {
        let path = || path.to_owned();
        let (rows, width) = (raw.labels.len(), raw.feature_names.len());
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { path: path(), rows });
        }
        let (targets, classes) = raw.labels.finish();
        if let Some(value) = only_label(&targets, &classes) {
            return Err(DataError::OneLabel {
                field: label_field,
                path: path(),
                value: shorten(&value),
            });
        }
        // With fewer than two rows a class there is nothing to learn from; most often the label is
        // a number to predict.
        if classes.len() * 2 > rows {
            return Err(DataError::ManyClasses {
                field: label_field,
                path: path(),
                classes: classes.len(),
                rows,
            });
        }
        let features = Array2::from_shape_vec((rows, width), raw.values)
            .map_err(|source| DataError::Shape { path: path(), source })?;
        let digest = digest(&features, &targets, &classes);
        Ok(Self {
            features,
            targets,
            classes,
            feature_names: raw.feature_names,
            digest,
            pixels: raw.pixels,
        })
    }

    /// The features as read, `[rows, features]`; all are finite.
    pub fn features(&self) -> &Array2<f32> {
        &self.features
    }

    /// The targets as read: each row's place in [`classes`](Self::classes), or its number.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The names of the classes: by value if all are numbers (`2` before `10`; spellings of one
    /// number, as `1` and `1.0`, are one class), else by the bytes of their UTF-8 text. None for
    /// regression.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The names of the features.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// Whether the features are the pixels of an image file, which share one unit and so one
    /// deviation.
    pub(crate) fn has_pixels(&self) -> bool {
        self.pixels
    }

    /// BLAKE3, in hexadecimal, of the sizes, the features and targets bit by bit, and the names of
    /// the classes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What a sweep must know of this data once it is split into `splits`.
    pub fn summary(&self, splits: &Splits) -> DataSummary {
        DataSummary {
            train: to_u64(splits.train.targets.len()),
            validation: to_u64(splits.validation.targets.len()),
            test: splits.test.as_ref().map_or(0, |test| to_u64(test.targets.len())),
            features: u32::try_from(self.features.ncols()).unwrap_or(u32::MAX),
            outputs: splits.outputs,
            digest: self.digest.clone(),
        }
    }
}

/// The label that all rows share, if they do.
fn only_label(targets: &Targets, classes: &[String]) -> Option<String> {
    match (targets, classes) {
        (Targets::Classes(_), [only]) => Some(only.clone()),
        (Targets::Classes(_), _) => None,
        (Targets::Values(values), _) => {
            let first = values.first()?;
            values.iter().all(|value| value == first).then(|| first.to_string())
        }
    }
}

/// Little-endian throughout; lengths come before what they measure, so that no two data sets are
/// the same bytes.
fn digest(features: &Array2<f32>, targets: &Targets, classes: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for size in features.shape() {
        hasher.update(&to_u64(*size).to_le_bytes());
    }
    update(&mut hasher, features.iter().map(|value| value.to_bits()));
    match targets {
        Targets::Classes(numbers) => {
            hasher.update(b"c");
            update(&mut hasher, numbers.iter().copied());
        }
        Targets::Values(values) => {
            hasher.update(b"v");
            update(&mut hasher, values.iter().map(|value| value.to_bits()));
        }
    }
    hasher.update(&to_u64(classes.len()).to_le_bytes());
    for name in classes {
        hasher.update(&to_u64(name.len()).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Hashes in large pieces, which BLAKE3 takes several times faster than single words.
fn update(hasher: &mut blake3::Hasher, words: impl Iterator<Item = u32>) {
    const PIECE: usize = 1 << 16;
    let mut piece = Vec::with_capacity(PIECE);
    for word in words {
        piece.extend_from_slice(&word.to_le_bytes());
        if piece.len() >= PIECE {
            hasher.update(&piece);
            piece.clear();
        }
    }
    hasher.update(&piece);
}
