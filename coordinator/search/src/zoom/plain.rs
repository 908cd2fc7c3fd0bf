//! The plain trial: a uniform draw in the range of the best trials, which trusts no model.
//!
//! With n results, the best max(4, ⌈√n⌉) count. If their coordinates range from a to b, the draw is
//! from [a - m, b + m] within [0, 1], with the margin m = 0.15 (b - a) + 0.03. For a choice, the
//! draw is among the values that these trials use. The rule is Caviar's own.
//!
//! Example: after 30 results the best 6 count. If they lie between 0.4 and 0.6, m = 0.06, and the
//! draw is from [0.34, 0.66].

use caviar_common::numbers::to_u64;
use caviar_common::seed::Stream;
use caviar_common::space::{Domain, Space};

use super::candidates::{below, between};
use crate::cube::centre;
use crate::region::{Interval, Region};

/// How many of `n` results count as the best: the square root, rounded up, but at least 4.
pub(super) fn best_count(n: usize) -> usize {
    let root = n.isqrt();
    (root + usize::from(root * root < n)).max(4)
}

/// The region of the draw, around the points of the best trials.
pub(super) fn region(space: &Space, best: &[&[f64]]) -> Region {
    let parameters = space.parameters().iter().enumerate();
    Region { sides: parameters.map(|(j, p)| side(&p.domain, j, best)).collect() }
}

/// The range of some points along parameter `j`, widened by the margin.
fn side(domain: &Domain, j: usize, points: &[&[f64]]) -> Interval {
    let units: Vec<f64> =
        points.iter().filter_map(|point| point.get(j)).map(|unit| unit.clamp(0.0, 1.0)).collect();
    if let Domain::Choice { values } = domain {
        let is_used = |i: &usize| units.contains(&centre(domain, to_u64(*i)));
        let used: Vec<usize> = (0..values.len()).filter(is_used).collect();
        return Interval::Among(if used.is_empty() { (0..values.len()).collect() } else { used });
    }
    if units.is_empty() {
        return Interval::Between(0.0, 1.0);
    }
    let (low, high) =
        units.iter().fold((1.0f64, 0.0f64), |(low, high), unit| (low.min(*unit), high.max(*unit)));
    let margin = 0.15 * (high - low) + 0.03;
    Interval::Between((low - margin).max(0.0), (high + margin).min(1.0))
}

/// A uniform draw from a region, not snapped.
pub(super) fn draw(space: &Space, region: &Region, stream: &mut Stream) -> Vec<f64> {
    let sides = region.sides.iter().zip(space.parameters());
    sides
        .map(|(side, parameter)| match side {
            Interval::Between(low, high) => between((*low, *high), stream),
            Interval::Among(chosen) => {
                let value = chosen.get(below(chosen.len(), stream)).copied().unwrap_or(0);
                centre(&parameter.domain, to_u64(value))
            }
        })
        .collect()
}
