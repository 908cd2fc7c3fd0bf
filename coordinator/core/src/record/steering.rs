//! What people change in a sweep after it was created. Each change has its place among the
//! decisions of the sweep, so that the same record of changes leads to the same decisions.

use caviar_common::ids::Name;
use serde::{Deserialize, Serialize};

/// A new number of trials in flight, and its place among the decisions of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepResized {
    /// Trials in flight from now on.
    pub parallelism: u32,
    /// How many trials were sampled before.
    pub trials: u32,
    /// How many rungs and ends were decided before.
    pub decisions: u32,
}

/// More trials than the sweep had before, and their place among the decisions of the sweep. A sweep
/// that was completed continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepExtended {
    /// The client's identifier of the request. A repeated request has the same one.
    pub request_id: Name,
    /// How many trials are added to the budget.
    pub added: u32,
    /// How many trials were sampled before.
    pub trials: u32,
    /// How many rungs and ends were decided before.
    pub decisions: u32,
}
