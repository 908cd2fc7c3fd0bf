//! The conversation between a worker and the coordinator. `caviar-proto` converts these messages to
//! those of the wire and back.

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::blob::Blob;
use crate::data::DataSpec;
use crate::ids::{AttemptNumber, Incarnation, LeaseId, Name, StoreId, SweepId, TrialNumber};
use crate::metric::{EpochMetrics, Score};
use crate::outcome::{Job, Outcome};
use crate::spec::Objective;

/// The version of this conversation. A coordinator refuses a worker of another version.
pub const PROTOCOL: u32 = 4;

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The version that the worker speaks; must be [`PROTOCOL`].
    pub protocol: u32,
    /// The worker's name, unique among the workers of a coordinator.
    pub worker: Name,
    /// Identifies the worker's process.
    pub incarnation: Incarnation,
    /// How many trials it can train at once, from 1 to [`MAX_SLOTS`](crate::limits::MAX_SLOTS).
    pub slots: u32,
    /// Whether it is draining and takes no new jobs.
    pub draining: bool,
    /// Whether it can park trials, which then keep their memory.
    pub can_park: bool,
    /// The store that granted its leases; `None` before its first Welcome.
    pub store: Option<StoreId>,
    /// Its leases: every one with an epoch to train or a message that is not acknowledged.
    pub held: Vec<LeaseId>,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// The metrics of the last epoch, the same as in its report; `None` if it failed before the
    /// end of the first epoch.
    pub last: Option<EpochMetrics>,
    /// The score on the test split; only for [`Job::Score`].
    pub test: Option<Score>,
    /// The model of the trial, which is stored; only for [`Job::Train`], and only if it can be one
    /// of those that are kept.
    pub model: Option<StoredModel>,
    /// Time spent on training and evaluation, in seconds. Shown to users and never used for a
    /// decision.
    pub seconds: f64,
    /// Bytes that the training allocated, without the data; `None` if it did not begin. Shown to
    /// users and never used for a decision.
    pub memory_bytes: Option<u64>,
}

/// Why a worker gives a lease back without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// The worker is draining.
    Drained,
    /// The worker has no room for the job now and did not begin it.
    Declined,
    /// The machine does not have the memory for this trial.
    TooLarge {
        /// How much memory is missing, for the user.
        message: String,
    },
    /// The worker cannot train this sweep, for example because the data is not at its path.
    Unable {
        /// Why, for the user.
        message: String,
    },
}

/// The state of a training that any worker can continue, stored as a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How many epochs are done.
    pub epoch: u32,
    /// How many mini-batches and blocks of validation of the next epoch are done.
    pub batch: u64,
    /// The bytes.
    pub blob: Blob,
}

impl Checkpoint {
    /// How far the training is: checkpoints of one trial are ordered by this.
    pub const fn place(&self) -> (u32, u64) {
        (self.epoch, self.batch)
    }
}

/// The weights of a trial at the epoch of its objective, stored as a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The bytes.
    pub blob: Blob,
}

/// Which models a worker stores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeepRule {
    /// None.
    Nothing,
    /// That of every completed trial.
    All,
    /// That of a completed trial whose cost is at most this. The sweep has better models already.
    UpTo(f64),
}

