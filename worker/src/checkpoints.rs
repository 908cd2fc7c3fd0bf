//! Where checkpoints of trainings are stored, and how often they are written.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use caviar_blob::{Blob, BlobName, Intake, Outline};
use caviar_client::{Artifacts, SharedDialer, Uploaded};
use caviar_common::numbers::to_u64;
use futures_core::future::BoxFuture;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The blob is not there, is damaged, or cannot be read now. The worker tries a few times.
    fn get(&self, blob: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>>;
}

/// Why a checkpoint cannot be stored or read, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckpointError(pub String);

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
            let outline = Outline::of(&*bytes).map_err(failed)?;
            let artifacts = Artifacts::connect(&dialer, CONNECT_TIMEOUT).await.map_err(failed)?;
            match artifacts.upload(&outline, &*bytes).await.map_err(failed)? {
                Uploaded::WasThere | Uploaded::Sent => Ok(outline.blob()),
                Uploaded::NotSupported => {
                    Err(CheckpointError("the coordinator keeps no artifacts".to_owned()))
                }
            }
        })
    }

    fn get(&self, blob: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>> {
        let dialer = self.dialer.current();
        Box::pin(async move {
            let artifacts = Artifacts::connect(&dialer, CONNECT_TIMEOUT).await.map_err(failed)?;
            let mut download = artifacts.download(blob, 0).await.map_err(failed)?;
            let mut intake = Intake::new(download.outline().clone(), Vec::new());
            while let Some((offset, chunk)) = download.next().await.map_err(failed)? {
                intake.push(offset, &chunk).map_err(failed)?;
            }
            intake.finish().map_err(failed)
        })
    }
}

fn failed(error: impl Display) -> CheckpointError {
    CheckpointError(error.to_string())
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
        let missing = || CheckpointError(format!("there is no blob {}", blob.name));
        let found = bytes.ok_or_else(missing);
        Box::pin(async move { found })
    }
}
