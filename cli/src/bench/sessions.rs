//! The sessions of all simulated workers, with a task for each.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::load::Load;
use super::route::Route;
use super::session::Session;
use super::statistics::Tally;
use super::worker::Worker;

/// Sessions that are being opened at the same time. The queue of a listener holds 1,024
/// connections.
const OPENING: usize = 64;

/// The sessions. Dropping them closes their connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Each ends with its worker, unless that was never accepted.
    tasks: JoinSet<Option<Worker>>,
    failures: mpsc::UnboundedReceiver<anyhow::Error>,
}

impl Sessions {
    /// Opens a session for every worker. They count in `tally`.
    pub(crate) fn open(route: &Route, load: &Load, tally: &Arc<Tally>) -> Self {
        let (failed, failures) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(OPENING));
        let opener = Opener { route: route.clone(), permits, tally: Arc::clone(tally) };
        let mut tasks = JoinSet::new();
        let schedule = load.schedule();
        for number in 0..load.workers {
            let (opener, failed) = (opener.clone(), failed.clone());
            let name = format!("bench-{number}");
            let worker = Worker::new(name.clone(), load.slots, schedule.clone());
            tasks.spawn(async move {
                let (worker, ended) = match opener.open(worker).await {
                    Ok(session) => {
                        let (worker, ended) = session.serve().await;
                        (Some(worker), ended)
                    }
                    Err(error) => (None, error),
                };
                // The receiver is gone once the sessions are expected to end.
                let _unheard = failed.send(ended.context(format!("worker {name}")));
                worker
            });
        }
        Self { tasks, failures }
    }

    /// Why the first session that has ended did so; `None` while all are open.
    pub(crate) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failures.try_recv().ok()
    }

    /// Waits until every session has ended, because the coordinator was killed. Returns the workers
    /// with what they hold.
    pub(crate) async fn ended(self) -> anyhow::Result<Vec<Worker>> {
        let Self { mut tasks, failures } = self;
        drop(failures);
        let mut workers = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            workers.extend(ended.context("a task of a session panicked")?);
        }
        Ok(workers)
    }
}

/// Opens sessions, a few of them at the same time.
#[derive(Clone, Debug)]
struct Opener {
    route: Route,
    permits: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Opener {
    async fn open(self, worker: Worker) -> anyhow::Result<Session> {
        let _permit = self.permits.acquire().await?;
        Session::open(&self.route, worker, self.tally).await
    }
}
