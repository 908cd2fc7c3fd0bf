//! `WorkerAdminService`: listing and draining workers.

use caviar_common::ids::Name;
use caviar_core::Coordinator;
use caviar_core::input::{Input, Refusal};
use caviar_proto::convert::view::encode_worker;
use caviar_proto::v1;
use caviar_proto::v1::worker_admin_service_server::WorkerAdminService;
use tonic::{Request, Response, Status};

use super::api::{Api, invalid, refused};
use super::pages;
use crate::trust::Caller;

/// Implements `WorkerAdminService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Api);

#[tonic::async_trait]
impl WorkerAdminService for Admin {
    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let v1::ListWorkersRequest { page_size, page_token } = request.into_inner();
        // The token is the name of the last worker on the previous page.
        let after = match page_token.as_str() {
            "" => None,
            token => Some(Name::parse("page_token", token).map_err(invalid)?),
        };
        let length = pages::length(page_size);
        let query = move |core: &Coordinator| core.workers_after(after.as_ref(), length + 1);
        let found = self.0.read(query).await?;
        let workers = pages::fit(found.iter().take(length).map(encode_worker).collect());
        let next = workers.last().filter(|_| workers.len() < found.len());
        let next_page_token = next.map(|last| last.worker.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListWorkersResponse { workers, next_page_token }))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let caller = Caller::of(&request);
        let worker = request.into_inner().worker;
        caller.changes(&worker);
        let name = Name::parse("worker", &worker).map_err(invalid)?;
        self.0.apply(Input::DrainWorker(name.clone())).await?;
        let wanted = name.clone();
        let worker = self.0.read(move |core| core.worker(&wanted)).await?;
        // An idle worker may have left between the two calls.
        let worker = worker.ok_or_else(|| refused(&Refusal::NoSuchWorker(name)))?;
        Ok(Response::new(encode_worker(&worker)))
    }
}
