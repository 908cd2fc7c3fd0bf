//! Embedded categories: gradients, the same bits everywhere, and models.

use std::sync::Arc;

use caviar_common::data::{ColumnType, DataSpec, SplitSpec, TableSpec, Task};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::Objective;
use caviar_common::train::{Embedding, Optimizer, TrainSpec};
use caviar_data::{Dataset, Encoder, Encoding, Splits, load, split, whole};
use caviar_model::{CATEGORY_COLUMNS, CategoryEmbedding, Model};

use super::stages::{Case, check_gradients, specs};
use super::support::{draws, spec, specs_of_every_branch};
use crate::fit;
use crate::kernels::Family;
use crate::network::{Network, Sizes};
use crate::optimizer::Updater;
use crate::trainer::{Part, Trainer};
use crate::{Predictor, refit};

fn category(place: usize, values: usize) -> CategoryEmbedding {
    CategoryEmbedding { place, values, weights: Vec::new() }
}

/// A table with two categories of many values. One of them has values in one row and in two rows,
/// and missing ones.
fn dataset() -> (Dataset, DataSpec) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.csv");
    let mut text = "x,city,colour,code,y\n".to_owned();
    for row in 0..700_u32 {
        let city = match row {
            row if row % 29 == 0 => String::new(),
            row if row % 31 == 0 => format!("rare{row}"),
            row if row % 23 == 0 => format!("pair{}", row / 46),
            row => format!("city{}", row * 37 % 83),
        };
        let class = ["no", "yes"][usize::from(row * 37 % 83 % 2 == 0)];
        text +=
            &format!("{},{city},{},", row * 7 % 101, ["red", "blue", "green"][row as usize % 3]);
        text += &format!("code{},{class}\n", row * row % 71 + row % 2 * 100);
    }
    std::fs::write(&path, text).unwrap();
    let types = ["city", "code"].map(|name| (name.to_owned(), ColumnType::Category));
    let data = DataSpec {
        source: path.to_str().unwrap().to_owned(),
        label: Some("y".to_owned()),
        task: Some(Task::Classification),
        table: TableSpec { types: types.into_iter().collect(), ..TableSpec::default() },
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    (load(&data).unwrap(), data)
}

fn splits() -> Arc<Splits> {
    let (dataset, spec) = dataset();
    let splits = split(&dataset, &spec, 3).unwrap();
    let categories = splits.schema.as_ref().unwrap().encoder.categories();
    let found: Vec<(usize, usize)> = categories.iter().map(|it| (it.place, it.values)).collect();
    assert_eq!((found.len(), splits.train.features.ncols()), (2, 6), "{found:?}");
    splits.into()
}

#[test]
fn gradients_of_vectors_are_the_slopes_of_the_loss() {
    for family in Family::available() {
        for spec in specs() {
            for sizes in [[9, 5], [33, 19]] {
                let categories = vec![category(1, 3), category(4, 40)];
                check_gradients(Case::with_categories(family, spec.clone(), sizes, categories));
            }
        }
        // The stage has only vectors, and each is checked.
        for hidden in [vec![], vec![7, 5]] {
            let spec = TrainSpec { embedding: Embedding::None, hidden, ..spec() };
            let categories = vec![category(1, 5), category(4, 2)];
            let case = Case::with_categories(family, spec, [12, 6], categories);
            assert_eq!(case.stage_len(), 7 * CATEGORY_COLUMNS);
            check_gradients(case);
        }
    }
}

#[test]
fn vectors_do_not_decay_and_those_of_absent_values_stay() {
    let family = Family::available()[0];
    let spec = TrainSpec { weight_decay: 0.1, optimizer: Optimizer::Sgd, ..spec() };
    let mut case = Case::with_categories(family, spec.clone(), [9, 5], vec![category(1, 3)]);
    let rows: Vec<u32> = (0..9).collect();
    let before = case.network.parameters.to_vec();
    case.network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
    let mut updater = Updater::new(family, &spec, case.network.parameters.len()).unwrap();
    updater.step(&mut case.network, 0.25);
    let positions: Vec<usize> = case.network.tensors().flat_map(|it| it.positions()).collect();
    let vectors = &positions[..case.stage_len()];
    assert_eq!(vectors.len(), 3 * CATEGORY_COLUMNS);
    for &at in vectors {
        let want = before[at] - 0.25 * case.network.gradients[at];
        assert!((case.network.parameters[at] - want).abs() < 1e-6);
    }
    assert!(vectors[..8].iter().any(|&at| case.network.gradients[at] != 0.0));
    assert!(vectors[16..].iter().all(|&at| case.network.gradients[at] == 0.0));
}

