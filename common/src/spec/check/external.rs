//! The checks of a sweep whose trials external clients run: parameters and metrics have any name,
//! and no data is read.

use super::range::check_span;
use crate::assignment::{Assignment, Value};
use crate::data::DataSpec;
use crate::error::{Problem, Problems};
use crate::hyper;
use crate::ids::Name;
use crate::limits::{MAX_NAME_CHARS, MAX_PARAMETERS};
use crate::metric::Metric;
use crate::scale::Scale;
use crate::space::Domain;
use crate::spec::rules::{
    GIVEN_TWICE, check_epoch, check_goal, check_scale, check_stopping, named,
};
use crate::spec::{
    Draft, DraftParameter, Goal, KeepSpec, Objective, ObjectiveEpoch, Preset, StoppingRule,
    Strategy,
};
use crate::text::quoted;

/// Largest whole number up to which every whole number is an exact `f64`.
const MAX_WHOLE: i64 = 1 << 53;
/// Largest end of a range, small enough that the width of no range overflows.
const MAX_REAL: f64 = 1e100;

pub(super) fn check_external_data(draft: &Draft, problems: &mut Problems) -> DataSpec {
    let data = &draft.data;
    for (key, given) in [
        ("label", data.label.is_some()),
        ("labels", data.labels.is_some()),
        ("task", data.task.is_some()),
        ("validation", data.validation.is_some()),
        ("test", data.test.is_some()),
        ("delimiter", data.delimiter.is_some()),
        ("header", data.header.is_some()),
        ("columns", data.columns.is_some()),
        ("ignore", data.ignore.is_some()),
        ("types", data.types.is_some()),
        ("missing", data.missing.is_some()),
        ("group", data.group.is_some()),
        ("time", data.time.is_some()),
        ("validation_source", data.validation_source.is_some()),
        ("test_source", data.test_source.is_some()),
        ("folds", data.folds.is_some()),
        ("class_weights", data.class_weights.is_some()),
        ("weight", data.weight.is_some()),
    ] {
        if given {
            let message = format!("source = \"external\" reads no data: remove {key}");
            problems.push(Problem::new(format!("data.{key}"), message));
        }
    }
    DataSpec::external()
}

pub(super) fn check_external_preset(draft: &Draft, problems: &mut Problems) -> Option<Preset> {
    let given = draft.preset.as_deref()?;
    let message =
        "other programs run the trials, and have their own hyperparameters: remove preset";
    problems.push(Problem::with_value("preset", quoted(given), message));
    None
}

pub(super) fn check_external_fixed(draft: &Draft, problems: &mut Problems) -> Assignment {
    let mut fixed = Assignment::default();
    if draft.fixed.len() > MAX_PARAMETERS {
        let message =
            format!("has {} values: expected at most {MAX_PARAMETERS}", draft.fixed.len());
        problems.push(Problem::new("fixed", message));
        return fixed;
    }
    for (name, value) in &draft.fixed {
        let field = format!("fixed.{name}");
        let objection = if name == "epochs" {
            hyper::lookup(name).and_then(|row| row.objection(value))
        } else {
            None
        };
        if let Some(message) = objection {
            problems.push(Problem::with_value(&field, value, message));
        } else if !is_legal_name(name) {
            problems.push(Problem::new(&field, legal_names()));
        } else if fixed.get(name).is_some() {
            problems.push(Problem::new(&field, GIVEN_TWICE));
        } else {
            fixed.insert(name.clone(), value.clone());
        }
    }
    fixed
}

fn is_legal_name(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(is_legal)
}

fn legal_names() -> String {
    format!("expected a name of 1 to {MAX_NAME_CHARS} ASCII letters, digits, '-', '_' or '.'")
}

pub(super) fn check_external_name(draft: &DraftParameter, problems: &mut Problems) -> Option<()> {
    let message = if draft.name == "epochs" {
        "the number of reports is the same for all trials and cannot be searched: set it in [fixed]"
            .to_owned()
    } else if is_legal_name(&draft.name) {
        return Some(());
    } else {
        legal_names()
    };
    problems.push(Problem::new(draft.path(""), message));
    None
}

