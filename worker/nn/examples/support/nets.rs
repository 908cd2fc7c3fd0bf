//! The nets of the measurements, on random data.
#![allow(clippy::as_conversions, reason = "a measuring program: its sizes are small")]

use std::sync::Arc;

use anyhow::Context;
use caviar_common::assignment::Assignment;
use caviar_common::hyper::train_spec;
use caviar_common::train::{Optimizer, TrainSpec};
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::Trainer;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The number of different mini-batches.
const BATCHES: usize = 16;

/// Adam with its default hyperparameters.
pub(crate) const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/// The text form of a net, features-units-...-classes@batch, which may be given by its name.
fn text(net: &str) -> &str {
    match net {
        "tiny" => "64-32-32-10@32",
        "small" => "64-128-128-10@64",
        "medium" => "784-256-256-128-10@128",
        "wide" => "784-1024-1024-1024-10@256",
        other => other,
    }
}

/// The widths of the features, hidden layers and classes of a net, and the size of its mini-batch.
pub(crate) fn sizes(net: &str) -> anyhow::Result<(Vec<u32>, u32)> {
    let (widths, batch) =
        text(net).split_once('@').context("expected a net such as 64-99-10@32")?;
    let widths = widths.split('-').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    Ok((widths, batch.parse()?))
}

/// The net's units and batch size, with Adam at a learning rate of 0.001 and the defaults.
pub(crate) fn spec(net: &str) -> anyhow::Result<TrainSpec> {
    let (widths, batch_size) = sizes(net)?;
    let [_, hidden @ .., _] = widths.as_slice() else {
        anyhow::bail!("{net}: expected at least features and classes")
    };
    let defaults = train_spec(&Assignment::default(), &Assignment::default())
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let (hidden, optimizer) = (hidden.to_vec(), ADAM);
    Ok(TrainSpec { hidden, batch_size, optimizer, learning_rate: 1e-3, ..defaults })
}

/// A trainer on random data with `validation` examples to evaluate.
pub(crate) fn trainer(net: &str, spec: &TrainSpec, validation: usize) -> anyhow::Result<Trainer> {
    let (widths, _) = sizes(net)?;
    let [features, .., outputs] = *widths.as_slice() else {
        anyhow::bail!("{net}: expected at least features and classes")
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut examples = |rows: usize| {
        // The sum of four uniform numbers is close enough to a normal one.
        let normal = || (0..4).map(|_| random.random::<f32>() - 0.5).sum::<f32>() * 1.7;
        let features = Array2::from_shape_simple_fn((rows, features as usize), normal);
        Examples {
            weights: None,
            features: features.into(),
            targets: Targets::Classes((0..rows).map(|_| random.random_range(0..outputs)).collect()),
        }
    };
    let train = examples(BATCHES * spec.batch_size as usize);
    let data = Splits {
        train,
        validation: examples(validation),
        folds: Vec::new(),
        test: None,
        outputs,
        schema: None,
    };
    Ok(Trainer::new(spec, Arc::new(data), 1, 0)?)
}
