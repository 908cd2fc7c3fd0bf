//! What a worker and the coordinator say to each other. The wire's messages are converted to these
//! and back in one place.

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::data::DataSpec;
use crate::ids::{AttemptNumber, Incarnation, LeaseId, Name, StoreId, SweepId, TrialNumber};
use crate::metric::{EpochMetrics, Score};
use crate::outcome::{Job, Outcome};

/// The version of this conversation. A coordinator refuses a worker that speaks another.
pub const PROTOCOL: u32 = 2;

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Must be [`PROTOCOL`].
    pub protocol: u32,
    /// The worker's name, unique among the workers of a coordinator.
    pub worker: Name,
    /// Its process.
    pub incarnation: Incarnation,
    /// Trials it can train at once, at least 1.
    pub slots: u32,
    /// It takes no new work.
    pub draining: bool,
    /// It may be asked to park trials, which keep their memory meanwhile.
    pub can_park: bool,
    /// The store that granted what it holds; none before its first Welcome.
    pub store: Option<StoreId>,
    /// Every lease with something left to do or to acknowledge.
    pub held: Vec<LeaseId>,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// The metrics of the last epoch; the same as its report's. None where it failed before one.
    pub last: Option<EpochMetrics>,
    /// The score on the test split, for [`Job::Score`] alone.
    pub test: Option<Score>,
    /// Time spent training and evaluating, in seconds; for people, never for a decision.
    pub seconds: f64,
    /// Bytes that the training allocated for itself, beside the data; for people too. None where it
    /// did not begin.
    pub memory_bytes: Option<u64>,
}

/// Why a worker gives a lease back without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// The worker is asked to leave, and takes nothing more.
    Drained,
    /// It has no room for it now, and did not begin.
    Declined,
    /// The machine has no memory for this trial.
    TooLarge {
        /// What it lacks.
        message: String,
    },
    /// It cannot train this sweep here: the data is not where the spec says, for example.
    Unable {
        /// Why, for people.
        message: String,
    },
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// First message of a connection, and never later.
    Hello(Hello),
    /// Metrics of consecutive epochs of an attempt.
    Report {
        /// The attempt's lease.
        lease: LeaseId,
        /// Oldest first; may begin with epochs that were reported before.
        points: Vec<EpochMetrics>,
    },
    /// The attempt is over; every epoch was reported before.
    Finished {
        /// The attempt's lease.
        lease: LeaseId,
        /// The result.
        result: Finished,
    },
    /// The lease is given back.
    Released {
        /// The lease.
        lease: LeaseId,
        /// Why.
        release: Release,
    },
    /// Still here. Any message says so; this one says nothing else.
    Heartbeat,
}

/// A right to one attempt, with everything that is needed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Says it on every report.
    pub lease: LeaseId,
    /// The sweep.
    pub sweep: SweepId,
    /// Its name, for logs.
    pub sweep_name: Name,
    /// The trial.
    pub trial: TrialNumber,
    /// The attempt.
    pub attempt: AttemptNumber,
    /// Train, or score the winner.
    pub job: Job,
    /// The sweep's seed.
    pub seed: u64,
    /// The data.
    pub data: DataSpec,
    /// The digest that the data must have.
    pub digest: String,
    /// Hyperparameters that are not searched.
    pub fixed: Assignment,
    /// Hyperparameters of this trial.
    pub assignment: Assignment,
}

/// How far a coordinator has stored what a worker said of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Every epoch up to this one.
    Epoch(u32),
    /// Everything: the lease is over.
    Finished,
}

/// What the coordinator says.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// Answers `Hello`.
    Welcome {
        /// Say something at least this often.
        heartbeat_ms: u64,
        /// A worker that is silent for longer loses its leases.
        lease_ttl_ms: u64,
        /// Whose leases these will be: a worker forgets what it holds from another store.
        store: StoreId,
    },
    /// Work to do.
    Grant(Box<Grant>),
    /// What was stored, durably: the worker may forget it.
    Ack {
        /// The lease.
        lease: LeaseId,
        /// How far.
        stored: Stored,
    },
    /// The lease is no longer this worker's: stop at once, and forget it.
    Revoke {
        /// The lease.
        lease: LeaseId,
        /// Why, for the log.
        reason: String,
    },
    /// The trial ends here, at a rung that it had reported: stop at once, and forget the lease.
    Stop {
        /// The lease.
        lease: LeaseId,
        /// Why, for the log.
        reason: String,
    },
    /// Others need the slot more: hold the training at the next mini-batch, and keep the lease.
    /// Lasts as long as the connection.
    Park {
        /// The lease.
        lease: LeaseId,
    },
    /// Go on with what was parked.
    Unpark {
        /// The lease.
        lease: LeaseId,
    },
    /// Finish what is held, take nothing new, and leave. Nothing stays parked.
    Drain,
}
