//! What goes into a step of the coordinator, and what comes out of it.

use caviar_common::ask::{Ask, AskReply, Report, Tell, Verdict};
use caviar_common::data::DataSummary;
use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::{LeaseId, Name, SessionId, SweepId, TokenId, TrialNumber};
use caviar_common::limits::{MAX_SWEEPS, MAX_WORKERS};
use caviar_common::message::{FromWorker, PROTOCOL, ToWorker};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::spec::SweepSpec;
use caviar_common::view::TrialView;

use crate::record::event::Event;
pub use crate::record::sampling::{Sampled, SamplingJob};

/// What an operator can configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a worker may be silent before it loses its leases, in milliseconds.
    pub lease_ttl_ms: u64,
    /// How many times in a row a trial may lose its worker, without reporting a new epoch, before
    /// it fails. A loss that the trial shares with others counts only up to
    /// [`SUSPECT_LOSSES`](crate::state::SUSPECT_LOSSES), because any of them may be the cause.
    pub max_lost_workers: u32,
    /// How long a training may be silent at least before it counts as hung, in milliseconds. Where
    /// an epoch takes long, it may be silent for 20 times as long as expected. A time below
    /// `lease_ttl_ms` counts as `lease_ttl_ms`.
    pub least_stall_ms: u64,
}

impl Default for Config {
    /// Workers send four heartbeats per lease duration, so with 15 s a pause of a loaded host or
    /// network may last 11 s. Five workers are rarely lost by coincidence. Ten minutes are longer
    /// than a worker needs to read its data. None of them was measured.
    fn default() -> Self {
        Self { lease_ttl_ms: 15_000, max_lost_workers: 5, least_stall_ms: 600_000 }
    }
}

/// Something that reaches the coordinator.
#[derive(Debug)]
pub enum Input {
    /// Creates a sweep. The spec was checked, and its data was read.
    CreateSweep {
        /// The client's identifier of the request. A repeated request finds the same sweep.
        request_id: Name,
        /// The requested sweep.
        spec: Box<SweepSpec>,
        /// The data set that the sweep trains on.
        data: DataSummary,
        /// From how many slots `parallelism = "auto"` is resolved; `None` for the connected ones.
        for_slots: Option<u32>,
    },
    /// Starts no new trial of a sweep. Running trials continue.
    PauseSweep(SweepId),
    /// Starts trials of a paused sweep again.
    ResumeSweep(SweepId),
    /// Changes how many trials of a sweep are in flight.
    ResizeSweep(SweepId, u32),
    /// Adds trials to the budget of a sweep. A completed one continues.
    ExtendSweep {
        /// The sweep.
        sweep: SweepId,
        /// The client's identifier of the request. A repeated request adds nothing.
        request_id: Name,
        /// How many trials are added.
        added: u32,
    },
    /// Ends a sweep, cancels its unfinished trials and revokes their leases.
    CancelSweep(SweepId),
    /// Removes a sweep that has ended.
    DeleteSweep(SweepId),
    /// An external client asks for trials.
    AskTrials(SweepId, Ask, Waiter),
    /// An external client that waits for trials does not wait any longer. It gets none.
    StopWaiting(WaiterId),
    /// An external client measured an epoch.
    ReportTrial(SweepId, Report, WaiterId),
    /// An external client finished a trial.
    TellTrial(SweepId, Tell, WaiterId),
    /// A sampler has replied to a [`SamplingJob`].
    Sampled(Box<Sampled>),
    /// A worker sent a message.
    Message {
        /// The worker's connection.
        session: SessionId,
        /// The identity of the token with which the worker proved who it is; `None` from a
        /// coordinator without tokens. Only a Hello needs it.
        token: Option<TokenId>,
        /// The message.
        message: FromWorker,
    },
    /// A worker's connection is closed.
    SessionClosed(SessionId),
    /// Asks a worker to finish the trials that it holds and to exit.
    DrainWorker(Name),
    /// Takes the lease on a trial away from its holder. The trial waits again. If the trial is the
    /// winner that is being scored, this takes the lease on the scoring.
    ReleaseTrial(SweepId, TrialNumber),
    /// Time has passed: silent workers and clients lose their leases. The driver sends it several
    /// times per lease duration.
    Tick,
}

