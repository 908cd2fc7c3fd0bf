//! `CAVIAR_KERNELS` chooses the kernels of a whole process, so each value is tried in a process of its own: this very test
//! program, told to run the one test below that looks.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;
use std::sync::Arc;

use caviar_common::train::{Activation, Init, Normalization, Optimizer, Precision, Schedule, TrainSpec};
use caviar_nn::examples::{Examples, Splits, Targets};
use caviar_nn::{Trainer, kernel_family};
use ndarray::Array2;

/// What the environment says that [`look`] must see: a family, or the start of an error.
const WANTED: &str = "CAVIAR_TEST_WANTED";

fn sees(kernels: Option<&str>, wanted: &str) -> bool {
    let mut look = Command::new(std::env::current_exe().unwrap());
    look.args(["--exact", "look", "--ignored"]).env(WANTED, wanted).env_remove("CAVIAR_KERNELS");
    kernels.map(|value| look.env("CAVIAR_KERNELS", value));
    look.output().unwrap().status.success()
}

#[test]
fn the_environment_forces_a_family_or_is_an_error() {
    assert!(sees(Some("portable"), "portable"));
    assert!(sees(None, kernel_family().unwrap()));
    assert!(!sees(Some("portable"), "avx1024"));
    for bad in ["avx1024", "", "AVX2"] {
        assert!(sees(Some(bad), &format!("CAVIAR_KERNELS is {bad:?}, must be avx512bf16, avx512, avx2 or portable")), "{bad:?}");
    }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn look() {
    let examples = || Examples { features: Array2::zeros((4, 2)), targets: Targets::Classes(vec![0, 1, 0, 1]) };
    let data = Splits { train: examples(), validation: examples(), test: None, outputs: 2 };
    let seen = match Trainer::new(&spec(), Arc::new(data), 1, 1) {
        Ok(_) => kernel_family().unwrap().to_owned(),
        Err(error) => error.to_string(),
    };
    let wanted = std::env::var(WANTED).unwrap_or_else(|_| seen.clone());
    assert!(seen.starts_with(&wanted), "{seen}");
}

fn spec() -> TrainSpec {
    TrainSpec {
        epochs: 1,
        batch_size: 2,
        hidden: Vec::new(),
        activation: Activation::Relu,
        normalization: Normalization::Before,
        batch_norm_momentum: 0.9,
        dropout: 0.0,
        weight_decay: 0.0,
        init: Init::Auto,
        gradient_clip: 0.0,
        optimizer: Optimizer::Sgd,
        learning_rate: 0.1,
        schedule: Schedule::Constant,
        learning_rate_decay: 0.0,
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        precision: Precision::F32,
    }
}
