//! Whole trainings: they repeat with the same bits, resume from checkpoints, and learn.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::cell::Cell;
use std::sync::{Arc, Barrier};

use caviar_common::metric::{EpochMetrics, Metric, Score};
use caviar_common::spec::{Goal, Objective, ObjectiveEpoch};
use caviar_common::train::{
    Embedding, Normalization, Optimizer, RegularizationSchedule, Scaling, Schedule, TrainSpec,
};
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::{TrainError, Trainer};
use ndarray::Array2;

use support::{NORMALIZATIONS, optimizers, spec, specs_of_every_branch, splits};

fn go_on() -> bool {
    true
}

/// The bits of an epoch's metrics.
fn bits(metrics: &EpochMetrics) -> [u64; 4] {
    let score = |score: Score| [score.loss.to_bits(), score.accuracy.unwrap_or(-1.0).to_bits()];
    let ([a, b], [c, d]) = (score(metrics.train), score(metrics.validation));
    [a, b, c, d]
}

/// Trains up to epoch `epochs`; the bits of each epoch's metrics.
fn rest(trainer: &mut Trainer, epochs: u32) -> Vec<[u64; 4]> {
    (trainer.epochs_done()..epochs)
        .map(|_| bits(&trainer.epoch(&go_on).unwrap().unwrap()))
        .collect()
}

/// A new trainer of trial 6 of the sweep with seed 5, in the state of `checkpoint`.
fn resumed(spec: &TrainSpec, data: &Arc<Splits>, checkpoint: &[u8]) -> Trainer {
    let mut trainer = Trainer::new(spec, data.clone(), 5, 6).unwrap();
    trainer.restore(checkpoint).unwrap();
    trainer
}

#[test]
fn the_number_of_parameters_has_no_padding() {
    let count = |normalization| {
        let spec = TrainSpec { hidden: vec![17, 5], normalization, ..spec() };
        Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap().parameters()
    };
    let weights = 20 * 17 + 17 * 5 + 5 * 3;
    assert_eq!(count(Normalization::Before), weights + 2 * (17 + 5) + 3);
    assert_eq!(count(Normalization::After), weights + 3 * (17 + 5) + 3);
    assert_eq!(count(Normalization::None), weights + (17 + 5) + 3);
}

