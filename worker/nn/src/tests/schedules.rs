//! The learning rate of each epoch.

use caviar_common::train::{Schedule, TrainSpec};

use super::spec;
use crate::schedule::learning_rate;

fn rates(schedule: Schedule, decay: f64, epochs: u32) -> Vec<f64> {
    let spec =
        TrainSpec { schedule, learning_rate: 0.8, learning_rate_decay: decay, epochs, ..spec() };
    (0..epochs).map(|t| learning_rate(&spec, t)).collect()
}

fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?} but {want:?}");
}

#[test]
fn schedules_fall_as_documented() {
    assert_near(&rates(Schedule::Constant, 0.5, 3), &[0.8, 0.8, 0.8]);
    assert_near(&rates(Schedule::InverseTime, 1.0, 4), &[0.8, 0.4, 0.8 / 3.0, 0.2]);
    let halving = std::f64::consts::LN_2;
    assert_near(&rates(Schedule::Exponential, halving, 4), &[0.8, 0.4, 0.2, 0.1]);
    assert_near(&rates(Schedule::Step, 0.5, 5), &[0.8, 0.8, 0.4, 0.4, 0.2]);
    assert_near(&rates(Schedule::Cosine, 1.0, 2), &[0.8, 0.4]);
    assert_near(&rates(Schedule::Cosine, 0.5, 2), &[0.8, 0.6]);
}

#[test]
fn without_decay_every_schedule_is_constant() {
    for schedule in [
        Schedule::Constant,
        Schedule::InverseTime,
        Schedule::Exponential,
        Schedule::Step,
        Schedule::Cosine,
    ] {
        assert_eq!(rates(schedule, 0.0, 3), [0.8, 0.8, 0.8], "{schedule:?}");
    }
}
