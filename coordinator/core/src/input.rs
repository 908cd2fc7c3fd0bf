//! What goes into a step and what comes out of it.

use caviar_common::ask::{Ask, Report, Tell};
use caviar_common::data::DataSummary;
use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::{LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::limits::{MAX_SWEEPS, MAX_WORKERS};
use caviar_common::message::{FromWorker, PROTOCOL, ToWorker};
use caviar_common::outcome::SweepState;
use caviar_common::spec::SweepSpec;

use crate::event::Event;

/// What an operator can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A worker that is silent for longer loses its leases, in milliseconds.
    pub lease_ttl_ms: u64,
    /// A trial whose worker is lost so many times fails.
    pub max_losses: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { lease_ttl_ms: 15_000, max_losses: 5 }
    }
}

/// Something that reaches the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A new sweep, checked, with its data read.
    CreateSweep {
        /// The caller's mark of the request.
        request_id: Name,
        /// What is asked for.
        spec: Box<SweepSpec>,
        /// What was read of its data.
        data: DataSummary,
    },
    /// Start nothing new.
    PauseSweep(SweepId),
    /// Go on.
    ResumeSweep(SweepId),
    /// End it.
    CancelSweep(SweepId),
    /// Remove it.
    DeleteSweep(SweepId),
    /// A program wants trials of an external sweep; [`crate::Coordinator::asked`] has the answer.
    AskTrials(SweepId, Ask),
    /// A program measured an epoch; [`crate::Coordinator::verdict`] says whether it goes on.
    ReportTrial(SweepId, Report),
    /// A program is done with a trial.
    TellTrial(SweepId, Tell),
    /// A worker said something on its connection.
    Message {
        /// The connection.
        session: SessionId,
        /// What it said.
        message: FromWorker,
    },
    /// A connection is gone.
    SessionClosed(SessionId),
    /// A worker is to finish what it holds and leave.
    DrainWorker(Name),
    /// Time has passed.
    Tick,
}

/// Something to do once the events are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say this on a connection.
    Send(SessionId, ToWorker),
    /// End a connection.
    Close(SessionId, Refusal),
    /// A sweep looks different now: tell those who watch it.
    Changed(SweepId),
}

/// The answer to a request that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// The sweep it is about.
    Sweep(SweepId),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sweep is not there.
    #[error("there is no sweep {0}")]
    NoSuchSweep(String),
    /// The name is in use.
    #[error("there is a sweep {0} already: choose another name, or delete that one first")]
    NameTaken(Name),
    /// The request id is in use for another spec.
    #[error("request_id {0} was used for another sweep: make up a new one for every new request")]
    RequestReused(Name),
    /// The state forbids it.
    #[error("sweep {name} is {}: {hint}", state.name())]
    WrongState {
        /// The sweep.
        name: Name,
        /// Its state.
        state: SweepState,
        /// What can be done.
        hint: &'static str,
    },
    /// The trial is not there.
    #[error("sweep {sweep} has no trial {trial}; hint: it may not be sampled yet")]
    NoSuchTrial {
        /// The sweep.
        sweep: Name,
        /// The trial.
        trial: TrialNumber,
    },
    /// Workers run the sweep's trials.
    #[error(
        "the trials of sweep {0} are run by workers; hint: only a sweep with the data source \"external\" can be asked for trials"
    )]
    NotExternal(Name),
    /// The lease is over.
    #[error(
        "lease {lease} on trial {trial} is no longer in force: the trial was given to another, or is done; hint: ask for another one"
    )]
    StaleLease {
        /// The trial.
        trial: TrialNumber,
        /// The lease.
        lease: LeaseId,
    },
    /// A field of the request that the state makes wrong.
    #[error("{0}")]
    Wrong(Problem),
    /// The store is full.
    #[error("there are {MAX_SWEEPS} sweeps: delete some first")]
    TooManySweeps,
    /// Too many workers.
    #[error("there are {MAX_WORKERS} workers: no more can connect")]
    TooManyWorkers,
    /// The worker is not there.
    #[error("there is no worker {0}")]
    NoSuchWorker(Name),
    /// The worker has no connection over which it could be asked.
    #[error(
        "worker {0} is not connected, and cannot be asked; hint: try again when it is back, or stop its process"
    )]
    Away(Name),
    /// The worker speaks another version.
    #[error(
        "the worker speaks protocol {0}, this coordinator {PROTOCOL}: run the same release on both sides"
    )]
    WrongProtocol(u32),
    /// The first message must be Hello, and only the first.
    #[error("a connection begins with one Hello")]
    NoHello,
    /// The same process connected again.
    #[error("worker {0} has connected again; this connection is closed")]
    Replaced(Name),
    /// Another process has the name.
    #[error(
        "worker {0} is connected already, from another process: give every worker a name of its own"
    )]
    Connected(Name),
    /// The worker was silent for too long.
    #[error("worker {worker} was silent for more than {ttl_ms} ms; it may connect again")]
    Silent {
        /// The worker.
        worker: Name,
        /// The life of a lease.
        ttl_ms: u64,
    },
    /// A message that no honest worker sends.
    #[error("{0}")]
    Nonsense(String),
}

impl Refusal {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchSweep(_) | Self::NoSuchTrial { .. } | Self::NoSuchWorker(_) => {
                ErrorClass::NotFound
            }
            Self::NameTaken(_) | Self::RequestReused(_) => ErrorClass::Exists,
            Self::WrongState { .. } | Self::WrongProtocol(_) | Self::NotExternal(_) => {
                ErrorClass::Refused
            }
            Self::TooManySweeps | Self::TooManyWorkers | Self::Connected(_) => ErrorClass::Busy,
            Self::Replaced(_) | Self::StaleLease { .. } => ErrorClass::Stale,
            Self::Silent { .. } | Self::Away(_) => ErrorClass::Unavailable,
            Self::NoHello | Self::Nonsense(_) | Self::Wrong(_) => ErrorClass::Invalid,
        }
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// To be stored in this order, all or none.
    pub events: Vec<Event>,
    /// To be carried out in this order, once the events are stored.
    pub effects: Vec<Effect>,
    /// Whether nothing is left to decide until the next input.
    pub is_all: bool,
}

/// What one input led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// For whoever asked, once the events are stored.
    pub reply: Result<Reply, Refusal>,
    /// To be stored in this order, all or none.
    pub events: Vec<Event>,
    /// To be carried out in this order, once the events are stored.
    pub effects: Vec<Effect>,
}
