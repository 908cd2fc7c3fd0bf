//! The search space of a sweep: parameters with domains and scales. A parameter can be active only
//! for some values of another one.

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Value};
use crate::numbers::{floor_to_i64, floor_to_usize, real, real_from_i64, to_u64};
use crate::scale::Scale;

/// The values that a parameter can have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Numbers from `low` to `high`, both included.
    Float {
        /// The scale on which draws are uniform.
        scale: Scale,
        /// The smallest value of the domain.
        low: f64,
        /// The largest value of the domain.
        high: f64,
    },
    /// Whole numbers from `low` to `high`, both included, each with an equal share of the scale.
    Int {
        /// The scale on which draws are uniform: linear or log.
        scale: Scale,
        /// The smallest value of the domain.
        low: i64,
        /// The largest value of the domain.
        high: i64,
    },
    /// One of several values, all equally likely.
    Choice {
        /// The values, all different.
        values: Vec<Value>,
    },
}

impl Domain {
    /// The value at `unit` in [0, 1]. Each whole number and each choice owns a cell of the unit
    /// interval; the cells of choices are equally wide.
    pub fn decode(&self, unit: f64) -> Value {
        let unit = unit.clamp(0.0, 1.0);
        match self {
            Self::Float { scale, low, high } => Value::Float(scale.decode(unit, *low, *high)),
            Self::Int { scale, low, high } => Value::Int(decode_int(*scale, unit, *low, *high)),
            Self::Choice { values } => {
                values.get(cell(unit, values.len())).cloned().unwrap_or(Value::Int(0))
            }
        }
    }

    /// The point of [0, 1] for `value`, or `None` if the domain does not have it.
    ///
    /// For a choice it is the centre of the value's cell. For whole numbers it is
    /// (f(v) - f(low - 1/2)) / (f(high + 1/2) - f(low - 1/2)), where f is the identity or the
    /// logarithm: the centre of the cell on a linear scale.
    pub fn encode(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Float { scale, low, high } => {
                let v = value.as_f64()?;
                (*low <= v && v <= *high).then(|| scale.encode(v, *low, *high))
            }
            Self::Int { scale, low, high } => {
                let v = value.as_i64()?;
                let (a, b) = (real_from_i64(*low) - 0.5, real_from_i64(*high) + 0.5);
                (*low <= v && v <= *high).then(|| scale.encode(real_from_i64(v), a, b))
            }
            Self::Choice { values } => {
                values.iter().position(|v| v == value).map(|i| (real(i) + 0.5) / real(values.len()))
            }
        }
    }

    /// The number of values, or `None` for a range of real numbers.
    pub fn cardinality(&self) -> Option<u64> {
        match self {
            Self::Float { low, high, .. } => (low == high).then_some(1),
            Self::Int { low, high, .. } => Some(high.abs_diff(*low).saturating_add(1)),
            Self::Choice { values } => Some(to_u64(values.len())),
        }
    }

    /// The largest whole number among the values, or `None` for a range of real numbers and for
    /// choices of names.
    pub fn max_whole(&self) -> Option<i64> {
        match self {
            Self::Float { .. } => None,
            Self::Int { high, .. } => Some(*high),
            Self::Choice { values } => values.iter().filter_map(Value::as_i64).max(),
        }
    }
}

fn decode_int(scale: Scale, unit: f64, low: i64, high: i64) -> i64 {
    let value = scale.decode(unit, real_from_i64(low) - 0.5, real_from_i64(high) + 0.5);
    // The boundary between two cells belongs to the upper one, and 1.0 to the last.
    floor_to_i64(value + 0.5).clamp(low, high)
}

fn cell(unit: f64, cells: usize) -> usize {
    floor_to_usize(unit * real(cells)).min(cells.saturating_sub(1))
}

/// When a parameter is active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The other parameter, on whose value it depends.
    pub parameter: String,
    /// The values of the other parameter for which this one is active.
    pub holds: Holds,
}

/// The values for which a condition holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Any of these values.
    OneOf(Vec<Value>),
    /// This number or a larger one: `units_3` is active with at least 3 layers.
    AtLeast(i64),
}

impl Holds {
    pub(crate) fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(values) => values.contains(value),
            Self::AtLeast(least) => value.as_i64().is_some_and(|v| v >= *least),
        }
    }
}

/// A hyperparameter that the sweep searches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Unique in its space.
    pub name: String,
    /// The values that it can have.
    pub domain: Domain,
    /// When it is active; `None` if it always is.
    pub when: Option<Condition>,
    /// How many points a grid takes of a range; `None` lets the grid choose.
    pub points: Option<u32>,
}

/// The parameters of a sweep. Each comes after the one that its condition names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space {
    parameters: Vec<Parameter>,
}

impl Space {
    /// Orders the parameters so that each comes after the one that its condition names, and keeps
    /// the given order otherwise. Returns `None` if conditions form a circle or name a parameter
    /// that the space does not have.
    pub fn new(parameters: Vec<Parameter>) -> Option<Self> {
        let mut ordered: Vec<Parameter> = Vec::with_capacity(parameters.len());
        let mut rest = parameters;
        while !rest.is_empty() {
            let ready = rest.iter().position(|p| {
                p.when
                    .as_ref()
                    .is_none_or(|condition| ordered.iter().any(|o| o.name == condition.parameter))
            })?;
            ordered.push(rest.remove(ready));
        }
        Some(Self { parameters: ordered })
    }

    /// The parameters, in the order of the coordinates of [`Space::encode`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// The number of parameters.
    pub fn dimensions(&self) -> usize {
        self.parameters.len()
    }

    /// Whether `parameter` is active for the values in `assignment`, which must include the
    /// parameter that its condition names if that one is active.
    pub fn is_active(&self, parameter: &Parameter, assignment: &Assignment) -> bool {
        parameter
            .when
            .as_ref()
            .is_none_or(|c| assignment.get(&c.parameter).is_some_and(|v| c.holds.is_met_by(v)))
    }

    /// The assignment at a point of the unit cube, which has one coordinate per parameter, in
    /// order. Inactive parameters are left out.
    pub fn decode(&self, point: &[f64]) -> Assignment {
        let mut assignment = Assignment::default();
        for (parameter, unit) in self.parameters.iter().zip(point) {
            if self.is_active(parameter, &assignment) {
                assignment.insert(parameter.name.clone(), parameter.domain.decode(*unit));
            }
        }
        assignment
    }

    /// The point of the unit cube for an assignment. The coordinate of an inactive parameter is
    /// filled in with 0.5.
    pub fn encode(&self, assignment: &Assignment) -> Vec<f64> {
        let unit =
            |p: &Parameter| assignment.get(&p.name).and_then(|v| p.domain.encode(v)).unwrap_or(0.5);
        self.parameters.iter().map(unit).collect()
    }

    /// Whether `assignment` has a legal value for every active parameter and none for any other
    /// name.
    pub fn contains(&self, assignment: &Assignment) -> bool {
        let active: Vec<&Parameter> =
            self.parameters.iter().filter(|p| self.is_active(p, assignment)).collect();
        let is_legal =
            |p: &&Parameter| assignment.get(&p.name).is_some_and(|v| p.domain.encode(v).is_some());
        active.len() == assignment.len() && active.iter().all(is_legal)
    }
}

#[cfg(test)]
mod tests;
