//! Measures training steps per second of CPU time, and their share of the machine's peak in f32:
//! `steps --net small --optimizer adam`.
//!
//! The nets are those of docs/performance.md, or any other, such as `--net 64-99-99-10@32`. With
//! `--serve` it prints `ready` and the number of the net's parameters. After that, each line on
//! standard input is a number of steps, and the reply is their rate, so another program can
//! alternate it with other contenders. With `--serve --steps 2000` it prints only `ready`, and
//! each line asks for 2000 steps.
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

/// The CPU time of one figure.
const BLOCK: Duration = Duration::from_millis(200);
/// The number of figures whose median is printed.
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
        optimizer: nets::ADAM,
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
            "--steps" => {
                options.steps = Some(value()?.parse().context("--steps: expected a number")?)
            }
            _ => anyhow::bail!(
                "{name}: expected --net, --optimizer, --precision, --serve or --steps"
            ),
        }
    }
    Ok(options)
}

fn optimizer(name: &str) -> anyhow::Result<Optimizer> {
    match name {
        "adam" => Ok(nets::ADAM),
        "sgd" => Ok(Optimizer::Momentum { momentum: 0.9 }),
        _ => anyhow::bail!("--optimizer {name}: expected adam or sgd (with momentum)"),
    }
}

fn precision(name: &str) -> anyhow::Result<Precision> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        _ => anyhow::bail!("--precision {name}: expected f32 or bf16"),
    }
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The sum of what `work` returns per second of CPU time, repeated for at least `at_least`.
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

/// Floating-point operations of the matrix products of one step, two per multiply-add: the forward
/// product, the gradient by the weights and, except in the first layer, the gradient by the inputs.
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

/// Prints the rate and the share of the peak. Blocks of steps and of bare multiply-adds alternate,
/// because a processor's clock changes.
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

/// Replies to each line with a rate of steps, until standard input ends.
fn serve(trainer: &mut Trainer, steps: Option<u64>) -> anyhow::Result<()> {
    match steps {
        Some(_) => println!("ready"),
        None => println!("ready {}", trainer.parameters()),
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let parse = || line.parse().with_context(|| format!("steps = {line:?}: expected a number"));
        let steps = steps.map_or_else(parse, Ok)?;
        println!("{}", rate_of_steps(trainer, Duration::ZERO, steps)?);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let Options { net, optimizer, precision, is_served, steps } =
        options(std::env::args().skip(1))?;
    let mut spec =
        nets::spec(&net).context("--net: expected tiny, small, medium, wide or 64-99-99-10@32")?;
    (spec.optimizer, spec.precision) = (optimizer, precision);
    let mut trainer = nets::trainer(&net, &spec, 1)?;
    // Touches all memory. The number is fixed, because callgrind counts these steps too.
    trainer.repeat_steps(16)?;
    if is_served { serve(&mut trainer, steps) } else { print_share(&net, &mut trainer) }
}
