//! Which views a batch changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caviar_common::ids::{LeaseId, SweepId, TrialNumber};
use caviar_common::message::ToWorker;
use caviar_core::Coordinator;
use caviar_core::input::{Effect, Rows};

use super::checkpoints::Checkpoints;
use super::published::{Change, Published, Sweeps};

/// What the driver knows of the views beyond the state machine.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// The parked trials of each sweep that has some.
    parked: BTreeMap<SweepId, BTreeSet<TrialNumber>>,
}

impl Views {
    /// Publishes all sweeps.
    pub(super) fn new(core: &Coordinator, sweeps: &Sweeps) -> Self {
        let views = Self::default();
        let all = core.record().sweeps().keys().map(|sweep| views.change(core, *sweep)).collect();
        sweeps.publish(all);
        sweeps.set_checkpoints(Checkpoints::new(core));
        views
    }

    /// The views that a batch with these rows and effects has changed.
    pub(super) fn changes<'a>(
        &mut self,
        core: &Coordinator,
        rows: &Rows,
        effects: impl Iterator<Item = &'a Effect>,
    ) -> Vec<Change> {
        let mut changed: BTreeSet<SweepId> = rows.sweeps.iter().copied().collect();
        for (sweep, trial) in &rows.trials {
            self.park((*sweep, trial.trial), trial.parked);
        }
        for effect in effects {
            match effect {
                Effect::Changed(sweep) => drop(changed.insert(*sweep)),
                Effect::Send(_, ToWorker::Park { lease } | ToWorker::Unpark { lease }) => {
                    changed.extend(self.park_lease(core, *lease));
                }
                Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) => {}
            }
        }
        changed.into_iter().map(|sweep| self.change(core, sweep)).collect()
    }

    fn park_lease(&mut self, core: &Coordinator, lease: LeaseId) -> Option<SweepId> {
        let held = core.record().lease(lease)?;
        let (sweep, trial) = (held.sweep(), held.trial());
        self.park((sweep, trial), core.is_parked(lease));
        Some(sweep)
    }

    fn park(&mut self, (sweep, trial): (SweepId, TrialNumber), is_parked: bool) {
        if is_parked {
            self.parked.entry(sweep).or_default().insert(trial);
        } else if let Some(parked) = self.parked.get_mut(&sweep) {
            parked.remove(&trial);
        }
    }

    fn change(&self, core: &Coordinator, sweep: SweepId) -> Change {
        let published = core.sweep(sweep).zip(core.record().sweep(sweep)).map(|(view, record)| {
            let parked = self.parked.get(&sweep).cloned().unwrap_or_default();
            Arc::new(Published::new(view, record.request_id().clone(), parked))
        });
        (sweep, published)
    }
}
