//! `caviar`: the command line. Standard output is data, standard error is talk.
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

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Arguments;
use crate::failure::{Failure, is_broken_pipe};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.command.is_json();
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has read enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            let interrupted = matches!(error.downcast_ref(), Some(Failure::Interrupted { .. }));
            ExitCode::from(if interrupted { 130 } else { 1 })
        }
    }
}

fn execute(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::ERROR.into())
        .from_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.context("RUST_LOG")?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(commands::execute(arguments.command));
    runtime.shutdown_background();
    result
}

/// Nobody is left to hear of a failure to write on standard error.
fn report(error: &anyhow::Error, json: bool) {
    let mut stderr = std::io::stderr().lock();
    let other;
    let failure = match error.downcast_ref::<Failure>() {
        Some(failure) => failure,
        None => {
            other = match error.downcast_ref::<caviar_client::Error>() {
                Some(error) => Failure::from(error),
                None => Failure::from_text(&text_of(error)),
            };
            &other
        }
    };
    let _unheard = if json { failure.write_json(&mut stderr) } else { failure.write(&mut stderr) };
}

/// An error with its causes, each said once: an error that quotes its cause has said it all.
fn text_of(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if text.contains(&cause) {
            break;
        }
        text = format!("{text}: {cause}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_said_once() {
        let io = || std::io::Error::other("disk gone");
        let quoting = anyhow::Error::new(std::fmt::Error)
            .context(io())
            .context("cannot write (disk gone); hint: buy one");
        assert_eq!(text_of(&quoting), "cannot write (disk gone); hint: buy one");
        assert_eq!(text_of(&anyhow::Error::new(io()).context("writing")), "writing: disk gone");
    }
}
