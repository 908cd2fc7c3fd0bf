//! The strategy `tpe`: trees of Parzen estimators.
//!
//! The trials so far are split into a few good ones and the others. A density l is estimated from
//! the good trials and a density g from the others, both over the unit cube. Of 24 candidates drawn
//! from l, the strategy tries the one with the greatest
//!
//! ```text
//! ln l(x) - ln g(x)
//! ```
//!
//! which is a point where good trials are frequent and others are rare. The method is from
//! Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", 2011. The
//! constants are Optuna's, as described in Watanabe, "Tree-Structured Parzen Estimator:
//! Understanding Its Algorithm Components", 2023.
//!
//! - **Trials in flight** count among the others. The next trial therefore goes elsewhere.
//! - **Conditions.** The parameters that share a condition have a joint density of their own, which
//!   is estimated from the trials that have them. The density of a point is the product over the
//!   conditions that hold.
//!
//! Example: after 40 results, the best 4 are good and the other 36 are not. If all four good trials
//! use `relu` and half of the others do, a candidate with `relu` gains about ln 1 - ln 0.5 = 0.7
//! over one with `tanh`, less what the smoothing of the densities takes away.

mod parzen;

use std::collections::BTreeSet;

use caviar_common::numbers::to_u32;
use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::Space;

use crate::cube::{Cube, INACTIVE};
use crate::in_flight::InFlight;
use crate::ledger::Ledger;
use crate::random::draw;
use crate::region::Region;
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};
use crate::unused::Unused;
use parzen::Density;

/// Trials are random until the log has this many trials.
const INITIAL: usize = 10;
/// One trial in this many is good, rounded up ...
const GOOD_ONE_IN: usize = 10;
/// ... but at most this many are, so that a long search concentrates on its best trials.
const GOOD_MOST: usize = 25;
/// At most this many of the other trials are used, the newest ones, so that an ask costs the same
/// after 1,000 and after 10,000 results. The weights of older trials would be small in any case.
const OTHERS_MOST: usize = 1000;
const CANDIDATES: usize = 24;

/// The sampler of `strategy = "tpe"`.
#[derive(Debug)]
pub(crate) struct Tpe {
    cube: Cube,
    seed: u64,
    whole: Region,
    /// The indices of the parameters that share a condition. A group comes after the group of the
    /// parameter on which its condition depends.
    groups: Vec<Vec<usize>>,
    ledger: Ledger,
    in_flight: InFlight,
    unused: Unused,
}

