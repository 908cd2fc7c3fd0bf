//! The rules of `[space]`.

use super::check::{named, unknown_hyperparameter};
use super::check_external::{check_external_name, check_external_range};
use super::draft::DraftParameter;
use crate::assignment::{Assignment, Value};
use crate::error::{Problem, Problems};
use crate::hyper::{self, Hyperparameter, Kind};
use crate::limits::{MAX_CHOICES, MAX_PARAMETERS};
use crate::scale::Scale;
use crate::space::{Condition, Domain, Holds, Parameter, Space};

/// What only hidden layers have.
const OF_HIDDEN_LAYERS: [&str; 6] =
    ["units", "activation", "normalization", "batch_norm_momentum", "dropout", "init"];

/// Whose parameters are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Those of the networks that workers train: the names, values and effects are known.
    Network,
    /// Those of a program that trains by itself: any.
    Program,
}

/// Checks every parameter, then how they hang together. An absent `[space]` is the empty space,
/// which a program cannot have.
pub(super) fn check_space(
    drafts: Option<&[DraftParameter]>,
    fixed: &Assignment,
    subject: Subject,
    problems: &mut Problems,
) -> Space {
    let Some(drafts) = drafts else {
        if subject == Subject::Program {
            problems.push(Problem::new("space", "missing: with source = \"external\" there is no default space; name what to search"));
        }
        return Space::default();
    };
    if drafts.is_empty() && !problems.touches("space") {
        let message = match subject {
            Subject::Network => {
                "empty: name a hyperparameter to search, or leave the section out for the default space"
            }
            Subject::Program => "empty: name what to search",
        };
        problems.push(Problem::new("space", message));
    }
    if drafts.len() > MAX_PARAMETERS {
        problems.push(Problem::with_value(
            "space",
            drafts.len(),
            format!("write at most {MAX_PARAMETERS} parameters"),
        ));
        return Space::default();
    }
    let mut parameters: Vec<Parameter> = Vec::new();
    for draft in drafts {
        if parameters.iter().any(|p| p.name == draft.name) {
            problems.push(Problem::new(path(draft), "given twice: write it once"));
        } else if let Some(parameter) = check_parameter(draft, fixed, subject, problems) {
            parameters.push(parameter);
        }
    }
    for draft in drafts {
        check_condition(draft, drafts, fixed, subject, &mut parameters, problems);
        if subject == Subject::Network {
            check_effect(draft, drafts, fixed, problems);
        }
    }
    if subject == Subject::Network {
        check_decay(&parameters, fixed, problems);
    }
    Space::new(parameters).unwrap_or_else(|| {
        // A condition on a parameter that was itself refused ends here too: then there is a problem
        // already.
        if problems.is_empty() {
            problems.push(Problem::new(
                "space",
                "the conditions run in a circle: let one of the parameters stand without `when`",
            ));
        }
        Space::default()
    })
}

pub(super) fn path(draft: &DraftParameter) -> String {
    format!("space.{}", draft.name)
}

fn check_parameter(
    draft: &DraftParameter,
    fixed: &Assignment,
    subject: Subject,
    problems: &mut Problems,
) -> Option<Parameter> {
    let field = path(draft);
    let row = match (subject, hyper::lookup(&draft.name)) {
        (Subject::Program, _) => {
            check_external_name(draft, problems)?;
            None
        }
        (Subject::Network, Some(row)) => Some(row),
        (Subject::Network, None) => {
            problems.push(unknown_hyperparameter(&field, &draft.name));
            return None;
        }
    };
    if let Some(value) = fixed.get(&draft.name) {
        problems.push(Problem::new(
            &field,
            format!("also in [fixed] as {value}: write it in one of the two"),
        ));
    }
    let domain = match (&draft.choices, row) {
        (Some(choices), row) => check_choices(draft, row, choices, problems),
        (None, Some(row)) => check_range(draft, row, problems),
        (None, None) => check_external_range(draft, problems),
    }?;
    let points = check_points(draft, &domain, problems);
    Some(Parameter { name: draft.name.clone(), domain, when: None, points })
}

