//! Ask and tell: what a program that runs trials by itself says to the coordinator, and hears.

use crate::assignment::Assignment;
use crate::ids::{AttemptNumber, LeaseId, Name, TrialNumber};
use crate::metric::NamedMetrics;
use crate::outcome::Outcome;
use crate::reason::Reason;

/// A wish for trials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The program's mark of the request: the same one again has the same answer.
    pub request_id: Name,
    /// The program. Two of them may use the same mark.
    pub client: Name,
    /// So many at most, at least 1.
    pub count: u32,
    /// How long the program may be silent about one of them before it is given to another, in
    /// milliseconds.
    pub lease_ms: u64,
}

/// What one epoch of a trial measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The trial.
    pub trial: TrialNumber,
    /// The lease under which it runs.
    pub lease: LeaseId,
    /// The measurements.
    pub metrics: NamedMetrics,
}

/// The end of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Tell {
    /// The trial.
    pub trial: TrialNumber,
    /// The lease under which it ran.
    pub lease: LeaseId,
    /// How it ended.
    pub outcome: Outcome,
    /// Its last epoch, unless that was reported.
    pub last: Option<NamedMetrics>,
    /// How long it took, in seconds; for people, never for a decision.
    pub seconds: f64,
}

/// A trial to run.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedTrial {
    /// Its number.
    pub trial: TrialNumber,
    /// Which execution of it.
    pub attempt: AttemptNumber,
    /// To be said with every report.
    pub lease: LeaseId,
    /// Its values.
    pub assignment: Assignment,
    /// Reports that it makes at most.
    pub epochs: u32,
    /// Why it was chosen.
    pub reason: Reason,
}

/// The answer to [`Ask`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskReply {
    /// Trials to run; none where nothing can be sampled before others report.
    pub trials: Vec<AskedTrial>,
    /// Whether the sweep is completed or cancelled: there is nothing more to ask for.
    pub over: bool,
}

/// What becomes of a trial after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// It was stopped at a rung: end it, and ask for another.
    Stop,
}
