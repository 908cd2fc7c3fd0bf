//! The one thread that owns the state machine and the store.
//!
//! ```text
//! DriverHandle::{apply, post, read}
//!     --bounded queue--> Engine: several steps, one commit, then replies, effects and views
//!     Outgoing <--bounded outbox-- Sessions
//!     Changes <--broadcast of changed sweeps--
//! ```
//! Nothing is sent before the commit of the events that led to it. The driver never waits for a
//! slow reader: a session whose outbox is full is closed. A failed commit or a broken invariant
//! ends the thread, and every waiting request fails.

mod engine;
mod log;
mod sessions;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use caviar_common::error::ErrorClass;
use caviar_common::ids::{SessionId, SweepId, TrialNumber};
use caviar_common::view::TrialTimes;
use caviar_core::input::{Config, Input, Refusal, Reply};
use caviar_core::{Broken, Coordinator};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::store::{Store, StoreError, TimesPage};
use engine::{Command, Engine};
pub use sessions::{CloseReason, Outgoing};

/// Commands that may wait in the queue; a sender of more waits. Chosen, not measured.
const QUEUE: usize = 4_096;
/// How many changes a watcher may be behind. A watcher that is further behind reads its sweep
/// again.
const CHANGES: usize = 1_024;

/// The driver has ended: it is stopping, or it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is stopping; hint: try again when it is back")]
pub struct DriverGone;

impl DriverGone {
    /// The error class, which tells a caller what it can do.
    pub const fn class(self) -> ErrorClass {
        ErrorClass::Unavailable
    }
}

/// Why a driver could not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug. Nothing of the step was stored.
    #[error("internal error: {0}")]
    Broken(#[from] Broken),
    /// The system did not start a thread.
    #[error("the driver's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// A bug: the thread panicked.
    #[error("internal error: the driver's thread panicked")]
    Died,
}

impl DriverError {
    /// The error class, which tells a caller what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Thread(_) => ErrorClass::Unavailable,
            Self::Broken(_) | Self::Died => ErrorClass::Internal,
        }
    }
}

/// A running driver.
#[derive(Debug)]
pub struct Driver {
    /// Sends commands to the driver.
    pub handle: DriverHandle,
    /// Waits for the driver's end.
    pub ended: Ended,
}

/// The end of a driver, after which its store is released.
#[derive(Debug)]
pub struct Ended(Option<oneshot::Receiver<Result<(), DriverError>>>);

impl Ended {
    /// Waits for the end. Later calls return `Ok`.
    ///
    /// # Errors
    /// Why the driver ended, unless a command stopped it.
    pub async fn wait(&mut self) -> Result<(), DriverError> {
        let Some(end) = &mut self.0 else { return Ok(()) };
        let result = end.await.unwrap_or(Err(DriverError::Died));
        self.0 = None;
        result
    }
}

/// Reads the store, recovers the state and starts the thread. Blocks while it reads the store.
///
/// # Errors
/// The store cannot be read, or its events do not fit together.
pub fn start(config: Config, mut store: Box<dyn Store>) -> Result<Driver, DriverError> {
    let events = store.load()?;
    let count = events.len();
    let mut row = 0;
    let events = events.into_iter().map(|(id, event)| {
        row = id;
        event
    });
    let recovered = Coordinator::recover(config, store.id(), 0, events);
    // Recovery stops at the event that does not fit, so it is the last one that was taken.
    let core =
        recovered.map_err(|broken| StoreError::Corrupt { row, detail: broken.to_string() })?;
    tracing::debug!(events = count, "recovered");
    let (commands, queue) = mpsc::channel(QUEUE);
    let (changes, _) = broadcast::channel(CHANGES);
    let (end, ended) = oneshot::channel();
    let engine = Engine::new(core, store, changes.clone());
    let body = move || {
        // This drops the engine and its store before the end is reported.
        let result = engine.run(queue);
        // The receiver may be gone.
        let _ = end.send(result);
    };
    thread::Builder::new().name("driver".to_owned()).spawn(body).map_err(DriverError::Thread)?;
    let handle = DriverHandle { commands, changes, next_session: Arc::new(AtomicU64::new(1)) };
    Ok(Driver { handle, ended: Ended(Some(ended)) })
}

/// Sends commands to the driver. Clones send to the same driver.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<SweepId>,
    next_session: Arc<AtomicU64>,
}

