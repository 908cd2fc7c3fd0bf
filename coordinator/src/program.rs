//! The program: `caviar-coordinator`, and `caviar coordinator`.

use std::ffi::OsStr;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use caviar_common::address::{Address, AddressProblem};
use caviar_common::join::{MAX_ADDRESSES, Role, trust_folder, user_folder, user_join_file};
use caviar_core::input::Config;
use caviar_process::{Exit, LevelFilter, Options, Report, Signals};
use clap::builder::{PathBufValueParser, StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Subcommand};

use crate::artifacts::{Place, Settings, SizeLimit};
use crate::server::{Server, ServerConfig, ServerError, start_with};
use crate::store::check;
use crate::trust::{Security, TlsOptions};

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
    /// Where to listen: HOST:PORT, :PORT or PORT; port 0 takes any free port. Without a host, on
    /// every address of this machine, or with --insecure on 127.0.0.1
    #[arg(long, value_name = "ADDRESS", default_value = ":7070")]
    listen: Listen,
    /// Where workers and clients reach this coordinator, for join strings: HOST or HOST:PORT,
    /// separated by commas, the preferred one first [default: the name and the addresses of this
    /// machine]
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = advertised)]
    advertise: Vec<Address>,
    /// Write the join string for workers to this file too; only this user can read it, and it is
    /// removed at the end
    #[arg(
        long,
        value_name = "FILE",
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path)
    )]
    join_file: Option<PathBuf>,
    /// Ask clients for a certificate from one of the authorities in this PEM file, next to their
    /// token
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["insecure", "insecure_on_network"],
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path)
    )]
    client_authorities: Option<PathBuf>,
    /// No encryption and no tokens, on a loopback address: every user of this machine can do
    /// everything
    #[arg(long)]
    insecure: bool,
    /// No encryption and no tokens on any address: everybody who reaches it can do everything
    #[arg(long)]
    insecure_on_network: bool,
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
    /// Where data sets and other large files are kept, which no other coordinator may use: a
    /// folder, or in a program that was built with object stores, s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, with credentials from the environment
    /// [default: STORE.artifacts]
    #[arg(long, value_name = "PLACE", value_parser = PlaceParser)]
    artifacts: Option<Place>,
    /// Bytes that these files may take together
    #[arg(long, value_name = "SIZE", default_value = "64GiB")]
    artifact_limit: SizeLimit,
}

/// Reads a [`Place`]. Errors of clap repeat the value, which may have a password, so this one
/// writes its own.
#[derive(Clone, Copy, Debug)]
struct PlaceParser;

