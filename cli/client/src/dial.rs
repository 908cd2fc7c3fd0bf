//! Connecting to a coordinator.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use caviar_common::address::Address;
use caviar_common::join::{JoinString, Pin, SERVER_NAME};
use futures_core::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

use crate::examine::{Examined, Reached, examine};
use crate::probe::{ProbeOutcome, probe, probe_tls};
use crate::tls::TlsProblem;
use crate::trust::{
    Bearer, ClientCertificate, PinVerifier, SecretFileError, Target, read_secret_file,
};

/// How often an idle connection is checked with an HTTP/2 ping.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a ping may stay unanswered before the connection counts as broken. A coordinator whose
/// host vanished is noticed after at most the interval and this timeout.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an address has a head start before the next one is dialled too. A host that is gone
/// does not answer, and a connection within a cluster takes a few milliseconds.
const HEAD_START: Duration = Duration::from_millis(500);

/// What separates the hints in a text about an error.
pub(crate) const HINT: &str = "; hint: ";

/// A connection that adds the token to every request.
pub type Channel = InterceptedService<tonic::transport::Channel, Bearer>;

/// Bytes of a stream that may be on their way. HTTP/2's default of 64 KiB would limit a download to
/// 6 MB/s over a connection with a round trip of 10 ms.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes of all streams that may be on their way.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Opens connections to one coordinator.
///
/// A connection carries any number of requests at once, so a program needs one. Keep the `Dialer`
/// to connect again after the connection broke.
///
/// ```
/// use caviar_client::{Dialer, Target};
///
/// let dialer = Dialer::new(Target::plain("http://127.0.0.1:7070")?, None)?;
/// assert_eq!(dialer.url(), "http://127.0.0.1:7070");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dialer {
    routes: Arc<[Route]>,
    /// The route that connected last.
    preferred: Arc<AtomicUsize>,
    bearer: Bearer,
    tls: Option<Arc<ClientConfig>>,
}

/// One address of the coordinator.
#[derive(Clone, Debug)]
struct Route {
    address: Address,
    endpoint: Endpoint,
}

