//! Early stopping: the epochs at which trials are compared, and which of them go on.
//!
//! Asynchronous: a trial is compared with those that came to the same rung before it, and waits for
//! none (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020).

use caviar_common::spec::StoppingRule;

/// Each rung has this many times the epochs of the one before, and one in so many goes on from it
/// under [`StoppingRule::Halving`].
const REDUCTION: u32 = 3;
/// The first rung is at this share of the epochs, but not before [`FEWEST_EPOCHS`].
const FIRST_SHARE: u32 = 16;
/// Epochs after which a curve says something.
const FEWEST_EPOCHS: u32 = 2;

/// The epochs, from 1, at which the trials of a sweep are compared, ascending. `epochs` is the most
/// that any of them trains; a rung is before a trial's last epoch, so a trial of fewer epochs comes
/// to fewer rungs.
pub fn rungs(rule: StoppingRule, epochs: u32) -> Vec<u32> {
    let first = match rule {
        StoppingRule::None => None,
        StoppingRule::Halving | StoppingRule::Median => {
            Some((epochs / FIRST_SHARE).max(FEWEST_EPOCHS))
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
    /// True if the trial trains past the rung, false if it is stopped there.
    pub continues: bool,
}

/// Ranks a trial of this `cost` among the trials that reached the rung earlier, whose costs are
/// `earlier`. A trial without a finite cost at the rung has the cost infinity.
pub fn rank_at_rung(
    rule: StoppingRule,
    earlier: impl IntoIterator<Item = f64>,
    cost: f64,
) -> RungRank {
    let (mut reached, mut better) = (1_u32, 0_u32);
    for other in earlier {
        reached = reached.saturating_add(1);
        better = better.saturating_add(u32::from(other < cost));
    }
    let continues = match rule {
        StoppingRule::None => true,
        StoppingRule::Halving => better < reached.div_ceil(REDUCTION),
        // The median of an even number of costs is the mean of the middle two. A cost is at most
        // the median exactly if fewer than half of the costs, rounded up, are below it.
        StoppingRule::Median => better < reached.div_ceil(2),
    };
    RungRank { rank: better.saturating_add(1), reached, continues }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_begin_at_a_sixteenth_and_triple() {
        let rungs = |epochs| rungs(StoppingRule::Halving, epochs);
        assert_eq!(rungs(30), [2, 6, 18]);
        assert_eq!(rungs(100), [6, 18, 54]);
        assert_eq!(rungs(16), [2, 6]);
        assert_eq!(
            (rungs(18), rungs(19)),
            (vec![2, 6], vec![2, 6, 18]),
            "a rung is before the last epoch"
        );
        for epochs in 0..=2 {
            assert!(rungs(epochs).is_empty(), "{epochs}");
        }
        assert_eq!(rungs(u32::MAX).len(), 3);
        assert!(super::rungs(StoppingRule::None, 100).is_empty());
    }

    /// Which of these costs go on, in the order in which they come.
    fn survivors(rule: StoppingRule, costs: &[f64]) -> Vec<f64> {
        let continues = |(i, cost): &(usize, &f64)| {
            rank_at_rung(rule, costs[..*i].iter().copied(), **cost).continues
        };
        costs.iter().enumerate().filter(continues).map(|(_, cost)| *cost).collect()
    }

    #[test]
    fn halving_keeps_the_best_third_of_what_came_so_far() {
        let halving = |costs: &[f64]| survivors(StoppingRule::Halving, costs);
        assert_eq!(
            halving(&[5.0, 4.0, 3.0, 2.0, 1.0]),
            [5.0, 4.0, 3.0, 2.0, 1.0],
            "always the best so far"
        );
        assert_eq!(
            halving(&[1.0, 2.0, 3.0, 1.5, 4.0, 1.6, 1.4]),
            [1.0, 1.5, 1.4],
            "of 4 the second goes on, of 6 the third does not"
        );
        assert_eq!(halving(&[1.0, 1.0, 1.0]), [1.0, 1.0, 1.0], "equals are not better");
        let rank = rank_at_rung(StoppingRule::Halving, [1.0, 2.0, 3.0], 2.5);
        assert_eq!(rank, RungRank { rank: 3, reached: 4, continues: false });
    }

    #[test]
    fn the_median_keeps_what_is_not_worse_than_it() {
        for n in 1..9_usize {
            for place in 0..n {
                // Every place among n different costs, and among costs of which two are equal.
                for costs in [(0..n).collect::<Vec<_>>(), (0..n).map(|i| i / 2).collect()] {
                    let costs: Vec<f64> = costs.into_iter().map(crate::real).collect();
                    let median = (costs[(n - 1) / 2] + costs[n / 2]) / 2.0;
                    let others = costs
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| *i != place)
                        .map(|(_, cost)| *cost);
                    let continues =
                        rank_at_rung(StoppingRule::Median, others, costs[place]).continues;
                    assert_eq!(continues, costs[place] <= median, "{place} of {costs:?}");
                }
            }
        }
    }
}
