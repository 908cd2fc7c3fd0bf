//! Events: what happened to sweeps. The stored log of events is the truth; nothing in it is sampled
//! or decided again when it is replayed.
//!
//! An event is stored as one JSON object: first its name in `event`, then its sweep in `sweep`, and
//! then the fields of its payload.
//!
//! ```json
//! {"event":"trial_decided","sweep":1,"trial":7}
//! ```
//! Stores of earlier releases hold such objects, so their names and order never change. A field
//! whose name in the code is another one keeps its stored name with `#[serde(rename)]`.
//!
//! A new event needs a struct and a line in [`Payload`], and an arm in each of the places that the
//! compiler then names: the record's `apply`, the store's tables and the driver's log.

use std::fmt;

pub use super::cost::Cost;
pub use super::earlier::{EarlierResults, EarlierTrials, EarlierWinner};
pub use super::execution::{CheckpointChanged, LeaseRestored, LossWithdrawn};
pub use super::steering::{SweepExtended, SweepResized};
pub use super::suggestion::StoredAssignment;
pub(crate) use super::suggestion::{restore_suggestion, store_suggestion};
pub use super::ties::Ties;
use caviar_common::ask::AskKey;
use caviar_common::compact::CompactBox;
use caviar_common::data::DataSummary;
use caviar_common::ids::{
    AttemptNumber, Incarnation, LeaseId, Name, SweepId, TokenId, TrialNumber,
};
use caviar_common::message::StoredModel;
use caviar_common::metric::{Point, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::reason::Reason;
use caviar_common::space::Space;
use caviar_common::spec::SweepSpec;
use caviar_search::Suggestion;
use caviar_search::stopping::RungRank;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that happened to a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The sweep that it happened to.
    pub sweep: SweepId,
    /// What happened.
    pub payload: Payload,
}

impl Event {
    /// The event of `payload`, which happened to `sweep`.
    pub fn new(sweep: SweepId, payload: impl Into<Payload>) -> Self {
        Self { sweep, payload: payload.into() }
    }

    /// The event's name in the store and in the log, such as `trial_sampled`.
    pub const fn name(&self) -> &'static str {
        self.payload.name()
    }

    /// The trials that the event names. The end of a sweep concerns others too.
    pub fn trials(&self) -> Vec<TrialNumber> {
        match &self.payload {
            Payload::TrialSampled(fields) => vec![fields.trial],
            Payload::LeaseGranted(fields) => vec![fields.trial],
            Payload::TrialsAsked(fields) => fields.granted.iter().map(|it| it.trial).collect(),
            Payload::LeaseEnded(fields) => vec![fields.trial],
            Payload::LeaseRestored(fields) => vec![fields.trial],
            Payload::LossWithdrawn(fields) => vec![fields.trial],
            Payload::EpochRecorded(fields) => vec![fields.trial],
            Payload::EpochsRecorded(fields) => vec![fields.trial],
            Payload::TrialFinished(fields) => vec![fields.trial],
            Payload::TrialPassed(fields) => vec![fields.trial],
            Payload::TrialStopped(fields) => vec![fields.trial],
            Payload::TrialDecided(fields) => vec![fields.trial],
            Payload::ScoringStarted(fields) => vec![fields.trial],
            Payload::WinnerScored(fields) => vec![fields.trial],
            Payload::CheckpointChanged(fields) => vec![fields.trial],
            Payload::SweepCreated(_)
            | Payload::SweepPaused
            | Payload::SweepResumed
            | Payload::SweepResized(_)
            | Payload::SweepExtended(_)
            | Payload::SweepCancelled
            | Payload::SweepDeleted(_)
            | Payload::SweepCompleted => Vec::new(),
        }
    }
}

/// The stored form of an event, in the order of its JSON fields.
#[derive(Serialize)]
struct Stored<'a, F> {
    event: &'static str,
    sweep: SweepId,
    #[serde(flatten)]
    fields: &'a F,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StoredVisitor)
    }
}

/// Reads the next field's name, which must be `expected`.
fn expect_key<'de, M: MapAccess<'de>>(map: &mut M, expected: &'static str) -> Result<(), M::Error> {
    match map.next_key::<String>()? {
        Some(key) if key == expected => Ok(()),
        Some(key) => {
            Err(M::Error::custom(format_args!("expected the field `{expected}`, found `{key}`")))
        }
        None => Err(M::Error::missing_field(expected)),
    }
}

/// Reads an event from its stored form. `event` and `sweep` come first, in this order, so that the
/// fields after them are read straight into their struct, without a copy of the whole object.
struct StoredVisitor;

