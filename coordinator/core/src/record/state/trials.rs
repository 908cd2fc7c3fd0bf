//! The trials of a sweep: those in flight in full, and little of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use caviar_common::ids::TrialNumber;

use super::past::Past;
use super::{PastTrial, Trial};

/// The trials of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::record) struct Trials {
    /// Clones share the trials that have not changed since.
    pub(in crate::record) in_flight: BTreeMap<TrialNumber, Arc<Trial>>,
    pub(in crate::record) past: Past,
    /// The best of the trials that are not in flight any more.
    pub(in crate::record) best: Option<Arc<Trial>>,
}

impl Trials {
    /// How many trials were sampled.
    pub(in crate::record) fn sampled(&self) -> u32 {
        self.past.len()
    }

    /// The trial of that number, if it is in flight or the best of the others.
    pub(in crate::record) fn get(&self, number: TrialNumber) -> Option<&Trial> {
        let best = || self.best.as_deref().filter(|best| best.number == number);
        self.in_flight.get(&number).map(Arc::as_ref).or_else(best)
    }

    pub(in crate::record) fn get_mut(&mut self, number: TrialNumber) -> Option<&mut Trial> {
        self.in_flight.get_mut(&number).map(Arc::make_mut)
    }

    /// The trials in flight, by number.
    pub(in crate::record) fn in_flight(&self) -> impl Iterator<Item = &Trial> {
        self.in_flight.values().map(Arc::as_ref)
    }

    /// What is known of a trial that is not in flight any more.
    pub(in crate::record) fn past(&self, number: TrialNumber) -> Option<PastTrial> {
        self.past.get(number)
    }

    /// Adds the next trial.
    pub(in crate::record) fn push(&mut self, trial: Trial) {
        self.past.push();
        self.in_flight.insert(trial.number, Arc::new(trial));
    }

    /// Takes a trial out of flight. `is_best` says whether it is the best so far.
    pub(in crate::record) fn retire(
        &mut self,
        number: TrialNumber,
        is_best: bool,
    ) -> Option<Arc<Trial>> {
        let trial = self.in_flight.remove(&number)?;
        self.past.set(number, PastTrial { state: trial.state(), lease: trial.latest_lease() });
        if is_best {
            self.best = Some(Arc::clone(&trial));
        }
        Some(trial)
    }
}
