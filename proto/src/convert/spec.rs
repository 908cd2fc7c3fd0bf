//! The spec of a sweep. Its problems have the paths of the sweep file (`space.units.low`), so that
//! they read the same on both sides.

use caviar_common::assignment::Value;
use caviar_common::data::DataSpec;
use caviar_common::error::{Problem, Problems};
use caviar_common::hyper::TABLE;
use caviar_common::ids::Name;
use caviar_common::limits::{
    MAX_COLUMN_NAMES, MAX_LAYERS, MAX_PARAMETERS, MAX_REPEATS, MAX_ROUNDS,
};
use caviar_common::metric::Metric;
use caviar_common::numbers::index;
use caviar_common::space::{Domain, Holds, Parameter};
use caviar_common::spec::{
    Draft, DraftClassWeights, DraftData, DraftKeep, DraftObjective, DraftParameter, DraftSearch,
    DraftStopping, Goal, Objective, ObjectiveEpoch, Parallelism, SearchSpec, SweepSpec,
};
use caviar_common::text::quoted;

use super::data::encode_data;
use super::field::{Within, at_most, check_count, optional_text, parameter_name, required, text};
use super::value::{
    decode_entry, decode_optional_value, decode_values, encode_map, encode_value, encode_values,
};
use crate::v1;

/// Reads a spec as a client sent it. Checks only the size and shape of the message.
///
/// # Errors
/// Every field that is too large, lacks a required value, or has a number that is not finite.
pub fn decode_draft(wire: v1::SweepSpec) -> Result<Draft, Problems> {
    let mut problems = Reader::default();
    let search = wire.search.unwrap_or_default();
    let objective = wire.objective.unwrap_or_default();
    let draft = Draft {
        name: problems.keep(optional_text("name", wire.name)),
        seed: wire.seed,
        preset: problems.keep(optional_text("preset", wire.preset)),
        data: problems.data(wire.data.unwrap_or_default()),
        fixed: problems.fixed(wire.fixed),
        space: wire.space.map(|space| problems.space(space.parameters)),
        search: DraftSearch {
            strategy: problems.keep(optional_text("search.strategy", search.strategy)),
            trials: search.trials,
            rounds: search.rounds.and_then(|rounds| {
                problems.keep(at_most("search.rounds", rounds.trials, MAX_ROUNDS).map(Some))
            }),
            parallelism: search.parallelism,
            order: problems.keep(optional_text("search.order", search.order)),
            warm_start: problems.keep(optional_text("search.warm_start", search.warm_start)),
            replays: search.replays,
        },
        objective: DraftObjective {
            metric: problems.keep(optional_text("objective.metric", objective.metric)),
            goal: problems.keep(optional_text("objective.goal", objective.goal)),
            epoch: problems.keep(optional_text("objective.epoch", objective.epoch)),
            repeats: objective.repeats,
        },
        stopping: DraftStopping {
            rule: problems
                .keep(optional_text("stopping.rule", wire.stopping.unwrap_or_default().rule)),
        },
        keep: DraftKeep { models: wire.keep.unwrap_or_default().models },
    };
    problems.found.into_result(draft)
}

/// Collects the problems while a draft is read. A field with a problem is read as absent.
#[derive(Default)]
struct Reader {
    found: Problems,
}

impl Reader {
    /// The value, or `None` after its problem is added.
    fn keep<T>(&mut self, result: Result<Option<T>, Problem>) -> Option<T> {
        result.unwrap_or_else(|problem| {
            self.found.push(problem);
            None
        })
    }

