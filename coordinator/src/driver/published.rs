//! The sweeps as they were after the last commit, for readers on any thread.
//!
//! The driver publishes a view of every sweep that has changed, after the commit and before the
//! reply. So a client that got a reply reads its own write. Reading takes a lock for less than a
//! microsecond, and nothing of the driver's time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use caviar_common::blob::BlobName;
use caviar_common::ids::{Name, SweepId, TrialNumber};
use caviar_common::outcome::SweepState;
use caviar_common::view::{Counts, SweepView};
use caviar_core::event::Event;
use caviar_proto::convert::view::encode_sweep;
use caviar_proto::v1;
use tokio::sync::watch;

use super::checkpoints::Checkpoints;

/// A sweep as it was after a commit.
#[derive(Debug)]
pub struct Published {
    /// The sweep.
    pub view: SweepView,
    /// The request that created it.
    pub request_id: Name,
    /// The trials that are parked.
    pub parked: BTreeSet<TrialNumber>,
    wire: OnceLock<v1::Sweep>,
}

impl Published {
    pub(super) const fn new(
        view: SweepView,
        request_id: Name,
        parked: BTreeSet<TrialNumber>,
    ) -> Self {
        Self { view, request_id, parked, wire: OnceLock::new() }
    }

    /// The wire form, which all readers share.
    pub fn wire(&self) -> &v1::Sweep {
        self.wire.get_or_init(|| encode_sweep(&self.view))
    }

    /// How many trials the sweep has.
    pub const fn trials(&self) -> u32 {
        let Counts { queued, running, cancelled, .. } = self.view.counts;
        self.view.counts.finished().saturating_add(queued + running + cancelled)
    }
}

/// Follows one sweep. It ends when the sweep is deleted.
pub type Watcher = watch::Receiver<Arc<Published>>;

/// All sweeps.
#[derive(Debug, Default)]
pub struct Sweeps(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    sweeps: BTreeMap<SweepId, watch::Sender<Arc<Published>>>,
    names: BTreeMap<Name, SweepId>,
    requests: BTreeMap<Name, SweepId>,
    checkpoints: Checkpoints,
}

/// A change of one sweep: as it is now, or `None` if it was deleted.
pub(super) type Change = (SweepId, Option<Arc<Published>>);

impl Sweeps {
    fn maps(&self) -> RwLockReadGuard<'_, Maps> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn maps_mut(&self) -> RwLockWriteGuard<'_, Maps> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sweep of that number.
    pub fn get(&self, sweep: SweepId) -> Option<Arc<Published>> {
        self.maps().get(sweep)
    }

    /// The sweep of that name or number.
    pub fn find(&self, name_or_id: &str) -> Option<Arc<Published>> {
        let maps = self.maps();
        let by_name = Name::parse("name", name_or_id).ok().and_then(|name| maps.by_name(&name));
        by_name.or_else(|| maps.get(SweepId(name_or_id.parse().ok()?)))
    }

    /// The sweep of that name.
    pub fn by_name(&self, name: &Name) -> Option<Arc<Published>> {
        self.maps().by_name(name)
    }

    /// The sweep that a request with this id has created.
    pub fn by_request(&self, request_id: &Name) -> Option<Arc<Published>> {
        let maps = self.maps();
        maps.get(*maps.requests.get(request_id)?)
    }

    /// The first `limit` sweeps after `after` in one of `states`; all states if it is empty.
    pub fn after(
        &self,
        after: SweepId,
        states: &[SweepState],
        limit: usize,
    ) -> Vec<Arc<Published>> {
        let maps = self.maps();
        let sweeps = maps.sweeps.range((Bound::Excluded(after), Bound::Unbounded));
        let views = sweeps.map(|(_, sweep)| Arc::clone(&sweep.borrow()));
        views
            .filter(|sweep| states.is_empty() || states.contains(&sweep.view.state))
            .take(limit)
            .collect()
    }

    /// The names of the first `limit` sweeps.
    pub fn names(&self, limit: usize) -> Vec<Name> {
        let maps = self.maps();
        maps.sweeps.values().take(limit).map(|sweep| sweep.borrow().view.name.clone()).collect()
    }

    /// The blobs that the sweeps and their trials in flight refer to: data, models, checkpoints.
    pub fn blobs(&self) -> BTreeSet<BlobName> {
        let maps = self.maps();
        let of_sweeps = maps.sweeps.values().flat_map(|sweep| {
            let view = &sweep.borrow().view;
            let models = view.models.iter().map(|model| model.blob);
            models.chain(view.data.block).map(|blob| blob.name).collect::<Vec<_>>()
        });
        of_sweeps.chain(maps.checkpoints.needed()).collect()
    }

    /// The checkpoints that are not needed any more since the last call.
    pub fn take_outdated_checkpoints(&self) -> Vec<BlobName> {
        self.maps_mut().checkpoints.take_outdated()
    }

    /// Takes the checkpoints of a coordinator that was restarted.
    pub(super) fn set_checkpoints(&self, checkpoints: Checkpoints) {
        self.maps_mut().checkpoints = checkpoints;
    }

    /// Takes the events of a commit.
    pub(super) fn see(&self, events: &[Event]) {
        let mut events = events.iter().filter(|event| Checkpoints::concerns(event)).peekable();
        if events.peek().is_some() {
            let mut maps = self.maps_mut();
            events.for_each(|event| maps.checkpoints.see(event));
        }
    }

    /// Follows a sweep from now on.
    pub fn watch(&self, sweep: SweepId) -> Option<Watcher> {
        self.maps().sweeps.get(&sweep).map(watch::Sender::subscribe)
    }

    /// Makes changes visible.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let mut maps = self.maps_mut();
        for (sweep, change) in changes {
            match change {
                Some(published) => maps.set(sweep, published),
                None => maps.remove(sweep),
            }
        }
    }
}

impl Maps {
    fn get(&self, sweep: SweepId) -> Option<Arc<Published>> {
        self.sweeps.get(&sweep).map(|sweep| Arc::clone(&sweep.borrow()))
    }

    fn by_name(&self, name: &Name) -> Option<Arc<Published>> {
        self.get(*self.names.get(name)?)
    }

    fn set(&mut self, sweep: SweepId, published: Arc<Published>) {
        if let Some(known) = self.sweeps.get(&sweep) {
            known.send_replace(published);
            return;
        }
        self.names.insert(published.view.name.clone(), sweep);
        self.requests.insert(published.request_id.clone(), sweep);
        self.sweeps.insert(sweep, watch::Sender::new(published));
    }

    fn remove(&mut self, sweep: SweepId) {
        let Some(removed) = self.sweeps.remove(&sweep) else { return };
        let removed = Arc::clone(&removed.borrow());
        // Another sweep may have the name by now.
        if self.names.get(&removed.view.name) == Some(&sweep) {
            self.names.remove(&removed.view.name);
        }
        if self.requests.get(&removed.request_id) == Some(&sweep) {
            self.requests.remove(&removed.request_id);
        }
    }
}