#[test]
fn a_trial_has_the_same_bits_next_to_other_trials() {
    let data = splits(41, 20, 3);
    // The metrics, and everything that the next epoch would depend on.
    let run = |(trial, spec): (u64, &TrainSpec)| {
        let mut trainer = Trainer::new(spec, data.clone(), 5, trial).unwrap();
        (rest(&mut trainer, spec.epochs), trainer.checkpoint(0.0).unwrap())
    };
    let specs = specs_of_every_branch();
    let trials = || (0..).zip(&specs);
    let first: Vec<_> = trials().map(run).collect();
    let start = Barrier::new(4);
    let others: Vec<Vec<_>> = std::thread::scope(|scope| {
        let worker = |skipped: usize| {
            let mine = trials().cycle().skip(skipped).take(specs.len());
            let start = &start;
            scope.spawn(move || {
                start.wait();
                mine.map(run).collect()
            })
        };
        let workers: Vec<_> = (0..4).map(worker).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for (skipped, runs) in others.iter().enumerate() {
        let expected = first.iter().cycle().skip(skipped).take(specs.len());
        assert!(runs.iter().eq(expected), "worker {skipped}");
    }
}

#[test]
fn a_checkpoint_of_any_epoch_resumes_with_the_same_bits() {
    for (spec, outputs) in
        specs_of_every_branch().into_iter().flat_map(|spec| [(spec.clone(), 3), (spec, 0)])
    {
        let data = splits(41, 20, outputs);
        let mut whole = Trainer::new(&spec, data.clone(), 5, 6).unwrap();
        let mut checkpoints = vec![whole.checkpoint(0.0).unwrap()];
        let mut metrics = Vec::new();
        for _ in 0..spec.epochs {
            metrics.push(bits(&whole.epoch(&go_on).unwrap().unwrap()));
            checkpoints.push(whole.checkpoint(0.0).unwrap());
        }
        let test_loss = whole.test().unwrap().unwrap().loss.to_bits();
        for ((epoch, checkpoint), done) in checkpoints.iter().enumerate().zip(0..) {
            let label = format!("{:?} from epoch {epoch}", spec.optimizer);
            let mut resumed = resumed(&spec, &data, checkpoint);
            assert_eq!(resumed.epochs_done(), done, "{label}");
            assert_eq!(rest(&mut resumed, spec.epochs), metrics[epoch..], "{label}");
            assert!(&resumed.checkpoint(0.0).unwrap() == checkpoints.last().unwrap(), "{label}");
            assert_eq!(resumed.test().unwrap().unwrap().loss.to_bits(), test_loss, "{label}");
        }
    }
}

#[test]
fn seed_and_trial_change_the_training() {
    let spec = TrainSpec { dropout: 0.2, ..spec() };
    let run =
        |seed, trial| rest(&mut Trainer::new(&spec, splits(41, 20, 3), seed, trial).unwrap(), 2);
    assert_ne!(run(5, 6), run(5, 7));
    assert_ne!(run(5, 6), run(6, 6));
}

#[test]
fn a_schedule_by_steps_changes_the_rate_within_an_epoch() {
    // The epoch has two steps. With cosine_cycles, the rate of the first is 0.
    let with = |learning_rate, schedule| {
        let optimizer = Optimizer::Sgd;
        let spec = TrainSpec { optimizer, learning_rate, schedule, batch_size: 21, ..spec() };
        let spec = TrainSpec { epochs: 1, ..spec };
        rest(&mut Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap(), 1).remove(0)
    };
    let [train, _, validation, _] = with(0.5, Schedule::CosineCycles);
    let nothing_learnt = with(1e-30, Schedule::Constant);
    assert_eq!(train, nothing_learnt[0]);
    assert_ne!(validation, nothing_learnt[2]);
}

#[test]
fn every_optimizer_learns_with_a_rate_of_zero_in_between() {
    for optimizer in optimizers(1e-8) {
        let schedule = Schedule::CosineCycles;
        let spec = TrainSpec { optimizer, schedule, learning_rate: 0.05, epochs: 15, ..spec() };
        let mut trainer = Trainer::new(&spec, splits(300, 4, 3), 1, 1).unwrap();
        let metrics = (0..15).map(|_| trainer.epoch(&go_on).unwrap().unwrap()).last().unwrap();
        assert!(metrics.is_finite(), "{optimizer:?}: {metrics:?}");
        assert!(metrics.validation.accuracy.unwrap() > 0.5, "{optimizer:?}: {metrics:?}");
    }
}

/// One number from -2 to 2, and its target: whether it is in every second of eight intervals.
fn stripes() -> Arc<Splits> {
    let examples = |rows: u16, shift: f32| {
        let numbers: Vec<f32> =
            (0..rows).map(|row| 4.0 * (f32::from(row) + shift) / f32::from(rows) - 2.0).collect();
        let class = |number: &f32| u32::from((number * 2.0).floor().rem_euclid(2.0) == 0.0);
        let targets = Targets::Classes(numbers.iter().map(class).collect());
        let features = Array2::from_shape_vec((numbers.len(), 1), numbers).unwrap();
        Examples { features: features.into(), targets, weights: None }
    };
    let (train, validation) = (examples(400, 0.0), examples(100, 0.3));
    Arc::new(Splits { train, validation, folds: Vec::new(), test: None, outputs: 2, schema: None })
}

#[test]
fn embeddings_learn_what_a_line_cannot() {
    let accuracy = |embedding| {
        let spec =
            TrainSpec { embedding, hidden: vec![], learning_rate: 0.1, epochs: 30, ..spec() };
        let mut trainer = Trainer::new(&spec, stripes(), 1, 1).unwrap();
        rest(&mut trainer, 30);
        trainer.last().unwrap().validation.accuracy.unwrap()
    };
    assert!(accuracy(Embedding::None) < 0.65, "{}", accuracy(Embedding::None));
    for embedding in [
        Embedding::Periodic { size: 8, frequency_scale: 1.0 },
        Embedding::PiecewiseLinear { size: 4 },
    ] {
        assert!(accuracy(embedding) > 0.75, "{embedding:?}: {}", accuracy(embedding));
    }
}

#[test]
fn far_numbers_do_not_reach_a_network_with_robust_scaling() {
    let run = |scaling, factor: f32| {
        let mut data = splits(41, 20, 3);
        let splits = Arc::get_mut(&mut data).unwrap();
        let mut features = splits.train.features.to_array().unwrap();
        features[[0, 3]] = factor;
        splits.train.features = features.into();
        let spec = TrainSpec { scaling, ..spec() };
        rest(&mut Trainer::new(&spec, data, 5, 6).unwrap(), 4)
    };
    // From 5,000 to 500,000 quartile distances, the smooth clip does not change.
    let near = |scaling| {
        let losses = [run(scaling, 5e3), run(scaling, 5e5)].map(|it| f64::from_bits(it[3][0]));
        (losses[0] - losses[1]).abs() < 1e-3
    };
    assert!(near(Scaling::Robust) && near(Scaling::Quantile));
    assert!(!near(Scaling::Standard));
}

#[test]
fn schedules_of_dropout_and_decay_change_the_second_half_only() {
    let flat = RegularizationSchedule::FlatCosine;
    let run = |dropout_schedule, weight_decay_schedule| {
        let spec = TrainSpec {
            dropout: 0.3,
            weight_decay: 0.1,
            dropout_schedule,
            weight_decay_schedule,
            ..spec()
        };
        rest(&mut Trainer::new(&spec, splits(40, 20, 3), 5, 6).unwrap(), 4)
    };
    let constant = run(RegularizationSchedule::Constant, RegularizationSchedule::Constant);
    for (dropout, decay) in
        [(flat, RegularizationSchedule::Constant), (RegularizationSchedule::Constant, flat)]
    {
        let changed = run(dropout, decay);
        assert_eq!(changed[..2], constant[..2]);
        assert_ne!(changed[3], constant[3]);
    }
}

#[test]
fn averages_are_validated_and_tested_and_change_no_step() {
    let run = |weight_average| {
        let spec = TrainSpec { weight_average, learning_rate: 0.03, ..spec() };
        let mut trainer = Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap();
        let before = trainer.test().unwrap().unwrap().loss;
        let epochs = rest(&mut trainer, 4);
        (before, epochs, trainer.test().unwrap().unwrap().loss)
    };
    let (raw, averaged, nearly_raw) = (run(0.0), run(0.9), run(1e-9));
    assert_eq!(raw.0.to_bits(), averaged.0.to_bits(), "the average begins with the first weights");
    for (raw, averaged) in raw.1.iter().zip(&averaged.1) {
        assert_eq!(raw[..2], averaged[..2], "training metrics");
        assert_ne!(raw[2], averaged[2], "validation loss");
    }
    assert!((raw.2 - averaged.2).abs() > 1e-4, "{} and {}", raw.2, averaged.2);
    assert!((raw.2 - nearly_raw.2).abs() < 1e-5, "{} and {}", raw.2, nearly_raw.2);
}

#[test]
fn the_weights_of_the_best_epoch_are_kept_and_tested() {
    // A rate that is too large: the loss goes up and down.
    let spec = TrainSpec { learning_rate: 0.5, epochs: 12, ..spec() };
    let mut data = splits(41, 20, 3);
    // The test split is the validation split, so the two scores of one epoch are equal.
    let splits = Arc::get_mut(&mut data).unwrap();
    splits.test = Some(splits.validation.clone());
    for (epoch, goal) in [
        (ObjectiveEpoch::Best, Goal::Minimize),
        (ObjectiveEpoch::Best, Goal::Maximize),
        (ObjectiveEpoch::Last, Goal::Minimize),
    ] {
        let objective = Objective { metric: Metric::ValidationLoss, goal, epoch, repeats: 1 };
        let mut trainer = Trainer::new(&spec, Arc::clone(&data), 5, 6).unwrap();
        trainer = trainer.with_objective(&objective).unwrap();
        let mut curve = Vec::new();
        while trainer.epochs_done() < spec.epochs {
            curve.push(trainer.epoch(&go_on).unwrap().unwrap());
        }
        let losses = || curve.iter().map(|metrics| goal.as_cost(metrics.validation.loss));
        let best = losses().fold(f64::INFINITY, f64::min);
        let counting = trainer.counting().unwrap();
        let expected = match epoch {
            ObjectiveEpoch::Best => {
                losses().collect::<Vec<_>>().iter().rposition(|loss| *loss == best).unwrap()
            }
            ObjectiveEpoch::Last => curve.len() - 1,
        };
        assert_eq!(counting, curve[expected]);
        let test = trainer.test().unwrap().unwrap();
        assert_eq!(test, counting.validation, "{objective:?}");
    }
}

#[test]
fn every_epoch_has_its_own_order() {
    // Nothing is learnt, so the losses differ only by which examples share a mini-batch.
    let spec = TrainSpec { optimizer: Optimizer::Sgd, learning_rate: 1e-30, ..spec() };
    let epochs = rest(&mut Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap(), 4);
    let mut losses: Vec<u64> = epochs.iter().map(|[train_loss, ..]| *train_loss).collect();
    losses.sort_unstable();
    losses.dedup();
    assert_eq!(losses.len(), 4);
}

#[test]
fn every_optimizer_and_placement_of_the_normalisation_learns() {
    for optimizer in optimizers(1e-8) {
        for normalization in NORMALIZATIONS {
            let spec =
                TrainSpec { optimizer, normalization, epochs: 30, learning_rate: 0.03, ..spec() };
            let mut trainer = Trainer::new(&spec, splits(300, 4, 3), 1, 1).unwrap();
            let metrics = (0..30).map(|_| trainer.epoch(&go_on).unwrap().unwrap()).last().unwrap();
            let label = format!("{optimizer:?} {normalization:?}: {metrics:?}");
            assert!(metrics.train.accuracy.unwrap() > 0.7, "{label}");
            assert!(metrics.validation.accuracy.unwrap() > 0.5, "{label}");
        }
    }
}

#[test]
fn a_loss_that_diverges_is_a_result() {
    let spec = TrainSpec {
        learning_rate: 1000.0,
        hidden: vec![30; 8],
        optimizer: Optimizer::Sgd,
        normalization: Normalization::None,
        ..spec()
    };
    for outputs in [3, 0] {
        let mut trainer = Trainer::new(&spec, splits(41, 20, outputs), 5, 6).unwrap();
        let metrics = trainer.epoch(&go_on).unwrap().unwrap();
        assert!(!metrics.is_finite(), "{metrics:?}");
        let checkpoint = trainer.checkpoint(0.0).unwrap();
        let resumed = resumed(&spec, &splits(41, 20, outputs), &checkpoint);
        assert_eq!(resumed.epochs_done(), 1);
        assert_eq!(resumed.last().map(|last| bits(&last)), Some(bits(&metrics)));
    }
}

#[test]
fn an_interrupted_epoch_continues_where_it_was() {
    let mut whole = Trainer::new(&spec(), splits(41, 20, 3), 5, 6).unwrap();
    let expected = rest(&mut whole, 4);
    let mut trainer = Trainer::new(&spec(), splits(41, 20, 3), 5, 6).unwrap();
    let mut epochs = Vec::new();
    let mut interruptions = 0;
    while epochs.len() < 4 {
        let asked = Cell::new(0);
        let once = || asked.replace(asked.get() + 1) < 1;
        match trainer.epoch(&once).unwrap() {
            Some(metrics) => epochs.push(bits(&metrics)),
            None => interruptions += 1,
        }
    }
    // Five mini-batches and one block of validation. Each but the last is interrupted.
    assert_eq!(interruptions, 4 * 5);
    assert_eq!(epochs, expected);
    assert!(trainer.checkpoint(0.0) == whole.checkpoint(0.0));
}

#[test]
fn no_epoch_follows_the_last() {
    let mut trainer = Trainer::new(&spec(), splits(41, 20, 3), 5, 6).unwrap();
    rest(&mut trainer, 4);
    assert_eq!(trainer.epoch(&go_on), Err(TrainError::Finished { epochs: 4 }));
    assert!(trainer.test().unwrap().unwrap().loss.is_finite());
}
