//! A model predicts what the training predicted.

use std::sync::Arc;

use caviar_common::data::{DataSpec, TableSpec, Task};
use caviar_common::metric::Metric;
use caviar_common::spec::{Goal, Objective, ObjectiveEpoch};
use caviar_common::train::{Embedding, Precision, Scaling, TrainSpec};
use caviar_data::{Splits, prepare};
use caviar_metrics::{Measure, Outputs};
use caviar_model::{Kept, Member, Model};

use super::support::{ACTIVATIONS, NORMALIZATIONS, draws, spec};
use crate::{Predictor, Trainer, TrialTrainer};

fn digits() -> Arc<Splits> {
    let source = "builtin:digits".to_owned();
    let data = DataSpec { source, validation: 0.2, test: 0.1, ..DataSpec::default() };
    Arc::new(prepare(&data, 3).unwrap().0)
}

fn trained(spec: &TrainSpec, data: &Arc<Splits>, trial: u64) -> (Trainer, Kept) {
    let objective = Objective::default_of(Task::Classification);
    let trainer = Trainer::new(spec, Arc::clone(data), 3, trial).unwrap();
    let mut trainer = trainer.with_objective(&objective).unwrap();
    while trainer.epochs_done() < spec.epochs {
        trainer.epoch(&|| true).unwrap();
    }
    let kept = trainer.keep("digits").unwrap();
    assert_eq!(Kept::from_bytes(&kept.to_bytes().unwrap()).unwrap(), kept);
    (trainer, kept)
}

pub(super) fn probabilities(kept: &Kept) -> Vec<f64> {
    let Outputs::Classes { probabilities, .. } = kept.test.as_ref().unwrap().outputs() else {
        panic!("no classes")
    };
    probabilities.iter().map(|it| f64::from(*it)).collect()
}

#[test]
fn a_model_predicts_the_bits_that_its_training_predicted() {
    let data = digits();
    let features = data.test.as_ref().unwrap().features.to_array().unwrap();
    for (number, activation) in (0..).zip(ACTIVATIONS) {
        let normalization = NORMALIZATIONS[number % NORMALIZATIONS.len()];
        let precision = if number == 1 { Precision::Bf16 } else { Precision::F32 };
        let weight_average = if number == 2 { 0.9 } else { 0.0 };
        let spec = TrainSpec {
            activation,
            normalization,
            precision,
            weight_average,
            epochs: 3,
            batch_size: 32,
            hidden: vec![20, 9],
            ..spec()
        };
        let (mut trainer, kept) = trained(&spec, &data, 4);
        // The score of the best epoch is that of the predictions.
        let test = trainer.test().unwrap().unwrap();
        let accuracy = kept.test.as_ref().unwrap().measure(Measure::Accuracy);
        assert_eq!(accuracy, test.accuracy, "{activation:?}");
        let validation = kept.validation.as_ref().unwrap().measure(Measure::Accuracy);
        assert_eq!(validation, trainer.counting().unwrap().validation.accuracy);
        let mut predictor = Predictor::new(&kept.model).unwrap();
        let mut predicted = Vec::new();
        predictor.predict(features.as_slice().unwrap(), &mut predicted).unwrap();
        assert_eq!(predicted, probabilities(&kept), "{activation:?} {normalization:?}");
        // One row alone.
        let mut one = Vec::new();
        predictor.predict(features.row(7).as_slice().unwrap(), &mut one).unwrap();
        assert_eq!(one, predicted[70..80]);
    }
}

/// A table of numbers whose label is far from standardised.
fn numbers() -> Arc<Splits> {
    labelled(&["y"])
}

/// The same table with these labels, whose scales differ.
fn labelled(labels: &[&str]) -> Arc<Splits> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("numbers.csv");
    let row = |row: u32| {
        let (x, z) = (f64::from(row * 37 % 101), f64::from(row * 53 % 89));
        let (y, small) = (5e6 + 300.0 * x - 20.0 * z * z / 10.0, 1e-3 * (x * z / 50.0).sin());
        format!("{x},{z},{y},{small}\n")
    };
    let rows: String = (0..300).map(row).collect();
    std::fs::write(&file, format!("x,z,y,small\n{rows}")).unwrap();
    let mut names = labels.iter().map(|name| (*name).to_owned());
    let (label, more_labels) = (names.next(), names.collect());
    let table = TableSpec { ignore: vec!["small".to_owned()], ..TableSpec::default() };
    let data = DataSpec {
        source: file.to_str().unwrap().to_owned(),
        label,
        more_labels,
        task: Some(Task::Regression),
        table,
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    Arc::new(prepare(&data, 3).unwrap().0)
}

const BOTH: [&str; 2] = ["small", "y"];

