//! A model predicts what the training predicted.

use std::sync::Arc;

use caviar_common::data::{DataSpec, Task};
use caviar_common::spec::Objective;
use caviar_common::train::{Precision, TrainSpec};
use caviar_data::{Splits, prepare};
use caviar_metrics::{Measure, Outputs};
use caviar_model::{Kept, Member, Model};

use super::support::{ACTIVATIONS, NORMALIZATIONS, spec};
use crate::{Predictor, Trainer};

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

fn probabilities(kept: &Kept) -> Vec<f64> {
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
        let accuracy = Measure::Accuracy.of(kept.test.as_ref().unwrap());
        assert_eq!(accuracy, test.accuracy, "{activation:?}");
        let validation = Measure::Accuracy.of(kept.validation.as_ref().unwrap());
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
