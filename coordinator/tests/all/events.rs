//! One event of every kind, in an order in which they can happen.

use caviar_common::assignment::Assignment;
use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, SweepId, TrialNumber};
use caviar_common::metric::{NamedMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::reason::{Reason, Source};
use caviar_core::event::{Event, Granted, LeaseEnd, Rung};

use crate::support::{metrics, name, spec, summary};

/// Kinds of events that there are.
pub(crate) const KINDS: usize = 17;

pub(crate) fn kind(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json["event"].as_str().unwrap().to_owned()
}

pub(crate) fn created(id: u64, name_of_sweep: &str) -> Event {
    let request_id = name(&format!("request-{id}"));
    Event::SweepCreated {
        sweep: SweepId(id),
        request_id,
        spec: Box::new(spec(name_of_sweep, 4, 2)),
        data: summary(),
        warm_start: Vec::new(),
    }
}

pub(crate) fn sampled(sweep: u64, trial: u32) -> Event {
    let reason = Reason::from_source(Source::Random);
    let (sweep, trial) = (SweepId(sweep), TrialNumber(trial));
    Event::TrialSampled {
        sweep,
        trial,
        assignment: Assignment::default(),
        reason,
        epochs: 2,
        start: 0,
        end: 9,
    }
}

pub(crate) fn granted(sweep: u64, trial: u32, lease: u64, job: Job) -> Event {
    let (sweep, trial, lease) = (SweepId(sweep), TrialNumber(trial), LeaseId(lease));
    Event::LeaseGranted {
        sweep,
        trial,
        attempt: AttemptNumber(1),
        lease,
        worker: name("w"),
        incarnation: Incarnation(u64::MAX),
        job,
    }
}

pub(crate) fn finished(sweep: u64, trial: u32, lease: u64, outcome: Outcome) -> Event {
    let (sweep, trial, lease) = (SweepId(sweep), TrialNumber(trial), LeaseId(lease));
    Event::TrialFinished {
        sweep,
        trial,
        lease,
        outcome,
        seconds: Some(1.5),
        memory_bytes: Some(4096),
    }
}

pub(crate) fn every_kind() -> Vec<Event> {
    let (sweep, trial, lease) = (SweepId(1), TrialNumber(0), LeaseId(1));
    let recorded = |epoch, loss| Event::EpochRecorded {
        sweep,
        trial,
        lease,
        metrics: metrics(epoch, loss).into(),
    };
    let recorded_of_letters = |epoch| {
        let metrics = metrics(epoch, f64::from(epoch));
        Event::EpochRecorded {
            sweep: SweepId(2),
            trial: TrialNumber(1),
            lease: LeaseId(5),
            metrics: metrics.into(),
        }
    };
    let ended = |lease, cause| Event::LeaseEnded {
        sweep,
        trial: TrialNumber(1),
        lease: LeaseId(lease),
        cause,
        loss: None,
    };
    let asked =
        vec![Granted { trial: TrialNumber(0), attempt: AttemptNumber(1), lease: LeaseId(6) }];
    let values = [(name("train.loss"), f64::NAN), (name("f1"), 0.1 + 0.2)].into();
    let named = Point::Named(NamedMetrics { epoch: 1, metrics: values });
    vec![
        created(1, "digits"),
        Event::SweepPaused { sweep },
        Event::SweepResumed { sweep },
        sampled(1, 0),
        sampled(1, 1),
        granted(1, 0, 1, Job::Train),
        recorded(1, 1.0 / 3.0),
        recorded(2, f64::NAN),
        recorded(3, f64::INFINITY),
        finished(1, 0, 1, Outcome::Diverged),
        granted(1, 1, 2, Job::Train),
        ended(2, LeaseEnd::Unable { message: "no such file: \"ü\"\n".to_owned() }),
        granted(1, 1, 3, Job::Train),
        Event::EpochRecorded {
            sweep,
            trial: TrialNumber(1),
            lease: LeaseId(3),
            metrics: metrics(1, 0.25).into(),
        },
        finished(1, 1, 3, Outcome::Completed),
        Event::TrialDecided { sweep, trial },
        Event::ScoringStarted { sweep, trial: TrialNumber(1) },
        granted(1, 1, 4, Job::Score),
        Event::WinnerScored {
            sweep,
            trial: TrialNumber(1),
            lease: LeaseId(4),
            score: Some(Score { loss: 0.5, accuracy: None }),
            reproduced: true,
            message: None,
        },
        Event::SweepCompleted { sweep },
        created(2, "letters"),
        sampled(2, 0),
        sampled(2, 1),
        granted(2, 1, 5, Job::Train),
        recorded_of_letters(1),
        recorded_of_letters(2),
        recorded_of_letters(3),
        Event::TrialPassed {
            sweep: SweepId(2),
            trial: TrialNumber(1),
            rung: Rung { number: 0, epoch: 1, rank: 1, of: 1 },
        },
        Event::TrialStopped {
            sweep: SweepId(2),
            trial: TrialNumber(1),
            rung: Rung { number: 1, epoch: 2, rank: 4, of: 5 },
        },
        Event::TrialsAsked {
            sweep: SweepId(2),
            request_id: name("r"),
            client: name("python"),
            lease_ms: 1_000,
            granted: asked,
        },
        Event::EpochRecorded {
            sweep: SweepId(2),
            trial: TrialNumber(0),
            lease: LeaseId(6),
            metrics: named,
        },
        Event::SweepCancelled { sweep: SweepId(2) },
        Event::SweepDeleted { sweep: SweepId(3), next_lease: LeaseId(1 << 40) },
    ]
}
