//! The strategy `random`: every trial is a uniform draw from the whole space.
//!
//! A coordinate u is drawn uniformly from [0, 1] and mapped to the parameter's scale. Where only a
//! few hyperparameters matter, this tries more values of these than a grid does (Bergstra and
//! Bengio, "Random Search for Hyper-Parameter Optimization", 2012).
//!
//! Example: for a learning rate between 1e-4 and 1 on a log scale, u = 0.25 is
//! 1e-4 * (1 / 1e-4)^0.25 = 1e-3.

use caviar_common::assignment::Assignment;
use caviar_common::numbers::{real, to_usize};
use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::space::{Domain, Space};

use crate::region::{Interval, Region};
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};

/// The sampler of `strategy = "random"`.
#[derive(Debug)]
pub(crate) struct Random {
    space: Space,
    seed: u64,
    whole: Region,
}

impl Random {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        let whole = Region::whole(&space);
        Self { space, seed, whole }
    }
}

impl Sampler for Random {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        let assignment = draw(&self.space, self.seed, question.trial, &self.whole);
        let reason = Reason::from_source(Source::Random);
        SamplerReply::Suggest(Suggestion { assignment, reason })
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        true
    }
}

/// Draws the assignment of a trial uniformly from a region. Every parameter uses one random number
/// of the trial's stream even if it is inactive, so a condition on one parameter does not change
/// the draws of the others.
pub(crate) fn draw(space: &Space, seed: u64, trial: u32, region: &Region) -> Assignment {
    let mut stream = Seed::derive(seed, u64::from(trial), Purpose::Sample).stream(0);
    let point: Vec<f64> = space
        .parameters()
        .iter()
        .zip(&region.sides)
        .map(|(parameter, side)| {
            let uniform = stream.uniform();
            match side {
                Interval::Between(low, high) => low + uniform * (high - low),
                Interval::Among(chosen) => centre_among(&parameter.domain, chosen, uniform),
            }
        })
        .collect();
    space.decode(&point)
}

/// The coordinate of one of the chosen values. All have the same probability if `uniform` is a
/// uniform number from [0, 1).
fn centre_among(domain: &Domain, chosen: &[usize], uniform: f64) -> f64 {
    let all = domain.cardinality().map_or(1, to_usize);
    let is_reached = |(i, _): &(usize, &usize)| real(*i) <= uniform * real(chosen.len());
    let pick = chosen.iter().enumerate().take_while(is_reached).last();
    pick.map_or(0.5, |(_, index)| (real(*index) + 0.5) / real(all))
}
