//! The two threads that own the state machine and the store.
//!
//! ```text
//! DriverHandle::{apply, post, read}
//!     --bounded queue--> Engine (driver): several steps make a batch
//!                           --bounded--> Committer: one commit, then replies, messages and views
//!     Outgoing <--bounded outbox-- Sessions
//!     Sweeps   <--views of changed sweeps--
//! DriverHandle::query --> Reads: a few connections that read the store
//! Engine <--> SamplerPool, Loader: threads that sample trials and load sweeps that have ended
//! ```
//! Nothing is sent before the commit of the events that led to it. The driver decides the next
//! batch while the committer stores the last one. Neither waits for a slow reader: a session whose
//! outbox is full is closed. A failed commit or a broken invariant ends both threads, and every
//! waiting request fails.

mod batch;
mod checkpoints;
mod command;
mod committer;
mod engine;
mod loader;
mod log;
mod published;
mod reads;
mod samplers;
mod sessions;
mod snapshots;
mod views;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use caviar_common::error::ErrorClass;
use caviar_common::ids::{SessionId, SweepId};
use caviar_core::input::{ClientReply, Config, Input, Refusal, Reply, WaiterId};
use caviar_core::snapshot::Written;
use caviar_core::{Broken, Coordinator, Replay};
use tokio::sync::{mpsc, oneshot};

use crate::store::query::{Reader, Readers};
use crate::store::{Events, Store, StoreError};
use batch::{Batch, Delivery};
use command::{Command, Queue};
use committer::Committer;
use engine::{Engine, Halted, LostSessions, UnderWay};
use loader::Loader;
pub use published::{Published, Sweeps, Watcher};
use reads::ReadError;
use reads::Reads;
use samplers::SamplerPool;
pub use sessions::{CloseReason, Outgoing};
pub use snapshots::SnapshotPolicy;
use snapshots::{Progress, Snapshots};
use views::Views;

/// Commands that may wait in the queue; a sender of more waits. Chosen, not measured.
const QUEUE: usize = 4_096;

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

/// Batches that may wait for the committer while it stores another one.
const BATCHES_AHEAD: usize = 1;

/// Reads the store, recovers the state and starts the threads. Blocks while it reads the store.
///
/// # Errors
/// The store cannot be read, or its events do not fit together.
pub fn start(config: Config, store: Box<dyn Store>) -> Result<Driver, DriverError> {
    start_with(config, store, SnapshotPolicy::default())
}

/// As [`start`], with snapshots at other times.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    config: Config,
    mut store: Box<dyn Store>,
    policy: SnapshotPolicy,
) -> Result<Driver, DriverError> {
    let recovered = recover(config, store.as_mut(), policy)?;
    let reads = store.readers().map(|readers| Arc::new(Reads::new(readers)));
    let (commands, queue) = mpsc::channel(QUEUE);
    let (end, ended) = oneshot::channel();
    let sweeps = Arc::new(Sweeps::default());
    let handle = DriverHandle {
        commands,
        sweeps: Arc::clone(&sweeps),
        reads: reads.clone(),
        next_session: Arc::new(AtomicU64::new(1)),
        next_waiter: Arc::new(AtomicU64::new(1)),
    };
    let helpers = helpers(store.readers(), &handle.commands).map_err(DriverError::Thread)?;
    let threads = Threads::new((recovered, helpers), store, &handle, sweeps)?;
    let body = move || {
        let result = threads.run(queue, reads.as_deref());
        // The receiver may be gone.
        let _ = end.send(result);
    };
    thread::Builder::new().name("driver".to_owned()).spawn(body).map_err(DriverError::Thread)?;
    Ok(Driver { handle, ended: Ended(Some(ended)) })
}

/// The threads that work for the driver's thread.
type Helpers = (SamplerPool, Loader);

fn helpers(
    readers: Option<Arc<dyn Readers>>,
    commands: &mpsc::Sender<Command>,
) -> io::Result<Helpers> {
    let samplers = SamplerPool::start(commands.downgrade())?;
    Ok((samplers, Loader::start(readers, commands.downgrade())?))
}