/// Something to do once the events are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message to a worker.
    Send(SessionId, ToWorker),
    /// Close a worker's connection for this reason.
    Close(SessionId, Refusal),
    /// Answer a request whose reply was [`Reply::Waiting`].
    Answer(WaiterId, ClientReply),
    /// A sweep's view has changed: notify its watchers.
    Changed(SweepId),
}

/// Identifies a request of an external client that waits for its [`ClientReply`], since the
/// coordinator started. Of the clients that ask for trials, those with lower numbers get them
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// A client that asks for trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The number under which it gets its answer.
    pub id: WaiterId,
    /// True if it waits until there is a trial. False if it wants one now: then it waits only until
    /// everything is decided that can be decided.
    pub is_patient: bool,
}

/// The answer to an external client, as of the time when everything was decided that could be.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientReply {
    /// The trials that it asked for; none if there are none.
    Trials(AskReply),
    /// Whether it should continue the trial that it reported.
    Verdict(Verdict),
    /// The state of the trial whose end it told.
    Told(TrialState),
}

/// The reply to a request that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The request needs no data in reply.
    Done,
    /// The sweep that the request was about.
    Sweep(SweepId),
    /// An [`Effect::Answer`] of this step or of a later one has the reply.
    Waiting,
}

/// What can be done about a sweep that is damaged.
pub(crate) const QUARANTINE_HINT: &str =
    "stop the coordinator and run caviar coordinator check STORE to see what can be saved";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sweep does not exist.
    #[error("there is no sweep {0}")]
    NoSuchSweep(String),
    /// Another sweep has the name.
    #[error("a sweep named {0} exists already: choose another name, or delete that sweep first")]
    NameTaken(Name),
    /// The request id belongs to a request for another sweep.
    #[error("request_id {0} belongs to another sweep: use a new one for every new request")]
    RequestReused(Name),
    /// The sweep's state does not allow the request.
    #[error("sweep {name} is {}: {hint}", state.name())]
    WrongState {
        /// The sweep's name.
        name: Name,
        /// The sweep's state.
        state: SweepState,
        /// What the client can do.
        hint: &'static str,
    },
    /// The trial does not exist.
    #[error("sweep {sweep} has no trial {trial}; hint: it may not be sampled yet")]
    NoSuchTrial {
        /// The sweep's name.
        sweep: Name,
        /// The trial that the client named.
        trial: TrialNumber,
    },
    /// Only workers can run the sweep's trials.
    #[error(
        "the trials of sweep {0} are run by workers; hint: a client can ask for trials only of a \
         sweep whose data source is \"external\""
    )]
    NotExternal(Name),
    /// The sweep cannot go on.
    #[error("sweep {name} is damaged and stopped ({reason}); hint: {QUARANTINE_HINT}")]
    Quarantined {
        /// The sweep's name.
        name: Name,
        /// What is wrong with it.
        reason: String,
    },
    /// The results of a sweep that has ended cannot be read.
    #[error(
        "the results of sweep {name} cannot be read ({reason}); hint: restart the coordinator, \
         which reads them from its events then"
    )]
    Unreadable {
        /// The sweep's name.
        name: Name,
        /// Why they cannot be read.
        reason: String,
    },
    /// As many clients wait for trials as can.
    #[error("too many clients wait for trials; hint: ask again later")]
    TooManyWait,
    /// No worker or client holds a lease on the trial.
    #[error("trial {trial} of sweep {sweep} is {}, so there is no lease to release", state.name())]
    NotRunning {
        /// The sweep's name.
        sweep: Name,
        /// The trial that the client named.
        trial: TrialNumber,
        /// The trial's state.
        state: TrialState,
    },
    /// The lease is not in force any more.
    #[error(
        "lease {lease} on trial {trial} has ended: the trial is finished, or another client may \
         run it; hint: ask for another trial"
    )]
    StaleLease {
        /// The trial that the client named.
        trial: TrialNumber,
        /// The lease that the client named.
        lease: LeaseId,
    },
    /// The lease is in force, and a client with another token holds it.
    #[error(
        "lease {lease} on trial {trial} belongs to a client with another token; hint: ask for a \
         trial with this token"
    )]
    ForeignLease {
        /// The trial that the client named.
        trial: TrialNumber,
        /// The lease that the client named.
        lease: LeaseId,
    },
    /// A field of the request does not fit the state.
    #[error("{0}")]
    Wrong(Problem),
    /// The store holds as many sweeps as it can.
    #[error("the store holds {MAX_SWEEPS} sweeps, the most it can: delete some first")]
    TooManySweeps,
    /// As many workers are known as can be.
    #[error("{MAX_WORKERS} workers are connected, the most that can be: stop some first")]
    TooManyWorkers,
    /// No worker of that name is connected or holds leases.
    #[error("there is no worker {0}")]
    NoSuchWorker(Name),
    /// The worker has no connection on which it could be asked.
    #[error(
        "worker {0} is not connected and cannot be asked; hint: try again when it has \
         reconnected, or stop its process"
    )]
    Away(Name),
    /// The worker uses another version of the protocol.
    #[error(
        "the worker speaks protocol {0}, and this coordinator speaks {PROTOCOL}: run the same \
         release on both sides"
    )]
    WrongProtocol(u32),
    /// The first message of a connection was not a Hello, or a later one was.
    #[error("a connection begins with one Hello")]
    NoHello,
    /// The same process has connected again.
    #[error("worker {0} has connected again; this connection is closed")]
    Replaced(Name),
    /// Another process has the worker's name.
    #[error("another process is connected as worker {0}: give every worker its own name")]
    Connected(Name),
    /// A worker with another token has the name.
    #[error(
        "the name {worker} belongs to a worker with another token, which {state}: give every \
         worker its own name"
    )]
    ForeignWorker {
        /// The name.
        worker: Name,
        /// What the other worker does.
        state: &'static str,
    },
    /// The worker was silent for too long.
    #[error("worker {worker} was silent for more than {ttl_ms} ms; it may connect again")]
    Silent {
        /// The worker's name.
        worker: Name,
        /// How long a worker may be silent.
        ttl_ms: u64,
    },
    /// The store can only be read, and carrying the request out would write to it.
    #[error(
        "the store {0} cannot be written; hint: check the owner and permissions of the file and of \
         its directory, and the space on the disk"
    )]
    ReadOnlyStore(String),
    /// A message that a correct worker never sends.
    #[error("{0}")]
    InvalidReport(String),
}

