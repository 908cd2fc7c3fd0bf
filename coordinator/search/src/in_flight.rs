//! The points of the trials in flight, which are kept from ask to ask.

use crate::cube::{Cube, Key};
use crate::history::History;
use crate::sorted::SortedList;

/// The trials in flight without an entry in the log.
///
/// Between two asks a few trials leave and a few are new, so only the new ones are encoded.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// In ascending order of the trials.
    trials: Vec<Trial>,
    keys: SortedList<Key>,
}

#[derive(Debug)]
struct Trial {
    number: u32,
    point: Vec<f64>,
    key: Key,
}

impl InFlight {
    /// Takes over the trials in flight, in ascending order. Their assignments must be those of the
    /// history, and they must not have changed since an earlier update.
    pub(crate) fn update(&mut self, cube: &Cube, history: &History, pending: &[u32]) {
        let mut known = std::mem::take(&mut self.trials).into_iter().peekable();
        for number in pending {
            while let Some(gone) = known.next_if(|trial| trial.number < *number) {
                self.keys.remove(&gone.key);
            }
            let trial = known.next_if(|trial| trial.number == *number).unwrap_or_else(|| {
                let point = cube.point(history, *number);
                let key = cube.key(&point);
                self.keys.insert(key);
                Trial { number: *number, point, key }
            });
            self.trials.push(trial);
        }
        for gone in known {
            self.keys.remove(&gone.key);
        }
    }

    /// The points, in the order of the trials' numbers.
    pub(crate) fn points(&self) -> impl DoubleEndedIterator<Item = &[f64]> + ExactSizeIterator {
        self.trials.iter().map(|trial| trial.point.as_slice())
    }

    /// True if a trial in flight has the point with this key.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::scale::Scale;
    use caviar_common::space::{Domain, Parameter, Space};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_update_has_the_same_points_as_a_new_list(
            lists in prop::collection::vec(prop::collection::btree_set(0..20u32, 0..12), 1..8),
        ) {
            let x = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 };
            let x = Parameter { name: "x".into(), domain: x, when: None, points: None };
            let cube = Cube::new(Space::new(vec![x]).unwrap());
            let mut history = History::new(cube.space().clone());
            // Some trials have the same point.
            let unit = |trial: u32| f64::from(trial % 15) / 16.0;
            for trial in 0..20 {
                history.push_trial(&cube.decode(&[unit(trial)])).unwrap();
            }
            let mut in_flight = InFlight::default();
            for list in lists {
                let pending: Vec<u32> = list.into_iter().collect();
                in_flight.update(&cube, &history, &pending);
                let units: Vec<f64> = pending.iter().map(|trial| unit(*trial)).collect();
                prop_assert!(in_flight.points().flatten().eq(&units));
                for trial in 0..20 {
                    let has = in_flight.has(&cube.key(&[unit(trial)]));
                    prop_assert_eq!(has, units.contains(&unit(trial)));
                }
            }
        }
    }
}