/// Why a [`Dialer`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialerError {
    /// An address has no form as a URL.
    #[error("coordinator {0}: expected a host name or an IP address before the port")]
    Address(String),
    /// The client certificate or its key cannot be read.
    #[error("client certificate: {path}: {cause}")]
    Certificate {
        /// The file that cannot be read.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No address leads to the coordinator, and at one of them at least nothing accepted the
    /// connection. The text may end with hints: `; hint: ...`.
    #[error("{0}")]
    Unreachable(String),
    /// At no address could the server show that it is the coordinator. No secret was sent. The text
    /// may end with hints.
    #[error("{0}")]
    Untrusted(String),
    /// The connection was not established in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Dialer {
    /// Prepares to dial a coordinator, with a client certificate for coordinators that ask for one.
    ///
    /// # Errors
    /// An address cannot be dialled, or the client certificate cannot be read.
    pub fn new(
        target: Target,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, DialerError> {
        let identity = certificate.map(ClientIdentity::read).transpose()?;
        let join = match &target {
            Target::Trusted(join) => Some(join),
            Target::Plain(_) => None,
        };
        let routes = target
            .addresses()
            .iter()
            .map(|address| {
                let endpoint = endpoint(address, join, identity.as_ref())?;
                Ok(Route { address: address.clone(), endpoint })
            })
            .collect::<Result<Vec<_>, DialerError>>()?;
        if routes.is_empty() {
            return Err(DialerError::Address("\"\"".to_owned()));
        }
        let tls = join.map(|join| client_config(join.pin, identity.as_ref())).transpose()?;
        Ok(Self {
            routes: routes.into(),
            preferred: Arc::default(),
            bearer: Bearer::new(join.map(|join| &join.secret)),
            tls,
        })
    }

    /// True for a clone of the same dialer.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.routes, &other.routes)
    }

    /// The host and the port that it connected to last, or else prefers; `None` never.
    pub fn address(&self) -> Option<&Address> {
        self.routes.get(self.preferred.load(Ordering::Relaxed)).map(|route| &route.address)
    }

    /// The [address](Dialer::address) as a URL without a trailing slash.
    pub fn url(&self) -> String {
        self.address().map(Address::url).unwrap_or_default()
    }

    /// Opens a connection, to whichever address answers first. An address is dialled if the ones
    /// before it have failed, or have not answered for half a second. It says nothing about what
    /// listens there; see [`Dialer::probe`].
    ///
    /// # Errors
    /// Nothing accepts the connection within `timeout`, or nothing there can be trusted.
    pub fn dial(&self, timeout: Duration) -> BoxFuture<'_, Result<Channel, DialError>> {
        Box::pin(async move {
            let dialled = tokio::time::timeout(timeout, self.race()).await;
            let channel = dialled.unwrap_or(Err(DialError::TimedOut(timeout)))?;
            Ok(InterceptedService::new(channel, self.bearer.clone()))
        })
    }

    async fn race(&self) -> Result<tonic::transport::Channel, DialError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut waiting = (0..self.routes.len()).map(|n| (first + n) % self.routes.len());
        let mut dialling = JoinSet::new();
        let mut failures = Vec::new();
        loop {
            let next = waiting.next();
            if let Some((at, route)) = next.and_then(|at| Some((at, self.routes.get(at)?))) {
                let endpoint = route.endpoint.clone();
                dialling.spawn(async move { (at, endpoint.connect().await) });
            }
            let is_last = waiting.len() == 0;
            let head_start = sleep_until(Instant::now() + HEAD_START);
            tokio::select! {
                Some(ended) = dialling.join_next() => match ended {
                    Ok((at, Ok(channel))) => {
                        self.preferred.store(at, Ordering::Relaxed);
                        return Ok(channel);
                    }
                    Ok((at, Err(error))) => failures.push((at, error)),
                    // The task panicked or the runtime is shutting down.
                    Err(error) => return Err(DialError::Unreachable(error.to_string())),
                },
                () = head_start, if !is_last => {}
                else => return Err(self.failed(&failures)),
            }
        }
    }

    /// What is said when every address failed. The coordinator may be away while another server
    /// uses one of its addresses, so it is untrusted only if every address is.
    fn failed(&self, failures: &[(usize, tonic::transport::Error)]) -> DialError {
        let causes: Vec<(usize, Cause)> =
            failures.iter().map(|(at, error)| (*at, Cause::of(error))).collect();
        let is_untrusted = !causes.is_empty() && causes.iter().all(|(_, it)| it.is_untrusted);
        let mut texts = Vec::with_capacity(causes.len());
        let mut hints: Vec<&str> = Vec::new();
        for (at, cause) in &causes {
            // The only address is in the text around this one.
            texts.push(match self.routes.get(*at) {
                Some(route) if causes.len() > 1 => format!("{}: {}", route.address, cause.text),
                Some(_) | None => cause.text.clone(),
            });
            for hint in &cause.hints {
                if !hints.contains(&hint.as_str()) {
                    hints.push(hint);
                }
            }
        }
        let mut text = texts.join("; ");
        for hint in hints {
            text = text + HINT + hint;
        }
        if is_untrusted { DialError::Untrusted(text) } else { DialError::Unreachable(text) }
    }

    /// What the server at the address says to a new connection, after a request has failed with
    /// this status. gRPC reports only that the connection is broken.
    pub fn probe<'a>(&'a self, status: &Status) -> BoxFuture<'a, ProbeOutcome> {
        // A status that came from the server has no source.
        let is_broken = std::error::Error::source(status).is_some();
        Box::pin(async move {
            match (self.address(), &self.tls) {
                (Some(address), Some(tls)) if is_broken => match probe_tls(address, tls).await {
                    Err(problem) => ProbeOutcome::Refusal(problem.to_string()),
                    Ok(outcome) => outcome,
                },
                (Some(address), None) if is_broken => probe(address).await,
                _ => ProbeOutcome::Unknown,
            }
        })
    }

    /// How far a connection to each address comes, in their order. It opens one of its own, over
    /// which it sends no secret.
    pub fn examine(&self) -> BoxFuture<'_, Vec<Examined>> {
        Box::pin(async move {
            let examine =
                |route: &Route| tokio::spawn(examine(route.address.clone(), self.tls.clone()));
            let running: Vec<_> = self.routes.iter().map(examine).collect();
            let mut all = Vec::with_capacity(running.len());
            for (task, route) in running.into_iter().zip(self.routes.iter()) {
                let reached = task.await.unwrap_or_else(|error| {
                    // The task panicked or the runtime is shutting down.
                    Reached::Unresolved(error.to_string())
                });
                all.push(Examined { address: route.address.clone(), reached });
            }
            all
        })
    }

    /// The configuration of TLS, for a program that makes connections by itself; `None` without
    /// encryption. The name to verify is [`SERVER_NAME`].
    pub const fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }
}

