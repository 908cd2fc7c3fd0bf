//! The program: `caviar-worker`, and `caviar worker`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use caviar_client::{ConnectionArguments, ConnectionError};
use caviar_common::ids::Name;
use caviar_common::join::Role;
use caviar_common::limits::{MAX_NAME_CHARS, MAX_SLOTS};
use caviar_process::{Exit, Options, Report, Signals};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::time_limit::TimeLimit;
use crate::{
    BlobPlaces, CheckpointConfig, LeaveRules, MemoryLimit, SlotChoice, WorkerConfig, WorkerError,
};

/// Threads of the runtime. It only carries messages; every trial has a thread of its own.
const RUNTIME_THREADS: usize = 2;

/// Most milliseconds between two checkpoints: a week.
const MAX_CHECKPOINT_MS: u64 = 7 * 24 * 3_600_000;

/// What a worker uses of its host.
#[derive(Clone, Debug, Args)]
pub struct HostArguments {
    /// Trials to train at once [default: the cores that Slurm, the processor affinity and the
    /// cgroup give to this process]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS))
    )]
    slots: Option<u32>,
    /// Memory for all trials and their data together, such as 4GiB; a trial waits until it fits
    /// [default: no limit]
    #[arg(long, value_name = "SIZE")]
    memory: Option<MemoryLimit>,
    /// The folder in which the workers of this host keep data that the coordinator sends
    /// [default: $XDG_CACHE_HOME/caviar or ~/.cache/caviar]
    #[arg(long, env = "CAVIAR_CACHE", hide_env_values = true, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// A folder with such data on a file system that this host shares with the coordinator:
    /// STORE.artifacts/blobs
    #[arg(long, env = "CAVIAR_ARTIFACTS", hide_env_values = true, value_name = "FOLDER")]
    artifacts: Option<PathBuf>,
}

impl HostArguments {
    /// The slots that a worker with these options has.
    pub fn slots(&self) -> SlotChoice {
        self.slots.map_or_else(SlotChoice::detect, SlotChoice::given)
    }

    /// The memory that its trials may use; `None` for no limit.
    pub const fn memory(&self) -> Option<MemoryLimit> {
        self.memory
    }

    /// Where it keeps blobs, and where it finds them.
    pub fn blobs(&self) -> BlobPlaces {
        BlobPlaces {
            cache: self.cache.clone().or_else(BlobPlaces::default_cache),
            folder: self.artifacts.clone(),
        }
    }
}

/// The options of a worker on the command line.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The coordinator to work for.
    #[command(flatten)]
    connection: ConnectionArguments,
    /// What it uses of its host.
    #[command(flatten)]
    host: HostArguments,
    /// Milliseconds of training between two checkpoints of a trial; a trial that is expected to
    /// train for less than twice as long gets none
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u64).range(1..=MAX_CHECKPOINT_MS)
    )]
    checkpoint_ms: u64,
    /// This worker's name, unique among the workers of the coordinator [default: HOST-PID]
    #[arg(long, value_parser = name)]
    name: Option<Name>,
    /// Leave after this long without a trial, such as 5m [default: stay]
    #[arg(long, value_name = "DURATION", value_parser = caviar_common::duration::parse)]
    idle_timeout: Option<Duration>,
    /// Leave before this much time is over: a duration such as 1h30m, none, or auto for the end of
    /// the Slurm job. The worker takes no new trials shortly before, and workers that started
    /// together do not leave in the same second
    #[arg(long, value_name = "DURATION", default_value = "auto")]
    time_limit: TimeLimit,
    /// Print the instruction set that trials use on this machine (avx512bf16, avx512, avx2 or
    /// portable), and exit
    #[arg(long)]
    kernels: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse("name", text).map_err(|problem| problem.message)
}

/// Runs a worker until it is drained or leaves, or until SIGINT, SIGTERM or SIGUSR1. Then it gives
/// its trials back with their checkpoints, and is gone within five seconds. A second signal ends it
/// at once.
pub fn main(arguments: Arguments) -> ExitCode {
    let options = Options { threads: Some(RUNTIME_THREADS), ..Options::default() };
    caviar_process::main(options, run(arguments))
}

