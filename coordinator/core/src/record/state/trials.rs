//! The trials of a sweep: those in flight in full, and little of the others.

use std::collections::BTreeMap;

use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::numbers::{index, to_u32};
use caviar_common::outcome::TrialState;

use super::Trial;

/// What the state keeps of a trial that is not in flight any more. Its assignment and its costs are
/// in the sweep's history, and everything else in the events and in the store's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTrial {
    state: TrialState,
    lease: Option<LeaseId>,
}

impl PastTrial {
    /// How the trial ended.
    pub const fn state(&self) -> TrialState {
        self.state
    }

    /// The lease under which its outcome was reported; `None` if none was.
    pub const fn lease(&self) -> Option<LeaseId> {
        self.lease
    }
}

/// The trials of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::record) struct Trials {
    in_flight: BTreeMap<TrialNumber, Trial>,
    /// All trials, by number; `None` for those in flight.
    past: Vec<Option<PastTrial>>,
    /// The best of the trials that are not in flight any more.
    best: Option<Box<Trial>>,
}

impl Trials {
    /// How many trials were sampled.
    pub(in crate::record) fn sampled(&self) -> u32 {
        to_u32(self.past.len())
    }

    /// The trial of that number, if it is in flight or the best of the others.
    pub(in crate::record) fn get(&self, number: TrialNumber) -> Option<&Trial> {
        let best = || self.best.as_deref().filter(|best| best.number == number);
        self.in_flight.get(&number).or_else(best)
    }

    pub(in crate::record) fn get_mut(&mut self, number: TrialNumber) -> Option<&mut Trial> {
        self.in_flight.get_mut(&number)
    }

    /// The trials in flight, by number.
    pub(in crate::record) fn in_flight(&self) -> impl Iterator<Item = &Trial> {
        self.in_flight.values()
    }

    /// What is known of a trial that is not in flight any more.
    pub(in crate::record) fn past(&self, number: TrialNumber) -> Option<PastTrial> {
        self.past.get(index(number.0)).copied().flatten()
    }

    /// Adds the next trial.
    pub(in crate::record) fn push(&mut self, trial: Trial) {
        self.past.push(None);
        self.in_flight.insert(trial.number, trial);
    }

    /// Takes a trial out of flight. `is_best` says whether it is the best so far.
    pub(in crate::record) fn retire(
        &mut self,
        number: TrialNumber,
        is_best: bool,
    ) -> Option<Box<Trial>> {
        let trial = Box::new(self.in_flight.remove(&number)?);
        let past = PastTrial { state: trial.state(), lease: trial.latest_lease() };
        if let Some(place) = self.past.get_mut(index(number.0)) {
            *place = Some(past);
        }
        if is_best {
            self.best = Some(trial.clone());
        }
        Some(trial)
    }
}