/// Reads the fields of a payload. Fields that this release does not know are skipped.
macro_rules! read_payload {
    ($fields:ident, $variant:ident) => {{
        IgnoredAny::deserialize($fields)?;
        Payload::$variant
    }};
    ($fields:ident, $variant:ident, $body:ty) => {
        Payload::$variant(<$body>::deserialize($fields)?)
    };
}

/// Defines [`Payload`] from lines of stored name, variant and fields; the names would otherwise be
/// written once for reading, once for writing and once for [`Payload::name`].
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:literal => $variant:ident $(($fields:ident: $body:ty))?,)*) => {
        /// What happened, with its details.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Payload {
            $($(#[$doc])* $variant $(($body))?,)*
        }

        impl Payload {
            /// The event's name in the store and in the log, such as `trial_sampled`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }

        $($(impl From<$body> for Payload {
            fn from(fields: $body) -> Self {
                Self::$variant(fields)
            }
        })?)*

        impl<'de> Visitor<'de> for StoredVisitor {
            type Value = Event;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: an object that starts with `event` and `sweep`")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Event, M::Error> {
                expect_key(&mut map, "event")?;
                let name: String = map.next_value()?;
                expect_key(&mut map, "sweep")?;
                let sweep = map.next_value()?;
                let fields = MapAccessDeserializer::new(map);
                let payload = match name.as_str() {
                    $($name => read_payload!(fields, $variant $(, $body)?),)*
                    _ => return Err(M::Error::unknown_variant(&name, &[$($name),*])),
                };
                Ok(Event { sweep, payload })
            }
        }

        impl Serialize for Event {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let (event, sweep) = (self.payload.name(), self.sweep);
                match &self.payload {
                    $(Payload::$variant $(($fields))? => {
                        Stored { event, sweep, fields: &($($fields)?) }.serialize(serializer)
                    })*
                }
            }
        }
    };
}

payloads! {
    /// A client submitted the sweep.
    "sweep_created" => SweepCreated(fields: Box<SweepCreated>),
    /// No new trial starts until the sweep is resumed. Running trials continue.
    "sweep_paused" => SweepPaused,
    /// New trials may start again.
    "sweep_resumed" => SweepResumed,
    /// A client changed how many trials are in flight.
    "sweep_resized" => SweepResized(fields: SweepResized),
    /// A client raised the number of trials. A completed sweep continues.
    "sweep_extended" => SweepExtended(fields: SweepExtended),
    /// A client ended the sweep: its unfinished trials are cancelled and its leases end.
    "sweep_cancelled" => SweepCancelled,
    /// A client removed the sweep.
    "sweep_deleted" => SweepDeleted(fields: SweepDeleted),
    /// The sampler chose a trial for a free slot of the virtual cluster.
    "trial_sampled" => TrialSampled(fields: TrialSampled),
    /// The coordinator granted a worker the right to execute a trial.
    "lease_granted" => LeaseGranted(fields: LeaseGranted),
    /// An external client asked for trials and got some.
    "trials_asked" => TrialsAsked(fields: TrialsAsked),
    /// A lease ended without a result; the trial waits again.
    "lease_ended" => LeaseEnded(fields: LeaseEnded),
    /// A worker that was silent for too long returned with the lease, which no other worker had
    /// taken, so the lease is in force again.
    "lease_restored" => LeaseRestored(fields: LeaseRestored),
    /// A worker that was silent for too long returned after another worker had taken the trial, so
    /// the trial is not what ended it.
    "loss_withdrawn" => LossWithdrawn(fields: LossWithdrawn),
    /// A worker or an external client measured an epoch. Releases up to format 2 wrote one such
    /// event for each epoch.
    "epoch_recorded" => EpochRecorded(fields: EpochRecorded),
    /// A worker or an external client measured one or more epochs.
    "epochs_recorded" => EpochsRecorded(fields: EpochsRecorded),
    /// A trial was trained to an end: its one accepted outcome.
    "trial_finished" => TrialFinished(fields: TrialFinished),
    /// A trial continues past a rung. Later decisions see its objective at the rung.
    "trial_passed" => TrialPassed(fields: TrialPassed),
    /// A trial was stopped at a rung, and its lease ended. Epochs past the rung do not count.
    "trial_stopped" => TrialStopped(fields: TrialStopped),
    /// The end of a trial was reached in virtual time. Later decisions see its result.
    "trial_decided" => TrialDecided(fields: TrialDecided),
    /// The search is over, and its winner is to be scored on the test split.
    "scoring_started" => ScoringStarted(fields: ScoringStarted),
    /// The scoring of the winner ended.
    "winner_scored" => WinnerScored(fields: WinnerScored),
    /// The search and the scoring, if there is one, are done.
    "sweep_completed" => SweepCompleted,
    /// A worker stored a checkpoint of a trial, or could not use the one that it was given.
    "checkpoint_changed" => CheckpointChanged(fields: CheckpointChanged),
}

