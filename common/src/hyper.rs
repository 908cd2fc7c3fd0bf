//! The hyperparameters that Caviar knows: one table with their ranges, proper scales and defaults.
//!
//! The table is what the sweep file is checked against, what the documentation lists, and what
//! [`train_spec`] reads.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as SerdeError, StrDeserializer};

use crate::assignment::{Assignment, Value};
use crate::error::Problem;
use crate::limits::{MAX_BATCH_SIZE, MAX_EPOCHS, MAX_LAYERS, MAX_UNITS};
use crate::scale::Scale;
use crate::train::TrainSpec;

/// The values a hyperparameter can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Numbers above (or from, if `low_included`) `low` and below (or up to) `high`.
    Real {
        /// Lower end.
        low: f64,
        /// Whether `low` itself is allowed.
        low_included: bool,
        /// Upper end.
        high: f64,
        /// Whether `high` itself is allowed.
        high_included: bool,
    },
    /// Whole numbers from `low` to `high`.
    Whole {
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
    },
    /// One of these names.
    Names(&'static [&'static str]),
}

/// What a hyperparameter is when neither the space nor `[fixed]` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// A number.
    Real(f64),
    /// A whole number.
    Whole(i64),
    /// A name.
    Name(&'static str),
    /// For `learning_rate_decay`: 0 for constant and inverse_time, 0.05 for exponential, 0.1 for
    /// step, 1 for cosine.
    BySchedule,
    /// For `units_1`, `units_2`, ...: the value of `units`.
    Units,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparameter {
    /// Its name; for the table's `units_1`, any `units_N`.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// The scale it is searched on unless the file says another.
    pub scale: Scale,
    /// Its value when nothing is said.
    pub default: DefaultValue,
    /// It has an effect only where this other hyperparameter has one of these values.
    pub needs: Option<(&'static str, &'static [&'static str])>,
}

const fn real(
    name: &'static str,
    low: f64,
    low_included: bool,
    high: f64,
    high_included: bool,
    scale: Scale,
    default: f64,
) -> Hyperparameter {
    let kind = Kind::Real { low, low_included, high, high_included };
    Hyperparameter { name, kind, scale, default: DefaultValue::Real(default), needs: None }
}

const fn whole(
    name: &'static str,
    low: i64,
    high: i64,
    scale: Scale,
    default: i64,
) -> Hyperparameter {
    Hyperparameter {
        name,
        kind: Kind::Whole { low, high },
        scale,
        default: DefaultValue::Whole(default),
        needs: None,
    }
}

const fn names(
    name: &'static str,
    values: &'static [&'static str],
    default: &'static str,
) -> Hyperparameter {
    Hyperparameter {
        name,
        kind: Kind::Names(values),
        scale: Scale::Linear,
        default: DefaultValue::Name(default),
        needs: None,
    }
}

impl Hyperparameter {
    const fn needs(self, other: &'static str, values: &'static [&'static str]) -> Self {
        Self { needs: Some((other, values)), ..self }
    }

    const fn default(self, default: DefaultValue) -> Self {
        Self { default, ..self }
    }
}

#[expect(clippy::as_conversions, reason = "a const context has no From; u32 fits i64")]
const fn limit(value: u32) -> i64 {
    value as i64
}

/// Every hyperparameter, by importance.
pub static TABLE: [Hyperparameter; 21] = [
    real("learning_rate", 0.0, false, 1000.0, true, Scale::Log, 0.01),
    real("momentum", 0.0, true, 1.0, false, Scale::OneMinusLog, 0.9)
        .needs("optimizer", &["momentum", "nesterov"]),
    whole("units", 1, limit(MAX_UNITS), Scale::Linear, 64),
    whole("units_1", 1, limit(MAX_UNITS), Scale::Linear, 64).default(DefaultValue::Units),
    whole("batch_size", 2, limit(MAX_BATCH_SIZE), Scale::Log, 64),
    whole("layers", 0, limit(MAX_LAYERS), Scale::Linear, 2),
    real("learning_rate_decay", 0.0, true, 100.0, true, Scale::Linear, 0.0)
        .default(DefaultValue::BySchedule)
        .needs("schedule", &["inverse_time", "exponential", "step", "cosine"]),
    names(
        "schedule",
        &["constant", "inverse_time", "exponential", "step", "cosine"],
        "inverse_time",
    ),
    names("optimizer", &["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"], "momentum"),
    names("activation", &["relu", "leaky_relu", "tanh", "sigmoid", "gelu"], "relu"),
    names("normalization", &["before", "after", "none"], "before"),
    whole("epochs", 1, limit(MAX_EPOCHS), Scale::Linear, 30),
    real("dropout", 0.0, true, 1.0, false, Scale::Linear, 0.0),
    real("weight_decay", 0.0, true, 100.0, true, Scale::Log, 0.0),
    real("beta1", 0.0, true, 1.0, false, Scale::OneMinusLog, 0.9)
        .needs("optimizer", &["adam", "adamw"]),
    real("beta2", 0.0, true, 1.0, false, Scale::OneMinusLog, 0.999)
        .needs("optimizer", &["rmsprop", "adam", "adamw"]),
    real("epsilon", 0.0, false, 1.0, true, Scale::Log, 1e-8)
        .needs("optimizer", &["rmsprop", "adam", "adamw"]),
    real("batch_norm_momentum", 0.0, true, 1.0, false, Scale::OneMinusLog, 0.9)
        .needs("normalization", &["before", "after"]),
    names("init", &["auto", "he", "xavier"], "auto"),
    real("gradient_clip", 0.0, true, 1e6, true, Scale::Log, 0.0),
    names("precision", &["f32", "bf16"], "f32"),
];

/// The row for `name`; `units_N` finds the row of `units_1` for every N up to the limit on layers.
pub fn lookup(name: &str) -> Option<&'static Hyperparameter> {
    let name = if unit_layer(name).is_some() { "units_1" } else { name };
    TABLE.iter().find(|h| h.name == name)
}

/// The N of `units_N`, from 1 to the limit on layers.
pub fn unit_layer(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("units_")?;
    let layer: u32 = digits.parse().ok()?;
    // Only the plain spelling: units_01 and units_+1 are other names.
    ((1..=MAX_LAYERS).contains(&layer) && layer.to_string() == digits).then_some(layer)
}

impl Hyperparameter {
    /// What is wrong with `value` for this hyperparameter, in words that say what would be right.
    pub fn objection(&self, value: &Value) -> Option<String> {
        let legal = match self.kind {
            Kind::Real { low, low_included, high, high_included } => {
                value.as_f64().is_some_and(|v| {
                    let above = if low_included { v >= low } else { v > low };
                    let below = if high_included { v <= high } else { v < high };
                    above && below
                })
            }
            Kind::Whole { low, high } => value.as_i64().is_some_and(|v| (low..=high).contains(&v)),
            Kind::Names(names) => value.as_str().is_some_and(|v| names.contains(&v)),
        };
        (!legal).then(|| format!("write {}", self.legal()))
    }

    /// The legal values, in words: "a number above 0 and up to 1000".
    pub fn legal(&self) -> String {
        match self.kind {
            Kind::Real { low, low_included, high, high_included } => format!(
                "a number {} {low} and {} {high}",
                if low_included { "from" } else { "above" },
                if high_included { "up to" } else { "below" }
            ),
            Kind::Whole { low, high } => format!("a whole number from {low} to {high}"),
            Kind::Names(names) => format!("one of {}", names.join(", ")),
        }
    }

    /// The default, in words.
    pub fn default_text(&self) -> String {
        match self.default {
            DefaultValue::Real(v) => Value::Float(v).to_string(),
            DefaultValue::Whole(v) => v.to_string(),
            DefaultValue::Name(v) => v.to_owned(),
            DefaultValue::BySchedule => {
                "0 (constant, inverse_time), 0.05 (exponential), 0.1 (step), 1 (cosine)".to_owned()
            }
            DefaultValue::Units => "as units".to_owned(),
        }
    }
}

/// The values of one trial by name: the assignment first, then `[fixed]`, then the defaults.
struct Lookup<'a> {
    fixed: &'a Assignment,
    assignment: &'a Assignment,
}

impl Lookup<'_> {
    fn value(&self, name: &str) -> Result<Value, Problem> {
        let row = lookup(name).ok_or_else(|| Problem::new(name, "no such hyperparameter"))?;
        let given = self.assignment.get(name).or_else(|| self.fixed.get(name));
        if let Some(value) = given {
            return match row.objection(value) {
                Some(message) => Err(Problem::with_value(name, value, message)),
                None => Ok(value.clone()),
            };
        }
        match row.default {
            DefaultValue::Real(v) => Ok(Value::Float(v)),
            DefaultValue::Whole(v) => Ok(Value::Int(v)),
            DefaultValue::Name(v) => Ok(Value::Text(v.to_owned())),
            DefaultValue::BySchedule => Ok(Value::Float(default_decay(
                self.value("schedule")?.as_str().unwrap_or_default(),
            ))),
            DefaultValue::Units => self.value("units"),
        }
    }

    fn real(&self, name: &str) -> Result<f64, Problem> {
        let value = self.value(name)?;
        value.as_f64().ok_or_else(|| Problem::with_value(name, &value, "write a number"))
    }

    fn whole(&self, name: &str) -> Result<u32, Problem> {
        let value = self.value(name)?;
        let number = value.as_i64().and_then(|v| u32::try_from(v).ok());
        number.ok_or_else(|| Problem::with_value(name, &value, "write a whole number"))
    }

    fn name<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, Problem> {
        let value = self.value(name)?;
        let text: StrDeserializer<'_, SerdeError> =
            value.as_str().unwrap_or_default().into_deserializer();
        T::deserialize(text).map_err(|e| Problem::with_value(name, &value, e.to_string()))
    }
}

