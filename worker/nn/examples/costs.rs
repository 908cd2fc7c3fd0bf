//! Measures how well the cost of an epoch ranks real times.
//!
//! Trains 200 random assignments on the built-in digits and prints Spearman's rank correlation of
//! their costs with their CPU times: `cargo run --release -p caviar-nn --example costs`. With
//! `--each` it also prints the cost, the time in seconds, and the spec of each assignment.
#![allow(
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a measuring program: it prints, and its sizes are small"
)]

use std::sync::Arc;
use std::time::Duration;

use caviar_common::assignment::Assignment;
use caviar_common::cost::epoch_units;
use caviar_common::data::{DataSpec, Task};
use caviar_common::hyper::train_spec;
use caviar_common::train::{Activation, Normalization, Optimizer, TrainSpec};
use caviar_nn::Trainer;
use nix::time::{ClockId, clock_gettime};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ASSIGNMENTS: usize = 200;

fn draw(random: &mut ChaCha8Rng) -> anyhow::Result<TrainSpec> {
    use {Activation as A, Normalization as N};
    let (momentum, beta1, beta2, epsilon) = (0.9, 0.9, 0.999, 1e-8);
    let optimizers = [
        Optimizer::Sgd,
        Optimizer::Momentum { momentum },
        Optimizer::Nesterov { momentum },
        Optimizer::Rmsprop { beta2, epsilon },
        Optimizer::Adam { beta1, beta2, epsilon },
        Optimizer::Adamw { beta1, beta2, epsilon },
    ];
    let defaults = train_spec(&Assignment::default(), &Assignment::default())
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let hidden = (0..random.random_range(1..=4)).map(|_| random.random_range(8..=256)).collect();
    Ok(TrainSpec {
        hidden,
        epochs: 5,
        batch_size: 2f64.powf(random.random_range(4.0..9.0)) as u32,
        activation: *[
            A::Relu,
            A::LeakyRelu,
            A::Tanh,
            A::Sigmoid,
            A::Gelu,
            A::Silu,
            A::Mish,
            A::Selu,
        ]
        .choose(random)
        .unwrap_or(&A::Relu),
        normalization: *[N::Before, N::After, N::None].choose(random).unwrap_or(&N::Before),
        optimizer: *optimizers.choose(random).unwrap_or(&Optimizer::Sgd),
        dropout: if random.random_bool(0.5) { 0.3 } else { 0.0 },
        learning_rate: 1e-3,
        ..defaults
    })
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The rank of each value, from 0; equal values have their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: f64| {
        let below = values.iter().filter(|&&other| other < value).count() as f64;
        let equal = values.iter().filter(|&&other| other.total_cmp(&value).is_eq()).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(|&value| rank(value)).collect()
}

/// Pearson's correlation; of ranks, it is Spearman's.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let size = |values: &[f64], mean: f64| {
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt()
    };
    product / (size(a, mean_a) * size(b, mean_b))
}

fn main() -> anyhow::Result<()> {
    let data = DataSpec {
        source: "builtin:digits".into(),
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let (splits, summary) = caviar_data::prepare(&data, 1)?;
    let splits = Arc::new(splits);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut costs, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ASSIGNMENTS {
        let spec = draw(&mut random)?;
        let mut trainer = Trainer::new(&spec, Arc::clone(&splits), 1, 0)?;
        let mut fastest = f64::INFINITY;
        for _ in 0..spec.epochs {
            let start = cpu_time()?;
            trainer.epoch(&|| true)?;
            fastest = fastest.min((cpu_time()? - start).as_secs_f64());
        }
        costs.push(epoch_units(&spec, &summary, 1) as f64);
        times.push(fastest);
        if std::env::args().any(|argument| argument == "--each") {
            println!("{} {fastest:.6} {spec:?}", epoch_units(&spec, &summary, 1));
        }
    }
    println!(
        "Spearman's correlation of cost and time over {ASSIGNMENTS} assignments: {:.4}",
        correlation(&ranks(&costs), &ranks(&times))
    );
    Ok(())
}