async fn run(arguments: Arguments) -> Result<Exit, Report> {
    if arguments.kernels {
        return print_kernels();
    }
    let slots = arguments.host.slots();
    let leave = LeaveRules {
        idle_timeout: arguments.idle_timeout,
        time_limit: arguments.time_limit.resolve().await,
    };
    let coordinator = arguments.connection.dialer(Role::Worker).map_err(|e| not_found(&e))?;
    if coordinator.role() == Some(Role::Admin) {
        tracing::warn!(
            "the join string has the role admin, and a worker should get no more than it needs; \
             hint: caviar tokens create --role worker --output worker.join"
        );
    }
    let config = WorkerConfig {
        coordinator,
        name: match arguments.name {
            Some(name) => name,
            None => default_name()?,
        },
        slots: slots.slots(),
        memory: arguments.host.memory(),
        checkpoints: CheckpointConfig {
            place: None,
            every: Duration::from_millis(arguments.checkpoint_ms),
        },
        blobs: arguments.host.blobs(),
        leave,
    };
    tracing::info!("{slots}");
    let signals = Signals::listen().map_err(|error| Report::new(Exit::Failure, &error))?;
    let mut warning =
        signal(SignalKind::user_defined1()).map_err(|error| Report::new(Exit::Failure, &error))?;
    let stop = async {
        tokio::select! {
            _ = signals.first() => {}
            // Batch systems send it before the end of a job: `sbatch --signal=USR1@60`.
            _ = warning.recv() => tracing::debug!("SIGUSR1"),
        }
    };
    tokio::select! {
        worked = crate::run(config, stop) => match worked {
            Ok(()) => Ok(Exit::Success),
            Err(error) => Err(refused(&error)),
        },
        name = signals.second() => {
            tracing::warn!("{name} again: exiting at once");
            Ok(Exit::Interrupted)
        }
    }
}

fn not_found(error: &ConnectionError) -> Report {
    let report = Report::new(error.class().into(), error);
    error.hints().iter().fold(report, |report, hint| report.with_hint(hint))
}

fn refused(error: &WorkerError) -> Report {
    Report::new(error.class().into(), error).with_hint(error.hint())
}

fn print_kernels() -> Result<Exit, Report> {
    let family = caviar_nn::kernel_family().map_err(|error| Report::new(Exit::Usage, &error))?;
    let written = writeln!(std::io::stdout(), "{family}");
    written.map(|()| Exit::Success).map_err(|error| Report::new(Exit::Failure, &error))
}

/// The host's name and the process's number: unique, and it tells where to look.
fn default_name() -> Result<Name, Report> {
    let host = nix::unistd::gethostname()
        .map(|host| host.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = legal_name(&host, std::process::id());
    Name::parse("name", &name).map_err(|problem| {
        Report::from_lines(Exit::Failure, format!("error: no name for this worker: {problem}\n"))
    })
}

/// A legal worker name from any host name.
fn legal_name(host: &str, pid: u32) -> String {
    let pid = pid.to_string();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .map(|c| if is_legal(c) { c } else { '-' })
        .take(MAX_NAME_CHARS.saturating_sub(1 + pid.len()))
        .collect();
    if host.is_empty() { format!("worker-{pid}") } else { format!("{host}-{pid}") }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        Program::try_parse_from([&["caviar-worker"], words].concat())
            .map(|program| program.arguments)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_host_name_makes_a_legal_worker_name() {
        for host in ["node-17.cluster", "", "---", "Jörg's MacBook", &"x".repeat(300), "\u{fffd}a"]
        {
            let name = legal_name(host, u32::MAX);
            assert!(Name::parse("name", &name).is_ok(), "{host:?}: {name:?}");
        }
        assert_eq!(legal_name("node-17", 42), "node-17-42");
    }

    #[test]
    fn options_out_of_range_are_refused() {
        assert_eq!(parsed(&["--slots", "2", "--name", "a"]).unwrap().host.slots, Some(2));
        assert!(parsed(&["--memory", "4GiB"]).unwrap().host.memory.is_some());
        let error = parsed(&["--memory", "5"]).unwrap_err();
        assert!(error.starts_with("error: invalid value '5' for '--memory <SIZE>': "), "{error}");
        assert!(error.contains("expected at least 1MiB"), "{error}");
        for wrong in [["--slots", "0"], ["--slots", "5000"], ["--name", "a b"], ["--name", ""]] {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
    }
}