    fn data(&mut self, wire: v1::DataSpec) -> DraftData {
        let split = wire.split.unwrap_or_default();
        let weights = wire.weights.unwrap_or_default();
        let field = "data.validation_source";
        DraftData {
            source: self.keep(optional_text("data.source", wire.source)),
            label: self.keep(optional_text("data.label", wire.label)),
            more_labels: self.texts("data.label", wire.more_labels).unwrap_or_default(),
            labels: self.keep(optional_text("data.labels", wire.labels)),
            task: self.keep(optional_text("data.task", wire.task)),
            validation: wire.validation,
            test: wire.test,
            group: self.keep(optional_text("data.group", split.group)),
            time: self.keep(optional_text("data.time", split.time)),
            validation_source: self.keep(optional_text(field, split.validation_source)),
            test_source: self.keep(optional_text("data.test_source", split.test_source)),
            folds: split.folds,
            weight: self.keep(optional_text("data.weight", weights.column)),
            class_weights: self.class_weights(weights.class_weights, weights.of_classes),
            ..self.table(wire.table.unwrap_or_default())
        }
    }

    /// The part of `[data]` that says how a table is read. An empty list is as good as none.
    fn table(&mut self, wire: v1::TableSpec) -> DraftData {
        DraftData {
            delimiter: self.keep(optional_text("data.delimiter", wire.delimiter)),
            header: wire.header,
            columns: self.texts("data.columns", wire.columns),
            ignore: self.texts("data.ignore", wire.ignore),
            types: self.types(wire.types),
            missing: self.texts("data.missing", wire.missing),
            ..DraftData::default()
        }
    }

    /// A rule, or the weights of classes. Both at once are a mistake.
    fn class_weights(
        &mut self,
        rule: Option<String>,
        given: impl IntoIterator<Item = (String, f64), IntoIter: ExactSizeIterator>,
    ) -> Option<DraftClassWeights> {
        let (field, given) = ("data.class_weights", given.into_iter());
        let rule = self.keep(optional_text(field, rule));
        if given.len() == 0 {
            return rule.map(DraftClassWeights::Rule);
        }
        if rule.is_some() {
            let message = "given as a rule and by class: remove one of the two";
            self.found.push(Problem::new(field, message));
        }
        if let Err(problem) = check_count(field, given.len(), MAX_COLUMN_NAMES) {
            self.found.push(problem);
            return None;
        }
        let checked = given
            .filter_map(|(name, weight)| Some((self.keep(text(field, name).map(Some))?, weight)));
        Some(DraftClassWeights::Given(checked.collect()))
    }

    fn texts(&mut self, field: &str, wire: Vec<String>) -> Option<Vec<String>> {
        let texts = self.keep(at_most(field, wire, MAX_COLUMN_NAMES).map(Some))?;
        let checked = texts.into_iter().filter_map(|entry| self.keep(text(field, entry).map(Some)));
        Some(checked.collect()).filter(|texts: &Vec<String>| !texts.is_empty())
    }

    fn types(
        &mut self,
        wire: impl IntoIterator<Item = (String, String), IntoIter: ExactSizeIterator>,
    ) -> Option<Vec<(String, String)>> {
        let field = "data.types";
        let entries = wire.into_iter();
        if let Err(problem) = check_count(field, entries.len(), MAX_COLUMN_NAMES) {
            self.found.push(problem);
            return None;
        }
        let checked = entries.filter_map(|(name, kind)| {
            let name = self.keep(text(field, name).map(Some))?;
            Some((name, self.keep(text(field, kind).map(Some))?))
        });
        Some(checked.collect()).filter(|types: &Vec<_>| !types.is_empty())
    }

    fn fixed(
        &mut self,
        wire: impl IntoIterator<Item = (String, v1::Value), IntoIter: ExactSizeIterator>,
    ) -> Vec<(String, Value)> {
        let entries = wire.into_iter();
        if let Err(problem) = check_count("fixed", entries.len(), max_fixed()) {
            self.found.push(problem);
            return Vec::new();
        }
        entries
            .filter_map(|(name, value)| {
                self.keep(decode_entry(name, value).within("fixed").map(Some))
            })
            .collect()
    }

    fn space(&mut self, wire: Vec<v1::Parameter>) -> Vec<DraftParameter> {
        let wire = self.keep(at_most("space", wire, MAX_PARAMETERS).map(Some)).unwrap_or_default();
        wire.into_iter()
            .enumerate()
            .filter_map(|(i, parameter)| self.parameter(i, parameter))
            .collect()
    }