/// A client certificate and its key, in PEM.
struct ClientIdentity {
    chain: Vec<u8>,
    key: String,
    /// Where they were read, for errors.
    files: ClientCertificate,
}

impl ClientIdentity {
    fn read(files: &ClientCertificate) -> Result<Self, DialerError> {
        let failed = |path: &Path, cause: String| DialerError::Certificate {
            path: path.display().to_string(),
            cause,
        };
        let path = &files.certificate;
        let chain = std::fs::read(path).map_err(|error| failed(path, error.to_string()))?;
        let key = read_secret_file(&files.key).map_err(|error| {
            // What else it proposes is about tokens.
            let text = error.to_string();
            let text = text.split("; hint: ").next().unwrap_or_default();
            let path = files.key.display().to_string();
            let text = text.strip_prefix(&path).unwrap_or(text).trim_start();
            let is_readable = matches!(error, SecretFileError::Readable { .. });
            let hint =
                if is_readable { format!("; hint: chmod 600 {path}") } else { String::new() };
            failed(&files.key, format!("{text}{hint}"))
        })?;
        Ok(Self { chain, key, files: files.clone() })
    }
}

/// TLS 1.3 with a pinned authority.
fn client_config(
    pin: Pin,
    identity: Option<&ClientIdentity>,
) -> Result<Arc<ClientConfig>, DialerError> {
    let failed = |path: &Path, cause: String| DialerError::Certificate {
        path: path.display().to_string(),
        cause,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| failed(Path::new("TLS"), error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinVerifier::new(pin)));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { chain, key, files }) => {
            let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|error| failed(&files.certificate, error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|error| failed(&files.key, error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                failed(&files.certificate, certificate_problem(error.to_string()))
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// What is wrong with a client certificate, in words for people.
fn certificate_problem(text: String) -> String {
    if text.contains("UnsupportedCertVersion") {
        return "it is not of X.509 version 3; hint: openssl x509 -req makes one of version 3 with \
                -extfile"
            .to_owned();
    }
    text
}

fn endpoint(
    address: &Address,
    join: Option<&JoinString>,
    identity: Option<&ClientIdentity>,
) -> Result<Endpoint, DialerError> {
    let wrong = |_| DialerError::Address(address.to_string());
    let endpoint = Endpoint::from_shared(address.url())
        .map_err(wrong)?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let Some(join) = join else { return Ok(endpoint) };
    let mut tls = ClientTlsConfig::new().domain_name(SERVER_NAME);
    if let Some(identity) = identity {
        tls = tls.identity(Identity::from_pem(&identity.chain, &identity.key));
    }
    endpoint.tls_config_with_verifier(tls, Arc::new(PinVerifier::new(join.pin))).map_err(|error| {
        DialerError::Certificate {
            path: "certificate and key".to_owned(),
            cause: certificate_problem(Cause::of(&error).text),
        }
    })
}

/// What is at the end of an error's sources. tonic's own text is only "transport error".
struct Cause {
    /// Without its hints.
    text: String,
    hints: Vec<String>,
    /// True if the server's certificate was not accepted.
    is_untrusted: bool,
}

impl Cause {
    fn new(text: &str, is_untrusted: bool) -> Self {
        let mut parts = text.split(HINT).map(str::to_owned);
        let text = parts.next().unwrap_or_default();
        Self { text, hints: parts.collect(), is_untrusted }
    }

    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        loop {
            // An error of rustls is inside an I/O error, which does not name it as its source.
            let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if let Some(tls) =
                inner.and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>())
            {
                return Self::new(&TlsProblem::from(tls).to_string(), true);
            }
            match cause.source() {
                Some(source) => cause = source,
                None => return Self::new(&cause.to_string(), false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_names_the_cause() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let target = Target::plain(&format!("http://{address}")).unwrap();
        let dialled = Dialer::new(target, None).unwrap().dial(Duration::from_secs(5)).await;
        let Err(DialError::Unreachable(cause)) = dialled else { panic!("connected") };
        assert!(cause.contains("refused"), "{cause}");
    }
}
