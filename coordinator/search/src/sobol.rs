//! An Owen-scrambled Sobol sequence on the scales of the space (Owen 1995; Burley, "Practical
//! Hash-based Owen Scrambling", 2020).

use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::space::Space;

use crate::{Question, Sampler, SamplerReply, Suggestion};

/// Trial `i` is point `i` of the sequence.
#[derive(Debug)]
pub(crate) struct Sobol {
    space: Space,
    scramble: u32,
}

impl Sobol {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        Self { space, scramble: Seed::derive(seed, 0, Purpose::Scramble).word() }
    }
}

impl Sampler for Sobol {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        // The spec's limits on trials and parameters are those of the library: 65,536 points of 256
        // dimensions.
        let dimensions = (0u32..).take(self.space.dimensions());
        let point: Vec<f64> = dimensions
            .map(|d| f64::from(sobol_burley::sample(question.trial, d, self.scramble)))
            .collect();
        let assignment = self.space.decode(&point);
        SamplerReply::Suggest(Suggestion { assignment, reason: Reason::from_source(Source::Sobol) })
    }
}