fn default_decay(schedule: &str) -> f64 {
    match schedule {
        "exponential" => 0.05,
        "step" => 0.1,
        "cosine" => 1.0,
        _ => 0.0,
    }
}

/// What to train for `assignment` beside the `fixed` hyperparameters; everything is checked again.
///
/// # Errors
/// A problem that names the first hyperparameter whose value is not legal.
pub fn train_spec(fixed: &Assignment, assignment: &Assignment) -> Result<TrainSpec, Problem> {
    if let Some((name, value)) = assignment.iter().find(|(name, _)| lookup(name).is_none()) {
        return Err(Problem::with_value(name, value, "no such hyperparameter"));
    }
    let at = Lookup { fixed, assignment };
    let layers = at.whole("layers")?;
    let hidden: Result<Vec<u32>, Problem> =
        (1..=layers).map(|layer| at.whole(&format!("units_{layer}"))).collect();
    let spec = TrainSpec {
        epochs: at.whole("epochs")?,
        batch_size: at.whole("batch_size")?,
        hidden: hidden?,
        activation: at.name("activation")?,
        normalization: at.name("normalization")?,
        batch_norm_momentum: at.real("batch_norm_momentum")?,
        dropout: at.real("dropout")?,
        weight_decay: at.real("weight_decay")?,
        init: at.name("init")?,
        gradient_clip: at.real("gradient_clip")?,
        optimizer: at.name("optimizer")?,
        learning_rate: at.real("learning_rate")?,
        schedule: at.name("schedule")?,
        learning_rate_decay: at.real("learning_rate_decay")?,
        momentum: at.real("momentum")?,
        beta1: at.real("beta1")?,
        beta2: at.real("beta2")?,
        epsilon: at.real("epsilon")?,
        precision: at.name("precision")?,
    };
    if spec.schedule == crate::train::Schedule::Cosine && spec.learning_rate_decay > 1.0 {
        let message =
            "with schedule cosine it is the share of the rate lost by the end: write 0 to 1";
        return Err(Problem::with_value("learning_rate_decay", spec.learning_rate_decay, message));
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Optimizer, Schedule};

    fn assignment(pairs: &[(&str, Value)]) -> Assignment {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    }

    #[test]
    fn every_default_is_legal_and_makes_a_spec() {
        let spec = train_spec(&Assignment::default(), &Assignment::default()).unwrap();
        assert_eq!(spec.hidden, [64, 64]);
        assert_eq!(spec.optimizer, Optimizer::Momentum);
        assert_eq!((spec.beta1, spec.beta2, spec.epsilon), (0.9, 0.999, 1e-8));
    }

    #[test]
    fn every_listed_name_is_known_to_the_types() {
        for row in &TABLE {
            if let Kind::Names(values) = row.kind {
                for value in values {
                    let fixed = assignment(&[(row.name, Value::Text((*value).to_owned()))]);
                    assert!(
                        train_spec(&fixed, &Assignment::default()).is_ok(),
                        "{} = {value}",
                        row.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_assignment_goes_before_fixed_and_units_per_layer_before_units() {
        let fixed = assignment(&[
            ("layers", Value::Int(3)),
            ("units", Value::Int(10)),
            ("units_2", Value::Int(20)),
        ]);
        let drawn = assignment(&[("units_3", Value::Int(30)), ("units", Value::Int(11))]);
        assert_eq!(train_spec(&fixed, &drawn).unwrap().hidden, [11, 20, 30]);
    }

    #[test]
    fn the_decay_follows_the_schedule() {
        let fixed = assignment(&[("schedule", Value::Text("cosine".into()))]);
        let spec = train_spec(&fixed, &Assignment::default()).unwrap();
        assert_eq!((spec.schedule, spec.learning_rate_decay), (Schedule::Cosine, 1.0));
        let drawn = assignment(&[("learning_rate_decay", Value::Float(2.0))]);
        assert!(train_spec(&fixed, &drawn).is_err());
    }

    #[test]
    fn illegal_values_are_named() {
        let problem =
            train_spec(&assignment(&[("batch_size", Value::Int(1))]), &Assignment::default())
                .unwrap_err();
        assert_eq!(problem.to_string(), "batch_size = 1: write a whole number from 2 to 1048576");
        assert!(
            train_spec(&Assignment::default(), &assignment(&[("units_65", Value::Int(1))]))
                .is_err()
        );
    }
}
