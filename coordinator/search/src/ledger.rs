//! The log, kept in the form that the search reads it: every entry is taken in once, so that an ask
//! costs the same late in a sweep.
//!
//! It agrees with [`crate::results()`], entry for entry; what it adds is that the results are
//! always sorted. A trial that was not trained to its end is in a class of its last rung, and every
//! member of a class has the same gain to come: the classes are sorted, and reading them side by
//! side sorts all.

use std::collections::{BTreeMap, BTreeSet};

use crate::coded::{Coded, Key};
use crate::{Observation, Stage};

/// The class of trials that are over.
const ENDED: u32 = u32::MAX;

/// What is known of the log so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    absorbed: usize,
    /// Where each trial stands in the order of first entries.
    places: BTreeMap<u32, usize>,
    trials: Vec<u32>,
    /// Encoded points in that order, row after row.
    points: Vec<f64>,
    latest: Vec<Option<(u32, f64)>>,
    /// Entries of the log up to and with the first of each trial.
    entered: Vec<usize>,
    used: BTreeSet<Key>,
    /// Costs and places, sorted, by the number of the last rung.
    classes: BTreeMap<u32, Vec<(f64, usize)>>,
    /// Gains from each rung to the next, sorted.
    gains: BTreeMap<u32, Vec<f64>>,
}

/// What turns costs into what the model learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) best: f64,
    pub(super) median: f64,
    pub(super) worst: f64,
}

impl Summary {
    /// A logarithm, because what matters is how far a result is from the best one, and how far by
    /// orders of magnitude.
    pub(super) fn transform(&self, cost: f64) -> f64 {
        let ratio = (cost - self.best) / (self.median - self.best);
        if self.median == self.best {
            0.0
        } else {
            libm::log(if ratio.is_finite() { ratio } else { f64::MAX } + 0.1)
        }
    }

    /// The cost that is transformed to `t`.
    pub(super) fn restore(&self, t: f64) -> f64 {
        self.best + (libm::exp(t) - 0.1) * (self.median - self.best)
    }
}

impl Ledger {
    /// Entries taken in.
    pub(super) const fn absorbed(&self) -> usize {
        self.absorbed
    }

    /// Takes in what the log has beyond what is known.
    pub(super) fn absorb(&mut self, coded: &Coded, log: &[Observation]) {
        for observation in log.get(self.absorbed..).unwrap_or_default() {
            self.absorbed += 1;
            let cost = observation.cost.filter(|cost| cost.is_finite());
            let class = match observation.stage {
                Stage::Passed(rung) | Stage::Stopped(rung) => rung,
                Stage::Ended => ENDED,
            };
            match self.places.get(&observation.trial) {
                Some(place) => self.advance(*place, class, cost),
                None => self.enter(coded, observation, class, cost),
            }
        }
    }

    fn enter(&mut self, coded: &Coded, observation: &Observation, class: u32, cost: Option<f64>) {
        let place = self.trials.len();
        let point = coded.encode(&observation.assignment);
        self.places.insert(observation.trial, place);
        self.trials.push(observation.trial);
        self.used.insert(coded.key(&point));
        self.points.extend(point);
        self.entered.push(self.absorbed);
        self.latest.push(cost.map(|cost| (class, cost)));
        if let Some(cost) = cost {
            insert(self.classes.entry(class).or_default(), (cost, place));
        }
    }

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

    /// How many trials there are.
    pub(super) fn len(&self) -> usize {
        self.trials.len()
    }

    pub(super) fn points(&self) -> &[f64] {
        &self.points
    }

    /// The point of a trial; empty where there is none.
    pub(super) fn point(&self, place: usize) -> &[f64] {
        let d = self.points.len() / self.len().max(1);
        self.points.get(place * d..(place + 1) * d).unwrap_or_default()
    }

    pub(super) fn trial(&self, place: usize) -> u32 {
        self.trials.get(place).copied().unwrap_or_default()
    }

