//! `caviar-worker`: trains for a coordinator until it is told to stop.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use caviar_common::ids::Name;
use caviar_common::limits::{MAX_NAME_CHARS, MAX_SLOTS};
use caviar_worker::{MemoryLimit, WorkerConfig, WorkerError};
use clap::Parser;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Trains the trials of a Caviar coordinator on this machine's cores
///
/// SIGTERM or Ctrl-C gives unfinished trials back and exits; a second one exits at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The coordinator
    #[arg(
        long,
        env = "CAVIAR_COORDINATOR",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    coordinator: String,
    /// Trials to train at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
    slots: Option<u32>,
    /// Memory that all trials and their data may take together, such as 4GiB; a trial waits until
    /// it fits [default: no limit]
    #[arg(long, value_name = "SIZE")]
    memory: Option<MemoryLimit>,
    /// This worker's name, unique among the workers of the coordinator [default: HOST-PID]
    #[arg(long, value_parser = name)]
    name: Option<Name>,
    /// Say which instructions this machine's trainings use (avx512bf16, avx512, avx2 or portable),
    /// and exit
    #[arg(long)]
    kernels: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match work(arguments) {
        Ok(code) => code,
        Err(error) => {
            let hint = error.downcast_ref::<WorkerError>().map(WorkerError::hint);
            report(&error, hint);
            ExitCode::from(if hint.is_some() { 2 } else { 1 })
        }
    }
}

/// On standard error, whatever the log level. Nobody is left to hear of a failure to write there.
fn report(error: &anyhow::Error, hint: Option<&str>) {
    let mut stderr = std::io::stderr().lock();
    let _unheard = writeln!(stderr, "error: {error:#}");
    if let Some(hint) = hint {
        let _unheard = writeln!(stderr, "hint: {hint}");
    }
}

fn work(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.kernels {
        writeln!(std::io::stdout(), "{}", caviar_nn::kernel_family()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env()
        .context("RUST_LOG")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let slots = arguments.slots.unwrap_or_else(cores);
    let name = arguments.name.map_or_else(default_name, Ok)?;
    let config =
        WorkerConfig { coordinator: arguments.coordinator, name, slots, memory: arguments.memory };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")?;
    let code = runtime.block_on(until_left(config));
    // A look-up of a name that hangs must not keep the process.
    runtime.shutdown_background();
    code
}

async fn until_left(config: WorkerConfig) -> anyhow::Result<ExitCode> {
    let mut signals = signals().context("cannot listen for signals")?;
    let mut again = signals.clone();
    let stop = async move { at_least(&mut signals, 1).await };
    tokio::select! {
        result = caviar_worker::run(config, stop) => result.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
        () = at_least(&mut again, 2) => Ok(ExitCode::from(130)),
    }
}

/// Counts the signals that ask this process to stop.
fn signals() -> std::io::Result<watch::Receiver<u32>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (count, receiver) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|signals: &mut u32| *signals = signals.saturating_add(1));
        }
    });
    Ok(receiver)
}

async fn at_least(signals: &mut watch::Receiver<u32>, least: u32) {
    if signals.wait_for(|count| *count >= least).await.is_err() {
        // The task that counts is gone, and no signal will come.
        std::future::pending().await
    }
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(MAX_SLOTS).min(MAX_SLOTS)
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse("name", text).map_err(|problem| problem.message)
}

/// The host's name and the process's number: unique, and telling where to look.
fn default_name() -> anyhow::Result<Name> {
    let host = nix::unistd::gethostname()
        .map(|host| host.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = legal_name(&host, std::process::id());
    Name::parse("name", &name)
        .map_err(|problem| anyhow::anyhow!("no name for this worker: {problem}"))
}

fn legal_name(host: &str, pid: u32) -> String {
    let pid = pid.to_string();
    let legal =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let host = host.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let host: String =
        host.chars().map(legal).take(MAX_NAME_CHARS.saturating_sub(1 + pid.len())).collect();
    if host.is_empty() { format!("worker-{pid}") } else { format!("{host}-{pid}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_name_makes_a_legal_name() {
        for host in ["node-17.cluster", "", "---", "Jörg's MacBook", &"x".repeat(300), "\u{fffd}a"]
        {
            let name = legal_name(host, u32::MAX);
            assert!(Name::parse("name", &name).is_ok(), "{host:?}: {name:?}");
        }
        assert_eq!(legal_name("node-17", 42), "node-17-42");
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        let parse = |arguments: &[&str]| {
            Arguments::try_parse_from([&["caviar-worker"], arguments].concat())
        };
        assert_eq!(parse(&["--slots", "2", "--name", "a"]).unwrap().slots, Some(2));
        assert!(parse(&["--memory", "4GiB"]).unwrap().memory.is_some());
        let error = parse(&["--memory", "5"]).unwrap_err().to_string();
        assert!(error.starts_with("error: invalid value '5' for '--memory <SIZE>': 5 B hold no trial: write at least 1MiB"), "{error}");
        for wrong in [["--slots", "0"], ["--slots", "5000"], ["--name", "a b"], ["--name", ""]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