#[test]
fn several_labels_are_learnt_together_and_predicted_in_their_units() {
    let data = labelled(&BOTH);
    let spec = TrainSpec { epochs: 30, batch_size: 16, hidden: vec![32], ..spec() };
    let objective = Objective::default_of(Task::Regression);
    let trainer = Trainer::new(&spec, Arc::clone(&data), 3, 1).unwrap();
    let mut trainer = trainer.with_objective(&objective).unwrap();
    while trainer.epochs_done() < spec.epochs {
        trainer.epoch(&|| true).unwrap();
    }
    let kept = trainer.keep("numbers").unwrap();
    assert_eq!(Kept::from_bytes(&kept.to_bytes().unwrap()).unwrap(), kept);
    let judged = kept.test.as_ref().unwrap();
    let Outputs::Values { outputs, truth, predicted } = judged.outputs() else { panic!("classes") };
    assert_eq!((*outputs, truth.len()), (2, 2 * judged.rows()));
    // The loss is the mean of the squared errors of the standardised labels.
    let schema = kept.model.schema();
    let standards = schema.standards();
    let errors = truth.iter().zip(predicted).zip(standards.iter().cycle());
    let squares = errors.map(|((truth, found), it)| ((truth - found) * it.scale).powi(2));
    let loss = squares.sum::<f64>() / truth.len() as f64;
    let test = trainer.test().unwrap().unwrap();
    assert!((test.loss - loss).abs() < 1e-5 * loss, "{} {loss}", test.loss);
    let r2: Vec<f64> =
        judged.of_each_output().iter().map(|one| one.measure(Measure::R2).unwrap()).collect();
    assert!(r2[1] > 0.9, "the larger label is nearly linear: {r2:?}");
    assert_eq!(judged.measure(Measure::R2), Some((r2[0] + r2[1]) / 2.0));
    // The model says the same, by the kernels and by a plain computation.
    let features = data.test.as_ref().unwrap().features.to_array().unwrap();
    let (mut all, mut predictor) = (Vec::new(), Predictor::new(&kept.model).unwrap());
    predictor.predict(features.as_slice().unwrap(), &mut all).unwrap();
    assert_eq!((predictor.outputs(), &all), (2, predicted));
    for (row, found) in features.outer_iter().zip(all.chunks(2)) {
        let plain = kept.model.predict_row(row.as_slice().unwrap()).unwrap();
        for ((plain, found), standard) in plain.iter().zip(found).zip(&standards) {
            assert!((plain - found).abs() * standard.scale < 1e-4, "{plain} {found}");
        }
    }
}

#[test]
fn the_test_score_of_repeats_with_several_labels_is_that_of_their_average() {
    let data = labelled(&BOTH);
    let spec = TrainSpec { epochs: 3, hidden: vec![12], ..spec() };
    let objective = Objective { repeats: 2, ..Objective::default_of(Task::Regression) };
    let mut trial = TrialTrainer::new(&spec, (data, "d"), &objective, 3, 1).unwrap();
    while trial.epochs_done() < 3 {
        trial.epoch(&|| true).unwrap();
    }
    let (test, kept) = (trial.test().unwrap().unwrap(), trial.keep("s").unwrap());
    let standards = kept.model.schema().standards();
    let outputs = kept.test.unwrap().of_each_output();
    let rmse = outputs.iter().map(|one| one.measure(Measure::Rmse).unwrap());
    let losses = rmse.zip(&standards).map(|(rmse, standard)| (rmse * standard.scale).powi(2));
    let loss = losses.sum::<f64>() / 2.0;
    assert!((test.loss - loss).abs() < 1e-12 * loss, "{} {loss}", test.loss);
}

/// A table of two numbers, one with gaps, a date and a category.
fn table() -> Arc<Splits> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let mut stream = draws(8);
    let mut text = "size,day,kind,weight,label\n".to_owned();
    for row in 0..300 {
        let (size, weight) = (stream.normal(), (3.0 * stream.normal()).exp());
        let day = 1 + stream.below(28);
        let kind = ["a", "b", "c"][stream.below(3) as usize];
        let label = if size * size + weight.ln().sin() > 0.7 { "yes" } else { "no" };
        let weight = if row % 7 == 0 { String::new() } else { weight.to_string() };
        text += &format!("{size},2024-05-{day:02},{kind},{weight},{label}\n");
    }
    std::fs::write(&path, text).unwrap();
    let source = path.to_str().unwrap().to_owned();
    let label = Some("label".to_owned());
    let data = DataSpec { source, label, validation: 0.2, test: 0.2, ..DataSpec::default() };
    Arc::new(prepare(&data, 3).unwrap().0)
}