impl DriverHandle {
    /// Sends an input to the state machine. Returns its reply once all events that follow from it
    /// are stored.
    ///
    /// # Errors
    /// The driver ended. The input may have taken effect or not.
    pub async fn apply(&self, input: Input) -> Result<Result<Reply, Refusal>, DriverGone> {
        let (reply, received) = oneshot::channel();
        self.send(Command::Apply { input, reply: Some(reply) }).await?;
        received.await.map_err(|_| DriverGone)
    }

    /// Sends an input whose reply is not needed. Messages to a worker arrive over its session.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn post(&self, input: Input) -> Result<(), DriverGone> {
        self.send(Command::Apply { input, reply: None }).await
    }

    /// Reads the state after the commit of every input that was sent before. All other requests
    /// wait for `view`, so it must be quick.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn read<T, F>(&self, view: F) -> Result<T, DriverGone>
    where
        T: Send + 'static,
        F: FnOnce(&Coordinator) -> T + Send + 'static,
    {
        let (reply, received) = oneshot::channel();
        let view = move |core: &Coordinator| {
            // The requester may be gone.
            let _ = reply.send(view(core));
        };
        self.send(Command::Read(Box::new(view))).await?;
        received.await.map_err(|_| DriverGone)
    }

    /// When the trials of a sweep started and ended. The rows are read in pages, between which the
    /// driver serves others. A store that cannot be read has no times.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn trial_times(
        &self,
        sweep: SweepId,
    ) -> Result<BTreeMap<TrialNumber, TrialTimes>, DriverGone> {
        let (mut all, mut after) = (TimesPage::default(), 0);
        loop {
            let (reply, received) = oneshot::channel();
            self.send(Command::Times { sweep, after, reply }).await?;
            match received.await.map_err(|_| DriverGone)? {
                Ok(page) => all.extend(page),
                Err(error) => {
                    tracing::warn!(sweep = sweep.0, %error, "the export has no times");
                    return Ok(BTreeMap::new());
                }
            }
            match all.next {
                Some(next) => after = next,
                None => return Ok(all.times),
            }
        }
    }

    /// Opens a session and returns what is to be sent on its connection. The session is closed when
    /// more than `capacity` messages wait. `None` if there are too many sessions, or the store can
    /// only be read.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn open_session(
        &self,
        capacity: usize,
    ) -> Result<Option<(SessionId, mpsc::Receiver<Outgoing>)>, DriverGone> {
        let session = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        // With one more place than for messages, the reason of the close always fits.
        let (outbox, receiver) = mpsc::channel(capacity.max(1) + 1);
        let (reply, received) = oneshot::channel();
        self.send(Command::Open { session, outbox, reply }).await?;
        let is_accepted = received.await.map_err(|_| DriverGone)?;
        Ok(is_accepted.then_some((session, receiver)))
    }

    /// Closes a session. With a `reason`, the worker is told it.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn close_session(
        &self,
        session: SessionId,
        reason: Option<CloseReason>,
    ) -> Result<(), DriverGone> {
        self.send(Command::Close { session, reason }).await
    }

    /// Closes all sessions, and accepts no more.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn close_sessions(&self) -> Result<(), DriverGone> {
        self.send(Command::CloseAll).await
    }

    /// Ends the driver after everything that was sent before.
    ///
    /// # Errors
    /// The driver ended already.
    pub async fn stop(&self) -> Result<(), DriverGone> {
        self.send(Command::Stop).await
    }

    /// Waits until the driver has ended.
    pub async fn gone(&self) {
        self.commands.closed().await;
    }

    /// Watches the changes of sweeps from now on.
    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    async fn send(&self, command: Command) -> Result<(), DriverGone> {
        self.commands.send(command).await.map_err(|_| DriverGone)
    }
}

/// A watcher of changes of sweeps.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<SweepId>);

impl Changes {
    /// Waits until `sweep` may have changed since the last call. Several changes count as one.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn wait_for(&mut self, sweep: SweepId) -> Result<(), DriverGone> {
        loop {
            match self.0.recv().await {
                Ok(changed) if changed != sweep => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => return Err(DriverGone),
            }
        }
        self.forget();
        Ok(())
    }

    /// Drops the changes so far, because the caller is about to read the sweep.
    fn forget(&mut self) {
        self.0 = self.0.resubscribe();
    }
}
