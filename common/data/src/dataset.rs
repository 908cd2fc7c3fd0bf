//! Data as it was read and checked, before it is split.

use caviar_common::data::Task;
use caviar_common::numbers::{to_u32, to_u64};
use ndarray::{Array2, ArrayView2};
use zerocopy::IntoBytes;

use crate::error::{DataError, shown};
use crate::examples::Targets;
use crate::features::Features;
use crate::limits::MIN_ROWS;
use crate::raw::Raw;

/// Data as it was read: finite features, one target per row, at least [`MIN_ROWS`] rows and at
/// least two different targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    parts: Parts,
    digest: String,
}

/// What a reader returns, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    /// One row for each target, and one column for each name. All are finite.
    pub(crate) features: Features,
    pub(crate) targets: Targets,
    pub(crate) classes: Vec<String>,
    pub(crate) feature_names: Vec<String>,
    pub(crate) label: String,
    pub(crate) has_pixels: bool,
}

impl Dataset {
    /// Sorts the classes, and checks the data as a whole.
    pub(crate) fn from_raw(
        raw: Raw,
        path: &str,
        label_field: &'static str,
    ) -> Result<Self, DataError> {
        let (rows, width) = (raw.labels.len(), raw.feature_names.len());
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { path: path.to_owned(), rows });
        }
        let (targets, classes) = raw.labels.finish();
        let features = Array2::from_shape_vec((rows, width), raw.values)
            .map_err(|source| DataError::Shape { path: path.to_owned(), source })?;
        let parts = Parts {
            features: Features::Owned(features),
            targets,
            classes,
            feature_names: raw.feature_names,
            label: raw.label,
            has_pixels: raw.has_pixels,
        };
        Self::new(parts, path, label_field)
    }

    /// Checks the data as a whole. `label_field` is the field of the sweep file that names the
    /// labels.
    pub(crate) fn new(
        parts: Parts,
        path: &str,
        label_field: &'static str,
    ) -> Result<Self, DataError> {
        let path = || path.to_owned();
        let (rows, classes) = (parts.targets.len(), &parts.classes);
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { path: path(), rows });
        }
        if let Some(value) = only_label(&parts.targets, classes) {
            return Err(DataError::OneLabel {
                field: label_field,
                path: path(),
                value: shown(&value),
            });
        }
        // With fewer than two rows per class nothing can be learnt. Usually the label is a number,
        // and the task is regression.
        if classes.len() * 2 > rows {
            return Err(DataError::ManyClasses {
                field: label_field,
                path: path(),
                classes: classes.len(),
                rows,
            });
        }
        let digest = digest(parts.features.view(), &parts.targets, classes);
        Ok(Self { parts, digest })
    }

    /// The features as read, `[rows, features]`. All are finite.
    pub fn features(&self) -> ArrayView2<'_, f32> {
        self.parts.features.view()
    }

    /// The targets as read: for each row an index into [`classes`](Self::classes), or for
    /// regression its number.
    pub fn targets(&self) -> &Targets {
        &self.parts.targets
    }

    /// The names of the classes, in order; empty for regression.
    ///
    /// They are compared as they are written, so `1` and `1.0` are two classes. If all names are
    /// numbers they are sorted by value (`2` before `10`), and otherwise by the bytes of their
    /// UTF-8 text.
    pub fn classes(&self) -> &[String] {
        &self.parts.classes
    }

    /// One name per column of [`features`](Self::features).
    pub fn feature_names(&self) -> &[String] {
        &self.parts.feature_names
    }

    /// The name of the column to predict.
    pub fn label(&self) -> &str {
        &self.parts.label
    }

    /// The kind of prediction that the targets are for.
    pub const fn task(&self) -> Task {
        match self.parts.targets {
            Targets::Classes(_) => Task::Classification,
            Targets::Values(_) => Task::Regression,
        }
    }

    /// Whether the features are the pixels of an image file. Pixels share one unit and are
    /// standardised with one standard deviation.
    pub(crate) fn has_pixels(&self) -> bool {
        self.parts.has_pixels
    }

    /// The BLAKE3 hash, in hexadecimal, of the sizes, the bits of the features and targets, and the
    /// names of the classes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Outputs of the network: the number of classes, or 1 for regression.
    pub(crate) fn outputs(&self) -> u32 {
        to_u32(self.parts.classes.len()).max(1)
    }
}

/// The label of every row if all rows have the same one.
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

/// Hashes little-endian numbers. Each length comes before the items that it counts, so that two
/// different data sets never give the same bytes.
fn digest(features: ArrayView2<'_, f32>, targets: &Targets, classes: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for size in features.shape() {
        hasher.update(&to_u64(*size).to_le_bytes());
    }
    match features.to_slice() {
        // The same bytes as below, several times faster.
        Some(features) if cfg!(target_endian = "little") => {
            hasher.update(features.as_bytes());
        }
        Some(_) | None => update(&mut hasher, features.iter().map(|value| value.to_bits())),
    }
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

/// Hashes words in pieces of 64 KiB, because BLAKE3 is much slower with single words.
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
