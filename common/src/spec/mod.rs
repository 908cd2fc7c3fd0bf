//! The specification of a sweep.
//!
//! Every [`SweepSpec`] is made the same way: a [`Draft`] holds what the author wrote, and
//! [`Draft::check`] checks it field by field and reports every mistake at once. The sweep file
//! ([`mod@file`]) and the wire both make a draft, so both follow the same rules.

mod check;
mod draft;
pub mod file;
mod parallelism;
mod preset;
mod rules;
mod size;

use serde::{Deserialize, Serialize};

pub use draft::{
    Draft, DraftClassWeights, DraftData, DraftKeep, DraftObjective, DraftParameter, DraftSearch,
    DraftStopping,
};
pub use parallelism::{AUTO, Parallelism};
pub use preset::Preset;

use crate::assignment::{Assignment, Value};
use crate::data::{DataSpec, DataSummary, ONE_CLASS, ONE_VALUE, Task};
use crate::error::Problem;
use crate::hyper::{self, lookup};
use crate::ids::{Name, TrialNumber};
use crate::measure::Measure;
use crate::metric::Metric;
use crate::space::Space;
use crate::text::quoted;

/// How the assignments of trials are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Uniform draws on the parameters' scales (Bergstra and Bengio 2012).
    Random,
    /// A scrambled Sobol sequence on the parameters' scales.
    Sobol,
    /// Every combination of a few points per parameter. Meant for comparisons.
    Grid,
    /// Coarse to fine: rounds of random draws, each in a box around the best trials of all earlier
    /// rounds.
    Rounds,
    /// Coarse to fine: the best of many candidates in and around a moving box, ranked by a small
    /// local model.
    Zoom,
    /// Tree-structured Parzen estimators (Bergstra et al. 2011).
    Tpe,
}

impl Strategy {
    /// All strategies, in the order in which errors list them.
    pub const ALL: [Self; 6] =
        [Self::Zoom, Self::Rounds, Self::Random, Self::Sobol, Self::Grid, Self::Tpe];

    /// The name in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Grid => "grid",
            Self::Rounds => "rounds",
            Self::Zoom => "zoom",
            Self::Tpe => "tpe",
        }
    }

    /// True if the sweep is divided into rounds, so that `search.rounds` may be set.
    pub const fn has_rounds(self) -> bool {
        match self {
            Self::Rounds => true,
            Self::Random | Self::Sobol | Self::Grid | Self::Zoom | Self::Tpe => false,
        }
    }

    /// The stopping rule unless the sweep gives another. Rounds and grids compare completed trials;
    /// TPE behaves as published.
    pub const fn default_stopping(self) -> StoppingRule {
        match self {
            Self::Zoom | Self::Random | Self::Sobol => StoppingRule::Halving,
            Self::Rounds | Self::Grid | Self::Tpe => StoppingRule::None,
        }
    }
}

/// The order in which results take part in decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// In virtual time: the decisions do not depend on which worker is faster.
    #[default]
    Virtual,
    /// As results arrive: no slot waits for a slow trial, but a second run of the sweep decides
    /// differently. The store records which results each decision saw.
    AsCompleted,
}

impl Order {
    /// Both orders, the default first.
    pub const ALL: [Self; 2] = [Self::Virtual, Self::AsCompleted];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::AsCompleted => "as_completed",
        }
    }
}

/// Which trials end before their last epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppingRule {
    /// No trial ends early.
    #[default]
    None,
    /// At every rung, trials outside the best third of those that the rung has seen (asynchronous
    /// successive halving, Li et al. 2020).
    Halving,
    /// At every rung, trials worse than the median of those that the rung has seen (after Golovin
    /// et al. 2017).
    Median,
}

impl StoppingRule {
    /// All rules, in the order in which errors list them.
    pub const ALL: [Self; 3] = [Self::Halving, Self::Median, Self::None];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Halving => "halving",
            Self::Median => "median",
        }
    }
}

