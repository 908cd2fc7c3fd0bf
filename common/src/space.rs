//! The space of a sweep: parameters on scales, some of them active only where another parameter
//! allows it.

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Value};
use crate::scale::Scale;

/// The values a parameter can take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Numbers from `low` to `high`.
    Float {
        /// How they are spread.
        scale: Scale,
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
    },
    /// Whole numbers from `low` to `high`, both included with an equal share of their scale.
    Int {
        /// How they are spread: linear or log.
        scale: Scale,
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
    },
    /// One of several values, all alike.
    Choice {
        /// The values, none twice.
        values: Vec<Value>,
    },
}

impl Domain {
    /// The value at `unit` in [0, 1]. A whole number owns a cell of the unit interval, a choice an
    /// equal part of it.
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

    /// The point of [0, 1] for `value`: the centre of its cell for whole numbers on a linear scale
    /// and for choices (SEARCH: "cell centre; log-integer: (ln v - ln(lo-.5)) / (ln(hi+.5) -
    /// ln(lo-.5))"). None if it is not of this domain.
    pub fn encode(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Float { scale, low, high } => {
                let v = value.as_f64()?;
                (*low <= v && v <= *high).then(|| scale.encode(v, *low, *high))
            }
            Self::Int { scale, low, high } => {
                let v = value.as_i64()?;
                (*low <= v && v <= *high)
                    .then(|| scale.encode(int(v), int(*low) - 0.5, int(*high) + 0.5))
            }
            Self::Choice { values } => values
                .iter()
                .position(|v| v == value)
                .map(|i| (count(i) + 0.5) / count(values.len())),
        }
    }

    /// How many values there are; none for a range of numbers.
    pub fn cardinality(&self) -> Option<u64> {
        match self {
            Self::Float { low, high, .. } => (low == high).then_some(1),
            Self::Int { low, high, .. } => Some(high.abs_diff(*low).saturating_add(1)),
            Self::Choice { values } => u64::try_from(values.len()).ok(),
        }
    }
}

fn decode_int(scale: Scale, unit: f64, low: i64, high: i64) -> i64 {
    let cell_value = scale.decode(unit, int(low) - 0.5, int(high) + 0.5);
    // The boundary between two cells belongs to the upper one, and 1.0 to the last.
    whole((cell_value + 0.5).floor()).clamp(low, high)
}

fn cell(unit: f64, cells: usize) -> usize {
    index(unit * count(cells)).min(cells.saturating_sub(1))
}

#[expect(clippy::as_conversions, reason = "limits keep whole hyperparameters far below 2^53")]
fn int(v: i64) -> f64 {
    v as f64
}

#[expect(clippy::as_conversions, reason = "counts here are far below 2^53")]
fn count(v: usize) -> f64 {
    v as f64
}

#[expect(
    clippy::as_conversions,
    reason = "a whole number within the limits; the conversion saturates"
)]
fn whole(v: f64) -> i64 {
    v as i64
}

#[expect(clippy::as_conversions, reason = "truncation is meant; the conversion saturates")]
fn index(v: f64) -> usize {
    v as usize
}

/// When a parameter is active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The parameter it depends on.
    pub parameter: String,
    /// The values of that parameter for which it is active.
    pub holds: Holds,
}

/// The values for which a condition holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Any of these.
    OneOf(Vec<Value>),
    /// This number or more: `units_3` is active where there are at least 3 layers.
    AtLeast(i64),
}

impl Holds {
    pub(crate) fn by(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(values) => values.contains(value),
            Self::AtLeast(least) => value.as_i64().is_some_and(|v| v >= *least),
        }
    }
}

/// One searched hyperparameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its values.
    pub domain: Domain,
    /// When it is active; none means always.
    pub when: Option<Condition>,
    /// How many points a grid takes of it; none lets the grid choose.
    pub points: Option<u32>,
}

/// The parameters of a sweep. A parameter stands after the one that its condition names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space {
    parameters: Vec<Parameter>,
}

impl Space {
    /// Orders the parameters so that each stands after the one its condition names, otherwise as
    /// given. None where conditions run in a circle or name a parameter that is not there.
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

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// The number of parameters.
    pub fn dimensions(&self) -> usize {
        self.parameters.len()
    }

    /// Whether `parameter` is active beside the values in `assignment`, which must hold its
    /// ancestors.
    pub fn is_active(&self, parameter: &Parameter, assignment: &Assignment) -> bool {
        parameter
            .when
            .as_ref()
            .is_none_or(|c| assignment.get(&c.parameter).is_some_and(|v| c.holds.by(v)))
    }

    /// The assignment at a point of the unit cube (one coordinate per parameter, in order);
    /// inactive parameters are left out.
    pub fn decode(&self, point: &[f64]) -> Assignment {
        let mut assignment = Assignment::default();
        for (parameter, unit) in self.parameters.iter().zip(point) {
            if self.is_active(parameter, &assignment) {
                assignment.insert(parameter.name.clone(), parameter.domain.decode(*unit));
            }
        }
        assignment
    }

    /// The point of the unit cube for an assignment; inactive parameters are parked at 0.5.
    pub fn encode(&self, assignment: &Assignment) -> Vec<f64> {
        let unit =
            |p: &Parameter| assignment.get(&p.name).and_then(|v| p.domain.encode(v)).unwrap_or(0.5);
        self.parameters.iter().map(unit).collect()
    }

    /// Whether `assignment` has a legal value for every active parameter and none for any other.
    pub fn contains(&self, assignment: &Assignment) -> bool {
        let active: Vec<&Parameter> =
            self.parameters.iter().filter(|p| self.is_active(p, assignment)).collect();
        let legal =
            |p: &&Parameter| assignment.get(&p.name).is_some_and(|v| p.domain.encode(v).is_some());
        active.len() == assignment.len() && active.iter().all(legal)
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
