//! Where checkpoints of trainings are stored, and how often they are written.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use caviar_blob::{Blob, BlobError, BlobName, Intake, Outline};
use caviar_client::{Artifacts, Error, SharedDialer, Uploaded};
use caviar_common::error::ErrorClass;
use caviar_common::numbers::to_u64;
use futures_core::future::BoxFuture;
use tokio::time::timeout;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the coordinator may take for the next chunk of a download, of 1 MiB at most.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// A place for checkpoints that other workers can read: the coordinator's artifacts, or a
/// [`MemoryCheckpoints`] in tests.
pub trait Checkpoints: Debug + Send + Sync {
    /// Stores bytes and returns their name, when they are stored durably.
    ///
    /// # Errors
    /// They cannot be stored now. The worker goes on without this checkpoint.
    fn put(&self, bytes: Arc<Vec<u8>>) -> BoxFuture<'static, Result<Blob, CheckpointError>>;

    /// Reads what was stored.
    ///
    /// # Errors
    /// The blob is not there, is damaged, or cannot be read now. The worker tries again as long as
    /// that may help.
    fn get(&self, blob: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>>;
}

/// Why a checkpoint cannot be stored or read, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No coordinator answers. It may be restarted.
    #[error("{0}")]
    Unreachable(String),
    /// It may be possible later: the coordinator is busy, or cannot write or read now.
    #[error("{0}")]
    Unavailable(String),
    /// It is not there, or its bytes are not those that were stored.
    #[error("{0}")]
    Lost(String),
    /// It is not possible from this worker.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for CheckpointError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if matches!(error, Error::Unreachable { .. } | Error::NoReply { .. }) {
            return Self::Unreachable(text);
        }
        match error.class() {
            ErrorClass::Unavailable | ErrorClass::Busy | ErrorClass::Stale => {
                Self::Unavailable(text)
            }
            ErrorClass::NotFound | ErrorClass::Corrupt => Self::Lost(text),
            ErrorClass::Invalid
            | ErrorClass::Exists
            | ErrorClass::Refused
            | ErrorClass::Internal => Self::Refused(text),
        }
    }
}

impl From<BlobError> for CheckpointError {
    fn from(error: BlobError) -> Self {
        Self::Lost(error.to_string())
    }
}

/// When a worker writes checkpoints, and where it stores them.
#[derive(Clone, Debug)]
pub struct CheckpointConfig {
    /// Where they are stored; `None` for the artifacts of the coordinator.
    pub place: Option<Arc<dyn Checkpoints>>,
    /// Training time between two checkpoints of a trial. A trial that is expected to train for less
    /// than twice as long gets none.
    pub every: Duration,
}

impl CheckpointConfig {
    /// The default of [`Self::every`]. A checkpoint takes about 2 ms per MB to write
    /// (`caviar-nn`, example `checkpoints`), so even one of 1 GB costs less than a tenth of it.
    pub const EVERY: Duration = Duration::from_secs(30);
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { place: None, every: Self::EVERY }
    }
}

/// Checkpoints among the artifacts of a coordinator. Each transfer has a connection of its own, so
/// that it delays no heartbeat.
#[derive(Debug)]
pub(crate) struct ArtifactCheckpoints {
    dialer: SharedDialer,
}

impl ArtifactCheckpoints {
    pub(crate) const fn new(dialer: SharedDialer) -> Self {
        Self { dialer }
    }
}

impl Checkpoints for ArtifactCheckpoints {
    fn put(&self, bytes: Arc<Vec<u8>>) -> BoxFuture<'static, Result<Blob, CheckpointError>> {
        let dialer = self.dialer.current();
        Box::pin(async move {
            let outline = Outline::of(&*bytes)?;
            let artifacts = Artifacts::connect(&dialer, CONNECT_TIMEOUT).await?;
            match artifacts.upload(&outline, &*bytes).await? {
                Uploaded::WasThere | Uploaded::Sent => Ok(outline.blob()),
                Uploaded::NotSupported => {
                    Err(CheckpointError::Refused("the coordinator keeps no artifacts".to_owned()))
                }
            }
        })
    }

    fn get(&self, blob: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>> {
        let dialer = self.dialer.current();
        Box::pin(async move {
            let late = |_| CheckpointError::Unavailable("the coordinator sends nothing".to_owned());
            let artifacts = Artifacts::connect(&dialer, CONNECT_TIMEOUT).await?;
            let begun = timeout(CHUNK_TIMEOUT, artifacts.download(blob, 0));
            let mut download = begun.await.map_err(late)??;
            let mut intake = Intake::new(download.outline().clone(), Vec::new());
            while let Some((offset, chunk)) =
                timeout(CHUNK_TIMEOUT, download.next()).await.map_err(late)??
            {
                intake.push(offset, &chunk)?;
            }
            Ok(intake.finish()?)
        })
    }
}

/// Checkpoints in memory, for the workers of one process.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpoints {
    blobs: Arc<Mutex<BTreeMap<BlobName, Arc<Vec<u8>>>>>,
}

impl MemoryCheckpoints {
    /// The number of checkpoints that are stored.
    pub fn count(&self) -> usize {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Replaces the bytes of every stored checkpoint, as a damaged disk would.
    pub fn damage(&self) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.values_mut().for_each(|bytes| *bytes = Arc::new(b"damaged".to_vec()));
    }
}

impl Checkpoints for MemoryCheckpoints {
    fn put(&self, bytes: Arc<Vec<u8>>) -> BoxFuture<'static, Result<Blob, CheckpointError>> {
        let name = BlobName::from_hash(*blake3::hash(&bytes).as_bytes());
        let blob = Blob { name, bytes: to_u64(bytes.len()) };
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(name, bytes);
        Box::pin(async move { Ok(blob) })
    }

    fn get(&self, blob: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = blobs.get(&blob.name).map(|bytes| bytes.to_vec());
        let missing = || CheckpointError::Lost(format!("there is no blob {}", blob.name));
        let found = bytes.ok_or_else(missing);
        Box::pin(async move { found })
    }
}
