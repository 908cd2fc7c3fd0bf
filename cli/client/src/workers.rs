//! Requests about workers: the methods of the typed client.

use caviar_common::limits::MAX_PAGE;
use caviar_common::numbers::to_u32;
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
            let (mut workers, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = v1::ListWorkersRequest { page_size: to_u32(MAX_PAGE), page_token };
                let reply = self.workers.clone().list_workers(request).await;
                let v1::ListWorkersResponse { workers: page, next_page_token } =
                    self.reply(reply)?;
                for wire in page {
                    workers.push(decode_worker(wire).map_err(|p| self.unreadable(p))?);
                }
                if next_page_token.is_empty() {
                    return Ok(workers);
                }
                page_token = next_page_token;
            }
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