#[test]
fn a_measure_is_that_of_the_predictions_and_chooses_the_epoch() {
    let measures = Measure::ALL.into_iter().filter(|it| *it != Measure::Accuracy);
    let several = [Measure::Rmse, Measure::Mae, Measure::R2].map(|it| (it, labelled(&BOTH)));
    let data = |it: Measure| (it, if it.needs_classes() { digits() } else { numbers() });
    let cases = measures.map(data).chain(several);
    for ((measure, data), epoch) in cases.zip(ObjectiveEpoch::ALL.into_iter().cycle()) {
        let goal = Goal::of(measure);
        let objective = Objective { metric: Metric::Measure(measure), goal, epoch, repeats: 1 };
        let spec = TrainSpec { epochs: 5, batch_size: 32, hidden: vec![12], ..spec() };
        let trainer = Trainer::new(&spec, Arc::clone(&data), 3, 1).unwrap();
        let mut trainer = trainer.with_objective(&objective).unwrap();
        let mut curve = Vec::new();
        while trainer.epochs_done() < spec.epochs {
            let metrics = trainer.epoch(&|| true).unwrap().unwrap();
            assert_eq!(metrics.train.measured, None);
            curve.push(metrics.get(&objective.metric).unwrap());
        }
        let counting = trainer.counting().unwrap();
        let costs = curve.iter().map(|value| goal.as_cost(*value));
        let expected = match epoch {
            ObjectiveEpoch::Best => goal.as_cost(costs.fold(f64::INFINITY, f64::min)),
            ObjectiveEpoch::Last => *curve.last().unwrap(),
        };
        let found = counting.validation.measure(measure).unwrap();
        assert_eq!(found, expected, "{measure:?} {epoch:?}: {curve:?}");
        let (test, kept) = (trainer.test().unwrap().unwrap(), trainer.keep("s").unwrap());
        assert_eq!(kept.validation.unwrap().measure(measure), Some(found), "{measure:?}");
        assert_eq!(kept.test.unwrap().measure(measure), test.measure(measure), "{measure:?}");
    }
}

#[test]
fn a_measure_of_the_other_task_is_refused() {
    for (measure, data) in [(Measure::Rmse, digits()), (Measure::RocAuc, numbers())] {
        let (metric, goal) = (Metric::Measure(measure), Goal::of(measure));
        let objective = Objective { metric, goal, epoch: ObjectiveEpoch::Best, repeats: 1 };
        let trainer = Trainer::new(&spec(), data, 3, 1).unwrap();
        let error = trainer.with_objective(&objective).err().unwrap().to_string();
        assert!(error.starts_with("validation split: targets are "), "{error}");
        assert!(error.ends_with(&format!("which {} measures", measure.name())), "{error}");
    }
}

#[test]
fn a_model_with_a_stage_predicts_the_bits_that_its_training_predicted() {
    let data = table();
    let features = data.test.as_ref().unwrap().features.to_array().unwrap();
    let periodic = Embedding::Periodic { size: 4, frequency_scale: 0.3 };
    let segments = Embedding::PiecewiseLinear { size: 5 };
    for (scaling, embedding, input_scaling, weight_average) in [
        (Scaling::Robust, periodic, true, 0.0),
        (Scaling::Quantile, segments, false, 0.9),
        (Scaling::Standard, periodic, false, 0.0),
        (Scaling::Robust, Embedding::None, false, 0.0),
        (Scaling::Quantile, Embedding::None, true, 0.9),
    ] {
        let spec = TrainSpec {
            scaling,
            embedding,
            input_scaling,
            weight_average,
            epochs: 3,
            hidden: vec![20],
            ..spec()
        };
        let (_, kept) = trained(&spec, &data, 4);
        let stage = &kept.model.members()[0].stage;
        if !stage.numbers.is_empty() {
            // Neither the indicator of `weight` nor the parts of the date are numbers.
            assert_eq!(stage.numbers.len(), 3, "{:?}", kept.model.feature_names());
        }
        let mut predicted = Vec::new();
        let mut predictor = Predictor::new(&kept.model).unwrap();
        predictor.predict(features.as_slice().unwrap(), &mut predicted).unwrap();
        assert_eq!(predicted, probabilities(&kept), "{scaling:?} {embedding:?}");
        for (row, predicted) in features.outer_iter().zip(predicted.chunks(2)) {
            let plain = kept.model.predict_row(row.as_slice().unwrap()).unwrap();
            assert!((plain[0] - predicted[0]).abs() < 1e-5, "{plain:?} {predicted:?}");
        }
    }
}

#[test]
fn an_ensemble_averages_its_members() {
    let data = digits();
    let features = data.test.as_ref().unwrap().features.to_array().unwrap();
    let spec = TrainSpec { epochs: 2, batch_size: 64, hidden: vec![16], ..spec() };
    let kept = [trained(&spec, &data, 1).1, trained(&spec, &data, 2).1];
    let members = kept
        .iter()
        .zip([0.25, 0.75])
        .map(|(kept, weight)| Member { weight, ..kept.model.members()[0].clone() });
    let model = Model::new(kept[0].model.schema().clone(), members.collect()).unwrap();
    let mut predicted = Vec::new();
    let mut predictor = Predictor::new(&model).unwrap();
    predictor.predict(features.as_slice().unwrap(), &mut predicted).unwrap();
    let [first, second] = [0, 1].map(|member| probabilities(&kept[member]));
    for ((mean, a), b) in predicted.iter().zip(first).zip(second) {
        assert!((mean - (0.25 * a + 0.75 * b)).abs() < 1e-12);
    }
}
