//! Tests of the networks' internals: the fast path against a plain one, PyTorch, and itself.
#![allow(clippy::as_conversions, reason = "made-up data and tolerances")]

mod categories;
mod cuts;
mod families;
mod gradients;
mod initial_state;
mod models;
mod plain_network;
mod plain_optimizers;
mod products;
mod pytorch;
mod stages;
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;
mod trials;
mod weighted;

use caviar_data::{Numbers, Targets};

/// The largest error, relative to the largest of the values of `want` and `least`. Infinite if any
/// value is NaN.
fn error_of_list(got: &[f64], want: &[f64], least: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(least, |most, value| most.max(value.abs()));
    let errors = got.iter().zip(want).map(|(got, want)| (got - want).abs() / scale);
    errors.map(|error| if error.is_nan() { f64::INFINITY } else { error }).fold(0.0, f64::max)
}

fn targets_at(targets: &Targets, rows: &[usize]) -> Targets {
    match targets {
        Targets::Classes(classes) => {
            Targets::Classes(rows.iter().map(|&row| classes[row]).collect())
        }
        Targets::Values(numbers) => {
            let all = rows.iter().flat_map(|&row| numbers.row(row).to_vec()).collect();
            Targets::Values(Numbers::from_rows(numbers.outputs(), all).unwrap())
        }
    }
}
