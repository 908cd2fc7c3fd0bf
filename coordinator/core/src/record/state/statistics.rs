//! What is known of the trials of a sweep as a whole. Every figure is updated with each event, so
//! that a view of a sweep costs the same early and late in it.

use caviar_common::ids::TrialNumber;
use caviar_common::merit::Merit;
use caviar_common::numbers::{index, to_u32};
use caviar_common::outcome::TrialState;
use caviar_common::reason::{Reason, SearchBox};
use caviar_common::view::{Counts, MAX_BOXES};
use serde::{Deserialize, Serialize};

/// Boxes that are kept of a sweep: far more than [`MAX_BOXES`], so that those which are shown are
/// almost evenly spaced.
const KEPT_BOXES: usize = 64;

/// Counts, the best trial, and what the strategies show of their search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    pub(in crate::record) counts: Counts,
    /// The best trial that no rung can stop any more.
    pub(in crate::record) best: Option<Merit>,
    pub(in crate::record) rounds: Vec<RoundStatistics>,
    pub(in crate::record) boxes: Boxes,
    /// Trials in flight that have ended and wait for their decision.
    pub(in crate::record) ended_in_flight: u32,
    pub(in crate::record) retrained: u64,
}

/// One round of the strategy `rounds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundStatistics {
    pub(in crate::record) finished: u32,
    pub(in crate::record) search_box: Option<SearchBox>,
    /// The lowest cost and its objective.
    pub(in crate::record) best: Option<(f64, f64)>,
}

/// A sample of the boxes in which a search without rounds looked: every box whose place is a
/// multiple of `stride`, and the latest one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boxes {
    stride: usize,
    /// How many boxes there were.
    count: usize,
    kept: Vec<(TrialNumber, SearchBox)>,
    latest: Option<(TrialNumber, SearchBox)>,
}

impl Default for Boxes {
    fn default() -> Self {
        Self { stride: 1, count: 0, kept: Vec::new(), latest: None }
    }
}

impl Statistics {
    pub(in crate::record) fn new(rounds: usize) -> Self {
        Self {
            counts: Counts::default(),
            best: None,
            rounds: vec![RoundStatistics::default(); rounds],
            boxes: Boxes::default(),
            ended_in_flight: 0,
            retrained: 0,
        }
    }

    /// How many trials are in each state.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The strategy's rounds, in order; empty for other strategies.
    pub fn rounds(&self) -> &[RoundStatistics] {
        &self.rounds
    }

    /// The boxes in which a search without rounds looked.
    pub const fn boxes(&self) -> &Boxes {
        &self.boxes
    }

    /// How many epochs were trained again.
    pub const fn retrained_epochs(&self) -> u64 {
        self.retrained
    }

    /// How many trials in flight have ended and wait for their decision.
    pub const fn ended_in_flight(&self) -> u32 {
        self.ended_in_flight
    }

    /// Counts a new trial.
    pub(in crate::record) fn add(&mut self, trial: TrialNumber, reason: &Reason) {
        self.counts.queued += 1;
        match (reason.round, &reason.search_box) {
            (Some(_), search_box) => {
                if let Some(round) = self.round_mut(reason) {
                    round.search_box = round.search_box.take().or_else(|| search_box.clone());
                }
            }
            (None, Some(search_box)) => self.boxes.push(trial, search_box.clone()),
            (None, None) => {}
        }
    }

    /// Counts a change of a trial's state. `reason` is why the trial was chosen.
    pub(in crate::record) fn change(&mut self, reason: &Reason, from: TrialState, to: TrialState) {
        *self.counts.counter_mut(from) -= 1;
        *self.counts.counter_mut(to) += 1;
        let is_end = !from.is_final() && to.is_final() && to != TrialState::Cancelled;
        if is_end && let Some(round) = self.round_mut(reason) {
            round.finished += 1;
        }
    }

    /// Takes the final merit and objective of a trial that no rung can stop any more.
    pub(in crate::record) fn settle(&mut self, merit: Merit, reason: &Reason, objective: f64) {
        let cost = merit.cost;
        if self.best.is_none_or(|best| merit.order(&best).is_lt()) {
            self.best = Some(merit);
        }
        if let Some(round) = self.round_mut(reason)
            && round.best.is_none_or(|(best, _)| cost.total_cmp(&best).is_lt())
        {
            round.best = Some((cost, objective));
        }
    }

    fn round_mut(&mut self, reason: &Reason) -> Option<&mut RoundStatistics> {
        self.rounds.get_mut(index(reason.round?).checked_sub(1)?)
    }
}

impl RoundStatistics {
    /// How many of the round's trials are finished.
    pub const fn finished(&self) -> u32 {
        self.finished
    }

    /// The box in which the round searches; `None` before it begins.
    pub const fn search_box(&self) -> Option<&SearchBox> {
        self.search_box.as_ref()
    }

    /// The round's best objective; `None` before a trial of it is completed.
    pub fn best(&self) -> Option<f64> {
        self.best.map(|(_, objective)| objective)
    }
}

impl Boxes {
    fn push(&mut self, trial: TrialNumber, search_box: SearchBox) {
        if self.count.is_multiple_of(self.stride) {
            self.kept.push((trial, search_box.clone()));
        }
        if self.kept.len() > KEPT_BOXES {
            self.stride = self.stride.saturating_mul(2);
            let mut place = 0_usize;
            self.kept.retain(|_| {
                place += 1;
                !place.is_multiple_of(2)
            });
        }
        self.latest = Some((trial, search_box));
        self.count += 1;
    }

    /// At most [`MAX_BOXES`] of the boxes with their trials, from the first to the latest and
    /// almost evenly spaced: exactly so for up to 64 boxes.
    pub fn shown(&self) -> Vec<(TrialNumber, SearchBox)> {
        let Some(last) = self.count.checked_sub(1) else { return Vec::new() };
        let mut places: Vec<usize> = (0..MAX_BOXES).map(|i| i * last / (MAX_BOXES - 1)).collect();
        places.dedup();
        let at = |place: usize| {
            if place == last {
                self.latest.clone()
            } else {
                self.kept.get(place / self.stride).cloned()
            }
        };
        places.into_iter().filter_map(at).collect()
    }

    /// How many boxes there were.
    pub fn count(&self) -> u32 {
        to_u32(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_boxes_are_spaced_evenly_over_the_search() {
        let shown = |count: u32| -> Vec<u32> {
            let mut boxes = Boxes::default();
            for trial in 0..count {
                boxes.push(TrialNumber(trial), SearchBox { sides: Vec::new() });
                assert!(boxes.kept.len() <= KEPT_BOXES);
            }
            boxes.shown().into_iter().map(|(trial, _)| trial.0).collect()
        };
        assert!(shown(0).is_empty());
        assert_eq!(shown(1), [0]);
        assert_eq!(shown(3), [0, 1, 2]);
        assert_eq!(shown(64), [0, 21, 42, 63]);
        assert_eq!(shown(1_000), [0, 320, 656, 999], "multiples of 16 near 333 and 666");
        assert_eq!(shown(100_000).last(), Some(&99_999));
    }
}