/// Details of [`Payload::SweepCreated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepCreated {
    /// The client's identifier of the request. A repeated request has the same one.
    pub request_id: Name,
    /// The requested sweep, with the default space filled in.
    pub spec: SweepSpec,
    /// The data set that the sweep trains on.
    pub data: DataSummary,
    /// The results of an earlier sweep that the sampler learns from, as they were at this time.
    #[serde(default)]
    pub warm_start: EarlierResults,
    /// The epochs of the rungs, ascending. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rungs: Option<Vec<u32>>,
    /// The slots from which `parallelism = "auto"` was resolved. `None` if the sweep file gives a
    /// number, and in stores of releases that had no `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_slots: Option<u32>,
    /// What decides between completed trials of equal cost.
    #[serde(default, skip_serializing_if = "Ties::are_by_number")]
    pub ties: Ties,
    /// More of the earlier sweep. `None` without one, and in stores of releases that did not use
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierTrials>,
}

/// Details of [`Payload::SweepDeleted`]. The event stays in the log when the sweep's other events
/// are gone, so that no number is used twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepDeleted {
    /// The lowest lease number that was not used yet.
    pub next_lease: LeaseId,
}

/// Details of [`Payload::TrialSampled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialSampled {
    /// The trial's number, which is the next one of its sweep.
    pub trial: TrialNumber,
    /// The hyperparameters that the sampler chose.
    pub assignment: StoredAssignment,
    /// Why the sampler chose them. Its box is in `sides` if that is not `None`.
    pub reason: Reason,
    /// The box in which the search looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<CompactBox>,
    /// Epochs to train.
    pub epochs: u32,
    /// Virtual time at which the trial starts.
    pub start: u64,
    /// Virtual time at which the trial ends unless a rung stops it.
    pub end: u64,
    /// Virtual time of the first decision on the trial. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
}

impl TrialSampled {
    /// The suggestion that was stored. `None` if the event is not one of a sweep with this space.
    pub fn suggestion(&self, space: &Space) -> Option<Suggestion> {
        restore_suggestion(space, (&self.assignment, &self.reason, self.sides.as_ref()))
    }
}

/// Details of [`Payload::LeaseGranted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// The trial to execute.
    pub trial: TrialNumber,
    /// The number of this execution of the trial.
    pub attempt: AttemptNumber,
    /// The new lease. Lease numbers only grow.
    pub lease: LeaseId,
    /// The worker that holds the lease.
    pub worker: Name,
    /// The worker's process.
    pub incarnation: Incarnation,
    /// The identity of the token with which the worker had connected; `None` from a coordinator
    /// without tokens, and in what releases stored that did not tell workers apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// What the lease is for.
    #[serde(rename = "work")]
    pub job: Job,
    /// How many epochs of earlier executions stay recorded. `None` in stores of formats 1 and 2,
    /// where every execution began a new curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u32>,
    /// How many epochs are done in the checkpoint with which the execution begins. `None` if it
    /// begins with the first epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<u32>,
}

/// Details of [`Payload::TrialsAsked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialsAsked {
    /// Which request it was. A repeated request gets the same trials.
    #[serde(flatten)]
    pub ask: AskKey,
    /// How long the client may be silent about one of the trials, in milliseconds.
    pub lease_ms: u64,
    /// The trials that the client may run now; at least one.
    pub granted: Vec<GrantedTrial>,
}

/// A trial that an external client may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedTrial {
    /// The trial's number in its sweep.
    pub trial: TrialNumber,
    /// The number of this execution of the trial.
    pub attempt: AttemptNumber,
    /// The lease that the client names in its reports.
    pub lease: LeaseId,
    /// How many epochs of earlier executions stay recorded. `None` in stores of formats 1 and 2,
    /// where every execution began a new curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u32>,
}

/// Details of [`Payload::LeaseEnded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseEnded {
    /// The trial that waits again.
    pub trial: TrialNumber,
    /// The lease that ended.
    pub lease: LeaseId,
    /// Why the lease ended.
    pub cause: LeaseEnd,
    /// How the end counts against the trial; `None` if the trial cannot be the cause.
    #[serde(rename = "loss")]
    pub lost_worker: Option<WorkerLost>,
    /// How many times in a row the trial has now lost its worker. `None` in stores of formats 1 and
    /// 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<u32>,
}

