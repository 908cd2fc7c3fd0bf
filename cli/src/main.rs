//! `caviar`: the command line, and every other program of Caviar in one binary.
//!
//! Results go to standard output. Progress, hints, errors and the log go to standard error.
#![forbid(unsafe_code)]

mod access;
mod args;
mod bench;
mod blobs;
mod check;
mod commands;
mod connect;
mod doctor;
mod embedded;
mod failure;
mod follow;
mod init;
mod inspect;
mod label;
mod manual;
mod models;
mod place;
mod progress;
mod run;
mod secret_file;
mod show;
mod slurm;
mod split;
mod ssh_workers;
mod sweep_file;

use std::process::ExitCode;

use caviar_process::{Exit, Options, Report};
use clap::Parser;

use crate::args::{Arguments, Command, Role};
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match arguments.role {
        Role::Coordinator(arguments) => caviar_coordinator::program::main(arguments),
        Role::Worker(arguments) => caviar_worker::program::main(arguments),
        Role::Command(command) => {
            // A load test leaves the other cores to the coordinator that it measures.
            let threads = matches!(command, Command::Bench(_)).then_some(1);
            let options = Options { level: caviar_process::LevelFilter::ERROR, threads };
            caviar_process::main(options, execute(command))
        }
    }
}

/// Writes help and the version to standard output, and wrong arguments to standard error.
fn refuse(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    // If the stream is closed, the exit code is all that is left to tell.
    let _written = if error.use_stderr() && wants_json {
        Failure::from_clap(error).write_json(&mut std::io::stderr())
    } else {
        error.print()
    };
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
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
