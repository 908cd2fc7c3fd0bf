//! Which of two completed trials is better.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::ids::TrialNumber;

/// How good a completed trial is among those of its sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merit {
    /// The cost of the trial: lower is better.
    pub cost: f64,
    /// The finite loss that decides between equal costs: lower is better, and none is worst.
    pub loss: Option<f64>,
    /// The trial. Of two that are equally good, that of the lower number comes first.
    pub trial: TrialNumber,
}

impl Merit {
    /// Less for the better trial. Two trials of one sweep are never equal.
    pub fn order(&self, other: &Self) -> Ordering {
        let loss = |merit: &Self| merit.loss.unwrap_or(f64::INFINITY);
        let by_cost = self.cost.total_cmp(&other.cost);
        let by_loss = || loss(self).total_cmp(&loss(other));
        by_cost.then_with(by_loss).then(self.trial.cmp(&other.trial))
    }
}
