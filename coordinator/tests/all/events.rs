//! One event of every kind, in an order in which they can happen.

use caviar_common::ask::AskKey;
use caviar_common::assignment::{Assignment, Value};
use caviar_common::blob::{Blob, BlobName};
use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, SweepId, TokenId, TrialNumber};
use caviar_common::measure::Measure;
use caviar_common::message::Checkpoint;
use caviar_common::metric::{EpochMetrics, Measured, NamedMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::reason::{Reason, Source};
use caviar_common::spec::StoppingRule;
use caviar_core::event::{
    CheckpointChanged, Cost, EpochRecorded, EpochsRecorded, Event, GrantedTrial, LeaseEnd,
    LeaseEnded, LeaseGranted, LeaseRestored, LossWithdrawn, Payload, Rung, ScoringStarted,
    StoredAssignment, SweepCreated, SweepDeleted, SweepExtended, SweepResized, Ties, TrialDecided,
    TrialFinished, TrialPassed, TrialSampled, TrialStopped, TrialsAsked, WinnerScored, WorkerLost,
};

use crate::support::{metrics, name, spec, summary};

/// How many kinds of events there are.
pub(crate) const KINDS: usize = 23;

pub(crate) fn created(id: u64, name_of_sweep: &str) -> Event {
    let created = SweepCreated {
        request_id: name(&format!("request-{id}")),
        spec: spec(name_of_sweep, 4, 2),
        data: summary(),
        warm_start: Vec::new(),
        rungs: None,
        auto_slots: None,
        ties: Ties::Loss,
        earlier: None,
    };
    Event::new(SweepId(id), Box::new(created))
}

pub(crate) fn sampled(sweep: u64, trial: u32) -> Event {
    sampled_for(sweep, trial, 2)
}

fn sampled_for(sweep: u64, trial: u32, epochs: u32) -> Event {
    let sampled = TrialSampled {
        trial: TrialNumber(trial),
        assignment: StoredAssignment::Named(Assignment::default()),
        reason: Reason::from_source(Source::Random),
        sides: None,
        epochs,
        start: 0,
        end: 9,
        due: Some(4),
    };
    Event::new(SweepId(sweep), sampled)
}

pub(crate) fn granted(sweep: u64, trial: u32, lease: u64, job: Job) -> Event {
    let granted = LeaseGranted {
        trial: TrialNumber(trial),
        attempt: AttemptNumber(1),
        lease: LeaseId(lease),
        worker: name("w"),
        incarnation: Incarnation(u64::MAX),
        token: None,
        job,
        recorded: Some(0),
        resumed: None,
    };
    Event::new(SweepId(sweep), granted)
}

pub(crate) fn recorded(sweep: u64, trial: u32, lease: u64, metrics: impl Into<Point>) -> Event {
    let (trial, lease) = (TrialNumber(trial), LeaseId(lease));
    let points = vec![metrics.into()];
    Event::new(SweepId(sweep), EpochsRecorded { trial, lease, points, seconds: Some(0.5) })
}

/// An epoch of several trainings in a sweep whose objective is a measure.
fn judged(epoch: u32, loss: f64) -> EpochMetrics {
    let metrics = metrics(epoch, loss);
    let measured = Some(Measured { measure: Measure::RocAuc, value: loss });
    let validation = Score { measured, ..metrics.validation };
    EpochMetrics { validation, spread: Some(0.1 + 0.2), ..metrics }
}

/// An epoch as releases up to format 2 recorded it.
fn recorded_before(sweep: u64, trial: u32, lease: u64, metrics: impl Into<Point>) -> Event {
    let (trial, lease, metrics) = (TrialNumber(trial), LeaseId(lease), metrics.into());
    Event::new(SweepId(sweep), EpochRecorded { trial, lease, metrics, seconds: None })
}

/// A checkpoint within the second epoch.
fn checkpointed(sweep: u64, trial: u32, lease: u64) -> Event {
    let (trial, lease) = (TrialNumber(trial), LeaseId(lease));
    let blob = Blob { name: BlobName::from_hash([7; 32]), bytes: 1 << 20 };
    let checkpoint = Some(Checkpoint { epoch: 1, batch: 3, blob });
    Event::new(SweepId(sweep), CheckpointChanged { trial, lease, checkpoint, reason: None })
}

pub(crate) fn finished(sweep: u64, trial: u32, lease: u64, outcome: Outcome) -> Event {
    let finished = TrialFinished {
        trial: TrialNumber(trial),
        lease: LeaseId(lease),
        outcome,
        seconds: Some(1.5),
        memory_bytes: Some(4096),
        model: None,
    };
    Event::new(SweepId(sweep), finished)
}

/// A trial from its lease to its end, after one epoch with this training loss.
pub(crate) fn completed(sweep: u64, trial: u32, lease: u64, loss: f64) -> [Event; 3] {
    [
        granted(sweep, trial, lease, Job::Train),
        recorded(sweep, trial, lease, metrics(1, loss)),
        finished(sweep, trial, lease, Outcome::Completed),
    ]
}

pub(crate) fn decided(sweep: u64, trial: u32) -> Event {
    let (trial, cost) = (TrialNumber(trial), None);
    Event::new(SweepId(sweep), TrialDecided { trial, cost, epochs: None })
}

fn unable(sweep: u64, trial: u32, lease: u64) -> Event {
    let cause = LeaseEnd::Unable { message: "no such file: \"ü\"\n".to_owned() };
    let (trial, lease) = (TrialNumber(trial), LeaseId(lease));
    Event::new(
        SweepId(sweep),
        LeaseEnded { trial, lease, cause, lost_worker: None, losses: Some(0) },
    )
}

fn expired(sweep: u64, trial: u32, lease: u64) -> Event {
    let (trial, lease) = (TrialNumber(trial), LeaseId(lease));
    let lost_worker = Some(WorkerLost::Alone);
    let cause = LeaseEnd::Expired;
    Event::new(SweepId(sweep), LeaseEnded { trial, lease, cause, lost_worker, losses: Some(1) })
}

pub(crate) fn every_kind() -> Vec<Event> {
    let mut events = events_of_two_sweeps();
    let deleted = events.pop();
    events.extend(resized_sweep());
    events.extend(deleted);
    events
}

/// Two sweeps, and a third one that was deleted.
pub(crate) fn events_of_two_sweeps() -> Vec<Event> {
    let mut events = completed_sweep();
    events.extend(cancelled_sweep());
    let next_lease = LeaseId(1 << 40);
    events.push(Event::new(SweepId(3), SweepDeleted { next_lease }));
    events
}

/// Sweep 4: it is resized and extended, and a worker sleeps past its lease twice.
fn resized_sweep() -> Vec<Event> {
    let (sweep, trial, lease) = (SweepId(4), TrialNumber(0), LeaseId(7));
    let mut created = created(4, "shapes");
    if let Payload::SweepCreated(created) = &mut created.payload {
        created.auto_slots = Some(64);
    }
    vec![
        created,
        Event::new(sweep, SweepResized { parallelism: 3, trials: 0, decisions: 0 }),
        Event::new(
            sweep,
            SweepExtended { request_id: name("more"), added: 2, trials: 0, decisions: 0 },
        ),
        sampled(4, 0),
        granted(4, 0, 7, Job::Train),
        expired(4, 0, 7),
        Event::new(sweep, LeaseRestored { trial, lease, losses: 0 }),
        expired(4, 0, 7),
        granted(4, 0, 8, Job::Train),
        Event::new(sweep, LossWithdrawn { trial, lease, losses: 0 }),
    ]
}

/// Sweep 1: one trial diverges, the other one wins and is scored.
fn completed_sweep() -> Vec<Event> {
    let sweep = SweepId(1);
    let winner = TrialNumber(1);
    let score = Score { loss: 0.5, accuracy: None, measured: None };
    let scored = WinnerScored {
        trial: winner,
        lease: LeaseId(4),
        score: Some(score),
        reproduced: true,
        message: None,
    };
    vec![
        created(1, "digits"),
        Event::new(sweep, Payload::SweepPaused),
        Event::new(sweep, Payload::SweepResumed),
        sampled(1, 0),
        sampled(1, 1),
        granted(1, 0, 1, Job::Train),
        recorded_before(1, 0, 1, metrics(1, 1.0 / 3.0)),
        recorded(1, 0, 1, judged(2, f64::NAN)),
        recorded(1, 0, 1, metrics(3, f64::INFINITY)),
        finished(1, 0, 1, Outcome::Diverged),
        granted(1, 1, 2, Job::Train),
        unable(1, 1, 2),
        granted(1, 1, 3, Job::Train),
        recorded(1, 1, 3, judged(1, 0.25)),
        checkpointed(1, 1, 3),
        finished(1, 1, 3, Outcome::Completed),
        decided(1, 0),
        Event::new(sweep, ScoringStarted { trial: winner }),
        granted(1, 1, 4, Job::Score),
        Event::new(sweep, scored),
        Event::new(sweep, Payload::SweepCompleted),
    ]
}

/// Sweep 2: one trial is stopped at a rung, and an external client runs the other one when the
/// sweep is cancelled.
fn cancelled_sweep() -> Vec<Event> {
    let (sweep, trial) = (SweepId(2), TrialNumber(1));
    let (passed, stopped) = (
        Rung { number: 0, epoch: 2, rank: 1, reached: 1, limit: Some(1) },
        Rung { number: 1, epoch: 6, rank: 4, reached: 5, limit: Some(2) },
    );
    let asked = TrialsAsked {
        ask: AskKey {
            request_id: name("r"),
            client: name("python"),
            token: Some(TokenId("0a1b2c3d".into())),
        },
        lease_ms: 1_000,
        granted: vec![GrantedTrial {
            trial: TrialNumber(0),
            attempt: AttemptNumber(1),
            lease: LeaseId(6),
            recorded: Some(0),
        }],
    };
    let values = [(name("train.loss"), f64::NAN), (name("f1"), 0.1 + 0.2)].into();
    let named = Point::Named(NamedMetrics { epoch: 1, metrics: values });
    let mut long = created(2, "letters");
    if let Payload::SweepCreated(created) = &mut long.payload {
        created.spec.fixed.insert("epochs", Value::Int(9));
        created.spec.stopping = StoppingRule::Halving;
    }
    let mut events = vec![long];
    events.extend([0, 1].map(|trial| sampled_for(2, trial, 9)));
    events.push(granted(2, 1, 5, Job::Train));
    events.extend((1..=7).map(|epoch| recorded(2, 1, 5, metrics(epoch, epoch.into()))));
    events.extend([
        Event::new(sweep, TrialPassed { trial, rung: passed, cost: Some(Cost(2.0)), due: Some(9) }),
        Event::new(sweep, TrialStopped { trial, rung: stopped, cost: Some(Cost(6.0)) }),
        Event::new(sweep, asked),
        recorded(2, 0, 6, named),
        Event::new(sweep, Payload::SweepCancelled),
    ]);
    events
}
