//! The one thread that owns the state machine and the store.
//!
//! ```text
//! DriverHandle::{apply, post, read} --bounded queue--> Engine: step, step, step; commit once; then replies, effects and reads
//!                                                        |
//!                        Outgoing <--bounded outbox-- Sessions        broadcast of changed sweeps --> Changes
//! ```
//! Nothing leaves before the commit of what led to it, and nobody waits for a slow reader: an
//! outbox that is full costs its session. A failed commit or a broken invariant ends the thread,
//! and with it everything that waits.

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

/// Commands that wait at most.
const QUEUE: usize = 4_096;
/// Changes that a watcher may be behind before it is told that it missed some.
const CHANGES: usize = 1_024;

/// The driver has ended: it is stopping, or it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is stopping; hint: try again when it is back")]
pub struct DriverGone;

impl DriverGone {
    /// What a caller can do about it.
    pub const fn class(self) -> ErrorClass {
        ErrorClass::Unavailable
    }
}

/// Why a driver could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug: nothing of the step was written.
    #[error("internal error: {0}")]
    Broken(#[from] Broken),
    /// No thread could be started.
    #[error("no thread for the driver: {0}")]
    Thread(#[source] io::Error),
    /// A bug: the thread panicked.
    #[error("internal error: the driver's thread ended without a word")]
    Died,
}

impl DriverError {
    /// What a caller can do about it.
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
    /// To speak to it.
    pub handle: DriverHandle,
    /// How it ends.
    pub ended: Ended,
}

/// The end of a driver. Its store is released by then.
#[derive(Debug)]
pub struct Ended(Option<oneshot::Receiver<Result<(), DriverError>>>);

impl Ended {
    /// Waits for the end. Later calls say that it ended well.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to.
    pub async fn wait(&mut self) -> Result<(), DriverError> {
        let Some(end) = &mut self.0 else { return Ok(()) };
        let result = end.await.unwrap_or(Err(DriverError::Died));
        self.0 = None;
        result
    }
}

/// Reads the store, recovers the state and starts the thread. Blocks while it reads.
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
    // The event that does not fit is the last that was taken.
    let core =
        recovered.map_err(|broken| StoreError::Corrupt { row, detail: broken.to_string() })?;
    tracing::debug!(events = count, "recovered");
    let (commands, queue) = mpsc::channel(QUEUE);
    let (changes, _) = broadcast::channel(CHANGES);
    let (end, ended) = oneshot::channel();
    let engine = Engine::new(core, store, changes.clone());
    let body = move || {
        // The engine, and the store in it, are gone before anyone hears of the end.
        let result = engine.run(queue);
        // Nobody may be waiting for it.
        let _ = end.send(result);
    };
    thread::Builder::new().name("driver".to_owned()).spawn(body).map_err(DriverError::Thread)?;
    let handle = DriverHandle { commands, changes, next_session: Arc::new(AtomicU64::new(1)) };
    Ok(Driver { handle, ended: Ended(Some(ended)) })
}

/// A way to speak to the driver; clones speak to the same one.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<SweepId>,
    next_session: Arc<AtomicU64>,
}

impl DriverHandle {
    /// Gives an input to the state machine. The answer comes once everything it led to is stored.
    ///
    /// # Errors
    /// The driver ended: whether the input took effect is not known.
    pub async fn apply(&self, input: Input) -> Result<Result<Reply, Refusal>, DriverGone> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Apply { input, reply: Some(reply) }).await?;
        answer.await.map_err(|_| DriverGone)
    }

    /// Gives an input whose answer nobody needs: what there is to say comes over the session.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn post(&self, input: Input) -> Result<(), DriverGone> {
        self.send(Command::Apply { input, reply: None }).await
    }

    /// Looks at the state, after the commit of every input that was given before. `look` holds up
    /// everybody: it must be quick.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn read<T, F>(&self, look: F) -> Result<T, DriverGone>
    where
        T: Send + 'static,
        F: FnOnce(&Coordinator) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let look = move |core: &Coordinator| {
            // The asker may have gone away.
            let _ = reply.send(look(core));
        };
        self.send(Command::Read(Box::new(look))).await?;
        answer.await.map_err(|_| DriverGone)
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
            let (reply, answer) = oneshot::channel();
            self.send(Command::Times { sweep, after, reply }).await?;
            match answer.await.map_err(|_| DriverGone)? {
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

    /// A new connection, and what is to be said on it; it is closed when more than `capacity`
    /// messages wait there. None where there are too many connections.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn open_session(
        &self,
        capacity: usize,
    ) -> Result<Option<(SessionId, mpsc::Receiver<Outgoing>)>, DriverGone> {
        let session = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        // One place more than for messages: the reason of a close always fits.
        let (outbox, receiver) = mpsc::channel(capacity.max(1) + 1);
        let (reply, answer) = oneshot::channel();
        self.send(Command::Open { session, outbox, reply }).await?;
        let accepted = answer.await.map_err(|_| DriverGone)?;
        Ok(accepted.then_some((session, receiver)))
    }

    /// Ends a connection from this side; with a reason, if the other side is to hear one.
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

    /// Closes every connection and takes no new ones.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn close_sessions(&self) -> Result<(), DriverGone> {
        self.send(Command::CloseAll).await
    }

    /// Ends the driver after everything that was given before.
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

    /// The changes of sweeps from now on.
    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    async fn send(&self, command: Command) -> Result<(), DriverGone> {
        self.commands.send(command).await.map_err(|_| DriverGone)
    }
}

/// Says when sweeps change.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<SweepId>);

impl Changes {
    /// Waits until `sweep` may have changed since the last call; several changes count as one.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn of(&mut self, sweep: SweepId) -> Result<(), DriverGone> {
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

    /// Everything said so far is known to the caller, who is about to look.
    fn forget(&mut self) {
        self.0 = self.0.resubscribe();
    }
}