/// A message of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// The first message of a connection; not sent again.
    Hello(Hello),
    /// Metrics of consecutive epochs of an attempt.
    Report {
        /// The lease of the attempt.
        lease: LeaseId,
        /// The epochs, the oldest first. They can include epochs that were reported before.
        points: Vec<EpochMetrics>,
        /// Training time of the attempt, in seconds, when the last of these epochs ended; `None`
        /// from a worker of an earlier release. Shown to users and never used for a decision.
        seconds: Option<f64>,
    },
    /// The attempt is over, and all of its epochs are reported.
    Finished {
        /// The lease of the attempt.
        lease: LeaseId,
        /// The outcome and its metrics.
        result: Finished,
    },
    /// The worker gives the lease back.
    Released {
        /// The lease that ends.
        lease: LeaseId,
        /// Why it gives the lease back.
        release: Release,
    },
    /// The worker has stored a checkpoint of the attempt, whose epochs it has reported. Sent only
    /// to a coordinator that keeps checkpoints.
    Checkpointed {
        /// The lease of the attempt.
        lease: LeaseId,
        /// Where the attempt can be continued.
        checkpoint: Checkpoint,
    },
    /// The worker could not use the checkpoint of its grant, and trains from the first epoch.
    Restarted {
        /// The lease of the attempt.
        lease: LeaseId,
        /// Why, for the log.
        reason: String,
    },
    /// Shows that the worker is alive when it has nothing else to send.
    Heartbeat {
        /// Slots that cannot be used, because a job that was told to stop long ago still runs
        /// there.
        stuck: u32,
        /// The leases whose training has not begun, because they wait for a slot, for memory, or
        /// for data or a checkpoint that is on its way. Empty from a worker of an earlier release.
        waiting: Vec<LeaseId>,
    },
}

/// The right to one attempt, with everything that the attempt needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The lease, which every report must name.
    pub lease: LeaseId,
    /// The number of the sweep.
    pub sweep: SweepId,
    /// The name of the sweep, for logs.
    pub sweep_name: Name,
    /// The number of the trial.
    pub trial: TrialNumber,
    /// The number of this execution of the trial.
    pub attempt: AttemptNumber,
    /// Whether to train the trial or to score the winner.
    pub job: Job,
    /// The seed of the sweep.
    pub seed: u64,
    /// Where the data is, and how it is split.
    pub data: DataSpec,
    /// The digest of the data. A worker whose data has another digest refuses the job.
    pub digest: String,
    /// The data as a block, which the coordinator keeps; `None` if it exists only at its path.
    pub block: Option<Blob>,
    /// Hyperparameters that are not searched.
    pub fixed: Assignment,
    /// The searched hyperparameters of this trial.
    pub assignment: Assignment,
    /// Where to continue; `None` to train from the first epoch.
    pub checkpoint: Option<Checkpoint>,
    /// The value to optimise, which decides the epoch whose weights are the model.
    pub objective: Objective,
    /// Whether the model is stored when the training is completed.
    pub keep: KeepRule,
    /// The trial whose random numbers the training uses; `None` for those of this trial.
    pub replays: Option<TrialNumber>,
}

/// How much of what a worker sent under a lease the coordinator has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Every epoch up to this one.
    Epoch(u32),
    /// Everything. The lease is over.
    Finished,
}

/// A message of the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// The reply to `Hello`.
    Welcome {
        /// The longest time between two messages of the worker, in milliseconds.
        heartbeat_ms: u64,
        /// A worker that is silent for longer than this loses its leases, in milliseconds.
        lease_ttl_ms: u64,
        /// The store that grants the leases. A worker forgets its leases of another store.
        store: StoreId,
        /// Whether the coordinator records checkpoints. One of an earlier release closes the
        /// connection when it receives one.
        keeps_checkpoints: bool,
    },
    /// A lease on a job.
    Grant(Box<Grant>),
    /// What is stored durably, so that the worker need not send it again.
    Ack {
        /// The lease of the attempt.
        lease: LeaseId,
        /// How much is stored.
        stored: Stored,
    },
    /// The lease has ended. The worker stops at once and forgets it.
    Revoke {
        /// The lease that has ended.
        lease: LeaseId,
        /// Why, for the log.
        reason: String,
    },
    /// The trial was stopped at a rung whose epoch it had reported. The worker stops at once and
    /// forgets the lease.
    Stop {
        /// The lease of the trial.
        lease: LeaseId,
        /// Why, for the log.
        reason: String,
    },
    /// A more urgent trial needs the slot. The worker parks this one at the next mini-batch and
    /// keeps the lease. Ends with the connection.
    Park {
        /// The lease of the trial to park.
        lease: LeaseId,
    },
    /// Continue a parked trial.
    Unpark {
        /// The lease of the parked trial.
        lease: LeaseId,
    },
    /// Finish the jobs at hand, take no new ones, and leave. Parked trials continue.
    Drain,
}
