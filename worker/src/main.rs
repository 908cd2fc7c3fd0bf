//! The program `caviar-worker`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use caviar_worker::program;
use clap::Parser;

/// Train the trials of a Caviar coordinator on this machine's cores
///
/// SIGTERM or Ctrl-C gives unfinished trials back and exits; a second one ends it at once.
#[derive(Debug, Parser)]
#[command(name = "caviar-worker", version)]
struct Program {
    #[command(flatten)]
    arguments: program::Arguments,
}

fn main() -> ExitCode {
    program::main(Program::parse().arguments)
}
