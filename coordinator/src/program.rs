//! The program: `caviar-coordinator`, and `caviar coordinator`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use caviar_common::address::{Address, AddressProblem};
use caviar_core::input::Config;
use caviar_process::{Exit, Options, Report, Signals};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::server::{ServerConfig, ServerError, start};

/// The options of a coordinator on the command line.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
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
    /// Number of lost workers after which a trial fails
    #[arg(
        long,
        alias = "max-losses",
        value_name = "N",
        default_value_t = Config::default().max_lost_workers,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_lost_workers: u32,
}

fn address(text: &str) -> Result<Address, AddressProblem> {
    text.parse::<Address>().map_err(|error| error.problem)
}

/// Runs a coordinator until SIGINT or SIGTERM. A second signal ends it at once.
pub fn main(arguments: Arguments) -> ExitCode {
    caviar_process::main(Options::default(), run(arguments))
}

async fn run(arguments: Arguments) -> Result<Exit, Report> {
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

async fn serve(arguments: Arguments, signals: &Signals) -> Result<Exit, ServerError> {
    let Arguments { listen, store, lease_ttl_ms, max_lost_workers } = arguments;
    let config = ServerConfig {
        listen: resolve(&listen).await?,
        store: store.clone(),
        core: Config { lease_ttl_ms, max_lost_workers, ..Config::default() },
        ticks: true,
    };
    let mut server = tokio::select! {
        server = start(config) => server?,
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
            let listen = parsed(&["--listen", text]).unwrap().listen;
            assert_eq!(resolve(&listen).await.unwrap().to_string(), expected, "{text}");
        }
        let error = parsed(&["--listen", "localhost:x"]).unwrap_err();
        assert!(error.contains("port \"x\": expected a number from 0 to 65535"), "{error}");
    }

    #[test]
    fn the_former_name_of_an_option_still_works() {
        for option in ["--max-lost-workers", "--max-losses"] {
            assert_eq!(parsed(&[option, "7"]).unwrap().max_lost_workers, 7);
        }
        assert!(parsed(&["--max-lost-workers", "0"]).is_err());
    }
}
