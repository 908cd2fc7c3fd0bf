//! Downloading a blob from the coordinator.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caviar_blob::{Blob, BlobError, Intake};
use caviar_client::{Artifacts, Dialer, Error, SharedDialer};
use caviar_common::backoff::Backoff;
use caviar_common::error::ErrorClass;
use tokio::runtime::Handle;
use tokio::time::{Instant, interval};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest and longest wait before the coordinator is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a download may make no progress. The coordinator may be restarted in the meantime.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most damaged chunks in a row.
const MAX_DAMAGED: u32 = 5;
/// How often a download looks whether it was stopped.
const TICK: Duration = Duration::from_millis(100);

/// Why a blob cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The coordinator refuses, or cannot be reached for a long time.
    #[error("{0}")]
    Client(#[from] Error),
    /// Chunk after chunk is damaged.
    #[error("{0}; it was damaged each time it was fetched")]
    Damaged(BlobError),
    /// What was fetched cannot be written.
    #[error("{0}")]
    Write(io::Error),
    /// The trial that needs the blob was stopped.
    #[error("the trial was stopped while its data was fetched")]
    Stopped,
}

impl From<BlobError> for FetchError {
    fn from(error: BlobError) -> Self {
        if let BlobError::Io(error) = error { Self::Write(error) } else { Self::Damaged(error) }
    }
}

/// Downloads blobs, each over a connection of its own. A long transfer then delays no heartbeat.
#[derive(Debug)]
pub(crate) struct Fetcher {
    runtime: Handle,
    dialer: SharedDialer,
}

impl Fetcher {
    /// Uses the runtime that this is called in.
    pub(crate) fn new(dialer: SharedDialer) -> Self {
        Self { runtime: Handle::current(), dialer }
    }

    /// Fetches a blob and writes its verified chunks to `out`. Blocks; it must be called on a
    /// thread that is not one of the runtime's. Calls `alive` many times a second.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) fn fetch<W: Write>(
        &self,
        blob: Blob,
        out: W,
        stopped: &AtomicBool,
        alive: &mut dyn FnMut(),
    ) -> Result<W, FetchError> {
        self.runtime.block_on(async {
            let mut ticks = interval(TICK);
            let mut work = std::pin::pin!(self.fetch_with_retries(blob, out));
            loop {
                tokio::select! {
                    fetched = &mut work => return fetched,
                    _ = ticks.tick() => {
                        alive();
                        if stopped.load(Ordering::Relaxed) {
                            return Err(FetchError::Stopped);
                        }
                    }
                }
            }
        })
    }

    async fn fetch_with_retries<W: Write>(&self, blob: Blob, out: W) -> Result<W, FetchError> {
        let mut transfer = Transfer::Waiting(out);
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let (mut furthest, mut since, mut damaged) = (0, Instant::now(), 0);
        loop {
            let dialer = self.dialer.current();
            let error = match self.attempt(&dialer, blob, &mut transfer).await {
                Ok(()) => return transfer.finish(blob),
                Err(error) => error,
            };
            if transfer.offset() > furthest {
                (furthest, since, damaged) = (transfer.offset(), Instant::now(), 0);
                backoff.reset();
            }
            let is_over = match &error {
                FetchError::Damaged(_) => damaged >= MAX_DAMAGED,
                FetchError::Client(error) if since.elapsed() < PATIENCE => {
                    !may_pass(error) && !self.has_another(&dialer).await
                }
                FetchError::Client(_) => true,
                FetchError::Write(_) | FetchError::Stopped => true,
            };
            if is_over {
                return Err(error);
            }
            damaged += u32::from(matches!(error, FetchError::Damaged(_)));
            tracing::warn!(
                fetched = transfer.offset(),
                "fetching the data was interrupted, trying again: {error}"
            );
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// True if the join string has changed since this dialer was made.
    async fn has_another(&self, dialer: &Dialer) -> bool {
        matches!(self.dialer.find_again(dialer).await, Ok(Some(_)))
    }

    /// Continues the transfer to its end.
    async fn attempt<W: Write>(
        &self,
        dialer: &Dialer,
        blob: Blob,
        transfer: &mut Transfer<W>,
    ) -> Result<(), FetchError> {
        let artifacts = Artifacts::connect(dialer, CONNECT_TIMEOUT).await?;
        let mut download = artifacts.download(blob, transfer.offset()).await?;
        let intake = transfer.begin(&download)?;
        while let Some((offset, chunk)) = download.next().await? {
            intake.push(offset, &chunk)?;
        }
        if intake.is_complete() {
            return Ok(());
        }
        let Blob { name, bytes } = blob;
        let short = BlobError::Short { name, found: intake.offset(), expected: bytes };
        Err(FetchError::Damaged(short))
    }
}

/// Whether the coordinator may serve the blob later.
const fn may_pass(error: &Error) -> bool {
    matches!(error.class(), ErrorClass::Unavailable | ErrorClass::Busy | ErrorClass::Stale)
}

/// What has arrived.
enum Transfer<W> {
    /// Nothing, because the hashes of the chunks are not known yet.
    Waiting(W),
    /// The chunks up to an offset.
    Running(Intake<W>),
    /// Only inside [`Transfer::begin`].
    Moved,
}

impl<W: Write> Transfer<W> {
    fn offset(&self) -> u64 {
        match self {
            Self::Running(intake) => intake.offset(),
            Self::Waiting(_) | Self::Moved => 0,
        }
    }

    fn begin(&mut self, download: &caviar_client::Download) -> Result<&mut Intake<W>, FetchError> {
        if let Self::Waiting(_) = self
            && let Self::Waiting(out) = std::mem::replace(self, Self::Moved)
        {
            *self = Self::Running(Intake::new(download.outline().clone(), out));
        }
        match self {
            Self::Running(intake) => Ok(intake),
            Self::Waiting(_) | Self::Moved => Err(FetchError::Stopped),
        }
    }

    fn finish(self, blob: Blob) -> Result<W, FetchError> {
        let Blob { name, bytes } = blob;
        match self {
            Self::Running(intake) => intake.finish().map_err(FetchError::Damaged),
            Self::Waiting(_) | Self::Moved => {
                Err(FetchError::Damaged(BlobError::Short { name, found: 0, expected: bytes }))
            }
        }
    }
}
