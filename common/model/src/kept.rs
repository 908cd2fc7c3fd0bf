//! What a sweep keeps of a trial: its model, and what that predicts for the rows that judge it.
//!
//! With the predictions, ensembles, calibration and every measure need neither the data nor a
//! network. They are not part of a published model, because they have the labels of those rows.
//!
//! All numbers are little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic, `CAVIARKT` |
//! | 4 | version (u32) |
//! | 4 | length of the description (u32) |
//! | as stated | description as JSON: the length of the model and the size of each split |
//! | as stated | the model, as `model.caviar` |
//! | 4 or 8 each | of each split: the truth (u32s or f64s) and the predictions (f32s or f64s) |
//! | 8 each | of each split whose rows have weights: the weights (f64s), after its predictions |
//! | 32 | BLAKE3 of everything before |

use caviar_common::data::Task;
use caviar_common::numbers::to_u64;
use caviar_metrics::{Outputs, Predictions};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::model::Model;

const MAGIC: &[u8; 8] = b"CAVIARKT";
const VERSION: u32 = 1;
const PREFIX_LEN: usize = 8 + 4 + 4;
const DIGEST_LEN: usize = 32;

/// The model of a trial with its predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The model.
    pub model: Model,
    /// For the validation split; `None` if that has too many rows.
    pub validation: Option<Predictions>,
    /// For the test split; `None` without one, or if it has too many rows.
    pub test: Option<Predictions>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    model: usize,
    validation: Option<Size>,
    test: Option<Size>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Size {
    rows: usize,
    /// The number of classes, or of outputs for regression.
    width: usize,
    task: Task,
    /// Whether each row has a weight, which follows the predictions as an f64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    weighted: bool,
}

impl Kept {
    /// The most predicted numbers of a split that are kept; beyond it, predictions are left out.
    pub const MAX_NUMBERS: usize = 1 << 24;

    /// The bytes to store. The same trial always has the same bytes.
    ///
    /// # Errors
    /// The description of the model is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let model = self.model.to_bytes()?;
        let description = Description {
            model: model.len(),
            validation: self.validation.as_ref().map(Size::of),
            test: self.test.as_ref().map(Size::of),
        };
        let description = serde_json::to_vec(&description)
            .map_err(|error| ModelError::Description(error.to_string()))?;
        let length = u32::try_from(description.len())
            .map_err(|_| ModelError::Description("it is longer than 4 GiB".to_owned()))?;
        let mut bytes = Vec::with_capacity(PREFIX_LEN + description.len() + model.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&description);
        bytes.extend_from_slice(&model);
        for predictions in [&self.validation, &self.test].into_iter().flatten() {
            write(&mut bytes, predictions);
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// Reads what [`Kept::to_bytes`] wrote. Nothing in it is trusted.
    ///
    /// # Errors
    /// The bytes are of another kind or version, are cut off or damaged, or do not fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(ModelError::NotModel);
        };
        if magic != MAGIC {
            return Err(ModelError::NotModel);
        }
        let shortest = to_u64(PREFIX_LEN + DIGEST_LEN);
        let found = to_u64(bytes.len());
        let cut = || ModelError::Length { expected: shortest, found };
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(ModelError::Version { found: version });
        }
        let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or_else(cut)?;
        if blake3::hash(content) != *digest {
            return Err(ModelError::Damaged);
        }
        let rest = rest.get(..rest.len().saturating_sub(DIGEST_LEN)).ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (description, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        let Description { model, validation, test } = serde_json::from_slice(description)
            .map_err(|error| ModelError::Description(error.to_string()))?;
        let (model, mut rest) = rest.split_at_checked(model).ok_or_else(cut)?;
        let model = Model::from_bytes(model)?;
        let validation = validation.map(|size| read(&mut rest, size)).transpose()?;
        let test = test.map(|size| read(&mut rest, size)).transpose()?;
        if !rest.is_empty() {
            return Err(ModelError::Length { expected: found - to_u64(rest.len()), found });
        }
        Ok(Self { model, validation, test })
    }
}

impl Size {
    fn of(predictions: &Predictions) -> Self {
        let (rows, width) = (predictions.rows(), predictions.width());
        let weighted = predictions.weights().is_some();
        Self { rows, width, task: predictions.task(), weighted }
    }
}

fn write(bytes: &mut Vec<u8>, predictions: &Predictions) {
    match predictions.outputs() {
        Outputs::Classes { truth, probabilities, .. } => {
            bytes.extend(truth.iter().flat_map(|class| class.to_le_bytes()));
            bytes.extend(probabilities.iter().flat_map(|value| value.to_le_bytes()));
        }
        Outputs::Values { truth, predicted, .. } => {
            bytes.extend(truth.iter().chain(predicted).flat_map(|value| value.to_le_bytes()));
        }
    }
    let weights = predictions.weights().into_iter().flatten();
    bytes.extend(weights.flat_map(|weight| weight.to_le_bytes()));
}

/// Reads the predictions of a split of this size from the front of `rest`.
fn read(rest: &mut &[u8], size: Size) -> Result<Predictions, ModelError> {
    let Size { rows, width, task, weighted } = size;
    let broken = |text: String| ModelError::Description(text);
    let predictions = match task {
        Task::Classification => {
            let truth = words(rest, Some(rows), u32::from_le_bytes)?;
            let probabilities = words(rest, rows.checked_mul(width), f32::from_le_bytes)?;
            Predictions::from_probabilities(width, truth, probabilities)
        }
        Task::Regression => {
            let count = rows.checked_mul(width);
            let truth = words(rest, count, f64::from_le_bytes)?;
            let predicted = words(rest, count, f64::from_le_bytes)?;
            Predictions::from_rows(width, truth, predicted)
        }
    };
    let predictions = predictions.map_err(|error| broken(error.to_string()))?;
    if !weighted {
        return Ok(predictions);
    }
    let weights = words(rest, Some(rows), f64::from_le_bytes)?;
    predictions.with_weights(weights).map_err(|error| broken(error.to_string()))
}

fn words<const N: usize, T>(
    rest: &mut &[u8],
    count: Option<usize>,
    of: fn([u8; N]) -> T,
) -> Result<Vec<T>, ModelError> {
    let length = count.and_then(|count| count.checked_mul(N));
    let split = length.and_then(|length| rest.split_at_checked(length));
    let (taken, after) = split.ok_or_else(|| ModelError::Content {
        expected: length.map_or(u64::MAX, to_u64),
        found: to_u64(rest.len()),
    })?;
    *rest = after;
    let (words, _) = taken.as_chunks::<N>();
    Ok(words.iter().map(|word| of(*word)).collect())
}
