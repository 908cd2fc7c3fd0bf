//! Trains assignments one after the other, for comparisons with other programs: `train DATA SEED`.
//!
//! DATA is the `data` of an exported sweep as JSON, and SEED draws its splits: `train
//! '{"source": "builtin:digits", "task": "classification", "validation": 0.2, "test": 0.1}' 7`.
//! Each line on standard input is `{"assignment": {"epochs": 5, "units": 32}, "seed": 1}`. Each
//! line on standard output has the metrics of the last epoch, or of the first whose loss is not
//! finite. With `--examples` it prints the splits as the trainer sees them.
#![allow(clippy::print_stdout, reason = "the program's output")]

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context;
use caviar_common::assignment::Assignment;
use caviar_common::data::DataSpec;
use caviar_common::hyper::train_spec;
use caviar_common::metric::EpochMetrics;
use caviar_data::{Examples, Splits, Targets};
use caviar_nn::Trainer;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    assignment: Assignment,
    seed: u64,
}

/// Trains a trial as a worker does; the metrics of its last epoch.
fn train(request: &Request, splits: &Arc<Splits>) -> anyhow::Result<EpochMetrics> {
    let spec = train_spec(&Assignment::default(), &request.assignment)
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let mut trainer = Trainer::new(&spec, Arc::clone(splits), request.seed, 0)?;
    loop {
        let metrics = trainer.epoch(&|| true)?.context("the epoch was abandoned")?;
        if metrics.epoch == spec.epochs || !metrics.is_finite() {
            return Ok(metrics);
        }
    }
}

fn as_json(examples: &Examples) -> Value {
    let rows: Vec<Vec<f32>> = examples
        .features
        .in_memory()
        .into_iter()
        .flat_map(|features| features.rows())
        .map(|row| row.to_vec())
        .collect();
    match &examples.targets {
        Targets::Classes(classes) => json!({"features": rows, "classes": classes}),
        Targets::Values(values) => json!({"features": rows, "values": values.all()}),
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data: DataSpec =
        serde_json::from_str(&arguments.next().context("DATA is missing: expected JSON")?)
            .context("DATA")?;
    let seed =
        arguments.next().context("SEED is missing")?.parse().context("SEED: expected a number")?;
    let (splits, _) = caviar_data::prepare(&data, seed)?;
    if arguments.next().as_deref() == Some("--examples") {
        println!(
            "{}",
            json!({"train": as_json(&splits.train), "validation": as_json(&splits.validation)})
        );
        return Ok(());
    }
    let splits = Arc::new(splits);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let request = serde_json::from_str(&line).with_context(|| line.clone())?;
        println!("{}", serde_json::to_string(&train(&request, &splits)?)?);
    }
    Ok(())
}
