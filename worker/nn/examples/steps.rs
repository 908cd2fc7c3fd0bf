//! Training steps per second of CPU time: `steps --net small --optimizer adam --steps 2000`.
//!
//! The four nets are those of docs/performance.md. With `--serve` it prints `ready`, and then one figure for every line on standard
//! input, so that a program can run it in turn with others.
#![allow(clippy::print_stdout, clippy::as_conversions, reason = "a measuring program: it prints, and its sizes are small")]

#[path = "support/nets.rs"]
mod nets;

use std::io::BufRead;
use std::time::Duration;

use anyhow::Context;
use caviar_common::train::{Optimizer, Precision};
use caviar_nn::Trainer;
use nix::time::{ClockId, clock_gettime};

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
    let net = value("--net").unwrap_or("small");
    let mut spec = nets::spec(net).context("--net: tiny, small, medium, wide, or 64-99-99-10@32")?;
    spec.optimizer = match value("--optimizer").unwrap_or("adam") {
        "adam" => Optimizer::Adam,
        "sgd" => Optimizer::Momentum,
        other => anyhow::bail!("--optimizer {other}: adam, or sgd (with momentum)"),
    };
    spec.precision = match value("--precision").unwrap_or("f32") {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => anyhow::bail!("--precision {other}: f32 or bf16"),
    };
    let steps: u64 = value("--steps").unwrap_or("1000").parse().context("--steps: a number")?;
    let mut trainer = nets::trainer(net, &spec, 1)?;
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
    println!("{:.1} steps/s with {}", rates.get(4).copied().unwrap_or_default(), caviar_nn::kernel_family()?);
    Ok(())
}
