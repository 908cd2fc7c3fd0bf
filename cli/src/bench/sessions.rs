//! The sessions of all simulated workers, with a task for each.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
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
        let mut tasks = JoinSet::new();
        for number in 0..load.workers {
            let name = format!("bench-{number}");
            let (failed, permits, tally) =
                (failed.clone(), Arc::clone(&permits), Arc::clone(tally));
            let (hello, worker) = (hello(name.clone(), load.slots), Worker::new(load.training()));
            tasks.spawn(async move {
                // The semaphore is never closed.
                let permit = permits.acquire_owned().await;
                let session = Session::open(address, &hello, worker, tally).await;
                drop(hello);
                let (ended, held) = match session {
                    Ok(mut session) => match session.welcomed().await {
                        Ok(()) => {
                            drop(permit);
                            (session.serve().await, session.held())
                        }
                        Err(error) => (error, Vec::new()),
                    },
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
