//! The log in a sorted form, which is updated entry by entry, so that an ask costs the same early
//! and late in a sweep.
//!
//! A [`Ledger`] gives the same expected costs as [`results()`](crate::results()), and it keeps them
//! sorted. The trials whose last entry is at the same rung form a class. All members of a class
//! have the same expected change until their end, so a new median change moves a whole class
//! without sorting it again. Each class is a sorted list, and merging the lists sorts all trials.
//!
//! Example: trials 0 and 1 have ended with costs 4 and 7, and trials 2 and 3 were stopped at rung 0
//! with costs 6 and 9, where the expected change is -3. The classes are (4, 7) and (6, 9) - 3, and
//! merging them gives 3, 4, 6, 7. If the expected change becomes -1, the second list stays as it is
//! and the merged order becomes 4, 5, 7, 8.
//!
//! An entry takes O(log n). After a restart, all entries are absorbed at once, and the lists are
//! sorted once. A trial takes about 90 bytes, and 8 for each parameter.

mod ranked;
mod rows;

use std::collections::BTreeMap;

use caviar_common::numbers::{index, to_u32};

use crate::cube::{Cube, Key};
use crate::history::History;
use crate::observation::{Observation, Stage};
use crate::results::median;
use crate::sorted::{SortedList, TotalF64};
use ranked::{Class, Member, Ranked, costs_at};
use rows::Rows;

/// The class of the trials that have ended. Rung numbers are smaller.
const ENDED: u32 = u32::MAX;
/// The class of the trials whose last entry has no cost. Rung numbers are smaller.
const WITHOUT_COST: u32 = u32::MAX - 1;
/// The place of a trial without an entry.
const NOWHERE: u32 = u32::MAX;
/// From this number of new entries on, the lists may be sorted again.
const MANY: usize = 1_024;
/// Then they are sorted again if one in this many of all trials has a new entry.
const MANY_ONE_IN: usize = 8;

/// The results in a log, sorted by cost.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How many entries of the log are included.
    absorbed: usize,
    /// The place of each trial, by trial number: its index in the order of first entries.
    places: Vec<u32>,
    /// The trial number at each place.
    trials: Vec<u32>,
    /// The point of the unit cube at each place.
    points: Rows,
    /// The class at each place.
    latest: Vec<u32>,
    /// The cost at each place, if it has one.
    costs: Vec<f64>,
    used: SortedList<Key>,
    /// The members of each class, by rung number.
    classes: BTreeMap<u32, SortedList<Member>>,
    /// The changes of cost from each rung to the next entry, by rung number.
    gains: BTreeMap<u32, SortedList<TotalF64>>,
    summary: Summary,
}

/// The best, median and worst cost of a log. They define the scale on which the model of
/// [`zoom`](crate::zoom) sees costs.
///
/// The scale is a logarithm of the distance to the best cost, because that distance matters by
/// orders of magnitude:
///
/// ```text
/// t = ln((cost - best) / (median - best) + 0.1)
/// ```
///
/// Example: with best 1 and median 3, the cost 1 becomes ln 0.1 = -2.3, the cost 3 becomes
/// ln 1.1 = 0.1, and the cost 201 becomes ln 100.1 = 4.6.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) best: f64,
    pub(crate) median: f64,
    pub(crate) worst: f64,
}

impl Summary {
    /// The value of a cost on the model's scale; 0 if all costs up to the median are equal.
    pub(crate) fn transform(&self, cost: f64) -> f64 {
        let ratio = (cost - self.best) / (self.median - self.best);
        if self.median == self.best {
            0.0
        } else {
            libm::log(if ratio.is_finite() { ratio } else { f64::MAX } + 0.1)
        }
    }

    /// The cost whose value on the model's scale is `transformed`.
    pub(crate) fn restore(&self, transformed: f64) -> f64 {
        self.best + (libm::exp(transformed) - 0.1) * (self.median - self.best)
    }
}

/// A change of a trial's class and cost. Without a cost, the class is [`WITHOUT_COST`].
struct Move {
    place: u32,
    /// `None` for the first entry of a trial.
    from: Option<(u32, f64)>,
    to: (u32, f64),
}

