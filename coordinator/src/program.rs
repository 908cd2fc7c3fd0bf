//! The program: `caviar-coordinator`, and `caviar coordinator`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use caviar_common::address::{Address, AddressProblem};
use caviar_core::input::Config;
use caviar_process::{Exit, LevelFilter, Options, Report, Signals};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};

use crate::artifacts::{Place, Settings, SizeLimit};
use crate::server::{ServerConfig, ServerError, start_with};
use crate::store::check;

/// What a coordinator is asked to do on the command line.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else than serving it can do.
#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Say which sweeps of a store are intact, and save the others as far as possible
    #[command(after_help = "Example:\n  caviar coordinator check caviar.db --repair saved.db")]
    Check(Check),
}

/// The options of a check.
#[derive(Clone, Debug, Args)]
struct Check {
    /// The store; no coordinator may have it open
    #[arg(
        value_name = "STORE",
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path)
    )]
    store: PathBuf,
    /// Write everything that can be saved to a new store
    #[arg(
        long,
        value_name = "NEW",
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path)
    )]
    repair: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The options of a coordinator that serves.
#[derive(Clone, Debug, Args)]
struct Serve {
    /// Where to listen: HOST:PORT, :PORT or PORT, on a loopback address; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070", value_parser = address)]
    listen: Address,
    /// The file that keeps all sweeps; it is created if it does not exist
    #[arg(
        long,
        value_name = "FILE",
        default_value = "caviar.db",
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path)
    )]
    store: PathBuf,
    /// Milliseconds of silence after which a worker loses its trials
    #[arg(
        long,
        value_name = "MS",
        default_value_t = Config::default().lease_ttl_ms,
        value_parser = clap::value_parser!(u64).range(100..=86_400_000)
    )]
    lease_ttl_ms: u64,
    /// Number of losses in a row, without a new epoch, at which a trial fails: lost workers, hung
    /// trainings and external clients that fell silent
    #[arg(
        long,
        alias = "max-losses",
        value_name = "N",
        default_value_t = Config::default().max_lost_workers,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_lost_workers: u32,
    /// Milliseconds without a new epoch after which a training counts as hung, or 20 times the
    /// expected time of its epoch, if that is longer. The trial is taken away from its worker and
    /// waits for a free slot
    #[arg(
        long,
        value_name = "MS",
        default_value_t = Config::default().least_stall_ms,
        value_parser = clap::value_parser!(u64).range(100..=604_800_000)
    )]
    stall_ms: u64,
    /// The folder for data sets and other large files, which no other coordinator may use
    /// [default: STORE.artifacts]
    #[arg(long, value_name = "FOLDER")]
    artifacts: Option<Place>,
    /// Bytes that these files may take together
    #[arg(long, value_name = "SIZE", default_value = "64GiB")]
    artifact_limit: SizeLimit,
}

fn address(text: &str) -> Result<Address, AddressProblem> {
    text.parse::<Address>().map_err(|error| error.problem)
}

/// Runs a coordinator until SIGINT or SIGTERM. A second signal ends it at once. Or checks a store.
pub fn main(arguments: Arguments) -> ExitCode {
    let Arguments { serve, command } = arguments;
    match command {
        Some(Command::Check(check)) => {
            let options = Options { level: LevelFilter::ERROR, ..Options::default() };
            caviar_process::main(options, async { run_check(&check) })
        }
        None => caviar_process::main(Options::default(), run(serve)),
    }
}

/// Checks a store, and prints what was found. A damaged store is a failure.
fn run_check(arguments: &Check) -> Result<Exit, Report> {
    let Check { store, repair, json } = arguments;
    let report = match repair {
        Some(new) => check::repair(store, new),
        None => check::check(store),
    };
    let report = report.map_err(|error| Report::new(error.class().into(), &error))?;
    let text = if *json {
        let json = serde_json::to_string(&report);
        format!("{}\n", json.map_err(|error| Report::new(Exit::Failure, &error))?)
    } else {
        report.to_string()
    };
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Report::new(Exit::Failure, &error))?;
    Ok(if report.is_intact() { Exit::Success } else { Exit::Failure })
}

