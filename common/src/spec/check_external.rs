//! The rules of a sweep whose trials other programs run: its parameters and metrics have any names,
//! and no data is read.

use super::check::{check_goal, check_stopping, named};
use super::check_space::{path, span};
use super::draft::DraftParameter;
use super::{Draft, Goal, Objective, StoppingRule, Strategy};
use crate::assignment::{Assignment, Value};
use crate::data::DataSpec;
use crate::error::{Problem, Problems};
use crate::hyper;
use crate::ids::Name;
use crate::limits::{MAX_NAME_CHARS, MAX_PARAMETERS};
use crate::metric::Metric;
use crate::scale::Scale;
use crate::space::Domain;

/// Whole numbers to here have exact floating-point values.
const MOST_WHOLE: i64 = 1 << 53;
/// Numbers to here can be drawn between without overflow.
const MOST_REAL: f64 = 1e100;

pub(super) fn check_external_data(draft: &Draft, problems: &mut Problems) -> DataSpec {
    let data = &draft.data;
    for (key, given) in [
        ("label", data.label.is_some()),
        ("labels", data.labels.is_some()),
        ("task", data.task.is_some()),
        ("validation", data.validation.is_some()),
        ("test", data.test.is_some()),
    ] {
        if given {
            problems.push(Problem::new(
                format!("data.{key}"),
                "with source = \"external\" no data is read: leave it out",
            ));
        }
    }
    DataSpec::external()
}

pub(super) fn check_external_fixed(draft: &Draft, problems: &mut Problems) -> Assignment {
    let mut fixed = Assignment::default();
    if draft.fixed.len() > MAX_PARAMETERS {
        problems.push(Problem::with_value(
            "fixed",
            draft.fixed.len(),
            format!("write at most {MAX_PARAMETERS} values"),
        ));
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
            problems.push(Problem::new(&field, "given twice: write it once"));
        } else {
            fixed.insert(name.clone(), value.clone());
        }
    }
    fixed
}

fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(legal)
}

fn legal_names() -> String {
    format!("a name has 1 to {MAX_NAME_CHARS} letters, digits, '-', '_' or '.'")
}

pub(super) fn check_external_name(draft: &DraftParameter, problems: &mut Problems) -> Option<()> {
    let message = if draft.name == "epochs" {
        "it says how many reports a trial makes at most, and all make as many: write it in [fixed]"
            .to_owned()
    } else if is_legal_name(&draft.name) {
        return Some(());
    } else {
        legal_names()
    };
    problems.push(Problem::new(path(draft), message));
    None
}

/// A range: of whole numbers if both ends are written so, unless `type` says otherwise.
pub(super) fn check_external_range(
    draft: &DraftParameter,
    problems: &mut Problems,
) -> Option<Domain> {
    let field = path(draft);
    let ends = [("low", draft.low.as_ref()), ("high", draft.high.as_ref())];
    let is_whole = ends.iter().all(|(_, value)| matches!(value, None | Some(Value::Int(_))));
    let is_int = named(
        &format!("{field}.type"),
        draft.kind.as_deref(),
        &[("int", true), ("float", false)],
        is_whole,
        problems,
    );
    let scales =
        [("linear", Scale::Linear), ("log", Scale::Log), ("one_minus_log", Scale::OneMinusLog)];
    let usable = if is_int { &scales[..2] } else { &scales[..] };
    let scale =
        named(&format!("{field}.scale"), draft.scale.as_deref(), usable, Scale::Linear, problems);
    let [low, high] = ends.map(|(key, value)| check_end(draft, key, value, is_int, problems));
    span(draft, is_int, scale, (low?, high?), problems)
}

fn check_end(
    draft: &DraftParameter,
    key: &str,
    value: Option<&Value>,
    is_int: bool,
    problems: &mut Problems,
) -> Option<Value> {
    let field = format!("{}.{key}", path(draft));
    let Some(value) = value else {
        problems.push(Problem::new(
            &field,
            format!("missing: {} needs low and high, or choices", draft.name),
        ));
        return None;
    };
    let is_legal = if is_int {
        value.as_i64().is_some_and(|v| (-MOST_WHOLE..=MOST_WHOLE).contains(&v))
    } else {
        value.as_f64().is_some_and(|v| v.abs() <= MOST_REAL)
    };
    if !is_legal {
        let message = if is_int {
            format!(
                "write a whole number from {} to {MOST_WHOLE}, or type = \"float\"",
                -MOST_WHOLE
            )
        } else {
            format!("write a number from -{MOST_REAL:e} to {MOST_REAL:e}")
        };
        problems.push(Problem::with_value(&field, value, message));
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
            "missing: write the name under which the program reports what is optimised",
        )),
    };
    if draft.objective.goal.is_none() {
        problems
            .push(Problem::new("objective.goal", "missing: write \"minimize\" or \"maximize\""));
    }
    let goal = check_goal(draft, Goal::Minimize, problems);
    let metric = metric.unwrap_or_else(|problem| {
        problems.push(problem);
        Metric::ValidationLoss
    });
    Objective { metric, goal }
}

/// Trials of one report have no rung to stop at.
pub(super) fn check_external_stopping(
    draft: &Draft,
    strategy: Strategy,
    fixed: &Assignment,
    problems: &mut Problems,
) -> StoppingRule {
    let has_rungs = fixed.get("epochs").is_some();
    check_stopping(
        draft,
        if has_rungs { strategy.default_stopping() } else { StoppingRule::None },
        problems,
    )
}
