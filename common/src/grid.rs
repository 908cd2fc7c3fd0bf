//! The points of a grid along one parameter, and how many a whole grid has.

use crate::assignment::Value;
use crate::space::{Domain, Parameter, Space};

/// The points along a parameter: its `points`, every choice, or `free` where the grid may choose.
pub fn axis(parameter: &Parameter, free: u64) -> Vec<Value> {
    let domain = &parameter.domain;
    let size = size(parameter, free);
    let unit = |i: u64| match domain {
        Domain::Float { .. } if size > 1 => share(i, size - 1),
        Domain::Float { .. } => 0.5,
        // Whole numbers and choices own cells: the centre of every size-th part.
        Domain::Int { .. } | Domain::Choice { .. } => (share(i, size) + share(i + 1, size)) / 2.0,
    };
    let mut values: Vec<Value> = (0..size).map(|i| domain.decode(unit(i))).collect();
    // On a log scale two parts can share one whole number.
    values.dedup();
    values
}

/// How many points the grid has. A parameter counts only beside those values of its parent for
/// which it is active.
pub fn count(space: &Space, free: u64) -> u64 {
    product(space.parameters().iter().filter(|p| p.when.is_none()).map(|p| beneath(space, p, free)))
}

/// The points of a parameter and of everything that depends on it.
fn beneath(space: &Space, parameter: &Parameter, free: u64) -> u64 {
    let conditions = space.parameters().iter().filter_map(|p| Some((p, p.when.as_ref()?)));
    let children: Vec<_> =
        conditions.filter(|(_, when)| when.parameter == parameter.name).collect();
    if let (Domain::Float { .. }, true) = (&parameter.domain, children.is_empty()) {
        return size(parameter, free);
    }
    let counts: Vec<_> =
        children.iter().map(|(child, when)| (&when.holds, beneath(space, child, free))).collect();
    let beside = |value: &Value| {
        product(counts.iter().filter(|(holds, _)| holds.by(value)).map(|(_, count)| *count))
    };
    axis(parameter, free).iter().fold(0, |sum, value| sum.saturating_add(beside(value)))
}

fn product(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(1, u64::saturating_mul)
}

fn size(parameter: &Parameter, free: u64) -> u64 {
    match (&parameter.domain, parameter.points) {
        (_, Some(points)) => u64::from(points),
        (Domain::Choice { values }, None) => u64::try_from(values.len()).unwrap_or(u64::MAX),
        (domain @ (Domain::Float { .. } | Domain::Int { .. }), None) => {
            free.min(domain.cardinality().unwrap_or(u64::MAX))
        }
    }
}

#[expect(clippy::as_conversions, reason = "both are at most the budget")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
