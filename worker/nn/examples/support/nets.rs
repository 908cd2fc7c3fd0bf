//! The nets that are measured, on random data.
#![allow(clippy::as_conversions, reason = "a measuring program: its sizes are small")]

use std::sync::Arc;

use anyhow::Context;
use caviar_common::assignment::Assignment;
use caviar_common::hyper::train_spec;
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::Trainer;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mini-batches that are cycled through.
const BATCHES: usize = 16;

/// A net as text, features-units-...-classes@batch, by its name if it has one.
fn text(net: &str) -> &str {
    match net {
        "tiny" => "64-32-32-10@32",
        "small" => "64-128-128-10@64",
        "medium" => "784-256-256-128-10@128",
        "wide" => "784-1024-1024-1024-10@256",
        other => other,
    }
}

/// Its features, units and classes, and its mini-batch.
pub(crate) fn sizes(net: &str) -> anyhow::Result<(Vec<u32>, u32)> {
    let (widths, batch) = text(net).split_once('@').context("a net is written 64-99-99-10@32")?;
    let widths = widths.split('-').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    Ok((widths, batch.parse()?))
}

/// The net's units and batch size with Adam at 0.001, and the defaults.
pub(crate) fn spec(net: &str) -> anyhow::Result<TrainSpec> {
    let (widths, batch_size) = sizes(net)?;
    let [_, hidden @ .., _] = widths.as_slice() else {
        anyhow::bail!("a net has features and classes")
    };
    let defaults = train_spec(&Assignment::default(), &Assignment::default())
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    Ok(TrainSpec { hidden: hidden.to_vec(), batch_size, learning_rate: 1e-3, ..defaults })
}
/// A trainer on random data, with so many examples to evaluate.
pub(crate) fn trainer(net: &str, spec: &TrainSpec, validation: usize) -> anyhow::Result<Trainer> {
    let (widths, _) = sizes(net)?;
    let [features, .., outputs] = *widths.as_slice() else {
        anyhow::bail!("a net has features and classes")
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut examples = |rows: usize| {
        // The sum of four uniforms is close enough to a normal.
        let normal = || (0..4).map(|_| random.random::<f32>() - 0.5).sum::<f32>() * 1.7;
        let features = Array2::from_shape_simple_fn((rows, features as usize), normal);
        Examples {
            features,
            targets: Targets::Classes((0..rows).map(|_| random.random_range(0..outputs)).collect()),
        }
    };
    let train = examples(BATCHES * spec.batch_size as usize);
    let data = Splits { train, validation: examples(validation), test: None, outputs };
    Ok(Trainer::new(spec, Arc::new(data), 1, 0)?)
}
