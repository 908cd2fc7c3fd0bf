//! What the agent and the runners tell each other.

use std::sync::Arc;

use caviar_common::blob::Blob;
use caviar_common::ids::LeaseId;
use caviar_common::message::{Finished, Grant};
use caviar_common::metric::EpochMetrics;

/// What the runners have to do. Each `Start` results in exactly one [`RunnerEvent::Ended`], whether
/// or not it is cancelled.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start to train this grant.
    Start(Box<Grant>),
    /// Stop training for this lease at the next mini-batch.
    Cancel(LeaseId),
    /// Write a checkpoint at the next mini-batch, and stop.
    Leave(LeaseId),
    /// Fetch the checkpoint of the grant, and hand it to the runner of this lease.
    Fetch(LeaseId, Blob),
    /// Store a checkpoint, and call [`Agent::on_stored`](crate::agent::Agent::on_stored) at the
    /// end.
    Store(LeaseId, Box<State>),
    /// Store the model of a completed trial, and call
    /// [`Agent::on_model_stored`](crate::agent::Agent::on_model_stored) at the end.
    StoreModel(LeaseId, Box<ModelBytes>),
    /// The checkpoint of this lease is not stored. The runner may write another one.
    Discard(LeaseId),
    /// Park the runner of this lease at the next mini-batch.
    Park(LeaseId),
    /// Let a parked runner continue.
    Unpark(LeaseId),
}

/// The state of a training at a mini-batch.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// How many epochs are done.
    pub epoch: u32,
    /// How many mini-batches and blocks of validation of the next epoch are done.
    pub batch: u64,
    /// The bytes of the checkpoint.
    pub bytes: Arc<Vec<u8>>,
}

/// The model of a completed trial.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelBytes {
    /// The epoch of the objective, whose weights they are.
    pub epoch: u32,
    /// The bytes of the model.
    pub bytes: Arc<Vec<u8>>,
}

/// A report of a runner to the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum RunnerEvent {
    /// The runner completed an epoch.
    Epoch {
        /// The lease that the runner trains for.
        lease: LeaseId,
        /// The metrics of the epoch.
        metrics: EpochMetrics,
        /// Training time of the attempt, in seconds, when the epoch ended.
        seconds: f64,
    },
    /// The runner has written a checkpoint. It follows the epochs that are done in it.
    Checkpoint {
        /// The lease that the runner trains for.
        lease: LeaseId,
        /// The checkpoint.
        state: Box<State>,
    },
    /// The training is completed, and its model is to be stored. The end follows.
    Model {
        /// The lease that the runner trains for.
        lease: LeaseId,
        /// The model.
        model: Box<ModelBytes>,
    },
    /// The runner is ready to continue from the checkpoint of its grant.
    Resumes {
        /// The lease that the runner trains for.
        lease: LeaseId,
        /// The checkpoint.
        blob: Blob,
    },
    /// The runner could not use the checkpoint of its grant, and trains from the first epoch.
    Restarted {
        /// The lease that the runner trains for.
        lease: LeaseId,
        /// Why, for people.
        reason: String,
    },
    /// The runner ended and its slot is free.
    Ended {
        /// The lease that the runner trained for.
        lease: LeaseId,
        /// How the runner ended.
        end: End,
    },
}

/// How a runner ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each attempt")]
pub enum End {
    /// The attempt has an outcome, which may be a failure of the trial itself.
    Finished(Finished),
    /// This worker cannot train the sweep; another one may.
    Unable {
        /// The reason, for people.
        message: String,
    },
    /// This worker does not have enough memory for the trial.
    TooLarge {
        /// How much memory is missing, for people.
        message: String,
    },
    /// The runner was told to stop or to leave.
    Cancelled,
}
