//! The hyperparameters that Caviar knows: one table of their legal values, scales and defaults.
//!
//! [`TABLE`] is the only statement of what is legal. The sweep file is checked against it, the
//! documentation lists it, and [`train_spec`] reads it. [`check`] applies it to one value.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as SerdeError, StrDeserializer};

use crate::assignment::{Assignment, Value};
use crate::error::Problem;
use crate::limits::{MAX_BATCH_SIZE, MAX_EMBEDDING_SIZE, MAX_EPOCHS, MAX_LAYERS, MAX_UNITS};
use crate::scale::Scale;
use crate::text;
use crate::train::{Embedding, Optimizer, Schedule, TrainSpec};

/// The legal values of a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Numbers between two ends. NaN and the infinities are never legal.
    Real {
        /// The lower end of the range.
        low: f64,
        /// True if `low` itself is legal.
        low_included: bool,
        /// The upper end of the range.
        high: f64,
        /// True if `high` itself is legal.
        high_included: bool,
    },
    /// Whole numbers from `low` to `high`, both included.
    Whole {
        /// The smallest legal value.
        low: i64,
        /// The largest legal value.
        high: i64,
    },
    /// One of these names.
    Names(&'static [&'static str]),
}

impl Kind {
    /// low < x <= high
    const fn above(low: f64, high: f64) -> Self {
        Self::Real { low, low_included: false, high, high_included: true }
    }

    /// low <= x < high
    const fn below(low: f64, high: f64) -> Self {
        Self::Real { low, low_included: true, high, high_included: false }
    }

    /// low <= x <= high
    const fn between(low: f64, high: f64) -> Self {
        Self::Real { low, low_included: true, high, high_included: true }
    }

    #[expect(clippy::as_conversions, reason = "a const context has no From; u32 fits i64")]
    const fn whole(low: u32, high: u32) -> Self {
        Self::Whole { low: low as i64, high: high as i64 }
    }

    fn allows(self, value: &Value) -> bool {
        match self {
            Self::Real { low, low_included, high, high_included } => {
                value.as_f64().is_some_and(|v| {
                    let reaches_low = if low_included { v >= low } else { v > low };
                    let stays_in_high = if high_included { v <= high } else { v < high };
                    reaches_low && stays_in_high
                })
            }
            Self::Whole { low, high } => value.as_i64().is_some_and(|v| (low..=high).contains(&v)),
            Self::Names(names) => value.as_str().is_some_and(|v| names.contains(&v)),
        }
    }
}

