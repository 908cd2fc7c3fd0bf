//! The program `caviar-coordinator`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use caviar_coordinator::program;
use clap::Parser;

/// Keep sweeps: sample hyperparameters, hand trials to workers, and store every result
///
/// SIGTERM or Ctrl-C stops it in order; a second one ends it at once.
#[derive(Debug, Parser)]
#[command(name = "caviar-coordinator", version)]
struct Program {
    #[command(flatten)]
    arguments: program::Arguments,
}

fn main() -> ExitCode {
    program::main(Program::parse().arguments)
}
