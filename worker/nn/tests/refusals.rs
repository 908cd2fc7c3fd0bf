//! Wrong specs, data and checkpoints give errors that name the field, the value and what is right.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use caviar_common::train::{Embedding, Optimizer, Schedule, TrainSpec};
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::{TrainError, Trainer};
use ndarray::Array2;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use support::{spec, splits};

fn error_of(spec: &TrainSpec, data: Splits) -> String {
    Trainer::new(spec, Arc::new(data), 1, 1)
        .err()
        .map_or_else(|| "no error".to_owned(), |error| error.to_string())
}

fn good_data() -> Splits {
    Arc::unwrap_or_clone(splits(20, 5, 3))
}

#[test]
fn an_embedding_out_of_range_is_named_with_its_range() {
    let (size, frequency_scale) = (4, 0.0);
    for (embedding, text) in [
        (
            Embedding::PiecewiseLinear { size: 1 },
            "embedding_size = 1: expected a whole number from 2 to 64",
        ),
        (
            Embedding::Periodic { size, frequency_scale },
            "embedding_frequency_scale = 0.0: expected a number above 0 and at most 100",
        ),
    ] {
        let spec = TrainSpec { embedding, ..spec() };
        let error = Trainer::new(&spec, Arc::new(good_data()), 1, 1).err().unwrap();
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_hyperparameter_out_of_range_is_named_with_its_range() {
    const UNIT: &str = "expected a number of at least 0 and below 1";
    const UNITS: &str = "expected a whole number from 1 to 8192";
    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let optimizer = |optimizer| TrainSpec { optimizer, ..spec() };
    let schedule = |schedule| TrainSpec { schedule, ..spec() };
    let bad = [
        (TrainSpec { epochs: 0, ..spec() }, "epochs = 0: expected a whole number from 1 to 100000"),
        (
            TrainSpec { batch_size: 1, ..spec() },
            "batch_size = 1: expected a whole number from 2 to 1048576",
        ),
        (TrainSpec { hidden: vec![4, 0], ..spec() }, &format!("units_2 = 0: {UNITS}")),
        (TrainSpec { hidden: vec![u32::MAX], ..spec() }, &format!("units_1 = 4294967295: {UNITS}")),
        (
            TrainSpec { hidden: vec![1; 65], ..spec() },
            "layers = 65: expected a whole number from 0 to 64",
        ),
        (
            TrainSpec { batch_norm_momentum: 1.0, ..spec() },
            &format!("batch_norm_momentum = 1.0: {UNIT}"),
        ),
        (TrainSpec { dropout: -0.1, ..spec() }, &format!("dropout = -0.1: {UNIT}")),
        (TrainSpec { dropout: f64::NAN, ..spec() }, &format!("dropout = NaN: {UNIT}")),
        (TrainSpec { weight_average: 1.0, ..spec() }, &format!("weight_average = 1.0: {UNIT}")),
        (TrainSpec { label_smoothing: 1.0, ..spec() }, &format!("label_smoothing = 1.0: {UNIT}")),
        (optimizer(Optimizer::Momentum { momentum: 1.5 }), &format!("momentum = 1.5: {UNIT}")),
        (optimizer(Optimizer::Nesterov { momentum: -0.5 }), &format!("momentum = -0.5: {UNIT}")),
        (
            optimizer(Optimizer::Adam { beta1: 1.0, beta2, epsilon }),
            &format!("beta1 = 1.0: {UNIT}"),
        ),
        (
            optimizer(Optimizer::Adamw { beta1, beta2: -1.0, epsilon }),
            &format!("beta2 = -1.0: {UNIT}"),
        ),
        (
            optimizer(Optimizer::Rmsprop { beta2, epsilon: 0.0 }),
            "epsilon = 0.0: expected a number above 0 and at most 1",
        ),
        (
            TrainSpec { weight_decay: -1.0, ..spec() },
            "weight_decay = -1.0: expected a number from 0 to 100",
        ),
        (
            TrainSpec { gradient_clip: f64::INFINITY, ..spec() },
            "gradient_clip = inf: expected a number from 0 to 1000000",
        ),
        (
            TrainSpec { learning_rate: 0.0, ..spec() },
            "learning_rate = 0.0: expected a number above 0 and at most 1000",
        ),
        (
            schedule(Schedule::Step { decay: -0.5 }),
            "learning_rate_decay = -0.5: expected a number from 0 to 100",
        ),
        (
            schedule(Schedule::Cosine { decay: 2.0 }),
            "learning_rate_decay = 2.0: expected a number from 0 to 1: with schedule = \"cosine\" \
             it is the share of the rate that is lost by the end",
        ),
        (
            TrainSpec { hidden: vec![8192; 6], ..spec() },
            "weights = 335806464: expected at most 268435456; reduce units or layers",
        ),
    ];
    for (spec, text) in bad {
        assert_eq!(error_of(&spec, good_data()), text);
    }
}

#[test]
fn the_labels_of_a_regression_are_not_smoothed() {
    let spec = TrainSpec { label_smoothing: 0.1, ..spec() };
    let data = Arc::unwrap_or_clone(splits(20, 5, 0));
    assert_eq!(
        error_of(&spec, data),
        "label_smoothing = 0.1: expected 0 for regression, which has no classes to smooth"
    );
    assert_eq!(error_of(&spec, good_data()), "no error");
}

#[test]
fn data_that_cannot_be_trained_on_is_named() {
    let examples = |rows: usize, features: usize| Examples {
        weights: None,
        features: Array2::zeros((rows, features)).into(),
        targets: Targets::Classes(vec![0; rows]),
    };
    let values = |rows: usize| Examples {
        weights: None,
        features: Array2::zeros((rows, 5)).into(),
        targets: Targets::Values(vec![0.0; rows].into()),
    };
    let column_major = Examples {
        weights: None,
        features: Array2::zeros((5, 20)).reversed_axes().into(),
        targets: Targets::Classes(vec![0; 20]),
    };
    let unlabelled = Examples {
        features: Array2::zeros((4, 5)).into(),
        targets: Targets::Classes(vec![0; 3]),
        weights: None,
    };
    let good = good_data;
    let bad = [
        (
            Splits { train: examples(1, 5), ..good() },
            "train split: examples = 1: expected at least 2",
        ),
        (
            Splits { validation: examples(0, 5), ..good() },
            "validation split: examples = 0: expected at least 1",
        ),
        (
            Splits { test: Some(examples(3, 4)), ..good() },
            "test split: features = 4: expected 5, as in the train split",
        ),
        (
            Splits { train: examples(4, 0), ..good() },
            "train split: features = 0: expected at least 1",
        ),
        (
            Splits { train: column_major, ..good() },
            "train split: features: expected a row-major array",
        ),
        (
            Splits { validation: unlabelled, ..good() },
            "validation split: targets = 3: expected 4, one per example",
        ),
        (
            Splits { outputs: 2, ..good() },
            "train split: class = 2: expected less than 2, the number of outputs",
        ),
        (
            Splits { validation: values(4), ..good() },
            "validation split: targets are values: expected classes, as in the train split",
        ),
        (
            Splits { train: values(4), ..good() },
            "train split: outputs = 3: expected 1 for regression",
        ),
    ];
    for (data, text) in bad {
        assert_eq!(error_of(&spec(), data), text);
    }
}

#[test]
fn too_little_memory_names_the_hyperparameters_to_reduce() {
    assert_eq!(
        TrainError::OutOfMemory { floats: 12 }.to_string(),
        "not enough memory for 12 more floats: reduce batch_size, units or layers"
    );
}

fn checkpoint(spec: &TrainSpec) -> Vec<u8> {
    let mut trainer = Trainer::new(spec, splits(20, 5, 3), 1, 1).unwrap();
    trainer.epoch(&|| true).unwrap();
    trainer.checkpoint(2.5).unwrap()
}

fn resume_error(spec: &TrainSpec, seed: u64, trial: u64, bytes: &[u8]) -> Option<TrainError> {
    let mut trainer = Trainer::new(spec, splits(20, 5, 3), seed, trial).unwrap();
    let before = trainer.checkpoint(0.0);
    let error = trainer.restore(bytes).err();
    // What is refused changes nothing.
    assert!(error.is_none() || trainer.checkpoint(0.0) == before);
    error
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let bytes = checkpoint(&spec());
    assert_eq!(resume_error(&spec(), 1, 1, &bytes), None);
    let other = Some(TrainError::Checkpoint {
        what: "it is of another training: the spec, data, seed or trial differ",
    });
    assert_eq!(resume_error(&spec(), 2, 1, &bytes), other);
    assert_eq!(resume_error(&spec(), 1, 2, &bytes), other);
    let adamw = Optimizer::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    assert_eq!(resume_error(&TrainSpec { optimizer: adamw, ..spec() }, 1, 1, &bytes), other);
    let adam = Optimizer::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    assert_eq!(resume_error(&TrainSpec { optimizer: adam, ..spec() }, 1, 1, &bytes), other);
    let larger = Trainer::new(&spec(), splits(21, 5, 3), 1, 1);
    assert_eq!(larger.unwrap().restore(&bytes).err(), other);
    let other_data = Trainer::new(&spec(), splits(20, 5, 3), 1, 1).unwrap().with_data_digest("ab");
    let mut other_data = other_data;
    assert_eq!(other_data.restore(&bytes).err(), other);
}

#[test]
fn a_checkpoint_that_says_the_impossible_is_refused() {
    let bytes = checkpoint(&spec());
    let content = &bytes[..bytes.len() - 32];
    let what_of = |offset: usize, value: u64| {
        let mut forged = content.to_vec();
        forged[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        match resume_error(&spec(), 1, 1, &sealed(forged)) {
            Some(TrainError::Checkpoint { what }) => what,
            other => panic!("{other:?}"),
        }
    };
    // The places are those of the table in `checkpoint.rs`.
    let (epochs, pieces, steps, seconds, train) = (44, 48, 56, 64, 72);
    for (offset, value, what) in [
        (epochs, 5, "it is further than the training goes"),
        (epochs, u64::from(u32::MAX), "it is further than the training goes"),
        (pieces, 4, "it is further than the training goes"),
        (pieces, u64::MAX, "it is further than the training goes"),
        (steps, u64::MAX, "it has more steps than any training"),
        (seconds, f64::NAN.to_bits(), "its training time is not a time"),
        (seconds, (-1f64).to_bits(), "its training time is not a time"),
        (train + 8, f64::INFINITY.to_bits(), "it counts more examples than the data has"),
        (train + 16, 1f64.to_bits(), "it counts more examples than the data has"),
        (train + 24, 21f64.to_bits(), "it counts more examples than the data has"),
        (train + 24, f64::NAN.to_bits(), "it counts more examples than the data has"),
        (train + 32 + 24, 20f64.to_bits(), "it counts more examples than the data has"),
    ] {
        assert_eq!(what_of(offset, value), what, "{value} at {offset}");
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_wherever_it_is_damaged() {
    let bytes = checkpoint(&spec());
    let is_refused = |bytes: &[u8]| {
        matches!(resume_error(&spec(), 1, 1, bytes), Some(TrainError::Checkpoint { .. }))
    };
    for index in (0..bytes.len()).step_by(41).chain(0..60).chain(bytes.len() - 40..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        assert!(is_refused(&damaged), "byte {index}");
    }
    for len in (0..bytes.len()).step_by(37).chain(0..100) {
        assert!(is_refused(&bytes[..len]), "{len} bytes");
    }
}

/// The content with a digest that matches it, as a forger would make it.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let digest = blake3::hash(&content);
    content.extend_from_slice(digest.as_bytes());
    content
}

#[test]
fn a_checkpoint_of_the_wrong_length_or_version_is_refused() {
    const LENGTH: &str = "its length is not that of this training's checkpoints";
    let bytes = checkpoint(&spec());
    let content = &bytes[..bytes.len() - 32];
    let what_of = |content: Vec<u8>| match resume_error(&spec(), 1, 1, &sealed(content)) {
        Some(TrainError::Checkpoint { what }) => what,
        other => panic!("{other:?}"),
    };
    for len in (8..content.len()).step_by(29).chain(8..80) {
        what_of(content[..len].to_vec());
    }
    assert_eq!(what_of(content[..content.len() - 4].to_vec()), LENGTH);
    assert_eq!(what_of([content, &[0; 4]].concat()), LENGTH);
    let mut newer = content.to_vec();
    newer[8] += 1;
    assert_eq!(what_of(newer), "it has another version, written by another release");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_resume_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        has_magic in any::<bool>(),
    ) {
        let magic = b"caviarnn\x03\0\0\0".as_slice();
        let content = if has_magic { [magic, &bytes].concat() } else { bytes };
        prop_assert!(resume_error(&spec(), 1, 1, &content).is_some());
        prop_assert!(resume_error(&spec(), 1, 1, &sealed(content)).is_some());
    }
}
