//! The space as points of the unit cube: what the model measures distances between.

use caviar_common::assignment::Assignment;
use caviar_common::space::{Domain, Parameter, Space};

use crate::real;

/// An inactive parameter lies here.
pub(super) const PARKED: f64 = 0.5;
/// A parent with more values than this is asked anew every time whether its child is active.
const TABLED: u64 = 65_536;
/// Cells in which a number counts as tried: 2^30 on the unit interval, far finer than a search and
/// far coarser than rounding.
const CELLS: f64 = 1_073_741_824.0;

/// What tells two points apart: a number per parameter.
pub(super) type Key = Vec<u64>;

/// A space, prepared for being asked the same few questions often. At most 64 parameters, as the
/// limits of a spec say.
#[derive(Debug)]
pub(super) struct Coded {
    space: Space,
    parents: Vec<Option<Parent>>,
    choices: Vec<bool>,
}

/// The parameter that another depends on.
#[derive(Debug)]
struct Parent {
    dimension: usize,
    /// For each of its values in order, whether the child is active; none where there are too many
    /// values.
    holds: Option<Vec<bool>>,
}

impl Coded {
    pub(super) fn new(space: Space) -> Self {
        let parents = space.parameters().iter().map(|p| parent(&space, p)).collect();
        let choices =
            space.parameters().iter().map(|p| matches!(p.domain, Domain::Choice { .. })).collect();
        Self { space, parents, choices }
    }

    pub(super) const fn space(&self) -> &Space {
        &self.space
    }

    pub(super) fn dimensions(&self) -> usize {
        self.space.dimensions()
    }

    /// Which parameters are choices, between whose values the distance is 0 or 1.
    pub(super) fn choices(&self) -> &[bool] {
        &self.choices
    }

    /// The point of an assignment. What the assignment lacks is parked.
    pub(super) fn encode(&self, assignment: &Assignment) -> Vec<f64> {
        self.space.encode(assignment)
    }

    pub(super) fn decode(&self, point: &[f64]) -> Assignment {
        self.space.decode(point)
    }

    /// Moves the point to the one that its assignment has: whole numbers and choices to their
    /// cells, inactive parameters to where they are parked. The bits of the answer say which
    /// parameters are active.
    pub(super) fn snap(&self, point: &mut [f64]) -> u64 {
        let mut active = 0;
        for (j, parameter) in self.space.parameters().iter().enumerate() {
            let on = self.is_active(j, point, active);
            active |= u64::from(on) << j;
            if let Some(unit) = point.get_mut(j) {
                *unit = if on { snapped(&parameter.domain, *unit) } else { PARKED };
            }
        }
        active
    }

    /// Which parameters of a point are active, as bits.
    pub(super) fn active(&self, point: &[f64]) -> u64 {
        (0..self.dimensions())
            .fold(0, |active, j| active | u64::from(self.is_active(j, point, active)) << j)
    }

    /// The key of a point that is snapped.
    pub(super) fn key(&self, point: &[f64]) -> Key {
        let active = self.active(point);
        let cell = |(j, (parameter, unit)): (usize, (&Parameter, &f64))| {
            if active >> j & 1 == 1 { number(&parameter.domain, *unit) } else { u64::MAX }
        };
        self.space.parameters().iter().zip(point).enumerate().map(cell).collect()
    }

    /// Whether parameter `j` is active, given which of those before it are.
    pub(super) fn is_active(&self, j: usize, point: &[f64], active: u64) -> bool {
        let Some(Some(parent)) = self.parents.get(j) else { return true };
        let Some(unit) =
            point.get(parent.dimension).filter(|_| active >> parent.dimension & 1 == 1)
        else {
            return false;
        };
        let parameters = self.space.parameters();
        let (Some(above), Some(child)) = (parameters.get(parent.dimension), parameters.get(j))
        else {
            return false;
        };
        match &parent.holds {
            Some(holds) => {
                usize::try_from(number(&above.domain, *unit)).ok().and_then(|i| holds.get(i))
                    == Some(&true)
            }
            None => holds(&self.space, above, child, *unit),
        }
    }
}

fn parent(space: &Space, child: &Parameter) -> Option<Parent> {
    let name = &child.when.as_ref()?.parameter;
    let dimension = space.parameters().iter().position(|p| p.name == *name)?;
    let above = space.parameters().get(dimension)?;
    let levels = above.domain.cardinality().filter(|n| *n <= TABLED);
    let table = |n| (0..n).map(|i| holds(space, above, child, level(&above.domain, i))).collect();
    Some(Parent { dimension, holds: levels.map(table) })
}

fn holds(space: &Space, above: &Parameter, child: &Parameter, unit: f64) -> bool {
    let one: Assignment = [(above.name.clone(), above.domain.decode(unit))].into_iter().collect();
    space.is_active(child, &one)
}

/// The point at which value number `i` of a domain with finitely many values lies.
pub(super) fn level(domain: &Domain, i: u64) -> f64 {
    match domain {
        Domain::Float { low, .. } => {
            domain.encode(&caviar_common::assignment::Value::Float(*low)).unwrap_or(0.0)
        }
        Domain::Int { low, .. } => {
            let value = low.saturating_add_unsigned(i);
            domain.encode(&caviar_common::assignment::Value::Int(value)).unwrap_or(PARKED)
        }
        Domain::Choice { values } => (whole(i) + 0.5) / real(values.len()),
    }
}

fn snapped(domain: &Domain, unit: f64) -> f64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => unit.clamp(0.0, 1.0),
        Domain::Float { .. } => level(domain, 0),
        Domain::Int { .. } => domain.encode(&domain.decode(unit)).unwrap_or(PARKED),
        Domain::Choice { .. } => level(domain, number(domain, unit)),
    }
}

/// The number of the cell in which a point lies: of the value, for whole numbers and choices.
#[expect(
    clippy::as_conversions,
    reason = "the conversion saturates; numbers of cells are far below 2^53"
)]
pub(super) fn number(domain: &Domain, unit: f64) -> u64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => (unit * CELLS) as u64,
        Domain::Float { .. } => 0,
        Domain::Int { low, .. } => domain.decode(unit).as_i64().map_or(0, |v| v.abs_diff(*low)),
        Domain::Choice { values } => {
            ((unit * real(values.len())) as u64).min(values.len().saturating_sub(1) as u64)
        }
    }
}

#[expect(clippy::as_conversions, reason = "numbers of values are far below 2^53")]
pub(super) const fn whole(n: u64) -> f64 {
    n as f64
}