/// What the two threads of a driver run.
struct Threads {
    engine: Engine,
    committer: Committer,
    batches: std::sync::mpsc::Receiver<Batch>,
}

impl Threads {
    fn new(
        (recovered, helpers): (Recovered, Helpers),
        store: Box<dyn Store>,
        handle: &DriverHandle,
        sweeps: Arc<Sweeps>,
    ) -> Result<Self, DriverError> {
        let Recovered { core, progress, written } = recovered;
        let views = Views::new(&core, &sweeps);
        let (sender, batches) = std::sync::mpsc::sync_channel(BATCHES_AHEAD);
        let place = (store.position(), store.read_only_path().map(Path::to_owned));
        let (lost, under_way) = (LostSessions::default(), UnderWay::default());
        let driver = handle.commands.downgrade();
        let snapshots = Snapshots::start(written, progress.under_way())?;
        let shared = (lost.clone(), under_way.clone(), snapshots);
        let committer = Committer::new(store, sweeps, shared, driver);
        let shared = (lost, under_way, helpers);
        let engine = Engine::new((core, progress), views, sender, place, shared);
        Ok(Self { engine, committer, batches })
    }

    /// Runs the driver on this thread, and the committer on another one, until both have ended.
    /// The store is released then.
    fn run(self, queue: mpsc::Receiver<Command>, reads: Option<&Reads>) -> Result<(), DriverError> {
        let mut queue = Queue(queue);
        let Self { mut engine, mut committer, batches } = self;
        let body = move || {
            let _ending = committer.ending();
            let result = committer.run(&batches);
            drop(batches);
            (committer, result)
        };
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(body);
        let thread = thread.map_err(DriverError::Thread)?;
        let halted = engine.run(&mut queue.0);
        // What was handed over before is stored, and no more comes.
        drop(engine);
        let committer = thread.join();
        // The connection that is closed last leaves the store in order, so it is the committer's.
        if let Some(reads) = reads {
            reads.close();
        }
        let (committer, stored) = committer.map_err(|_| DriverError::Died)?;
        drop((committer, queue));
        stored?;
        match halted {
            Ok(()) | Err(Halted::CommitterGone) => Ok(()),
            Err(Halted::Broken(error)) => Err(error),
        }
    }
}

/// A coordinator that was restarted.
struct Recovered {
    core: Coordinator,
    progress: Progress,
    /// Which parts of the stored snapshot can stay.
    written: Written,
}

/// The state that the events of a store make: that of the last snapshot, and the events after it.
/// If the snapshot turns out to be damaged, all events are read instead. A sweep with a damaged
/// event, or with one that does not fit, is quarantined, so that the others are served.
fn recover(
    config: Config,
    store: &mut dyn Store,
    policy: SnapshotPolicy,
) -> Result<Recovered, DriverError> {
    let (id, readers) = (store.id(), store.readers());
    if let Some(restored) = store.restore() {
        let (replay, written) = Replay::from_snapshot(config, id, restored);
        let rest = store.load_rest()?;
        match replay_all(replay, rest, readers.as_deref()) {
            Ok((replay, progress)) => return Ok(recovered(replay, progress, written, policy)),
            Err(ReplayError::Store(error)) => return Err(error.into()),
            Err(ReplayError::Snapshot(error)) => {
                tracing::error!("the snapshot cannot be used, so all events are read: {error}");
            }
        }
    }
    let replay = Replay::new(config, id);
    let (replay, progress) = match replay_all(replay, store.load()?, None) {
        Ok(replayed) => replayed,
        Err(ReplayError::Store(error) | ReplayError::Snapshot(error)) => return Err(error.into()),
    };
    Ok(recovered(replay, progress, Written::default(), policy))
}

/// How many events were read, and the sweeps that they are about.
type Read = (u64, BTreeSet<SweepId>);

/// Why events cannot be replayed.
enum ReplayError {
    /// The events cannot be read.
    Store(StoreError),
    /// A part of the snapshot cannot be read that is needed.
    Snapshot(StoreError),
}

