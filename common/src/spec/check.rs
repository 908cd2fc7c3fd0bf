//! From a draft to a spec: every rule of the sweep file but those of `[space]`, which stand in
//! [`super::check_space`].

use super::check_external::{
    check_external_data, check_external_fixed, check_external_objective, check_external_stopping,
};
use super::check_space::{Subject, check_space};
use super::{Draft, Goal, Objective, Order, SearchSpec, StoppingRule, Strategy, SweepSpec};
use crate::assignment::Assignment;
use crate::data::{DataSpec, EXTERNAL, Task};
use crate::error::{Problem, Problems};
use crate::hyper::{self, TABLE};
use crate::ids::Name;
use crate::limits::{MAX_PARALLELISM, MAX_ROUNDS, MAX_TEXT_CHARS, MAX_TRIALS};
use crate::metric::Metric;
use crate::space::Space;
use crate::text;

/// Parallelism unless the file says another: docs/decisions/0010-stopping.md.
const DEFAULT_PARALLELISM: u32 = 8;
/// Share of the validation split unless the file says another.
const DEFAULT_VALIDATION: f64 = 0.2;
/// Share of the test split unless the file says another.
const DEFAULT_TEST: f64 = 0.1;

impl Draft {
    /// Checks everything that can be checked without the data.
    ///
    /// # Errors
    /// All problems of the draft.
    pub fn check(&self) -> Result<SweepSpec, Problems> {
        self.check_after(Problems::default())
    }

    /// As [`Draft::check`], after `problems` were found in reading the draft: a field that has one
    /// gets no second.
    ///
    /// # Errors
    /// All problems, those given included.
    pub fn check_after(&self, mut problems: Problems) -> Result<SweepSpec, Problems> {
        let name = check_name(self, &mut problems);
        let (data, fixed, space, search, objective, stopping);
        if self.data.source.as_deref() == Some(EXTERNAL) {
            data = check_external_data(self, &mut problems);
            fixed = check_external_fixed(self, &mut problems);
            space = check_space(self.space.as_deref(), &fixed, Subject::Program, &mut problems);
            search = check_search(self, &space, &mut problems);
            objective = check_external_objective(self, &mut problems);
            stopping = check_external_stopping(self, search.strategy, &fixed, &mut problems);
        } else {
            data = check_data(self, &mut problems);
            fixed = check_fixed(self, &mut problems);
            space = check_space(self.space.as_deref(), &fixed, Subject::Network, &mut problems);
            search = check_search(self, &space, &mut problems);
            objective = check_objective(self, data.task, &mut problems);
            stopping = check_stopping(self, search.strategy.default_stopping(), &mut problems);
        }
        match name {
            Some(name) => {
                let seed = self.seed.unwrap_or(0);
                problems.into_result(SweepSpec {
                    name,
                    seed,
                    data,
                    fixed,
                    space,
                    search,
                    objective,
                    stopping,
                })
            }
            None => Err(problems),
        }
    }
}

fn check_name(draft: &Draft, problems: &mut Problems) -> Option<Name> {
    let Some(text) = &draft.name else {
        problems.push(Problem::new(
            "name",
            "missing: give the sweep a name, such as name = \"digits\"",
        ));
        return None;
    };
    Name::parse("name", text).map_err(|p| problems.push(p)).ok()
}

/// The value named by `text`, or `default` where it is absent or wrong; a wrong one is reported
/// with the names that would be right.
pub(super) fn named<T: Copy>(
    field: &str,
    text: Option<&str>,
    known: &[(&str, T)],
    default: T,
    problems: &mut Problems,
) -> T {
    let Some(text) = text else { return default };
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return *value;
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    problems.push(Problem::with_value(
        field,
        format!("{text:?}"),
        format!("write one of {}", names.join(", ")),
    ));
    default
}

