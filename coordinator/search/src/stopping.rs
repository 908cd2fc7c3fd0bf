//! Early stopping: the rungs at which trials are compared, and which trials continue past them.
//!
//! A rung is an epoch. When a trial reaches a rung, its cost there is ranked among the costs of the
//! trials that have reached the same rung before it. The trial continues if it ranks high enough,
//! and is stopped otherwise. No trial waits for a later one: this is asynchronous successive
//! halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020). The median
//! rule follows Golovin et al., "Google Vizier: A Service for Black-Box Optimization", 2017.
//!
//! With E epochs and the reduction factor η = 3, the rungs are at the epochs r, 3r, 9r, … below E,
//! where r = max(2, ⌊E / 16⌋). Let n be the number of trials that have reached a rung, including
//! the new one, and b the number of those with a lower cost than the new one. The new trial
//! continues
//!
//! ```text
//! rule = "halving":  if b < ⌈n / η⌉
//! rule = "median":   if b < ⌈n / 2⌉
//! ```
//!
//! The first trial at a rung therefore always continues.
//!
//! Example: a sweep of 30 epochs has rungs at 2, 6 and 18. Three trials reached rung 0 with costs
//! 1, 2 and 3. A fourth arrives with cost 2.5: two costs are lower, so its rank is 3 of 4. Halving
//! lets the best ⌈4 / 3⌉ = 2 continue, so the trial is stopped. So does the median rule: ⌈4 / 2⌉ =
//! 2.

use caviar_common::spec::StoppingRule;

/// The reduction factor η: each rung has this many times the epochs of the previous one, and under
/// [`StoppingRule::Halving`] one in this many trials continues.
const REDUCTION: u32 = 3;
/// The first rung is at this fraction of the epochs, but not before [`FEWEST_EPOCHS`].
const FIRST_RUNG_ONE_IN: u32 = 16;
/// The first rung is at this epoch at the earliest: a curve of one epoch predicts nothing.
const FEWEST_EPOCHS: u32 = 2;

/// The epochs, counted from 1 and ascending, at which the trials of a sweep are compared.
///
/// `epochs` is the largest number of epochs that any trial of the sweep trains. A rung lies before
/// a trial's last epoch, so a trial with fewer epochs reaches fewer rungs.
pub fn rungs(rule: StoppingRule, epochs: u32) -> Vec<u32> {
    let first = match rule {
        StoppingRule::None => None,
        StoppingRule::Halving | StoppingRule::Median => {
            Some((epochs / FIRST_RUNG_ONE_IN).max(FEWEST_EPOCHS))
        }
    };
    std::iter::successors(first, |rung| rung.checked_mul(REDUCTION))
        .take_while(|rung| *rung < epochs)
        .collect()
}

/// The rank of a trial at a rung, and what the stopping rule makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RungRank {
    /// From 1, the best. Trials of equal cost share a rank.
    pub rank: u32,
    /// How many trials have reached the rung so far, including this one.
    pub reached: u32,
    /// How many of these the rule lets continue: the trials up to this rank.
    pub limit: u32,
}

impl RungRank {
    /// The rank of a trial that reaches a rung after `earlier` others, and `better` of them have a
    /// lower cost. A trial without a finite cost at the rung has the cost infinity.
    pub fn new(rule: StoppingRule, earlier: u32, better: u32) -> Self {
        let reached = earlier.saturating_add(1);
        let limit = match rule {
            StoppingRule::None => reached,
            StoppingRule::Halving => reached.div_ceil(REDUCTION),
            // The median of an even number of costs is the mean of the middle two. A cost is at
            // most the median exactly if fewer than half of the costs, rounded up, are below it.
            StoppingRule::Median => reached.div_ceil(2),
        };
        Self { rank: better.saturating_add(1), reached, limit }
    }

    /// True if the trial trains past the rung, false if it is stopped at it.
    pub const fn continues(self) -> bool {
        self.rank <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::numbers::{real, to_u32};

    use super::*;

    #[test]
    fn rungs_start_at_a_sixteenth_of_the_epochs_and_triple() {
        let rungs = |epochs| rungs(StoppingRule::Halving, epochs);
        assert_eq!(rungs(30), [2, 6, 18]);
        assert_eq!(rungs(100), [6, 18, 54]);
        assert_eq!(rungs(16), [2, 6]);
        assert_eq!(
            (rungs(18), rungs(19)),
            (vec![2, 6], vec![2, 6, 18]),
            "a rung lies before the last epoch"
        );
        for epochs in 0..=2 {
            assert!(rungs(epochs).is_empty(), "{epochs}");
        }
        assert_eq!(rungs(u32::MAX).len(), 3);
        assert!(super::rungs(StoppingRule::None, 100).is_empty());
    }

    /// The rank of a trial of this cost among trials that reached the rung earlier.
    fn rank_at_rung(rule: StoppingRule, earlier: &[f64], cost: f64) -> RungRank {
        let better = earlier.iter().filter(|other| **other < cost).count();
        RungRank::new(rule, to_u32(earlier.len()), to_u32(better))
    }

    /// The costs of the trials that continue, when trials reach a rung in this order.
    fn survivors(rule: StoppingRule, costs: &[f64]) -> Vec<f64> {
        let continues =
            |(i, cost): &(usize, &f64)| rank_at_rung(rule, &costs[..*i], **cost).continues();
        costs.iter().enumerate().filter(continues).map(|(_, cost)| *cost).collect()
    }

    #[test]
    fn halving_continues_the_best_third_of_the_trials_so_far() {
        let halving = |costs: &[f64]| survivors(StoppingRule::Halving, costs);
        assert_eq!(
            halving(&[5.0, 4.0, 3.0, 2.0, 1.0]),
            [5.0, 4.0, 3.0, 2.0, 1.0],
            "the best trial so far continues"
        );
        assert_eq!(
            halving(&[1.0, 2.0, 3.0, 1.5, 4.0, 1.6, 1.4]),
            [1.0, 1.5, 1.4],
            "the second of 4 continues, the third of 6 is stopped"
        );
        assert_eq!(halving(&[1.0, 1.0, 1.0]), [1.0, 1.0, 1.0], "trials of equal cost share a rank");
        let rank = rank_at_rung(StoppingRule::Halving, &[1.0, 2.0, 3.0], 2.5);
        assert_eq!(rank, RungRank { rank: 3, reached: 4, limit: 2 });
    }

    #[test]
    fn the_median_rule_continues_every_cost_up_to_the_median() {
        for n in 1..9_usize {
            for place in 0..n {
                // Every rank among n different costs, and among costs that are equal in pairs.
                for costs in [(0..n).collect::<Vec<_>>(), (0..n).map(|i| i / 2).collect()] {
                    let costs: Vec<f64> = costs.into_iter().map(real).collect();
                    let median = (costs[(n - 1) / 2] + costs[n / 2]) / 2.0;
                    let mut others = costs.clone();
                    let cost = others.remove(place);
                    let continues = rank_at_rung(StoppingRule::Median, &others, cost).continues();
                    assert_eq!(continues, costs[place] <= median, "{place} of {costs:?}");
                }
            }
        }
    }
}