fn check_choices(
    draft: &DraftParameter,
    row: Option<&Hyperparameter>,
    choices: &[Value],
    problems: &mut Problems,
) -> Option<Domain> {
    let field = format!("{}.choices", path(draft));
    let ranged = [
        ("type", draft.kind.is_some()),
        ("scale", draft.scale.is_some()),
        ("low", draft.low.is_some()),
        ("high", draft.high.is_some()),
    ];
    for (key, _) in ranged.iter().filter(|(_, given)| *given) {
        problems.push(Problem::new(
            format!("{}.{key}", path(draft)),
            "choices have no range: write either choices, or low and high",
        ));
    }
    if choices.is_empty() || choices.len() > MAX_CHOICES {
        let legal =
            row.map_or_else(String::new, |row| format!("; {} is {}", draft.name, row.legal_text()));
        problems.push(Problem::new(&field, format!("write 1 to {MAX_CHOICES} choices{legal}")));
        return None;
    }
    for (i, value) in choices.iter().enumerate() {
        if let Some(message) = row.and_then(|row| row.objection(value)) {
            problems.push(Problem::with_value(&field, value, message));
            return None;
        }
        if choices.iter().take(i).any(|earlier| same(earlier, value)) {
            problems.push(Problem::with_value(&field, value, "given twice: write it once"));
            return None;
        }
    }
    Some(Domain::Choice { values: choices.to_vec() })
}

/// Equal as a hyperparameter: 2 and 2.0 are one batch size.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|x| b.as_f64() == Some(x))
}

fn check_range(
    draft: &DraftParameter,
    row: &Hyperparameter,
    problems: &mut Problems,
) -> Option<Domain> {
    let field = path(draft);
    let natural = match row.kind {
        Kind::Names(names) => {
            problems.push(Problem::new(
                &field,
                format!("a name has no range: write choices = [\"{}\"], say", names.join("\", \"")),
            ));
            return None;
        }
        Kind::Whole { .. } => "int",
        Kind::Real { .. } => "float",
    };
    if let Some(kind) = draft.kind.as_deref().filter(|kind| *kind != natural) {
        let message = format!(
            "{} is {}: write type = \"{natural}\", or leave it out",
            draft.name,
            row.legal_text()
        );
        problems.push(Problem::with_value(format!("{field}.type"), format!("{kind:?}"), message));
    }
    let scales =
        [("linear", Scale::Linear), ("log", Scale::Log), ("one_minus_log", Scale::OneMinusLog)];
    let usable = if natural == "int" { &scales[..2] } else { &scales[..] };
    let scale =
        named(&format!("{field}.scale"), draft.scale.as_deref(), usable, row.scale, problems);
    let low = check_end(draft, row, "low", draft.low.as_ref(), problems);
    let high = check_end(draft, row, "high", draft.high.as_ref(), problems);
    span(draft, natural == "int", scale, (low?, high?), problems)
}

