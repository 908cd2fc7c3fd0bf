//! Computes the importance of the hyperparameters for the trials on standard input.
//! `tests/peers/search/importance.py` compares the result with Optuna's.
//!
//! Input and output are one JSON object each. `space` is as in `caviar export NAME --json`.
//!
//! ```text
//! {"space": [...], "trials": [{"assignment": {...}, "cost": 0.1}], "measure": "scales", "seed": 0}
//! {"parameters": {name: share}, "pairs": [[name, name, share]]}
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write, stdin, stdout};

use caviar_common::assignment::Assignment;
use caviar_common::space::Space;
use caviar_search::History;
use caviar_search::importance::{Measure, importance};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Input {
    space: Space,
    trials: Vec<Trial>,
    measure: String,
    seed: u64,
}

#[derive(Deserialize)]
struct Trial {
    assignment: Assignment,
    cost: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let input: Input = serde_json::from_str(&text)?;
    let measure = match input.measure.as_str() {
        "scales" => Measure::Scales,
        "values" => Measure::Values,
        other => {
            return Err(format!("measure = {other:?}: expected \"scales\" or \"values\"").into());
        }
    };
    let (mut history, mut costs) = (History::new(input.space), Vec::new());
    for trial in input.trials {
        let number = history.push_trial(&trial.assignment)?;
        costs.extend(trial.cost.map(|cost| (number, cost)));
    }
    let found = importance(&history, &costs, measure, input.seed)?;
    let parameters: Map<String, Value> =
        found.parameters.iter().map(|p| (p.name.clone(), json!(p.share))).collect();
    let pairs: Vec<Value> =
        found.pairs.iter().map(|p| json!([p.names[0], p.names[1], p.share])).collect();
    writeln!(stdout(), "{}", json!({ "parameters": parameters, "pairs": pairs }))?;
    Ok(())
}
