//! A coordinator inside this process. Commands call it over gRPC on loopback, like any other
//! coordinator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_client::{Client, Dialer, Target};
use caviar_common::error::ErrorClass;
use caviar_common::join::{Role, trust_folder};
use caviar_common::view::{NO_WORKER, SweepView};
use caviar_coordinator::driver::DriverError;
use caviar_coordinator::store::StoreError;
use caviar_coordinator::{Security, Server, ServerConfig, ServerError, TlsOptions, start};
use caviar_core::input::Config;
use serde_json::Value;

use crate::args::Source;
use crate::connect::connect;
use crate::failure::Failure;
use crate::place::{Place, coordinator_hint};
use crate::show::sweep::{Origin, state as shown_state};

/// A coordinator inside this process.
#[derive(Debug)]
pub(crate) struct Embedded {
    server: Server,
}

impl Embedded {
    /// Starts a coordinator that runs sweeps. It creates the store if that does not exist, and
    /// publishes its address next to the store.
    pub(crate) async fn start(store: &Path) -> anyhow::Result<Self> {
        let trust = Some(trust_folder(store));
        let mut embedded = Self::start_with(store, trust, true).await?;
        embedded.server.publish_address(store);
        Ok(embedded)
    }

    /// Starts a coordinator that only answers questions about a store.
    pub(crate) async fn read(store: &Path) -> anyhow::Result<Self> {
        if !store.is_file() {
            let message = format!("there is no store {}", store.display());
            return Err(Failure::hinted(
                message,
                "caviar run FILE --store PATH makes one; without --store, the last store of this \
                 folder is read, or else a coordinator is asked",
            )
            .into());
        }
        // A database that was just begun may have everything in its log yet.
        let is_empty = store.metadata().is_ok_and(|data| data.len() == 0)
            && !with_suffix(store, "-wal").exists();
        if is_empty {
            let foreign = StoreError::Foreign(store.to_owned());
            return Err(ServerError::from(DriverError::from(foreign)).into());
        }
        // It answers to this process only, so its trust is kept nowhere.
        Self::start_with(store, None, false).await
    }

    async fn start_with(store: &Path, trust: Option<PathBuf>, ticks: bool) -> anyhow::Result<Self> {
        let config = ServerConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store: store.to_owned(),
            core: Config::default(),
            ticks,
            security: Security::Tls(TlsOptions { folder: trust, ..TlsOptions::default() }),
        };
        Ok(Self { server: start(config).await? })
    }

    /// The URL at which it listens, with a port of the system's choice.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Connects to it with a token of this role.
    pub(crate) fn dialer(&self, role: Role) -> anyhow::Result<Dialer> {
        let join = self.server.join(role).context("internal error: no join string")?;
        Ok(Dialer::new(Target::Trusted(join), None)?)
    }

    /// Waits until it ends on its own, which happens only when its store fails.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        anyhow::Error::new(self.server.stopped().await)
    }

    /// Stops it in order. Everything that it has acknowledged is stored already.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await.context("stopping")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// True if another process holds the store.
fn is_busy(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ServerError>().is_some_and(|error| error.class() == ErrorClass::Busy)
}

/// A sweep for `--json`, with the state that the tables show: a sweep that no coordinator runs is
/// interrupted, although its store has it as running.
pub(crate) fn object(sweep: &SweepView, origin: Origin) -> serde_json::Result<Value> {
    let mut object = serde_json::to_value(sweep)?;
    if let Some(state) = object.get_mut("state") {
        *state = shown_state(sweep, origin).0.into();
    }
    Ok(object)
}

/// Where a command reads from: a coordinator elsewhere, or one in this process that has opened a
/// store.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The connection to the coordinator, in either case.
    pub(crate) client: Client,
    stored: Option<(Embedded, PathBuf)>,
}

impl Reader {
    /// Opens what the source names, carries out `ask`, and closes it again.
    ///
    /// It is closed after a refusal too. A process that ends with its store open leaves the files
    /// of an open store behind.
    pub(crate) async fn with<T>(
        source: &Source,
        ask: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let reader = Self::open(source).await?;
        let answer = ask(&reader).await;
        let closed = reader.close().await;
        let answer = answer?;
        closed?;
        Ok(answer)
    }

    /// Connects to the coordinator, or opens the store. If another process has the store open, it
    /// connects to that process.
    async fn open(source: &Source) -> anyhow::Result<Self> {
        match source.place()? {
            Place::Coordinator => {
                let client = connect(&source.connection).await?;
                Ok(Self { client, stored: None })
            }
            Place::Store(store) => {
                let embedded = match Embedded::read(&store).await {
                    Ok(embedded) => embedded,
                    // A process that holds the store answers for it.
                    Err(error) if is_busy(&error) => {
                        let certificate = source.connection.certificate();
                        let held = caviar_client::holder_of(&store, certificate.as_ref()).await;
                        let client = held.with_context(|| {
                            format!("{} is in use by another process", store.display())
                        })?;
                        return Ok(Self { client: client.ok_or(error)?, stored: None });
                    }
                    Err(error) => return Err(error),
                };
                match Client::connect(&embedded.dialer(Role::Admin)?).await {
                    Ok(client) => Ok(Self { client, stored: Some((embedded, store)) }),
                    Err(error) => {
                        embedded.stop().await?;
                        Err(error.into())
                    }
                }
            }
        }
    }

    /// Connects to a coordinator with workers: the one that was named, or the one that has the
    /// store open. If neither was named and nobody has the last store of this folder open, it is
    /// the default coordinator.
    pub(crate) async fn open_for_workers(source: &Source) -> anyhow::Result<Self> {
        let reader = Self::open(source).await?;
        let Some((_, store)) = &reader.stored else { return Ok(reader) };
        if source.store.is_some() {
            let message = format!("no coordinator has {} open", store.display());
            let hint = format!("to start one: caviar coordinator --store {}", store.display());
            reader.close().await?;
            return Err(Failure::hinted(message, hint).into());
        }
        reader.close().await?;
        let client = connect(&source.connection).await?;
        Ok(Self { client, stored: None })
    }

    /// The option that leads `caviar run` to the store that is read, with a space before it.
    pub(crate) fn store_option(&self) -> String {
        self.stored
            .as_ref()
            .map_or_else(String::new, |(_, store)| format!(" --store {}", store.display()))
    }

    /// Whether the answers come from a coordinator that runs the sweeps, or only from their store.
    pub(crate) const fn origin(&self) -> Origin {
        if self.stored.is_some() { Origin::Store } else { Origin::Coordinator }
    }

    /// The sweep with notes that fit the source. A sweep in a store never has a worker, so the note
    /// about that gives way to one that says how to continue.
    pub(crate) fn seen(&self, mut sweep: SweepView) -> SweepView {
        if let Some((_, store)) = &self.stored
            && !sweep.state.is_final()
        {
            sweep.notes.retain(|note| note != NO_WORKER);
            sweep.notes.push(if sweep.spec.data.is_external() {
                format!("its clients need a coordinator; {}", coordinator_hint(store))
            } else {
                let (name, store) = (&sweep.name, store.display());
                format!(
                    "no process has {store} open, so it makes no progress; to continue: \
                     caviar run --resume --name {name} --store {store}, or with workers: \
                     caviar coordinator --store {store}"
                )
            });
        }
        sweep
    }

    /// Closes the connection, and releases the store if one is open.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.client);
        match self.stored {
            Some((embedded, _)) => embedded.stop().await,
            None => Ok(()),
        }
    }
}
