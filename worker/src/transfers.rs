//! Checkpoints on their way between the runners and the place where they are stored.

use std::sync::Arc;
use std::time::Duration;

use caviar_common::blob::Blob;
use caviar_common::ids::LeaseId;
use caviar_common::message::Checkpoint;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::agent::State;
use crate::checkpoints::{CheckpointError, Checkpoints};
use crate::control::Fetched;

/// How long one transfer may take: 1 GB at 4 MB/s.
const TIMEOUT: Duration = Duration::from_secs(250);
/// Pauses before the second and the third try to fetch a checkpoint.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// A transfer that has ended.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// A checkpoint was stored, or could not be.
    Stored { lease: LeaseId, result: Result<Checkpoint, CheckpointError> },
    /// The checkpoint of a grant was fetched, or could not be.
    Fetched { lease: LeaseId, result: Fetched },
}

/// The transfers that are under way. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Transfers {
    place: Arc<dyn Checkpoints>,
    tasks: JoinSet<Transfer>,
}

impl Transfers {
    pub(crate) fn new(place: Arc<dyn Checkpoints>) -> Self {
        Self { place, tasks: JoinSet::new() }
    }

    /// Stores a checkpoint.
    pub(crate) fn store(&mut self, lease: LeaseId, state: State) {
        let State { epoch, batch, bytes } = state;
        let put = self.place.put(bytes);
        self.tasks.spawn(async move {
            let result = within_time(put).await;
            let result = result.map(|blob| Checkpoint { epoch, batch, blob });
            Transfer::Stored { lease, result }
        });
    }

    /// Fetches the checkpoint of a grant, with a few tries.
    pub(crate) fn fetch(&mut self, lease: LeaseId, blob: Blob) {
        let place = Arc::clone(&self.place);
        self.tasks.spawn(async move {
            let result = fetch(&*place, blob).await;
            let result = result.map_err(|error| format!("no checkpoint: {error}"));
            Transfer::Fetched { lease, result }
        });
    }

    /// The next transfer that ends. Never returns if none is under way. Dropping the future loses
    /// none.
    pub(crate) async fn next(&mut self) -> Transfer {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(transfer)) => return transfer,
                Some(Err(error)) => tracing::error!("a transfer of a checkpoint failed: {error}"),
                None => std::future::pending().await,
            }
        }
    }
}

async fn fetch(place: &dyn Checkpoints, blob: Blob) -> Result<Vec<u8>, CheckpointError> {
    for pause in PAUSES {
        match within_time(place.get(blob)).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => tracing::warn!("fetching a checkpoint again: {error}"),
        }
        sleep(pause).await;
    }
    within_time(place.get(blob)).await
}

async fn within_time<T>(
    transfer: impl Future<Output = Result<T, CheckpointError>>,
) -> Result<T, CheckpointError> {
    let late = |_| CheckpointError(format!("it took more than {} s", TIMEOUT.as_secs()));
    timeout(TIMEOUT, transfer).await.map_err(late)?
}
