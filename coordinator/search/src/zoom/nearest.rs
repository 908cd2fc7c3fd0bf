//! The results nearest to the centre of the box.
//!
//! The nearest results are kept from ask to ask, and only new results are compared while the centre
//! and the length scales stay the same. A new centre or new length scales compare all results, in
//! O(n). New length scales come at milestones, whose distances grow with the number of results. New
//! centres are rare late in a sweep. But with early stopping the expected costs of two trials may
//! be close, and each of them may be the better one again and again. So the lists of the last few
//! centres are kept.

use super::all_results::{AllResults, squared_distance};
use super::limits::MOST_RESULTS;
use crate::cube::Cube;

/// The most centres whose lists are kept.
const CENTRES: usize = 4;

/// The [`MOST_RESULTS`] results nearest to each of the last centres.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    /// 1 / length scale of each parameter.
    inverse: Vec<f64>,
    /// The list of the present centre comes first.
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    centre: usize,
    /// How many results have been compared.
    seen: usize,
    /// Squared distances and indices, sorted.
    nearest: Vec<(f64, usize)>,
}

impl Nearest {
    /// Adds the new results. Returns the indices of the nearest ones, which include the centre.
    pub(super) fn update(
        &mut self,
        cube: &Cube,
        results: &AllResults<'_>,
        centre: usize,
        length_scales: &[f64],
    ) -> Vec<usize> {
        let inverse: Vec<f64> = length_scales.iter().map(|scale| 1.0 / scale).collect();
        if self.inverse != inverse {
            *self = Self { inverse, lists: Vec::new() };
        }
        let known = self.lists.iter().position(|list| list.centre == centre);
        let mut list = match known {
            Some(known) => self.lists.remove(known),
            None => List { centre, seen: 0, nearest: Vec::new() },
        };
        list.update(cube, results, &self.inverse);
        let nearest = list.nearest.iter().map(|(_, index)| *index).collect();
        self.lists.insert(0, list);
        self.lists.truncate(CENTRES);
        nearest
    }
}

impl List {
    fn update(&mut self, cube: &Cube, results: &AllResults<'_>, inverse: &[f64]) {
        let centre = results.point(self.centre);
        for (index, point) in (self.seen..).zip(results.points_from(self.seen)) {
            let distance = squared_distance(centre, point, inverse, cube.is_choice());
            let is_full = self.nearest.len() >= MOST_RESULTS;
            if is_full && self.nearest.last().is_some_and(|last| last.0 <= distance) {
                continue;
            }
            let at = self.nearest.partition_point(|near| near.0 <= distance);
            self.nearest.insert(at, (distance, index));
            self.nearest.truncate(MOST_RESULTS);
        }
        self.seen = results.len();
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::scale::Scale;
    use caviar_common::seed::{Purpose, Seed};
    use caviar_common::space::{Domain, Parameter, Space};

    use super::super::earlier::EarlierResults;
    use super::*;
    use crate::history::History;
    use crate::ledger::Ledger;
    use crate::observation::{Observation, Stage};

    #[test]
    fn lists_of_earlier_centres_have_the_same_results_as_new_ones() {
        let float = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 };
        let parameter = |name: &str| Parameter {
            name: name.into(),
            domain: float.clone(),
            when: None,
            points: None,
        };
        let cube = Cube::new(Space::new(vec![parameter("x"), parameter("y")]).unwrap());
        let mut history = History::new(cube.space().clone());
        let (mut ledger, earlier) = (Ledger::default(), EarlierResults::default());
        let (mut nearest, mut stream) =
            (Nearest::default(), Seed::derive(1, 0, Purpose::Sample).stream(0));
        for step in 0..200 {
            for _ in 0..stream.below(40) {
                let point = [stream.uniform(), stream.uniform()];
                let trial = history.push_trial(&cube.decode(&point)).unwrap();
                history.push(Observation { trial, stage: Stage::Ended, cost: Some(1.0) }).unwrap();
            }
            ledger.absorb(&cube, &history);
            let results = AllResults::new(&cube, &ledger, &earlier);
            let centre = [3, 7, 3, 5, 20, 9, 11][step % 7].min(results.len().saturating_sub(1));
            let scales = if step < 120 { [0.5, 1.0] } else { [2.0, 0.1] };
            let fresh = Nearest::default().update(&cube, &results, centre, &scales);
            assert_eq!(nearest.update(&cube, &results, centre, &scales), fresh, "{step}");
            assert!(nearest.lists.len() <= CENTRES);
        }
    }
}
