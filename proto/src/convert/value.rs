//! Values, assignments, boxes, and the reasons why trials were chosen.

use std::collections::BTreeMap;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::error::Problem;
use caviar_common::ids::TrialNumber;
use caviar_common::limits::{MAX_CHOICES, MAX_PARAMETERS};
use caviar_common::reason::{Expected, Extent, Ranking, Reason, SearchBox, Side, Source};
use caviar_common::text::{one_of, quoted};

use super::field::{Within, at_most, check_count, parameter_name, positive, required, text};
use crate::v1;
use crate::v1::value::Kind;

pub(super) fn encode_value(value: &Value) -> v1::Value {
    let kind = match value {
        Value::Int(v) => Kind::Int(*v),
        Value::Float(v) => Kind::Float(*v),
        Value::Text(v) => Kind::Text(v.to_string()),
    };
    v1::Value { kind: Some(kind) }
}

pub(super) fn encode_values(values: &[Value]) -> Vec<v1::Value> {
    values.iter().map(encode_value).collect()
}

/// One value. Its problems have an empty path, to which the caller prepends the field.
pub(super) fn decode_value(wire: v1::Value) -> Result<Value, Problem> {
    match required("", wire.kind)? {
        Kind::Int(v) => Ok(Value::Int(v)),
        Kind::Float(v) if v.is_finite() => Ok(Value::Float(v)),
        Kind::Float(v) => Err(Problem::with_value("", v, "expected a finite number")),
        Kind::Text(v) => Ok(Value::Text(text("", v)?.into())),
    }
}

pub(super) fn decode_optional_value(
    field: &str,
    wire: Option<v1::Value>,
) -> Result<Option<Value>, Problem> {
    wire.map(decode_value).transpose().within(field)
}

pub(super) fn decode_values(field: &str, wire: Vec<v1::Value>) -> Result<Vec<Value>, Problem> {
    let wire = at_most(field, wire, MAX_CHOICES)?;
    wire.into_iter().enumerate().map(|(i, value)| decode_value(value).at(field, i)).collect()
}

pub(super) fn encode_assignment(assignment: &Assignment) -> v1::Assignment {
    v1::Assignment { values: encode_map(assignment) }
}

pub(super) fn encode_map(assignment: &Assignment) -> BTreeMap<String, v1::Value> {
    assignment.iter().map(|(name, value)| (name.to_owned(), encode_value(value))).collect()
}

/// An assignment of at most `most` parameters. An absent message is refused, because a forgotten
/// assignment would be read as one without parameters.
pub(super) fn decode_assignment(
    field: &str,
    wire: Option<v1::Assignment>,
    most: usize,
) -> Result<Assignment, Problem> {
    let values = required(field, wire)?.values;
    check_count(field, values.len(), most)?;
    values.into_iter().map(|(name, value)| decode_entry(name, value).within(field)).collect()
}

/// One entry of a map from the names of hyperparameters to values.
pub(super) fn decode_entry(name: String, wire: v1::Value) -> Result<(String, Value), Problem> {
    let name = parameter_name("", name)?;
    let value = decode_value(wire).within(&name)?;
    Ok((name, value))
}

pub(super) fn encode_box(search_box: &SearchBox) -> v1::SearchBox {
    v1::SearchBox { sides: search_box.sides.iter().map(encode_side).collect() }
}

fn encode_side(side: &Side) -> v1::Side {
    let (low, high, choices) = match &side.extent {
        Extent::Range { low, high } => {
            (Some(encode_value(low)), Some(encode_value(high)), Vec::new())
        }
        Extent::Choices(values) => (None, None, encode_values(values)),
    };
    v1::Side { parameter: side.parameter.clone(), low, high, choices }
}

pub(super) fn decode_optional_box(
    field: &str,
    wire: Option<v1::SearchBox>,
) -> Result<Option<SearchBox>, Problem> {
    wire.map(decode_box).transpose().within(field)
}

fn decode_box(wire: v1::SearchBox) -> Result<SearchBox, Problem> {
    let sides = at_most("sides", wire.sides, MAX_PARAMETERS)?;
    let sides = sides.into_iter().enumerate().map(|(i, side)| decode_side(side).at("sides", i));
    Ok(SearchBox { sides: sides.collect::<Result<_, _>>()? })
}

fn decode_side(wire: v1::Side) -> Result<Side, Problem> {
    let parameter = parameter_name("parameter", wire.parameter)?;
    let low = decode_optional_value("low", wire.low)?;
    let high = decode_optional_value("high", wire.high)?;
    let choices = decode_values("choices", wire.choices)?;
    let extent = match (low, high, choices.is_empty()) {
        (Some(low), Some(high), true) => Extent::Range { low, high },
        (None, None, false) => Extent::Choices(choices),
        (Some(_), None, true) => {
            return Err(Problem::new("high", "missing: expected high together with low"));
        }
        (None, Some(_), true) => {
            return Err(Problem::new("low", "missing: expected low together with high"));
        }
        (None, None, true) => {
            return Err(Problem::new("low", "missing: expected low and high, or choices"));
        }
        (Some(_), _, false) | (None, Some(_), false) => {
            return Err(Problem::new(
                "choices",
                "not allowed together with low or high: expected either choices, or low and high",
            ));
        }
    };
    Ok(Side { parameter, extent })
}

pub(super) fn encode_reason(reason: &Reason) -> v1::Reason {
    v1::Reason {
        source: reason.source.name().to_owned(),
        round: reason.round,
        r#box: reason.search_box.as_ref().map(encode_box),
        seen: reason.seen,
        ranking: reason.ranking.as_ref().map(encode_ranking),
        replays: reason.replays.map(|trial| trial.0),
    }
}

pub(super) fn decode_reason(wire: v1::Reason) -> Result<Reason, Problem> {
    let Some(source) = Source::ALL.into_iter().find(|s| s.name() == wire.source) else {
        let message = format!("expected {}", one_of(Source::ALL.map(Source::name)));
        return Err(Problem::with_value("source", quoted(&wire.source), message));
    };
    let round = wire.round.map(|round| positive("round", round)).transpose()?;
    let ranking = wire.ranking.map(decode_ranking).transpose().within("ranking")?;
    Ok(Reason {
        source,
        round,
        search_box: decode_optional_box("box", wire.r#box)?,
        seen: wire.seen,
        ranking,
        replays: wire.replays.map(TrialNumber),
    })
}

fn encode_ranking(ranking: &Ranking) -> v1::Ranking {
    let Expected { worse, middle, better } = ranking.expected;
    v1::Ranking {
        centre: ranking.centre,
        side: ranking.side,
        length_scales: ranking.length_scales.clone(),
        expected: Some(v1::Expected { worse, middle, better }),
        score: ranking.score,
        rank: ranking.rank,
        candidates: ranking.candidates,
    }
}

fn decode_ranking(wire: v1::Ranking) -> Result<Ranking, Problem> {
    let v1::Expected { worse, middle, better } = required("expected", wire.expected)?;
    Ok(Ranking {
        centre: wire.centre,
        side: wire.side,
        length_scales: at_most("length_scales", wire.length_scales, MAX_PARAMETERS)?,
        expected: Expected { worse, middle, better },
        score: wire.score,
        rank: positive("rank", wire.rank)?,
        candidates: wire.candidates,
    })
}
