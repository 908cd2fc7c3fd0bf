//! The server: driver, services, health checks, reflection and timer together.
//!
//! ```text
//! start(ServerConfig) -> Server --stopped--> ServerError  (the driver or the transport failed)
//!                               --stop-----> Ok           (streams have ended, everything is
//!                                                          committed, the store is released)
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use caviar_common::error::ErrorClass;
use caviar_common::ids::StoreId;
use caviar_common::join::{JoinString, Role};
use caviar_core::input::{Config, Input};
use caviar_proto::v1::access_service_server::AccessServiceServer;
use caviar_proto::v1::artifact_service_server::ArtifactServiceServer;
use caviar_proto::v1::sweep_service_server::SweepServiceServer;
use caviar_proto::v1::trial_service_server::TrialServiceServer;
use caviar_proto::v1::worker_admin_service_server::WorkerAdminServiceServer;
use caviar_proto::v1::worker_service_server::WorkerServiceServer;
use futures_core::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::Router;
use tower::layer::util::{Identity, Stack};

use crate::address_file::AddressFile;
use crate::artifacts::{ArtifactError, Artifacts, Settings};
use crate::driver::{self, Driver, DriverError, DriverHandle, Ended};
use crate::incoming::Incoming;
use crate::rpc::{Access, Admin, Api, Blobs, Sweeps, Trials, Workers};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::trust::{AccessLayer, Security, TlsSetup, Trust, TrustError, accept};

/// Largest request about sweeps, in bytes. The largest sweep file fits.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// Largest message of a worker, in bytes: far more than the longest report takes.
const MAX_WORKER_MESSAGE_BYTES: usize = 1 << 20;
/// Requests that one connection may have in flight. A program may wait for a trial in each of its
/// threads, and still has to report on the same connection.
const MAX_STREAMS: u32 = 65_536;
/// Silence on a connection before it is checked with an HTTP/2 ping, and again the time that the
/// ping may stay unanswered before the connection is closed.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Bytes of an upload that may be on their way, and of all streams of a connection. With HTTP/2's
/// default of 64 KiB, an upload over a round trip of 10 ms would be limited to 6 MB/s.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// How long open connections may delay the end of the server.
const GRACE: Duration = Duration::from_secs(2);

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The path of the store, which is one file.
    pub store: PathBuf,
    /// The options of the state machine.
    pub core: Config,
    /// True for a coordinator that runs sweeps. False for one that only answers questions about a
    /// store: no lease expires, and a store that cannot be written is opened for reading only.
    pub ticks: bool,
    /// How connections are protected.
    pub security: Security,
}

/// Why a server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Other hosts could reach a coordinator without encryption and tokens.
    #[error(
        "cannot listen on {0} with --insecure: everybody who reaches it could do everything; \
         hint: leave --insecure out, because encryption needs no set-up; or listen on 127.0.0.1; \
         or, where the network is trusted, --insecure-on-network"
    )]
    NotLoopback(SocketAddr),
    /// The authority or the tokens cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The name of the host has no address.
    #[error("cannot listen on {host:?}: {source}")]
    UnknownHost {
        /// The name of the host.
        host: String,
        /// What the system reports.
        source: io::Error,
    },
    /// The address is in use, or is not an address of this machine.
    #[error(
        "cannot listen on {address}: {source}; \
         hint: choose another port with --listen, or port 0 for any free port"
    )]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// What the system reports.
        source: io::Error,
    },
    /// The driver could not start, or failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The folder or the bucket of the artifacts cannot be listed or cleaned.
    #[error("{0}")]
    Artifacts(String),
    /// The service descriptions cannot be served: a bug.
    #[error("internal error: reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The gRPC server failed, for example because it cannot accept connections.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// A task of the server ended on its own: a bug.
    #[error("internal error: the server ended on its own")]
    Ended,
}

impl ServerError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotLoopback(_) => ErrorClass::Invalid,
            Self::UnknownHost { .. } => ErrorClass::NotFound,
            Self::Listen { .. } => ErrorClass::Busy,
            Self::Driver(error) => error.class(),
            Self::Trust(error) => error.class(),
            Self::Artifacts(_) | Self::Transport(_) => ErrorClass::Unavailable,
            Self::Reflection(_) | Self::Ended => ErrorClass::Internal,
        }
    }
}

/// A running server. Dropping it without [`Server::stop`] ends its tasks in any order.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    driver: DriverHandle,
    ended: Ended,
    stopping: watch::Sender<bool>,
    serving: Serving,
    trust: Option<Arc<Trust>>,
    published: Option<AddressFile>,
}

/// Opens the store, recovers the state from it, and starts to serve.
///
/// # Errors
/// The address or the store is not available, or the stored events contradict each other.
pub fn start(config: ServerConfig) -> BoxFuture<'static, Result<Server, ServerError>> {
    // Boxed so that the services are compiled here. The body of an `async fn` is compiled again in
    // each crate that awaits it, and this one holds all of gRPC's server.
    Box::pin(open_and_serve(config, Settings::default()))
}