    /// How many entries the log had when trial number `count` entered.
    pub(super) fn entered(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|last| self.entered.get(last)).copied().unwrap_or_default()
    }

    pub(super) fn is_used(&self, key: &Key) -> bool {
        self.used.contains(key)
    }

    /// The costs that are known or expected, and the places of their trials, best first; equal
    /// ones in the order of the log.
    pub(super) fn ranked(&self) -> Ranked<'_> {
        let heads = self.classes.iter().map(|(class, members)| {
            let later = self.gains.iter().filter(|(rung, _)| *class != ENDED && *rung >= class);
            (later.map(|(_, gains)| middle(gains)).sum(), members.as_slice())
        });
        Ranked { heads: heads.filter(|(_, members): &(f64, &[_])| !members.is_empty()).collect() }
    }

    /// The cost of one trial, known or expected; none if it failed.
    pub(super) fn cost(&self, place: usize) -> Option<f64> {
        let (class, cost) = (*self.latest.get(place)?)?;
        let later = self.gains.iter().filter(|(rung, _)| class != ENDED && **rung >= class);
        Some(cost + later.map(|(_, gains)| middle(gains)).sum::<f64>())
    }

    /// The best, the middle and the worst cost; a trial that failed counts as the worst.
    pub(super) fn summary(&self) -> Summary {
        let mut ranked = self.ranked();
        let finite: usize = ranked.heads.iter().map(|(_, members)| members.len()).sum();
        let worst = ranked
            .heads
            .iter()
            .filter_map(|(gain, m)| Some(m.last()?.0 + gain))
            .max_by(f64::total_cmp)
            .unwrap_or_default();
        let Some((best, _)) = ranked
            .heads
            .iter()
            .map(|(gain, m)| (m.first().map_or(worst, |m| m.0 + gain), 0))
            .min_by(|a, b| a.0.total_cmp(&b.0))
        else {
            return Summary::default();
        };
        let (low, high) = (self.len().saturating_sub(1) / 2, self.len() / 2);
        let mut at = |index: usize, skipped: usize| {
            if index < finite {
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

fn insert(members: &mut Vec<(f64, usize)>, new: (f64, usize)) {
    let at = members.partition_point(|old| order(old, &new).is_lt());
    members.insert(at, new);
}

fn order(a: &(f64, usize), b: &(f64, usize)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// The middle of a sorted list, or the mean of the two in the middle, as [`crate::results()`] takes
/// it; 0 of none.
fn middle(sorted: &[f64]) -> f64 {
    let above = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let below = if sorted.len().is_multiple_of(2) {
        (sorted.len() / 2).checked_sub(1).and_then(|i| sorted.get(i)).copied()
    } else {
        None
    };
    below.map_or(above, |below| (below + above) / 2.0)
}

/// Costs and places, best first.
#[derive(Debug)]
pub(super) struct Ranked<'a> {
    /// What is still to come of each class, and what its members gain.
    heads: Vec<(f64, &'a [(f64, usize)])>,
}

impl Iterator for Ranked<'_> {
    type Item = (f64, usize);

    fn next(&mut self) -> Option<(f64, usize)> {
        let first = |(gain, members): &(f64, &[(f64, usize)])| {
            members.first().map(|(cost, place)| (cost + gain, *place))
        };
        let heads = self.heads.iter().enumerate().filter_map(|(i, head)| Some((i, first(head)?)));
        let (i, item) = heads.min_by(|(_, a), (_, b)| order(a, b))?;
        let (_, members) = self.heads.get_mut(i)?;
        *members = members.get(1..).unwrap_or_default();
        Some(item)
    }

    fn nth(&mut self, n: usize) -> Option<(f64, usize)> {
        // Without early stopping there is one class, and nothing to merge.
        if let [(_, members)] = self.heads.as_mut_slice() {
            *members = members.get(n..).unwrap_or_default();
        } else {
            for _ in 0..n {
                self.next()?;
            }
        }
        self.next()
    }
}

/// The square root of `n`, rounded up.
pub(super) fn root(n: usize) -> usize {
    let mut root = n.isqrt();
    if root * root < n {
        root += 1;
    }
    root
}