impl Tpe {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        let whole = Region::whole(&space);
        let groups = groups(&space);
        let cube = Cube::new(space);
        let unused = Unused::new(&cube, Seed::derive(seed, 0, Purpose::Scramble).word());
        let (ledger, in_flight) = (Ledger::default(), InFlight::default());
        Self { cube, seed, whole, groups, ledger, in_flight, unused }
    }

    /// Updates what is kept from ask to ask. A log that is shorter than before is a different log.
    fn absorb(&mut self, question: &Question<'_>) {
        if question.history.len() < self.ledger.absorbed() {
            (self.ledger, self.in_flight) = (Ledger::default(), InFlight::default());
            self.unused.reset(&self.cube);
        }
        self.ledger.absorb(&self.cube, question.history);
        self.in_flight.update(&self.cube, question.history, question.pending);
    }

    /// A random point for one of the first trials, if it is free.
    fn random_point(&self, trial: u32, is_free: &dyn Fn(&[f64]) -> bool) -> Option<Vec<f64>> {
        let assignment = draw(self.cube.space(), self.seed, trial, &self.whole);
        let point = self.cube.encode(&assignment);
        is_free(&point).then_some(point)
    }

    /// The best of the candidates that are free; `None` if none is.
    fn best_candidate(&self, trial: u32, is_free: &dyn Fn(&[f64]) -> bool) -> Option<Vec<f64>> {
        let (good, others) = self.split();
        let pairs: Vec<DensityPair<'_>> = self
            .groups
            .iter()
            .map(|group| DensityPair::new(&self.cube, group, &good, &others))
            .collect();
        let mut stream = Seed::derive(self.seed, u64::from(trial), Purpose::Candidates).stream(0);
        let mut candidates: Vec<(f64, Vec<f64>)> =
            (0..CANDIDATES).map(|_| self.candidate(&pairs, &mut stream)).collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.into_iter().map(|(_, point)| point).find(|point| is_free(point))
    }

    /// Draws a point from l. Returns ln l - ln g there, and the point.
    fn candidate(&self, pairs: &[DensityPair<'_>], stream: &mut Stream) -> (f64, Vec<f64>) {
        let (mut score, mut point) = (0.0, vec![INACTIVE; self.cube.dimensions()]);
        let mut active = 0;
        for pair in pairs {
            let first = pair.group.first();
            if !first.is_some_and(|first| self.cube.is_active(*first, &point, active)) {
                continue;
            }
            let units = pair.good.sample(stream);
            score += pair.good.ln_at(&units) - pair.others.ln_at(&units);
            for (j, unit) in pair.group.iter().zip(units) {
                active |= 1 << j;
                point.iter_mut().skip(*j).take(1).for_each(|coordinate| *coordinate = unit);
            }
        }
        self.cube.snap(&mut point);
        (score, point)
    }

    /// The points of the good trials and of the others, each in the order of the log, with the
    /// trials in flight at the end. A trial without a cost is never good.
    fn split(&self) -> (Vec<&[f64]>, Vec<&[f64]>) {
        let count = self.ledger.len().div_ceil(GOOD_ONE_IN).min(GOOD_MOST);
        let good: BTreeSet<usize> =
            self.ledger.ranked().take(count).map(|(_, place)| place).collect();
        let in_flight = self.in_flight.points().rev();
        let known = (0..self.ledger.len())
            .rev()
            .filter(|place| !good.contains(place))
            .map(|place| self.ledger.point(place));
        let mut others: Vec<&[f64]> = in_flight.chain(known).take(OTHERS_MOST).collect();
        others.reverse();
        (good.into_iter().map(|place| self.ledger.point(place)).collect(), others)
    }
}

impl Sampler for Tpe {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        self.absorb(question);
        let trial = question.trial;
        let is_used = |point: &[f64]| self.ledger.is_used(&self.cube.key(point));
        let is_free = |point: &[f64]| {
            let key = self.cube.key(point);
            !self.in_flight.has(&key) && !self.ledger.is_used(&key)
        };
        let found = if self.ledger.len() < INITIAL {
            self.random_point(trial, &is_free).map(|point| (point, Source::Random))
        } else {
            self.best_candidate(trial, &is_free).map(|point| (point, Source::Tpe))
        };
        // All candidates are used if a small space is nearly exhausted, or if the densities have
        // become narrow.
        let next = || {
            let found = self.unused.find(&self.cube, trial, &is_free, &is_used)?;
            Some((found, Source::Sobol))
        };
        let seen = to_u32(question.history.len());
        found.or_else(next).map_or(SamplerReply::Exhausted, |(point, source)| {
            SamplerReply::Suggest(Suggestion {
                assignment: self.cube.decode(&point),
                reason: Reason { seen, ..Reason::from_source(source) },
            })
        })
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        false
    }
}

/// The indices of the parameters, grouped by condition, in the order of the space.
fn groups(space: &Space) -> Vec<Vec<usize>> {
    let condition = |index: usize| space.parameters().get(index).map(|p| &p.when);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..space.dimensions() {
        let shares_condition = |group: &&mut Vec<usize>| {
            group.first().and_then(|first| condition(*first)) == condition(index)
        };
        match groups.iter_mut().find(shares_condition) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// The two densities over the parameters of one condition.
struct DensityPair<'a> {
    group: &'a [usize],
    /// l, of the good trials.
    good: Density<'a>,
    /// g, of the others.
    others: Density<'a>,
}

impl<'a> DensityPair<'a> {
    /// The densities of the trials in which the parameters of the group are active.
    fn new(cube: &'a Cube, group: &'a [usize], good: &[&[f64]], others: &[&[f64]]) -> Self {
        let density = |points: &[&[f64]]| {
            let is_active = |point: &&&[f64]| {
                group.first().is_some_and(|first| cube.active(point) >> first & 1 == 1)
            };
            let points: Vec<&[f64]> = points.iter().filter(is_active).copied().collect();
            Density::new(cube.space(), group, &points)
        };
        Self { group, good: density(good), others: density(others) }
    }
}

#[cfg(test)]
mod tests;