/// How many trials to run, and how to choose them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchSpec {
    /// How assignments are chosen.
    pub strategy: Strategy,
    /// The budget, from 1 to [`MAX_TRIALS`](crate::limits::MAX_TRIALS). The sweep runs exactly this
    /// many trials, or fewer if a grid has fewer points.
    pub trials: u32,
    /// For [`Strategy::Rounds`], the trials of each round, which add up to `trials`; empty for the
    /// other strategies.
    pub rounds: Vec<u32>,
    /// How many trials are in flight in virtual time.
    pub parallelism: Parallelism,
    /// The order in which results take part in decisions.
    #[serde(default)]
    pub order: Order,
    /// The earlier sweep in the same store whose results the search starts from.
    #[serde(default)]
    pub warm_start: Option<Name>,
    /// The trial of another sweep with the same seed that the only trial repeats: with its
    /// hyperparameters in `fixed`, it has the same bits. Nothing is searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<TrialNumber>,
}

/// Whether smaller or larger values of the objective are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller values are better.
    Minimize,
    /// Larger values are better.
    Maximize,
}

impl Goal {
    /// The name in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        }
    }

    /// Whether smaller or larger values of the measure are better.
    pub const fn of(measure: Measure) -> Self {
        if measure.increases() { Self::Maximize } else { Self::Minimize }
    }

    /// The cost of an objective value: the value with the sign for which smaller is better.
    pub fn as_cost(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// The epoch whose metric is the objective of a trial, and whose weights are its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveEpoch {
    /// The epoch with the best value so far, and the latest of equally good ones.
    Best,
    /// The last epoch. Sweeps of earlier releases have no other.
    #[default]
    Last,
}

impl ObjectiveEpoch {
    /// Both, the default of networks first.
    pub const ALL: [Self; 2] = [Self::Best, Self::Last];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }

    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// The value to optimise: a metric after a trial's best or last epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The metric, which every completed trial has.
    pub metric: Metric,
    /// Whether smaller or larger values are better.
    pub goal: Goal,
    /// Which epoch of a trial counts.
    #[serde(default, skip_serializing_if = "ObjectiveEpoch::is_last")]
    pub epoch: ObjectiveEpoch,
    /// How often each assignment is trained, with another seed each time. The metric of a trial is
    /// the mean.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub repeats: u32,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(repeats: &u32) -> bool {
    *repeats == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_no(value: &bool) -> bool {
    !*value
}

impl Objective {
    /// The objective of a sweep that names none and whose preset chooses none: the most accurate
    /// classes, or the least loss, at the best epoch.
    pub const fn default_of(task: Task) -> Self {
        let (metric, goal) = match task {
            Task::Classification => (Metric::ValidationAccuracy, Goal::Maximize),
            Task::Regression => (Metric::ValidationLoss, Goal::Minimize),
        };
        Self { metric, goal, epoch: ObjectiveEpoch::Best, repeats: 1 }
    }

    /// The cost of a value, which is lower for a better one; `None` unless the value is finite.
    pub fn cost(&self, value: Option<f64>) -> Option<f64> {
        value.filter(|value| value.is_finite()).map(|value| self.goal.as_cost(value))
    }

    /// Whether a trial whose best value so far is `before` has its best epoch now, with `now`. Of
    /// equally good epochs the latest counts: it was trained longest. A value that is not finite is
    /// worse than any other.
    pub fn is_best(&self, now: Option<f64>, before: Option<f64>) -> bool {
        match (self.cost(now), self.cost(before)) {
            (Some(now), Some(before)) => now <= before,
            (None, Some(_)) => false,
            (Some(_) | None, None) => true,
        }
    }
}

/// A sweep that passed every check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepSpec {
    /// Unique in its store.
    pub name: Name,
    /// The seed of every random number of the sweep.
    pub seed: u64,
    /// What it trains on.
    pub data: DataSpec,
    /// Hyperparameters that are not searched.
    pub fixed: Assignment,
    /// Hyperparameters that are searched. Empty until [`SweepSpec::resolve`] chooses the space.
    pub space: Space,
    /// What chooses the space and further fixed hyperparameters; `None` if the data decides, and
    /// once they are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The budget and the strategy.
    pub search: SearchSpec,
    /// The value to optimise.
    pub objective: Objective,
    /// Whether the author names neither a metric nor a goal, so that the task and the preset choose
    /// them. Until then `objective` is that of the task. `false` once they are chosen.
    #[serde(default, skip_serializing_if = "is_no")]
    pub has_open_objective: bool,
    /// Which trials end before their last epoch.
    #[serde(default)]
    pub stopping: StoppingRule,
    /// What is kept of its trials.
    #[serde(default, skip_serializing_if = "KeepSpec::is_nothing")]
    pub keep: KeepSpec,
}

