//! Coarse to fine: rounds of random draws, each in a box around the best of all rounds before.
//!
//! The first round looks everywhere. A later one begins when every trial of the rounds before is
//! decided, so that it has one box, which `status` can show: the range of the best trials on each
//! scale, widened a little so that the optimum may lie at its edge. Of a choice it keeps the values
//! that the best trials use.

use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Domain, Parameter, Space};

use crate::random::draw;
use crate::{
    Interval, Observation, Question, Region, Sampler, SamplerReply, Suggestion, TrialResult, real,
    results,
};

/// A box is at least this wide on every scale: a round that happens to agree with itself does not
/// end the search.
const LEAST_WIDTH: f64 = 0.05;

/// The sampler of `strategy = "rounds"`.
#[derive(Debug)]
pub(crate) struct Rounds {
    space: Space,
    seed: u64,
    sizes: Vec<u32>,
}

impl Rounds {
    pub(crate) fn new(space: Space, seed: u64, sizes: Vec<u32>) -> Self {
        Self { space, seed, sizes }
    }

    /// The round of a trial, from 1, and the number of trials before that round.
    fn round_of(&self, trial: u32) -> (u32, u32) {
        let (mut round, mut before) = (1, 0);
        for size in &self.sizes {
            if trial < before + size {
                break;
            }
            before += size;
            round += 1;
        }
        (round, before)
    }

    fn region(&self, seen: &[TrialResult<'_>]) -> Region {
        let mut best: Vec<(f64, &Observation)> =
            seen.iter().filter_map(|r| Some((r.cost?, r.latest))).collect();
        // Stable, so that equal costs keep the order of their decisions.
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        best.truncate(kept(seen.len()));
        let best: Vec<&Observation> = best.into_iter().map(|(_, o)| o).collect();
        Region { sides: self.space.parameters().iter().map(|p| side(p, &best)).collect() }
    }
}

/// How many of `n` trials count as the best: a few more than the square root, at least 4.
fn kept(n: usize) -> usize {
    4.max((1..).take_while(|k| k * k <= n).count() + 1)
}

impl Sampler for Rounds {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        let (round, before) = self.round_of(question.trial);
        let earlier: Vec<TrialResult<'_>> =
            results(question.log).into_iter().filter(|r| r.latest.trial < before).collect();
        let over = earlier.iter().filter(|r| r.is_over()).count();
        if u32::try_from(over) != Ok(before) {
            return SamplerReply::Wait;
        }
        let region = if before == 0 { Region::whole(&self.space) } else { self.region(&earlier) };
        let reason = Reason {
            round: Some(round),
            search_box: Some(region.to_box(&self.space)),
            ..Reason::from_source(Source::Round)
        };
        SamplerReply::Suggest(Suggestion {
            assignment: draw(&self.space, self.seed, question.trial, &region),
            reason,
        })
    }
}

/// The side of the box along one parameter. Where none of the best trials has the parameter, all of
/// it.
fn side(parameter: &Parameter, best: &[&Observation]) -> Interval {
    let values = best.iter().filter_map(|o| o.assignment.get(&parameter.name));
    if let Domain::Choice { values: all } = &parameter.domain {
        let mut used: Vec<usize> = values.filter_map(|v| all.iter().position(|a| a == v)).collect();
        used.sort_unstable();
        used.dedup();
        return Interval::Among(if used.is_empty() { (0..all.len()).collect() } else { used });
    }
    let units: Vec<f64> = values.filter_map(|v| parameter.domain.encode(v)).collect();
    let (low, high) =
        units.iter().fold((1.0f64, 0.0f64), |(low, high), u| (low.min(*u), high.max(*u)));
    if units.is_empty() {
        return Interval::Between(0.0, 1.0);
    }
    // The range of k uniform draws falls short of what they were drawn from by 1 / (k + 1) on each
    // side, roughly.
    let margin = ((high - low) / (real(units.len()) + 1.0)).max((LEAST_WIDTH - (high - low)) / 2.0);
    Interval::Between((low - margin).max(0.0), (high + margin).min(1.0))
}
