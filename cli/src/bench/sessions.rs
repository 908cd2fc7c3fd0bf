//! The sessions of all simulated workers, with a task for each.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use caviar_proto::v1;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::load::Load;
use super::session::{Session, hello};
use super::statistics::Tally;
use super::worker::{Held, Worker};

/// Sessions that are being opened at the same time. The queue of a listener holds 1,024
/// connections.
const OPENING: usize = 64;

/// The sessions. Dropping them closes their connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    tasks: JoinSet<Vec<Held>>,
    failures: mpsc::UnboundedReceiver<anyhow::Error>,
}

impl Sessions {
    /// Opens a session for every worker. They count in `tally`.
    pub(crate) fn open(address: SocketAddr, load: &Load, tally: &Arc<Tally>) -> Self {
        let (failed, failures) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(OPENING));
        let opener = Opener { address, permits, tally: Arc::clone(tally) };
        let mut tasks = JoinSet::new();
        for number in 0..load.workers {
            let (opener, failed) = (opener.clone(), failed.clone());
            let (name, slots) = (format!("bench-{number}"), load.slots);
            let worker = Worker::new(load.training());
            tasks.spawn(async move {
                let (ended, held) = match opener.open(hello(name.clone(), slots), worker).await {
                    Ok(mut session) => (session.serve().await, session.held()),
                    Err(error) => (error, Vec::new()),
                };
                // The receiver is gone once the sessions are expected to end.
                let _unheard = failed.send(ended.context(format!("worker {name}")));
                held
            });
        }
        Self { tasks, failures }
    }

    /// Why the first session that has ended did so; `None` while all are open.
    pub(crate) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failures.try_recv().ok()
    }

    /// Waits until every session has ended, because the coordinator was killed. Returns the trials
    /// that were in training.
    pub(crate) async fn ended(self) -> anyhow::Result<Vec<Held>> {
        let Self { mut tasks, failures } = self;
        drop(failures);
        let mut held = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            held.extend(ended.context("a task of a session panicked")?);
        }
        Ok(held)
    }
}

/// Opens sessions, a few of them at the same time.
#[derive(Clone, Debug)]
struct Opener {
    address: SocketAddr,
    permits: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Opener {
    /// Opens a session and waits until the coordinator has accepted the worker.
    async fn open(self, hello: v1::WorkerMessage, worker: Worker) -> anyhow::Result<Session> {
        let _permit = self.permits.acquire().await?;
        let mut session = Session::open(self.address, &hello, worker, self.tally).await?;
        session.welcomed().await?;
        Ok(session)
    }
}
