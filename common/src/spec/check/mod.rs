//! The checks that turn a draft into a spec, section by section. [`space`] has those of `[space]`,
//! [`data`] those of `[data]`, and [`external`] those that differ when external clients run the
//! trials.

mod condition;
mod data;
mod external;
mod range;
mod space;
mod weights;

use self::data::{check_data, check_smoothing};
use self::external::{
    check_external_data, check_external_fixed, check_external_keep, check_external_objective,
    check_external_preset, check_external_stopping,
};
use self::space::{Subject, check_space};
use self::weights::check_weights;
use super::rules::{GIVEN_TWICE, check_epoch, check_goal, check_stopping, expected_whole, named};
use super::{
    AUTO, Draft, Goal, KeepSpec, Objective, ObjectiveEpoch, Order, Parallelism, Preset, SearchSpec,
    Strategy, SweepSpec,
};
use crate::assignment::Assignment;
use crate::data::{EXTERNAL, Task};
use crate::error::{Problem, Problems};
use crate::grid;
use crate::hyper;
use crate::ids::{Name, TrialNumber};
use crate::limits::{MAX_MODELS, MAX_PARALLELISM, MAX_REPEATS, MAX_ROUNDS, MAX_TRIALS};
use crate::metric::Metric;
use crate::space::Space;
use crate::text::{one_of, quoted};

impl Draft {
    /// Checks everything that can be checked without reading the data.
    ///
    /// # Errors
    /// Every problem of the draft.
    pub fn check(&self) -> Result<SweepSpec, Problems> {
        self.check_after(Problems::default())
    }

    /// Like [`Draft::check`], for a draft whose reading already found `problems`. A field that has
    /// a problem gets no second one.
    ///
    /// # Errors
    /// Every problem, including those given.
    pub fn check_after(&self, mut problems: Problems) -> Result<SweepSpec, Problems> {
        let name = check_name(self, &mut problems);
        let (data, fixed, space, preset, search, objective, stopping, keep);
        if self.data.source.as_deref() == Some(EXTERNAL) {
            data = check_external_data(self, &mut problems);
            fixed = check_external_fixed(self, &mut problems);
            space = check_space(self.space.as_deref(), &fixed, Subject::External, &mut problems);
            preset = check_external_preset(self, &mut problems);
            search = check_search(self, &space, &mut problems);
            objective = check_external_objective(self, &mut problems);
            stopping = check_external_stopping(self, search.strategy, &fixed, &mut problems);
            keep = check_external_keep(self, &mut problems);
        } else {
            data = check_data(self, &mut problems);
            fixed = check_fixed(self, &mut problems);
            space = check_space(self.space.as_deref(), &fixed, Subject::Network, &mut problems);
            preset = check_preset(self, &mut problems);
            check_smoothing(self, data.task, &mut problems);
            check_weights(self, data.task, &mut problems);
            search = check_search(self, &space, &mut problems);
            objective = check_objective(self, data.task, &mut problems);
            stopping = check_stopping(self, search.strategy.default_stopping(), &mut problems);
            keep = check_keep(self, &mut problems);
        }
        let Some(name) = name else { return Err(problems) };
        let seed = self.seed.unwrap_or(0);
        let has_open_objective = !data.is_external() && self.objective.names_nothing();
        problems.into_result(SweepSpec {
            name,
            seed,
            data,
            fixed,
            space,
            preset,
            search,
            objective,
            has_open_objective,
            stopping,
            keep,
        })
    }
}

fn check_name(draft: &Draft, problems: &mut Problems) -> Option<Name> {
    let Some(text) = &draft.name else {
        let message = "missing: expected a name for the sweep, such as name = \"digits\"";
        problems.push(Problem::new("name", message));
        return None;
    };
    Name::parse("name", text).map_err(|p| problems.push(p)).ok()
}

