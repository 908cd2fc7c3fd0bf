//! Points that no trial has used yet, for when a strategy has no better suggestion.
//!
//! [`next_unused`] first tries points of a scrambled Sobol sequence. If a thousand of them are
//! used, it walks through all points of the space, so a finite space is exhausted only when every
//! point has been used.

use caviar_common::numbers::{real, to_usize};
use caviar_common::space::Domain;

use crate::cube::{Cube, INACTIVE, centre};

/// The length of the Sobol sequence in the library.
const SEQUENCE_LENGTH: u32 = 65_536;
/// How many points of the sequence are tried before the whole space is searched.
const SEQUENCE_TRIES: u32 = 1_024;
/// The walk through a float parameter has this many steps: more than a sweep has trials.
const FLOAT_STEPS: u64 = 131_072;

/// The snapped point with this index in the scrambled Sobol sequence.
pub(crate) fn sobol_point(cube: &Cube, scramble: u32, index: u32) -> Vec<f64> {
    let coordinate =
        |dimension| f64::from(sobol_burley::sample(index % SEQUENCE_LENGTH, dimension, scramble));
    let mut point: Vec<f64> = (0u32..).take(cube.dimensions()).map(coordinate).collect();
    cube.snap(&mut point);
    point
}

/// The first free point of the Sobol sequence from `index` on, or else the first free point of the
/// space. Returns `None` if no point is free.
pub(crate) fn next_unused(
    cube: &Cube,
    scramble: u32,
    index: u32,
    is_free: &dyn Fn(&[f64]) -> bool,
) -> Option<Vec<f64>> {
    let sequence = (0..SEQUENCE_TRIES).map(|i| sobol_point(cube, scramble, index.wrapping_add(i)));
    sequence.into_iter().find(|point| is_free(point)).or_else(|| {
        let mut point = vec![INACTIVE; cube.dimensions()];
        descend(cube, 0, 0, &mut point, is_free).then_some(point)
    })
}

/// Tries all values of the parameters from `j` on until the point is free. Returns false if it
/// never is. The bits of `active` say which parameters before `j` are active.
fn descend(
    cube: &Cube,
    j: usize,
    active: u64,
    point: &mut [f64],
    is_free: &dyn Fn(&[f64]) -> bool,
) -> bool {
    let Some(domain) = cube.space().parameters().get(j).map(|p| &p.domain) else {
        return is_free(point);
    };
    if !cube.is_active(j, point, active) {
        set(point, j, INACTIVE);
        return descend(cube, j + 1, active, point, is_free);
    }
    (0..domain.cardinality().unwrap_or(FLOAT_STEPS)).any(|step| {
        set(point, j, coordinate(domain, step));
        descend(cube, j + 1, active | 1 << j, point, is_free)
    })
}

fn set(point: &mut [f64], j: usize, unit: f64) {
    if let Some(coordinate) = point.get_mut(j) {
        *coordinate = unit;
    }
}

/// The coordinate of a step of the walk through a domain.
fn coordinate(domain: &Domain, step: u64) -> f64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => {
            (real(to_usize(step)) + 0.5) / real(to_usize(FLOAT_STEPS))
        }
        Domain::Float { .. } | Domain::Int { .. } | Domain::Choice { .. } => centre(domain, step),
    }
}
