//! Trees of Parzen estimators (Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter
//! Optimization", 2011).
//!
//! The trials so far are split into few good ones and the others. A density `l` is laid over the
//! good ones and a density `g` over the others; of some candidates drawn from `l`, the one where `l
//! / g` is greatest is tried: where good trials lie and the others do not. The numbers (10 random
//! trials first, the best tenth but at most 25 are good, 24 candidates, old trials fade) are those
//! of Watanabe, "Tree-Structured Parzen Estimator: Understanding Its Algorithm Components", 2023,
//! for Optuna.
//!
//! A trial in flight counts among the others (a constant liar), so that the next one looks
//! elsewhere. A tree of conditions is a product: the parameters of one condition have a joint
//! density of their own, made of the trials that have them.

mod parzen;

use std::collections::BTreeSet;

use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::Space;

use crate::coded::{Coded, Key, PARKED};
use crate::ledger::Ledger;
use crate::random::draw;
use crate::{Question, Region, Sampler, SamplerReply, Suggestion, unused};
use parzen::Density;

/// So many results are waited for: until then every trial is random.
const INITIAL: usize = 10;
/// One result in so many is good ...
const GOOD_ONE_IN: usize = 10;
/// ... but no more than these: a search that goes on looks at its best closely.
const GOOD_MOST: usize = 25;
/// Of the others the newest are used. Those before have faded, and a question has to cost the same
/// after 1,000 results and 10,000.
const OTHERS_MOST: usize = 1000;
const CANDIDATES: usize = 24;

/// Trees of Parzen estimators. What is kept between two questions is the log in sorted form.
#[derive(Debug)]
pub(crate) struct Tpe {
    coded: Coded,
    seed: u64,
    scramble: u32,
    whole: Region,
    /// Numbers of parameters that are active together, each group after the one that its condition
    /// looks at.
    groups: Vec<Vec<usize>>,
    ledger: Ledger,
}

impl Tpe {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        let whole = Region::whole(&space);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let condition = |index: usize| space.parameters().get(index).map(|p| &p.when);
        for index in 0..space.dimensions() {
            match groups
                .iter_mut()
                .find(|group| group.first().and_then(|first| condition(*first)) == condition(index))
            {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        let scramble = Seed::derive(seed, 0, Purpose::Scramble).word();
        Self { coded: Coded::new(space), seed, scramble, whole, groups, ledger: Ledger::default() }
    }

    /// The point of the best of the candidates that `free` allows, if any.
    fn best(
        &self,
        trial: u32,
        pending: &[Vec<f64>],
        free: &dyn Fn(&[f64]) -> bool,
    ) -> Option<Vec<f64>> {
        let (good, others) = self.split(pending);
        let pairs: Vec<Pair<'_>> =
            self.groups.iter().map(|group| Pair::new(&self.coded, group, &good, &others)).collect();
        let mut stream = Seed::derive(self.seed, u64::from(trial), Purpose::Candidates).stream(0);
        let mut candidates: Vec<(f64, Vec<f64>)> =
            (0..CANDIDATES).map(|_| self.candidate(&pairs, &mut stream)).collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.into_iter().map(|(_, point)| point).find(|point| free(point))
    }

    /// A draw from `l`, and the logarithm of `l / g` there.
    fn candidate(&self, pairs: &[Pair<'_>], stream: &mut Stream) -> (f64, Vec<f64>) {
        let (mut score, mut point) = (0.0, vec![PARKED; self.coded.dimensions()]);
        let mut active = 0;
        for pair in pairs {
            if !pair.group.first().is_some_and(|first| self.coded.is_active(*first, &point, active))
            {
                continue;
            }
            let units = pair.good.sample(stream);
            score += pair.good.ln_at(&units) - pair.others.ln_at(&units);
            for (j, unit) in pair.group.iter().zip(units) {
                active |= 1 << j;
                point.iter_mut().skip(*j).take(1).for_each(|place| *place = unit);
            }
        }
        self.coded.snap(&mut point);
        (score, point)
    }

    /// The points of the good trials and of the others, each in the order of the log. A trial
    /// without a cost is never good.
    fn split<'a>(&'a self, pending: &'a [Vec<f64>]) -> (Vec<&'a [f64]>, Vec<&'a [f64]>) {
        let count = self.ledger.len().div_ceil(GOOD_ONE_IN).min(GOOD_MOST);
        let good: BTreeSet<usize> =
            self.ledger.ranked().take(count).map(|(_, place)| place).collect();
        let flying = pending.iter().rev().map(Vec::as_slice);
        let known = (0..self.ledger.len())
            .rev()
            .filter(|place| !good.contains(place))
            .map(|place| self.ledger.point(place));
        let mut others: Vec<&[f64]> = flying.chain(known).take(OTHERS_MOST).collect();
        others.reverse();
        (good.into_iter().map(|place| self.ledger.point(place)).collect(), others)
    }
}

impl Sampler for Tpe {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        if question.log.len() < self.ledger.absorbed() {
            // A shorter log is another one.
            self.ledger = Ledger::default();
        }
        self.ledger.absorb(&self.coded, question.log);
        let pending: Vec<Vec<f64>> =
            question.pending.iter().map(|a| self.coded.encode(a)).collect();
        let keys: BTreeSet<Key> = pending.iter().map(|point| self.coded.key(point)).collect();
        let free = |point: &[f64]| {
            let key = self.coded.key(point);
            !keys.contains(&key) && !self.ledger.is_used(&key)
        };
        let found = if self.ledger.len() < INITIAL {
            let point = self.coded.encode(&draw(
                self.coded.space(),
                self.seed,
                question.trial,
                &self.whole,
            ));
            free(&point).then_some((point, Source::Random))
        } else {
            self.best(question.trial, &pending, &free).map(|point| (point, Source::Tpe))
        };
        // All of them are used: a small space is nearly used up, or the search is sure of itself.
        // What is left gets its turn.
        let next = || {
            Some((unused::next(&self.coded, self.scramble, question.trial, &free)?, Source::Sobol))
        };
        let seen = u32::try_from(question.log.len()).unwrap_or(u32::MAX);
        found.or_else(next).map_or(SamplerReply::Exhausted, |(point, source)| {
            SamplerReply::Suggest(Suggestion {
                assignment: self.coded.decode(&point),
                reason: Reason { seen, ..Reason::from_source(source) },
            })
        })
    }
}

/// The two densities over the parameters of one condition.
struct Pair<'a> {
    group: &'a [usize],
    good: Density<'a>,
    others: Density<'a>,
}

impl<'a> Pair<'a> {
    fn new(coded: &'a Coded, group: &'a [usize], good: &[&[f64]], others: &[&[f64]]) -> Self {
        let density = |trials: &[&[f64]]| {
            let has = |point: &&&[f64]| {
                group.first().is_some_and(|first| coded.active(point) >> first & 1 == 1)
            };
            Density::new(
                coded.space(),
                group,
                &trials.iter().filter(has).copied().collect::<Vec<_>>(),
            )
        };
        Self { group, good: density(good), others: density(others) }
    }
}

#[cfg(test)]
mod tests;
