//! The space as a unit cube: the points between which the samplers measure distances.
//!
//! Each parameter is one coordinate in [0, 1], on the parameter's scale. Whole numbers and choices
//! divide their coordinate into cells, and every point of a cell stands for the same value. A
//! parameter that is inactive in an assignment is filled in at [`INACTIVE`].
//!
//! Example: `layers = { low = 1, high = 4 }` has four cells of width 0.25. The value 3 is cell 2,
//! and [`Cube::snap`] moves every coordinate from 0.5 to 0.75 to its centre, 0.625.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::numbers::{floor_to_usize, real, to_u64, to_usize};
use caviar_common::space::{Domain, Parameter, Space};

use crate::history::History;

/// The coordinate of an inactive parameter.
pub(crate) const INACTIVE: f64 = 0.5;
/// The most values of a parent parameter for which a table says whether its child is active. With
/// more values the condition is evaluated for each point.
const TABLE_MOST: u64 = 65_536;
/// The cells per unit of a float parameter: two floats in the same cell count as the same value.
/// 2^-30 is far smaller than any step of a search and far larger than a rounding error.
const FLOAT_CELLS: f64 = 1_073_741_824.0;

/// Identifies a point: the cell of each active parameter, and `u64::MAX` for an inactive one.
/// Points that stand for the same assignment have the same key.
pub(crate) type Key = Vec<u64>;

/// A space with what conversions between assignments and points need. It has at most 64 parameters,
/// which is the limit of a spec, so a `u64` holds one bit per parameter.
#[derive(Debug)]
pub(crate) struct Cube {
    space: Space,
    parents: Vec<Option<Parent>>,
    is_choice: Vec<bool>,
}

/// The parameter on which another one depends.
#[derive(Debug)]
struct Parent {
    /// The index of the parent in the space.
    dimension: usize,
    /// For each value of the parent, whether the child is active; `None` if the parent has more
    /// than [`TABLE_MOST`] values.
    activates: Option<Vec<bool>>,
}

impl Cube {
    pub(crate) fn new(space: Space) -> Self {
        let parameters = space.parameters();
        let parents = parameters.iter().map(|p| parent(&space, p)).collect();
        let is_choice =
            parameters.iter().map(|p| matches!(p.domain, Domain::Choice { .. })).collect();
        Self { space, parents, is_choice }
    }

    pub(crate) const fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.space.dimensions()
    }

    /// For each parameter, whether it is a choice. The distance between two values of a choice is
    /// 1.
    pub(crate) fn is_choice(&self) -> &[bool] {
        &self.is_choice
    }

    /// The point of an assignment. A parameter without a value is filled in as inactive.
    pub(crate) fn encode(&self, assignment: &Assignment) -> Vec<f64> {
        self.space.encode(assignment)
    }

    /// The point of a trial, which must be in the history.
    pub(crate) fn point(&self, history: &History, trial: u32) -> Vec<f64> {
        let unit = |(j, parameter): (usize, &Parameter)| {
            let value = history.value(trial, j);
            value.and_then(|value| parameter.domain.encode(&value)).unwrap_or(INACTIVE)
        };
        self.space.parameters().iter().enumerate().map(unit).collect()
    }

    /// The assignment for which a point stands.
    pub(crate) fn decode(&self, point: &[f64]) -> Assignment {
        self.space.decode(point)
    }

    /// Moves a point to the one that its assignment has: whole numbers and choices to the centres
    /// of their cells, and inactive parameters to [`INACTIVE`]. Returns the active parameters, with
    /// bit j set if parameter j is active.
    pub(crate) fn snap(&self, point: &mut [f64]) -> u64 {
        let mut active = 0;
        for (j, parameter) in self.space.parameters().iter().enumerate() {
            let is_active = self.is_active(j, point, active);
            active |= u64::from(is_active) << j;
            if let Some(unit) = point.get_mut(j) {
                *unit = if is_active { snapped(&parameter.domain, *unit) } else { INACTIVE };
            }
        }
        active
    }

    /// The active parameters of a point, as [`Self::snap`] returns them.
    pub(crate) fn active(&self, point: &[f64]) -> u64 {
        (0..self.dimensions())
            .fold(0, |active, j| active | u64::from(self.is_active(j, point, active)) << j)
    }

    /// The key of a snapped point.
    pub(crate) fn key(&self, point: &[f64]) -> Key {
        let active = self.active(point);
        let cell_of = |(j, (parameter, unit)): (usize, (&Parameter, &f64))| {
            if active >> j & 1 == 1 { cell(&parameter.domain, *unit) } else { u64::MAX }
        };
        self.space.parameters().iter().zip(point).enumerate().map(cell_of).collect()
    }

    /// True if parameter `j` is active at a point, given the bits of the parameters before it.
    pub(crate) fn is_active(&self, j: usize, point: &[f64], active: u64) -> bool {
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
        match &parent.activates {
            Some(activates) => activates.get(to_usize(cell(&above.domain, *unit))) == Some(&true),
            None => activates(&self.space, above, child, *unit),
        }
    }
}

fn parent(space: &Space, child: &Parameter) -> Option<Parent> {
    let name = &child.when.as_ref()?.parameter;
    let dimension = space.parameters().iter().position(|p| p.name == *name)?;
    let above = space.parameters().get(dimension)?;
    let cells = above.domain.cardinality().filter(|n| *n <= TABLE_MOST);
    let at = |cell| activates(space, above, child, centre(&above.domain, cell));
    Some(Parent { dimension, activates: cells.map(|n| (0..n).map(at).collect()) })
}

/// Evaluates the condition of `child` for the parent `above` at a coordinate.
fn activates(space: &Space, above: &Parameter, child: &Parameter, unit: f64) -> bool {
    let one: Assignment = [(above.name.clone(), above.domain.decode(unit))].into_iter().collect();
    space.is_active(child, &one)
}

/// The coordinate at the centre of a cell, for a domain with finitely many values.
pub(crate) fn centre(domain: &Domain, cell: u64) -> f64 {
    match domain {
        Domain::Float { low, .. } => domain.encode(&Value::Float(*low)).unwrap_or(0.0),
        Domain::Int { low, .. } => {
            let value = low.saturating_add_unsigned(cell);
            domain.encode(&Value::Int(value)).unwrap_or(INACTIVE)
        }
        Domain::Choice { values } => (real(to_usize(cell)) + 0.5) / real(values.len()),
    }
}

fn snapped(domain: &Domain, unit: f64) -> f64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => unit.clamp(0.0, 1.0),
        Domain::Float { .. } => centre(domain, 0),
        Domain::Int { .. } => domain.encode(&domain.decode(unit)).unwrap_or(INACTIVE),
        Domain::Choice { .. } => centre(domain, cell(domain, unit)),
    }
}

/// The cell in which a coordinate lies: for whole numbers and choices, the index of the value.
pub(crate) fn cell(domain: &Domain, unit: f64) -> u64 {
    match domain {
        Domain::Float { low, high, .. } if low < high => to_u64(floor_to_usize(unit * FLOAT_CELLS)),
        Domain::Float { .. } => 0,
        Domain::Int { low, .. } => domain.decode(unit).as_i64().map_or(0, |v| v.abs_diff(*low)),
        Domain::Choice { values } => {
            let last = values.len().saturating_sub(1);
            to_u64(floor_to_usize(unit * real(values.len())).min(last))
        }
    }
}