/// A range. It is one of whole numbers if both ends are, unless `type` says otherwise.
pub(super) fn check_external_range(
    draft: &DraftParameter,
    problems: &mut Problems,
) -> Option<Domain> {
    let ends = [("low", draft.low.as_ref()), ("high", draft.high.as_ref())];
    let is_whole = ends.iter().all(|(_, value)| matches!(value, None | Some(Value::Int(_))));
    let is_int = named(
        &draft.path("type"),
        draft.kind.as_deref(),
        &[("int", true), ("float", false)],
        is_whole,
        problems,
    );
    let scale = check_scale(draft, is_int, Scale::Linear, problems);
    let [low, high] = ends.map(|(key, value)| check_end(draft, key, value, is_int, problems));
    check_span(draft, is_int, scale, (low?, high?), problems)
}

fn check_end(
    draft: &DraftParameter,
    key: &str,
    value: Option<&Value>,
    is_int: bool,
    problems: &mut Problems,
) -> Option<Value> {
    let Some(value) = value else {
        let message = "missing: expected low and high, or choices";
        problems.push(Problem::new(draft.path(key), message));
        return None;
    };
    let is_legal = if is_int {
        value.as_i64().is_some_and(|v| (-MAX_WHOLE..=MAX_WHOLE).contains(&v))
    } else {
        value.as_f64().is_some_and(|v| v.abs() <= MAX_REAL)
    };
    if !is_legal {
        let message = if is_int {
            format!(
                "expected a whole number from {} to {MAX_WHOLE}, or type = \"float\"",
                -MAX_WHOLE
            )
        } else {
            format!("expected a number from -{MAX_REAL:e} to {MAX_REAL:e}")
        };
        problems.push(Problem::with_value(draft.path(key), value, message));
        return None;
    }
    Some(value.clone())
}

pub(super) fn check_external_objective(draft: &Draft, problems: &mut Problems) -> Objective {
    let metric = match draft.objective.metric.as_deref() {
        Some(text) => Name::parse("objective.metric", text)
            .and_then(|name| Metric::try_from(name.to_string())),
        None => Err(Problem::new(
            "objective.metric",
            "missing: expected the name of the reported metric to optimise",
        )),
    };
    if draft.objective.goal.is_none() {
        let message = "missing: expected \"minimize\" or \"maximize\"";
        problems.push(Problem::new("objective.goal", message));
    }
    let goal = check_goal(draft, Goal::Minimize, problems);
    let metric = metric.unwrap_or_else(|problem| {
        problems.push(problem);
        Metric::ValidationLoss
    });
    let epoch = check_epoch(draft, ObjectiveEpoch::Last, problems);
    if let Some(repeats) = draft.objective.repeats.filter(|repeats| *repeats != 1) {
        let message = "external programs train each trial as they like: remove repeats";
        problems.push(Problem::with_value("objective.repeats", repeats, message));
    }
    Objective { metric, goal, epoch, repeats: 1 }
}

/// External programs keep their models themselves.
pub(super) fn check_external_keep(draft: &Draft, problems: &mut Problems) -> KeepSpec {
    if let Some(models) = draft.keep.models.filter(|models| *models > 0) {
        let message = "external programs keep their models themselves: remove [keep]";
        problems.push(Problem::with_value("keep.models", models, message));
    }
    KeepSpec::default()
}

/// Without `epochs` a trial makes only one report, so it has no rungs.
pub(super) fn check_external_stopping(
    draft: &Draft,
    strategy: Strategy,
    fixed: &Assignment,
    problems: &mut Problems,
) -> StoppingRule {
    let has_rungs = fixed.get("epochs").is_some();
    let default = if has_rungs { strategy.default_stopping() } else { StoppingRule::None };
    check_stopping(draft, default, problems)
}

#[cfg(test)]
mod tests;
