//! Values of hyperparameters, and the assignment of a trial.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::numbers::{floor_to_i64, real_from_i64};

/// One value of a hyperparameter.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number, between -2^53 and 2^53.
    Int(i64),
    /// A finite real number.
    Float(f64),
    /// A name among several, such as `adam`. Clones share the text.
    Text(Arc<str>),
}

impl Value {
    /// The value as a real number; `None` for a name.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(real_from_i64(*v)),
            Self::Float(v) => Some(*v),
            Self::Text(_) => None,
        }
    }

    /// The value as a whole number, which 2.0 is too; `None` for other numbers and for names.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(*v),
            Self::Float(v) if v.fract() == 0.0 && v.abs() < 9e15 => Some(floor_to_i64(*v)),
            Self::Float(_) | Self::Text(_) => None,
        }
    }

    /// The value as a name; `None` for a number.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(v) => Some(v),
            Self::Int(_) | Self::Float(_) => None,
        }
    }
}

impl fmt::Display for Value {
    /// Writes the value as TOML: names in quotes, very small and large numbers with an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) if *v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e6) => write!(f, "{v:e}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => write!(f, "{v:?}"),
        }
    }
}

/// The values of one trial: one per active parameter, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assignment {
    values: BTreeMap<String, Value>,
}

impl Assignment {
    /// The value of `name`; `None` if it is inactive.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Sets a value and returns the one that it replaces.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) -> Option<Value> {
        self.values.insert(name.into(), value)
    }

    /// All values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The number of active parameters.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no parameter is active.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl FromIterator<(String, Value)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(iter: I) -> Self {
        Self { values: iter.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_kind_through_json() {
        for value in
            [Value::Int(2), Value::Float(2.0), Value::Float(1e-8), Value::Text("adam".into())]
        {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn a_value_prints_as_toml() {
        assert_eq!(Value::Float(1e-5).to_string(), "1e-5");
        assert_eq!(Value::Float(0.5).to_string(), "0.5");
        assert_eq!(Value::Float(2.0).to_string(), "2.0");
        assert_eq!(Value::Text("relu".into()).to_string(), "\"relu\"");
    }
}
