//! Taking snapshots while the coordinator serves.
//!
//! ```text
//! driver: Progress::capture --in a batch--> committer: mark, after the commit of the batch
//!                                              --> snapshot thread: encode
//!   Progress::take_saved <-- committer: save_some <---'
//! ```
//! A capture takes the driver about a millisecond. The encoding, which may take a tenth of a second
//! with ten thousand trials in flight, is done on a thread of its own. The committer saves the
//! result in small steps between batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use caviar_common::ids::SweepId;
use caviar_core::Coordinator;
use caviar_core::event::Event;
use caviar_core::snapshot::{Capture, Written};
use caviar_core::state::Sweep;

use super::DriverError;
use crate::store::{Mark, Snapshot, Store, StoreError};

/// When snapshots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// After this many events since the last one.
    pub every: u64,
    /// When the coordinator ends, if there were this many events since the last one.
    pub at_end: u64,
}

impl Default for SnapshotPolicy {
    /// A restart applies about 200,000 events in a second. Both were chosen, not measured.
    fn default() -> Self {
        Self { every: 200_000, at_end: 10_000 }
    }
}

/// What has happened since the last capture.
#[derive(Debug)]
pub(super) struct Progress {
    policy: SnapshotPolicy,
    events: u64,
    changed: BTreeSet<SweepId>,
    /// True from a capture until its snapshot is saved.
    is_under_way: Arc<AtomicBool>,
    /// The changed sweeps that had ended at the last capture.
    ended: Vec<SweepId>,
}

impl Progress {
    /// The events since the snapshot from which the coordinator started, and their sweeps.
    pub(super) fn new(policy: SnapshotPolicy, events: u64, changed: BTreeSet<SweepId>) -> Self {
        Self { policy, events, changed, is_under_way: Arc::default(), ended: Vec::new() }
    }

    /// Counts the events of a batch, after which a capture may be due. `None` if it is not.
    pub(super) fn capture(
        &mut self,
        core: &Coordinator,
        events: &[Event],
        is_last: bool,
    ) -> Option<Capture> {
        self.events += caviar_common::numbers::to_u64(events.len());
        self.changed.extend(events.iter().map(|event| event.sweep));
        let is_under_way = self.is_under_way.load(Ordering::Acquire);
        let is_due = match is_last {
            true => self.events >= self.policy.at_end,
            false => self.events >= self.policy.every && !is_under_way,
        };
        is_due.then_some(())?;
        let capture = core.capture(self.changed.iter().copied())?;
        self.is_under_way.store(true, Ordering::Release);
        self.events = 0;
        let changed = std::mem::take(&mut self.changed).into_iter();
        let has_ended = |id: &SweepId| core.record().sweep(*id).is_some_and(Sweep::has_ended);
        self.ended.extend(changed.filter(has_ended));
        Some(capture)
    }

    /// Forgets that a sweep had ended: it was extended. What the snapshot has of it is outdated.
    pub(super) fn reopen(&mut self, sweep: SweepId) {
        self.ended.retain(|ended| *ended != sweep);
    }

    /// The sweeps that had ended when they were captured, once their snapshot is saved.
    pub(super) fn take_saved(&mut self) -> Vec<SweepId> {
        match self.is_under_way.load(Ordering::Acquire) {
            true => Vec::new(),
            false => std::mem::take(&mut self.ended),
        }
    }

    pub(super) fn under_way(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_under_way)
    }
}

/// The committer's side: the thread that encodes, and what it has encoded.
pub(super) struct Snapshots {
    captures: Option<Sender<(Capture, Mark)>>,
    encoded: Receiver<Snapshot>,
    thread: Option<JoinHandle<()>>,
    is_under_way: Arc<AtomicBool>,
    /// True while a snapshot is being written.
    is_saving: bool,
    /// True once the stored snapshot is known to be damaged. The next one is taken after a restart.
    is_forgotten: bool,
}

impl Snapshots {
    /// Starts the thread. `written` are the parts that the store has.
    pub(super) fn start(
        mut written: Written,
        is_under_way: Arc<AtomicBool>,
    ) -> Result<Self, DriverError> {
        let (captures, received) = channel::<(Capture, Mark)>();
        let (sender, encoded) = channel();
        let body = move || {
            for (capture, mark) in received {
                match capture.encode(&mut written) {
                    // The committer may have ended.
                    Ok(encoded) => drop(sender.send(Snapshot { mark, encoded })),
                    Err(broken) => tracing::error!("no snapshot is taken any more: {broken}"),
                }
            }
        };
        let thread = thread::Builder::new().name("snapshots".to_owned()).spawn(body);
        let thread = Some(thread.map_err(DriverError::Thread)?);
        let (captures, is_saving, is_forgotten) = (Some(captures), false, false);
        Ok(Self { captures, encoded, thread, is_under_way, is_saving, is_forgotten })
    }

    /// Takes a capture whose events were stored last.
    pub(super) fn take(&self, capture: Capture, store: &dyn Store) {
        if let (Some(captures), Some(mark)) = (&self.captures, store.mark()) {
            // The thread ends only after this sender.
            drop(captures.send((capture, mark)));
        }
    }

    /// Saves some of what was encoded. Returns true if there is more.
    pub(super) fn save_some(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        if self.is_forgotten {
            return Ok(false);
        }
        if !self.is_saving {
            let Ok(snapshot) = self.encoded.try_recv() else { return Ok(false) };
            store.begin_save(snapshot)?;
        }
        self.is_saving = store.save_some()?;
        if !self.is_saving {
            tracing::debug!("a snapshot was saved");
            self.is_under_way.store(false, Ordering::Release);
        }
        Ok(true)
    }

    /// Marks the stored snapshot as damaged. The driver unloads no further sweep, because no later
    /// snapshot counts as saved.
    pub(super) fn forget(
        &mut self,
        store: &mut dyn Store,
        sweep: SweepId,
    ) -> Result<(), StoreError> {
        self.is_forgotten = true;
        store.forget_snapshot(sweep)
    }

    /// True from a capture until its snapshot is saved.
    pub(super) fn is_encoding(&self) -> bool {
        !self.is_forgotten && self.is_under_way.load(Ordering::Acquire)
    }

    /// Waits for the thread, and saves what it has encoded.
    pub(super) fn finish(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.captures = None;
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked sent nothing.
            drop(thread.join());
        }
        while self.save_some(store)? {}
        Ok(())
    }
}
