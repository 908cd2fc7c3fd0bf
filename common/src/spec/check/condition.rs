//! The checks of `when`: that the other parameter is searched and can have the values.

use std::fmt::Display;

use super::range::is_same;
use crate::assignment::{Assignment, Value};
use crate::error::{Problem, Problems};
use crate::hyper;
use crate::numbers::to_u64;
use crate::space::{Condition, Domain, Holds, Parameter};
use crate::spec::DraftParameter;

/// What a condition can refer to.
pub(super) struct Scope<'a> {
    /// Every entry of `[space]`, including those that were refused.
    pub(super) drafts: &'a [DraftParameter],
    /// Hyperparameters that are not searched.
    pub(super) fixed: &'a Assignment,
    /// The entries of `[space]` that were accepted.
    pub(super) parameters: &'a [Parameter],
}

/// The condition of a parameter: the one in `when`, or for a network's `units_N` that layer N
/// exists. `None` if it is always active, or if `when` is wrong, which is reported.
pub(super) fn check_condition(
    draft: &DraftParameter,
    scope: &Scope<'_>,
    is_network: bool,
    problems: &mut Problems,
) -> Option<Condition> {
    let layer = hyper::unit_layer(&draft.name).filter(|_| is_network);
    match (&draft.when, layer) {
        (Some(when), None) => {
            written_condition(draft, when, scope).map_err(|problem| problems.push(problem)).ok()?
        }
        (Some(_), Some(layer)) => {
            let message =
                format!("{} is active whenever layer {layer} exists: remove `when`", draft.name);
            problems.push(Problem::new(draft.path("when"), message));
            None
        }
        (None, Some(layer)) => layer_condition(draft, layer, scope, problems),
        (None, None) => None,
    }
}

/// `None` without an error where the other parameter was refused: it has its problem already.
fn written_condition(
    draft: &DraftParameter,
    when: &[(String, Vec<Value>)],
    scope: &Scope<'_>,
) -> Result<Option<Condition>, Problem> {
    let field = draft.path("when");
    let [(parent, values)] = when else {
        let message = "expected one parameter and its values, such as { optimizer = [\"adam\"] }";
        return Err(Problem::new(field, message));
    };
    let field = format!("{field}.{parent}");
    let refused = |message: String| Err(Problem::new(&field, message));
    if parent == &draft.name {
        return refused(format!(
            "{parent} cannot depend on itself: name another parameter, or remove `when`"
        ));
    }
    if !scope.drafts.iter().any(|d| &d.name == parent) {
        return refused(match scope.fixed.get(parent) {
            Some(value) => format!(
                "{parent} is not searched but fixed at {value}: search it in [space], or remove \
                 `when`"
            ),
            None => format!("{parent} is not searched: add it to [space], or remove `when`"),
        });
    }
    let Some(parent) = scope.parameters.iter().find(|p| &p.name == parent) else {
        return Ok(None);
    };
    if values.is_empty() {
        return refused(format!("expected at least one value for which {} is active", draft.name));
    }
    if let Domain::Float { .. } = parent.domain {
        return refused(format!(
            "{} is searched over a continuous range and never equals a given value: give it \
             choices, or remove `when`",
            parent.name
        ));
    }
    let mut drawn = Vec::with_capacity(values.len());
    for value in values {
        let Some(value) = as_drawn(&parent.domain, value) else {
            let message =
                format!("{} never has this value: expected {}", parent.name, text(&parent.domain));
            return Err(Problem::with_value(&field, value, message));
        };
        drawn.push(value);
    }
    Ok(Some(Condition { parameter: parent.name.clone(), holds: Holds::OneOf(drawn) }))
}

/// The values of a domain in words.
fn text(domain: &Domain) -> String {
    match domain {
        Domain::Float { low, high, .. } => format!("a number from {low} to {high}"),
        Domain::Int { low, high, .. } => format!("a whole number from {low} to {high}"),
        Domain::Choice { values } => {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            format!("one of {}", values.join(", "))
        }
    }
}

/// The value as a sampler draws it: 2 for a written 2.0 in a range of whole numbers, and the
/// spelling of the choice among choices. `None` if it is never drawn.
fn as_drawn(domain: &Domain, value: &Value) -> Option<Value> {
    match domain {
        Domain::Choice { values } => values.iter().find(|choice| is_same(choice, value)).cloned(),
        Domain::Int { .. } | Domain::Float { .. } => {
            domain.encode(value).and_then(|_| value.as_i64()).map(Value::Int)
        }
    }
}

fn layer_condition(
    draft: &DraftParameter,
    layer: u32,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<Condition> {
    let mut refuse = |layers: &dyn Display, remedy: String| {
        let message = format!("never active, because layers is {layers}: {remedy}");
        problems.push(Problem::new(draft.path(""), message));
    };
    if let Some(layers) = scope.parameters.iter().find(|p| p.name == "layers") {
        if let Some(most) = layers.domain.max_whole().filter(|most| *most < i64::from(layer)) {
            let remedy = format!("allow {layer} layers or more, or remove {}", draft.name);
            refuse(&format!("at most {most}"), remedy);
        }
        return Some(Condition {
            parameter: "layers".to_owned(),
            holds: Holds::AtLeast(i64::from(layer)),
        });
    }
    let layers =
        hyper::train_spec(scope.fixed, &Assignment::default()).map_or(0, |spec| spec.hidden.len());
    if to_u64(layers) < u64::from(layer) {
        let remedy = format!("set layers to {layer} or more in [fixed], or search layers");
        refuse(&layers, remedy);
    }
    None
}