/// The value of a hyperparameter that neither the space nor `[fixed]` gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// Always this real number.
    Real(f64),
    /// Always this whole number.
    Whole(i64),
    /// Always this one of the names.
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
    /// The name in sweep files. `units_1` represents every `units_N`.
    pub name: &'static str,
    /// The values that are legal.
    pub kind: Kind,
    /// The scale on which it is searched unless the sweep file gives another.
    pub scale: Scale,
    /// The value if the sweep file gives none.
    pub default: DefaultValue,
    /// If given, the hyperparameter has an effect only while this other one has one of these
    /// values.
    pub needs: Option<(&'static str, &'static [&'static str])>,
}

impl Hyperparameter {
    const fn real(name: &'static str, kind: Kind, scale: Scale, default: f64) -> Self {
        Self { name, kind, scale, default: DefaultValue::Real(default), needs: None }
    }

    const fn whole(name: &'static str, kind: Kind, scale: Scale, default: i64) -> Self {
        Self { name, kind, scale, default: DefaultValue::Whole(default), needs: None }
    }

    const fn names(
        name: &'static str,
        values: &'static [&'static str],
        default: &'static str,
    ) -> Self {
        let (kind, default) = (Kind::Names(values), DefaultValue::Name(default));
        Self { name, kind, scale: Scale::Linear, default, needs: None }
    }

    const fn with_needs(self, other: &'static str, values: &'static [&'static str]) -> Self {
        Self { needs: Some((other, values)), ..self }
    }

    const fn with_default(self, default: DefaultValue) -> Self {
        Self { default, ..self }
    }

    /// Why `value` is not legal, as `expected a number of at least 0 and below 1`; `None` if it is
    /// legal.
    pub fn objection(&self, value: &Value) -> Option<String> {
        (!self.kind.allows(value)).then(|| format!("expected {}", self.legal_text()))
    }

    /// The legal values in words, such as `a number above 0 and at most 1000`.
    pub fn legal_text(&self) -> String {
        match self.kind {
            Kind::Real { low, low_included: true, high, high_included: true } => {
                format!("a number from {low} to {high}")
            }
            Kind::Real { low, low_included, high, high_included } => format!(
                "a number {} {low} and {} {high}",
                if low_included { "of at least" } else { "above" },
                if high_included { "at most" } else { "below" }
            ),
            Kind::Whole { low, high } => format!("a whole number from {low} to {high}"),
            Kind::Names(names) => text::one_of(names.iter().copied()),
        }
    }

    /// The default in words, such as `64` or `the value of units`.
    pub fn default_text(&self) -> String {
        match self.default {
            DefaultValue::Real(v) => Value::Float(v).to_string(),
            DefaultValue::Whole(v) => v.to_string(),
            DefaultValue::Name(v) => v.to_owned(),
            DefaultValue::BySchedule => {
                "0 (constant, inverse_time), 0.05 (exponential), 0.1 (step), 1 (cosine)".to_owned()
            }
            DefaultValue::Units => "the value of units".to_owned(),
        }
    }
}

/// Every hyperparameter, the most important first.
pub static TABLE: [Hyperparameter; 30] = [
    Hyperparameter::real("learning_rate", Kind::above(0.0, 1000.0), Scale::Log, 0.01),
    Hyperparameter::real("momentum", Kind::below(0.0, 1.0), Scale::OneMinusLog, 0.9)
        .with_needs("optimizer", &["momentum", "nesterov"]),
    Hyperparameter::whole("units", Kind::whole(1, MAX_UNITS), Scale::Linear, 64),
    Hyperparameter::whole("units_1", Kind::whole(1, MAX_UNITS), Scale::Linear, 64)
        .with_default(DefaultValue::Units),
    Hyperparameter::whole("batch_size", Kind::whole(2, MAX_BATCH_SIZE), Scale::Log, 64),
    Hyperparameter::whole("layers", Kind::whole(0, MAX_LAYERS), Scale::Linear, 2),
    Hyperparameter::real("learning_rate_decay", Kind::between(0.0, 100.0), Scale::Linear, 0.0)
        .with_default(DefaultValue::BySchedule)
        .with_needs("schedule", &["inverse_time", "exponential", "step", "cosine"]),
    Hyperparameter::names(
        "schedule",
        &[
            "constant",
            "inverse_time",
            "exponential",
            "step",
            "cosine",
            "one_cycle",
            "cosine_cycles",
        ],
        "inverse_time",
    ),
    Hyperparameter::names(
        "optimizer",
        &["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"],
        "momentum",
    ),
    Hyperparameter::names(
        "activation",
        &["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "mish", "selu"],
        "relu",
    ),
    Hyperparameter::names("normalization", &["before", "after", "none"], "before"),
    Hyperparameter::whole("epochs", Kind::whole(1, MAX_EPOCHS), Scale::Linear, 30),
    Hyperparameter::real("dropout", Kind::below(0.0, 1.0), Scale::Linear, 0.0),
    Hyperparameter::names("dropout_schedule", &["constant", "flat_cosine"], "constant"),
    Hyperparameter::real("label_smoothing", Kind::below(0.0, 1.0), Scale::Linear, 0.0),
    Hyperparameter::real("weight_decay", Kind::between(0.0, 100.0), Scale::Log, 0.0),
    Hyperparameter::names("weight_decay_schedule", &["constant", "flat_cosine"], "constant"),
    Hyperparameter::names("scaling", &["standard", "robust", "quantile"], "standard"),
    Hyperparameter::names("embedding", &["none", "periodic", "piecewise_linear"], "none"),
    Hyperparameter::whole("embedding_size", Kind::whole(2, MAX_EMBEDDING_SIZE), Scale::Linear, 4)
        .with_needs("embedding", &["periodic", "piecewise_linear"]),
    Hyperparameter::real("embedding_frequency_scale", Kind::above(0.0, 100.0), Scale::Log, 0.1)
        .with_needs("embedding", &["periodic"]),
    Hyperparameter::names("input_scaling", &["false", "true"], "false"),
    Hyperparameter::real("weight_average", Kind::below(0.0, 1.0), Scale::OneMinusLog, 0.0),
    Hyperparameter::real("beta1", Kind::below(0.0, 1.0), Scale::OneMinusLog, 0.9)
        .with_needs("optimizer", &["adam", "adamw"]),
    Hyperparameter::real("beta2", Kind::below(0.0, 1.0), Scale::OneMinusLog, 0.999)
        .with_needs("optimizer", &["rmsprop", "adam", "adamw"]),
    Hyperparameter::real("epsilon", Kind::above(0.0, 1.0), Scale::Log, 1e-8)
        .with_needs("optimizer", &["rmsprop", "adam", "adamw"]),
    Hyperparameter::real("batch_norm_momentum", Kind::below(0.0, 1.0), Scale::OneMinusLog, 0.9)
        .with_needs("normalization", &["before", "after"]),
    Hyperparameter::names("init", &["auto", "he", "xavier"], "auto"),
    Hyperparameter::real("gradient_clip", Kind::between(0.0, 1e6), Scale::Log, 0.0),
    Hyperparameter::names("precision", &["f32", "bf16"], "f32"),
];

/// The row for `name`. `units_N` finds the row of `units_1` for every N from 1 to [`MAX_LAYERS`].
pub fn lookup(name: &str) -> Option<&'static Hyperparameter> {
    let name = if unit_layer(name).is_some() { "units_1" } else { name };
    TABLE.iter().find(|h| h.name == name)
}

/// The N of `units_N`, from 1 to [`MAX_LAYERS`]; `None` for any other name.
pub fn unit_layer(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("units_")?;
    let layer: u32 = digits.parse().ok()?;
    // Only the plain spelling counts: units_01 and units_+1 are other names.
    ((1..=MAX_LAYERS).contains(&layer) && layer.to_string() == digits).then_some(layer)
}

/// Checks one value against the table, as every value of a sweep file is checked.
///
/// ```
/// use caviar_common::assignment::Value;
/// use caviar_common::hyper;
///
/// assert!(hyper::check("dropout", &Value::Float(0.5)).is_ok());
/// let problem = hyper::check("dropout", &Value::Float(1.0)).unwrap_err();
/// assert_eq!(problem.to_string(), "dropout = 1.0: expected a number of at least 0 and below 1");
/// ```
///
/// # Errors
/// A problem that names the hyperparameter, its value and the legal values, or says that there is
/// no hyperparameter called `name`.
pub fn check(name: &str, value: &Value) -> Result<(), Problem> {
    let row = lookup(name).ok_or_else(|| unknown(name, name))?;
    row.objection(value).map_or(Ok(()), |message| Err(Problem::with_value(name, value, message)))
}

/// The problem of a `field` that names a hyperparameter that does not exist.
pub(crate) fn unknown(field: &str, name: &str) -> Problem {
    let known = || TABLE.iter().map(|h| h.name);
    let message = match text::nearest(name, known()) {
        Some(near) => format!("unknown hyperparameter: did you mean {near}?"),
        None => format!(
            "unknown hyperparameter: expected one of {}",
            known().collect::<Vec<_>>().join(", ")
        ),
    };
    Problem::new(field, message)
}

/// The values of one trial by name: from the assignment, else from `[fixed]`, else the default.
struct Lookup<'a> {
    fixed: &'a Assignment,
    assignment: &'a Assignment,
}

