//! Checkpoints and models on their way between the runners and the place where they are stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caviar_common::backoff::Backoff;
use caviar_common::blob::Blob;
use caviar_common::ids::LeaseId;
use caviar_common::message::{Checkpoint, StoredModel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::agent::{ModelBytes, State};
use crate::checkpoints::{CheckpointError, Checkpoints};
use crate::control::Fetched;

/// How long storing a checkpoint may take: 1 GB at 4 MB/s.
const TIMEOUT: Duration = Duration::from_secs(250);
/// Shortest and longest wait before a checkpoint is fetched again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long fetching a checkpoint may fail. The coordinator may be restarted in the meantime.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a coordinator that answers may fail to store a model. It is shorter than the time after
/// which a training without reports counts as hung.
const MODEL_PATIENCE: Duration = Duration::from_secs(120);
/// How many times a checkpoint is found lost before that is believed.
const MAX_LOST: u32 = 3;

/// A transfer that has ended.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// A checkpoint was stored, or could not be.
    Stored { lease: LeaseId, result: Result<Checkpoint, CheckpointError> },
    /// The model of a completed trial was stored, or could not be.
    ModelStored { lease: LeaseId, result: Result<StoredModel, CheckpointError> },
    /// The checkpoint of a grant was fetched, or could not be.
    Fetched { lease: LeaseId, result: Fetched },
}

/// The transfers that are under way. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Transfers {
    place: Arc<dyn Checkpoints>,
    tasks: JoinSet<Transfer>,
    /// The checkpoints that are being fetched.
    fetches: BTreeMap<LeaseId, AbortHandle>,
}

impl Transfers {
    pub(crate) fn new(place: Arc<dyn Checkpoints>) -> Self {
        Self { place, tasks: JoinSet::new(), fetches: BTreeMap::new() }
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

    /// Stores the model of a completed trial, with retries: without it the result is reported
    /// without a model.
    pub(crate) fn store_model(&mut self, lease: LeaseId, model: ModelBytes) {
        let ModelBytes { epoch, bytes } = model;
        let place = Arc::clone(&self.place);
        self.tasks.spawn(async move {
            let stored = store(&*place, &bytes).await;
            let result = stored.map(|blob| StoredModel { epoch, blob });
            Transfer::ModelStored { lease, result }
        });
    }

    /// Fetches the checkpoint of a grant, with retries.
    pub(crate) fn fetch(&mut self, lease: LeaseId, blob: Blob) {
        let place = Arc::clone(&self.place);
        let task = self.tasks.spawn(async move {
            let result = fetch(&*place, blob).await;
            Transfer::Fetched { lease, result }
        });
        self.fetches.insert(lease, task);
    }

    /// Ends the fetch of a runner that no longer needs it.
    pub(crate) fn stop_fetch(&mut self, lease: LeaseId) {
        if let Some(task) = self.fetches.remove(&lease) {
            task.abort();
        }
    }

    /// The next transfer that ends. Never returns if none is under way. Dropping the future loses
    /// none.
    pub(crate) async fn next(&mut self) -> Transfer {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(transfer)) => {
                    if let Transfer::Fetched { lease, .. } = &transfer {
                        self.fetches.remove(lease);
                    }
                    return transfer;
                }
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => tracing::error!("a transfer of a checkpoint failed: {error}"),
                None => std::future::pending().await,
            }
        }
    }
}

/// Stores a model. The result of the trial waits for it, so it is tried again until a coordinator
/// answers, and then as long as that may help.
async fn store(place: &dyn Checkpoints, bytes: &Arc<Vec<u8>>) -> Result<Blob, CheckpointError> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let mut failing_since = None;
    loop {
        let error = match within_time(place.put(Arc::clone(bytes))).await {
            Ok(blob) => return Ok(blob),
            Err(error) => error,
        };
        match &error {
            CheckpointError::Refused(_) => return Err(error),
            CheckpointError::Unreachable(_) => failing_since = None,
            CheckpointError::Unavailable(_) | CheckpointError::Lost(_) => {
                let since = failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= MODEL_PATIENCE {
                    return Err(error);
                }
            }
        }
        tracing::warn!("storing a model again: {error}");
        sleep(backoff.next(rand::random())).await;
    }
}

/// Fetches a checkpoint. Tries again as long as the coordinator may be back, because a checkpoint
/// that counts as lost is dropped for good.
async fn fetch(place: &dyn Checkpoints, blob: Blob) -> Result<Vec<u8>, CheckpointError> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let (mut failing_since, mut lost) = (None, 0);
    loop {
        let error = match place.get(blob).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let is_over = match &error {
            CheckpointError::Unreachable(_) | CheckpointError::Unavailable(_) => {
                failing_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
            }
            CheckpointError::Lost(_) => {
                lost += 1;
                lost >= MAX_LOST
            }
            CheckpointError::Refused(_) => true,
        };
        if is_over {
            return Err(error);
        }
        tracing::warn!("fetching a checkpoint again: {error}");
        sleep(backoff.next(rand::random())).await;
    }
}

