//! What simulated trainings measure: functions of the assignment and the epoch, so that every
//! execution of a trial gives the same.

use caviar_common::ask::AskedTrial;
use caviar_common::assignment::Assignment;
use caviar_common::ids::Name;
use caviar_common::message::Grant;
use caviar_common::metric::{EpochMetrics, NamedMetrics, Score};
use caviar_common::outcome::Outcome;

/// Epochs of a simulated training unless its sweep has others.
pub const EPOCHS: u32 = 3;
/// The metric that the programs of external sweeps report.
pub const ERROR: &str = "error";
/// The seconds that an epoch takes for each unit of a layer. Wide layers take 50 ms.
const SECONDS_PER_UNIT: f64 = 1e-4;

fn number(assignment: &Assignment, parameter: &str) -> f64 {
    let value = assignment.get(parameter).and_then(|value| value.as_f64());
    value.expect("the parameter is searched")
}

/// The width of the network, which decides how much time and memory it takes.
pub(super) fn units(assignment: &Assignment) -> u32 {
    number(assignment, "units") as u32
}

/// Epochs of a training.
pub(super) fn epochs(grant: &Grant) -> u32 {
    let epochs = grant
        .assignment
        .get("epochs")
        .or_else(|| grant.fixed.get("epochs"))
        .and_then(|v| v.as_i64());
    epochs.and_then(|epochs| u32::try_from(epochs).ok()).expect("the spec has epochs")
}

/// Training time until the end of `epoch`, in seconds.
pub(super) fn seconds(grant: &Grant, epoch: u32) -> f64 {
    f64::from(units(&grant.assignment)) * f64::from(epoch) * SECONDS_PER_UNIT
}

/// The loss depends on the learning rate only: best at 0.01, and diverging above 0.3.
fn loss(assignment: &Assignment, epoch: u32) -> f64 {
    let rate = number(assignment, "learning_rate");
    let distance = (rate.log10() + 2.0).abs();
    if rate > 0.3 && epoch > 1 { f64::NAN } else { distance + 1.0 / f64::from(epoch) }
}

/// The metrics that a worker measures.
pub(super) fn measure(grant: &Grant, epoch: u32) -> EpochMetrics {
    let distance = (number(&grant.assignment, "learning_rate").log10() + 2.0).abs();
    let loss = loss(&grant.assignment, epoch);
    let score = Score { loss, accuracy: Some(1.0 / (1.0 + distance)), measured: None };
    EpochMetrics { epoch, train: score, validation: score, spread: None }
}

/// The metrics that an external client measures.
pub(super) fn named_metrics(assignment: &Assignment, epoch: u32) -> NamedMetrics {
    let name = Name::parse("metric", ERROR).expect("a legal name");
    NamedMetrics { epoch, metrics: [(name, loss(assignment, epoch))].into() }
}

/// How an external client runs a trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The epoch after which the trial ends.
    pub(super) epochs: u32,
    /// What the client tells then.
    pub(super) outcome: Outcome,
}

/// Some trials fail, some diverge, and some converge before their last epoch.
pub(super) fn plan(asked: &AskedTrial) -> Plan {
    let units = units(&asked.assignment);
    let diverges = loss(&asked.assignment, asked.epochs).is_nan();
    let completed = |epochs| Plan { epochs, outcome: Outcome::Completed };
    if units.is_multiple_of(7) {
        let message = format!("{units} units are unlucky");
        return Plan { epochs: 1, outcome: Outcome::Failed { message } };
    }
    match units % 4 {
        // Both are recorded as diverged.
        0 if diverges => Plan { epochs: 2, outcome: Outcome::Diverged },
        _ if diverges => completed(2),
        1 => completed(asked.epochs.div_ceil(2)),
        _ => completed(asked.epochs),
    }
}
