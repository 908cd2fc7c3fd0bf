//! The strategy `grid`: every combination of a few values per parameter.
//!
//! Parameters with `points` in the sweep file have that number of values. The others share the
//! largest number p for which the grid fits into the budget of trials. The values are equally
//! spaced on each parameter's scale. The strategy exists for comparison: random search covers the
//! same space better with the same number of trials.
//!
//! Trial i is point i of the grid, which is computed when it is asked for. Points are in the order
//! of a tree: each parameter divides the points of the parameters before it, and one that is
//! inactive does not. Let R be the number of combinations of all parameters after parameter j that
//! do not depend on it, and W(v) that of the parameters that depend on it for its value v. Then
//! point i has the first value v with
//!
//! ```text
//! i < R (W(0) + ... + W(v))
//! ```
//!
//! and the parameters after it divide what remains of i.
//!
//! Example: for two float parameters without `points` and a budget of 10 trials, p = 3, because
//! 3 * 3 = 9 fits and 4 * 4 = 16 does not. Point 5 has the values 1 and 2, counted from 0, because
//! 5 = 1 * 3 + 2. The tenth trial finds the grid exhausted.

use std::collections::BTreeSet;

use caviar_common::assignment::Assignment;
use caviar_common::grid::{axis, point_count};
use caviar_common::numbers::{to_u64, to_usize};
use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Domain, Parameter, Space};

use crate::history::{pack, unpack};
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};

/// Up to this budget the number of values per range is the first one after which the grid does not
/// fit. With more trials it is searched for by halving.
const COUNTED_BUDGET: u64 = 65_536;

/// The sampler of `strategy = "grid"`. Trial i is point i, and the last parameter varies fastest.
/// Points that differ only in inactive parameters are one point.
#[derive(Debug)]
pub(crate) struct Grid {
    space: Space,
    axes: Vec<Axis>,
    /// The number of points, at most the budget.
    points: u64,
}

/// The values of one parameter.
#[derive(Debug)]
struct Axis {
    /// All different, as the cells of a [history](crate::history).
    cells: Vec<u64>,
    /// The parameters whose condition names this one. They all come later.
    children: Vec<usize>,
    /// For each value, the number of combinations of the dependent parameters for this value and
    /// the ones before. Empty without children: then each value has one.
    sums: Vec<u64>,
}

impl Axis {
    /// The number of combinations of the parameter and all that depend on it.
    fn count(&self) -> u64 {
        self.sums.last().copied().unwrap_or(to_u64(self.cells.len()))
    }

    /// The number of combinations up to a value.
    fn before(&self, value: usize) -> u64 {
        if self.sums.is_empty() {
            return to_u64(value);
        }
        value.checked_sub(1).and_then(|last| self.sums.get(last)).copied().unwrap_or(0)
    }

    /// The value that has a combination.
    fn value_of(&self, combination: u64) -> usize {
        if self.sums.is_empty() {
            return to_usize(combination);
        }
        self.sums.partition_point(|sum| *sum <= combination)
    }
}

impl Grid {
    /// A grid of at most `budget` points.
    pub(crate) fn new(space: Space, budget: u32) -> Self {
        let budget = u64::from(budget);
        let points_each = points_each(&space, budget);
        let mut axes: Vec<Axis> = Vec::new();
        for (j, parameter) in space.parameters().iter().enumerate() {
            let values = axis(parameter, points_each);
            let mut cells = values.iter().filter_map(|v| pack(&parameter.domain, v)).collect();
            keep_first(&mut cells);
            let depends = |(k, child): (usize, &Parameter)| {
                let when = child.when.as_ref()?;
                (k > j && when.parameter == parameter.name).then_some(k)
            };
            let children = space.parameters().iter().enumerate().filter_map(depends).collect();
            axes.push(Axis { cells, children, sums: Vec::new() });
        }
        let mut grid = Self { space, axes, points: 0 };
        for j in (0..grid.axes.len()).rev() {
            let sums = grid.sums(j);
            grid.axes.iter_mut().skip(j).take(1).for_each(|axis| axis.sums.clone_from(&sums));
        }
        let roots = grid.space.parameters().iter().zip(&grid.axes);
        let roots = roots.filter(|(parameter, _)| parameter.when.is_none());
        let all = roots.fold(1u64, |all, (_, axis)| all.saturating_mul(axis.count()));
        Self { points: all.min(budget), ..grid }
    }