#[test]
fn vectors_begin_with_the_standard_normal_distribution() {
    let data = splits();
    let fitted = fit::stage(&spec(), &data);
    let sizes = Sizes { features: 6, outputs: 2, capacity: 8 };
    let family = Family::available()[0];
    let mut network = Network::with_stage(family, &spec(), &fitted, sizes).unwrap();
    network.initialise(&spec(), Seed::derive(1, 2, Purpose::Init));
    let stage = network.stage.as_ref().unwrap().export(&fitted, &network.parameters);
    let weights = stage.categories.iter().flat_map(|it| &it.weights);
    let weights: Vec<f64> = weights.map(|&weight| f64::from(weight)).collect();
    let values: usize = fitted.categories.iter().map(|it| it.values).sum();
    assert_eq!(weights.len(), values * CATEGORY_COLUMNS);
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let square = weights.iter().map(|weight| weight * weight).sum::<f64>() / weights.len() as f64;
    assert!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.15, "{mean} {square}");
}

fn trainer(family: Family, spec: &TrainSpec, data: Arc<Splits>) -> Trainer {
    Trainer::with_family(family, spec, data, (5, 6, Part::default())).unwrap()
}

#[test]
fn a_training_has_the_same_bits_on_every_family_and_after_a_pause() {
    let data = splits();
    for spec in specs_of_every_branch() {
        let spec = TrainSpec { epochs: 2, batch_size: 64, ..spec };
        let run = |family, pause: bool| {
            let mut trainer = trainer(family, &spec, Arc::clone(&data));
            trainer.epoch(&|| true).unwrap().unwrap();
            if pause {
                let checkpoint = trainer.checkpoint(0.0).unwrap();
                trainer = self::trainer(family, &spec, Arc::clone(&data));
                trainer.restore(&checkpoint).unwrap();
            }
            trainer.epoch(&|| true).unwrap().unwrap();
            trainer.checkpoint(0.0).unwrap()
        };
        let first = run(Family::available()[0], false);
        for family in Family::available() {
            assert!(first == run(family, false), "{} {:?}", family.name(), spec.optimizer);
            assert!(first == run(family, true), "paused {} {:?}", family.name(), spec.optimizer);
        }
    }
}

#[test]
fn a_checkpoint_of_other_values_is_of_another_training() {
    let data = splits();
    let family = Family::available()[0];
    let checkpoint = trainer(family, &spec(), Arc::clone(&data)).checkpoint(0.0).unwrap();
    let mut other = Splits::clone(&data);
    let schema = Arc::make_mut(other.schema.as_mut().unwrap());
    let Encoder::Columns(encodings) = &mut schema.encoder else { panic!("columns") };
    for encoding in encodings {
        if let Encoding::Embedded(embedded) = encoding {
            embedded.values += 1;
        }
    }
    let error = trainer(family, &spec(), other.into()).restore(&checkpoint).unwrap_err();
    assert!(error.to_string().contains("another training"), "{error}");
}