async fn run(arguments: Serve) -> Result<Exit, Report> {
    let signals = Signals::listen().map_err(|error| Report::new(Exit::Failure, &error))?;
    tokio::select! {
        served = serve(arguments, &signals) => {
            served.map_err(|error| Report::new(error.class().into(), &error))
        }
        name = signals.second() => {
            tracing::warn!("{name} again: exiting at once");
            Ok(Exit::Interrupted)
        }
    }
}

async fn serve(arguments: Serve, signals: &Signals) -> Result<Exit, ServerError> {
    let Serve { listen, store, lease_ttl_ms, max_lost_workers, stall_ms, .. } = arguments;
    let artifacts = Settings {
        place: arguments.artifacts.unwrap_or(Place::NextToStore),
        limit: arguments.artifact_limit,
        ..Settings::default()
    };
    // Each connection is an open file, and the default limit is often 1,024.
    if let Err(error) = caviar_process::raise_open_files() {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    let config = ServerConfig {
        listen: resolve(&listen).await?,
        store: store.clone(),
        core: Config { lease_ttl_ms, max_lost_workers, least_stall_ms: stall_ms },
        ticks: true,
    };
    let mut server = tokio::select! {
        server = start_with(config, artifacts) => server?,
        name = signals.first() => {
            tracing::info!("{name}: stopped before the store was open");
            return Ok(Exit::Success);
        }
    };
    server.publish_address(&store);
    tokio::select! {
        name = signals.first() => tracing::info!("{name}: stopping"),
        error = server.stopped() => return Err(error),
    }
    server.stop().await?;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// The socket address for a host and a port. Of several, it prefers loopback addresses, and of
/// these IPv4: clients that are not told otherwise dial 127.0.0.1.
async fn resolve(address: &Address) -> Result<SocketAddr, ServerError> {
    let unknown = |source| ServerError::UnknownHost { host: address.host().to_owned(), source };
    let found = tokio::net::lookup_host((address.host(), address.port())).await.map_err(unknown)?;
    found
        .min_by_key(|found| (!found.ip().is_loopback(), found.is_ipv6()))
        .ok_or_else(|| unknown(std::io::Error::other("it has no address")))
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
        Program::try_parse_from([&["caviar-coordinator"], words].concat())
            .map(|program| program.arguments)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_host_with_a_port_or_a_port_is_a_place_to_listen() {
        for (text, expected) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            (":7071", "127.0.0.1:7071"),
            ("7071", "127.0.0.1:7071"),
            ("localhost:7071", "127.0.0.1:7071"),
            ("[::1]:7071", "[::1]:7071"),
        ] {
            let listen = parsed(&["--listen", text]).unwrap().serve.listen;
            assert_eq!(resolve(&listen).await.unwrap().to_string(), expected, "{text}");
        }
        let error = parsed(&["--listen", "localhost:x"]).unwrap_err();
        assert!(error.contains("port \"x\": expected a number from 0 to 65535"), "{error}");
    }

    #[test]
    fn the_former_name_of_an_option_still_works() {
        for option in ["--max-lost-workers", "--max-losses"] {
            assert_eq!(parsed(&[option, "7"]).unwrap().serve.max_lost_workers, 7);
        }
        assert!(parsed(&["--max-lost-workers", "0"]).is_err());
    }

    #[test]
    fn artifacts_have_a_folder_and_a_limit() {
        let serve = parsed(&["--artifacts", "/a", "--artifact-limit", "2GiB"]).unwrap().serve;
        assert_eq!(serve.artifacts, Some(Place::Folder("/a".into())));
        assert_eq!(serve.artifact_limit.bytes(), 2 << 30);
        assert_eq!(parsed(&[]).unwrap().serve.artifact_limit, SizeLimit::default());
        let error = parsed(&["--artifacts", "s3://bucket"]).unwrap_err();
        assert!(error.contains("s3:// is not supported by this build"), "{error}");
        assert!(parsed(&["--artifact-limit", "5"]).is_err());
    }

    #[test]
    fn a_training_hangs_after_ten_minutes_unless_told_otherwise() {
        assert_eq!(parsed(&[]).unwrap().serve.stall_ms, 600_000);
        assert_eq!(parsed(&["--stall-ms", "60000"]).unwrap().serve.stall_ms, 60_000);
        assert!(parsed(&["--stall-ms", "0"]).is_err());
    }
}