impl Lookup<'_> {
    fn value(&self, name: &str) -> Result<Value, Problem> {
        if let Some(value) = self.assignment.get(name).or_else(|| self.fixed.get(name)) {
            return Ok(value.clone());
        }
        match lookup(name).ok_or_else(|| unknown(name, name))?.default {
            DefaultValue::Real(v) => Ok(Value::Float(v)),
            DefaultValue::Whole(v) => Ok(Value::Int(v)),
            DefaultValue::Name(v) => Ok(Value::Text(v.into())),
            DefaultValue::BySchedule => Ok(Value::Float(self.default_decay()?)),
            DefaultValue::Units => self.value("units"),
        }
    }

    fn real(&self, name: &str) -> Result<f64, Problem> {
        let value = self.value(name)?;
        value.as_f64().ok_or_else(|| Problem::with_value(name, &value, "expected a number"))
    }

    fn whole(&self, name: &str) -> Result<u32, Problem> {
        let value = self.value(name)?;
        let number = value.as_i64().and_then(|v| u32::try_from(v).ok());
        number.ok_or_else(|| Problem::with_value(name, &value, "expected a whole number"))
    }

    fn text(&self, name: &str) -> Result<String, Problem> {
        let value = self.value(name)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Problem::with_value(name, &value, "expected a name"))
    }

    /// The variant of `T` that the value of `name` names.
    fn variant<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, Problem> {
        let text = self.text(name)?;
        let deserializer: StrDeserializer<'_, SerdeError> = text.as_str().into_deserializer();
        T::deserialize(deserializer).map_err(|e| Problem::with_value(name, &text, e.to_string()))
    }

    fn default_decay(&self) -> Result<f64, Problem> {
        Ok(match self.text("schedule")?.as_str() {
            "exponential" => 0.05,
            "step" => 0.1,
            "cosine" => 1.0,
            _ => 0.0,
        })
    }

    fn optimizer(&self) -> Result<Optimizer, Problem> {
        let momentum = || self.real("momentum");
        let beta1 = || self.real("beta1");
        let beta2 = || self.real("beta2");
        let epsilon = || self.real("epsilon");
        Ok(match self.text("optimizer")?.as_str() {
            "sgd" => Optimizer::Sgd,
            "momentum" => Optimizer::Momentum { momentum: momentum()? },
            "nesterov" => Optimizer::Nesterov { momentum: momentum()? },
            "rmsprop" => Optimizer::Rmsprop { beta2: beta2()?, epsilon: epsilon()? },
            "adam" => Optimizer::Adam { beta1: beta1()?, beta2: beta2()?, epsilon: epsilon()? },
            "adamw" => Optimizer::Adamw { beta1: beta1()?, beta2: beta2()?, epsilon: epsilon()? },
            other => return Err(unlisted("optimizer", other)),
        })
    }

    fn embedding(&self) -> Result<Embedding, Problem> {
        let size = || self.whole("embedding_size");
        Ok(match self.text("embedding")?.as_str() {
            "none" => Embedding::None,
            "periodic" => {
                let frequency_scale = self.real("embedding_frequency_scale")?;
                Embedding::Periodic { size: size()?, frequency_scale }
            }
            "piecewise_linear" => Embedding::PiecewiseLinear { size: size()? },
            other => return Err(unlisted("embedding", other)),
        })
    }

    fn schedule(&self) -> Result<Schedule, Problem> {
        let decay = self.real("learning_rate_decay")?;
        Ok(match self.text("schedule")?.as_str() {
            "constant" => Schedule::Constant,
            "inverse_time" => Schedule::InverseTime { decay },
            "exponential" => Schedule::Exponential { decay },
            "step" => Schedule::Step { decay },
            "cosine" => Schedule::Cosine { decay },
            "one_cycle" => Schedule::OneCycle,
            "cosine_cycles" => Schedule::CosineCycles,
            other => return Err(unlisted("schedule", other)),
        })
    }
}

