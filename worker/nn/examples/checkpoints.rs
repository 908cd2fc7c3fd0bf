//! Measures the size of a checkpoint and the time to write it and to read it, for a net such as
//! `checkpoints medium` or `checkpoints 784-1024-10@256`. Each time is the least of nine.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a measuring program: it prints, its sizes are small, and it uses a part of `nets`"
)]

#[path = "support/nets.rs"]
mod nets;

use std::time::{Duration, Instant};

fn least(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..9 {
        let began = Instant::now();
        work()?;
        least = least.min(began.elapsed());
    }
    Ok(least)
}

fn main() -> anyhow::Result<()> {
    let net = std::env::args().nth(1).unwrap_or_else(|| "medium".to_owned());
    let mut trainer = nets::trainer(&net, &nets::spec(&net)?, 2)?;
    trainer.repeat_steps(3)?;
    let checkpoint = trainer.checkpoint(0.0)?;
    let written = least(|| {
        trainer.checkpoint(0.0)?;
        Ok(())
    })?;
    let read = least(|| {
        trainer.restore(&checkpoint)?;
        Ok(())
    })?;
    let (parameters, megabytes) = (trainer.parameters(), checkpoint.len() as f64 / 1e6);
    println!("{net}: {parameters} parameters, {megabytes:.2} MB");
    println!("{written:.1?} to write, {read:.1?} to read");
    Ok(())
}