impl TypedValueParser for PlaceParser {
    type Value = Place;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Place, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, argument, value)?;
        text.parse().map_err(|why: String| {
            let shown = without_secrets(&text);
            let message = format!("invalid value '{shown}' for '--artifacts <PLACE>': {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// The URL with `***` in place of everything before its last `@`, and of a query.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    match rest.split_once(['?', '#']) {
        Some((place, _)) => format!("{scheme}://{user}{place}?***"),
        None => format!("{scheme}://{user}{rest}"),
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listen {
    address: Address,
    /// False for `:PORT` and `PORT`.
    has_host: bool,
}

impl FromStr for Listen {
    type Err = AddressProblem;

    fn from_str(text: &str) -> Result<Self, AddressProblem> {
        let address = text.parse::<Address>().map_err(|error| error.problem)?;
        let text = text.trim();
        let has_host = !text.starts_with(':') && !text.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self { address, has_host: has_host || text.starts_with("::") })
    }
}

/// An address for join strings; without a port, that of the listener.
fn advertised(text: &str) -> Result<Address, AddressProblem> {
    let address = text.parse::<Address>().map_err(|error| error.problem)?;
    let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_in_host = host.contains(':') && !host.ends_with(']');
        !is_in_host && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    Ok(if has_port { address } else { address.with_port(0) })
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
    let Serve { ref store, lease_ttl_ms, max_lost_workers, stall_ms, .. } = arguments;
    let artifacts = Settings {
        place: arguments.artifacts.clone().unwrap_or(Place::NextToStore),
        limit: arguments.artifact_limit,
        ..Settings::default()
    };
    // Each connection is an open file, and the default limit is often 1,024.
    if let Err(error) = caviar_process::raise_open_files() {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    let config = ServerConfig {
        listen: resolve(&arguments.listen, arguments.insecure).await?,
        store: store.clone(),
        core: Config { lease_ttl_ms, max_lost_workers, least_stall_ms: stall_ms },
        ticks: true,
        security: arguments.security().await?,
    };
    let mut server = tokio::select! {
        server = start_with(config, artifacts) => server?,
        name = signals.first() => {
            tracing::info!("{name}: stopped before the store was open");
            return Ok(Exit::Success);
        }
    };
    publish(&mut server, &arguments)?;
    // A reader of the log finds the join strings too.
    tracing::info!("listening on {}, store {}", server.url(), store.display());
    tokio::select! {
        name = signals.first() => tracing::info!("{name}: stopping"),
        error = server.stopped() => return Err(error),
    }
    server.stop().await?;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

impl Serve {
    /// How connections are protected, with a warning if they are not.
    async fn security(&self) -> Result<Security, ServerError> {
        if self.insecure_on_network {
            tracing::warn!(
                "--insecure-on-network: no encryption and no tokens; everybody who reaches this \
                 coordinator can read, change and delete everything"
            );
            return Ok(Security::PlainOnNetwork);
        }
        if self.insecure {
            tracing::warn!(
                "--insecure: no encryption and no tokens; every user of this machine can read, \
                 change and delete everything"
            );
            return Ok(Security::Plain);
        }
        let advertised = match self.advertise.as_slice() {
            [] => own_addresses(resolve(&self.listen, false).await?),
            given => given.to_vec(),
        };
        Ok(Security::Tls(TlsOptions {
            folder: Some(trust_folder(&self.store)),
            advertised,
            client_authorities: self.client_authorities.clone(),
        }))
    }
}

/// Where a listener can be reached: the name of this machine and its addresses, loopback last. The
/// port 0 stands for the port that the listener gets.
fn own_addresses(listen: SocketAddr) -> Vec<Address> {
    if !listen.ip().is_unspecified() {
        return vec![listen.into()];
    }
    let with_port = |ip: IpAddr| Address::from(SocketAddr::new(ip, listen.port()));
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| name != "localhost").and_then(|name| name.parse().ok());
    let name = name.map(|name: Address| name.with_port(listen.port()));
    let found = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|it| it.address);
    let ips = found.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    });
    let mut ips: Vec<IpAddr> = ips.filter(|ip| can_be_reached(*ip, listen)).collect();
    ips.sort_unstable_by_key(IpAddr::is_ipv6);
    ips.dedup();
    ips.truncate(MAX_ADDRESSES - 2);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    name.into_iter().chain(ips.into_iter().chain([loopback]).map(with_port)).collect()
}