impl Move {
    /// The rung that the trial has left, and the change of its cost since then.
    fn gain(&self) -> Option<(u32, TotalF64)> {
        let has_cost = |class: u32| class != WITHOUT_COST;
        let (rung, before) = self.from.filter(|(class, _)| has_cost(*class))?;
        has_cost(self.to.0).then_some((rung, TotalF64(self.to.1 - before)))
    }
}

impl Ledger {
    /// How many entries of the log are included.
    pub(crate) const fn absorbed(&self) -> usize {
        self.absorbed
    }

    /// Adds the entries of the log that are not included yet.
    pub(crate) fn absorb(&mut self, cube: &Cube, history: &History) {
        self.absorb_up_to(cube, history, history.len());
    }

    /// Adds those entries that are not included yet and lie before position `end` of the log.
    pub(crate) fn absorb_up_to(&mut self, cube: &Cube, history: &History, end: usize) {
        let new = end.saturating_sub(self.absorbed);
        if new == 0 {
            return;
        }
        let entries = history.entries_from(self.absorbed).take(new);
        if new >= MANY && new >= self.len() / MANY_ONE_IN {
            self.absorb_many(cube, history, entries);
        } else {
            for entry in entries {
                self.absorb_one(cube, history, entry);
            }
        }
        self.absorbed += new;
        self.summary = self.summarise();
    }

    /// Adds one entry.
    fn absorb_one(&mut self, cube: &Cube, history: &History, entry: Observation) {
        let (change, key) = self.note(cube, history, entry);
        key.into_iter().for_each(|key| self.used.insert(key));
        if let Some((class, cost)) = change.from
            && let Some(members) = self.classes.get_mut(&class)
        {
            members.remove(&(TotalF64(cost), change.place));
        }
        if let Some((rung, gain)) = change.gain() {
            self.gains.entry(rung).or_default().insert(gain);
        }
        let (class, cost) = change.to;
        if class != WITHOUT_COST {
            self.classes.entry(class).or_default().insert((TotalF64(cost), change.place));
        }
    }

    /// Adds many entries, and sorts the lists again.
    fn absorb_many(
        &mut self,
        cube: &Cube,
        history: &History,
        entries: impl Iterator<Item = Observation>,
    ) {
        let (mut used, mut gains) = (Vec::new(), BTreeMap::<u32, Vec<TotalF64>>::new());
        for entry in entries {
            let (change, key) = self.note(cube, history, entry);
            used.extend(key);
            if let Some((rung, gain)) = change.gain() {
                gains.entry(rung).or_default().push(gain);
            }
        }
        self.used.extend(used);
        for (rung, new) in gains {
            self.gains.entry(rung).or_default().extend(new);
        }
        let mut classes = BTreeMap::<u32, Vec<Member>>::new();
        for (place, (class, cost)) in (0..).zip(self.latest.iter().zip(&self.costs)) {
            if *class != WITHOUT_COST {
                classes.entry(*class).or_default().push((TotalF64(*cost), place));
            }
        }
        self.classes = classes.into_iter().map(|(class, all)| (class, all.into())).collect();
    }

    /// Notes the latest class and cost of the entry's trial. Returns what has changed and, for the
    /// first entry of a trial, the key of its point.
    fn note(&mut self, cube: &Cube, history: &History, entry: Observation) -> (Move, Option<Key>) {
        let cost = entry.cost.filter(|cost| cost.is_finite());
        let class = match entry.stage {
            _ if cost.is_none() => WITHOUT_COST,
            Stage::Passed(rung) | Stage::Stopped(rung) => rung,
            Stage::Ended => ENDED,
        };
        let to = (class, cost.unwrap_or_default());
        let trial = index(entry.trial);
        if self.places.len() <= trial {
            self.places.resize(trial + 1, NOWHERE);
        }
        let place = self.places.get(trial).copied().unwrap_or(NOWHERE);
        let known = self.latest.get_mut(index(place)).zip(self.costs.get_mut(index(place)));
        if let Some((latest, cost)) = known {
            let from = Some((*latest, *cost));
            (*latest, *cost) = to;
            return (Move { place, from, to }, None);
        }
        let place = to_u32(self.trials.len());
        self.places.iter_mut().skip(trial).take(1).for_each(|known| *known = place);
        self.trials.push(entry.trial);
        self.latest.push(to.0);
        self.costs.push(to.1);
        let point = cube.point(history, entry.trial);
        self.points.push(&point);
        (Move { place, from: None, to }, Some(cube.key(&point)))
    }

