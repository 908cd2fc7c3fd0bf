//! The learning rate of an epoch.

use caviar_common::train::{Schedule, TrainSpec};

/// The learning rate of epoch `t` = 0, 1, ... by the formulas of [`Schedule`].
pub(crate) fn learning_rate(spec: &TrainSpec, t: u32) -> f64 {
    let (rate, t, epochs) = (spec.learning_rate, f64::from(t), f64::from(spec.epochs));
    match spec.schedule {
        Schedule::Constant => rate,
        Schedule::InverseTime { decay } => rate / (1.0 + decay * t),
        Schedule::Exponential { decay } => rate * libm::exp(-decay * t),
        Schedule::Step { decay } => rate * libm::exp2(-libm::floor(decay * t)),
        Schedule::Cosine { decay } => {
            rate * (1.0 - decay * (1.0 - libm::cos(std::f64::consts::PI * t / epochs)) / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Assignment;
    use caviar_common::hyper::train_spec;

    use super::*;

    fn rates(schedule: Schedule, epochs: u32) -> Vec<f64> {
        let defaults = train_spec(&Assignment::default(), &Assignment::default()).unwrap();
        let spec = TrainSpec { schedule, learning_rate: 0.8, epochs, ..defaults };
        (0..epochs).map(|t| learning_rate(&spec, t)).collect()
    }

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?} but {want:?}");
    }

    #[test]
    fn every_schedule_follows_its_formula() {
        assert_near(&rates(Schedule::Constant, 3), &[0.8, 0.8, 0.8]);
        assert_near(&rates(Schedule::InverseTime { decay: 1.0 }, 4), &[0.8, 0.4, 0.8 / 3.0, 0.2]);
        let decay = std::f64::consts::LN_2;
        assert_near(&rates(Schedule::Exponential { decay }, 4), &[0.8, 0.4, 0.2, 0.1]);
        assert_near(&rates(Schedule::Step { decay: 0.5 }, 5), &[0.8, 0.8, 0.4, 0.4, 0.2]);
        assert_near(&rates(Schedule::Cosine { decay: 1.0 }, 2), &[0.8, 0.4]);
        assert_near(&rates(Schedule::Cosine { decay: 0.5 }, 2), &[0.8, 0.6]);
    }

    #[test]
    fn every_schedule_without_decay_is_constant() {
        let decay = 0.0;
        for schedule in [
            Schedule::InverseTime { decay },
            Schedule::Exponential { decay },
            Schedule::Step { decay },
            Schedule::Cosine { decay },
        ] {
            assert_eq!(rates(schedule, 3), [0.8, 0.8, 0.8], "{schedule:?}");
        }
    }
}
