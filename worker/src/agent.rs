//! What a worker holds and what it still has to say: a pure state machine, without tokio, a clock
//! or I/O.
//!
//! ```text
//!              hello / disconnected / on_message                on_event
//!   the link  ----------------------------------->  Agent  <---------------  the runners
//!             <-----------------------------------         --------------->
//!                        next_message                        next_command
//! ```
//!
//! A lease is [`Stage::Waiting`] for a slot, then [`Stage::Running`], now and then [`Stage::Held`]
//! for others, then [`Stage::Finished`] until the coordinator says that its end is stored. What is
//! not acknowledged is kept, and said again on the next connection. Messages are made when the link
//! asks for one, so everything that has come together by then goes out in one report.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, Name, StoreId, TrialNumber};
use caviar_common::limits::{MAX_PARKED, MAX_SLOTS};
use caviar_common::message::{
    Finished, FromWorker, Grant, Hello, PROTOCOL, Release, Stored, ToWorker,
};
use caviar_common::metric::EpochMetrics;

use crate::outbox::Outbox;

/// Releases that may wait to be sent before nothing more is read: a peer that grants without end
/// and never reads meets this limit.
const MAX_RELEASES: usize = 4_096;

/// Who the worker is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, unique among the workers of a coordinator.
    pub worker: Name,
    /// Its process.
    pub incarnation: Incarnation,
    /// Trials it trains at once, at least 1.
    pub slots: u32,
    /// Whether it may be asked to park trials: what is parked keeps its memory.
    pub can_park: bool,
}

/// What a lease is for, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The sweep's name.
    pub sweep: Name,
    /// The trial.
    pub trial: TrialNumber,
    /// The attempt.
    pub attempt: AttemptNumber,
}

/// What the agent wants of the runners. Every `Start` is answered by one [`RunnerEvent::Ended`],
/// cancelled or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Train this.
    Start(Box<Grant>),
    /// Stop training for this lease at the next mini-batch.
    Cancel(LeaseId),
    /// Wait at the next mini-batch.
    Hold(LeaseId),
    /// Go on after that.
    Continue(LeaseId),
}

/// What a runner has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum RunnerEvent {
    /// An epoch is done.
    Epoch {
        /// The attempt's lease.
        lease: LeaseId,
        /// What was measured.
        metrics: EpochMetrics,
    },
    /// The runner is through, and its slot is free.
    Ended {
        /// The attempt's lease.
        lease: LeaseId,
        /// How it ended.
        end: End,
    },
}

/// How a runner ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With a result.
    Finished(Finished),
    /// This sweep cannot be trained here.
    Unable {
        /// Why, for people.
        message: String,
    },
    /// The machine has no memory for this trial.
    TooLarge {
        /// What it lacks.
        message: String,
    },
    /// It was told to stop.
    Cancelled,
}

/// Where a held lease stands.
#[derive(Debug)]
enum Stage {
    /// Every slot is still taken, by a runner that was told to stop.
    Waiting(Box<Grant>),
    /// A runner has it.
    Running,
    /// A runner has it and waits, without a slot.
    Held,
    /// It is over; the coordinator has not said yet that it has stored this.
    Finished { result: Box<Finished>, is_sent: bool },
}

#[derive(Debug)]
struct Held {
    task: Task,
    stage: Stage,
    /// The coordinator wants others to have its slot.
    is_parked: bool,
    outbox: Outbox,
}

impl Held {
    fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_) | Stage::Running | Stage::Held)
    }

    fn has_unsent(&self) -> bool {
        self.outbox.has_unsent() || matches!(self.stage, Stage::Finished { is_sent: false, .. })
    }

    /// The epochs first, then the end.
    fn next_message(&mut self, lease: LeaseId) -> Option<FromWorker> {
        if let Some(points) = self.outbox.next_report() {
            return Some(FromWorker::Report { lease, points });
        }
        match &mut self.stage {
            Stage::Finished { result, is_sent } if !*is_sent => {
                *is_sent = true;
                Some(FromWorker::Finished { lease, result: Finished::clone(result) })
            }
            Stage::Finished { .. } | Stage::Waiting(_) | Stage::Running | Stage::Held => None,
        }
    }

    fn rewind(&mut self) {
        self.outbox.rewind();
        if let Stage::Finished { is_sent, .. } = &mut self.stage {
            *is_sent = false;
        }
    }
}

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Serving,
    /// What is held is finished, nothing new is taken.
    Draining,
    /// What is unfinished is given back.
    Stopping,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// Hello is said and not answered yet: nothing else may be said.
    Greeting,
    Up,
}

