//! What happens to an execution of a trial between its lease and its end: a worker that was silent
//! returns, or stores a checkpoint.

use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::message::Checkpoint;
use serde::{Deserialize, Serialize};

/// Details of `lease_restored`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRestored {
    /// The trial that its worker still executes.
    pub trial: TrialNumber,
    /// The lease, which had expired.
    pub lease: LeaseId,
    /// How many times in a row the trial has lost its worker, without this time.
    pub losses: u32,
}

/// Details of `loss_withdrawn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossWithdrawn {
    /// The trial that another worker executes or has executed.
    pub trial: TrialNumber,
    /// The lease that had expired.
    pub lease: LeaseId,
    /// How many times in a row the trial has lost its worker, without this time.
    pub losses: u32,
}

/// Details of `checkpoint_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointChanged {
    /// The trial that is trained.
    pub trial: TrialNumber,
    /// The lease under which it is trained.
    pub lease: LeaseId,
    /// Where the next execution can continue. `None` if this execution could not use the
    /// checkpoint before, and began with the first epoch.
    pub checkpoint: Option<Checkpoint>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