fn check_data(draft: &Draft, problems: &mut Problems) -> DataSpec {
    let data = &draft.data;
    let source = data.source.clone().unwrap_or_default();
    if data.source.is_none() {
        problems.push(Problem::new(
            "data.source",
            "missing: write \"builtin:digits\", or the path of a .csv or IDX file; or \"external\"",
        ));
    }
    for (field, text) in [
        ("data.source", Some(&source)),
        ("data.label", data.label.as_ref()),
        ("data.labels", data.labels.as_ref()),
    ] {
        if let Some(text) = text.filter(|t| t.chars().count() > MAX_TEXT_CHARS) {
            let shown: String = text.chars().take(40).collect();
            problems.push(Problem::with_value(
                field,
                format!("{shown:?}..."),
                format!("write at most {MAX_TEXT_CHARS} characters"),
            ));
        }
    }
    let tasks = [("classification", Task::Classification), ("regression", Task::Regression)];
    let task = named("data.task", data.task.as_deref(), &tasks, Task::Classification, problems);
    let validation = data.validation.unwrap_or(DEFAULT_VALIDATION);
    let test = data.test.unwrap_or(DEFAULT_TEST);
    if !(validation > 0.0 && validation < 1.0) {
        problems.push(Problem::with_value(
            "data.validation",
            validation,
            "write a share above 0 and below 1, such as 0.2",
        ));
    }
    if !(0.0..1.0).contains(&test) {
        problems.push(Problem::with_value(
            "data.test",
            test,
            "write a share from 0 and below 1, such as 0.1",
        ));
    } else if validation + test >= 1.0 && !problems.touches("data.validation") {
        let message = format!(
            "with validation = {validation} nothing is left to train on: the two must add up to less than 1"
        );
        problems.push(Problem::with_value("data.test", test, message));
    }
    DataSpec {
        source,
        label: data.label.clone(),
        labels: data.labels.clone(),
        task,
        validation,
        test,
    }
}

fn check_fixed(draft: &Draft, problems: &mut Problems) -> Assignment {
    let mut fixed = Assignment::default();
    for (name, value) in &draft.fixed {
        let field = format!("fixed.{name}");
        match hyper::lookup(name) {
            None => problems.push(unknown_hyperparameter(&field, name)),
            Some(row) => match row.objection(value) {
                Some(message) => problems.push(Problem::with_value(&field, value, message)),
                None if fixed.get(name).is_some() => {
                    problems.push(Problem::new(&field, "given twice: write it once"))
                }
                None => {
                    fixed.insert(name.clone(), value.clone());
                }
            },
        }
    }
    if let Err(problem) = hyper::train_spec(&fixed, &Assignment::default()) {
        problems.push(Problem { field: format!("fixed.{}", problem.field), ..problem });
    }
    fixed
}

pub(super) fn unknown_hyperparameter(field: &str, name: &str) -> Problem {
    let known = || TABLE.iter().map(|h| h.name);
    let message = match text::nearest(name, known()) {
        Some(near) => format!("no such hyperparameter: did you mean {near}?"),
        None => format!(
            "no such hyperparameter: write one of {}",
            known().collect::<Vec<_>>().join(", ")
        ),
    };
    Problem::new(field, message)
}

/// A whole number from 1 to `limit`; `default` where it is absent or wrong.
fn count(
    field: &str,
    given: Option<u64>,
    limit: u32,
    default: u32,
    problems: &mut Problems,
) -> u32 {
    let Some(given) = given else { return default };
    match u32::try_from(given) {
        Ok(value) if (1..=limit).contains(&value) => value,
        _ => {
            problems.push(Problem::with_value(
                field,
                given,
                format!("write a whole number from 1 to {limit}"),
            ));
            default
        }
    }
}

fn check_search(draft: &Draft, space: &Space, problems: &mut Problems) -> SearchSpec {
    let search = &draft.search;
    let known = Strategy::ALL.map(|s| (s.name(), s));
    let strategy =
        named("search.strategy", search.strategy.as_deref(), &known, Strategy::Zoom, problems);
    if search.trials.is_none() {
        problems
            .push(Problem::new("search.trials", "missing: write the number of trials, such as 60"));
    }
    let trials = count("search.trials", search.trials, MAX_TRIALS, 1, problems);
    let parallelism = count(
        "search.parallelism",
        search.parallelism,
        MAX_PARALLELISM,
        DEFAULT_PARALLELISM,
        problems,
    );
    let rounds = check_rounds(search.rounds.as_deref(), strategy, trials, problems);
    if strategy == Strategy::Grid {
        check_grid(space, trials, problems);
    } else {
        for parameter in space.parameters().iter().filter(|p| p.points.is_some()) {
            let message = format!(
                "only a grid has points: leave it out, or write strategy = \"grid\" instead of {:?}",
                strategy.name()
            );
            problems.push(Problem::new(format!("space.{}.points", parameter.name), message));
        }
    }
    let order = named(
        "search.order",
        search.order.as_deref(),
        &Order::ALL.map(|o| (o.name(), o)),
        Order::default(),
        problems,
    );
    let warm_start = check_warm_start(draft, strategy, problems);
    SearchSpec { strategy, trials, rounds, parallelism, order, warm_start }
}

