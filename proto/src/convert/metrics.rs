//! Scores and the metrics of epochs.

use caviar_common::error::Problem;
use caviar_common::limits::MAX_EPOCHS;
use caviar_common::metric::{EpochMetrics, Score};

use super::field::{Within, at_most, in_range, required};
use crate::v1;

pub(super) fn encode_score(score: &Score) -> v1::Score {
    v1::Score { loss: Some(score.loss), accuracy: score.accuracy }
}

/// The loss may be NaN or infinite: that is how a training diverges.
pub(super) fn decode_score(wire: v1::Score) -> Result<Score, Problem> {
    let loss = required("loss", wire.loss)?;
    let accuracy = wire.accuracy.map(|accuracy| in_range("accuracy", accuracy, 0.0..=1.0)).transpose()?;
    Ok(Score { loss, accuracy })
}

pub(super) fn decode_optional_score(field: &str, wire: Option<v1::Score>) -> Result<Option<Score>, Problem> {
    wire.map(decode_score).transpose().within(field)
}

pub(super) fn encode_epoch(metrics: &EpochMetrics) -> v1::EpochMetrics {
    v1::EpochMetrics {
        epoch: metrics.epoch,
        train: Some(encode_score(&metrics.train)),
        validation: Some(encode_score(&metrics.validation)),
    }
}

pub(super) fn decode_epoch(wire: v1::EpochMetrics) -> Result<EpochMetrics, Problem> {
    Ok(EpochMetrics {
        epoch: in_range("epoch", wire.epoch, 1..=MAX_EPOCHS)?,
        train: required("train", wire.train).and_then(|score| decode_score(score).within("train"))?,
        validation: required("validation", wire.validation).and_then(|score| decode_score(score).within("validation"))?,
    })
}

pub(super) fn decode_optional_epoch(field: &str, wire: Option<v1::EpochMetrics>) -> Result<Option<EpochMetrics>, Problem> {
    wire.map(decode_epoch).transpose().within(field)
}

pub(super) fn encode_epochs(points: &[EpochMetrics]) -> Vec<v1::EpochMetrics> {
    points.iter().map(encode_epoch).collect()
}

/// At most `most` consecutive epochs, oldest first.
pub(super) fn decode_epochs(field: &str, wire: Vec<v1::EpochMetrics>, most: usize) -> Result<Vec<EpochMetrics>, Problem> {
    let wire = at_most(field, wire, most)?;
    let mut points: Vec<EpochMetrics> = Vec::with_capacity(wire.len());
    for (i, point) in wire.into_iter().enumerate() {
        let point = decode_epoch(point).at(field, i)?;
        // Epochs are at most MAX_EPOCHS: the sum does not overflow.
        if let Some(last) = points.last().filter(|last| last.epoch + 1 != point.epoch) {
            let message = format!("epochs are consecutive: write {} after {}", last.epoch + 1, last.epoch);
            return Err(Problem::with_value(format!("{field}[{i}].epoch"), point.epoch, message));
        }
        points.push(point);
    }
    Ok(points)
}
