//! The leases that a worker holds and what it has not reported yet: a pure state machine, without
//! tokio, a clock or I/O.
//!
//! ```text
//!              hello / disconnected / on_message                on_event
//!   the link  ----------------------------------->  Agent  <---------------  the runners
//!             <-----------------------------------         --------------->
//!                        next_message                        next_command
//! ```
//!
//! A lease is [`Stage::Waiting`] for a slot, then [`Stage::Running`], at times [`Stage::Parked`] in
//! favour of other trials, and then [`Stage::Finished`] until the coordinator acknowledges that it
//! has stored the result, which is sent when the model of the trial is stored. When the worker
//! stops, the lease is [`Stage::Leaving`] until its epochs and its checkpoint are sent, and it is
//! released. The agent keeps everything that is not acknowledged and sends it again on the next
//! connection. It creates a message only when the link asks for one, so that all epochs that have
//! arrived by then go into one report.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use caviar_common::ids::{Incarnation, LeaseId, Name, StoreId};
use caviar_common::limits::{MAX_PARKED, MAX_SLOTS};
use caviar_common::message::{
    Checkpoint, FromWorker, Grant, Hello, PROTOCOL, Release, Stored, StoredModel, ToWorker,
};
use caviar_common::numbers;

pub use crate::events::{Command, End, ModelBytes, RunnerEvent, State};
pub use crate::held::Attempt;
use crate::held::{HeldLease, Model, Stage};

/// Most unsent releases before the worker stops reading messages. Only a peer that sends grants
/// without reading replies reaches this limit.
const MAX_RELEASES: usize = 4_096;

/// How the worker introduces itself to a coordinator.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The worker's name, unique among the workers of a coordinator.
    pub worker: Name,
    /// A random number that tells two processes of the same name apart.
    pub incarnation: Incarnation,
    /// Number of trials that the worker trains at once, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// True if the coordinator may park trials on this worker. A parked trial keeps its memory, so
    /// this is false for a worker with a memory limit.
    pub can_park: bool,
}

/// Whether the worker accepts grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Serving,
    /// Trains the held leases to their ends and declines new grants.
    Draining,
    /// Gives unfinished leases back and declines new grants.
    Stopping,
}

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// Hello was sent and no Welcome has arrived. Nothing else may be sent until then.
    Greeting,
    Up,
}

/// The state of a worker.
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    mode: Mode,
    link: Link,
    /// The store that granted `leases`; `None` before the first Welcome.
    store: Option<StoreId>,
    leases: BTreeMap<LeaseId, HeldLease>,
    /// Runners that were told to stop and have not ended yet. Their leases are no longer held, but
    /// they still use their slots.
    ending: BTreeSet<LeaseId>,
    /// The runners that were `ending` at the last heartbeat: they do not stop.
    stuck: BTreeSet<LeaseId>,
    /// The runners that were `ending` since the last heartbeat.
    unsure: BTreeSet<LeaseId>,
    /// Releases that are not sent yet. They need no acknowledgement: a lease that the next Hello
    /// does not list is released too.
    releases: VecDeque<(LeaseId, Release)>,
    commands: VecDeque<Command>,
    /// The lease that sent the last message. The search for the next message starts after it, so
    /// that one lease cannot keep the others from reporting.
    last_sender: LeaseId,
    /// Whether the coordinator records checkpoints.
    keeps_checkpoints: bool,
}