/// Why a lease ended without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The holder was silent for longer than the lease lasts.
    Expired,
    /// Another process of the same name replaced the worker's process.
    WorkerRestarted,
    /// The worker reconnected without the lease: it never received the grant, or declined it.
    NotHeld,
    /// The worker is shutting down and returned the lease.
    Drained,
    /// The trial reported no epoch for much longer than an epoch should take.
    Stalled,
    /// An operator took the lease away.
    Released,
    /// The worker reported something impossible about the lease.
    #[serde(rename = "nonsense")]
    InvalidReport {
        /// What was wrong with the report.
        message: String,
    },
    /// The worker cannot train the trial.
    Unable {
        /// Why it cannot.
        message: String,
    },
}

/// How a lost worker counts against a trial that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerLost {
    /// The trial is the likely cause: the worker held no other lease, or no other suspect.
    Alone,
    /// The worker held other leases too, and any of their trials may be the cause.
    Shared,
}

/// Details of [`Payload::EpochRecorded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecorded {
    /// The trial that was trained.
    pub trial: TrialNumber,
    /// The lease under which it was trained.
    pub lease: LeaseId,
    /// The measurements after the epoch.
    pub metrics: Point,
    /// Training time of the execution so far, in seconds. `None` for an epoch that arrived with a
    /// later one, and in stores from before it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Details of [`Payload::EpochsRecorded`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochsRecorded {
    /// The trial that was trained.
    pub trial: TrialNumber,
    /// The lease under which it was trained.
    pub lease: LeaseId,
    /// The measurements after each epoch. The first epoch follows the last one that was recorded.
    pub points: Vec<Point>,
    /// Training time of the execution until the last of the epochs, in seconds; `None` if it was
    /// not reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Details of [`Payload::TrialFinished`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialFinished {
    /// The trial that ended.
    pub trial: TrialNumber,
    /// The lease of its last execution.
    pub lease: LeaseId,
    /// How the trial ended.
    pub outcome: Outcome,
    /// Training time in seconds; `None` if the coordinator gave the trial up after it had lost too
    /// many workers.
    pub seconds: Option<f64>,
    /// Bytes that the training allocated. `None` for an external client, and in stores from before
    /// memory was counted.
    pub memory_bytes: Option<u64>,
    /// The weights at the epoch of the objective, which the worker has stored. `None` unless the
    /// trial was completed, and if the sweep had enough better ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<StoredModel>,
}

/// How a trial ranked at a rung when it was decided there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The rung's number, from 0.
    pub number: u32,
    /// The epoch of the rung, from 1.
    pub epoch: u32,
    /// The trial's rank by its objective at the rung, from 1.
    pub rank: u32,
    /// Trials that had reached the rung, this one included.
    #[serde(rename = "of")]
    pub reached: u32,
    /// The trials up to this rank continue. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Rung {
    /// The rung of this number and epoch, and a trial's rank there.
    pub const fn new(number: u32, epoch: u32, rank: RungRank) -> Self {
        let RungRank { rank, reached, limit } = rank;
        Self { number, epoch, rank, reached, limit: Some(limit) }
    }
}

/// Details of [`Payload::TrialPassed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialPassed {
    /// The trial that continues.
    pub trial: TrialNumber,
    /// The rung that it passed, and its rank there.
    pub rung: Rung,
    /// The trial's cost at the rung. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Virtual time of the next decision on the trial. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
}

/// Details of [`Payload::TrialStopped`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialStopped {
    /// The trial that ended.
    pub trial: TrialNumber,
    /// The rung that stopped it, and its rank there.
    pub rung: Rung,
    /// The trial's cost at the rung. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Details of [`Payload::TrialDecided`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialDecided {
    /// The trial whose end was decided.
    pub trial: TrialNumber,
    /// The trial's final cost. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How many of the trial's epochs count. `None` in stores of formats 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
}

/// Details of [`Payload::ScoringStarted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoringStarted {
    /// The winner of the search.
    pub trial: TrialNumber,
}

/// Details of [`Payload::WinnerScored`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinnerScored {
    /// The winner of the search.
    pub trial: TrialNumber,
    /// The lease of the scoring.
    pub lease: LeaseId,
    /// The score on the test split; `None` if scoring failed.
    pub score: Option<Score>,
    /// True if the second training gave the same metrics, bit for bit.
    pub reproduced: bool,
    /// Why there is no score.
    pub message: Option<String>,
}
