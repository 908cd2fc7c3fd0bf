//! Trees of Parzen estimators (Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", 2011).
//!
//! The trials so far are split into few good ones and the others. A density `l` is laid over the good ones and a density `g` over the
//! others; of some candidates drawn from `l`, the one where `l / g` is greatest is tried: where good trials lie and the others do not.
//! The numbers (10 random trials first, the best tenth but at most 25 are good, 24 candidates, old trials fade) are those of Watanabe,
//! "Tree-Structured Parzen Estimator: Understanding Its Algorithm Components", 2023, for Optuna.
//!
//! A trial in flight counts among the others (a constant liar), so that the next one looks elsewhere. A tree of conditions is a product:
//! the parameters of one condition have a joint density of their own, made of the trials that have them.

mod parzen;
mod unused;

use caviar_common::assignment::Assignment;
use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::{Parameter, Space};

use crate::random::draw;
use crate::{Ask, Question, Region, Sampler, Suggestion, results};
use parzen::Density;
use unused::Used;

/// So many results are waited for: until then every trial is random.
const INITIAL: usize = 10;
/// One result in so many is good ...
const GOOD_ONE_IN: usize = 10;
/// ... but no more than these: a search that goes on looks at its best closely.
const GOOD_MOST: usize = 25;
/// Of the others the newest are used. Those before have faded, and a question has to cost the same after 1,000 results and 10,000.
const OTHERS_MOST: usize = 1000;
const CANDIDATES: usize = 24;

/// Trees of Parzen estimators.
#[derive(Debug)]
pub(crate) struct Tpe {
    space: Space,
    seed: u64,
    whole: Region,
    /// Numbers of parameters that are active together, each group after the one that its condition looks at.
    groups: Vec<Vec<usize>>,
}

impl Tpe {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        let whole = Region::whole(&space);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let condition = |index: usize| space.parameters().get(index).map(|p| &p.when);
        for index in 0..space.dimensions() {
            match groups.iter_mut().find(|group| group.first().and_then(|first| condition(*first)) == condition(index)) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        Self { space, seed, whole, groups }
    }

    fn stream(&self, trial: u32, index: u64) -> Stream {
        Seed::derive(self.seed, u64::from(trial), Purpose::Candidates).stream(index)
    }

    /// The best of the candidates that were not used, if any.
    fn best(&self, question: &Question<'_>, good: &[&Assignment], others: &[&Assignment], used: &Used<'_>) -> Option<Assignment> {
        let mut stream = self.stream(question.trial, 0);
        let pairs: Vec<Pair<'_>> = self.groups.iter().filter_map(|group| Pair::new(&self.space, group, good, others)).collect();
        let mut candidates: Vec<(f64, Assignment)> = (0..CANDIDATES).map(|_| self.candidate(&pairs, &mut stream)).collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.into_iter().map(|(_, assignment)| assignment).find(|assignment| !used.contains(assignment))
    }

    /// A draw from `l`, and the logarithm of `l / g` there.
    fn candidate(&self, pairs: &[Pair<'_>], stream: &mut Stream) -> (f64, Assignment) {
        let (mut score, mut assignment) = (0.0, Assignment::default());
        for pair in pairs {
            if !pair.is_active(&self.space, &assignment) {
                continue;
            }
            let point = pair.good.sample(stream);
            score += pair.good.ln_at(&point) - pair.others.ln_at(&point);
            for (parameter, unit) in pair.parameters.iter().zip(&point) {
                assignment.insert(parameter.name.clone(), parameter.domain.decode(*unit));
            }
        }
        (score, assignment)
    }
}

impl Sampler for Tpe {
    fn ask(&mut self, question: &Question<'_>) -> Ask {
        let results = results(question.log);
        let known: Vec<&Assignment> = results.iter().map(|r| &r.latest.assignment).collect();
        let used = Used::new(&known, question.pending);
        let found = if known.len() < INITIAL {
            let assignment = draw(&self.space, self.seed, question.trial, &self.whole);
            (!used.contains(&assignment)).then_some((assignment, Source::Random))
        } else {
            let losses: Vec<Option<f64>> = results.iter().map(|r| r.loss).collect();
            let (good, mut others) = split(&known, &losses);
            others.extend(question.pending);
            let others = others.get(others.len().saturating_sub(OTHERS_MOST)..).unwrap_or_default();
            self.best(question, &good, others, &used).map(|assignment| (assignment, Source::Tpe))
        };
        // All of them are used: a small space is nearly used up, or the search is sure of itself. What is left gets its turn.
        let found = found.or_else(|| Some((used.another(&self.space, &mut self.stream(question.trial, 1))?, Source::Random)));
        let seen = u32::try_from(question.log.len()).unwrap_or(u32::MAX);
        found.map_or(Ask::Exhausted, |(assignment, source)| {
            Ask::Suggest(Suggestion { assignment, reason: Reason { seen, ..Reason::of(source) } })
        })
    }
}

/// The good trials and the others, each in the order of the log. A trial without a loss is never good.
fn split<'a>(known: &[&'a Assignment], losses: &[Option<f64>]) -> (Vec<&'a Assignment>, Vec<&'a Assignment>) {
    let good = known.len().div_ceil(GOOD_ONE_IN).min(GOOD_MOST);
    let finite = losses.iter().enumerate().filter_map(|(i, loss)| loss.filter(|l| l.is_finite()).map(|l| (l, i)));
    let mut order: Vec<(f64, usize)> = finite.collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    order.truncate(good);
    let is_good: Vec<bool> = (0..known.len()).map(|i| order.iter().any(|(_, best)| *best == i)).collect();
    let of = |wanted: bool| known.iter().zip(&is_good).filter(|(_, good)| **good == wanted).map(|(a, _)| *a).collect();
    (of(true), of(false))
}

/// The two densities over the parameters of one condition.
struct Pair<'a> {
    parameters: Vec<&'a Parameter>,
    good: Density<'a>,
    others: Density<'a>,
}

impl<'a> Pair<'a> {
    fn new(space: &'a Space, group: &[usize], good: &[&Assignment], others: &[&Assignment]) -> Option<Self> {
        let parameters: Vec<&Parameter> = group.iter().filter_map(|i| space.parameters().get(*i)).collect();
        let first = parameters.first()?;
        let points = |trials: &[&Assignment]| -> Vec<Vec<f64>> {
            let with = trials.iter().filter(|a| a.get(&first.name).is_some());
            with.map(|a| parameters.iter().map(|p| a.get(&p.name).and_then(|v| p.domain.encode(v)).unwrap_or(0.5)).collect()).collect()
        };
        let (good, others) = (Density::new(&parameters, &points(good)), Density::new(&parameters, &points(others)));
        Some(Self { parameters, good, others })
    }

    fn is_active(&self, space: &Space, assignment: &Assignment) -> bool {
        self.parameters.first().is_some_and(|first| space.is_active(first, assignment))
    }
}

#[cfg(test)]
mod tests;
