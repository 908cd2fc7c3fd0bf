//! The space as a unit cube: the points between which the samplers measure distances.
//!
//! Each parameter is one coordinate in [0, 1], on the parameter's scale. Whole numbers and choices
//! divide their coordinate into cells, and every point of a cell stands for the same value. A
//! parameter that is inactive in an assignment is filled in at [`INACTIVE`].
//!
//! Example: `layers = { low = 1, high = 4 }` has four cells of width 0.25. The value 3 is cell 2,
//! and [`Cube::snap`] moves every coordinate from 0.5 to 0.75 to its centre, 0.625.

mod axis;
mod key;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::numbers::{real, to_usize};
use caviar_common::space::{Domain, Parameter, Space};

use crate::history::History;
use axis::Axis;
pub(crate) use axis::{cell, forward};
pub(crate) use key::Key;

/// The coordinate of an inactive parameter.
pub(crate) const INACTIVE: f64 = 0.5;
/// The most values of a parent parameter for which a table says whether its child is active. With
/// more values the condition is evaluated for each point.
const TABLE_MOST: u64 = 65_536;

/// A space with what conversions between assignments and points need. It has at most 64 parameters,
/// which is the limit of a spec, so a `u64` holds one bit per parameter.
#[derive(Debug)]
pub(crate) struct Cube {
    space: Space,
    axes: Vec<Axis>,
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
        let axes = parameters.iter().map(|p| Axis::new(&p.domain)).collect();
        Self { space, axes, parents, is_choice }
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

    /// The point of a trial, as [`Self::encode`] returns it. The trial must be in the history.
    pub(crate) fn point(&self, history: &History, trial: u32) -> Vec<f64> {
        let Some(row) = history.row(trial) else { return vec![INACTIVE; self.dimensions()] };
        let axes = self.axes.iter().enumerate();
        match row.cells() {
            Some(cells) => axes
                .zip(cells)
                .map(|((j, axis), cell)| if row.has(j) { axis.encode(*cell) } else { INACTIVE })
                .collect(),
            None => axes
                .zip(self.space.parameters())
                .map(|((j, _), parameter)| row.value(j).and_then(|v| parameter.domain.encode(&v)))
                .map(|unit| unit.unwrap_or(INACTIVE))
                .collect(),
        }
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
        for (j, axis) in self.axes.iter().enumerate() {
            let is_active = self.is_active(j, point, active);
            active |= u64::from(is_active) << j;
            if let Some(unit) = point.get_mut(j) {
                *unit = if is_active { axis.snapped(*unit) } else { INACTIVE };
            }
        }
        active
    }

    /// The active parameters of a point, as [`Self::snap`] returns them.
    pub(crate) fn active(&self, point: &[f64]) -> u64 {
        if self.parents.iter().all(Option::is_none) {
            return u64::MAX;
        }
        (0..self.dimensions())
            .fold(0, |active, j| active | u64::from(self.is_active(j, point, active)) << j)
    }

    /// The key of a snapped point.
    pub(crate) fn key(&self, point: &[f64]) -> Key {
        let active = self.active(point);
        let cell_of = |(j, (axis, unit)): (usize, (&Axis, &f64))| {
            if active >> j & 1 == 1 { axis.cell(*unit) } else { u64::MAX }
        };
        Key::new(self.axes.iter().zip(point).enumerate().map(cell_of))
    }

    /// True if parameter `j` is active at a point, given the bits of the parameters before it.
    pub(crate) fn is_active(&self, j: usize, point: &[f64], active: u64) -> bool {
        let Some(Some(parent)) = self.parents.get(j) else { return true };
        let Some(unit) =
            point.get(parent.dimension).filter(|_| active >> parent.dimension & 1 == 1)
        else {
            return false;
        };
        if let Some(activates) = &parent.activates {
            let above = self.axes.get(parent.dimension);
            let cell = above.map(|above| to_usize(above.cell(*unit)));
            return cell.and_then(|cell| activates.get(cell)) == Some(&true);
        }
        let parameters = self.space.parameters();
        match (parameters.get(parent.dimension), parameters.get(j)) {
            (Some(above), Some(child)) => activates(&self.space, above, child, *unit),
            (None, _) | (_, None) => false,
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
