//! From the log to one result per trial, with an expected final cost for trials that are not
//! trained to their end.
//!
//! A trial at a rung is expected to change from there to its end as other trials did.
//! Let c be its cost at its last rung k, and let g(i) be the median, over the trials that have
//! passed rung i and were measured after it, of the change of cost from rung i to the next rung or
//! the end. The expected final cost is
//!
//! ```text
//! c + g(k) + g(k + 1) + ...
//! ```
//!
//! Example: two trials fell from 8 to 5 and from 6 to 5 between rung 0 and rung 1, so g(0) is the
//! median of -3 and -1, which is -2. One of them ended at 4, so g(1) = -1. A third trial was
//! stopped at rung 0 with cost 9. Its expected final cost is 9 - 2 - 1 = 6.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use caviar_common::numbers::{index, to_u32};

use crate::history::History;
use crate::observation::{Observation, Stage};
use crate::sorted::{SortedList, TotalF64};

/// The latest decision on a trial, and the final cost that follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialResult {
    /// The trial's latest entry in the log.
    pub latest: Observation,
    /// The trial's final cost, or the expected one if [`Self::is_provisional`]. It is `None` for a
    /// trial that diverged, failed, or has no finite cost at its last rung.
    pub cost: Option<f64>,
}

impl TrialResult {
    /// True if the log gets no further entry for the trial.
    pub const fn is_over(&self) -> bool {
        !matches!(self.latest.stage, Stage::Passed(_))
    }

    /// True if the cost is an expectation because the trial was not trained to its end.
    pub const fn is_provisional(&self) -> bool {
        !matches!(self.latest.stage, Stage::Ended)
    }
}

/// The results of the trials in the log, in the order of their first entries. See the
/// [module's description](self) for the expected cost. The time is O(n log n) for n entries.
pub fn results(history: &History) -> Vec<TrialResult> {
    each_result(history).collect()
}

/// The same as [`results`], one after the other. It needs eight bytes for each trial, and eight for
/// each rung that a trial has passed.
pub fn each_result(history: &History) -> impl Iterator<Item = TrialResult> {
    let mut gains: BTreeMap<u32, Vec<TotalF64>> = BTreeMap::new();
    let latest = latest_with(history, |known, entry| {
        if let (Stage::Passed(rung), Some(before), Some(after)) =
            (known.stage, known.cost, entry.cost)
        {
            gains.entry(rung).or_default().push(TotalF64(after - before));
        }
    });
    let median = |gains: Vec<TotalF64>| median(&SortedList::from(gains));
    let gains: Vec<(u32, f64)> =
        gains.into_iter().map(|(rung, gains)| (rung, median(gains))).collect();
    let gain_from = move |rung: u32| {
        gains.iter().filter(|(from, _)| *from >= rung).map(|(_, gain)| gain).sum::<f64>()
    };
    let entries = latest.into_iter().filter_map(|position| history.entry(index(position)));
    entries.map(move |latest| TrialResult { cost: expected_cost(&latest, &gain_from), latest })
}

/// The latest entry of each trial, in the order of their first entries.
pub(crate) fn latest(history: &History) -> impl Iterator<Item = Observation> {
    let latest = latest_with(history, |_, _| {});
    latest.into_iter().filter_map(|position| history.entry(index(position)))
}

/// The positions of the same entries. Calls `step` with each entry that is not the first of its
/// trial, and the one before.
fn latest_with(history: &History, mut step: impl FnMut(&Observation, &Observation)) -> Vec<u32> {
    let mut places: Vec<Option<NonZeroU32>> = vec![None; index(history.trials())];
    let mut latest: Vec<u32> = Vec::new();
    for (position, entry) in (0..).zip(history.entries()) {
        let Some(place) = places.get_mut(index(entry.trial)) else { continue };
        match place.and_then(|place| latest.get_mut(index(place.get() - 1))) {
            Some(known) => {
                if let Some(known) = history.entry(index(*known)) {
                    step(&known, &entry);
                }
                *known = position;
            }
            None => {
                latest.push(position);
                *place = NonZeroU32::new(to_u32(latest.len()));
            }
        }
    }
    latest
}

fn expected_cost(latest: &Observation, gain_from: &impl Fn(u32) -> f64) -> Option<f64> {
    match latest.stage {
        Stage::Passed(rung) | Stage::Stopped(rung) => {
            latest.cost.map(|cost| cost + gain_from(rung))
        }
        Stage::Ended => latest.cost,
    }
}

/// The median of a list: the middle value, or the mean of the middle two. The median of an empty
/// list is 0.
pub(crate) fn median(sorted: &SortedList<TotalF64>) -> f64 {
    let at = |position: usize| sorted.nth(position).map_or(0.0, |value| value.0);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    if low == high { at(high) } else { (at(low) + at(high)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Assignment;
    use caviar_common::space::Space;

    use super::*;

    fn entry(trial: u32, stage: Stage, cost: f64) -> Observation {
        Observation { trial, stage, cost: cost.is_finite().then_some(cost) }
    }

    #[test]
    fn a_trial_at_a_rung_is_expected_to_change_as_other_trials_did() {
        use Stage::{Ended, Passed, Stopped};
        let log = [
            entry(0, Passed(0), 8.0),
            entry(1, Passed(0), 6.0),
            entry(2, Stopped(0), 9.0),
            entry(0, Passed(1), 5.0),
            entry(1, Passed(1), 5.0),
            entry(0, Ended, 4.0),
            entry(3, Ended, f64::NAN),
        ];
        let mut history = History::new(Space::default());
        (0..4).for_each(|_| history.push_trial(&Assignment::default()).map(|_| ()).unwrap());
        log.into_iter().for_each(|entry| history.push(entry).unwrap());
        let results = results(&history);
        let costs: Vec<Option<f64>> = results.iter().map(|r| r.cost).collect();
        // The changes from rung 0 to rung 1 are -3 and -1, and from rung 1 to the end -1.
        assert_eq!(costs, [Some(4.0), Some(4.0), Some(6.0), None]);
        assert_eq!(
            results.iter().map(TrialResult::is_provisional).collect::<Vec<_>>(),
            [false, true, true, false]
        );
        assert_eq!(
            results.iter().map(TrialResult::is_over).collect::<Vec<_>>(),
            [true, false, true, true]
        );
    }
}