    fn parameter(&mut self, index: usize, wire: v1::Parameter) -> Option<DraftParameter> {
        let name =
            self.keep(parameter_name("name", wire.name).at("space.parameters", index).map(Some))?;
        let path = |key: &str| format!("space.{name}.{key}");
        let choices =
            wire.choices.map(|choices| decode_values(&path("choices"), choices.values)).transpose();
        let parameter = DraftParameter {
            kind: self.keep(optional_text(&path("type"), wire.r#type)),
            scale: self.keep(optional_text(&path("scale"), wire.scale)),
            low: self.keep(decode_optional_value(&path("low"), wire.low)),
            high: self.keep(decode_optional_value(&path("high"), wire.high)),
            choices: self.keep(choices),
            when: self.keep(wire.when.map(decode_condition).transpose().within(&path("when"))),
            points: wire.points,
            name: String::new(),
        };
        Some(DraftParameter { name, ..parameter })
    }
}

/// The number of hyperparameters that exist, with the units of every layer.
pub(super) fn max_fixed() -> usize {
    TABLE.len() + index(MAX_LAYERS)
}

fn decode_condition(wire: v1::Condition) -> Result<Vec<(String, Vec<Value>)>, Problem> {
    let parameter = parameter_name("parameter", wire.parameter)?;
    let values = decode_values(&parameter, wire.values)?;
    Ok(vec![(parameter, values)])
}

/// Reads and checks a spec by the rules of the sweep file.
///
/// # Errors
/// Every problem that [`decode_draft`] finds; if it finds none, every problem of the content.
pub fn decode_spec(wire: v1::SweepSpec) -> Result<SweepSpec, Problems> {
    decode_draft(wire)?.check()
}

/// Converts a spec to the wire, with every default filled in.
pub fn encode_spec(spec: &SweepSpec) -> v1::SweepSpec {
    let parameters: Vec<v1::Parameter> =
        spec.space.parameters().iter().map(encode_parameter).collect();
    v1::SweepSpec {
        name: Some(spec.name.to_string()),
        seed: Some(spec.seed),
        data: Some(encode_data(&spec.data)),
        fixed: encode_map(&spec.fixed),
        // The default space is not known before the data. Until then the space is empty and left
        // out, as in the sweep file.
        space: (!parameters.is_empty()).then_some(v1::Space { parameters }),
        search: Some(encode_search(&spec.search)),
        objective: Some(encode_objective(spec)),
        stopping: Some(v1::StoppingSpec { rule: Some(spec.stopping.name().to_owned()) }),
        keep: Some(v1::KeepSpec { models: Some(spec.keep.models.into()) }),
        preset: spec.preset.map(|preset| preset.name().to_owned()),
    }
}

/// What the author left open is left out. So is a metric that follows from the task if the data
/// decides that: a metric of classes would mean that the sweep asks for classification.
fn encode_objective(spec: &SweepSpec) -> v1::ObjectiveSpec {
    let wire = encode_whole_objective(&spec.objective);
    v1::ObjectiveSpec {
        metric: wire.metric.filter(|_| spec.has_settled_metric()),
        goal: wire.goal.filter(|_| !spec.has_open_objective),
        ..wire
    }
}

pub(super) fn encode_whole_objective(objective: &Objective) -> v1::ObjectiveSpec {
    let Objective { metric, goal, epoch, repeats } = objective;
    v1::ObjectiveSpec {
        metric: Some(metric.name().to_owned()),
        goal: Some(goal.name().to_owned()),
        epoch: Some(epoch.name().to_owned()),
        repeats: (*repeats != 1).then_some((*repeats).into()),
    }
}

/// Reads the objective of a grant, which has every field.
pub(super) fn decode_whole_objective(wire: v1::ObjectiveSpec) -> Result<Objective, Problem> {
    let unknown = |field: &str, text: &str| {
        Problem::with_value(field, quoted(text), "not a name that this release knows")
    };
    let metric = text("metric", required("metric", wire.metric)?)?;
    let (goal, epoch) = (required("goal", wire.goal)?, required("epoch", wire.epoch)?);
    let goals = [Goal::Minimize, Goal::Maximize];
    Ok(Objective {
        metric: Metric::try_from(metric)?,
        goal: goals
            .into_iter()
            .find(|known| known.name() == goal)
            .ok_or_else(|| unknown("goal", &goal))?,
        epoch: ObjectiveEpoch::ALL
            .into_iter()
            .find(|known| known.name() == epoch)
            .ok_or_else(|| unknown("epoch", &epoch))?,
        repeats: u32::try_from(wire.repeats.unwrap_or(1))
            .ok()
            .filter(|repeats| (1..=MAX_REPEATS).contains(repeats))
            .ok_or_else(|| Problem::new("repeats", format!("expected 1 to {MAX_REPEATS}")))?,
    })
}

fn encode_search(search: &SearchSpec) -> v1::SearchSpec {
    let rounds = v1::Rounds { trials: search.rounds.iter().copied().map(u64::from).collect() };
    v1::SearchSpec {
        strategy: Some(search.strategy.name().to_owned()),
        trials: Some(search.trials.into()),
        rounds: search.strategy.has_rounds().then_some(rounds),
        parallelism: match search.parallelism {
            Parallelism::Auto => None,
            Parallelism::Trials(trials) => Some(trials.into()),
        },
        order: Some(search.order.name().to_owned()),
        warm_start: search.warm_start.as_ref().map(Name::to_string),
        replays: search.replays.map(|trial| trial.0.into()),
    }
}

fn encode_parameter(parameter: &Parameter) -> v1::Parameter {
    let wire = v1::Parameter {
        name: parameter.name.clone(),
        points: parameter.points.map(u64::from),
        ..v1::Parameter::default()
    };
    let (kind, scale, low, high) = match &parameter.domain {
        Domain::Float { scale, low, high } => {
            ("float", scale, Value::Float(*low), Value::Float(*high))
        }
        Domain::Int { scale, low, high } => ("int", scale, Value::Int(*low), Value::Int(*high)),
        Domain::Choice { values } => {
            let choices = Some(v1::Values { values: encode_values(values) });
            return v1::Parameter { choices, when: encode_condition(parameter), ..wire };
        }
    };
    v1::Parameter {
        r#type: Some(kind.to_owned()),
        scale: Some(scale.name().to_owned()),
        low: Some(encode_value(&low)),
        high: Some(encode_value(&high)),
        when: encode_condition(parameter),
        ..wire
    }
}

/// A condition as the sweep file has it. The condition of `units_N`, that layer N exists, follows
/// from the name and is left out.
fn encode_condition(parameter: &Parameter) -> Option<v1::Condition> {
    let condition = parameter.when.as_ref()?;
    match &condition.holds {
        Holds::OneOf(values) => Some(v1::Condition {
            parameter: condition.parameter.clone(),
            values: encode_values(values),
        }),
        Holds::AtLeast(_) => None,
    }
}

/// Reads and checks where the data is.
///
/// # Errors
/// The first problem. Its path begins with `data`.
pub fn decode_data(wire: v1::DataSpec) -> Result<DataSpec, Problem> {
    // The rules are those of a draft, so the data is put into the smallest draft that is legal.
    let search = v1::SearchSpec { trials: Some(1), ..v1::SearchSpec::default() };
    let around = v1::SweepSpec {
        name: Some("data".to_owned()),
        data: Some(wire),
        search: Some(search),
        ..v1::SweepSpec::default()
    };
    decode_spec(around).map(|spec| spec.data).map_err(first)
}

/// The first of several problems, for a function that returns only one.
pub(super) fn first(problems: Problems) -> Problem {
    problems
        .into_iter()
        .next()
        .unwrap_or_else(|| Problem::new("", "refused without a reason, which is a bug in Caviar"))
}
