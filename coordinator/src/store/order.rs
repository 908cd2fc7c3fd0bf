//! The order of trials in lists, kept in memory.
//!
//! A list of trials by state or by objective needs an order that the key of the tables does not
//! have. An index in the database would be written at random places for each trial, and a damaged
//! one would hide trials. Instead, the first such list of a sweep reads the states of all its
//! trials, checks them, and keeps some 60 bytes for each. From then on every commit updates them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::numbers::{index, to_u32};
use caviar_common::outcome::TrialState;
use caviar_common::spec::Goal;

use super::StoreError;
use super::query::{TrialOrder, TrialQuery};

/// Where a trial is in lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) trial: TrialNumber,
    state: TrialState,
    /// The objective of a completed trial, if it is finite.
    objective: Option<f64>,
    /// The finite loss that decides between equal objectives; `None` without an objective.
    loss: Option<f64>,
}

impl Key {
    pub(super) fn new(
        trial: TrialNumber,
        state: TrialState,
        (objective, loss): (Option<f64>, Option<f64>),
    ) -> Self {
        let is_complete = state == TrialState::Completed;
        let objective = objective.filter(|value| is_complete && value.is_finite());
        let loss = loss.filter(|loss| objective.is_some() && loss.is_finite());
        Self { trial, state, objective, loss }
    }
}

/// A number as an integer with the same order. Lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost(i64);

impl Cost {
    /// The cost of a trial without a value, and the loss of one without a loss. No number has it.
    const NONE: Self = Self(i64::MAX);

    fn new(number: Option<f64>, goal: Goal) -> Self {
        let Some(number) = number else { return Self::NONE };
        let bits = goal.as_cost(number).to_bits().cast_signed();
        // As `f64::total_cmp` does it: the order of negative numbers is reversed.
        Self(if bits < 0 { bits ^ i64::MAX } else { bits })
    }
}

/// The cost of a trial, and the loss that decides between equal costs.
type Costs = (Cost, Cost);

/// The order of one sweep's trials.
#[derive(Debug)]
struct Order {
    goal: Goal,
    /// By number.
    places: Vec<(TrialState, Costs)>,
    /// The trials with a value, the best first.
    ranked: BTreeSet<(Costs, TrialNumber)>,
}

impl Order {
    const fn new(goal: Goal) -> Self {
        Self { goal, places: Vec::new(), ranked: BTreeSet::new() }
    }

    fn set(&mut self, key: Key) {
        let place = index(key.trial.0);
        let cost = (Cost::new(key.objective, self.goal), Cost::new(key.loss, Goal::Minimize));
        if self.places.len() <= place {
            self.places.resize(place + 1, (TrialState::Queued, (Cost::NONE, Cost::NONE)));
        }
        let Some(entry) = self.places.get_mut(place) else { return };
        let before = std::mem::replace(entry, (key.state, cost));
        if before.1 != cost {
            self.ranked.remove(&(before.1, key.trial));
            if cost.0 != Cost::NONE {
                self.ranked.insert((cost, key.trial));
            }
        }
    }

    /// The numbers of the trials that a query selects, in its order, and of one more.
    fn select(&self, query: &TrialQuery) -> Vec<TrialNumber> {
        let limit = query.limit.saturating_add(1);
        let is_wanted = |state| query.states.is_empty() || query.states.contains(&state);
        let cost_of = |trial: TrialNumber| self.places.get(index(trial.0)).map(|place| place.1);
        let others = |first: usize, with_value: bool| {
            let places = self.places.iter().enumerate().skip(first);
            let wanted = places.filter(move |(_, (state, cost))| {
                is_wanted(*state) && (with_value || cost.0 == Cost::NONE)
            });
            wanted.map(|(number, _)| TrialNumber(to_u32(number)))
        };
        let next = query.after.map_or(0, |after| index(after.0) + 1);
        if query.order == TrialOrder::Number {
            return others(next, true).take(limit).collect();
        }
        let after = match query.after.map(|after| (cost_of(after), after)) {
            None => Bound::Unbounded,
            Some((Some(cost), after)) if cost.0 != Cost::NONE => Bound::Excluded((cost, after)),
            Some(_) => return others(next, false).take(limit).collect(),
        };
        let ranked = self.ranked.range((after, Bound::Unbounded)).map(|(_, trial)| *trial);
        let ranked = ranked.filter(|_| is_wanted(TrialState::Completed));
        ranked.chain(others(0, false)).take(limit).collect()
    }
}

/// What is known of the order of a sweep.
#[derive(Debug)]
enum Slot {
    /// The states are being read. The later changes wait here.
    Reading(Vec<Key>),
    Known(Order),
}

/// The orders of the sweeps whose trials were listed.
#[derive(Debug, Default)]
pub(super) struct Orders {
    slots: Mutex<BTreeMap<SweepId, Slot>>,
    /// Held while the states of a sweep are read.
    reading: Mutex<()>,
}

impl Orders {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<SweepId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes trials that have changed.
    pub(super) fn update(&self, keys: &[(SweepId, Key)]) {
        let mut slots = self.slots();
        for (sweep, key) in keys {
            match slots.get_mut(sweep) {
                Some(Slot::Reading(later)) => later.push(*key),
                Some(Slot::Known(order)) => order.set(*key),
                None => {}
            }
        }
    }

    /// Drops the order of a sweep.
    pub(super) fn forget(&self, sweep: SweepId) {
        self.slots().remove(&sweep);
    }

    fn known(&self, query: &TrialQuery) -> Option<Vec<TrialNumber>> {
        match self.slots().get(&query.sweep)? {
            Slot::Known(order) => Some(order.select(query)),
            Slot::Reading(_) => None,
        }
    }

    /// The numbers of the trials that a query selects, in its order, and of one more. `read` reads
    /// the states of all trials of the sweep, if they are not known yet.
    pub(super) fn select(
        &self,
        query: &TrialQuery,
        read: impl FnOnce(&mut dyn FnMut(Key)) -> Result<(), StoreError>,
    ) -> Result<Vec<TrialNumber>, StoreError> {
        if let Some(trials) = self.known(query) {
            return Ok(trials);
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trials) = self.known(query) {
            return Ok(trials);
        }
        // What is committed from now on is noted, and what was committed before is read.
        self.slots().insert(query.sweep, Slot::Reading(Vec::new()));
        let mut order = Order::new(query.goal);
        let result = read(&mut |key| order.set(key));
        let mut slots = self.slots();
        let later = slots.remove(&query.sweep);
        result?;
        if let Some(Slot::Reading(later)) = later {
            later.into_iter().for_each(|key| order.set(key));
            let trials = order.select(query);
            slots.insert(query.sweep, Slot::Known(order));
            return Ok(trials);
        }
        // The sweep was deleted in the meantime.
        Ok(Vec::new())
    }
}
