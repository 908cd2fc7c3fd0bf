//! Trials of several trainings: for the folds of a cross-validation and for repeats.

use std::cell::Cell;
use std::sync::Arc;

use caviar_common::data::{DataSpec, SplitSpec, Task};
use caviar_common::metric::{EpochMetrics, Metric};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets, prepare};
use caviar_metrics::{Measure, Outputs, Predictions};
use caviar_model::{Kept, Member, Model};

use super::support::spec;
use crate::{Predictor, Trainer, TrialTrainer};

/// The digits in `folds` folds, or without folds for 1.
fn digits(folds: u32) -> Arc<Splits> {
    let folds = Some(folds).filter(|folds| *folds > 1);
    let data = DataSpec {
        source: "builtin:digits".to_owned(),
        validation: 0.2,
        test: 0.2,
        split: SplitSpec { folds, ..SplitSpec::default() },
        ..DataSpec::default()
    };
    Arc::new(prepare(&data, 1).unwrap().0)
}

fn objective(repeats: u32) -> Objective {
    Objective { repeats, ..Objective::default_of(Task::Classification) }
}

fn small() -> TrainSpec {
    TrainSpec { epochs: 3, batch_size: 64, hidden: vec![12], ..spec() }
}

fn trial(data: &Arc<Splits>, repeats: u32) -> TrialTrainer {
    TrialTrainer::new(&small(), (Arc::clone(data), "digest"), &objective(repeats), 3, 5).unwrap()
}

fn run(trial: &mut TrialTrainer) -> Vec<EpochMetrics> {
    let mut curve = Vec::new();
    while trial.epochs_done() < 3 {
        curve.extend(trial.epoch(&|| true).unwrap());
    }
    curve
}

#[test]
fn a_trial_of_one_training_has_its_bits() {
    let data = digits(1);
    let mut trial = trial(&data, 1);
    let trainer = Trainer::new(&small(), data, 3, 5).unwrap().with_data_digest("digest");
    let mut trainer = trainer.with_objective(&objective(1)).unwrap();
    for metrics in run(&mut trial) {
        assert_eq!(metrics.spread, None);
        assert_eq!(trainer.epoch(&|| true).unwrap(), Some(metrics));
    }
    assert_eq!(trial.checkpoint(1.0).unwrap(), trainer.checkpoint(1.0).unwrap());
    assert_eq!(trial.test().unwrap(), trainer.test().unwrap());
    assert_eq!(trial.keep("s").unwrap(), trainer.keep("s").unwrap());
    assert_eq!((trial.parts(), trial.counting()), (1, trainer.counting()));
}

/// What one network of a model predicts.
fn predicted(kept: &Kept, number: usize, examples: &Examples) -> Vec<f64> {
    let member = Member { weight: 1.0, ..kept.model.members()[number].clone() };
    let model = Model::new(kept.model.schema().clone(), vec![member]).unwrap();
    let mut predicted = Vec::new();
    let features = examples.features.in_memory().unwrap().as_slice().unwrap();
    Predictor::new(&model).unwrap().predict(features, &mut predicted).unwrap();
    predicted
}

fn accuracy(examples: &Examples, predicted: &[f64]) -> f64 {
    let Targets::Classes(truth) = &examples.targets else { panic!("no classes") };
    let probabilities = predicted.iter().map(|it| *it as f32).collect();
    let predictions = Predictions::from_probabilities(10, truth.clone(), probabilities).unwrap();
    predictions.measure(Measure::Accuracy).unwrap()
}

#[test]
fn the_metrics_of_a_trial_are_the_means_of_its_repeats_which_differ() {
    let data = digits(1);
    let mut whole = trial(&data, 3);
    let curve = run(&mut whole);
    let kept = whole.keep("s").unwrap();
    let judged = |number| accuracy(&data.validation, &predicted(&kept, number, &data.validation));
    let accuracies = [judged(0), judged(1), judged(2)];
    assert!(accuracies[0] != accuracies[1] || accuracies[1] != accuracies[2], "{accuracies:?}");
    // All have the weights of the epoch whose mean is the best.
    let best = whole.counting().unwrap();
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!((best.validation.accuracy.unwrap() - mean).abs() < 1e-12, "{best:?} {mean}");
    let squares = accuracies.map(|accuracy| (accuracy - mean).powi(2));
    let deviation = (squares.iter().sum::<f64>() / 2.0).sqrt();
    assert!((best.spread.unwrap() - deviation).abs() < 1e-12, "{best:?} {deviation}");
    let value = |metrics: &EpochMetrics| metrics.get(&Metric::ValidationAccuracy).unwrap();
    let most = curve.iter().map(value).fold(0.0, f64::max);
    assert_eq!(value(&best), most);
}

