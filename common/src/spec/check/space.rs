//! The checks of `[space]` as a whole: which parameters there are, that each is searched only once,
//! and that searching it can change a result.

use super::condition::{Scope, check_condition};
use super::external::{check_external_name, check_external_range};
use super::range::{check_choices, check_points, check_range};
use crate::assignment::{Assignment, Value};
use crate::error::{Problem, Problems};
use crate::hyper::{self, Hyperparameter};
use crate::limits::MAX_PARAMETERS;
use crate::space::{Domain, Parameter, Space};
use crate::spec::DraftParameter;
use crate::spec::rules::GIVEN_TWICE;

/// Hyperparameters that a network without hidden layers does not use.
const OF_HIDDEN_LAYERS: [&str; 7] = [
    "units",
    "activation",
    "normalization",
    "batch_norm_momentum",
    "dropout",
    "dropout_schedule",
    "init",
];

/// Who runs the trials, and so which parameters there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Workers train networks: the table of hyperparameters has the names, values and effects.
    Network,
    /// External clients run the trials: parameters have any name.
    External,
}

/// Checks every parameter, then the conditions between them. An absent `[space]` is the empty
/// space, which stands for the default one; an external sweep must have a space.
pub(super) fn check_space(
    drafts: Option<&[DraftParameter]>,
    fixed: &Assignment,
    subject: Subject,
    problems: &mut Problems,
) -> Space {
    let Some(drafts) = drafts else {
        if subject == Subject::External {
            let message = "missing: source = \"external\" has no default space: list the \
                           parameters to search";
            problems.push(Problem::new("space", message));
        }
        return Space::default();
    };
    if !check_size(drafts, subject, problems) {
        return Space::default();
    }
    let mut parameters: Vec<Parameter> = Vec::new();
    for draft in drafts {
        if parameters.iter().any(|p| p.name == draft.name) {
            problems.push(Problem::new(draft.path(""), GIVEN_TWICE));
        } else if let Some(parameter) = check_parameter(draft, fixed, subject, problems) {
            parameters.push(parameter);
        }
    }
    for draft in drafts {
        let scope = Scope { drafts, fixed, parameters: &parameters };
        let condition = check_condition(draft, &scope, subject == Subject::Network, problems);
        if let Some(parameter) = parameters.iter_mut().find(|p| p.name == draft.name) {
            parameter.when = condition;
        }
        if subject == Subject::Network {
            check_effect(draft, drafts, fixed, problems);
        }
    }
    if subject == Subject::Network {
        check_decay(&parameters, fixed, problems);
    }
    Space::new(parameters).unwrap_or_else(|| {
        // A condition on a parameter that was refused ends here too; that one has its problem.
        if problems.is_empty() {
            let message = "the conditions form a circle: remove `when` from one of the parameters";
            problems.push(Problem::new("space", message));
        }
        Space::default()
    })
}

/// False if there are too many parameters to go on.
fn check_size(drafts: &[DraftParameter], subject: Subject, problems: &mut Problems) -> bool {
    if drafts.is_empty() && !problems.touches("space") {
        let message = match subject {
            Subject::Network => {
                "empty: list the hyperparameters to search, or remove the section to use the \
                 default space"
            }
            Subject::External => "empty: list the parameters to search",
        };
        problems.push(Problem::new("space", message));
    }
    let is_small = drafts.len() <= MAX_PARAMETERS;
    if !is_small {
        let message = format!("has {} parameters: expected at most {MAX_PARAMETERS}", drafts.len());
        problems.push(Problem::new("space", message));
    }
    is_small
}

fn check_parameter(
    draft: &DraftParameter,
    fixed: &Assignment,
    subject: Subject,
    problems: &mut Problems,
) -> Option<Parameter> {
    let field = draft.path("");
    let row = match (subject, hyper::lookup(&draft.name)) {
        (Subject::External, _) => {
            check_external_name(draft, problems)?;
            None
        }
        (Subject::Network, Some(row)) => Some(row),
        (Subject::Network, None) => {
            problems.push(hyper::unknown(&field, &draft.name));
            return None;
        }
    };
    if let Some(value) = fixed.get(&draft.name) {
        let message = format!("also given in [fixed] as {value}: remove one of the two");
        problems.push(Problem::new(&field, message));
    }
    let domain = match (&draft.choices, row) {
        (Some(choices), row) => check_choices(draft, row, choices, problems),
        (None, Some(row)) => check_range(draft, row, problems),
        (None, None) => check_external_range(draft, problems),
    }?;
    let points = check_points(draft, &domain, problems);
    Some(Parameter { name: draft.name.clone(), domain, when: None, points })
}

/// Refuses a range that the fixed schedule does not allow: cosine needs a decay of at most 1.
fn check_decay(parameters: &[Parameter], fixed: &Assignment, problems: &mut Problems) {
    let is_cosine = fixed.get("schedule").and_then(Value::as_str) == Some("cosine");
    let Some(decay) =
        parameters.iter().find(|p| p.name == "learning_rate_decay").filter(|_| is_cosine)
    else {
        return;
    };
    let (key, most) = match &decay.domain {
        Domain::Float { high, .. } => ("high", Some(Value::Float(*high))),
        Domain::Choice { values } => {
            ("choices", values.iter().find(|v| v.as_f64() > Some(1.0)).cloned())
        }
        Domain::Int { .. } => return,
    };
    if let Some(most) = most.filter(|most| most.as_f64() > Some(1.0)) {
        let field = format!("space.learning_rate_decay.{key}");
        let message = "with schedule = \"cosine\" the decay is the share of the learning rate \
                       lost by the last epoch: expected at most 1";
        problems.push(Problem::with_value(field, most, message));
    }
}

/// Refuses to search a hyperparameter that cannot change a result: beta2 with a fixed optimizer
/// that does not use it, units without a hidden layer.
fn check_effect(
    draft: &DraftParameter,
    drafts: &[DraftParameter],
    fixed: &Assignment,
    problems: &mut Problems,
) {
    let has_no_layer = fixed.get("layers").and_then(Value::as_i64) == Some(0)
        && !drafts.iter().any(|d| d.name == "layers");
    if has_no_layer && OF_HIDDEN_LAYERS.contains(&draft.name.as_str()) {
        let message = "has no effect with layers = 0: set layers to 1 or more in [fixed], or \
                       remove it";
        problems.push(Problem::new(draft.path(""), message));
        return;
    }
    let Some((other, values)) = hyper::lookup(&draft.name).and_then(|row| row.needs) else {
        return;
    };
    if drafts.iter().any(|d| d.name == other) {
        return;
    }
    let default = hyper::lookup(other).map(Hyperparameter::default_text).unwrap_or_default();
    let current = fixed.get(other).and_then(Value::as_str).unwrap_or(&default);
    if !values.contains(&current) {
        let message = format!(
            "has no effect with {other} = {current:?}: set {other} to \"{}\" in [fixed], or \
             remove it",
            values.join("\" or \"")
        );
        problems.push(Problem::new(draft.path(""), message));
    }
}
