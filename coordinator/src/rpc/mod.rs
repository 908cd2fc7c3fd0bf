//! `caviar.v1` over gRPC: what comes in is decoded and checked, goes through the driver, and is
//! encoded on its way out.
//!
//! ```text
//! Sweeps, Trials, Workers, Admin (the services) --> Api: driver, shutdown, limits --> DriverHandle
//! ```
//! Nothing here decides anything. Every error leaves through [`caviar_proto::status`].

mod admin;
mod create;
mod importance;
mod lookup;
mod pages;
mod sweeps;
mod trials;
mod watch;
mod workers;

use std::sync::Arc;

use caviar_common::error::{Problem, Problems};
use caviar_common::ids::SweepId;
use caviar_common::view::SweepView;
use caviar_core::Coordinator;
use caviar_core::input::{Input, Refusal};
use caviar_proto::status;
use tokio::sync::{Semaphore, watch as signal};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::driver::{DriverGone, DriverHandle};
pub(crate) use admin::Admin;
pub(crate) use sweeps::Sweeps;
pub(crate) use trials::Trials;
pub(crate) use workers::Workers;

/// Data sets that are read at once.
const MAX_READERS: usize = 2;
/// Forests that grow at once.
const MAX_GROWERS: usize = 1;

/// A stream of answers.
type Answers<T> = ReceiverStream<Result<T, Status>>;

/// What every service needs.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    driver: DriverHandle,
    stopping: signal::Receiver<bool>,
    readers: Arc<Semaphore>,
    growers: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(driver: DriverHandle, stopping: signal::Receiver<bool>) -> Self {
        let [readers, growers] =
            [MAX_READERS, MAX_GROWERS].map(|most| Arc::new(Semaphore::new(most)));
        Self { driver, stopping, readers, growers }
    }

    /// Looks at the state.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Coordinator) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.driver.read(look).await.map_err(gone)
    }

    /// Carries out a request.
    async fn apply(&self, input: Input) -> Result<(), Status> {
        let answer = self.driver.apply(input).await.map_err(gone)?;
        answer.map(|_| ()).map_err(|refusal| refused(&refusal))
    }

    /// The sweep as it is now.
    async fn sweep(&self, id: SweepId) -> Result<SweepView, Status> {
        self.read(move |core| core.sweep(id)).await?.ok_or_else(|| deleted(id))
    }

    /// Waits until the server or the driver is stopping.
    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            // The sender goes away with the server.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.driver.gone() => {}
        }
    }
}

fn gone(error: DriverGone) -> Status {
    status::new(error.class(), error.to_string())
}

fn refused(refusal: &Refusal) -> Status {
    if let Refusal::Wrong(problem) = refusal {
        return invalid(problem.clone());
    }
    status::new(refusal.class(), refusal.to_string())
}

/// What is wrong with a field of a request.
fn invalid(problem: Problem) -> Status {
    status::from_problems(&Problems::from(problem))
}

/// The sweep was there a moment ago.
fn deleted(id: SweepId) -> Status {
    refused(&Refusal::NoSuchSweep(id.to_string()))
}