impl Agent {
    /// A worker without leases and without a connection.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            mode: Mode::Serving,
            link: Link::Down,
            store: None,
            leases: BTreeMap::new(),
            ending: BTreeSet::new(),
            stuck: BTreeSet::new(),
            unsure: BTreeSet::new(),
            releases: VecDeque::new(),
            commands: VecDeque::new(),
            last_sender: LeaseId(0),
            keeps_checkpoints: false,
        }
    }

    /// Starts a connection and returns its first message. After the coordinator's Welcome, the
    /// agent sends everything unacknowledged again.
    pub fn hello(&mut self) -> Hello {
        self.disconnected();
        self.link = Link::Greeting;
        self.leases.values_mut().for_each(HeldLease::rewind);
        Hello {
            protocol: PROTOCOL,
            worker: self.identity.worker.clone(),
            incarnation: self.identity.incarnation,
            slots: self.identity.slots,
            draining: self.mode != Mode::Serving,
            can_park: self.identity.can_park,
            store: self.store,
            held: self.leases.keys().copied().collect(),
        }
    }

    /// Notes that the connection is lost. Runners continue. Parked ones continue as soon as a slot
    /// is free, because no message could unpark them.
    pub fn disconnected(&mut self) {
        self.link = Link::Down;
        self.releases.clear();
        // The next Hello does not list them, which releases them too.
        self.leases.retain(|_, held| !held.is_done() || held.checkpoint.is_some());
        self.unpark_all();
    }

    /// Handles a message of the coordinator.
    pub fn on_message(&mut self, message: ToWorker) {
        match message {
            ToWorker::Welcome { store, keeps_checkpoints, .. } => {
                if self.link == Link::Greeting {
                    self.keeps_checkpoints = keeps_checkpoints;
                    self.serve_store(store);
                    self.link = Link::Up;
                }
            }
            ToWorker::Grant(grant) => self.on_grant(grant),
            ToWorker::Ack { lease, stored: Stored::Epoch(epoch) } => {
                if let Some(held) = self.leases.get_mut(&lease) {
                    held.acknowledge(epoch);
                }
            }
            ToWorker::Ack { lease, stored: Stored::Finished }
            | ToWorker::Revoke { lease, .. }
            | ToWorker::Stop { lease, .. } => {
                self.forget(lease);
            }
            ToWorker::Park { lease } => self.park(lease),
            ToWorker::Unpark { lease } => {
                if let Some(held) = self.leases.get_mut(&lease) {
                    held.should_park = false;
                }
                self.fill_slots();
            }
            ToWorker::Drain => self.drain(),
        }
    }

    /// Handles an event of a runner. Ignores the metrics and the result of a lease that is no
    /// longer held.
    pub fn on_event(&mut self, event: RunnerEvent) {
        match event {
            RunnerEvent::Epoch { lease, metrics, seconds } => {
                if let Some(held) = self.leases.get_mut(&lease) {
                    held.outbox.push(metrics, seconds);
                }
            }
            RunnerEvent::Checkpoint { lease, state } => {
                let held = self.leases.get_mut(&lease).filter(|_| self.keeps_checkpoints);
                let command = match held {
                    Some(held) => {
                        held.storing += 1;
                        Command::Store(lease, state)
                    }
                    None => Command::Discard(lease),
                };
                self.commands.push_back(command);
            }
            RunnerEvent::Model { lease, model } => {
                let held = self.leases.get_mut(&lease).filter(|_| self.keeps_checkpoints);
                if let Some(held) = held {
                    held.model = Model::Storing;
                    self.commands.push_back(Command::StoreModel(lease, model));
                }
            }
            RunnerEvent::Restarted { lease, reason } => {
                let held = self.leases.get_mut(&lease).filter(|_| self.keeps_checkpoints);
                if let Some(held) = held {
                    held.restarted = Some((reason, false));
                }
            }
            RunnerEvent::Resumes { lease, blob } => {
                if self.leases.contains_key(&lease) {
                    self.commands.push_back(Command::Fetch(lease, blob));
                }
            }
            RunnerEvent::Ended { lease, end } => {
                self.stuck.remove(&lease);
                if !self.ending.remove(&lease) {
                    self.on_end(lease, end);
                }
                self.fill_slots();
            }
        }
    }

    /// The message that is due at each interval, and the jobs that turned out not to stop. A job
    /// that was told to stop ends at its next mini-batch. One that still runs after a whole
    /// interval may never end, so the agent gives back the trials that wait for its slot. `waiting`
    /// are the runners that wait for memory, data or a checkpoint.
    pub fn heartbeat(&mut self, mut waiting: Vec<LeaseId>) -> (FromWorker, Vec<LeaseId>) {
        let before = std::mem::replace(&mut self.unsure, self.ending.clone());
        let is_new = |lease: &LeaseId| self.ending.contains(lease) && !self.stuck.contains(lease);
        let found: Vec<LeaseId> = before.into_iter().filter(is_new).collect();
        self.stuck.extend(&found);
        if !self.stuck.is_empty() {
            self.give_back_waiting();
        }
        let stuck = numbers::to_u32(self.stuck.len());
        waiting.retain(|lease| self.leases.contains_key(lease));
        let is_waiting = |held: &HeldLease| matches!(held.stage, Stage::Waiting(_));
        let for_slots = self.leases.iter().filter(|(_, held)| is_waiting(held));
        waiting.extend(for_slots.map(|(lease, _)| *lease));
        (FromWorker::Heartbeat { stuck, waiting }, found)
    }

    /// Declines the latest of the waiting leases that have no slot while some are stuck.
    fn give_back_waiting(&mut self) {
        let usable = self.slots().saturating_sub(self.stuck.len());
        let active = self.leases.values().filter(|held| held.is_active() && !held.should_park);
        let surplus = active.count().saturating_sub(usable);
        let waiting = self.leases.iter().rev();
        let waiting = waiting.filter(|(_, held)| matches!(held.stage, Stage::Waiting(_)));
        let given_back: Vec<LeaseId> = waiting.map(|(lease, _)| *lease).take(surplus).collect();
        for lease in given_back {
            self.leases.remove(&lease);
            self.release(lease, Release::Declined);
        }
    }

    /// Trains the held leases to their ends, and declines new grants from now on.
    pub fn drain(&mut self) {
        if self.mode == Mode::Serving {
            self.mode = Mode::Draining;
        }
        self.unpark_all();
    }

    /// Notes that a checkpoint of a [`Command::Store`] is stored; `None` if it could not be.
    pub fn on_stored(&mut self, lease: LeaseId, stored: Option<Checkpoint>) {
        let Some(held) = self.leases.get_mut(&lease) else { return };
        held.storing = held.storing.saturating_sub(1);
        let is_newer = |stored: &Checkpoint| {
            held.checkpoint.is_none_or(|(known, _)| known.place() < stored.place())
        };
        if let Some(checkpoint) = stored.filter(is_newer) {
            held.checkpoint = Some((checkpoint, false));
        }
        self.forget_unsendable(lease);
    }

    /// Notes that the model of a [`Command::StoreModel`] is stored; `None` if it could not be. The
    /// result of the trial is sent now.
    pub fn on_model_stored(&mut self, lease: LeaseId, stored: Option<StoredModel>) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.model = stored.map_or(Model::None, Model::Stored);
        }
    }

    /// Lets every runner write a checkpoint and end, and gives unfinished leases back then. Keeps
    /// finished results until they are acknowledged, and declines new grants from now on.
    pub fn stop(&mut self) {
        self.mode = Mode::Stopping;
        let active: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, held)| held.is_active())
            .map(|(lease, _)| *lease)
            .collect();
        for lease in active {
            let Some(held) = self.leases.get_mut(&lease) else { continue };
            if matches!(held.stage, Stage::Waiting(_)) {
                self.leases.remove(&lease);
                self.release(lease, Release::Drained);
            } else {
                held.stage = Stage::Leaving { has_ended: false };
                self.commands.push_back(Command::Leave(lease));
            }
        }
    }

    /// Gives back all leases of a worker that stops, without the checkpoints that are not stored
    /// yet.
    pub fn stop_waiting(&mut self) {
        for (lease, held) in &mut self.leases {
            if let Stage::Leaving { has_ended } = &mut held.stage {
                held.storing = 0;
                if !std::mem::replace(has_ended, true) {
                    self.ending.insert(*lease);
                }
            }
        }
        let leases: Vec<LeaseId> = self.leases.keys().copied().collect();
        leases.into_iter().for_each(|lease| self.forget_unsendable(lease));
    }

    /// Forgets a lease that would only be released, if there is no connection for that. The next
    /// Hello does not list it, which releases it too.
    fn forget_unsendable(&mut self, lease: LeaseId) {
        let is_down = self.link == Link::Down;
        let is_lost = |held: &HeldLease| is_down && held.is_done() && !held.has_unsent_checkpoint();
        if self.leases.get(&lease).is_some_and(is_lost) {
            self.leases.remove(&lease);
        }
    }

    /// The next message to send; `None` without a connection or if everything was sent.
    pub fn next_message(&mut self) -> Option<FromWorker> {
        if self.link != Link::Up {
            return None;
        }
        if let Some((lease, release)) = self.releases.pop_front() {
            return Some(FromWorker::Released { lease, release });
        }
        let after = (Bound::Excluded(self.last_sender), Bound::Unbounded);
        let up_to = (Bound::Unbounded, Bound::Included(self.last_sender));
        let mut senders = self
            .leases
            .range(after)
            .chain(self.leases.range(up_to))
            .filter(|(_, held)| held.has_unsent());
        let lease = *senders.next()?.0;
        self.last_sender = lease;
        let message = self.leases.get_mut(&lease)?.next_message(lease);
        if matches!(message, Some(FromWorker::Released { .. })) {
            self.leases.remove(&lease);
        }
        message
    }

    /// True if [`Self::next_message`] would return a message.
    pub fn has_message(&self) -> bool {
        self.link == Link::Up
            && (!self.releases.is_empty() || self.leases.values().any(HeldLease::has_unsent))
    }

    /// True if the worker may read more messages. False while too many releases are unsent.
    pub fn accepts_messages(&self) -> bool {
        self.releases.len() < MAX_RELEASES
    }

    /// The next command for the runners, in the order in which they must be carried out.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// True if the worker drains or stops, holds no lease, has no runner and has sent all releases.
    pub fn may_exit(&self) -> bool {
        self.mode != Mode::Serving
            && self.leases.is_empty()
            && self.ending.is_empty()
            && self.releases.is_empty()
    }

    /// The attempt that a held lease is for; `None` if the lease is not held.
    pub fn attempt(&self, lease: LeaseId) -> Option<&Attempt> {
        self.leases.get(&lease).map(|held| &held.attempt)
    }

    /// True if the coordinator has accepted the connection.
    pub fn is_connected(&self) -> bool {
        self.link == Link::Up
    }

    /// Number of held leases, including those whose result is not acknowledged yet.
    pub fn held_leases(&self) -> usize {
        self.leases.len()
    }

    /// Forgets every lease if the coordinator's store is another one than before: lease ids are
    /// unique only within one store.
    fn serve_store(&mut self, store: StoreId) {
        if self.store.replace(store) != Some(store) {
            let foreign: Vec<LeaseId> = self.leases.keys().copied().collect();
            foreign.into_iter().for_each(|lease| self.forget(lease));
            self.releases.clear();
        }
    }

    fn on_grant(&mut self, grant: Box<Grant>) {
        let lease = grant.lease;
        if self.leases.contains_key(&lease) {
            return;
        }
        if self.mode != Mode::Serving {
            return self.release(lease, Release::Drained);
        }
        // A runner may still be stopping for a lease with the same id of another store. Its events
        // could not be told from those of the new runner.
        if !self.has_room() || self.ending.contains(&lease) {
            return self.release(lease, Release::Declined);
        }
        self.leases.insert(lease, HeldLease::new(grant));
        self.fill_slots();
    }

    /// Gives back a lease whose grant this worker does not understand. Another worker may
    /// understand it. No-op if the lease is held, because then the grant is a repeated one.
    pub fn refuse_grant(&mut self, lease: LeaseId, message: String) {
        if !self.leases.contains_key(&lease) {
            self.release(lease, Release::Unable { message });
        }
    }

    /// Number of slots as an index type. Limited, so that a wrong configuration cannot make the
    /// bounds below meaningless.
    fn slots(&self) -> usize {
        numbers::index(self.identity.slots.min(MAX_SLOTS))
    }

    /// True if a slot is free or will be once its runner has stopped. The number of unacknowledged
    /// results is limited too.
    fn has_room(&self) -> bool {
        let slots = self.slots();
        let active =
            self.leases.values().filter(|held| held.is_active() && !held.should_park).count();
        active < slots.saturating_sub(self.stuck.len())
            && self.leases.len().saturating_sub(self.parked_count()) < slots.saturating_mul(2)
    }

    fn parked_count(&self) -> usize {
        self.leases.values().filter(|held| held.is_active() && held.should_park).count()
    }

    /// Starts waiting leases and unparks runners, in the order of their lease ids, until no slot is
    /// free.
    fn fill_slots(&mut self) {
        let running =
            self.leases.values().filter(|held| matches!(held.stage, Stage::Running)).count();
        let free = self.slots().saturating_sub(running.saturating_add(self.ending.len()));
        let needs_slot = |held: &HeldLease| {
            !held.should_park && matches!(held.stage, Stage::Waiting(_) | Stage::Parked)
        };
        let next = self.leases.iter_mut().filter(|(_, held)| needs_slot(held)).take(free);
        for (lease, held) in next {
            let command = match std::mem::replace(&mut held.stage, Stage::Running) {
                Stage::Waiting(grant) => Command::Start(grant),
                Stage::Running | Stage::Parked | Stage::Finished { .. } | Stage::Leaving { .. } => {
                    Command::Unpark(*lease)
                }
            };
            self.commands.push_back(command);
        }
    }

    /// Parks a trial and gives its slot to another one at once. For the rest of a mini-batch both
    /// trials run.
    fn park(&mut self, lease: LeaseId) {
        let may_park =
            self.mode == Mode::Serving && self.parked_count() < numbers::index(MAX_PARKED);
        let Some(held) = self.leases.get_mut(&lease).filter(|_| may_park) else { return };
        held.should_park = true;
        if matches!(held.stage, Stage::Running) {
            held.stage = Stage::Parked;
            self.commands.push_back(Command::Park(lease));
        }
        self.fill_slots();
    }

    fn unpark_all(&mut self) {
        self.leases.values_mut().for_each(|held| held.should_park = false);
        self.fill_slots();
    }

    fn on_end(&mut self, lease: LeaseId, end: End) {
        let Some(held) = self.leases.get_mut(&lease) else { return };
        match end {
            End::Finished(result) => {
                held.stage = Stage::Finished { result: Box::new(result), is_sent: false }
            }
            End::Unable { message } => {
                self.leases.remove(&lease);
                self.release(lease, Release::Unable { message });
            }
            End::TooLarge { message } => {
                self.leases.remove(&lease);
                self.release(lease, Release::TooLarge { message });
            }
            End::Cancelled => match held.stage {
                Stage::Leaving { .. } => {
                    held.stage = Stage::Leaving { has_ended: true };
                    self.forget_unsendable(lease);
                }
                Stage::Waiting(_) | Stage::Running | Stage::Parked | Stage::Finished { .. } => {
                    self.leases.remove(&lease);
                    self.release(lease, Release::Declined);
                }
            },
        }
    }

    /// Removes a lease and cancels its runner, which uses its slot until it ends.
    fn forget(&mut self, lease: LeaseId) {
        if let Some(HeldLease {
            stage: Stage::Running | Stage::Parked | Stage::Leaving { has_ended: false },
            ..
        }) = self.leases.remove(&lease)
        {
            self.ending.insert(lease);
            self.commands.push_back(Command::Cancel(lease));
        }
    }

    /// Queues the release of a lease that was removed from `leases`. No-op without a connection,
    /// because the next Hello does not list the lease.
    fn release(&mut self, lease: LeaseId, release: Release) {
        if self.link != Link::Down {
            self.releases.push_back((lease, release));
        }
    }
}
