//! Requests about workers.

use caviar_common::view::WorkerView;
use caviar_proto::convert::view::decode_worker;
use caviar_proto::v1;

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// The workers that are connected or still hold leases, by name.
    ///
    /// # Errors
    /// The request failed.
    pub async fn list_workers(&self) -> Result<Vec<WorkerView>, Error> {
        let reply = self.workers.clone().list_workers(v1::ListWorkersRequest {}).await;
        let workers = self.reply(reply)?.workers.into_iter();
        workers.map(|wire| decode_worker(wire).map_err(|p| self.unreadable(p))).collect()
    }

    /// Tells a worker to finish the trials that it holds, take no new ones, and exit.
    ///
    /// # Errors
    /// The worker does not exist, or the request failed.
    pub async fn drain_worker(&self, worker: &str) -> Result<WorkerView, Error> {
        let request = v1::DrainWorkerRequest { worker: worker.to_owned() };
        self.decoded(self.workers.clone().drain_worker(request).await, decode_worker)
    }
}