fn check_fixed(draft: &Draft, problems: &mut Problems) -> Assignment {
    let mut fixed = Assignment::default();
    for (name, value) in &draft.fixed {
        let field = format!("fixed.{name}");
        match hyper::lookup(name) {
            None => problems.push(hyper::unknown(&field, name)),
            Some(row) => match row.objection(value) {
                Some(message) => problems.push(Problem::with_value(&field, value, message)),
                None if fixed.get(name).is_some() => {
                    problems.push(Problem::new(&field, GIVEN_TWICE))
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

/// The preset, which a sweep with a space or with nothing to search does not have.
fn check_preset(draft: &Draft, problems: &mut Problems) -> Option<Preset> {
    let given = draft.preset.as_deref()?;
    let known = Preset::ALL.map(|preset| (preset.name(), preset));
    let preset = named("preset", Some(given), &known, Preset::Basic, problems);
    let remove = if draft.space.is_some() {
        "it chooses the space, and [space] gives another: remove one of the two"
    } else if draft.search.replays.is_some() {
        "a sweep that repeats a trial searches nothing: remove preset"
    } else {
        return Some(preset);
    };
    problems.push(Problem::with_value("preset", quoted(given), remove));
    None
}

/// A whole number from 1 to `limit`. Where it is absent it is `default`, and so is a number outside
/// the range, which is also reported.
fn check_count(
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
            problems.push(Problem::with_value(field, given, expected_whole(1, limit)));
            default
        }
    }
}

/// Trials in flight. An absent number, and a wrong one, which is also reported, is
/// [`Parallelism::Auto`].
fn check_parallelism(given: Option<u64>, problems: &mut Problems) -> Parallelism {
    let Some(given) = given else { return Parallelism::Auto };
    match u32::try_from(given) {
        Ok(trials) if (1..=MAX_PARALLELISM).contains(&trials) => Parallelism::Trials(trials),
        _ => {
            let expected = format!("{} or {AUTO:?}", expected_whole(1, MAX_PARALLELISM));
            problems.push(Problem::with_value("search.parallelism", given, expected));
            Parallelism::Auto
        }
    }
}

fn check_search(draft: &Draft, space: &Space, problems: &mut Problems) -> SearchSpec {
    let search = &draft.search;
    let known = Strategy::ALL.map(|s| (s.name(), s));
    let strategy =
        named("search.strategy", search.strategy.as_deref(), &known, Strategy::Zoom, problems);
    if search.trials.is_none() {
        let message = "missing: expected the number of trials, such as trials = 60";
        problems.push(Problem::new("search.trials", message));
    }
    let trials = check_count("search.trials", search.trials, MAX_TRIALS, 1, problems);
    let parallelism = check_parallelism(search.parallelism, problems);
    let rounds = check_rounds(search.rounds.as_deref(), strategy, trials, problems);
    if strategy == Strategy::Grid {
        check_grid(space, trials, problems);
    } else {
        for parameter in space.parameters().iter().filter(|p| p.points.is_some()) {
            let field = format!("space.{}.points", parameter.name);
            let message =
                "only strategy = \"grid\" uses points: remove points, or set that strategy";
            problems.push(Problem::new(field, message));
        }
    }
    let orders = Order::ALL.map(|order| (order.name(), order));
    let order = named("search.order", search.order.as_deref(), &orders, Order::default(), problems);
    let warm_start = check_warm_start(draft, strategy, problems);
    let replays = check_replays(draft, problems);
    SearchSpec { strategy, trials, rounds, parallelism, order, warm_start, replays }
}

/// The trial that the only trial repeats.
fn check_replays(draft: &Draft, problems: &mut Problems) -> Option<TrialNumber> {
    let (field, given) = ("search.replays", draft.search.replays?);
    if draft.search.trials.is_some_and(|trials| trials != 1) {
        let message = "a sweep that repeats a trial has one: expected trials = 1";
        problems.push(Problem::with_value(field, given, message));
    }
    if draft.space.is_some() {
        let message = "a sweep that repeats a trial searches nothing: remove [space], and give all \
                       hyperparameters of the trial in [fixed]";
        problems.push(Problem::with_value(field, given, message));
    }
    let number = u32::try_from(given).ok().filter(|number| *number < MAX_TRIALS);
    if number.is_none() {
        let message = expected_whole(0, MAX_TRIALS - 1);
        problems.push(Problem::with_value(field, given, message));
    }
    number.map(TrialNumber)
}

/// The earlier sweep to learn from. Only the coordinator, which has the store, can tell whether it
/// exists.
fn check_warm_start(draft: &Draft, strategy: Strategy, problems: &mut Problems) -> Option<Name> {
    let (field, text) = ("search.warm_start", draft.search.warm_start.as_ref()?);
    if draft.name.as_ref() == Some(text) {
        let message = "a sweep cannot learn from itself: expected the name of an earlier sweep";
        problems.push(Problem::with_value(field, quoted(text), message));
        return None;
    }
    if strategy != Strategy::Zoom {
        let message = format!(
            "strategy = {:?} does not learn from earlier sweeps: remove warm_start, or set \
             strategy = \"zoom\"",
            strategy.name()
        );
        problems.push(Problem::new(field, message));
        return None;
    }
    Name::parse(field, text).map_err(|p| problems.push(p)).ok()
}

fn check_rounds(
    given: Option<&[u64]>,
    strategy: Strategy,
    trials: u32,
    problems: &mut Problems,
) -> Vec<u32> {
    let field = "search.rounds";
    if !strategy.has_rounds() {
        // Of an unknown strategy it is not known whether it has rounds.
        if given.is_some() && !problems.touches("search.strategy") {
            let message = format!(
                "strategy = {:?} has no rounds: remove rounds, or set strategy = \"rounds\"",
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
            "expected 1 to {MAX_ROUNDS} rounds of at least 1 trial each, such as [30, 20, 10]"
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

/// Half of the trials, then a third, then the rest. A round of zero trials is left out.
fn default_rounds(trials: u32) -> Vec<u32> {
    let (first, second) = (trials.div_ceil(2), trials / 3);
    [first, second, trials - first - second].into_iter().filter(|n| *n > 0).collect()
}

/// A grid must fit the budget. Ranges without `points` count as one point here, because the grid
/// chooses how many it takes of them.
fn check_grid(space: &Space, trials: u32, problems: &mut Problems) {
    let points = grid::point_count(space, 1);
    if points > u64::from(trials) && !problems.touches("search.trials") {
        let message = format!(
            "the grid has {points} points: expected at least {points} trials, or fewer points or \
             choices"
        );
        problems.push(Problem::with_value("search.trials", trials, message));
    }
}

/// The objective. The default is that of the task until [`SweepSpec::resolve`], and that of
/// classification for a task that the data decides.
fn check_objective(draft: &Draft, task: Option<Task>, problems: &mut Problems) -> Objective {
    let default = Objective::default_of(task.unwrap_or_default());
    let metrics: Vec<Metric> = Metric::of_networks().filter(|m| has(task, m)).collect();
    let known: Vec<(&str, &Metric)> = metrics.iter().map(|m| (m.name(), m)).collect();
    let given = draft.objective.metric.as_deref();
    let metric = match misplaced(given, task, &known) {
        Some(problem) => {
            problems.push(problem);
            &default.metric
        }
        None => named("objective.metric", given, &known, &default.metric, problems),
    };
    let natural = if metric.increases() { Goal::Maximize } else { Goal::Minimize };
    let goal = check_goal(draft, natural, problems);
    let epoch = check_epoch(draft, ObjectiveEpoch::Best, problems);
    let repeats = check_repeats(draft, problems);
    Objective { metric: metric.clone(), goal, epoch, repeats }
}

/// How often each assignment is trained.
fn check_repeats(draft: &Draft, problems: &mut Problems) -> u32 {
    let given = draft.objective.repeats.unwrap_or(1);
    let repeats = u32::try_from(given).ok().filter(|n| (1..=MAX_REPEATS).contains(n));
    repeats.unwrap_or_else(|| {
        let message = expected_whole(1, MAX_REPEATS);
        problems.push(Problem::with_value("objective.repeats", given, message));
        1
    })
}

/// The problem of a metric that the other task has.
fn misplaced(
    given: Option<&str>,
    task: Option<Task>,
    known: &[(&str, &Metric)],
) -> Option<Problem> {
    let (given, task) = (given?, task?);
    let metric = Metric::from_name(given).filter(|metric| !has(Some(task), metric))?;
    let other = if metric.needs_classes() { Task::Classification } else { Task::Regression };
    let message = format!(
        "only {} has it, and task = {:?}: expected {}",
        other.name(),
        task.name(),
        one_of(known.iter().map(|(name, _)| *name))
    );
    Some(Problem::with_value("objective.metric", quoted(given), message))
}

/// Whether the task has the metric.
const fn has(task: Option<Task>, metric: &Metric) -> bool {
    match task {
        Some(Task::Classification) => !metric.needs_numbers(),
        Some(Task::Regression) => !metric.needs_classes(),
        None => true,
    }
}

/// How many models are kept.
fn check_keep(draft: &Draft, problems: &mut Problems) -> KeepSpec {
    let KeepSpec { models } = KeepSpec::DEFAULT;
    let Some(given) = draft.keep.models else { return KeepSpec { models } };
    match u32::try_from(given).ok().filter(|models| *models <= MAX_MODELS) {
        Some(models) => KeepSpec { models },
        None => {
            let message = expected_whole(0, MAX_MODELS);
            problems.push(Problem::with_value("keep.models", given, message));
            KeepSpec { models }
        }
    }
}
