//! What a sweep with a warm start keeps of the earlier sweep. It is a copy, so later changes of the
//! earlier sweep have no effect.

use caviar_common::assignment::Assignment;
use caviar_common::ids::TrialNumber;
#[cfg(doc)]
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::numbers::{index, to_u32};
#[cfg(doc)]
use caviar_common::reason::Source;
use serde::{Deserialize, Serialize};

use super::cost::{Cost, comparable};

/// The results of an earlier sweep, in the order of its decisions: the values of the parameters
/// that the later sweep searches, and the cost (lower is better). The cost is `None` for a trial
/// that diverged or failed. There are at most [`MAX_EARLIER_RESULTS`]: of a longer list, the better
/// half of that number, and as many spread evenly over the ranks of the rest.
pub type EarlierResults = Vec<(Assignment, Option<f64>)>;

/// What is known of the trials of an earlier sweep besides their [results](EarlierResults).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlierTrials {
    /// The best one; `None` if its hyperparameters are not in the space of the later sweep.
    pub winner: Option<EarlierWinner>,
    /// The costs at each rung, in ascending order, at most [`MAX_EARLIER_RESULTS`] each, which are
    /// spread evenly over the ranks. Empty if the costs of the two sweeps are not comparable.
    pub rung_costs: Vec<Vec<Cost>>,
}

/// The best trial of an earlier sweep, with which the later sweep begins ([`Source::WarmStart`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierWinner {
    /// Its hyperparameters, as far as the later sweep searches them.
    pub assignment: Assignment,
    /// The trial whose random numbers it used; `None` if the sweeps have different seeds.
    pub replays: Option<TrialNumber>,
}

impl EarlierTrials {
    /// How many of the earlier trials that reached a rung had a lower cost, and how many there
    /// were.
    pub(super) fn rank_at(&self, rung: u32, cost: f64) -> (u32, u32) {
        let Some(costs) = self.rung_costs.get(index(rung)) else { return (0, 0) };
        let better = costs.partition_point(|earlier| comparable(earlier.0) < comparable(cost));
        (to_u32(better), to_u32(costs.len()))
    }
}
