//! `caviar`: the command line, and every other program of Caviar in one binary.
//!
//! Results go to standard output. Progress, hints, errors and the log go to standard error.
#![forbid(unsafe_code)]

mod args;
mod check;
mod commands;
mod embedded;
mod failure;
mod follow;
mod init;
mod manual;
mod place;
mod progress;
mod run;
mod show;
mod sweep_file;

use std::process::ExitCode;

use caviar_process::{Exit, Options, Report};
use clap::Parser;

use crate::args::{Arguments, Command, Role};

fn main() -> ExitCode {
    match Arguments::parse().role {
        Role::Coordinator(arguments) => caviar_coordinator::program::main(arguments),
        Role::Worker(arguments) => caviar_worker::program::main(arguments),
        Role::Command(command) => {
            let options = Options { level: caviar_process::LevelFilter::ERROR, threads: None };
            caviar_process::main(options, execute(command))
        }
    }
}

async fn execute(command: Command) -> Result<Exit, Report> {
    let json = command.is_json();
    match commands::execute(command).await {
        Ok(()) => Ok(Exit::Success),
        // The reader of standard output has read enough.
        Err(error) if failure::is_broken_pipe(&error) => Ok(Exit::Success),
        Err(error) => Err(failure::report(&error, json)),
    }
}
