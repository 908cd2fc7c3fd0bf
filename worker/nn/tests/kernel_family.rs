//! `CAVIAR_KERNELS` chooses the kernels of a whole process. Each value is tested in its own
//! process: this test program, which then runs one of the tests that are ignored otherwise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;

use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::{Trainer, kernel_family};
use ndarray::Array2;

use support::spec;

/// The environment variable that tells [`look`] what to expect: a family, or the start of an error.
const WANTED: &str = "CAVIAR_TEST_WANTED";
/// The text before the digest of a training's last checkpoint.
const DIGEST: &str = "digest of the weights: ";

fn process(test: &str, kernels: Option<&str>) -> Command {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", test, "--ignored", "--nocapture"]).env_remove("CAVIAR_KERNELS");
    kernels.map(|value| process.env("CAVIAR_KERNELS", value));
    process
}

fn sees(kernels: Option<&str>, wanted: &str) -> bool {
    process("look", kernels).env(WANTED, wanted).output().unwrap().status.success()
}

/// The digests that [`train`] prints in `processes` processes at once.
fn trained(kernels: &str, processes: usize) -> Vec<String> {
    let start = |_| process("train", Some(kernels)).stdout(Stdio::piped()).spawn().unwrap();
    let running: Vec<_> = (0..processes).map(start).collect();
    let digest = |child: std::process::Child| {
        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        output.split_once(DIGEST).unwrap().1.lines().next().unwrap().to_owned()
    };
    running.into_iter().map(digest).collect()
}

#[test]
fn every_family_trains_the_same_weights_also_next_to_another_process() {
    let wanted = trained("portable", 1);
    let families = ["avx512", "avx2", "portable"];
    for family in families.into_iter().filter(|family| sees(Some(family), family)) {
        assert_eq!(trained(family, 1), wanted, "{family}");
        assert_eq!(
            trained(family, 2),
            [wanted.clone(), wanted.clone()].concat(),
            "two processes with {family}"
        );
    }
}

#[test]
fn the_environment_variable_forces_a_family_or_is_an_error() {
    assert!(sees(Some("portable"), "portable"));
    assert!(sees(None, kernel_family().unwrap()));
    assert!(!sees(Some("portable"), "avx1024"));
    for bad in ["avx1024", "", "AVX2"] {
        let error = format!("CAVIAR_KERNELS = {bad:?}: expected one of ");
        assert!(sees(Some(bad), &error), "{bad:?}");
    }
}

#[test]
#[ignore = "a test above runs it in its own process"]
fn train() {
    let examples = |rows: usize| Examples {
        weights: None,
        features: Array2::from_shape_fn((rows, 10), |(row, column)| {
            f32::from(u8::try_from((row * 7 + column * 3) % 11).unwrap()) - 5.0
        })
        .into(),
        targets: Targets::Classes((0..3).cycle().take(rows).collect()),
    };
    let data = Splits {
        train: examples(65),
        validation: examples(30),
        folds: Vec::new(),
        test: None,
        outputs: 3,
        schema: None,
    };
    let spec =
        TrainSpec { epochs: 3, batch_size: 16, hidden: vec![40, 33], dropout: 0.2, ..spec() };
    let mut trainer = Trainer::new(&spec, Arc::new(data), 1, 1).unwrap();
    while trainer.epochs_done() < spec.epochs {
        trainer.epoch(&|| true).unwrap();
    }
    // A checkpoint ends with its digest.
    let checkpoint = trainer.checkpoint(0.0).unwrap();
    println!("{DIGEST}{:x?}", checkpoint.last_chunk::<32>().unwrap());
}

#[test]
#[ignore = "a test above runs it in its own process"]
fn look() {
    let examples = || Examples {
        weights: None,
        features: Array2::zeros((4, 2)).into(),
        targets: Targets::Classes(vec![0, 1, 0, 1]),
    };
    let data = Splits {
        train: examples(),
        validation: examples(),
        folds: Vec::new(),
        test: None,
        outputs: 2,
        schema: None,
    };
    let seen = match Trainer::new(&spec(), Arc::new(data), 1, 1) {
        Ok(_) => kernel_family().unwrap().to_owned(),
        Err(error) => error.to_string(),
    };
    let wanted = std::env::var(WANTED).unwrap_or_else(|_| seen.clone());
    assert!(seen.starts_with(&wanted), "{seen}");
}
