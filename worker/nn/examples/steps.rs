//! Training steps per second of CPU time, on random data: `steps --net small --optimizer adam --steps 2000`.
//!
//! The four nets are those of docs/performance.md. With `--serve` it prints `ready`, and then one figure for every line on standard
//! input, so that a program can run it in turn with others.
#![allow(clippy::print_stdout, clippy::as_conversions, reason = "a measuring program: it prints, and its sizes are small")]

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use caviar_common::assignment::Assignment;
use caviar_common::hyper::train_spec;
use caviar_common::train::{Optimizer, TrainSpec};
use caviar_nn::Trainer;
use caviar_nn::examples::{Examples, Splits, Targets};
use ndarray::Array2;
use nix::time::{ClockId, clock_gettime};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mini-batches that are cycled through.
const BATCHES: usize = 16;

/// Features, hidden units, classes and batch size.
type Net = (usize, Vec<u32>, u32, u32);

fn net(name: &str) -> Option<Net> {
    Some(match name {
        "tiny" => (64, vec![32, 32], 10, 32),
        "small" => (64, vec![128, 128], 10, 64),
        "medium" => (784, vec![256, 256, 128], 10, 128),
        "wide" => (784, vec![1024, 1024, 1024], 10, 256),
        other => parse_net(other)?,
    })
}

/// `64-99-99-10@32`: features, units and classes, and the batch size.
fn parse_net(text: &str) -> Option<Net> {
    let (widths, batch) = text.split_once('@')?;
    let widths: Vec<u32> = widths.split('-').map(|width| width.parse().ok()).collect::<Option<_>>()?;
    let [features, hidden @ .., classes] = widths.as_slice() else { return None };
    Some((*features as usize, hidden.to_vec(), *classes, batch.parse().ok()?))
}

fn examples(random: &mut ChaCha8Rng, rows: usize, features: usize, classes: u32) -> Examples {
    // The sum of four uniforms is close enough to a normal.
    let mut normal = || (0..4).map(|_| random.random::<f32>() - 0.5).sum::<f32>() * 1.7;
    let features = Array2::from_shape_simple_fn((rows, features), &mut normal);
    Examples { features, targets: Targets::Classes((0..rows).map(|_| random.random_range(0..classes)).collect()) }
}

fn trainer(net: &Net, optimizer: Optimizer) -> anyhow::Result<Trainer> {
    let (features, hidden, classes, batch) = net.clone();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let train = examples(&mut random, BATCHES * batch as usize, features, classes);
    let validation = examples(&mut random, 1, features, classes);
    let data = Arc::new(Splits { train, validation, test: None, outputs: classes });
    let defaults = train_spec(&Assignment::default(), &Assignment::default()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let spec = TrainSpec { hidden, batch_size: batch, optimizer, learning_rate: 1e-3, ..defaults };
    Ok(Trainer::new(&spec, data, 1, 0)?)
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn rate(trainer: &mut Trainer, steps: u64) -> anyhow::Result<f64> {
    let start = cpu_time()?;
    trainer.repeat_steps(steps)?;
    Ok(steps as f64 / (cpu_time()? - start).as_secs_f64())
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1).map(String::as_str);
    let net = net(value("--net").unwrap_or("small")).context("--net: tiny, small, medium, wide, or 64-99-99-10@32")?;
    let optimizer = match value("--optimizer").unwrap_or("adam") {
        "adam" => Optimizer::Adam,
        "sgd" => Optimizer::Momentum,
        other => anyhow::bail!("--optimizer {other}: adam, or sgd (with momentum)"),
    };
    let steps: u64 = value("--steps").unwrap_or("1000").parse().context("--steps: a number")?;
    let mut trainer = trainer(&net, optimizer)?;
    trainer.repeat_steps(steps.min(100))?;
    if arguments.iter().any(|argument| argument == "--serve") {
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{}", rate(&mut trainer, steps)?);
        }
        return Ok(());
    }
    let mut rates = (0..9).map(|_| rate(&mut trainer, steps)).collect::<anyhow::Result<Vec<f64>>>()?;
    rates.sort_by(f64::total_cmp);
    println!("{:.1} steps/s with {}", rates.get(4).copied().unwrap_or_default(), caviar_nn::kernel_family());
    Ok(())
}
