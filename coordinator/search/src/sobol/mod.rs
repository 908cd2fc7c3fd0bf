//! The strategy `sobol`: a scrambled Sobol sequence, which covers the space more evenly than random
//! points.
//!
//! Trial i is point i of the sequence, on the scales of the parameters. Any first 2^k points have
//! exactly one point in each of 2^k equal intervals of every coordinate. The digits of the points
//! are scrambled with a seed so that sweeps differ but keep this property (Owen, "Randomly Permuted
//! (t,m,s)-Nets and (t,s)-Sequences", 1995; Burley, "Practical Hash-based Owen Scrambling", 2020).
//!
//! Example: of the first four points, one has a learning rate in each quarter of its log scale.
//! With the range 1e-4 to 1 that is one per decade.

mod sequence;

use caviar_common::reason::{Reason, Source};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::space::Space;

use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};
pub(crate) use sequence::Sequence;

/// The sampler of `strategy = "sobol"`.
#[derive(Debug)]
pub(crate) struct Sobol {
    space: Space,
    sequence: Sequence,
}

impl Sobol {
    pub(crate) fn new(space: Space, seed: u64) -> Self {
        let scramble = Seed::derive(seed, 0, Purpose::Scramble).word();
        Self { sequence: Sequence::new(space.dimensions(), scramble), space }
    }
}

impl Sampler for Sobol {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        let assignment = self.space.decode(&self.sequence.point(question.trial));
        SamplerReply::Suggest(Suggestion { assignment, reason: Reason::from_source(Source::Sobol) })
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        true
    }
}
