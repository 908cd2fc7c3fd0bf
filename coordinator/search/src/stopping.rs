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

/// How a trial stands at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its rank, from 1; equals share one.
    pub rank: u32,
    /// Trials that came to the rung so far, this one included.
    pub of: u32,
    /// Whether it trains on.
    pub goes_on: bool,
}

/// How a trial with this `cost` stands among those that came to the rung `before` it. One that has
/// no finite cost there has infinity.
///
/// Halving: it goes on if it is in the best third. Median (after Golovin et al., "Google Vizier",
/// 2017): if it is not worse than the median. The first to come goes on in any case.
pub fn standing(rule: StoppingRule, before: impl IntoIterator<Item = f64>, cost: f64) -> Standing {
    let (mut of, mut better) = (1_u32, 0_u32);
    for earlier in before {
        of = of.saturating_add(1);
        better = better.saturating_add(u32::from(earlier < cost));
    }
    let goes_on = match rule {
        StoppingRule::None => true,
        StoppingRule::Halving => better < of.div_ceil(REDUCTION),
        // A value is at most the median, the mean of the middle two where there are two, exactly if
        // fewer than half are below it.
        StoppingRule::Median => better < of.div_ceil(2),
    };
    Standing { rank: better.saturating_add(1), of, goes_on }
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
        let goes_on =
            |(i, cost): &(usize, &f64)| standing(rule, costs[..*i].iter().copied(), **cost).goes_on;
        costs.iter().enumerate().filter(goes_on).map(|(_, cost)| *cost).collect()
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
        let standing = standing(StoppingRule::Halving, [1.0, 2.0, 3.0], 2.5);
        assert_eq!(standing, Standing { rank: 3, of: 4, goes_on: false });
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
                    let goes_on = standing(StoppingRule::Median, others, costs[place]).goes_on;
                    assert_eq!(goes_on, costs[place] <= median, "{place} of {costs:?}");
                }
            }
        }
    }
}
