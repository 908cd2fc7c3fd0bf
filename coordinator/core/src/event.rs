//! What happened: the truth that is stored. Replaying the events gives the state; nothing is
//! sampled or decided again.

use caviar_common::assignment::Assignment;
use caviar_common::data::DataSummary;
use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, Name, SweepId, TrialNumber};
#[cfg(doc)]
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::metric::{Point, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::reason::Reason;
use caviar_common::spec::SweepSpec;
use serde::{Deserialize, Serialize};

/// Why a lease ended without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The worker was silent for too long.
    Expired,
    /// The worker's process was replaced by another.
    WorkerRestarted,
    /// The worker came back without it: the grant never arrived.
    NotHeld,
    /// The worker is leaving, and gave it back.
    Drained,
    /// What the worker said of it cannot be.
    Nonsense {
        /// What was said.
        message: String,
    },
    /// The worker cannot train this sweep.
    Unable {
        /// Why.
        message: String,
    },
}

/// How the loss of a worker counts against a trial that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The trial is the cause, as far as can be told: the worker held nothing else. A trial that
    /// does so again and again must end.
    Alone,
    /// The worker held other trials too, and any of them may be the cause.
    Shared,
}

impl LeaseEnd {
    /// How it counts against the trial, `alone` on its worker or not; none where the trial cannot
    /// be the cause.
    pub const fn loss(&self, alone: bool) -> Option<Loss> {
        match self {
            Self::Expired | Self::WorkerRestarted if alone => Some(Loss::Alone),
            Self::Expired | Self::WorkerRestarted => Some(Loss::Shared),
            // It was said of this lease and of no other.
            Self::Nonsense { .. } => Some(Loss::Alone),
            Self::NotHeld | Self::Drained | Self::Unable { .. } => None,
        }
    }
}

/// The results of an earlier sweep, in the order of its decisions: the values of the parameters
/// that the later sweep searches, and the loss; none of a trial that diverged or failed.
/// [`MAX_EARLIER_RESULTS`] at most: of more, the best half of so many and a spread of the others.
pub type EarlierResults = Vec<(Assignment, Option<f64>)>;

/// How a trial stood at a rung when it was decided there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Which rung, from 0.
    pub number: u32,
    /// Its epoch, from 1.
    pub epoch: u32,
    /// The trial's rank by its objective there, from 1.
    pub rank: u32,
    /// Trials that had come to the rung, this one included.
    pub of: u32,
}

/// A trial that a program may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The trial.
    pub trial: TrialNumber,
    /// Which execution.
    pub attempt: AttemptNumber,
    /// The lease.
    pub lease: LeaseId,
}

/// Something that happened to a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A sweep begins.
    SweepCreated {
        /// Its number.
        sweep: SweepId,
        /// The caller's mark of the request.
        request_id: Name,
        /// What was asked for, the default space filled in.
        spec: Box<SweepSpec>,
        /// The data it runs on.
        data: DataSummary,
        /// What it learns from: the results of the earlier sweep as they were when this one began.
        #[serde(default)]
        warm_start: EarlierResults,
    },
    /// Nothing new starts.
    SweepPaused {
        /// The sweep.
        sweep: SweepId,
    },
    /// It goes on.
    SweepResumed {
        /// The sweep.
        sweep: SweepId,
    },
    /// Ended by request: what is not done is cancelled, and its leases end.
    SweepCancelled {
        /// The sweep.
        sweep: SweepId,
    },
    /// Removed. Stays in the log when the sweep's other events are gone, to keep numbers from being
    /// used twice.
    SweepDeleted {
        /// The sweep.
        sweep: SweepId,
        /// Lease ids from here on are unused.
        next_lease: LeaseId,
    },
    /// A slot of the virtual cluster was free.
    TrialSampled {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// Its values.
        assignment: Assignment,
        /// Why these.
        reason: Reason,
        /// Epochs it is to train.
        epochs: u32,
        /// Virtual time at which it starts.
        start: u64,
        /// Virtual time at which it ends.
        end: u64,
    },
    /// A worker may execute a trial.
    LeaseGranted {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// Which execution.
        attempt: AttemptNumber,
        /// The lease.
        lease: LeaseId,
        /// The worker.
        worker: Name,
        /// Its process.
        incarnation: Incarnation,
        /// What for.
        #[serde(rename = "work")]
        job: Job,
    },
    /// A program that runs trials by itself has some.
    TrialsAsked {
        /// The sweep.
        sweep: SweepId,
        /// The program's mark of the request.
        request_id: Name,
        /// The program.
        client: Name,
        /// How long it may be silent about one of them, in milliseconds.
        lease_ms: u64,
        /// The trials.
        granted: Vec<Granted>,
    },
    /// A lease ended without a result; the trial waits again.
    LeaseEnded {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// The lease.
        lease: LeaseId,
        /// Why.
        cause: LeaseEnd,
        /// How it counts against the trial.
        loss: Option<Loss>,
    },
    /// An epoch was measured.
    EpochRecorded {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// The attempt's lease.
        lease: LeaseId,
        /// The measurements.
        metrics: Point,
    },
    /// A trial is done: its one accepted outcome.
    TrialFinished {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// The lease that brought it.
        lease: LeaseId,
        /// How.
        outcome: Outcome,
        /// Training time in seconds.
        seconds: Option<f64>,
        /// Bytes that the training allocated; none in what was stored before they were counted.
        memory_bytes: Option<u64>,
    },
    /// A trial goes on past a rung: its objective there takes part in decisions from here on.
    TrialPassed {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// Where, and how it stood.
        rung: Rung,
    },
    /// A trial ends at a rung, and with it its lease. What was trained past the rung does not
    /// count.
    TrialStopped {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
        /// Where, and how it stood.
        rung: Rung,
    },
    /// The end of a trial was decided: its result takes part in decisions from here on.
    TrialDecided {
        /// The sweep.
        sweep: SweepId,
        /// The trial.
        trial: TrialNumber,
    },
    /// The search is over, and its winner is to be scored on the test split.
    ScoringStarted {
        /// The sweep.
        sweep: SweepId,
        /// The winner.
        trial: TrialNumber,
    },
    /// The winner was scored.
    WinnerScored {
        /// The sweep.
        sweep: SweepId,
        /// The winner.
        trial: TrialNumber,
        /// The lease that brought it.
        lease: LeaseId,
        /// The score; none where scoring failed.
        score: Option<Score>,
        /// Whether the second training gave the same metrics, bit for bit.
        reproduced: bool,
        /// Why there is no score.
        message: Option<String>,
    },
    /// Everything is done.
    SweepCompleted {
        /// The sweep.
        sweep: SweepId,
    },
}

impl Event {
    /// The sweep it happened to.
    pub const fn sweep(&self) -> SweepId {
        match self {
            Self::SweepCreated { sweep, .. }
            | Self::SweepPaused { sweep }
            | Self::SweepResumed { sweep }
            | Self::SweepCancelled { sweep }
            | Self::SweepDeleted { sweep, .. }
            | Self::TrialSampled { sweep, .. }
            | Self::LeaseGranted { sweep, .. }
            | Self::TrialsAsked { sweep, .. }
            | Self::LeaseEnded { sweep, .. }
            | Self::EpochRecorded { sweep, .. }
            | Self::TrialFinished { sweep, .. }
            | Self::TrialPassed { sweep, .. }
            | Self::TrialStopped { sweep, .. }
            | Self::TrialDecided { sweep, .. }
            | Self::ScoringStarted { sweep, .. }
            | Self::WinnerScored { sweep, .. }
            | Self::SweepCompleted { sweep } => *sweep,
        }
    }
}
