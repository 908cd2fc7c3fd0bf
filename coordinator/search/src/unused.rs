//! Points that were not tried yet, where the search has no better idea.

use caviar_common::space::Domain;

use crate::coded::{Coded, PARKED, level, whole};

/// The length of the sequence.
const POINTS: u32 = 65_536;
/// How far the sequence is searched before all points are gone through.
const TRIES: u32 = 1_024;
/// A range of numbers is gone through in so many steps: more than there are trials.
const STEPS: u64 = 131_072;

/// Point number `index` of the scrambled Sobol sequence.
pub(super) fn sobol(coded: &Coded, scramble: u32, index: u32) -> Vec<f64> {
    let dimensions = (0u32..).take(coded.dimensions());
    let mut point: Vec<f64> =
        dimensions.map(|d| f64::from(sobol_burley::sample(index % POINTS, d, scramble))).collect();
    coded.snap(&mut point);
    point
}

/// The next point of the sequence from `index` that is free, or else the first free one of the
/// space; none where all were used.
pub(super) fn next(
    coded: &Coded,
    scramble: u32,
    index: u32,
    free: &dyn Fn(&[f64]) -> bool,
) -> Option<Vec<f64>> {
    let sequence = (0..TRIES).map(|i| sobol(coded, scramble, index.wrapping_add(i)));
    sequence.into_iter().find(|point| free(point)).or_else(|| {
        let mut point = vec![PARKED; coded.dimensions()];
        descend(coded, 0, 0, &mut point, free).then_some(point)
    })
}

/// Goes through the values of parameter `j` and of those after it until the point is free.
fn descend(
    coded: &Coded,
    j: usize,
    active: u64,
    point: &mut [f64],
    free: &dyn Fn(&[f64]) -> bool,
) -> bool {
    let Some(domain) = coded.space().parameters().get(j).map(|p| &p.domain) else {
        return free(point);
    };
    if !coded.is_active(j, point, active) {
        set(point, j, PARKED);
        return descend(coded, j + 1, active, point, free);
    }
    (0..steps(domain)).any(|i| {
        set(point, j, step(domain, i));
        descend(coded, j + 1, active | 1 << j, point, free)
    })
}

fn set(point: &mut [f64], j: usize, unit: f64) {
    if let Some(place) = point.get_mut(j) {
        *place = unit;
    }
}

fn steps(domain: &Domain) -> u64 {
    domain.cardinality().unwrap_or(STEPS)
}

fn step(domain: &Domain, i: u64) -> f64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => (whole(i) + 0.5) / whole(STEPS),
        Domain::Float { .. } | Domain::Int { .. } | Domain::Choice { .. } => level(domain, i),
    }
}
