//! Bad specs, bad data and bad bytes give errors that say what is wrong.

use std::sync::Arc;

use caviar_common::train::{Optimizer, Schedule, TrainSpec};
use ndarray::Array2;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use super::{spec, splits};
use crate::error::TrainError;
use crate::trainer::Trainer;
use caviar_data::{Examples, Splits, Targets};

fn error_of(spec: &TrainSpec, data: Splits) -> String {
    Trainer::new(spec, Arc::new(data), 1, 1)
        .err()
        .map_or_else(|| "no error".to_owned(), |error| error.to_string())
}

#[test]
fn every_hyperparameter_out_of_range_is_named() {
    let bad: [(TrainSpec, &str); 16] = [
        (TrainSpec { epochs: 0, ..spec() }, "epochs is 0, must be at least 1"),
        (TrainSpec { batch_size: 1, ..spec() }, "batch_size is 1, must be at least 2"),
        (
            TrainSpec { hidden: vec![4, 0], ..spec() },
            "hidden is 0, must be layers of at least 1 unit",
        ),
        (
            TrainSpec { batch_norm_momentum: 1.0, ..spec() },
            "batch_norm_momentum is 1, must be in [0, 1)",
        ),
        (TrainSpec { dropout: -0.1, ..spec() }, "dropout is -0.1, must be in [0, 1)"),
        (TrainSpec { dropout: f64::NAN, ..spec() }, "dropout is NaN, must be in [0, 1)"),
        (TrainSpec { momentum: 1.5, ..spec() }, "momentum is 1.5, must be in [0, 1)"),
        (TrainSpec { beta1: 1.0, ..spec() }, "beta1 is 1, must be in [0, 1)"),
        (TrainSpec { beta2: -1.0, ..spec() }, "beta2 is -1, must be in [0, 1)"),
        (
            TrainSpec { weight_decay: -1.0, ..spec() },
            "weight_decay is -1, must be finite and at least 0",
        ),
        (
            TrainSpec { gradient_clip: f64::INFINITY, ..spec() },
            "gradient_clip is inf, must be finite and at least 0",
        ),
        (
            TrainSpec { learning_rate: 0.0, ..spec() },
            "learning_rate is 0, must be finite and above 0",
        ),
        (TrainSpec { epsilon: 0.0, ..spec() }, "epsilon is 0, must be finite and above 0"),
        (
            TrainSpec { learning_rate_decay: -0.5, ..spec() },
            "learning_rate_decay is -0.5, must be finite and at least 0",
        ),
        (
            TrainSpec { schedule: Schedule::Cosine, learning_rate_decay: 2.0, ..spec() },
            "learning_rate_decay is 2, must be in [0, 1] with schedule cosine",
        ),
        (
            TrainSpec { hidden: vec![u32::MAX, u32::MAX], ..spec() },
            "the network has 18446744202558570512 weights, must be at most 268435456",
        ),
    ];
    for (spec, text) in bad {
        let error = error_of(&spec, Arc::unwrap_or_clone(splits(20, 5, 3)));
        let is_huge = spec.hidden.len() == 2 && spec.hidden[0] == u32::MAX;
        assert!(
            error == text || (is_huge && error.contains("must be at most 268435456")),
            "{error:?} but {text:?}"
        );
    }
}