/// Applies events. What of a snapshot they need is read too.
fn replay_all(
    mut replay: Replay,
    mut events: Box<dyn Events + '_>,
    readers: Option<&dyn Readers>,
) -> Result<(Replay, Read), ReplayError> {
    let (mut count, mut changed) = (0_u64, BTreeSet::new());
    for event in &mut events {
        let (_, event) = event.map_err(ReplayError::Store)?;
        if let Some((job, readers)) = replay.needs(&event).zip(readers) {
            let loaded = readers.open().and_then(|mut reader| reader.load(job));
            replay.load(loaded.map_err(ReplayError::Snapshot)?);
        }
        changed.insert(event.sweep);
        replay.apply_or_quarantine(&event);
        count += 1;
    }
    for damage in events.damages() {
        let (sweep, reason) = (damage.sweep, damage.clone().into_error().to_string());
        replay.quarantine(sweep, reason);
    }
    Ok((replay, (count, changed)))
}

fn recovered(
    replay: Replay,
    (events, changed): Read,
    written: Written,
    policy: SnapshotPolicy,
) -> Recovered {
    for (sweep, reason) in replay.quarantined() {
        tracing::error!(sweep = sweep.0, "the sweep is damaged and stopped: {reason}");
    }
    let sweeps = replay.record().sweeps().len();
    tracing::debug!(sweeps, events, "recovered");
    let progress = Progress::new(policy, events, changed);
    Recovered { core: replay.finish(0), progress, written }
}

/// Sends commands to the driver. Clones send to the same driver.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    commands: mpsc::Sender<Command>,
    sweeps: Arc<Sweeps>,
    reads: Option<Arc<Reads>>,
    next_session: Arc<AtomicU64>,
    next_waiter: Arc<AtomicU64>,
}

impl DriverHandle {
    /// The number of the next request of an external client. Of the clients that wait for trials,
    /// those with lower numbers get them first.
    pub fn next_waiter(&self) -> WaiterId {
        WaiterId(self.next_waiter.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request of an external client to the state machine. Returns its answer once all
    /// events that it follows from are stored.
    ///
    /// # Errors
    /// The driver ended. The request may have taken effect or not.
    pub async fn ask(
        &self,
        waiter: WaiterId,
        input: Input,
    ) -> Result<Result<ClientReply, Refusal>, DriverGone> {
        self.send_ask(waiter, input).await?.await.map_err(|_| DriverGone)
    }

    /// Sends a request of an external client to the state machine. The receiver gets its answer as
    /// that of [`DriverHandle::ask`]; it fails if the driver ends.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn send_ask(
        &self,
        waiter: WaiterId,
        input: Input,
    ) -> Result<oneshot::Receiver<Result<ClientReply, Refusal>>, DriverGone> {
        let (answer, received) = oneshot::channel();
        self.send(Command::Ask { input, waiter, answer }).await?;
        Ok(received)
    }

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
            let result = view(core);
            // The requester may be gone.
            let deliver: Delivery = Box::new(move || drop(reply.send(result)));
            deliver
        };
        self.send(Command::Read(Box::new(view))).await?;
        received.await.map_err(|_| DriverGone)
    }

    /// Loads a sweep that has ended and is not in memory. It stays there for a while.
    ///
    /// # Errors
    /// The driver ended.
    pub async fn load(&self, sweep: SweepId) -> Result<Result<Reply, Refusal>, DriverGone> {
        let (reply, received) = oneshot::channel();
        self.send(Command::Load { sweep, reply }).await?;
        received.await.map_err(|_| DriverGone)
    }

    /// Reads the store on another thread: everything that was committed before is visible.
    ///
    /// # Errors
    /// The store cannot be read, or too many others read it.
    pub async fn query<T, F>(&self, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        match &self.reads {
            Some(reads) => reads.query(query).await,
            None => Err(ReadError::Unreadable),
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

    /// The sweeps as they were after the last commit.
    pub fn sweeps(&self) -> &Sweeps {
        &self.sweeps
    }

    async fn send(&self, command: Command) -> Result<(), DriverGone> {
        self.commands.send(command).await.map_err(|_| DriverGone)
    }
}
