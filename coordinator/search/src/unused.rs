//! Points that no trial has used yet, for when a strategy has no better suggestion.
//!
//! [`Unused::find`] first tries points of a scrambled Sobol sequence. If a thousand of them are
//! used, it walks through all points of the space, so a finite space is exhausted only when every
//! point has been used.
//!
//! Points of trials in the log stay used. So the next walk starts where this one met the first
//! point that no trial of the log has. Walking through a space of n points takes O(n) for the whole
//! sweep, and not for each ask.

use caviar_common::numbers::{real, to_usize};
use caviar_common::space::Domain;

use crate::cube::{Cube, INACTIVE, centre};
use crate::sobol::Sequence;

/// How many points of the sequence are tried before the whole space is searched.
const SEQUENCE_TRIES: u32 = 1_024;
/// The points of the sequence are tried within their block of this length, and after its end comes
/// its start.
const SEQUENCE_BLOCK: u32 = 65_536;
/// The walk through a float parameter first has this many steps ...
const FLOAT_STEPS: u64 = 131_072;
/// ... and then this many, all at other points: together more than a sweep has trials.
const FINE_FLOAT_STEPS: u64 = 16_777_216;

/// Finds unused points.
#[derive(Debug)]
pub(crate) struct Unused {
    sequence: Sequence,
    /// All points before this one are used by trials of the log.
    walk: Walk,
}

impl Unused {
    /// A search with the Sobol sequence of this scramble.
    pub(crate) fn new(cube: &Cube, scramble: u32) -> Self {
        let sequence = Sequence::new(cube.dimensions(), scramble);
        Self { sequence, walk: Walk::new(cube) }
    }

    /// Forgets which points the log has used.
    pub(crate) fn reset(&mut self, cube: &Cube) {
        self.walk = Walk::new(cube);
    }

    /// The snapped point with this index in the sequence.
    pub(crate) fn sobol_point(&self, cube: &Cube, index: u32) -> Vec<f64> {
        let mut point = self.sequence.point(index);
        cube.snap(&mut point);
        point
    }

    /// The first free point of the sequence from `index` on, or else the first free point of the
    /// space. Returns `None` if no point is free. `is_used` says which points a trial of the log
    /// has; these are never free.
    pub(crate) fn find(
        &mut self,
        cube: &Cube,
        index: u32,
        is_free: &dyn Fn(&[f64]) -> bool,
        is_used: &dyn Fn(&[f64]) -> bool,
    ) -> Option<Vec<f64>> {
        let (block, first) = (index - index % SEQUENCE_BLOCK, index % SEQUENCE_BLOCK);
        let indices = (0..SEQUENCE_TRIES).map(|i| block + (first + i) % SEQUENCE_BLOCK);
        let mut points = indices.map(|index| self.sobol_point(cube, index));
        if let Some(point) = points.find(|point| is_free(point)) {
            return Some(point);
        }
        while self.walk.point().is_some_and(is_used) {
            self.walk.advance(cube);
        }
        let mut walk = self.walk.clone();
        while walk.point().is_some_and(|point| !is_free(point)) {
            walk.advance(cube);
        }
        walk.point().map(<[f64]>::to_vec)
    }
}

/// A walk through all points of a space, on which the last parameter changes fastest.
#[derive(Clone, Debug)]
struct Walk {
    point: Vec<f64>,
    /// For each parameter, its step; `None` if it is inactive.
    steps: Vec<Option<u64>>,
    is_over: bool,
}

impl Walk {
    fn new(cube: &Cube) -> Self {
        let dimensions = cube.dimensions();
        let (point, steps) = (vec![INACTIVE; dimensions], vec![None; dimensions]);
        let mut walk = Self { point, steps, is_over: false };
        walk.start_from(cube, 0);
        walk
    }

    /// The present point; `None` after the last one.
    fn point(&self) -> Option<&[f64]> {
        (!self.is_over).then_some(&self.point)
    }

    /// Goes to the next point.
    fn advance(&mut self, cube: &Cube) {
        let parameters = cube.space().parameters().iter().zip(&self.steps).enumerate();
        let next = parameters.rev().find_map(|(j, (parameter, step))| {
            let next = step.as_ref()? + 1;
            (next < step_count(&parameter.domain)).then_some((j, next))
        });
        match next {
            Some((j, step)) => {
                self.set(cube, j, Some(step));
                self.start_from(cube, j + 1);
            }
            None => self.is_over = true,
        }
    }