#[test]
fn data_that_cannot_be_trained_on_is_named() {
    let good = || Arc::unwrap_or_clone(splits(20, 5, 3));
    let examples = |rows: usize, features: usize| Examples {
        features: Array2::zeros((rows, features)),
        targets: Targets::Classes(vec![0; rows]),
    };
    let values = |rows: usize| Examples {
        features: Array2::zeros((rows, 5)),
        targets: Targets::Values(vec![0.0; rows]),
    };
    let column_major = Examples {
        features: Array2::zeros((5, 20)).reversed_axes(),
        targets: Targets::Classes(vec![0; 20]),
    };
    let unlabelled =
        Examples { features: Array2::zeros((4, 5)), targets: Targets::Classes(vec![0; 3]) };
    let bad: [(Splits, &str); 9] = [
        (Splits { train: examples(1, 5), ..good() }, "train split: 1 examples, must be at least 2"),
        (
            Splits { validation: examples(0, 5), ..good() },
            "validation split: 0 examples, must be at least 1",
        ),
        (
            Splits { test: Some(examples(3, 4)), ..good() },
            "test split: 4 features, must be as many as in the train split, at least 1",
        ),
        (
            Splits { train: examples(4, 0), ..good() },
            "train split: 0 features, must be as many as in the train split, at least 1",
        ),
        (Splits { train: column_major, ..good() }, "train split: features are not row-major"),
        (Splits { validation: unlabelled, ..good() }, "validation split: 3 targets for 4 examples"),
        (Splits { outputs: 2, ..good() }, "train split: class 2, must be below the 2 outputs"),
        (
            Splits { validation: values(4), ..good() },
            "validation split: targets of another kind than in the train split",
        ),
        (Splits { train: values(4), ..good() }, "train split: 3 outputs, must be 1 for regression"),
    ];
    for (data, text) in bad {
        assert_eq!(error_of(&spec(), data), text);
    }
}

fn checkpoint(spec: &TrainSpec) -> Vec<u8> {
    let mut trainer = Trainer::new(spec, splits(20, 5, 3), 1, 1).unwrap();
    trainer.epoch(&|| true).unwrap();
    trainer.checkpoint().unwrap()
}

fn resume_error(spec: &TrainSpec, seed: u64, trial: u64, bytes: &[u8]) -> Option<TrainError> {
    Trainer::resume(spec, splits(20, 5, 3), seed, trial, bytes).err()
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let bytes = checkpoint(&spec());
    assert_eq!(resume_error(&spec(), 1, 1, &bytes), None);
    let other = Some(TrainError::Checkpoint {
        what: "of another training (spec, data, seed or trial differ)",
    });
    assert_eq!(resume_error(&spec(), 2, 1, &bytes), other);
    assert_eq!(resume_error(&spec(), 1, 2, &bytes), other);
    assert_eq!(
        resume_error(&TrainSpec { optimizer: Optimizer::Adamw, ..spec() }, 1, 1, &bytes),
        other
    );
    assert_eq!(Trainer::resume(&spec(), splits(21, 5, 3), 1, 1, &bytes).err(), other);
}

#[test]
fn a_damaged_checkpoint_is_refused_wherever_it_is_damaged() {
    let bytes = checkpoint(&spec());
    for index in (0..bytes.len()).step_by(41).chain(0..60).chain(bytes.len() - 40..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        assert!(
            matches!(resume_error(&spec(), 1, 1, &damaged), Some(TrainError::Checkpoint { .. })),
            "byte {index}"
        );
    }
    for len in (0..bytes.len()).step_by(37).chain(0..100) {
        assert!(
            matches!(
                resume_error(&spec(), 1, 1, &bytes[..len]),
                Some(TrainError::Checkpoint { .. })
            ),
            "{len} bytes"
        );
    }
}

/// Whoever can compute BLAKE3 can make the digest fit; nothing may panic then either.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let digest = blake3::hash(&content);
    content.extend_from_slice(digest.as_bytes());
    content
}

#[test]
fn a_checkpoint_of_the_wrong_length_or_version_is_refused() {
    let bytes = checkpoint(&spec());
    let content = &bytes[..bytes.len() - 32];
    let what_of = |content: Vec<u8>| match resume_error(&spec(), 1, 1, &sealed(content)) {
        Some(TrainError::Checkpoint { what }) => what,
        other => panic!("{other:?}"),
    };
    for len in (8..content.len()).step_by(29).chain(8..80) {
        what_of(content[..len].to_vec());
    }
    assert_eq!(
        what_of(content[..content.len() - 4].to_vec()),
        "of another length than this training's"
    );
    assert_eq!(what_of([content, &[0; 4]].concat()), "of another length than this training's");
    let mut newer = content.to_vec();
    newer[8] = 2;
    assert_eq!(what_of(newer), "of another version");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_resume_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), has_magic in any::<bool>()) {
        let content = if has_magic { [b"caviarnn\x01\0\0\0".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(resume_error(&spec(), 1, 1, &content).is_some());
        prop_assert!(resume_error(&spec(), 1, 1, &sealed(content)).is_some());
    }
}
