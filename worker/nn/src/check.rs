//! Checks that a spec and its data can be trained.
//!
//! A spec usually comes from [`hyper::train_spec`], which has checked it, and data from
//! `caviar-data`. The kernels index by these sizes without further checks, so they are checked
//! here again. The legal ranges are those of [`hyper::TABLE`].

use caviar_common::assignment::Value;
use caviar_common::error::Problem;
use caviar_common::hyper;
use caviar_common::numbers::{index, to_u32};
use caviar_common::train::{Embedding, Optimizer, Scaling, TrainSpec};
use caviar_data::{Examples, Splits, Targets};
use ndarray::Array2;

use crate::error::TrainError;

/// Checks every hyperparameter of `spec`.
///
/// # Errors
/// The first hyperparameter that is outside its range.
pub(crate) fn check_spec(spec: &TrainSpec) -> Result<(), TrainError> {
    check_numbers(spec).map_err(TrainError::Spec)
}

fn check_numbers(spec: &TrainSpec) -> Result<(), Problem> {
    whole("epochs", spec.epochs)?;
    whole("batch_size", spec.batch_size)?;
    whole("layers", to_u32(spec.hidden.len()))?;
    for (layer, &units) in (1..).zip(&spec.hidden) {
        whole(&format!("units_{layer}"), units)?;
    }
    real("batch_norm_momentum", spec.batch_norm_momentum)?;
    real("dropout", spec.dropout)?;
    real("label_smoothing", spec.label_smoothing)?;
    real("weight_decay", spec.weight_decay)?;
    real("gradient_clip", spec.gradient_clip)?;
    real("weight_average", spec.weight_average)?;
    check_embedding(spec.embedding)?;
    real("learning_rate", spec.learning_rate)?;
    hyper::check_schedule(spec.schedule)?;
    check_optimizer(spec.optimizer)
}

fn check_embedding(embedding: Embedding) -> Result<(), Problem> {
    match embedding {
        Embedding::None => Ok(()),
        Embedding::Periodic { size, frequency_scale } => {
            whole("embedding_size", size)?;
            real("embedding_frequency_scale", frequency_scale)
        }
        Embedding::PiecewiseLinear { size } => whole("embedding_size", size),
    }
}

fn check_optimizer(optimizer: Optimizer) -> Result<(), Problem> {
    match optimizer {
        Optimizer::Sgd => Ok(()),
        Optimizer::Momentum { momentum } | Optimizer::Nesterov { momentum } => {
            real("momentum", momentum)
        }
        Optimizer::Rmsprop { beta2, epsilon } => {
            real("beta2", beta2)?;
            real("epsilon", epsilon)
        }
        Optimizer::Adam { beta1, beta2, epsilon } | Optimizer::Adamw { beta1, beta2, epsilon } => {
            real("beta1", beta1)?;
            real("beta2", beta2)?;
            real("epsilon", epsilon)
        }
    }
}

fn whole(name: &str, value: u32) -> Result<(), Problem> {
    hyper::check(name, &Value::Int(i64::from(value)))
}

fn real(name: &str, value: f64) -> Result<(), Problem> {
    hyper::check(name, &Value::Float(value))
}

/// Checks that labels are smoothed only if there are classes.
///
/// # Errors
/// The spec smooths the labels of a regression.
pub(crate) fn check_smoothing(spec: &TrainSpec, data: &Splits) -> Result<(), TrainError> {
    const NAME: &str = "label_smoothing";
    match &data.train.targets {
        Targets::Values(_) if spec.label_smoothing > 0.0 => {
            let message = "expected 0 for regression, which has no classes to smooth";
            let value = Value::Float(spec.label_smoothing);
            Err(TrainError::Spec(Problem::with_value(NAME, value, message)))
        }
        Targets::Values(_) | Targets::Classes(_) => Ok(()),
    }
}

/// Checks that each split agrees with the others and with the number of outputs.
///
/// # Errors
/// The first split that does not, and why.
pub(crate) fn check_data(data: &Splits) -> Result<(), TrainError> {
    // Batch normalisation needs two training examples.
    check_split("train", &data.train, 2, data)?;
    check_split("validation", &data.validation, 0, data)?;
    let rows = to_u32(data.train.features.nrows());
    for fold in &data.folds {
        check_split("fold", &fold.validation, 1, data)?;
        if fold.train.len() < 2 || fold.train.iter().any(|&row| row >= rows) {
            let what = format!("rows to train on: expected at least 2, each below {rows}");
            return Err(TrainError::Data { split: "fold", what });
        }
    }
    data.test.as_ref().map_or(Ok(()), |test| check_split("test", test, 1, data))
}

