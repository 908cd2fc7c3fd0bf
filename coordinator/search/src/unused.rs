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
