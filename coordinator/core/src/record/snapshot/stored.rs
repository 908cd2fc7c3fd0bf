//! The JSON of the parts of a sweep.
//!
//! The assignments of trials in flight are not in it, because they are in the history. What a sweep
//! shows when it has ended has its assignments, because the history is not read then. Both
//! assignments and boxes are in their compact form: a sweep file may have choices of thousands of
//! characters.

use std::sync::Arc;

use caviar_common::ask::{AskKey, AskedTrial};
use caviar_common::compact::CompactBox;
use caviar_common::ids::{AttemptNumber, LeaseId, TrialNumber};
use caviar_common::reason::Reason;
use caviar_common::space::Space;
use caviar_search::History;
use serde::{Deserialize, Serialize};

use crate::record::Broken;
use crate::record::event::{StoredAssignment, SweepExtended, SweepResized};
use crate::record::state::{AskRecord, Lease, Models, Phase, Scoring, Statistics, Trial};

/// Everything of a sweep that changes and is in no chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SweepPart {
    pub(super) phase: Phase,
    pub(super) is_paused: bool,
    pub(super) resizes: Vec<SweepResized>,
    #[serde(default)]
    pub(super) extensions: Vec<SweepExtended>,
    pub(super) clock: u64,
    /// How many trials the chunks have.
    pub(super) trials: u32,
    /// How many decisions the chunks have.
    pub(super) decisions: usize,
    pub(super) statistics: Statistics,
    pub(super) scoring: Option<Scoring>,
    pub(super) leases: Vec<(LeaseId, Lease)>,
    /// Those without a lease in force come last, in their order.
    pub(super) asks: Vec<StoredAsk>,
    pub(super) in_flight: Vec<StoredTrial>,
    /// The best trial that is not in flight.
    pub(super) best: Option<StoredTrial>,
    pub(super) models: Models,
}

impl SweepPart {
    /// True if nothing will change in the sweep any more.
    pub(super) fn has_ended(&self) -> bool {
        self.phase.is_final() && self.leases.is_empty() && self.in_flight.is_empty()
    }
}

/// Why a trial was chosen. Its box is in `sides` if the space has such a box.
#[derive(Debug, Serialize, Deserialize)]
struct StoredReason {
    reason: Reason,
    sides: Option<CompactBox>,
}

impl StoredReason {
    fn new(space: &Space, reason: &Reason) -> Self {
        let sides = reason.search_box.as_ref().and_then(|it| CompactBox::new(space, it));
        let search_box = if sides.is_some() { None } else { reason.search_box.clone() };
        Self { reason: Reason { search_box, ..reason.clone() }, sides }
    }

    fn restore(self, space: &Space) -> Result<Reason, Broken> {
        let Self { mut reason, sides } = self;
        if let Some(sides) = sides {
            let search_box = sides.expand(space);
            reason.search_box = Some(search_box.ok_or_else(|| unfit("a box"))?);
        }
        Ok(reason)
    }
}

fn unfit(what: &str) -> Broken {
    Broken(format!("the snapshot has {what} that is not one of its sweep"))
}

/// A trial without its assignment and its reason, and the reason.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredTrial {
    trial: Trial,
    reason: StoredReason,
    /// `None` if the assignment is only in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assignment: Option<StoredAssignment>,
}

impl StoredTrial {
    pub(super) fn new(space: &Space, trial: &Trial) -> Self {
        let reason = StoredReason::new(space, &trial.reason);
        Self { trial: trial.clone(), reason, assignment: None }
    }

    pub(super) fn with_assignment(space: &Space, trial: &Trial) -> Self {
        let assignment = Some(StoredAssignment::new(space, &trial.assignment));
        Self { assignment, ..Self::new(space, trial) }
    }

    pub(super) fn restore(self, history: &History) -> Result<Arc<Trial>, Broken> {
        let Self { mut trial, reason, assignment } = self;
        let assignment = match assignment {
            Some(stored) => stored.expand(history.space()),
            None => history.assignment(trial.number.0),
        };
        trial.assignment = assignment.ok_or_else(|| unfit("a trial"))?;
        trial.reason = reason.restore(history.space())?;
        Ok(Arc::new(trial))
    }
}

/// What an external client got when it asked for trials.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredAsk {
    pub(super) key: AskKey,
    in_force: usize,
    trials: Vec<StoredAskedTrial>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredAskedTrial {
    trial: TrialNumber,
    attempt: AttemptNumber,
    lease: LeaseId,
    assignment: StoredAssignment,
    epochs: u32,
    reason: StoredReason,
}

impl StoredAsk {
    pub(super) fn new(space: &Space, key: &AskKey, ask: &AskRecord) -> Self {
        let trials = ask.trials().iter().map(|asked| StoredAskedTrial {
            trial: asked.trial,
            attempt: asked.attempt,
            lease: asked.lease,
            assignment: StoredAssignment::new(space, &asked.assignment),
            epochs: asked.epochs,
            reason: StoredReason::new(space, &asked.reason),
        });
        Self { key: key.clone(), in_force: ask.in_force, trials: trials.collect() }
    }

    pub(super) fn restore(self, space: &Space) -> Result<AskRecord, Broken> {
        let trials = self.trials.into_iter().map(|stored| {
            let StoredAskedTrial { trial, attempt, lease, assignment, epochs, reason } = stored;
            let assignment = assignment.expand(space).ok_or_else(|| unfit("a trial"))?;
            let reason = reason.restore(space)?;
            Ok(AskedTrial { trial, attempt, lease, assignment, epochs, reason })
        });
        let trials = Arc::new(trials.collect::<Result<_, Broken>>()?);
        Ok(AskRecord { trials, in_force: self.in_force })
    }
}