impl Refusal {
    /// The error class, which tells a client what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchSweep(_) | Self::NoSuchTrial { .. } | Self::NoSuchWorker(_) => {
                ErrorClass::NotFound
            }
            Self::NameTaken(_) | Self::RequestReused(_) => ErrorClass::Exists,
            Self::WrongState { .. }
            | Self::WrongProtocol(_)
            | Self::NotExternal(_)
            | Self::ForeignLease { .. }
            | Self::NotRunning { .. }
            | Self::Quarantined { .. }
            | Self::Unreadable { .. }
            | Self::ReadOnlyStore(_) => ErrorClass::Refused,
            Self::TooManySweeps
            | Self::TooManyWorkers
            | Self::TooManyWait
            | Self::Connected(_)
            | Self::ForeignWorker { .. } => ErrorClass::Busy,
            Self::Replaced(_) | Self::StaleLease { .. } => ErrorClass::Stale,
            Self::Silent { .. } | Self::Away(_) => ErrorClass::Unavailable,
            Self::NoHello | Self::InvalidReport(_) | Self::Wrong(_) => ErrorClass::Invalid,
        }
    }
}

/// What [`crate::Coordinator::decide`] decided.
#[derive(Debug)]
pub struct Decided {
    /// To be stored in this order, all or none.
    pub events: Vec<Event>,
    /// To be carried out in this order, once the events are stored.
    pub effects: Vec<Effect>,
    /// Questions for samplers. The reply to each is a later [`Input::Sampled`].
    pub jobs: Vec<SamplingJob>,
    /// True if nothing is left to decide until the next input.
    pub is_all: bool,
}

/// Sweeps and trials as clients see them after one or more steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The sweeps whose views have changed.
    pub sweeps: Vec<SweepId>,
    /// The trials that have changed, without their curves.
    pub trials: Vec<(SweepId, TrialView)>,
}

/// What one input led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The reply to the request, to be sent once the events are stored.
    pub reply: Result<Reply, Refusal>,
    /// To be stored in this order, all or none.
    pub events: Vec<Event>,
    /// To be carried out in this order, once the events are stored.
    pub effects: Vec<Effect>,
}
