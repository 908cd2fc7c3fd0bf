//! The checks of one parameter's values: choices, or a range with its scale and grid points.

use crate::assignment::Value;
use crate::error::{Problem, Problems};
use crate::hyper::{Hyperparameter, Kind};
use crate::limits::{MAX_CHOICES, MAX_TRIALS};
use crate::scale::Scale;
use crate::space::Domain;
use crate::spec::DraftParameter;
use crate::spec::rules::{GIVEN_TWICE, check_scale, expected_whole};
use crate::text::quoted;

pub(super) fn check_choices(
    draft: &DraftParameter,
    row: Option<&Hyperparameter>,
    choices: &[Value],
    problems: &mut Problems,
) -> Option<Domain> {
    let field = draft.path("choices");
    let ranged = [
        ("type", draft.kind.is_some()),
        ("scale", draft.scale.is_some()),
        ("low", draft.low.is_some()),
        ("high", draft.high.is_some()),
    ];
    for (key, _) in ranged.iter().filter(|(_, given)| *given) {
        let message =
            "not allowed together with choices: give either choices, or a range of low and high";
        problems.push(Problem::new(draft.path(key), message));
    }
    if choices.is_empty() || choices.len() > MAX_CHOICES {
        let each = row.map_or_else(String::new, |row| format!(", each {}", row.legal_text()));
        let message = format!("has {} choices: expected 1 to {MAX_CHOICES}{each}", choices.len());
        problems.push(Problem::new(&field, message));
        return None;
    }
    for (i, value) in choices.iter().enumerate() {
        if let Some(message) = row.and_then(|row| row.objection(value)) {
            problems.push(Problem::with_value(&field, value, message));
            return None;
        }
        if choices.iter().take(i).any(|earlier| is_same(earlier, value)) {
            problems.push(Problem::with_value(&field, value, GIVEN_TWICE));
            return None;
        }
    }
    Some(Domain::Choice { values: choices.to_vec() })
}

/// Equal as a hyperparameter: 2 and 2.0 are one batch size.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|x| b.as_f64() == Some(x))
}

pub(super) fn check_range(
    draft: &DraftParameter,
    row: &Hyperparameter,
    problems: &mut Problems,
) -> Option<Domain> {
    let natural = match row.kind {
        Kind::Names(names) => {
            let message = format!(
                "{} is a name and has no range: give choices = [\"{}\"]",
                draft.name,
                names.join("\", \"")
            );
            problems.push(Problem::new(draft.path(""), message));
            return None;
        }
        Kind::Whole { .. } => "int",
        Kind::Real { .. } => "float",
    };
    if let Some(kind) = draft.kind.as_deref().filter(|kind| *kind != natural) {
        let message =
            format!("expected \"{natural}\", because {} is {}", draft.name, row.legal_text());
        problems.push(Problem::with_value(draft.path("type"), quoted(kind), message));
    }
    let is_int = natural == "int";
    let scale = check_scale(draft, is_int, row.scale, problems);
    let low = check_end(draft, row, "low", draft.low.as_ref(), problems);
    let high = check_end(draft, row, "high", draft.high.as_ref(), problems);
    check_span(draft, is_int, scale, (low?, high?), problems)
}

/// The range between two ends that are legal by themselves.
pub(super) fn check_span(
    draft: &DraftParameter,
    is_int: bool,
    scale: Scale,
    (low, high): (Value, Value),
    problems: &mut Problems,
) -> Option<Domain> {
    let (a, b) = (low.as_f64()?, high.as_f64()?);
    let mut refuse = |key: &str, value: &Value, message: String| {
        problems.push(Problem::with_value(draft.path(key), value, message));
        None
    };
    if a > b {
        return refuse("low", &low, format!("low is above high = {high}: swap the two"));
    }
    if a == b {
        let message = format!(
            "the range is empty, because high = {high} as well: widen it, or set {} = {low} in \
             [fixed]",
            draft.name
        );
        return refuse("low", &low, message);
    }
    if let Some(objection) = scale.objection(a, b) {
        let (key, value) = if scale == Scale::Log { ("low", &low) } else { ("high", &high) };
        return refuse(key, value, format!("{objection}: expected {}", remedy(scale)));
    }
    match (low.as_i64(), high.as_i64()) {
        (Some(low), Some(high)) if is_int => Some(Domain::Int { scale, low, high }),
        _ => Some(Domain::Float { scale, low: a, high: b }),
    }
}

const fn remedy(scale: Scale) -> &'static str {
    match scale {
        Scale::Log => "a small number such as 1e-5, or scale = \"linear\"",
        Scale::OneMinusLog => "a number such as 0.999, or scale = \"linear\"",
        Scale::Linear => "another scale",
    }
}

/// One end of a range. An end that only the scale excludes (0 on a log scale) is accepted here,
/// because the check of the scale has the better message.
fn check_end(
    draft: &DraftParameter,
    row: &Hyperparameter,
    key: &str,
    value: Option<&Value>,
    problems: &mut Problems,
) -> Option<Value> {
    let field = draft.path(key);
    let Some(value) = value else {
        let message = format!(
            "missing: expected low and high, or choices; {} is {}",
            draft.name,
            row.legal_text()
        );
        problems.push(Problem::new(&field, message));
        return None;
    };
    let touches_scale = match (key, value.as_f64()) {
        ("low", Some(v)) => v == 0.0 && has_scale(draft, row, Scale::Log),
        ("high", Some(v)) => v == 1.0 && has_scale(draft, row, Scale::OneMinusLog),
        _ => false,
    };
    if let Some(message) = row.objection(value).filter(|_| !touches_scale) {
        problems.push(Problem::with_value(&field, value, message));
        return None;
    }
    Some(value.clone())
}

fn has_scale(draft: &DraftParameter, row: &Hyperparameter, scale: Scale) -> bool {
    draft.scale.as_deref().map_or(row.scale == scale, |name| name == scale.name())
}

pub(super) fn check_points(
    draft: &DraftParameter,
    domain: &Domain,
    problems: &mut Problems,
) -> Option<u32> {
    let points = draft.points?;
    let field = draft.path("points");
    let most = match domain {
        Domain::Choice { .. } => {
            let message = "a grid uses every choice: remove points";
            problems.push(Problem::new(&field, message));
            return None;
        }
        Domain::Int { .. } | Domain::Float { .. } => {
            domain.cardinality().unwrap_or(u64::from(MAX_TRIALS))
        }
    };
    match u32::try_from(points) {
        Ok(value) if value >= 1 && points <= most => Some(value),
        _ => {
            problems.push(Problem::with_value(&field, points, expected_whole(1, most)));
            None
        }
    }
}