/// What a sweep keeps of its trials, apart from their metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepSpec {
    /// The weights of this many completed trials, the best ones. 0 in sweeps of earlier releases.
    pub models: u32,
}

impl KeepSpec {
    /// What a sweep keeps unless it says otherwise.
    pub const DEFAULT: Self = Self { models: 8 };

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl SweepSpec {
    /// Sets what the spec leaves to the data: the task with its objective, and what the preset
    /// chooses. A second call changes nothing.
    pub fn resolve(&mut self, data: &DataSummary) {
        if self.data.task.is_none() && !self.data.is_external() {
            let task = data.task.unwrap_or_default();
            self.data.task = Some(task);
            if task == Task::Regression && self.objective.metric.needs_classes() {
                let Objective { epoch, repeats, .. } = self.objective;
                self.objective = Objective { epoch, repeats, ..Objective::default_of(task) };
            }
        }
        if self.space.dimensions() == 0 && self.search.replays.is_none() {
            let preset = self.preset.take().unwrap_or_else(|| Preset::default_of(data));
            let (added, space) = preset.choose(&self.fixed, self.data.task, data);
            for (name, value) in added.iter() {
                self.fixed.insert(name, value.clone());
            }
            // Where nothing is left to search, a space that is missing must not be chosen again.
            self.preset = (space.dimensions() == 0).then_some(preset);
            self.space = space;
            if let Some(metric) = preset.metric().filter(|_| self.has_open_objective) {
                let Objective { epoch, repeats, .. } = self.objective;
                let goal = if metric.increases() { Goal::Maximize } else { Goal::Minimize };
                self.objective = Objective { metric, goal, epoch, repeats };
            }
        }
        self.has_open_objective = false;
    }

    /// Whether the metric of the objective is the author's, or chosen once and for all. A file that
    /// names a metric of classes asks for classification, so that one that only follows from the
    /// task must not be written before the data has decided the task.
    pub fn has_settled_metric(&self) -> bool {
        let follows = self.data.task.is_none()
            && !self.data.is_external()
            && self.objective.metric.needs_classes();
        !self.has_open_objective && !follows
    }

    /// Checks that the validation split has different labels, if the objective is a measure that is
    /// undefined without them.
    fn check_measure(&self, data: Option<&DataSummary>) -> Result<(), Problem> {
        let metric = &self.objective.metric;
        let (code, what) = match metric.measure() {
            Some(Measure::RocAuc | Measure::PrAuc) => (ONE_CLASS, "classes"),
            Some(Measure::R2) => (ONE_VALUE, "numbers"),
            Some(_) | None => return Ok(()),
        };
        let note = data.and_then(|data| data.notes.iter().find(|note| note.code == code));
        let Some(note) = note.filter(|_| !self.data.is_external()) else { return Ok(()) };
        let message = format!(
            "{}, and this measure compares different {what}: expected rows to validate on that \
             have them, or another metric",
            note.text
        );
        Err(Problem::with_value("objective.metric", quoted(metric.name()), message))
    }

    /// The largest number of epochs that a trial of this sweep can have, at least 1.
    pub fn max_epochs(&self) -> u32 {
        let row = lookup("epochs").map(|row| &row.default);
        let default = match row {
            _ if self.data.is_external() => 1,
            Some(hyper::DefaultValue::Whole(epochs)) => *epochs,
            Some(_) | None => 0,
        };
        let otherwise = self.fixed.get("epochs").and_then(Value::as_i64).unwrap_or(default);
        let searched = self.space.get("epochs");
        let most = searched.and_then(|parameter| parameter.domain.max_whole());
        // A trial in which a conditional `epochs` is inactive has the other number.
        let is_conditional = searched.is_some_and(|parameter| parameter.when.is_some());
        let most =
            most.map_or(otherwise, |most| if is_conditional { most.max(otherwise) } else { most });
        u32::try_from(most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
