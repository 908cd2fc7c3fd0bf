//! Uniform draws on the scales of the space (Bergstra and Bengio, "Random Search for
//! Hyper-Parameter Optimization", 2012).

use caviar_common::assignment::Assignment;
use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::space::{Domain, Space};

use crate::{Interval, Question, Region, Sampler, SamplerReply, Suggestion, real};

/// Draws every trial from the whole space.
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
        SamplerReply::Suggest(Suggestion {
            assignment,
            reason: Reason::from_source(Source::Random),
        })
    }
}

/// One uniform draw of `region` for a trial. Every parameter uses one number of the trial's stream,
/// active or not, so that a condition on one of them does not change the draws of the others.
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
                Interval::Among(chosen) => centre(&parameter.domain, chosen, uniform),
            }
        })
        .collect();
    space.decode(&point)
}

/// The point of the unit interval at which one of the chosen values lies, each with the same share
/// of `uniform`.
fn centre(domain: &Domain, chosen: &[usize], uniform: f64) -> f64 {
    let all = domain.cardinality().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let pick = chosen
        .iter()
        .enumerate()
        .take_while(|(i, _)| real(*i) <= uniform * real(chosen.len()))
        .last();
    pick.map_or(0.5, |(_, number)| (real(*number) + 0.5) / real(all))
}