#[test]
fn every_row_is_validated_by_the_model_that_was_not_trained_on_it() {
    let data = digits(4);
    let mut trial = trial(&data, 1);
    let curve = run(&mut trial);
    assert_eq!((trial.parts(), data.folds.len()), (4, 4));
    let kept = trial.keep("s").unwrap();
    let Outputs::Classes { truth, probabilities, .. } = kept.validation.as_ref().unwrap().outputs()
    else {
        panic!("no classes")
    };
    // Fold by fold, with the network of that fold.
    let mut start = 0;
    for (number, fold) in data.folds.iter().enumerate() {
        let predicted = predicted(&kept, number, &fold.validation);
        let expected: Vec<f64> =
            probabilities[start..start + predicted.len()].iter().map(|it| f64::from(*it)).collect();
        assert_eq!(predicted, expected, "fold {number}");
        start += predicted.len();
        assert_eq!(fold.train.len() + fold.validation.targets.len(), data.train.targets.len());
    }
    assert_eq!((start, truth.len()), (probabilities.len(), data.train.targets.len()));
    // The test split is predicted by the average of all, which is better than one of them.
    let test = trial.test().unwrap().unwrap();
    let accuracy = kept.test.as_ref().unwrap().measure(Measure::Accuracy);
    assert_eq!(accuracy, test.accuracy);
    let loss = kept.test.as_ref().unwrap().measure(Measure::LogLoss).unwrap();
    assert!((loss - test.loss).abs() < 1e-6, "{loss} {test:?}");
    assert!(curve.last().unwrap().validation.accuracy.unwrap() > 0.8);
}

#[test]
fn a_trial_of_several_trainings_continues_anywhere_with_the_same_bits() {
    let data = digits(3);
    let mut whole = trial(&data, 2);
    let curve = run(&mut whole);
    let end = whole.checkpoint(0.0).unwrap();
    for cut in [1, 17, 40, 90, 155] {
        let mut first = trial(&data, 2);
        let left = Cell::new(cut);
        let go_on = || left.replace(left.get() - 1) > 0;
        let mut seen = Vec::new();
        while let Some(metrics) = first.epoch(&go_on).unwrap() {
            seen.push(metrics);
        }
        let saved = first.checkpoint(2.5).unwrap();
        let mut second = trial(&data, 2);
        assert_eq!(second.restore(&saved).unwrap(), 2.5);
        assert_eq!(second.last(), first.last());
        assert_eq!(second.counting(), first.counting());
        let places = |it: &TrialTrainer| (it.epochs_done(), it.batches_done(), it.share_done());
        assert_eq!(places(&second), places(&first));
        seen.extend(run(&mut second));
        assert_eq!(seen, curve, "cut after {cut}");
        assert_eq!(second.checkpoint(0.0).unwrap(), end);
    }
}

#[test]
fn a_checkpoint_of_another_trial_changes_nothing() {
    let data = digits(3);
    let mut other = trial(&data, 1);
    other.epoch(&|| true).unwrap();
    let saved = other.checkpoint(1.0).unwrap();
    let mut fresh = trial(&data, 2);
    let before = fresh.checkpoint(0.0).unwrap();
    for bytes in [saved.clone(), saved[..100].to_vec(), Vec::new()] {
        assert!(fresh.restore(&bytes).is_err());
        assert_eq!(fresh.checkpoint(0.0).unwrap(), before);
    }
    let mut damaged = saved.clone();
    damaged[200] ^= 1;
    assert!(other.restore(&damaged).unwrap_err().to_string().contains("damaged"));
    let another = (Arc::clone(&data), "another");
    let mut another = TrialTrainer::new(&small(), another, &objective(1), 3, 5).unwrap();
    assert!(another.restore(&saved).unwrap_err().to_string().contains("another training"));
    let last = Objective { epoch: ObjectiveEpoch::Last, ..objective(1) };
    let mut last = TrialTrainer::new(&small(), (data, "digest"), &last, 3, 5).unwrap();
    assert!(last.restore(&saved).is_err());
}
