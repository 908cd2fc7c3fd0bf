//! The learning rate of an epoch.

use caviar_common::train::{Schedule, TrainSpec};

/// The rate of epoch `t` = 0, 1, ... as [`Schedule`] defines it. Cosine is Loshchilov and Hutter's
/// (2017), without restarts.
pub(crate) fn learning_rate(spec: &TrainSpec, t: u32) -> f64 {
    let (rate, d, t, total) =
        (spec.learning_rate, spec.learning_rate_decay, f64::from(t), f64::from(spec.epochs));
    match spec.schedule {
        Schedule::Constant => rate,
        Schedule::InverseTime => rate / (1.0 + d * t),
        Schedule::Exponential => rate * libm::exp(-d * t),
        Schedule::Step => rate * libm::exp2(-libm::floor(d * t)),
        Schedule::Cosine => {
            rate * (1.0 - d * (1.0 - libm::cos(std::f64::consts::PI * t / total)) / 2.0)
        }
    }
}