async fn within_time<T>(
    transfer: impl Future<Output = Result<T, CheckpointError>>,
) -> Result<T, CheckpointError> {
    let late = || format!("it took more than {} s", TIMEOUT.as_secs());
    timeout(TIMEOUT, transfer).await.map_err(|_| CheckpointError::Unavailable(late()))?
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use caviar_common::blob::BlobName;
    use futures_core::future::BoxFuture;

    use super::*;

    const BLOB: Blob = Blob { name: BlobName::from_hash([3; 32]), bytes: 2 };

    /// Answers in this order, and then never. What is stored are the bytes of the answer.
    #[derive(Debug)]
    struct Script(Mutex<VecDeque<Result<Vec<u8>, CheckpointError>>>);

    impl Checkpoints for Script {
        fn put(&self, _: Arc<Vec<u8>>) -> BoxFuture<'static, Result<Blob, CheckpointError>> {
            match self.0.lock().unwrap().pop_front() {
                Some(answer) => Box::pin(async move { answer.map(|_| BLOB) }),
                None => Box::pin(std::future::pending()),
            }
        }

        fn get(&self, _: Blob) -> BoxFuture<'static, Result<Vec<u8>, CheckpointError>> {
            match self.0.lock().unwrap().pop_front() {
                Some(answer) => Box::pin(async move { answer }),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn unavailable() -> CheckpointError {
        CheckpointError::Unavailable("no answer".to_owned())
    }

    fn lost() -> CheckpointError {
        CheckpointError::Lost("there is no blob".to_owned())
    }

    fn refused() -> CheckpointError {
        CheckpointError::Refused("no token".to_owned())
    }

    fn transfers(script: impl IntoIterator<Item = Result<Vec<u8>, CheckpointError>>) -> Transfers {
        Transfers::new(Arc::new(Script(Mutex::new(script.into_iter().collect()))))
    }

    async fn fetched(script: Vec<Result<Vec<u8>, CheckpointError>>) -> (Fetched, Duration) {
        let began = Instant::now();
        let mut transfers = transfers(script);
        transfers.fetch(LeaseId(1), BLOB);
        match transfers.next().await {
            Transfer::Fetched { lease: LeaseId(1), result } => (result, began.elapsed()),
            other @ (Transfer::Fetched { .. }
            | Transfer::Stored { .. }
            | Transfer::ModelStored { .. }) => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkpoint_survives_an_outage_of_minutes() {
        let mut script = vec![Err(unavailable()); 50];
        script.push(Ok(b"ok".to_vec()));
        let (result, took) = fetched(script).await;
        assert_eq!(result, Ok(b"ok".to_vec()));
        assert!(took > Duration::from_secs(60), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_checkpoint_that_is_not_there_counts_as_lost() {
        let (result, took) = fetched(vec![Err(unavailable()); 10_000]).await;
        assert_eq!(result, Err(unavailable()));
        assert!(took >= PATIENCE && took < 2 * PATIENCE, "{took:?}");
        assert_eq!(fetched(vec![Err(lost()); 3]).await.0, Err(lost()));
        let once = vec![Err(unavailable()), Err(lost()), Ok(b"ok".to_vec())];
        assert_eq!(fetched(once).await.0, Ok(b"ok".to_vec()));
        assert_eq!(fetched(vec![Err(refused())]).await.0, Err(refused()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_waits_for_a_coordinator_but_not_for_one_that_cannot_store_it() {
        async fn stored(
            script: Vec<Result<Vec<u8>, CheckpointError>>,
        ) -> (Result<StoredModel, CheckpointError>, Duration) {
            let began = Instant::now();
            let mut transfers = transfers(script);
            let bytes = Arc::new(vec![1]);
            transfers.store_model(LeaseId(1), ModelBytes { epoch: 3, bytes });
            match transfers.next().await {
                Transfer::ModelStored { lease: LeaseId(1), result } => (result, began.elapsed()),
                other @ (Transfer::Fetched { .. }
                | Transfer::Stored { .. }
                | Transfer::ModelStored { .. }) => panic!("{other:?}"),
            }
        }
        let unreachable = || CheckpointError::Unreachable("nobody listens".to_owned());
        let mut script = vec![Err(unreachable()); 1_000];
        script.push(Ok(Vec::new()));
        let (result, took) = stored(script).await;
        assert_eq!(result, Ok(StoredModel { epoch: 3, blob: BLOB }));
        assert!(took > PATIENCE, "{took:?}");
        let (result, took) = stored(vec![Err(unavailable()); 1_000]).await;
        assert_eq!(result, Err(unavailable()));
        assert!(took >= MODEL_PATIENCE && took < 2 * MODEL_PATIENCE, "{took:?}");
        assert_eq!(stored(vec![Err(refused())]).await.0, Err(refused()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_ends_with_its_lease() {
        let mut transfers = transfers(vec![Err(unavailable()); 10_000]);
        transfers.fetch(LeaseId(1), BLOB);
        transfers.fetch(LeaseId(2), BLOB);
        transfers.stop_fetch(LeaseId(1));
        let Transfer::Fetched { lease, .. } = transfers.next().await else { panic!("not fetched") };
        assert_eq!(lease, LeaseId(2));
        let other = timeout(2 * PATIENCE, transfers.next()).await;
        assert!(other.is_err(), "{other:?}");
        assert!(transfers.tasks.is_empty() && transfers.fetches.is_empty());
    }
}