/// The earlier sweep to learn from. Whether there is one is for the coordinator to say, who has the
/// store.
fn check_warm_start(draft: &Draft, strategy: Strategy, problems: &mut Problems) -> Option<Name> {
    let (field, text) = ("search.warm_start", draft.search.warm_start.as_ref()?);
    if draft.name.as_ref() == Some(text) {
        problems.push(Problem::with_value(
            field,
            format!("{text:?}"),
            "a sweep cannot learn from itself: name an earlier one",
        ));
        return None;
    }
    if strategy != Strategy::Zoom {
        let message = format!(
            "strategy {:?} learns from no other sweep: leave it out, or write strategy = \"zoom\"",
            strategy.name()
        );
        problems.push(Problem::new(field, message));
        return None;
    }
    Name::parse(field, text).map_err(|p| problems.push(p)).ok()
}

pub(super) fn check_stopping(
    draft: &Draft,
    default: StoppingRule,
    problems: &mut Problems,
) -> StoppingRule {
    let known = StoppingRule::ALL.map(|rule| (rule.name(), rule));
    named("stopping.rule", draft.stopping.rule.as_deref(), &known, default, problems)
}

fn check_rounds(
    given: Option<&[u64]>,
    strategy: Strategy,
    trials: u32,
    problems: &mut Problems,
) -> Vec<u32> {
    let field = "search.rounds";
    if strategy != Strategy::Rounds {
        // An unknown strategy may have rounds.
        if given.is_some() && !problems.touches("search.strategy") {
            let message = format!(
                "strategy {:?} has no rounds: leave it out, or write strategy = \"rounds\"",
                strategy.name()
            );
            problems.push(Problem::new(field, message));
        }
        return Vec::new();
    }
    let Some(given) = given else { return default_rounds(trials) };
    let shown = format!("{given:?}");
    if given.is_empty() || given.len() > MAX_ROUNDS || given.contains(&0) {
        let message = format!(
            "write 1 to {MAX_ROUNDS} rounds of at least 1 trial each, such as [30, 20, 10]"
        );
        problems.push(Problem::with_value(field, shown, message));
        return Vec::new();
    }
    let sum = given.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    if sum != u64::from(trials) && !problems.touches("search.trials") {
        let message =
            format!("the rounds add up to {sum}, but trials = {trials}: make the two equal");
        problems.push(Problem::with_value(field, shown, message));
    }
    given.iter().filter_map(|n| u32::try_from(*n).ok()).collect()
}

/// Half of the trials, then a third, then the rest; a small budget has fewer rounds.
fn default_rounds(trials: u32) -> Vec<u32> {
    let (first, second) = (trials.div_ceil(2), trials / 3);
    [first, second, trials - first - second].into_iter().filter(|n| *n > 0).collect()
}

/// A grid whose points are all given must fit the budget; otherwise the grid chooses its points so
/// that it does.
fn check_grid(space: &Space, trials: u32, problems: &mut Problems) {
    let points = crate::grid::count(space, 1);
    if points > u64::from(trials) && !problems.touches("search.trials") {
        let message = format!(
            "the grid has {points} points: write trials = {points}, or fewer points or choices"
        );
        problems.push(Problem::with_value("search.trials", trials, message));
    }
}

fn check_objective(draft: &Draft, task: Task, problems: &mut Problems) -> Objective {
    let default = match task {
        Task::Classification => &Metric::ValidationAccuracy,
        Task::Regression => &Metric::ValidationLoss,
    };
    let metrics = Metric::ALL;
    let known: Vec<(&str, &Metric)> = metrics
        .iter()
        .filter(|m| task == Task::Classification || !m.needs_classes())
        .map(|m| (m.name(), m))
        .collect();
    let metric =
        named("objective.metric", draft.objective.metric.as_deref(), &known, default, problems);
    let natural = if metric.needs_classes() { Goal::Maximize } else { Goal::Minimize };
    let goal = check_goal(draft, natural, problems);
    Objective { metric: metric.clone(), goal }
}

pub(super) fn check_goal(draft: &Draft, default: Goal, problems: &mut Problems) -> Goal {
    let goals = [("minimize", Goal::Minimize), ("maximize", Goal::Maximize)];
    named("objective.goal", draft.objective.goal.as_deref(), &goals, default, problems)
}
