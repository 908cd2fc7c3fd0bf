//! The last training of a network: on all rows, without any to validate it.

use std::sync::Arc;

use caviar_common::train::TrainSpec;
use caviar_data::Splits;
use caviar_model::Member;

use crate::error::TrainError;
use crate::kernels::Family;
use crate::trainer::{Part, Prepared, Trainer};

/// Trains a network on the train split for `epochs` epochs, and returns it as the only member of a
/// model. The schedules are those of the spec, which may have more epochs. The other splits are not
/// used.
///
/// The random numbers are those of the training with this seed of the sweep, trial and number
/// within the trial. `sweep` is the name of the sweep, for the description of the model.
///
/// # Errors
/// A hyperparameter is out of range, the data cannot be trained on, there is not enough memory, the
/// spec has fewer epochs, or a weight becomes infinite or NaN.
pub fn refit(
    spec: &TrainSpec,
    (data, data_digest): (Arc<Splits>, &str),
    (sweep_seed, trial, number): (u64, u64, u32),
    epochs: u32,
    sweep: &str,
) -> Result<Member, TrainError> {
    let identity = (sweep_seed, trial, Part { number, fold: 0 });
    let prepared = Prepared::new(spec, data)?;
    let trainer = Trainer::prepared(Family::for_process()?, spec, prepared, identity)?;
    let mut trainer = trainer.with_data_digest(data_digest);
    for _ in 0..epochs {
        trainer.train_epoch()?;
    }
    trainer.member(sweep)
}