/// Checks that nothing is learnt from all values of an input if they are in a file.
///
/// # Errors
/// The spec scales numbers by quantiles, or has bins.
pub(crate) fn check_stage(spec: &TrainSpec, data: &Splits) -> Result<(), TrainError> {
    if data.train.features.in_memory().is_some() {
        return Ok(());
    }
    let refused = |name: &str, value: &str, expected: &str| {
        let message = format!("expected {expected} for inputs that are too large for memory");
        Err(TrainError::Spec(Problem::with_value(name, Value::Text(value.into()), message)))
    };
    match spec.scaling {
        Scaling::Standard => {}
        Scaling::Robust => return refused("scaling", "robust", "\"standard\""),
        Scaling::Quantile => return refused("scaling", "quantile", "\"standard\""),
    }
    match spec.embedding {
        Embedding::PiecewiseLinear { .. } => {
            refused("embedding", "piecewise_linear", "\"periodic\" or \"none\"")
        }
        Embedding::None | Embedding::Periodic { .. } => Ok(()),
    }
}

/// Checks that there are examples to validate on.
///
/// # Errors
/// The validation split is empty, and there are no folds.
pub(crate) fn check_validation(data: &Splits) -> Result<(), TrainError> {
    let least = if data.folds.is_empty() { 1 } else { 0 };
    check_split("validation", &data.validation, least, data)
}

/// Checks the split of that name, which must have at least `min_rows` examples.
fn check_split(
    split: &'static str,
    examples: &Examples,
    min_rows: usize,
    data: &Splits,
) -> Result<(), TrainError> {
    check_features(examples, min_rows, data)
        .and_then(|()| check_targets(&examples.targets, data))
        .map_err(|what| TrainError::Data { split, what })
}

fn check_features(examples: &Examples, min_rows: usize, data: &Splits) -> Result<(), String> {
    let (rows, columns) = examples.features.dim();
    if rows < min_rows {
        return Err(format!("examples = {rows}: expected at least {min_rows}"));
    }
    if u32::try_from(rows).is_err() {
        return Err(format!("examples = {rows}: expected fewer than 2^32"));
    }
    if columns == 0 {
        return Err("features = 0: expected at least 1".to_owned());
    }
    let expected = data.train.features.ncols();
    if columns != expected {
        return Err(format!("features = {columns}: expected {expected}, as in the train split"));
    }
    let is_row_major = |features: &Array2<f32>| features.is_standard_layout();
    if !examples.features.in_memory().is_none_or(is_row_major) {
        return Err("features: expected a row-major array".to_owned());
    }
    if let Some(weights) = &examples.weights {
        if weights.len() != rows {
            return Err(format!("weights = {}: expected {rows}, one per example", weights.len()));
        }
        let is_wrong = |weight: f32| !weight.is_finite() || weight < 0.0;
        if weights.iter().any(|row| is_wrong(row.loss) || is_wrong(row.measures)) {
            return Err("weights: expected finite numbers of at least 0".to_owned());
        }
        if !weights.is_empty() && weights.iter().all(|row| row.loss == 0.0) {
            return Err("weights: expected at least one that is not 0".to_owned());
        }
    }
    if examples.targets.len() != rows {
        let targets = examples.targets.len();
        return Err(format!("targets = {targets}: expected {rows}, one per example"));
    }
    Ok(())
}

fn check_targets(targets: &Targets, data: &Splits) -> Result<(), String> {
    let outputs = data.outputs;
    match (targets, &data.train.targets) {
        (Targets::Classes(classes), Targets::Classes(_)) => {
            match classes.iter().find(|&&class| class >= outputs) {
                Some(class) => Err(format!(
                    "class = {class}: expected less than {outputs}, the number of outputs"
                )),
                None => Ok(()),
            }
        }
        (Targets::Values(numbers), Targets::Values(_)) if numbers.outputs() != index(outputs) => {
            let expected = numbers.outputs();
            Err(format!("outputs = {outputs}: expected {expected} for regression"))
        }
        (Targets::Values(_), Targets::Values(_)) => Ok(()),
        (Targets::Classes(_), Targets::Values(_)) => {
            Err("targets are classes: expected values, as in the train split".to_owned())
        }
        (Targets::Values(_), Targets::Classes(_)) => {
            Err("targets are values: expected classes, as in the train split".to_owned())
        }
    }
}
