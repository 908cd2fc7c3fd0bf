//! Requests about workers.

use caviar_common::view::WorkerView;
use caviar_proto::convert::view::decode_worker;
use caviar_proto::v1;

use crate::client::Client;
use crate::error::Request;

impl Client {
    /// The workers that are connected or still hold leases, by name.
    ///
    /// # Errors
    /// The request failed.
    pub fn list_workers(&self) -> Request<'_, Vec<WorkerView>> {
        Box::pin(async move {
            let reply = self.workers.clone().list_workers(v1::ListWorkersRequest {}).await;
            let workers = self.reply(reply)?.workers.into_iter();
            workers.map(|wire| decode_worker(wire).map_err(|p| self.unreadable(p))).collect()
        })
    }

    /// Tells a worker to finish the trials that it holds, take no new ones, and exit.
    ///
    /// # Errors
    /// The worker does not exist, or the request failed.
    pub fn drain_worker<'a>(&'a self, worker: &'a str) -> Request<'a, WorkerView> {
        Box::pin(async move {
            let request = v1::DrainWorkerRequest { worker: worker.to_owned() };
            self.decoded(self.workers.clone().drain_worker(request).await, decode_worker)
        })
    }
}
