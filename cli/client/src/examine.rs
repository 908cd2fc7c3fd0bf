//! How far a connection to an address comes: its name, TCP, and TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caviar_common::address::Address;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::probe::{ProbeOutcome, handshake, probe};
use crate::tls::TlsProblem;

/// How long each step may take. A step within a cluster takes a few milliseconds, and a name server
/// that does not answer is replaced by the next one after five seconds.
const STEP_TIMEOUT: Duration = Duration::from_secs(6);

/// An address of a coordinator, and how far a connection to it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The address.
    pub address: Address,
    /// Where the connection ended.
    pub reached: Reached,
}

/// How far a connection comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The host's name is not known, for this reason.
    Unresolved(String),
    /// The name is known, and nothing accepts the connection.
    Unconnected {
        /// Why each of the host's addresses does not accept it; at least one.
        failures: Vec<(IpAddr, ConnectProblem)>,
    },
    /// The connection is open, and the server there cannot be trusted.
    Untrusted {
        /// The open connection.
        opened: Opened,
        /// What is wrong.
        problem: TlsProblem,
    },
    /// The server there is the coordinator, or may be one if it is dialled without encryption.
    Trusted(Opened),
}

/// A connection that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The host's addresses.
    pub resolved: Vec<IpAddr>,
    /// The one that accepted the connection.
    pub peer: IpAddr,
    /// How long that took.
    pub took: Duration,
}

/// Why a connection was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectProblem {
    /// The host is there, and nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// Nothing answered.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No route leads to the host.
    #[error("{0}")]
    Unreachable(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for ConnectProblem {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if matches!(kind, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
        {
            Self::Unreachable(error.to_string())
        } else {
            Self::Other(error.to_string())
        }
    }
}

/// Connects to an address as a worker does, and sends no secret.
pub(crate) async fn examine(address: Address, tls: Option<Arc<ClientConfig>>) -> Reached {
    let resolved = match resolve(&address).await {
        Ok(resolved) => resolved,
        Err(cause) => return Reached::Unresolved(cause),
    };
    let (stream, opened) = match connect(resolved).await {
        Ok(connected) => connected,
        Err(failures) => return Reached::Unconnected { failures },
    };
    let problem = match tls {
        Some(tls) => secure(&address, stream, &tls).await,
        None => greet(&address).await,
    };
    match problem {
        None => Reached::Trusted(opened),
        Some(problem) => Reached::Untrusted { opened, problem },
    }
}

async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(STEP_TIMEOUT, lookup_host((address.host(), address.port()))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no name server answered within {STEP_TIMEOUT:?}")),
    };
    if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
}

/// The first connection that is accepted.
async fn connect(
    addresses: Vec<SocketAddr>,
) -> Result<(TcpStream, Opened), Vec<(IpAddr, ConnectProblem)>> {
    let mut failures = Vec::new();
    for address in &addresses {
        let began = Instant::now();
        let problem = match timeout(STEP_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let resolved = addresses.iter().map(SocketAddr::ip).collect();
                let (peer, took) = (address.ip(), began.elapsed());
                return Ok((stream, Opened { resolved, peer, took }));
            }
            Ok(Err(error)) => error.into(),
            Err(_) => ConnectProblem::TimedOut(STEP_TIMEOUT),
        };
        failures.push((address.ip(), problem));
    }
    Err(failures)
}

/// What is wrong with TLS.
async fn secure(
    address: &Address,
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> Option<TlsProblem> {
    let problem = match timeout(STEP_TIMEOUT, handshake(stream, tls)).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => TlsProblem::of_io(&error),
        Err(_) => TlsProblem::NoAnswer(STEP_TIMEOUT),
    };
    let may_be_plain =
        matches!(problem, TlsProblem::NotTls | TlsProblem::NoAnswer(_) | TlsProblem::Broken(_));
    if may_be_plain && probe(address).await == ProbeOutcome::OtherProtocol {
        return Some(TlsProblem::NotACoordinator);
    }
    Some(problem)
}

/// What is wrong with a server that is dialled without encryption.
async fn greet(address: &Address) -> Option<TlsProblem> {
    match probe(address).await {
        ProbeOutcome::OtherProtocol => Some(TlsProblem::NotACoordinator),
        ProbeOutcome::Refusal(reason) => Some(TlsProblem::Refused(reason)),
        ProbeOutcome::Unknown => None,
    }
}
