//! Which workers cannot train which sweeps and trials, as they said so themselves.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{Name, SweepId, TrialNumber};

use super::deadlines::Deadlines;

/// Most refusals of one sweep that are remembered. With more, the worker is offered the trial again
/// and refuses it again, which costs a message.
const MOST_OF_A_SWEEP: usize = 4_096;

/// A worker, and the trial that it has no memory for; `None` if it cannot train the sweep at all.
type Refuser = (Name, Option<TrialNumber>);

/// The refusals of workers, by sweep. Each is forgotten after some time, and when the worker
/// connects again.
#[derive(Debug, Default)]
pub(crate) struct Unable {
    by_sweep: BTreeMap<SweepId, BTreeMap<Refuser, String>>,
    expiries: Deadlines<(SweepId, Refuser)>,
    /// When each refusal is forgotten.
    until: BTreeMap<(SweepId, Refuser), u64>,
}

impl Unable {
    /// Remembers until `until` that a worker cannot train the trial, or any trial of the sweep.
    pub(crate) fn insert(&mut self, sweep: SweepId, refuser: Refuser, message: String, until: u64) {
        let refusals = self.by_sweep.entry(sweep).or_default();
        if refusals.len() >= MOST_OF_A_SWEEP && !refusals.contains_key(&refuser) {
            return;
        }
        refusals.insert(refuser.clone(), message);
        self.expiries.insert(until, (sweep, refuser.clone()));
        self.until.insert((sweep, refuser), until);
    }

    /// True if the worker has not said that it cannot train this trial.
    pub(crate) fn can_train(&self, worker: &Name, sweep: SweepId, trial: TrialNumber) -> bool {
        self.by_sweep.get(&sweep).is_none_or(|refusals| {
            !refusals.contains_key(&(worker.clone(), None))
                && !refusals.contains_key(&(worker.clone(), Some(trial)))
        })
    }

    /// True if the worker lacks the memory for this trial, so that its refusal says nothing about
    /// other trials.
    pub(crate) fn is_too_large(&self, worker: &Name, sweep: SweepId, trial: TrialNumber) -> bool {
        let refusals = self.by_sweep.get(&sweep);
        refusals.is_some_and(|refusals| refusals.contains_key(&(worker.clone(), Some(trial))))
    }

    /// The refusals of a sweep, by worker.
    pub(crate) fn of_sweep(&self, sweep: SweepId) -> impl Iterator<Item = (&Refuser, &String)> {
        self.by_sweep.get(&sweep).into_iter().flatten()
    }

    /// Forgets what the worker cannot train. Returns the sweeps that it concerns.
    pub(crate) fn forget_worker(&mut self, worker: &Name) -> Vec<SweepId> {
        let mut changed = Vec::new();
        for (sweep, refusals) in &mut self.by_sweep {
            let before = refusals.len();
            refusals.retain(|(name, _), _| name != worker);
            if refusals.len() < before {
                changed.push(*sweep);
            }
        }
        self.by_sweep.retain(|_, refusals| !refusals.is_empty());
        self.until.retain(|(_, (name, _)), _| name != worker);
        changed
    }

    /// Forgets the refusals of a sweep.
    pub(crate) fn forget_sweep(&mut self, sweep: SweepId) {
        self.by_sweep.remove(&sweep);
        self.until.retain(|(of, _), _| *of != sweep);
    }

    /// Forgets the refusals that were to be remembered until `now`. Returns the sweeps that they
    /// concern.
    pub(crate) fn expire(&mut self, now: u64) -> BTreeSet<SweepId> {
        let mut changed = BTreeSet::new();
        while let Some(key) = self.expiries.take_due(now) {
            // The worker may have refused it again since.
            if self.until.get(&key).is_none_or(|until| *until > now) {
                continue;
            }
            self.until.remove(&key);
            let (sweep, refuser) = key;
            if let Some(refusals) = self.by_sweep.get_mut(&sweep) {
                refusals.remove(&refuser);
                changed.insert(sweep);
            }
        }
        self.by_sweep.retain(|_, refusals| !refusals.is_empty());
        changed
    }
}