#[test]
fn a_model_with_categories_predicts_the_bits_that_its_training_predicted() {
    let data = splits();
    let features = data.test.as_ref().unwrap().features.to_array().unwrap();
    for spec in specs_of_every_branch() {
        let spec = TrainSpec { epochs: 3, batch_size: 64, ..spec };
        let trainer = trainer(Family::for_process().unwrap(), &spec, Arc::clone(&data));
        let objective = Objective::default_of(Task::Classification);
        let mut trainer = trainer.with_objective(&objective).unwrap();
        while trainer.epochs_done() < spec.epochs {
            trainer.epoch(&|| true).unwrap();
        }
        let kept = trainer.keep("table").unwrap();
        let model = Model::from_bytes(&kept.model.to_bytes().unwrap()).unwrap();
        assert_eq!(model, kept.model);
        let mut predicted = Vec::new();
        let mut predictor = Predictor::new(&model).unwrap();
        predictor.predict(features.as_slice().unwrap(), &mut predicted).unwrap();
        assert_eq!(predicted, super::models::probabilities(&kept), "{:?}", spec.embedding);
        for (row, predicted) in features.outer_iter().zip(predicted.chunks(2)) {
            let plain = model.predict_row(row.as_slice().unwrap()).unwrap();
            assert!((plain[0] - predicted[0]).abs() < 2e-5, "{plain:?} {predicted:?}");
        }
        // What is not the number of a value is an unknown one.
        let place = model.schema().encoder.categories()[0].place;
        let with = |number: f32| {
            let mut row = features.row(0).to_vec();
            row[place] = number;
            row
        };
        let unknown = model.predict_row(&with(0.0)).unwrap();
        assert_ne!(unknown, model.predict_row(&with(1.0)).unwrap());
        let rows = [1e30, -1.0, 70_000.0, 0.5].map(with).concat();
        predictor.predict(&with(0.0), &mut predicted).unwrap();
        let want = predicted.clone();
        predictor.predict(&rows, &mut predicted).unwrap();
        assert!(predicted.chunks(2).all(|row| row == want), "{predicted:?} {want:?}");
    }
}

#[test]
fn vectors_learn_what_a_category_says() {
    let spec = TrainSpec { epochs: 30, ..spec() };
    let mut trainer = trainer(Family::available()[0], &spec, splits());
    while trainer.epochs_done() < spec.epochs {
        trainer.epoch(&|| true).unwrap();
    }
    // The class follows from the city, except for the rare and the missing ones.
    let accuracy = trainer.last().unwrap().validation.accuracy.unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
}

#[test]
fn a_network_that_is_trained_on_all_rows_has_a_vector_for_each_of_their_values() {
    let (dataset, data) = dataset();
    let all = Arc::new(whole(&dataset, &data, 3).unwrap());
    let spec = TrainSpec { epochs: 1, ..spec() };
    let member = refit(&spec, (Arc::clone(&all), ""), (3, 0, 0), 1, "table").unwrap();
    let model = Model::new((**all.schema.as_ref().unwrap()).clone(), vec![member.clone()]).unwrap();
    assert_eq!(model.members()[0].stage.categories.len(), 2);
    // In the training split, some values in two rows are rare.
    let of_training = splits();
    let schema = (**of_training.schema.as_ref().unwrap()).clone();
    let error = Model::new(schema, vec![member]).unwrap_err().to_string();
    assert!(error.contains("does not embed the 2 categories of the schema"), "{error}");
}

#[test]
fn a_fold_gives_a_value_that_only_it_has_the_vector_0() {
    let (dataset, data) = dataset();
    let data = split(
        &dataset,
        &DataSpec { split: SplitSpec { folds: Some(5), ..data.split.clone() }, ..data },
        3,
    )
    .unwrap();
    let place = fit::stage(&spec(), &data).categories[0].place;
    let column = data.train.features.to_array().unwrap().column(place).to_vec();
    let data = Arc::new(data);
    let spec = TrainSpec { epochs: 1, ..spec() };
    let (mut absent, mut present) = (0, 0);
    for fold in 0..5 {
        let part = Part { fold, ..Part::default() };
        let identity = (5, 6, part);
        let family = Family::available()[0];
        let mut trainer = Trainer::with_family(family, &spec, Arc::clone(&data), identity).unwrap();
        trainer.epoch(&|| true).unwrap();
        let kept = trainer.keep("table").unwrap();
        let category = &kept.model.members()[0].stage.categories[0];
        let rows = &data.folds[fold].train;
        for (vector, number) in category.weights.chunks(CATEGORY_COLUMNS).zip(1_u16..) {
            let is_seen = rows.iter().any(|&row| column[row as usize] == f32::from(number));
            assert_eq!(vector.iter().any(|weight| *weight != 0.0), is_seen, "{fold} {number}");
            absent += usize::from(!is_seen);
            present += usize::from(is_seen);
        }
    }
    assert!(absent > 0 && present > 100, "{absent} {present}");
}
