//! The learning rate of a step.

use std::f64::consts::PI;

use caviar_common::train::{RegularizationSchedule, Schedule, TrainSpec};

/// The learning rate of a step in epoch `t` = 0, 1, ... by the formulas of [`Schedule`], after the
/// `share` of all steps, in [0, 1).
///
/// It depends only on the number of the step, so a training that is resumed has the same rates.
///
/// With 10 steps, one_cycle has 0.04, 0.36 and 0.68 of the rate, then all of it in step 3, and 0.05
/// of it in the last step. With 15 steps, the cycles of cosine_cycles have 1, 2, 4 and 8 steps.
pub(crate) fn learning_rate(spec: &TrainSpec, t: u32, share: f64) -> f64 {
    let (rate, t, epochs) = (spec.learning_rate, f64::from(t), f64::from(spec.epochs));
    match spec.schedule {
        Schedule::Constant => rate,
        Schedule::InverseTime { decay } => rate / (1.0 + decay * t),
        Schedule::Exponential { decay } => rate * libm::exp(-decay * t),
        Schedule::Step { decay } => rate * libm::exp2(-libm::floor(decay * t)),
        Schedule::Cosine { decay } => {
            rate * (1.0 - decay * (1.0 - libm::cos(PI * t / epochs)) / 2.0)
        }
        Schedule::OneCycle => rate * one_cycle(share),
        Schedule::CosineCycles => {
            rate * (1.0 - libm::cos(2.0 * PI * libm::log2(1.0 + 15.0 * share))) / 2.0
        }
    }
}

/// The factor of dropout or weight decay after the `share` of all steps, in [0, 1).
///
/// With 4 steps, flat_cosine has the factors 1, 1, 1 and 0.5.
pub(crate) fn regularization(schedule: RegularizationSchedule, share: f64) -> f64 {
    match schedule {
        RegularizationSchedule::Constant => 1.0,
        RegularizationSchedule::FlatCosine => {
            f64::midpoint(1.0, libm::cos(PI * (f64::max(1.0, 2.0 * share) - 1.0)))
        }
    }
}

/// The factor of the rate in [`Schedule::OneCycle`]. The constants are those of fast.ai, with which
/// PyTorch's `OneCycleLR` begins too.
fn one_cycle(share: f64) -> f64 {
    const WARM_UP: f64 = 0.3;
    const FIRST: f64 = 1.0 / 25.0;
    const LAST: f64 = 1e-4;
    if share < WARM_UP {
        FIRST + (1.0 - FIRST) * share / WARM_UP
    } else {
        let decayed = (share - WARM_UP) / (1.0 - WARM_UP);
        LAST + (1.0 - LAST) * (1.0 + libm::cos(PI * decayed)) / 2.0
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
        // One step per epoch.
        (0..epochs).map(|t| learning_rate(&spec, t, f64::from(t) / f64::from(epochs))).collect()
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
    fn flat_cosine_falls_in_the_second_half() {
        let of = |share| regularization(RegularizationSchedule::FlatCosine, share);
        let root = 0.5 * std::f64::consts::FRAC_1_SQRT_2;
        assert_near(
            &[0.0, 0.3, 0.5, 0.625, 0.75, 0.875].map(of),
            &[1.0, 1.0, 1.0, 0.5 + root, 0.5, 0.5 - root],
        );
        assert_near(&[regularization(RegularizationSchedule::Constant, 0.9)], &[1.0]);
    }

    #[test]
    fn one_cycle_warms_up_as_pytorch_does_and_then_decays_as_pytorch_does() {
        // PyTorch 2.15: OneCycleLR(max_lr=0.8, total_steps=11, pct_start=4/11, div_factor=25,
        // final_div_factor=400) counts its steps so that its warm-up ends in step 3 and its decay
        // in step 10. The first three are with anneal_strategy="linear", the others with "cos".
        let want = [
            0.032,
            0.288,
            0.544,
            0.8,
            0.760_391_508_406_251_6,
            0.649_410_981_151_419_2,
            0.489_039_472_745_167_57,
            0.311_040_527_254_832_56,
            0.150_669_018_848_580_97,
            0.039_688_491_593_748_48,
        ];
        assert_near(&rates(Schedule::OneCycle, 10), &want);
    }

    #[test]
    fn cosine_cycles_double_their_lengths_and_end_at_zero() {
        let by_step = rates(Schedule::CosineCycles, 30);
        // The cycles begin at steps 0, 2, 6 and 14, and the last one ends with the training.
        for start in [0, 2, 6, 14] {
            assert!(by_step[start].abs() < 1e-12, "step {start}: {}", by_step[start]);
        }
        let between = by_step.iter().enumerate().filter(|(step, _)| ![0, 2, 6, 14].contains(step));
        assert!(between.clone().all(|(_, rate)| *rate > 1e-3), "{by_step:?}");
        // The rate is highest where 1 + 15 p = 2^(k + 1/2).
        let of = |share: f64| {
            let spec = train_spec(&Assignment::default(), &Assignment::default()).unwrap();
            let spec = TrainSpec { schedule: Schedule::CosineCycles, learning_rate: 0.8, ..spec };
            learning_rate(&spec, 0, share)
        };
        let peaks = [0.5f64, 1.5, 2.5, 3.5].map(|power| (libm::exp2(power) - 1.0) / 15.0);
        assert_near(&peaks.map(of), &[0.8; 4]);
        let quarters = [0.25f64, 3.75].map(|power| (libm::exp2(power) - 1.0) / 15.0);
        assert_near(&quarters.map(of), &[0.4; 2]);
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
