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

use std::collections::{BTreeMap, BTreeSet};

use crate::cube::{Cube, Key};
use crate::history::History;
use crate::observation::Stage;
use crate::results::median_of_sorted;

/// The class of the trials that have ended. Rung numbers are smaller.
const ENDED: u32 = u32::MAX;

/// A cost, and the place of its trial: the trial's index in the order of first entries.
type Member = (f64, usize);

/// The results in a log, sorted by cost.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How many entries of the log are included.
    absorbed: usize,
    /// The place of each trial, by trial number.
    places: BTreeMap<u32, usize>,
    /// The trial number at each place.
    trials: Vec<u32>,
    /// The point of the unit cube at each place, in rows.
    points: Vec<f64>,
    /// The class and the cost at each place; `None` for a trial without a cost.
    latest: Vec<Option<(u32, f64)>>,
    /// For each place, how many entries the log had with the first entry of that trial.
    entered: Vec<usize>,
    used: BTreeSet<Key>,
    /// The members of each class, sorted, by rung number.
    classes: BTreeMap<u32, Vec<Member>>,
    /// The changes of cost from each rung to the next entry, sorted, by rung number.
    gains: BTreeMap<u32, Vec<f64>>,
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
        for observation in history.entries_from(self.absorbed).take(new) {
            self.absorbed += 1;
            let cost = observation.cost.filter(|cost| cost.is_finite());
            let class = match observation.stage {
                Stage::Passed(rung) | Stage::Stopped(rung) => rung,
                Stage::Ended => ENDED,
            };
            match self.places.get(&observation.trial) {
                Some(place) => self.advance(*place, class, cost),
                None => {
                    let point = cube.point(history, observation.trial);
                    self.enter(observation.trial, (cube.key(&point), point), class, cost);
                }
            }
        }
    }

    fn enter(&mut self, trial: u32, point: (Key, Vec<f64>), class: u32, cost: Option<f64>) {
        let place = self.trials.len();
        self.places.insert(trial, place);
        self.trials.push(trial);
        self.used.insert(point.0);
        self.points.extend(point.1);
        self.entered.push(self.absorbed);
        self.latest.push(cost.map(|cost| (class, cost)));
        if let Some(cost) = cost {
            insert(self.classes.entry(class).or_default(), (cost, place));
        }
    }

    /// Moves a trial to the class of its new entry.
    fn advance(&mut self, place: usize, class: u32, cost: Option<f64>) {
        let Some(latest) = self.latest.get_mut(place) else { return };
        let before = std::mem::replace(latest, cost.map(|cost| (class, cost)));
        if let Some((rung, value)) = before {
            if let Some(members) = self.classes.get_mut(&rung) {
                let at = members.partition_point(|old| order(old, &(value, place)).is_lt());
                members.remove(at);
            }
            if let Some(cost) = cost {
                let gains = self.gains.entry(rung).or_default();
                gains.insert(gains.partition_point(|gain| *gain < cost - value), cost - value);
            }
        }
        if let Some(cost) = cost {
            insert(self.classes.entry(class).or_default(), (cost, place));
        }
    }

    /// The number of trials.
    pub(crate) fn len(&self) -> usize {
        self.trials.len()
    }

    /// The points of all trials, in rows.
    pub(crate) fn points(&self) -> &[f64] {
        &self.points
    }

    /// The point of the trial at a place, or an empty slice if the place does not exist.
    pub(crate) fn point(&self, place: usize) -> &[f64] {
        let dimensions = self.points.len() / self.len().max(1);
        self.points.get(place * dimensions..(place + 1) * dimensions).unwrap_or_default()
    }

    /// The number of the trial at a place, or 0 if the place does not exist.
    pub(crate) fn trial(&self, place: usize) -> u32 {
        self.trials.get(place).copied().unwrap_or_default()
    }

    /// How many entries the log had when it first had `count` trials.
    pub(crate) fn entered(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|last| self.entered.get(last)).copied().unwrap_or_default()
    }

    /// True if a trial of the log has the point with this key.
    pub(crate) fn is_used(&self, key: &Key) -> bool {
        self.used.contains(key)
    }

    /// The final or expected costs and the places of their trials, in ascending order. Equal costs
    /// are in the order of the log.
    pub(crate) fn ranked(&self) -> Ranked<'_> {
        let lists = self.classes.iter().filter(|(_, members)| !members.is_empty());
        let lists = lists.map(|(class, members)| (self.gain_from(*class), members.as_slice()));
        Ranked { lists: lists.collect() }
    }

    /// The final or expected cost of the trial at a place; `None` if the trial failed.
    pub(crate) fn cost(&self, place: usize) -> Option<f64> {
        let (class, cost) = (*self.latest.get(place)?)?;
        Some(cost + self.gain_from(class))
    }

    /// The expected change of cost from a class to the end.
    fn gain_from(&self, class: u32) -> f64 {
        let later = self.gains.iter().filter(|(rung, _)| class != ENDED && **rung >= class);
        later.map(|(_, gains)| median_of_sorted(gains)).sum()
    }

    /// The best, median and worst cost. A trial that failed counts as the worst.
    pub(crate) fn summary(&self) -> Summary {
        let mut ranked = self.ranked();
        let with_cost: usize = ranked.lists.iter().map(|(_, members)| members.len()).sum();
        let ends = |(gain, members): &(f64, &[Member])| {
            Some((members.first()?.0 + gain, members.last()?.0 + gain))
        };
        let best = ranked.lists.iter().filter_map(ends).map(|(best, _)| best);
        let worst = ranked.lists.iter().filter_map(ends).map(|(_, worst)| worst);
        let (Some(best), Some(worst)) = (best.min_by(f64::total_cmp), worst.max_by(f64::total_cmp))
        else {
            return Summary::default();
        };
        let (low, high) = (self.len().saturating_sub(1) / 2, self.len() / 2);
        let mut at = |index: usize, skipped: usize| {
            if index < with_cost {
                ranked.nth(index - skipped).map_or(worst, |(cost, _)| cost)
            } else {
                worst
            }
        };
        let below = at(low, 0);
        let above = if high > low { at(high, low + 1) } else { below };
        Summary { best, median: below + (above - below) / 2.0, worst }
    }
}

fn insert(members: &mut Vec<Member>, new: Member) {
    let at = members.partition_point(|old| order(old, &new).is_lt());
    members.insert(at, new);
}

fn order(a: &Member, b: &Member) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Merges the classes of a [`Ledger`]: costs and places in ascending order.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    /// For each class, the expected change of its members and those of its members that are left.
    lists: Vec<(f64, &'a [Member])>,
}

impl Iterator for Ranked<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let first = |(gain, members): &(f64, &[Member])| {
            members.first().map(|(cost, place)| (cost + gain, *place))
        };
        let heads = self.lists.iter().enumerate().filter_map(|(i, list)| Some((i, first(list)?)));
        let (i, item) = heads.min_by(|(_, a), (_, b)| order(a, b))?;
        let (_, members) = self.lists.get_mut(i)?;
        *members = members.get(1..).unwrap_or_default();
        Some(item)
    }

    fn nth(&mut self, n: usize) -> Option<Member> {
        // Without early stopping there is only one class, and nothing to merge.
        if let [(_, members)] = self.lists.as_mut_slice() {
            *members = members.get(n..).unwrap_or_default();
        } else {
            for _ in 0..n {
                self.next()?;
            }
        }
        self.next()
    }
}