/// Like [`start`], with other settings of its [artifacts](crate::artifacts).
///
/// # Errors
/// Those of [`start`], or the place of the artifacts cannot be used.
pub fn start_with(
    config: ServerConfig,
    artifacts: Settings,
) -> BoxFuture<'static, Result<Server, ServerError>> {
    Box::pin(open_and_serve(config, artifacts))
}

async fn open_and_serve(config: ServerConfig, artifacts: Settings) -> Result<Server, ServerError> {
    if matches!(config.security, Security::Plain) && !config.listen.ip().is_loopback() {
        return Err(ServerError::NotLoopback(config.listen));
    }
    let failed = |source| ServerError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (core, path) = (config.core, config.store.clone());
    let open_store = if config.ticks { SqliteStore::open } else { SqliteStore::open_for_reading };
    let open = move || {
        let store = open_store(&path)?;
        let id = store.id();
        Ok::<_, DriverError>((id, driver::start(core, Box::new(store))?))
    };
    let (id, Driver { handle, ended }) =
        tokio::task::spawn_blocking(open).await.map_err(|_| ServerError::Ended)??;
    let artifacts = open_artifacts(artifacts, &config, id).await?;
    // After the store: only one process at a time may change what is next to it.
    let (trust, tls) = open_trust(&config.security, address)?;
    let (stopping, stop) = watch::channel(false);
    let api = Api::new(handle.clone(), Arc::clone(&artifacts), stop.clone());
    let router = router(&api, trust.clone()).await?;
    let incoming = accept(Incoming::new(listener, KEEPALIVE, tls.clone()), tls);
    let serving =
        Serving(Some(tokio::spawn(router.serve_with_incoming_shutdown(incoming, wait_for(stop)))));
    if config.ticks {
        tokio::spawn(tick(handle.clone(), config.core.lease_ttl_ms, stopping.subscribe()));
        tokio::spawn(collect(handle.clone(), artifacts, stopping.subscribe()));
    }
    Ok(Server { address, driver: handle, ended, stopping, serving, trust, published: None })
}

/// The trust of a coordinator that listens on `address`, and its TLS; `None` for one without.
fn open_trust(
    security: &Security,
    address: SocketAddr,
) -> Result<(Option<Arc<Trust>>, Option<TlsSetup>), TrustError> {
    let Security::Tls(options) = security else { return Ok((None, None)) };
    let mut advertised = options.advertised.clone();
    if advertised.is_empty() {
        advertised.push(address.into());
    }
    for to in &mut advertised {
        // A port that was left to the system is known only now.
        if to.port() == 0 {
            *to = to.with_port(address.port());
        }
    }
    let mut hosts: Vec<String> = advertised.iter().map(|to| to.host().to_owned()).collect();
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let trust = Trust::open(options.folder.as_deref(), advertised)?;
    trust.write_joins()?;
    let tls = trust.tls(hosts, options.client_authorities.as_deref())?;
    Ok((Some(Arc::new(trust)), Some(tls)))
}

impl Server {
    /// The address at which it listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL: `https://`, or `http://` without encryption.
    pub fn url(&self) -> String {
        self.url_of(self.address)
    }

    fn url_of(&self, address: SocketAddr) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// The join string of a role, `Admin` or `Worker`. `None` for another role, and without
    /// encryption.
    pub fn join(&self, role: Role) -> Option<JoinString> {
        self.trust.as_ref()?.own_join(role)
    }

    /// Writes the address to [a file next to the store](caviar_common::address::address_file), so
    /// that other programs on this machine find the coordinator of the store. The file is removed
    /// when the server stops.
    ///
    /// This is best-effort: if the file cannot be written, a warning is logged.
    pub fn publish_address(&mut self, store: &Path) {
        // Programs on this machine reach a listener on all addresses by loopback.
        let url = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => {
                self.url_of((Ipv4Addr::LOCALHOST, self.address.port()).into())
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                self.url_of((Ipv6Addr::LOCALHOST, self.address.port()).into())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => self.url(),
        };
        match AddressFile::publish(store, &url) {
            Ok(file) => self.published = Some(file),
            Err(error) => tracing::warn!(
                "cannot write the address next to {}, so --store will not find this coordinator: \
                 {error}",
                store.display()
            ),
        }
    }

    /// Writes the join string of a role to a file that only this user can read. The file is removed
    /// when the server stops.
    ///
    /// # Errors
    /// The file cannot be written. Without encryption there is no join string, and no error.
    pub fn publish_join(&self, path: PathBuf, role: Role) -> Result<(), TrustError> {
        match &self.trust {
            Some(trust) => Ok(trust.publish(path, role)?),
            None => Ok(()),
        }
    }