/// True for an address of this machine that others may reach through the listener.
fn can_be_reached(ip: IpAddr, listen: SocketAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => listen.is_ipv6() && !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// Tells other programs of this user where the coordinator is.
fn publish(server: &mut Server, arguments: &Serve) -> Result<(), ServerError> {
    if let Some(file) = &arguments.join_file {
        server.publish_join(file.clone(), Role::Worker)?;
    }
    publish_to_user(server);
    // Last: a program that waits for it finds the join strings too.
    server.publish_address(&arguments.store);
    Ok(())
}

/// Leaves join strings in the user's folder. Without one, programs need --join.
fn publish_to_user(server: &Server) {
    let Some(folder) = user_folder(|name| std::env::var_os(name)) else { return };
    let host = nix::unistd::gethostname().unwrap_or_default();
    for role in [Role::Admin, Role::Worker] {
        let file = user_join_file(&folder, &host.to_string_lossy(), server.address().port(), role);
        if let Err(error) = server.publish_join(file, role) {
            tracing::warn!(
                "{error}; so the commands of this user find this coordinator only with --join"
            );
            return;
        }
    }
}

/// The socket address to listen on. Of several, it prefers loopback addresses, and of these IPv4:
/// clients that are not told otherwise dial 127.0.0.1.
async fn resolve(listen: &Listen, is_insecure: bool) -> Result<SocketAddr, ServerError> {
    let Listen { address, has_host } = listen;
    if !has_host && !is_insecure {
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
    }
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
            (":7071", "0.0.0.0:7071"),
            ("7071", "0.0.0.0:7071"),
            ("localhost:7071", "127.0.0.1:7071"),
            ("[::1]:7071", "[::1]:7071"),
        ] {
            let listen = parsed(&["--listen", text]).unwrap().serve.listen;
            assert_eq!(resolve(&listen, false).await.unwrap().to_string(), expected, "{text}");
        }
        let listen = parsed(&[]).unwrap().serve.listen;
        assert_eq!(resolve(&listen, false).await.unwrap().to_string(), "0.0.0.0:7070");
        assert_eq!(resolve(&listen, true).await.unwrap().to_string(), "127.0.0.1:7070");
        let error = parsed(&["--listen", "localhost:x"]).unwrap_err();
        assert!(error.contains("port \"x\": expected a number from 0 to 65535"), "{error}");
    }

    #[test]
    fn an_advertised_address_has_the_port_of_the_listener_unless_it_has_its_own() {
        for (text, expected) in [
            ("login1", "login1:0"),
            ("login1:80", "login1:80"),
            ("10.0.0.1", "10.0.0.1:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:80", "[::1]:80"),
            ("fe80::1", "[fe80::1]:0"),
        ] {
            assert_eq!(advertised(text).unwrap().to_string(), expected);
        }
        let given = parsed(&["--advertise", "a,b:1"]).unwrap().serve.advertise;
        assert_eq!(given.len(), 2);
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_name_and_on_loopback_last() {
        let addresses = own_addresses("0.0.0.0:7070".parse().unwrap());
        assert!(addresses.len() <= MAX_ADDRESSES);
        assert_eq!(addresses.last().unwrap().to_string(), "127.0.0.1:7070");
        let one = own_addresses("10.1.2.3:7070".parse().unwrap());
        assert_eq!(one.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.2.3:7070"]);
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
        let error = parsed(&["--artifacts", "ftp://host"]).unwrap_err();
        assert!(error.contains("ftp:// is not supported"), "{error}");
        assert!(parsed(&["--artifact-limit", "5"]).is_err());
    }

    #[test]
    fn a_refused_place_is_shown_without_the_password_in_it() {
        for (url, shown) in [
            ("ftp://me:secret@host/x", "ftp://***@host/x"),
            ("ftp://me:se?cr#e@t@host", "ftp://***@host"),
            ("ftp://host/x?key=secret", "ftp://host/x?***"),
            ("ftp://me:cr#e@host/x?key=secret", "ftp://***@host/x?***"),
        ] {
            let error = parsed(&["--artifacts", url]).unwrap_err();
            assert!(error.contains(&format!("invalid value '{shown}' for ")), "{error}");
            assert!(!error.contains("secret") && !error.contains("cr#e"), "{error}");
        }
    }

    #[test]
    fn a_training_hangs_after_ten_minutes_unless_told_otherwise() {
        assert_eq!(parsed(&[]).unwrap().serve.stall_ms, 600_000);
        assert_eq!(parsed(&["--stall-ms", "60000"]).unwrap().serve.stall_ms, 60_000);
        assert!(parsed(&["--stall-ms", "0"]).is_err());
    }
}
