//! The program `caviar-coordinator`.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use caviar_coordinator::{ServerConfig, start};
use caviar_core::input::Config;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Keeps the sweeps: samples hyperparameters, hands trials to workers, and stores every result.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; a loopback address (port 0: any free port)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// The file that keeps everything; made if it is not there
    #[arg(long, value_name = "FILE", default_value = "caviar.db")]
    store: PathBuf,
    /// A worker that is silent for longer loses its trials, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = Config::default().lease_ttl_ms, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    lease_ttl_ms: u64,
    /// A trial whose worker is lost so many times fails
    #[arg(long, value_name = "N", default_value_t = Config::default().max_lost_workers, value_parser = clap::value_parser!(u32).range(1..))]
    max_losses: u32,
}

fn main() -> ExitCode {
    let Err(error) = serve(Arguments::parse()) else { return ExitCode::SUCCESS };
    // Nothing is left to be done where standard error is closed.
    let _ = writeln!(stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(arguments));
    // A reader of data that hangs, on a network file system for example, must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    let Arguments { listen, store, lease_ttl_ms, max_losses } = arguments;
    let mut signals = Signals::new().map_err(|e| anyhow!("cannot listen for signals: {e}"))?;
    let mut server = start(ServerConfig {
        listen,
        store,
        core: Config { lease_ttl_ms, max_lost_workers: max_losses },
        ticks: true,
    })
    .await?;
    tokio::select! {
        name = signals.next() => tracing::info!("{name}: stopping"),
        error = server.stopped() => return Err(error.into()),
    }
    server.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// The signals that ask for an end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signal that asks for an end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // An error says that there is no way to be asked: then this is the end as well.
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}
