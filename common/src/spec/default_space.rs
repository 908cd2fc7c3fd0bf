//! The space of a sweep without `[space]`: the hyperparameters that matter most.

use crate::assignment::{Assignment, Value};
use crate::data::DataSummary;
use crate::scale::Scale;
use crate::space::{Domain, Parameter, Space};

/// The default space, the most important parameters first, without those in `[fixed]`.
///
/// It has the learning rate; momentum (if the optimizer uses it), units and batch size; layers and
/// the learning-rate decay. Larger training splits allow wider networks and larger mini-batches.
pub(super) fn default_space(fixed: &Assignment, data: &DataSummary) -> Space {
    let float = |scale, low, high| Domain::Float { scale, low, high };
    let (most_units, most_batch) = match data.train {
        0..2_000 => (128, 128),
        2_000..20_000 => (256, 256),
        _ => (512, 512),
    };
    let (learning_rate, has_momentum) = match fixed.get("optimizer").and_then(Value::as_str) {
        Some("adam" | "adamw" | "rmsprop") => (float(Scale::Log, 1e-4, 1e-1), false),
        Some("sgd") => (float(Scale::Log, 1e-3, 1.0), false),
        _ => (float(Scale::Log, 1e-4, 1.0), true),
    };
    let mut candidates = vec![("learning_rate", learning_rate)];
    if has_momentum {
        candidates.push(("momentum", float(Scale::OneMinusLog, 0.8, 0.99)));
    }
    if fixed.get("layers").and_then(Value::as_i64) != Some(0) {
        candidates.push(("units", Domain::Int { scale: Scale::Linear, low: 32, high: most_units }));
    }
    candidates.push(("batch_size", Domain::Int { scale: Scale::Log, low: 16, high: most_batch }));
    candidates.push(("layers", Domain::Int { scale: Scale::Linear, low: 1, high: 4 }));
    let schedule = fixed.get("schedule").and_then(Value::as_str);
    if !matches!(schedule, Some("constant" | "one_cycle" | "cosine_cycles")) {
        candidates.push(("learning_rate_decay", float(Scale::Linear, 0.0, 0.3)));
    }
    let searched = candidates.into_iter().filter(|(name, _)| fixed.get(name).is_none());
    let parameters = searched.map(|(name, domain)| Parameter {
        name: name.to_owned(),
        domain,
        when: None,
        points: None,
    });
    Space::new(parameters.collect()).unwrap_or_default()
}
