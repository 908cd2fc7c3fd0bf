//! What the services share: access to the driver, limits on concurrent work, and statuses.

use std::sync::Arc;

use caviar_common::error::{Problem, Problems};
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::view::{TrialTimes, TrialView};
use caviar_core::Coordinator;
use caviar_core::input::{Input, Refusal};
use caviar_proto::status;
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::artifacts::Artifacts;
use crate::driver::{DriverGone, DriverHandle, Published};
use crate::store::StoreError;
use crate::store::query::{Reader, TrialPage, TrialQuery};

/// Most data sets that are read at once. Reading takes memory in proportion to the file.
const MAX_DATA_READERS: usize = 2;
/// Most requests for importance that are computed at once. Each uses a whole core.
const MAX_IMPORTANCE_JOBS: usize = 1;

/// The messages of a reply that is a stream. It ends at its first error.
pub(super) type ResponseStream<T> = ReceiverStream<Result<T, Status>>;

/// Access to the coordinator for all services. Clones share the driver and the limits.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(super) driver: DriverHandle,
    pub(super) artifacts: Arc<Artifacts>,
    stopping: watch::Receiver<bool>,
    /// Held by each request that reads a data set.
    pub(super) data_permits: Arc<Semaphore>,
    /// Held by each request that computes importance.
    pub(super) importance_permits: Arc<Semaphore>,
}

impl Api {
    /// `stopping` becomes true when the server starts to shut down.
    pub(crate) fn new(
        driver: DriverHandle,
        artifacts: Arc<Artifacts>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            driver,
            artifacts,
            stopping,
            data_permits: Arc::new(Semaphore::new(MAX_DATA_READERS)),
            importance_permits: Arc::new(Semaphore::new(MAX_IMPORTANCE_JOBS)),
        }
    }

    /// Calls `query` with the state on the driver's thread. It blocks all other requests, so it
    /// must be quick.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Coordinator) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.driver.read(query).await.map_err(driver_gone)
    }

    /// Carries out a request and returns after its effects are stored.
    pub(super) async fn apply(&self, input: Input) -> Result<(), Status> {
        let result = self.driver.apply(input).await.map_err(driver_gone)?;
        result.map(|_| ()).map_err(|refusal| refused(&refusal))
    }

    /// The view of a sweep after the last commit.
    pub(super) fn sweep(&self, id: SweepId) -> Result<Arc<Published>, Status> {
        self.driver.sweeps().get(id).ok_or_else(|| sweep_deleted(id))
    }

    /// Reads the store as it was after the last commit, or later.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let result = self.driver.query(query).await;
        result.map_err(|error| status::new(error.class(), error.to_string()))
    }

    /// The trials that a query selects.
    pub(super) async fn trials(
        &self,
        sweep: &Published,
        query: TrialQuery,
    ) -> Result<TrialPage, Status> {
        let mut page = self.query(move |reader| reader.trials(&query)).await?;
        for trial in &mut page.trials {
            trial.parked = sweep.parked.contains(&trial.trial);
        }
        Ok(page)
    }

    /// A trial with its curve, but without its times; `None` if the sweep does not have it.
    pub(super) async fn trial(
        &self,
        sweep: &Published,
        trial: TrialNumber,
    ) -> Result<Option<TrialView>, Status> {
        let id = sweep.view.id;
        let found = self.query(move |reader| reader.trial(id, trial)).await?;
        if found.is_none() && trial.0 < sweep.trials() && self.driver.sweeps().get(id).is_some() {
            let missing = StoreError::Corrupt {
                place: format!("trial {trial} of sweep {id}"),
                detail: "its row is missing".to_owned(),
            };
            return Err(status::new(missing.class(), missing.to_string()));
        }
        Ok(found.map(|view| TrialView {
            parked: sweep.parked.contains(&trial),
            times: TrialTimes::default(),
            ..view
        }))
    }

    /// Waits until the server or the driver is stopping.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            // An error means that the sender was dropped, which happens only when the server ends.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.driver.gone() => {}
        }
    }
}

/// The status of a request that the driver did not carry out because it is stopping.
pub(super) fn driver_gone(error: DriverGone) -> Status {
    status::new(error.class(), error.to_string())
}

/// The status of a request that the coordinator refused.
pub(super) fn refused(refusal: &Refusal) -> Status {
    if let Refusal::Wrong(problem) = refusal {
        return invalid(problem.clone());
    }
    if let Refusal::ForeignLease { .. } = refusal {
        return status::forbidden(refusal.to_string());
    }
    status::new(refusal.class(), refusal.to_string())
}

/// The status of a request with a wrong field.
pub(super) fn invalid(problem: Problem) -> Status {
    status::from_problems(&Problems::from(problem))
}

/// The status for a sweep that was found by name and deleted before it could be read.
pub(super) fn sweep_deleted(id: SweepId) -> Status {
    refused(&Refusal::NoSuchSweep(id.to_string()))
}
