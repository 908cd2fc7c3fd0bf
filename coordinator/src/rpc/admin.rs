//! `WorkerAdminService`: listing and draining workers.

use caviar_common::ids::Name;
use caviar_core::input::{Input, Refusal};
use caviar_proto::convert::view::encode_worker;
use caviar_proto::v1;
use caviar_proto::v1::worker_admin_service_server::WorkerAdminService;
use tonic::{Request, Response, Status};

use super::api::{Api, invalid, refused};

/// Implements `WorkerAdminService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Api);

#[tonic::async_trait]
impl WorkerAdminService for Admin {
    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let workers = self.0.read(caviar_core::Coordinator::workers).await?;
        Ok(Response::new(v1::ListWorkersResponse {
            workers: workers.iter().map(encode_worker).collect(),
        }))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let name = Name::parse("worker", &request.into_inner().worker).map_err(invalid)?;
        self.0.apply(Input::DrainWorker(name.clone())).await?;
        let workers = self.0.read(caviar_core::Coordinator::workers).await?;
        let worker = workers.iter().find(|w| w.worker == name);
        // An idle worker may have left between the two calls.
        let worker = worker.ok_or_else(|| refused(&Refusal::NoSuchWorker(name)))?;
        Ok(Response::new(encode_worker(worker)))
    }
}
