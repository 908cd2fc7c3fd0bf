//! The strategy `rounds`: rounds of random draws, each in a box around the best trials so far.
//!
//! The first round draws from the whole space. A later round starts when every trial of the earlier
//! rounds is over. All its trials are drawn from one box, which `caviar status` can show: the range
//! of the best trials on each scale, widened on both sides so that the optimum may lie just
//! outside. For a choice, the box keeps the values that the best trials use.
//!
//! With n trials over, the best k = max(4, ⌊√n⌋ + 1) count. If their coordinates range from a to b,
//! the side of the box is [a - m, b + m] within [0, 1], with the margin
//!
//! ```text
//! m = max((b - a) / (k + 1), (w - (b - a)) / 2)        w = 0.05, the least width
//! ```
//!
//! The first term corrects a bias: the range of k uniform draws from an interval is on average
//! shorter than the interval by 1 / (k + 1) of its length on each side.
//!
//! Example: after 30 trials, k = 6. If the best six lie between 0.4 and 0.54, m = 0.14 / 7 = 0.02,
//! and the next round draws from [0.38, 0.56].
//!
//! The rule is Caviar's own. docs/search.md compares it with the other strategies.

use caviar_common::assignment::Value;
use caviar_common::numbers::{real, to_u32};
use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Domain, Space};

use crate::history::History;
use crate::random::draw;
use crate::region::{Interval, Region};
use crate::results::{TrialResult, results};
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};

/// The least width of a box on every scale, so that a round whose best trials happen to agree does
/// not end the search.
const LEAST_WIDTH: f64 = 0.05;
/// The least number of best trials from which a box is made.
const LEAST_BEST: usize = 4;

/// The sampler of `strategy = "rounds"`.
#[derive(Debug)]
pub(crate) struct Rounds {
    space: Space,
    seed: u64,
    /// The number of trials in each round.
    sizes: Vec<u32>,
}

impl Rounds {
    pub(crate) fn new(space: Space, seed: u64, sizes: Vec<u32>) -> Self {
        Self { space, seed, sizes }
    }

    /// The round of a trial, counted from 1, and the number of trials in the earlier rounds.
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

    /// The box around the best trials.
    fn region(&self, history: &History, seen: &[TrialResult]) -> Region {
        let mut best: Vec<(f64, u32)> =
            seen.iter().filter_map(|r| Some((r.cost?, r.latest.trial))).collect();
        // The sort is stable, so equal costs keep the order of their decisions.
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        best.truncate(LEAST_BEST.max(seen.len().isqrt() + 1));
        let values =
            |j| best.iter().filter_map(|(_, trial)| history.value(*trial, j)).collect::<Vec<_>>();
        let parameters = self.space.parameters().iter().enumerate();
        Region { sides: parameters.map(|(j, p)| side(&p.domain, &values(j))).collect() }
    }
}

impl Sampler for Rounds {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        let (round, before) = self.round_of(question.trial);
        let earlier: Vec<TrialResult> =
            results(question.history).into_iter().filter(|r| r.latest.trial < before).collect();
        let over = earlier.iter().filter(|r| r.is_over()).count();
        if to_u32(over) != before {
            return SamplerReply::Wait;
        }
        let region = if before == 0 {
            Region::whole(&self.space)
        } else {
            self.region(question.history, &earlier)
        };
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

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        false
    }
}

/// The side of the box along one parameter, around the values that the best trials have. It is the
/// whole side if they have none.
fn side(domain: &Domain, values: &[Value]) -> Interval {
    let values = values.iter();
    if let Domain::Choice { values: all } = domain {
        let mut used: Vec<usize> = values.filter_map(|v| all.iter().position(|a| a == v)).collect();
        used.sort_unstable();
        used.dedup();
        return Interval::Among(if used.is_empty() { (0..all.len()).collect() } else { used });
    }
    let units: Vec<f64> = values.filter_map(|v| domain.encode(v)).collect();
    if units.is_empty() {
        return Interval::Between(0.0, 1.0);
    }
    let (low, high) =
        units.iter().fold((1.0f64, 0.0f64), |(low, high), u| (low.min(*u), high.max(*u)));
    let margin = ((high - low) / (real(units.len()) + 1.0)).max((LEAST_WIDTH - (high - low)) / 2.0);
    Interval::Between((low - margin).max(0.0), (high + margin).min(1.0))
}
