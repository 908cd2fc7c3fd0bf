//! The specification of a sweep.
//!
//! There is one road to a [`SweepSpec`]: a [`Draft`], which holds what somebody wrote, is checked
//! field by field, and every mistake is reported at once. The sweep file ([`mod@file`]) and the
//! wire both make a draft, so a spec is the same whoever wrote it.

mod check;
mod check_external;
mod check_space;
mod default_space;
mod draft;
pub mod file;
mod size;

use serde::{Deserialize, Serialize};

pub use draft::{Draft, DraftData, DraftObjective, DraftParameter, DraftSearch, DraftStopping};

use crate::assignment::{Assignment, Value};
use crate::data::{DataSpec, DataSummary};
use crate::hyper::{self, lookup};
use crate::ids::Name;
use crate::metric::Metric;
use crate::space::{Domain, Space};

/// How assignments are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Uniform on the scales (Bergstra and Bengio 2012).
    Random,
    /// A scrambled Sobol sequence on the scales.
    Sobol,
    /// Every combination of a few points per parameter; here to compare, not to use.
    Grid,
    /// Coarse to fine: rounds of random draws, each in a box around the best of all rounds before.
    Rounds,
    /// Coarse to fine: the best of many candidates in and around a moving box, by a small local
    /// model.
    Zoom,
    /// Trees of Parzen estimators (Bergstra et al. 2011).
    Tpe,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 6] =
        [Self::Zoom, Self::Rounds, Self::Random, Self::Sobol, Self::Grid, Self::Tpe];

    /// The name used in files, on the wire and on the command line.
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

    /// The stopping rule unless the sweep says another. Rounds and a grid are looked at whole, and
    /// trees of Parzen estimators are there for those who want what they know.
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
    /// In virtual time: the same decisions whatever the workers do.
    #[default]
    Virtual,
    /// As they come: no slot waits for a slow trial, and another run of the sweep decides
    /// otherwise. What each decision saw is on record.
    AsCompleted,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 2] = [Self::Virtual, Self::AsCompleted];

    /// The name used in files and on the wire.
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
    /// None.
    #[default]
    None,
    /// At every rung, those outside the best third of what that rung has seen (Li et al. 2020,
    /// asynchronous successive halving).
    Halving,
    /// At every rung, those worse than the median of what that rung has seen (after Golovin et al.
    /// 2017).
    Median,
}

impl StoppingRule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Halving, Self::Median, Self::None];

    /// The name used in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Halving => "halving",
            Self::Median => "median",
        }
    }
}

/// How long and in what way to search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchSpec {
    /// How assignments are chosen.
    pub strategy: Strategy,
    /// The budget: exactly so many trials (fewer only where a grid has fewer points).
    pub trials: u32,
    /// For [`Strategy::Rounds`], the trials of each round; they add up to `trials`. Empty
    /// otherwise.
    pub rounds: Vec<u32>,
    /// Trials in flight in virtual time.
    pub parallelism: u32,
    /// The order in which results take part in decisions.
    #[serde(default)]
    pub order: Order,
    /// An earlier sweep of the same store to learn from.
    #[serde(default)]
    pub warm_start: Option<Name>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Less is better.
    Minimize,
    /// More is better.
    Maximize,
}

impl Goal {
    /// The name used in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        }
    }

    /// `value` turned so that less is better.
    pub fn as_cost(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// What is optimised: the value of a metric after the last epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The metric.
    pub metric: Metric,
    /// Which way is better.
    pub goal: Goal,
}

/// A checked sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepSpec {
    /// Unique in its store.
    pub name: Name,
    /// All randomness of the sweep comes from it.
    pub seed: u64,
    /// What it trains on.
    pub data: DataSpec,
    /// Hyperparameters that are not searched.
    pub fixed: Assignment,
    /// Hyperparameters that are searched; empty until [`SweepSpec::fill_space`] gives the default
    /// space.
    pub space: Space,
    /// How they are searched.
    pub search: SearchSpec,
    /// What is optimised.
    pub objective: Objective,
    /// Which trials end early.
    #[serde(default)]
    pub stopping: StoppingRule,
}

impl SweepSpec {
    /// Gives a spec without a space the default one for the size of its data.
    pub fn fill_space(&mut self, data: &DataSummary) {
        if self.space.dimensions() == 0 {
            self.space = default_space::for_data(&self.fixed, data);
        }
    }

    /// The most epochs that any of its trials trains.
    pub fn most_epochs(&self) -> u32 {
        let row = lookup("epochs").map(|row| &row.default);
        let default = match row {
            _ if self.data.is_external() => 1,
            Some(hyper::DefaultValue::Whole(epochs)) => *epochs,
            Some(_) | None => 0,
        };
        let otherwise = self.fixed.get("epochs").and_then(Value::as_i64).unwrap_or(default);
        let searched = self.space.get("epochs");
        let most = searched.and_then(|parameter| match &parameter.domain {
            Domain::Int { high, .. } => Some(*high),
            Domain::Choice { values } => values.iter().filter_map(Value::as_i64).max(),
            Domain::Float { .. } => None,
        });
        // Where a condition makes it inactive, a trial has the other number.
        let is_conditional = searched.is_some_and(|parameter| parameter.when.is_some());
        let most =
            most.map_or(otherwise, |most| if is_conditional { most.max(otherwise) } else { most });
        u32::try_from(most).unwrap_or(0)
    }
}

#[cfg(test)]
mod external_tests;
#[cfg(test)]
mod tests;