    /// Waits until the server ends on its own, which happens only after a failure.
    pub fn stopped(&mut self) -> BoxFuture<'_, ServerError> {
        Box::pin(async move {
            tokio::select! {
                end = self.ended.wait() => {
                    end.err().map_or(ServerError::Ended, ServerError::Driver)
                }
                end = self.serving.end() => end.err().unwrap_or(ServerError::Ended),
            }
        })
    }

    /// Ends streams and sessions, gives requests up to 2 s to finish, commits everything that was
    /// received, and releases the store.
    ///
    /// # Errors
    /// The driver has failed, or fails while it stops.
    pub fn stop(self) -> BoxFuture<'static, Result<(), ServerError>> {
        Box::pin(self.stop_in_order())
    }

    async fn stop_in_order(mut self) -> Result<(), ServerError> {
        // Removed before the store is released. Later it could be the file of the next coordinator.
        self.published = None;
        if let Some(trust) = &self.trust {
            trust.unpublish();
        }
        self.stopping.send_replace(true);
        // A driver that is gone has no sessions to close. Its own end says why it is gone.
        let _ = self.driver.close_sessions().await;
        if tokio::time::timeout(GRACE, self.serving.end()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        let _ = self.driver.stop().await;
        Ok(self.ended.wait().await?)
    }
}

/// The task that serves connections; `None` once its end was awaited.
#[derive(Debug)]
struct Serving(Option<JoinHandle<Result<(), tonic::transport::Error>>>);

impl Serving {
    async fn end(&mut self) -> Result<(), ServerError> {
        let Some(task) = &mut self.0 else { return Ok(()) };
        let end = task.await;
        self.0 = None;
        Ok(end.map_err(|_| ServerError::Ended)??)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn wait_for(mut stop: watch::Receiver<bool>) {
    // An error means that the server was dropped, which counts as a stop.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

type Layers = Stack<AccessLayer, Identity>;

async fn router(api: &Api, trust: Option<Arc<Trust>>) -> Result<Router<Layers>, ServerError> {
    let sweeps =
        SweepServiceServer::new(Sweeps(api.clone())).max_decoding_message_size(MAX_REQUEST_BYTES);
    let trials = TrialServiceServer::new(Trials(api.clone()))
        .max_decoding_message_size(MAX_WORKER_MESSAGE_BYTES);
    let workers = WorkerServiceServer::new(Workers(api.clone()))
        .max_decoding_message_size(MAX_WORKER_MESSAGE_BYTES);
    let admin = WorkerAdminServiceServer::new(Admin(api.clone()))
        .max_decoding_message_size(MAX_WORKER_MESSAGE_BYTES);
    let access = AccessServiceServer::new(Access(trust.clone()))
        .max_decoding_message_size(MAX_WORKER_MESSAGE_BYTES);
    let blobs =
        ArtifactServiceServer::new(Blobs(api.clone())).max_decoding_message_size(MAX_REQUEST_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<SweepServiceServer<Sweeps>>().await;
    reporter.set_serving::<TrialServiceServer<Trials>>().await;
    reporter.set_serving::<WorkerServiceServer<Workers>>().await;
    reporter.set_serving::<WorkerAdminServiceServer<Admin>>().await;
    reporter.set_serving::<ArtifactServiceServer<Blobs>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(caviar_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(AccessLayer(trust))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(sweeps)
        .add_service(trials)
        .add_service(workers)
        .add_service(admin)
        .add_service(access)
        .add_service(blobs);
    Ok(router)
}

async fn open_artifacts(
    settings: Settings,
    config: &ServerConfig,
    id: StoreId,
) -> Result<Arc<Artifacts>, ServerError> {
    let (store, is_read_only) = (config.store.clone(), !config.ticks);
    let open = move || Artifacts::open(settings, &store, id, is_read_only);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|_| ServerError::Ended)?;
    opened.map_err(|error: ArtifactError| ServerError::Artifacts(error.to_string()))
}

/// Removes blobs that no sweep needs any more, from time to time.
async fn collect(driver: DriverHandle, artifacts: Arc<Artifacts>, stop: watch::Receiver<bool>) {
    let mut timer = tokio::time::interval(artifacts.collect_every());
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = pin!(wait_for(stop));
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = &mut stop => return,
        }
        let (driver, artifacts) = (driver.clone(), Arc::clone(&artifacts));
        let remove = move || {
            artifacts.outdate(&driver.sweeps().take_outdated_checkpoints());
            artifacts.collect(&driver.sweeps().blobs())
        };
        if tokio::task::spawn_blocking(remove).await.is_err() {
            return;
        }
    }
}

/// Tells the state machine that time passes. The ticks go through the same queue as all messages,
/// so a message that arrives before a tick is handled before it.
async fn tick(driver: DriverHandle, lease_ttl_ms: u64, stop: watch::Receiver<bool>) {
    let period = Duration::from_millis((lease_ttl_ms / 8).max(10));
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = pin!(wait_for(stop));
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = &mut stop => return,
        }
        if driver.apply(Input::Tick).await.is_err() {
            return;
        }
    }
}