    /// The running sums of the combinations of the children of parameter `j`, whose own sums are
    /// known.
    fn sums(&self, j: usize) -> Vec<u64> {
        let Some(axis) = self.axes.get(j).filter(|axis| !axis.children.is_empty()) else {
            return Vec::new();
        };
        let mut sum = 0u64;
        let sums = axis.cells.iter().map(|cell| {
            let active = axis.children.iter().filter(|child| self.is_active(**child, j, *cell));
            let counts = active.filter_map(|child| self.axes.get(*child)).map(Axis::count);
            sum = sum.saturating_add(counts.fold(1, u64::saturating_mul));
            sum
        });
        sums.collect()
    }

    /// True if parameter `child` is active when parameter `j`, on which it depends, has this value.
    fn is_active(&self, child: usize, j: usize, cell: u64) -> bool {
        let parameters = self.space.parameters();
        let (Some(parent), Some(child)) = (parameters.get(j), parameters.get(child)) else {
            return false;
        };
        let value = unpack(&parent.domain, cell).map(|value| (parent.name.clone(), value));
        self.space.is_active(child, &value.into_iter().collect())
    }

    /// The point with this index; `None` after the last one.
    fn point(&self, index: u64) -> Option<Assignment> {
        (index < self.points).then_some(())?;
        let mut point = Assignment::default();
        let mut is_open: Vec<bool> =
            self.space.parameters().iter().map(|parameter| parameter.when.is_none()).collect();
        let mut rest = index;
        for (j, (axis, parameter)) in self.axes.iter().zip(self.space.parameters()).enumerate() {
            if !*is_open.get(j)? {
                continue;
            }
            let others = self.axes.iter().zip(&is_open).skip(j + 1);
            let others = others.filter(|(_, is_open)| **is_open);
            let each = others.fold(1u64, |all, (axis, _)| all.saturating_mul(axis.count()));
            let chosen = axis.value_of(rest / each);
            rest -= axis.before(chosen).saturating_mul(each);
            let cell = *axis.cells.get(chosen)?;
            for child in &axis.children {
                let is_active = self.is_active(*child, j, cell);
                is_open.iter_mut().skip(*child).take(1).for_each(|open| *open = is_active);
            }
            point.insert(parameter.name.clone(), unpack(&parameter.domain, cell)?);
        }
        Some(point)
    }
}

impl Sampler for Grid {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        match self.point(u64::from(question.trial)) {
            Some(assignment) => SamplerReply::Suggest(Suggestion {
                assignment,
                reason: Reason::from_source(Source::Grid),
            }),
            None => SamplerReply::Exhausted,
        }
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        true
    }
}

/// Removes cells that occur before. Neighbours are different already, and in a range as narrow as a
/// rounding error, others may be equal.
fn keep_first(cells: &mut Vec<u64>) {
    let mut sorted = cells.clone();
    sorted.sort_unstable();
    if sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a == b) {
        let mut seen = BTreeSet::new();
        cells.retain(|cell| seen.insert(*cell));
    }
}

/// The number of values of each parameter that has no `points` of its own: the largest for which
/// the grid has at most `budget` points, and at least 1.
fn points_each(space: &Space, budget: u64) -> u64 {
    let sizes: Vec<u64> = space.parameters().iter().map(most_points).collect();
    let is_free = |(parameter, _): &(&Parameter, &u64)| parameter.points.is_none();
    let free = space.parameters().iter().zip(&sizes).filter(is_free).map(|(_, size)| *size);
    // More values than this change nothing.
    let most = free.max().unwrap_or(1).min(budget).max(1);
    // There are no more points than if every parameter were always active.
    let at_most = |points: u64| {
        let parameters = space.parameters().iter().zip(&sizes);
        let size = |(p, size): (&Parameter, &u64)| match (&p.domain, p.points) {
            (Domain::Choice { .. }, _) | (_, Some(_)) => *size,
            (Domain::Float { .. } | Domain::Int { .. }, None) => points.min(*size),
        };
        parameters.map(size).fold(1, u64::saturating_mul)
    };
    let surely = last_that_fits(1, most, |points| at_most(points) <= budget);
    let fits = |points: u64| point_count(space, points) <= budget;
    if budget > COUNTED_BUDGET {
        return last_that_fits(surely, most, fits);
    }
    let mut points = surely;
    while points < most && fits(points + 1) {
        points += 1;
    }
    points
}

/// The most values that an axis can have.
fn most_points(parameter: &Parameter) -> u64 {
    let most = parameter.domain.cardinality().unwrap_or(u64::MAX);
    parameter.points.map_or(most, u64::from)
}

