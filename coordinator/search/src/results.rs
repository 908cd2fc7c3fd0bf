//! From the log to one result per trial.

use std::collections::BTreeMap;

use crate::{Observation, Stage};

/// What is known of a trial's final cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialResult<'a> {
    /// The trial's latest entry in the log.
    pub latest: &'a Observation,
    /// Its final cost, or what it is expected to become; none for a trial that diverged, failed, or
    /// had no finite value at its last rung.
    pub cost: Option<f64>,
}

impl TrialResult<'_> {
    /// Whether nothing more comes of the trial.
    pub const fn is_over(&self) -> bool {
        !matches!(self.latest.stage, Stage::Passed(_))
    }

    /// Whether its cost is an expectation: the trial was not trained to its end.
    pub const fn is_provisional(&self) -> bool {
        !matches!(self.latest.stage, Stage::Ended)
    }
}

/// The trials of the log in the order of their first entries.
///
/// The provisional cost of a trial that was not trained to its end is its cost at its last rung,
/// plus for each later rung (the last of which is the end) the median gain from the rung before, of
/// the trials that passed both.
pub fn results(log: &[Observation]) -> Vec<TrialResult<'_>> {
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut latest: Vec<&Observation> = Vec::new();
    let mut gains: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for observation in log {
        match places.get(&observation.trial).and_then(|place| latest.get_mut(*place)) {
            Some(known) => {
                if let (Stage::Passed(rung), Some(before), Some(after)) =
                    (known.stage, known.cost, observation.cost)
                {
                    gains.entry(rung).or_default().push(after - before);
                }
                *known = observation;
            }
            None => {
                places.insert(observation.trial, latest.len());
                latest.push(observation);
            }
        }
    }
    let gains: Vec<(u32, f64)> =
        gains.into_iter().map(|(rung, gains)| (rung, median(gains))).collect();
    let from = |rung: u32| {
        gains.iter().filter(|(from, _)| *from >= rung).map(|(_, gain)| gain).sum::<f64>()
    };
    let result = |latest| TrialResult { latest, cost: expected(latest, from) };
    latest.into_iter().map(result).collect()
}

fn expected(latest: &Observation, gain_from: impl Fn(u32) -> f64) -> Option<f64> {
    match latest.stage {
        Stage::Passed(rung) | Stage::Stopped(rung) => {
            latest.cost.map(|cost| cost + gain_from(rung))
        }
        Stage::Ended => latest.cost,
    }
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let above = values.get(middle).copied().unwrap_or_default();
    let below = if values.len().is_multiple_of(2) {
        middle.checked_sub(1).and_then(|i| values.get(i)).copied()
    } else {
        None
    };
    below.map_or(above, |below| (below + above) / 2.0)
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Assignment;

    use super::*;

    fn entry(trial: u32, stage: Stage, cost: f64) -> Observation {
        Observation {
            trial,
            assignment: Assignment::default(),
            stage,
            cost: cost.is_finite().then_some(cost),
        }
    }

    #[test]
    fn a_trial_that_is_not_over_is_expected_to_gain_what_others_gained() {
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
        let results = results(&log);
        let costs: Vec<Option<f64>> = results.iter().map(|r| r.cost).collect();
        // From rung 0 to 1 the gains are -3 and -1, from there to the end -1.
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