/// The problem of a name that [`TABLE`] lists and the types do not have: a bug, which the test
/// `every_listed_name_is_known_to_the_types` finds.
fn unlisted(name: &str, value: &str) -> Problem {
    Problem::with_value(name, value, "not implemented")
}

/// Checks the decay of a schedule: that of a cosine is a share of the learning rate.
///
/// # Errors
/// A problem with `learning_rate_decay` that says what is legal.
pub fn check_schedule(schedule: Schedule) -> Result<(), Problem> {
    const NAME: &str = "learning_rate_decay";
    match schedule {
        Schedule::Constant | Schedule::OneCycle | Schedule::CosineCycles => Ok(()),
        Schedule::InverseTime { decay }
        | Schedule::Exponential { decay }
        | Schedule::Step { decay } => check(NAME, &Value::Float(decay)),
        Schedule::Cosine { decay } if decay > 1.0 => {
            let message = "expected a number from 0 to 1: with schedule = \"cosine\" it is the \
                           share of the rate that is lost by the end";
            Err(Problem::with_value(NAME, Value::Float(decay), message))
        }
        Schedule::Cosine { decay } => check(NAME, &Value::Float(decay)),
    }
}

/// What to train for an `assignment` together with the `fixed` hyperparameters.
///
/// Checks every given value, also those that have no effect, such as the momentum of Adam.
///
/// ```
/// use caviar_common::assignment::{Assignment, Value};
/// use caviar_common::hyper::train_spec;
/// use caviar_common::train::Optimizer;
///
/// let mut fixed = Assignment::default();
/// fixed.insert("optimizer", Value::Text("nesterov".into()));
/// let mut assignment = Assignment::default();
/// assignment.insert("momentum", Value::Float(0.8));
/// let spec = train_spec(&fixed, &assignment)?;
/// assert_eq!(spec.optimizer, Optimizer::Nesterov { momentum: 0.8 });
/// assert_eq!(spec.hidden, [64, 64]);
/// # Ok::<(), caviar_common::error::Problem>(())
/// ```
///
/// # Errors
/// A problem that names the first hyperparameter that does not exist or whose value is not legal.
pub fn train_spec(fixed: &Assignment, assignment: &Assignment) -> Result<TrainSpec, Problem> {
    for (name, value) in assignment.iter().chain(fixed.iter()) {
        check(name, value)?;
    }
    let at = Lookup { fixed, assignment };
    let layers = 1..=at.whole("layers")?;
    let hidden: Result<Vec<u32>, Problem> =
        layers.map(|layer| at.whole(&format!("units_{layer}"))).collect();
    let schedule = at.schedule()?;
    check_schedule(schedule)?;
    Ok(TrainSpec {
        epochs: at.whole("epochs")?,
        batch_size: at.whole("batch_size")?,
        hidden: hidden?,
        activation: at.variant("activation")?,
        normalization: at.variant("normalization")?,
        batch_norm_momentum: at.real("batch_norm_momentum")?,
        dropout: at.real("dropout")?,
        dropout_schedule: at.variant("dropout_schedule")?,
        label_smoothing: at.real("label_smoothing")?,
        weight_decay: at.real("weight_decay")?,
        weight_decay_schedule: at.variant("weight_decay_schedule")?,
        scaling: at.variant("scaling")?,
        embedding: at.embedding()?,
        input_scaling: at.text("input_scaling")? == "true",
        init: at.variant("init")?,
        gradient_clip: at.real("gradient_clip")?,
        weight_average: at.real("weight_average")?,
        optimizer: at.optimizer()?,
        learning_rate: at.real("learning_rate")?,
        schedule,
        precision: at.variant("precision")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(pairs: &[(&str, Value)]) -> Assignment {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    }

    #[test]
    fn every_default_is_legal_and_makes_a_spec() {
        let spec = train_spec(&Assignment::default(), &Assignment::default()).unwrap();
        assert_eq!(spec.hidden, [64, 64]);
        assert_eq!(spec.optimizer, Optimizer::Momentum { momentum: 0.9 });
        assert_eq!(spec.schedule, Schedule::InverseTime { decay: 0.0 });
    }

    #[test]
    fn an_optimizer_takes_the_values_that_it_has() {
        let of = |name: &str| {
            let fixed = assignment(&[
                ("optimizer", Value::Text(name.into())),
                ("momentum", Value::Float(0.5)),
                ("beta2", Value::Float(0.75)),
            ]);
            train_spec(&fixed, &Assignment::default()).unwrap().optimizer
        };
        let (beta1, beta2, epsilon) = (0.9, 0.75, 1e-8);
        assert_eq!(of("sgd"), Optimizer::Sgd);
        assert_eq!(of("momentum"), Optimizer::Momentum { momentum: 0.5 });
        assert_eq!(of("nesterov"), Optimizer::Nesterov { momentum: 0.5 });
        assert_eq!(of("rmsprop"), Optimizer::Rmsprop { beta2, epsilon });
        assert_eq!(of("adam"), Optimizer::Adam { beta1, beta2, epsilon });
        assert_eq!(of("adamw"), Optimizer::Adamw { beta1, beta2, epsilon });
    }

    #[test]
    fn an_embedding_takes_the_values_that_it_has() {
        let of = |name: &str| {
            let fixed = assignment(&[
                ("embedding", Value::Text(name.into())),
                ("embedding_size", Value::Int(7)),
                ("embedding_frequency_scale", Value::Float(0.5)),
            ]);
            train_spec(&fixed, &Assignment::default()).unwrap().embedding
        };
        assert_eq!(of("none"), Embedding::None);
        assert_eq!(of("periodic"), Embedding::Periodic { size: 7, frequency_scale: 0.5 });
        assert_eq!(of("piecewise_linear"), Embedding::PiecewiseLinear { size: 7 });
        assert_eq!([of("none").size(), of("periodic").size()], [1, 7]);
    }

    #[test]
    fn every_listed_name_is_known_to_the_types() {
        for row in &TABLE {
            if let Kind::Names(values) = row.kind {
                for value in values {
                    let fixed = assignment(&[(row.name, Value::Text((*value).into()))]);
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
        assert_eq!(spec.schedule, Schedule::Cosine { decay: 1.0 });
        let drawn = assignment(&[("learning_rate_decay", Value::Float(2.0))]);
        assert!(train_spec(&fixed, &drawn).is_err());
    }

    #[test]
    fn values_that_have_no_effect_are_checked_too() {
        let fixed = assignment(&[
            ("optimizer", Value::Text("adam".into())),
            ("momentum", Value::Float(1.5)),
        ]);
        let problem = train_spec(&fixed, &Assignment::default()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "momentum = 1.5: expected a number of at least 0 and below 1"
        );
    }

    #[test]
    fn illegal_values_are_named() {
        let problem =
            train_spec(&assignment(&[("batch_size", Value::Int(1))]), &Assignment::default())
                .unwrap_err();
        assert_eq!(
            problem.to_string(),
            "batch_size = 1: expected a whole number from 2 to 1048576"
        );
        assert!(
            train_spec(&Assignment::default(), &assignment(&[("units_65", Value::Int(1))]))
                .is_err()
        );
    }
}