    /// Sets all parameters from `first` on to their first step, if they are active.
    fn start_from(&mut self, cube: &Cube, first: usize) {
        let bit = |(j, step): (usize, &Option<u64>)| u64::from(step.is_some()) << j;
        let mut active = self.steps.iter().take(first).enumerate().map(bit).sum();
        for j in first..self.steps.len() {
            let step = cube.is_active(j, &self.point, active).then_some(0);
            active |= u64::from(step.is_some()) << j;
            self.set(cube, j, step);
        }
    }

    fn set(&mut self, cube: &Cube, j: usize, new: Option<u64>) {
        let Some(parameter) = cube.space().parameters().get(j) else { return };
        if let (Some(unit), Some(step)) = (self.point.get_mut(j), self.steps.get_mut(j)) {
            *unit = new.map_or(INACTIVE, |new| coordinate(&parameter.domain, new));
            *step = new;
        }
    }
}

/// The number of steps of the walk through a domain.
fn step_count(domain: &Domain) -> u64 {
    domain.cardinality().unwrap_or(FLOAT_STEPS + FINE_FLOAT_STEPS)
}

/// The coordinate of a step of the walk through a domain.
fn coordinate(domain: &Domain, step: u64) -> f64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => {
            let (step, steps) = match step.checked_sub(FLOAT_STEPS) {
                Some(fine) => (fine, FINE_FLOAT_STEPS),
                None => (step, FLOAT_STEPS),
            };
            (real(to_usize(step)) + 0.5) / real(to_usize(steps))
        }
        Domain::Float { .. } | Domain::Int { .. } | Domain::Choice { .. } => centre(domain, step),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use caviar_common::assignment::Value;
    use caviar_common::scale::Scale;
    use caviar_common::space::{Condition, Holds, Parameter, Space};

    use super::*;
    use crate::cube::Key;

    fn parameter(name: &str, domain: Domain, when: Option<(&str, i64)>) -> Parameter {
        let when = when.map(|(parent, value)| Condition {
            parameter: parent.into(),
            holds: Holds::AtLeast(value),
        });
        Parameter { name: name.into(), domain, when, points: None }
    }

    fn int(low: i64, high: i64) -> Domain {
        Domain::Int { scale: Scale::Linear, low, high }
    }

    /// A space of 5 + 5 * (2 + 2 * 3) = 45 points.
    fn finite() -> Cube {
        let choice = Domain::Choice { values: (0..5).map(Value::Int).collect() };
        let parameters = vec![
            parameter("a", int(1, 2), None),
            parameter("b", int(1, 4), Some(("a", 2))),
            parameter("c", int(1, 3), Some(("b", 3))),
            parameter("d", choice, None),
        ];
        Cube::new(Space::new(parameters).unwrap())
    }

    #[test]
    fn a_walk_visits_every_point_once_with_the_last_parameter_first() {
        let cube = finite();
        let (mut walk, mut names) = (Walk::new(&cube), Vec::new());
        while let Some(point) = walk.point() {
            let values = cube.decode(point);
            names.push(values.iter().map(|(_, v)| v.to_string()).collect::<String>());
            walk.advance(&cube);
        }
        assert_eq!(names.len(), 45);
        assert_eq!(names[..7], ["10", "11", "12", "13", "14", "210", "211"]);
        assert_eq!(names[44], "2434");
        assert!(names.iter().collect::<BTreeSet<_>>().len() == 45 && names.is_sorted());
    }

    /// Points are taken, and each of them is used by the log only after ten others.
    #[test]
    fn every_point_of_a_space_is_found_once() {
        let cube = finite();
        let mut unused = Unused::new(&cube, 3);
        let taken: RefCell<Vec<Key>> = RefCell::default();
        let is_free = |point: &[f64]| !taken.borrow().contains(&cube.key(point));
        let is_used = |point: &[f64]| {
            let taken = taken.borrow();
            taken[..taken.len().saturating_sub(10)].contains(&cube.key(point))
        };
        for index in 0..45 {
            let point = unused.find(&cube, index, &is_free, &is_used).unwrap();
            assert!(is_free(&point), "{index}");
            taken.borrow_mut().push(cube.key(&point));
        }
        assert_eq!(unused.find(&cube, 45, &is_free, &is_used), None);
        taken.borrow_mut().pop();
        assert!(unused.find(&cube, 46, &is_free, &is_used).is_some());
    }

    #[test]
    fn a_float_has_more_points_than_a_sweep_has_trials() {
        let float = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 };
        let cube = Cube::new(Space::new(vec![parameter("x", float.clone(), None)]).unwrap());
        assert!(step_count(&float) > 10_000_000 + 4_096);
        let steps = (0..step_count(&float)).step_by(17);
        let mut keys: Vec<Key> = steps.map(|step| cube.key(&[coordinate(&float, step)])).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
