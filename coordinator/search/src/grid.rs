//! Every combination of a few points per parameter: what random search is compared with.

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Domain, Parameter, Space};

use crate::{Ask, Observation, Sampler, Suggestion};

/// The points of a grid in order, the last parameter fastest. Points that differ in inactive parameters alone are one point.
#[derive(Debug)]
pub(crate) struct Grid {
    points: Vec<Assignment>,
}

impl Grid {
    /// A grid of at most `budget` points. Parameters without `points` get the same number each, the largest that fits.
    pub(crate) fn new(space: Space, budget: u32) -> Self {
        let sizes = sizes(&space, u64::from(budget));
        let axes: Vec<Vec<Value>> = space.parameters().iter().zip(&sizes).map(|(p, size)| axis(&p.domain, *size)).collect();
        let mut points = vec![Assignment::default()];
        for (parameter, values) in space.parameters().iter().zip(&axes) {
            points = points.iter().flat_map(|point| extend(&space, parameter, point, values)).collect();
        }
        let mut seen = BTreeSet::new();
        points.retain(|point| seen.insert(point.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>()));
        points.truncate(usize::try_from(budget).unwrap_or(usize::MAX));
        Self { points }
    }
}

impl Sampler for Grid {
    fn ask(&self, trial: u32, _log: &[Observation]) -> Ask {
        match usize::try_from(trial).ok().and_then(|i| self.points.get(i)) {
            Some(assignment) => Ask::Suggest(Suggestion {
                assignment: assignment.clone(),
                reason: Reason { source: Source::Grid, round: None, search_box: None },
            }),
            None => Ask::Exhausted,
        }
    }
}

fn extend(space: &Space, parameter: &Parameter, point: &Assignment, values: &[Value]) -> Vec<Assignment> {
    if !space.is_active(parameter, point) {
        return vec![point.clone()];
    }
    let with = |value: &Value| {
        let mut longer = point.clone();
        longer.insert(parameter.name.clone(), value.clone());
        longer
    };
    values.iter().map(with).collect()
}

/// How many points each parameter gets.
fn sizes(space: &Space, budget: u64) -> Vec<u64> {
    let with = |free: u64| -> Vec<u64> {
        let size = |p: &Parameter| match (&p.domain, p.points) {
            (_, Some(points)) => u64::from(points),
            (Domain::Choice { values }, None) => u64::try_from(values.len()).unwrap_or(u64::MAX),
            (domain @ (Domain::Float { .. } | Domain::Int { .. }), None) => free.min(domain.cardinality().unwrap_or(u64::MAX)),
        };
        space.parameters().iter().map(size).collect()
    };
    let total = |sizes: &[u64]| sizes.iter().fold(1u64, |product, n| product.saturating_mul(*n));
    let mut free = 1;
    while free < budget && total(&with(free + 1)) <= budget {
        free += 1;
    }
    with(free)
}

/// `size` values at equal distances on the scale, both ends among them; a single one lies in the middle.
fn axis(domain: &Domain, size: u64) -> Vec<Value> {
    let unit = |i: u64| match domain {
        Domain::Float { .. } if size > 1 => share(i, size - 1),
        Domain::Float { .. } => 0.5,
        // Whole numbers and choices own cells: the centre of every size-th part.
        Domain::Int { .. } | Domain::Choice { .. } => (share(i, size) + share(i + 1, size)) / 2.0,
    };
    (0..size).map(|i| domain.decode(unit(i))).collect()
}

#[expect(clippy::as_conversions, reason = "both are at most the budget")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
