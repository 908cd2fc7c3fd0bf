//! The points of a grid along one parameter, and the number of points of a whole grid.

use crate::assignment::Value;
use crate::numbers::{real, to_u64, to_usize};
use crate::space::{Domain, Parameter, Space};

/// The grid's values of one parameter: its `points`, every choice, or `automatic` points where the
/// sweep leaves the number to the grid. There are fewer where a range has fewer whole numbers.
pub fn axis(parameter: &Parameter, automatic: u64) -> Vec<Value> {
    let domain = &parameter.domain;
    let size = axis_size(parameter, automatic);
    let unit = |i: u64| match domain {
        Domain::Float { .. } if size > 1 => ratio(i, size - 1),
        Domain::Float { .. } => 0.5,
        // Whole numbers and choices own cells: the centre of each of `size` parts.
        Domain::Int { .. } | Domain::Choice { .. } => (ratio(i, size) + ratio(i + 1, size)) / 2.0,
    };
    let mut values: Vec<Value> = (0..size).map(|i| domain.decode(unit(i))).collect();
    // On a log scale the centres of two parts can be the same whole number.
    values.dedup();
    values
}

/// The number of points of the grid over `space`, with `automatic` points per range as in [`axis`];
/// saturates. A conditional parameter multiplies only the values of its parent for which it is
/// active.
pub fn point_count(space: &Space, automatic: u64) -> u64 {
    let roots = space.parameters().iter().filter(|p| p.when.is_none());
    product(roots.map(|p| subtree_count(space, p, automatic)))
}

/// The number of points of a parameter together with all parameters that depend on it.
fn subtree_count(space: &Space, parameter: &Parameter, automatic: u64) -> u64 {
    let conditions = space.parameters().iter().filter_map(|p| Some((p, p.when.as_ref()?)));
    let children: Vec<_> =
        conditions.filter(|(_, when)| when.parameter == parameter.name).collect();
    if let (Domain::Float { .. }, true) = (&parameter.domain, children.is_empty()) {
        return axis_size(parameter, automatic);
    }
    let counts: Vec<_> = children
        .iter()
        .map(|(child, when)| (&when.holds, subtree_count(space, child, automatic)))
        .collect();
    let count_at = |value: &Value| {
        product(counts.iter().filter(|(holds, _)| holds.is_met_by(value)).map(|(_, count)| *count))
    };
    axis(parameter, automatic).iter().fold(0, |sum, value| sum.saturating_add(count_at(value)))
}

fn product(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(1, u64::saturating_mul)
}

fn axis_size(parameter: &Parameter, automatic: u64) -> u64 {
    match (&parameter.domain, parameter.points) {
        (_, Some(points)) => u64::from(points),
        (Domain::Choice { values }, None) => to_u64(values.len()),
        (domain @ (Domain::Float { .. } | Domain::Int { .. }), None) => {
            automatic.min(domain.cardinality().unwrap_or(u64::MAX))
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    real(to_usize(part)) / real(to_usize(whole))
}
