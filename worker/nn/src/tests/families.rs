//! Whole trainings have the same bits on every family of instructions.

use caviar_common::train::TrainSpec;

use super::support::{specs_of_every_branch, splits};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::trainer::{Part, Trainer};

/// Trains the remaining epochs; the checkpoint after each.
fn checkpoints(trainer: &mut Trainer, epochs: u32) -> Vec<Vec<u8>> {
    let epochs = trainer.epochs_done()..epochs;
    let one = |_| {
        trainer.epoch(&|| true).unwrap().unwrap();
        trainer.checkpoint(0.0).unwrap()
    };
    epochs.map(one).collect()
}

fn trainer(family: Family, spec: &TrainSpec, outputs: u32) -> Trainer {
    Trainer::with_family(family, spec, splits(41, 20, outputs), (5, 6, Part::default())).unwrap()
}

#[test]
fn a_trial_has_the_same_bits_on_every_family() {
    let families = Family::available();
    for outputs in [3, 0] {
        for spec in specs_of_every_branch() {
            let run = |family| {
                let mut trainer = trainer(family, &spec, outputs);
                let checkpoints = checkpoints(&mut trainer, spec.epochs);
                (checkpoints, trainer.test().unwrap().unwrap().loss.to_bits())
            };
            let first = run(families[0]);
            for &family in &families {
                let label = format!("{} {:?}", family.name(), spec.optimizer);
                assert!(first == run(family), "{label} differs from {}", families[0].name());
            }
        }
    }
}

#[test]
fn a_checkpoint_resumes_with_the_same_bits_on_every_family() {
    for spec in specs_of_every_branch() {
        let mut whole = trainer(Family::available()[0], &spec, 3);
        let start = whole.checkpoint(0.0).unwrap();
        let rest = checkpoints(&mut whole, spec.epochs);
        for (epoch, checkpoint) in std::iter::once(&start).chain(&rest).enumerate() {
            for family in Family::available() {
                let mut resumed = trainer(family, &spec, 3);
                resumed.restore(checkpoint).unwrap();
                assert_eq!(resumed.epochs_done() as usize, epoch);
                let label = format!("{} {:?} from {epoch}", family.name(), spec.optimizer);
                assert!(checkpoints(&mut resumed, spec.epochs) == rest[epoch..], "{label}");
            }
        }
    }
}

#[test]
fn families_are_found_by_name() {
    for family in Family::available() {
        assert_eq!(Family::from_name(Some(family.name().to_owned())), Ok(family));
    }
    assert_eq!(Family::from_name(None), Ok(Family::available()[0]));
    let error = Family::from_name(Some("avx1024".to_owned())).unwrap_err();
    assert!(matches!(&error, TrainError::Kernels { value, .. } if value == "avx1024"));
    let text = error.to_string();
    assert!(text.starts_with(r#"CAVIAR_KERNELS = "avx1024": expected one of "#), "{text}");
    assert!(text.ends_with(r#""portable", which this machine has"#), "{text}");
    assert_eq!(Family::available().last().unwrap().name(), "portable");
}