/// The greatest number from `low` to `high` that fits, or `low`, by halving. A number fits if a
/// greater one does.
fn last_that_fits(low: u64, high: u64, fits: impl Fn(u64) -> bool) -> u64 {
    let (mut last, mut above) = (low, high.saturating_add(1));
    while above - last > 1 {
        let middle = last + (above - last) / 2;
        (last, above) = if fits(middle) { (middle, above) } else { (last, middle) };
    }
    last
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Value;
    use caviar_common::scale::Scale;
    use caviar_common::space::{Condition, Holds};
    use proptest::prelude::*;

    use super::*;

    fn domain() -> impl Strategy<Value = Domain> {
        let float = (0.1..0.9f64, 0.0..0.1f64).prop_map(|(low, more)| Domain::Float {
            scale: Scale::OneMinusLog,
            low,
            high: low + more,
        });
        let log = prop_oneof![Just(Scale::Log), Just(Scale::Linear)];
        let int = (log, 1..5i64, 0..60i64).prop_map(|(scale, low, more)| Domain::Int {
            scale,
            low,
            high: low + more,
        });
        let values = |count| (0..count).map(Value::Int).collect();
        let choice = (1..4i64).prop_map(move |count| Domain::Choice { values: values(count) });
        prop_oneof![float, int, choice, Just(narrow())]
    }

    /// A range with fewer floats than a grid may have points.
    fn narrow() -> Domain {
        Domain::Float { scale: Scale::Log, low: 0.3, high: 0.300_000_000_000_000_3 }
    }

    fn space() -> impl Strategy<Value = Space> {
        let holds = prop_oneof![
            (0..4i64).prop_map(Holds::AtLeast),
            (0..4i64).prop_map(|v| Holds::OneOf(vec![Value::Int(v), Value::Int(v + 2)])),
        ];
        let row = (domain(), prop::option::of((any::<prop::sample::Index>(), holds)));
        let rows = prop::collection::vec((row, prop::option::of(1..5u32)), 0..6);
        rows.prop_map(|rows| {
            let parameter = |(j, ((domain, when), points)): (usize, ((Domain, Option<_>), _))| {
                let when = when.filter(|_| j > 0).map(|(parent, holds)| {
                    let parent: prop::sample::Index = parent;
                    Condition { parameter: format!("p{}", parent.index(j)), holds }
                });
                let is_choice = matches!(domain, Domain::Choice { .. });
                let points = if is_choice { None } else { points };
                Parameter { name: format!("p{j}"), domain, when, points }
            };
            Space::new(rows.into_iter().enumerate().map(parameter).collect()).unwrap()
        })
    }

    /// All points, one parameter after the other, without those that occur before.
    fn plain(space: &Space, budget: u64) -> Vec<Assignment> {
        let mut each = 1;
        while each < budget && point_count(space, each + 1) <= budget {
            each += 1;
        }
        let mut points = vec![Assignment::default()];
        for parameter in space.parameters() {
            let values = axis(parameter, each);
            let extend = |point: &Assignment| {
                let is_active = space.is_active(parameter, point);
                let with = |value: &Value| {
                    let mut longer = point.clone();
                    longer.insert(parameter.name.clone(), value.clone());
                    longer
                };
                if is_active { values.iter().map(with).collect() } else { vec![point.clone()] }
            };
            points = points.iter().flat_map(extend).collect();
        }
        let mut seen = BTreeSet::new();
        points.retain(|point| seen.insert(format!("{point:?}")));
        points.into_iter().take(to_usize(budget)).collect()
    }

    proptest! {
        #[test]
        fn every_point_is_the_one_of_the_whole_grid(space in space(), budget in 1..400u32) {
            let plain = plain(&space, u64::from(budget));
            let grid = Grid::new(space, budget);
            prop_assert_eq!(grid.points, to_u64(plain.len()));
            for (i, point) in (0..).zip(&plain) {
                let found = grid.point(i);
                prop_assert_eq!(found.as_ref(), Some(point), "{}", i);
            }
            prop_assert_eq!(grid.point(grid.points), None);
        }
    }

    #[test]
    fn a_grid_of_ten_million_points_has_its_last_point() {
        let float = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 };
        let parameter = |name: &str| Parameter {
            name: name.into(),
            domain: float.clone(),
            when: None,
            points: None,
        };
        let space = Space::new(vec![parameter("x"), parameter("y")]).unwrap();
        let grid = Grid::new(space, 10_000_000);
        assert_eq!(grid.points, 3_162 * 3_162);
        let ends = |index| {
            let point = grid.point(index).unwrap();
            (point.get("x").and_then(Value::as_f64), point.get("y").and_then(Value::as_f64))
        };
        assert_eq!(ends(0), (Some(0.0), Some(0.0)));
        assert_eq!(ends(3_161), (Some(0.0), Some(1.0)));
        assert_eq!(ends(grid.points - 1), (Some(1.0), Some(1.0)));
    }
}
