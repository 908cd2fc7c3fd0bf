//! Helpers that the tests of the agent share.

use caviar_common::assignment::Assignment;
use caviar_common::data::{DataSpec, Task};
use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::message::{Grant, KeepRule, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::Job;
use caviar_common::spec::Objective;
use caviar_worker::agent::{Agent, Identity};

/// An agent without leases and without a connection.
pub(crate) fn agent(slots: u32) -> Agent {
    Agent::new(Identity {
        worker: Name::parse("name", "w").unwrap(),
        incarnation: Incarnation(9),
        slots,
        can_park: true,
    })
}

/// A grant with this lease id. The agent does not read the other fields, except for log lines.
pub(crate) fn grant(lease: LeaseId) -> ToWorker {
    let data = DataSpec {
        source: "builtin:digits".into(),
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.0,
        ..DataSpec::default()
    };
    ToWorker::Grant(Box::new(Grant {
        lease,
        sweep: SweepId(1),
        sweep_name: Name::parse("name", "digits").unwrap(),
        trial: TrialNumber(0),
        attempt: AttemptNumber(1),
        job: Job::Train,
        seed: 7,
        data,
        digest: String::new(),
        block: None,
        fixed: Assignment::default(),
        assignment: Assignment::default(),
        checkpoint: None,
        objective: Objective::default_of(Task::Classification),
        keep: KeepRule::Nothing,
        replays: None,
    }))
}

/// Metrics of an epoch, with arbitrary values.
pub(crate) fn point(epoch: u32) -> EpochMetrics {
    let score = Score { loss: f64::from(epoch), accuracy: None, measured: None };
    EpochMetrics { epoch, train: score, validation: score, spread: None }
}