/// The range between two ends that are legal by themselves.
pub(super) fn span(
    draft: &DraftParameter,
    is_int: bool,
    scale: Scale,
    (low, high): (Value, Value),
    problems: &mut Problems,
) -> Option<Domain> {
    let field = path(draft);
    let (a, b) = (low.as_f64()?, high.as_f64()?);
    if a > b {
        problems.push(Problem::with_value(
            format!("{field}.low"),
            &low,
            format!("low is above high = {high}: exchange the two"),
        ));
        return None;
    }
    if a == b {
        let message = format!(
            "the range is empty, because high = {high} too: widen it, or write {} = {low} in [fixed]",
            draft.name
        );
        problems.push(Problem::with_value(format!("{field}.low"), &low, message));
        return None;
    }
    if let Some(objection) = scale.objection(a, b) {
        let (key, value) = if scale == Scale::Log { ("low", &low) } else { ("high", &high) };
        problems.push(Problem::with_value(
            format!("{field}.{key}"),
            value,
            format!("{objection}; write {}", remedy(scale)),
        ));
        return None;
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

/// One end of a range. The range of a hyperparameter that excludes its own end (0 for a learning
/// rate) is left to the scale to refuse, which says it better.
fn check_end(
    draft: &DraftParameter,
    row: &Hyperparameter,
    key: &str,
    value: Option<&Value>,
    problems: &mut Problems,
) -> Option<Value> {
    let field = format!("{}.{key}", path(draft));
    let Some(value) = value else {
        problems.push(Problem::new(
            &field,
            format!(
                "missing: {} needs low and high, or choices; it is {}",
                draft.name,
                row.legal_text()
            ),
        ));
        return None;
    };
    let touches_scale = match (key, value.as_f64()) {
        ("low", Some(v)) => v == 0.0 && is_scale(draft, row, Scale::Log),
        ("high", Some(v)) => v == 1.0 && is_scale(draft, row, Scale::OneMinusLog),
        _ => false,
    };
    if let Some(message) = row.objection(value).filter(|_| !touches_scale) {
        problems.push(Problem::with_value(&field, value, message));
        return None;
    }
    Some(value.clone())
}

fn is_scale(draft: &DraftParameter, row: &Hyperparameter, scale: Scale) -> bool {
    draft.scale.as_deref().map_or(row.scale == scale, |name| name == scale.name())
}

fn check_points(draft: &DraftParameter, domain: &Domain, problems: &mut Problems) -> Option<u32> {
    let points = draft.points?;
    let field = format!("{}.points", path(draft));
    let most = match domain {
        Domain::Choice { .. } => {
            problems.push(Problem::new(&field, "a grid takes every choice: leave points out"));
            return None;
        }
        Domain::Int { .. } | Domain::Float { .. } => {
            domain.cardinality().unwrap_or(u64::from(crate::limits::MAX_TRIALS))
        }
    };
    match u32::try_from(points) {
        Ok(value) if value >= 1 && points <= most => Some(value),
        _ => {
            problems.push(Problem::with_value(
                &field,
                points,
                format!("write a whole number from 1 to {most}"),
            ));
            None
        }
    }
}

/// Attaches the condition of a parameter: the one written, or for `units_N` that layer N exists.
fn check_condition(
    draft: &DraftParameter,
    drafts: &[DraftParameter],
    fixed: &Assignment,
    subject: Subject,
    parameters: &mut [Parameter],
    problems: &mut Problems,
) {
    let layer = hyper::unit_layer(&draft.name).filter(|_| subject == Subject::Network);
    let condition = match (&draft.when, layer) {
        (Some(when), None) => written_condition(draft, when, drafts, fixed, parameters, problems),
        (Some(_), Some(layer)) => {
            let message =
                format!("{} is active whenever layer {layer} exists: leave `when` out", draft.name);
            problems.push(Problem::new(format!("{}.when", path(draft)), message));
            None
        }
        (None, Some(layer)) => layer_condition(draft, layer, fixed, parameters, problems),
        (None, None) => None,
    };
    if let Some(parameter) = parameters.iter_mut().find(|p| p.name == draft.name) {
        parameter.when = condition;
    }
}

fn written_condition(
    draft: &DraftParameter,
    when: &[(String, Vec<Value>)],
    drafts: &[DraftParameter],
    fixed: &Assignment,
    parameters: &[Parameter],
    problems: &mut Problems,
) -> Option<Condition> {
    let field = format!("{}.when", path(draft));
    let [(parent, values)] = when else {
        problems.push(Problem::new(
            &field,
            "write one parameter and its values: when = { optimizer = [\"adam\"] }",
        ));
        return None;
    };
    let field = format!("{field}.{parent}");
    if parent == &draft.name {
        problems.push(Problem::new(
            &field,
            format!(
                "{parent} cannot depend on itself: name another parameter, or leave `when` out"
            ),
        ));
        return None;
    }
    if !drafts.iter().any(|d| &d.name == parent) {
        let message = match fixed.get(parent) {
            Some(value) => format!(
                "{parent} is not searched, it is fixed at {value}: search it in [space], or leave `when` out"
            ),
            None => format!("{parent} is not searched: add it to [space], or leave `when` out"),
        };
        problems.push(Problem::new(&field, message));
        return None;
    }
    let domain = &parameters.iter().find(|p| &p.name == parent)?.domain;
    if values.is_empty() {
        problems.push(Problem::new(
            &field,
            "write at least one value for which the parameter is active",
        ));
        return None;
    }
    if let Domain::Float { .. } = domain {
        let message = format!(
            "{parent} is searched over a range and never meets a value exactly: give it choices, or leave `when` out"
        );
        problems.push(Problem::new(&field, message));
        return None;
    }
    let mut normal = Vec::with_capacity(values.len());
    for value in values {
        let Some(value) = as_drawn(domain, value) else {
            problems.push(Problem::with_value(
                &field,
                value,
                format!("{parent} never has this value: write one that it can have"),
            ));
            return None;
        };
        normal.push(value);
    }
    Some(Condition { parameter: parent.clone(), holds: Holds::OneOf(normal) })
}

/// The value as a sampler draws it: 2 for 2.0 where whole numbers are drawn, and the choice as it
/// is written among the choices.
fn as_drawn(domain: &Domain, value: &Value) -> Option<Value> {
    match domain {
        Domain::Choice { values } => values.iter().find(|choice| same(choice, value)).cloned(),
        Domain::Int { .. } | Domain::Float { .. } => {
            domain.encode(value).and_then(|_| value.as_i64()).map(Value::Int)
        }
    }
}

fn layer_condition(
    draft: &DraftParameter,
    layer: u32,
    fixed: &Assignment,
    parameters: &[Parameter],
    problems: &mut Problems,
) -> Option<Condition> {
    let refuse = |problems: &mut Problems, layers: &dyn std::fmt::Display, remedy: &str| {
        problems.push(Problem::new(
            path(draft),
            format!("never active, because layers is {layers}: {remedy}"),
        ));
    };
    if let Some(layers) = parameters.iter().find(|p| p.name == "layers") {
        let most = match &layers.domain {
            Domain::Int { high, .. } => Some(*high),
            Domain::Choice { values } => values.iter().filter_map(Value::as_i64).max(),
            Domain::Float { .. } => None,
        };
        if let Some(most) = most.filter(|most| *most < i64::from(layer)) {
            refuse(problems, &format!("at most {most}"), "let it be more, or leave this one out");
        }
        return Some(Condition {
            parameter: "layers".to_owned(),
            holds: Holds::AtLeast(i64::from(layer)),
        });
    }
    let layers =
        hyper::train_spec(fixed, &Assignment::default()).map_or(0, |spec| spec.hidden.len());
    if u64::try_from(layers).is_ok_and(|layers| layers < u64::from(layer)) {
        refuse(
            problems,
            &layers,
            &format!("write layers = {layer} or more in [fixed], or search layers"),
        );
    }
    None
}

/// Refuses a range that the fixed schedule does not allow: with cosine the decay is a share.
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
        let message = "with schedule = \"cosine\" it is the share of the rate lost by the end: write 1 at most";
        problems.push(Problem::with_value(
            format!("space.learning_rate_decay.{key}"),
            most,
            message,
        ));
    }
}

/// Refuses to search what can change nothing: beta2 beside a fixed optimizer that has none, units
/// without a layer.
fn check_effect(
    draft: &DraftParameter,
    drafts: &[DraftParameter],
    fixed: &Assignment,
    problems: &mut Problems,
) {
    let has_no_layer = fixed.get("layers").and_then(Value::as_i64) == Some(0)
        && !drafts.iter().any(|d| d.name == "layers");
    if has_no_layer && OF_HIDDEN_LAYERS.contains(&draft.name.as_str()) {
        let message =
            "has no effect with layers = 0: write layers = 1 or more in [fixed], or leave it out";
        problems.push(Problem::new(path(draft), message));
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
            "has no effect with {other} = {current:?}: write {other} = \"{}\" in [fixed], say, or leave it out",
            values.join("\" or \"")
        );
        problems.push(Problem::new(path(draft), message));
    }
}