    /// The number of trials.
    pub(crate) const fn len(&self) -> usize {
        self.trials.len()
    }

    /// The positions of those entries that are not included yet and are the first ones of their
    /// trials, in ascending order.
    pub(crate) fn new_trials(&self, history: &History) -> Vec<usize> {
        let is_known =
            |trial: u32| self.places.get(index(trial)).is_some_and(|place| *place != NOWHERE);
        let entries = (self.absorbed..).zip(history.entries_from(self.absorbed));
        let mut new: Vec<(u32, usize)> = entries
            .map(|(position, entry)| (entry.trial, position))
            .filter(|(trial, _)| !is_known(*trial))
            .collect();
        new.sort();
        new.dedup_by_key(|(trial, _)| *trial);
        let mut positions: Vec<usize> = new.into_iter().map(|(_, position)| position).collect();
        positions.sort();
        positions
    }

    /// The point of the trial at a place, or an empty slice if the place does not exist.
    pub(crate) fn point(&self, place: usize) -> &[f64] {
        self.points.get(place)
    }

    /// The points of the trials from a place on.
    pub(crate) fn points_from(&self, place: usize) -> impl Iterator<Item = &[f64]> {
        self.points.iter_from(place)
    }

    /// The number of the trial at a place, or 0 if the place does not exist.
    pub(crate) fn trial(&self, place: usize) -> u32 {
        self.trials.get(place).copied().unwrap_or_default()
    }

    /// True if a trial of the log has the point with this key.
    pub(crate) fn is_used(&self, key: &Key) -> bool {
        self.used.contains(key)
    }

    /// The final or expected costs and the places of their trials, in ascending order. Equal costs
    /// are in the order of the log.
    pub(crate) fn ranked(&self) -> Ranked<'_> {
        Ranked::new(&self.lists())
    }

    /// The final or expected costs with these ranks, counted from 0, which must ascend. A trial
    /// without a cost ranks last and counts as the worst.
    pub(crate) fn costs_at(&self, ranks: &[usize]) -> Vec<f64> {
        let mut costs = costs_at(&self.lists(), ranks, self.summary.median);
        costs.resize(ranks.len(), self.summary.worst);
        costs
    }

    /// The classes that have members, and the expected change of each.
    fn lists(&self) -> Vec<Class<'_>> {
        let lists = self.classes.iter().filter(|(_, members)| !members.is_empty());
        lists.map(|(class, members)| Class { gain: self.gain_from(*class), members }).collect()
    }

    /// The final or expected cost of the trial at a place; `None` if the trial failed.
    pub(crate) fn cost(&self, place: usize) -> Option<f64> {
        let class = *self.latest.get(place)?;
        let cost = self.costs.get(place).filter(|_| class != WITHOUT_COST)?;
        Some(cost + self.gain_from(class))
    }

    /// The expected change of cost from a class to the end.
    fn gain_from(&self, class: u32) -> f64 {
        let later = self.gains.iter().filter(|(rung, _)| class != ENDED && **rung >= class);
        later.map(|(_, gains)| median(gains)).sum()
    }

    /// The best, median and worst cost. A trial that failed counts as the worst.
    pub(crate) const fn summary(&self) -> Summary {
        self.summary
    }

    fn summarise(&self) -> Summary {
        let lists = self.lists();
        let best = lists.iter().filter_map(|list| list.first()).min_by(f64::total_cmp);
        let worst = lists.iter().filter_map(|list| list.last()).max_by(f64::total_cmp);
        let (Some(best), Some(worst)) = (best, worst) else { return Summary::default() };
        let middle = [self.len().saturating_sub(1) / 2, self.len() / 2];
        let costs = costs_at(&lists, &middle, self.summary.median);
        let at = |i: usize| costs.get(i).copied().unwrap_or(worst);
        let (below, above) = (at(0), at(1));
        Summary { best, median: below + (above - below) / 2.0, worst }
    }
}

#[cfg(test)]
mod tests;
