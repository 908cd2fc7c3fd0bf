//! Whether a spec and its data can be trained. A spec comes from checked hyperparameters, but
//! nothing here relies on that.

use std::fmt::Display;
use std::ops::Range;

use caviar_common::train::{Schedule, TrainSpec};

use crate::error::TrainError;
use caviar_data::{Examples, Splits, Targets};

/// Checks every hyperparameter.
///
/// # Errors
/// The first that is out of its range.
pub(crate) fn check_spec(spec: &TrainSpec) -> Result<(), TrainError> {
    check("epochs", spec.epochs, spec.epochs >= 1, "at least 1")?;
    check("batch_size", spec.batch_size, spec.batch_size >= 2, "at least 2")?;
    for &units in &spec.hidden {
        check("hidden", units, units >= 1, "layers of at least 1 unit")?;
    }
    for (field, value) in [
        ("batch_norm_momentum", spec.batch_norm_momentum),
        ("dropout", spec.dropout),
        ("momentum", spec.momentum),
        ("beta1", spec.beta1),
        ("beta2", spec.beta2),
    ] {
        let unit: Range<f64> = 0.0..1.0;
        check(field, value, unit.contains(&value), "in [0, 1)")?;
    }
    for (field, value) in [
        ("weight_decay", spec.weight_decay),
        ("gradient_clip", spec.gradient_clip),
        ("learning_rate_decay", spec.learning_rate_decay),
    ] {
        check(field, value, value >= 0.0 && value.is_finite(), "finite and at least 0")?;
    }
    for (field, value) in [("learning_rate", spec.learning_rate), ("epsilon", spec.epsilon)] {
        check(field, value, value > 0.0 && value.is_finite(), "finite and above 0")?;
    }
    let decay = spec.learning_rate_decay;
    check(
        "learning_rate_decay",
        decay,
        spec.schedule != Schedule::Cosine || decay <= 1.0,
        "in [0, 1] with schedule cosine",
    )
}

fn check(
    field: &'static str,
    value: impl Display,
    is_allowed: bool,
    allowed: &'static str,
) -> Result<(), TrainError> {
    if is_allowed {
        Ok(())
    } else {
        Err(TrainError::Spec { field, value: value.to_string(), allowed })
    }
}

/// Checks that the splits agree with each other and with the number of outputs.
///
/// # Errors
/// The first split that does not, and why.
pub(crate) fn check_data(data: &Splits) -> Result<(), TrainError> {
    let features = data.train.features.ncols();
    let splits = [
        ("train", Some(&data.train), 2),
        ("validation", Some(&data.validation), 1),
        ("test", data.test.as_ref(), 1),
    ];
    for (split, examples, fewest) in splits {
        let Some(examples) = examples else { continue };
        check_split(examples, features, fewest, data)
            .map_err(|what| TrainError::Data { split, what })?;
    }
    Ok(())
}

fn check_split(
    examples: &Examples,
    features: usize,
    fewest: usize,
    data: &Splits,
) -> Result<(), String> {
    let (rows, columns) = examples.features.dim();
    if rows < fewest {
        return Err(format!("{rows} examples, must be at least {fewest}"));
    }
    if u32::try_from(rows).is_err() {
        return Err(format!("{rows} examples, must be below 2^32"));
    }
    if columns != features || columns == 0 {
        return Err(format!(
            "{columns} features, must be as many as in the train split, at least 1"
        ));
    }
    if !examples.features.is_standard_layout() {
        return Err("features are not row-major".to_owned());
    }
    if examples.targets.len() != rows {
        return Err(format!("{} targets for {rows} examples", examples.targets.len()));
    }
    check_targets(&examples.targets, data)
}

fn check_targets(targets: &Targets, data: &Splits) -> Result<(), String> {
    let outputs = data.outputs;
    match (targets, &data.train.targets) {
        (Targets::Classes(classes), Targets::Classes(_)) => {
            match classes.iter().find(|&&class| class >= outputs) {
                Some(class) => Err(format!("class {class}, must be below the {outputs} outputs")),
                None => Ok(()),
            }
        }
        (Targets::Values(_), Targets::Values(_)) if outputs != 1 => {
            Err(format!("{outputs} outputs, must be 1 for regression"))
        }
        (Targets::Values(_), Targets::Values(_)) => Ok(()),
        (Targets::Classes(_), Targets::Values(_)) | (Targets::Values(_), Targets::Classes(_)) => {
            Err("targets of another kind than in the train split".to_owned())
        }
    }
}
