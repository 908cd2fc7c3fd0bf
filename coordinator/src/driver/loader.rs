//! Sweeps that have ended: the driver leaves what they do not need in the store, and loads it when
//! an input needs it.
//!
//! ```text
//! Snapshot is saved --> Loader::unload
//! input that needs a sweep --waits--> Loader::wait --job--> loader thread
//!        hear it <-- Loader::loaded <-- Command::Loaded <-------'
//! ```
//! Loading takes seconds for a million trials, so it is done on a thread of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{io, thread};

use caviar_common::ids::SweepId;
use caviar_core::Coordinator;
use caviar_core::snapshot::{LoadJob, LoadedSweep};
use tokio::sync::mpsc::WeakSender;

use super::command::Command;
use crate::store::StoreError;
use crate::store::query::Readers;

/// How many sweeps stay in memory after they were loaded. Requests for the same sweep often follow
/// each other; chosen, not measured.
const MOST_LOADED: usize = 4;

/// Which sweeps can be unloaded, and what waits for one.
#[derive(Debug)]
pub(super) struct Loader {
    jobs: Sender<LoadJob>,
    waiting: BTreeMap<SweepId, Vec<Command>>,
    /// The sweeps that have ended and are in the snapshot, but are still in memory.
    ended: BTreeSet<SweepId>,
    /// The sweeps that were loaded, the latest last.
    loaded: VecDeque<SweepId>,
}

impl Loader {
    /// Starts the thread, which replies to `driver`. It ends when the loader is dropped.
    ///
    /// # Errors
    /// The system does not start a thread.
    pub(super) fn start(
        readers: Option<Arc<dyn Readers>>,
        driver: WeakSender<Command>,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = thread::Builder::new().name("loader".to_owned());
        thread.spawn(move || serve(&queue, readers.as_deref(), &driver))?;
        let (waiting, ended, loaded) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Ok(Self { jobs, waiting, ended, loaded })
    }

    /// Keeps a command until a sweep is loaded.
    pub(super) fn wait(&mut self, core: &Coordinator, sweep: SweepId, command: Command) {
        let waiting = self.waiting.entry(sweep).or_default();
        if waiting.is_empty()
            && let Some(job) = core.load_job(sweep)
        {
            // The thread holds the other end until this loader is dropped.
            drop(self.jobs.send(job));
        }
        waiting.push(command);
    }

    /// Adds what was loaded to the state. Returns the commands that waited for it.
    pub(super) fn loaded(&mut self, core: &mut Coordinator, loaded: LoadedSweep) -> Vec<Command> {
        let sweep = loaded.sweep();
        core.load(loaded);
        self.loaded.push_back(sweep);
        if self.loaded.len() > MOST_LOADED {
            self.ended.extend(self.loaded.pop_front());
        }
        self.take(sweep)
    }

    /// The commands that wait for a sweep.
    pub(super) fn take(&mut self, sweep: SweepId) -> Vec<Command> {
        self.waiting.remove(&sweep).unwrap_or_default()
    }

    /// Forgets that a sweep had ended: it was extended, so it stays in memory.
    pub(super) fn reopen(&mut self, sweep: SweepId) {
        self.ended.remove(&sweep);
        self.loaded.retain(|loaded| *loaded != sweep);
    }

    /// Unloads sweeps that have ended. The saved snapshot has their end.
    pub(super) fn unload(&mut self, core: &mut Coordinator, saved: Vec<SweepId>) {
        self.ended.extend(saved);
        // One for which a client still waits is unloaded later.
        self.ended.retain(|sweep| !core.unload(*sweep) && core.record().sweep(*sweep).is_some());
    }
}

fn serve(jobs: &Receiver<LoadJob>, readers: Option<&dyn Readers>, driver: &WeakSender<Command>) {
    for job in jobs {
        let sweep = job.sweep();
        let loaded = load(readers, job).map(Box::new);
        let Some(driver) = driver.upgrade() else { return };
        if driver.blocking_send(Command::Loaded((sweep, loaded))).is_err() {
            return;
        }
    }
}

/// Loads a sweep over a connection of its own.
fn load(readers: Option<&dyn Readers>, job: LoadJob) -> Result<LoadedSweep, StoreError> {
    let Some(readers) = readers else {
        let (place, detail) = ("the snapshot".to_owned(), "this store keeps none".to_owned());
        return Err(StoreError::Corrupt { place, detail });
    };
    readers.open()?.load(job)
}
