//! Training steps per second of CPU time, and their share of the machine's peak in f32: `steps
//! --net small --optimizer adam`.
//!
//! The nets are those of docs/performance.md, or any other, as `--net 64-99-99-10@32`. With
//! `--serve` it prints `ready` and the number of the net's parameters; then every line on standard
//! input asks for so many steps, and is answered with their rate: so a program can run it in turn
//! with others. With `--steps 2000` too it prints `ready` alone, and every line asks for 2000
//! steps.
#![allow(
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a measuring program: it prints, and its sizes are small"
)]

#[path = "support/nets.rs"]
mod nets;

use std::io::BufRead;
use std::time::Duration;

use anyhow::Context;
use caviar_common::train::{Optimizer, Precision};
use caviar_nn::Trainer;
use nix::time::{ClockId, clock_gettime};

/// Of CPU time, for one figure.
const BLOCK: Duration = Duration::from_millis(200);
/// Figures, of which the median counts.
const BLOCKS: usize = 9;

struct Options {
    net: String,
    optimizer: Optimizer,
    precision: Precision,
    is_served: bool,
    steps: Option<u64>,
}

fn options(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options = Options {
        net: "small".to_owned(),
        optimizer: Optimizer::Adam,
        precision: Precision::F32,
        is_served: false,
        steps: None,
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--net" => options.net = value()?,
            "--optimizer" => options.optimizer = optimizer(&value()?)?,
            "--precision" => options.precision = precision(&value()?)?,
            "--serve" => options.is_served = true,
            "--steps" => options.steps = Some(value()?.parse().context("--steps: a number")?),
            _ => anyhow::bail!(
                "{name}: there are --net, --optimizer, --precision, --serve and --steps"
            ),
        }
    }
    Ok(options)
}

fn optimizer(name: &str) -> anyhow::Result<Optimizer> {
    match name {
        "adam" => Ok(Optimizer::Adam),
        "sgd" => Ok(Optimizer::Momentum),
        _ => anyhow::bail!("--optimizer {name}: adam, or sgd (with momentum)"),
    }
}

fn precision(name: &str) -> anyhow::Result<Precision> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        _ => anyhow::bail!("--precision {name}: f32 or bf16"),
    }
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// What `work` says that it did, per second of CPU time, when it is repeated for `at_least` so
/// long.
fn rate(at_least: Duration, mut work: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let start = cpu_time()?;
    let mut done = work()?;
    while cpu_time()? - start < at_least {
        done += work()?;
    }
    Ok(done as f64 / (cpu_time()? - start).as_secs_f64())
}

fn rate_of_steps(trainer: &mut Trainer, at_least: Duration, steps: u64) -> anyhow::Result<f64> {
    rate(at_least, || {
        trainer.repeat_steps(steps)?;
        Ok(steps)
    })
}

/// Floating-point operations of the matrix products of one step, two a multiply-add: forward, by
/// the weights and, except in the first layer, by the inputs.
fn operations(net: &str) -> anyhow::Result<f64> {
    let (widths, batch) = nets::sizes(net)?;
    let layers = widths.iter().zip(widths.iter().skip(1)).enumerate();
    Ok(layers
        .map(|(index, (&inputs, &outputs))| {
            let products = if index == 0 { 2.0 } else { 3.0 };
            products * 2.0 * f64::from(batch) * f64::from(inputs) * f64::from(outputs)
        })
        .sum())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Blocks of steps and of bare multiply-adds in turn, since a processor's clock changes.
fn print_share(net: &str, trainer: &mut Trainer) -> anyhow::Result<()> {
    let (mut rates, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        rates.push(rate_of_steps(trainer, BLOCK, 16)?);
        peaks.push(rate(BLOCK, || Ok(caviar_nn::multiply_add(100_000)?))?);
    }
    let (steps, peak) = (median(rates), median(peaks) / 1e9);
    let reached = steps * operations(net)? / 1e9;
    let (share, family) = (100.0 * reached / peak, caviar_nn::kernel_family()?);
    println!("{steps:.1} steps/s, {reached:.1} of {peak:.1} GFLOP/s ({share:.0} %) with {family}");
    Ok(())
}

fn serve(trainer: &mut Trainer, steps: Option<u64>) -> anyhow::Result<()> {
    match steps {
        Some(_) => println!("ready"),
        None => println!("ready {}", trainer.parameters()),
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let asked = || line.parse().with_context(|| format!("asked for {line:?} steps: a number"));
        let steps = steps.map_or_else(asked, Ok)?;
        println!("{}", rate_of_steps(trainer, Duration::ZERO, steps)?);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let Options { net, optimizer, precision, is_served, steps } =
        options(std::env::args().skip(1))?;
    let mut spec =
        nets::spec(&net).context("--net: tiny, small, medium, wide, or 64-99-99-10@32")?;
    (spec.optimizer, spec.precision) = (optimizer, precision);
    let mut trainer = nets::trainer(&net, &spec, 1)?;
    // So many that what is touched first is, and always as many: callgrind counts them.
    trainer.repeat_steps(16)?;
    if is_served { serve(&mut trainer, steps) } else { print_share(&net, &mut trainer) }
}