/// The state of a worker.
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    mode: Mode,
    link: Link,
    /// The store that granted `leases`; none before the first Welcome.
    store: Option<StoreId>,
    leases: BTreeMap<LeaseId, Held>,
    /// Runners that were told to stop and have not ended yet. They hold no lease any more, but
    /// still a slot.
    ending: BTreeSet<LeaseId>,
    /// Given back and not said yet. A release needs no acknowledgement: what the next Hello does
    /// not list is given back too.
    releases: VecDeque<(LeaseId, Release)>,
    commands: VecDeque<Command>,
    /// The lease that spoke last; the others are asked first, so that none speaks alone.
    last_speaker: LeaseId,
}

impl Agent {
    /// A worker that holds nothing and is not connected.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            mode: Mode::Serving,
            link: Link::Down,
            store: None,
            leases: BTreeMap::new(),
            ending: BTreeSet::new(),
            releases: VecDeque::new(),
            commands: VecDeque::new(),
            last_speaker: LeaseId(0),
        }
    }

    /// A connection begins: what to say first. Everything unacknowledged is due again, once the
    /// coordinator has answered.
    pub fn hello(&mut self) -> Hello {
        self.disconnected();
        self.link = Link::Greeting;
        self.leases.values_mut().for_each(Held::rewind);
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

    /// The connection is lost. Runners go on, parked ones as soon as there is a slot: nobody could
    /// say when they are to.
    pub fn disconnected(&mut self) {
        self.link = Link::Down;
        self.releases.clear();
        self.unpark_all();
    }

    /// The coordinator said something.
    pub fn on_message(&mut self, message: ToWorker) {
        match message {
            ToWorker::Welcome { store, .. } => {
                if self.link == Link::Greeting {
                    self.serve(store);
                    self.link = Link::Up;
                }
            }
            ToWorker::Grant(grant) => self.on_grant(grant),
            ToWorker::Ack { lease, stored: Stored::Epoch(epoch) } => {
                if let Some(held) = self.leases.get_mut(&lease) {
                    held.outbox.acknowledge(epoch);
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
                    held.is_parked = false;
                }
                self.fill_slots();
            }
            ToWorker::Drain => self.drain(),
        }
    }

    /// A runner said something. What it says of a lease that is no longer held has no value any
    /// more.
    pub fn on_event(&mut self, event: RunnerEvent) {
        match event {
            RunnerEvent::Epoch { lease, metrics } => {
                if let Some(held) = self.leases.get_mut(&lease) {
                    held.outbox.push(metrics);
                }
            }
            RunnerEvent::Ended { lease, end } => {
                if !self.ending.remove(&lease) {
                    self.on_end(lease, end);
                }
                self.fill_slots();
            }
        }
    }

    /// Finish what is held, take nothing new.
    pub fn drain(&mut self) {
        if self.mode == Mode::Serving {
            self.mode = Mode::Draining;
        }
        self.unpark_all();
    }

    /// Give back what is unfinished, hand in what is finished, take nothing new.
    pub fn stop(&mut self) {
        self.mode = Mode::Stopping;
        let active: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, held)| held.is_active())
            .map(|(lease, _)| *lease)
            .collect();
        for lease in active {
            self.forget(lease);
            self.release(lease, Release::Drained);
        }
    }

    /// The next thing to say, if the connection is up and there is something.
    pub fn next_message(&mut self) -> Option<FromWorker> {
        if self.link != Link::Up {
            return None;
        }
        if let Some((lease, release)) = self.releases.pop_front() {
            return Some(FromWorker::Released { lease, release });
        }
        let after = (Bound::Excluded(self.last_speaker), Bound::Unbounded);
        let up_to = (Bound::Unbounded, Bound::Included(self.last_speaker));
        let mut speaker = self
            .leases
            .range(after)
            .chain(self.leases.range(up_to))
            .filter(|(_, held)| held.has_unsent());
        let lease = *speaker.next()?.0;
        self.last_speaker = lease;
        self.leases.get_mut(&lease)?.next_message(lease)
    }

    /// Whether [`Self::next_message`] has something to say.
    pub fn has_message(&self) -> bool {
        self.link == Link::Up
            && (!self.releases.is_empty() || self.leases.values().any(Held::has_unsent))
    }

    /// Whether more of what the coordinator says may be read.
    pub fn accepts_messages(&self) -> bool {
        self.releases.len() < MAX_RELEASES
    }

    /// The next thing for the runners to do.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Whether the worker has been asked to leave, holds nothing, and has said so.
    pub fn may_exit(&self) -> bool {
        self.mode != Mode::Serving
            && self.leases.is_empty()
            && self.ending.is_empty()
            && self.releases.is_empty()
    }

    /// What a held lease is for.
    pub fn task(&self, lease: LeaseId) -> Option<&Task> {
        self.leases.get(&lease).map(|held| &held.task)
    }

    /// How many leases are held: those in training, and those whose end is not acknowledged.
    pub fn held(&self) -> usize {
        self.leases.len()
    }

    /// Numbers of leases mean something within one store: nothing may be said of those of another.
    fn serve(&mut self, store: StoreId) {
        if self.store.replace(store) != Some(store) {
            let strange: Vec<LeaseId> = self.leases.keys().copied().collect();
            strange.into_iter().for_each(|lease| self.forget(lease));
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
        // A runner that is still stopping for a lease of this number, from another store, could not
        // be told from a new one.
        if !self.has_room() || self.ending.contains(&lease) {
            return self.release(lease, Release::Declined);
        }
        let task =
            Task { sweep: grant.sweep_name.clone(), trial: grant.trial, attempt: grant.attempt };
        self.leases.insert(
            lease,
            Held {
                task,
                stage: Stage::Waiting(grant),
                is_parked: false,
                outbox: Outbox::default(),
            },
        );
        self.fill_slots();
    }

    /// A slot is free, or will be once its runner has stopped; and the ends that nobody
    /// acknowledges do not pile up.
    fn has_room(&self) -> bool {
        let slots = usize_of(self.identity.slots);
        let active =
            self.leases.values().filter(|held| held.is_active() && !held.is_parked).count();
        active < slots && self.leases.len().saturating_sub(self.parked()) < slots.saturating_mul(2)
    }

    fn parked(&self) -> usize {
        self.leases.values().filter(|held| held.is_active() && held.is_parked).count()
    }

    /// Starts what waits, and lets go on what was held and is parked no more.
    fn fill_slots(&mut self) {
        let running =
            self.leases.values().filter(|held| matches!(held.stage, Stage::Running)).count();
        let free =
            usize_of(self.identity.slots).saturating_sub(running.saturating_add(self.ending.len()));
        let wants =
            |held: &Held| !held.is_parked && matches!(held.stage, Stage::Waiting(_) | Stage::Held);
        for (lease, held) in self.leases.iter_mut().filter(|(_, held)| wants(held)).take(free) {
            let command = match std::mem::replace(&mut held.stage, Stage::Running) {
                Stage::Waiting(grant) => Command::Start(grant),
                Stage::Running | Stage::Held | Stage::Finished { .. } => Command::Continue(*lease),
            };
            self.commands.push_back(command);
        }
    }

    /// Its slot is free for another at once, a mini-batch before the runner waits.
    fn park(&mut self, lease: LeaseId) {
        let may_park = self.mode == Mode::Serving && self.parked() < usize_of(MAX_PARKED);
        let Some(held) = self.leases.get_mut(&lease).filter(|_| may_park) else { return };
        held.is_parked = true;
        if matches!(held.stage, Stage::Running) {
            held.stage = Stage::Held;
            self.commands.push_back(Command::Hold(lease));
        }
        self.fill_slots();
    }

    fn unpark_all(&mut self) {
        self.leases.values_mut().for_each(|held| held.is_parked = false);
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
            End::Cancelled => {
                self.leases.remove(&lease);
                self.release(lease, Release::Declined);
            }
        }
    }

    /// The lease is over for this worker, whatever its runner does.
    fn forget(&mut self, lease: LeaseId) {
        if let Some(Held { stage: Stage::Running | Stage::Held, .. }) = self.leases.remove(&lease) {
            self.ending.insert(lease);
            self.commands.push_back(Command::Cancel(lease));
        }
    }

    /// Gives back a lease that is no longer among `leases`. Without a connection there is nothing
    /// to say: the next Hello does not list it.
    fn release(&mut self, lease: LeaseId, release: Release) {
        if self.link != Link::Down {
            self.releases.push_back((lease, release));
        }
    }
}

/// Slots as a count of things in memory.
fn usize_of(slots: u32) -> usize {
    usize::try_from(slots.min(MAX_SLOTS)).unwrap_or(usize::MAX)
}
