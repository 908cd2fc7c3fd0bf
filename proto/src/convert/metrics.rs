//! Scores, and the metrics of epochs.

use std::collections::BTreeMap;

use caviar_common::error::Problem;
use caviar_common::ids::Name;
use caviar_common::limits::{MAX_EPOCHS, MAX_METRICS};
use caviar_common::measure::Measure;
use caviar_common::metric::{EpochMetrics, Measured, NamedMetrics, Point, Score};
use caviar_common::text::{one_of, quoted};

use super::field::{Within, at_most, check_count, in_range, required};
use crate::v1;

pub(super) fn encode_score(score: &Score) -> v1::Score {
    let measured = score.measured.map(|Measured { measure, value }| v1::Measured {
        measure: measure.name().to_owned(),
        value: Some(value),
    });
    v1::Score { loss: Some(score.loss), accuracy: score.accuracy, measured }
}

/// Accepts any loss: that of a diverged training is NaN or infinite.
pub(super) fn decode_score(wire: v1::Score) -> Result<Score, Problem> {
    let loss = required("loss", wire.loss)?;
    let accuracy =
        wire.accuracy.map(|accuracy| in_range("accuracy", accuracy, 0.0..=1.0)).transpose()?;
    let measured = wire.measured.map(decode_measured).transpose().within("measured")?;
    Ok(Score { loss, accuracy, measured })
}

fn decode_measured(wire: v1::Measured) -> Result<Measured, Problem> {
    let value = required("value", wire.value)?;
    match Measure::from_name(&wire.measure) {
        Some(measure) => Ok(Measured { measure, value }),
        None => {
            let expected = format!("expected {}", one_of(Measure::ALL.map(Measure::name)));
            Err(Problem::with_value("measure", quoted(&wire.measure), expected))
        }
    }
}

pub(super) fn decode_optional_score(
    field: &str,
    wire: Option<v1::Score>,
) -> Result<Option<Score>, Problem> {
    wire.map(decode_score).transpose().within(field)
}

pub(super) fn encode_epoch(metrics: &EpochMetrics) -> v1::EpochMetrics {
    v1::EpochMetrics {
        epoch: metrics.epoch,
        train: Some(encode_score(&metrics.train)),
        validation: Some(encode_score(&metrics.validation)),
        spread: metrics.spread,
        ..v1::EpochMetrics::default()
    }
}

pub(super) fn decode_epoch(wire: v1::EpochMetrics) -> Result<EpochMetrics, Problem> {
    Ok(EpochMetrics {
        epoch: in_range("epoch", wire.epoch, 1..=MAX_EPOCHS)?,
        train: required("train", wire.train)
            .and_then(|score| decode_score(score).within("train"))?,
        validation: required("validation", wire.validation)
            .and_then(|score| decode_score(score).within("validation"))?,
        spread: wire.spread.map(|spread| in_range("spread", spread, 0.0..=f64::MAX)).transpose()?,
    })
}

pub(super) fn decode_optional_epoch(
    field: &str,
    wire: Option<v1::EpochMetrics>,
) -> Result<Option<EpochMetrics>, Problem> {
    wire.map(decode_epoch).transpose().within(field)
}

pub(super) fn encode_epochs(points: &[EpochMetrics]) -> Vec<v1::EpochMetrics> {
    points.iter().map(encode_epoch).collect()
}

/// At most `most` consecutive epochs, the oldest first.
pub(super) fn decode_epochs(
    field: &str,
    wire: Vec<v1::EpochMetrics>,
    most: usize,
) -> Result<Vec<EpochMetrics>, Problem> {
    consecutive(field, wire, most, decode_epoch)
}

pub(super) fn encode_point(point: &Point) -> v1::EpochMetrics {
    match point {
        Point::Network(metrics) => encode_epoch(metrics),
        Point::Named(named) => {
            let metrics =
                named.metrics.iter().map(|(name, value)| (name.to_string(), *value)).collect();
            v1::EpochMetrics { epoch: named.epoch, metrics, ..v1::EpochMetrics::default() }
        }
    }
}

pub(super) fn encode_points(points: &[Point]) -> Vec<v1::EpochMetrics> {
    points.iter().map(encode_point).collect()
}

fn decode_point(wire: v1::EpochMetrics) -> Result<Point, Problem> {
    if wire.metrics.is_empty() {
        decode_epoch(wire).map(Point::Network)
    } else {
        decode_named(wire.epoch, wire.metrics).map(Point::Named)
    }
}

pub(super) fn decode_optional_point(
    field: &str,
    wire: Option<v1::EpochMetrics>,
) -> Result<Option<Point>, Problem> {
    wire.map(decode_point).transpose().within(field)
}

/// At most `most` consecutive epochs of a curve, the oldest first.
pub(super) fn decode_points(
    field: &str,
    wire: Vec<v1::EpochMetrics>,
    most: usize,
) -> Result<Vec<Point>, Problem> {
    consecutive(field, wire, most, decode_point)
}

/// The metrics that an external client measured. Each value can be NaN or infinite.
pub(super) fn decode_named(
    epoch: u32,
    metrics: BTreeMap<String, f64>,
) -> Result<NamedMetrics, Problem> {
    let epoch = in_range("epoch", epoch, 1..=MAX_EPOCHS)?;
    check_count("metrics", metrics.len(), MAX_METRICS)?;
    let metrics =
        metrics.into_iter().map(|(name, value)| Ok((Name::parse("metrics", &name)?, value)));
    Ok(NamedMetrics { epoch, metrics: metrics.collect::<Result<_, _>>()? })
}

fn consecutive<T>(
    field: &str,
    wire: Vec<v1::EpochMetrics>,
    most: usize,
    decode: impl Fn(v1::EpochMetrics) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let wire = at_most(field, wire, most)?;
    let mut points = Vec::with_capacity(wire.len());
    let mut before: Option<u32> = None;
    for (i, point) in wire.into_iter().enumerate() {
        let epoch = point.epoch;
        points.push(decode(point).at(field, i)?);
        // Epochs are at most MAX_EPOCHS, so the sum does not overflow.
        if let Some(last) = before.filter(|last| last + 1 != epoch) {
            let message = format!("expected {}, because epochs are consecutive", last + 1);
            return Err(Problem::with_value(format!("{field}[{i}].epoch"), epoch, message));
        }
        before = Some(epoch);
    }
    Ok(points)
}
