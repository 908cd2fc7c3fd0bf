//! What happens to workers: connections, messages, trainings, crashes.

use caviar_common::ids::{LeaseId, SessionId, SweepId};
use caviar_common::message::FromWorker;
use caviar_common::outcome::SweepState;
use caviar_core::input::Input;

use super::Simulation;
use super::faults::Source;
use super::marks::{Mark, Marks};
use super::node::{Node, Progress};

/// What a client does in an eighth of the lease duration: more than it has leases to renew.
const CLIENT_ACTIONS: usize = 6;

impl Simulation {
    /// A worker connects, sends, receives or trains.
    pub(super) fn worker_acts(&mut self, at: usize) {
        match self.pick(Source::Schedule, 4) {
            0 => self.connect_or_beat(at),
            1 => {
                self.deliver_to_coordinator(at);
            }
            2 => {
                self.deliver_to_worker(at);
            }
            _ => self.train(at),
        }
    }

    fn connect_or_beat(&mut self, node: usize) {
        if let Some(session) = self.nodes[node].session {
            let (message, _) = self.nodes[node].agent.heartbeat(Vec::new());
            self.say(session, message);
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let node = &mut self.nodes[node];
        node.session = Some(session);
        let hello = node.agent.hello();
        node.obey();
        let slots = node.machine.slots as usize;
        self.marks.add_if(hello.held.len() > slots, Mark::MoreLeasesThanSlots);
        node.to_coordinator.push_back(FromWorker::Hello(hello));
        self.deliver(session);
    }

    /// The coordinator hears a message. A refusal closes the connection.
    fn say(&mut self, session: SessionId, message: FromWorker) {
        let is_hello = matches!(message, FromWorker::Hello(_));
        let input = Input::Message { session, token: None, message };
        if self.loses_batch {
            return self.lose_batch(input);
        }
        let node = self.nodes.iter().find(|node| node.session == Some(session));
        let worker = node.map(|node| node.machine.name.clone()).expect("the session is open");
        let before = is_hello.then(|| self.oracle.take_refusals(&worker));
        if self.step(input).is_ok() {
            self.oracle.hear_worker(&worker, self.now);
        } else if let Some(before) = before {
            self.oracle.restore(before);
        }
    }

    /// Delivers the next message of a worker. Returns false if there was none.
    fn deliver(&mut self, session: SessionId) -> bool {
        let node = self.nodes.iter_mut().find(|n| n.session == Some(session));
        let Some(message) = node.and_then(|n| n.to_coordinator.pop_front()) else { return false };
        self.say(session, message);
        true
    }

    /// Delivers the next message of a worker, which may then be done. Returns false if there was
    /// none.
    fn deliver_to_coordinator(&mut self, node: usize) -> bool {
        self.nodes[node].speak();
        let is_delivered = self.nodes[node].session.is_some_and(|session| self.deliver(session));
        if self.nodes[node].may_exit() {
            self.marks.add(Mark::Exit);
            self.replace(node);
        }
        is_delivered
    }

    /// Delivers the next message to a worker. Returns false if there was none.
    fn deliver_to_worker(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let is_delivered = node.listen();
        let marks: Marks = std::mem::take(&mut node.marks);
        self.marks.merge(&marks);
        if is_delivered && node.to_worker.is_empty() && !node.is_leaving {
            let running = node.active().find(|lease| self.core.is_parked(*lease));
            assert_eq!(running, None, "{} trains what is parked", node.machine.name);
        }
        is_delivered
    }

    /// Trains one epoch of one of the worker's trials.
    fn train(&mut self, at: usize) {
        let active: Vec<_> = self.nodes[at].active().collect();
        let chance = self.streams.of(Source::Schedule);
        if chance.below(8) == 0 {
            self.nodes[at].end_hung();
        }
        let Some(lease) = active.get(chance.below(active.len() as u64) as usize) else { return };
        let speed = self.faults.uneven.then_some(chance);
        let progress = self.nodes[at].train(*lease, speed, self.faults.poison);
        self.note(at, &progress);
    }

    fn note(&mut self, at: usize, progress: &Progress) {
        match progress {
            Progress::None | Progress::Scored => {}
            Progress::Trained => self.trained += 1,
            Progress::Crash => self.crash(at),
        }
    }

    /// True if something ends only when enough time has passed.
    pub(super) fn waits_for_time(&self) -> bool {
        let has_hung = |node: &Node| node.jobs.values().any(|job| job.is_hung);
        let is_idle = |node: &Node| node.jobs.is_empty();
        self.nodes.iter().any(has_hung)
            || self.has_silent_client()
            || (self.nodes.iter().all(is_idle) && self.oracle.has_refusals(self.now))
    }

    /// Half of the lease duration passes. Every worker sends and receives everything and each of
    /// its trainings advances by an epoch, and clients send what they can.
    pub(super) fn pass_time(&mut self) {
        for at in 0..self.nodes.len() {
            self.connect_or_beat(at);
            while self.deliver_to_worker(at) {}
            let active: Vec<_> = self.nodes[at].active().collect();
            for lease in active {
                if self.nodes[at].jobs.contains_key(&lease) {
                    let progress = self.nodes[at].train(lease, None, self.faults.poison);
                    self.note(at, &progress);
                }
            }
            while self.deliver_to_coordinator(at) {}
        }
        for _ in 0..4 {
            for node in 0..self.nodes.len() {
                self.connect_or_beat(node);
            }
            for client in 0..self.clients.len() {
                (0..CLIENT_ACTIONS).for_each(|_| self.client_acts(client));
            }
            self.now += self.config.lease_ttl_ms / 8;
            self.tick();
        }
    }

    pub(super) fn disconnect(&mut self, node: usize) {
        if let Some(session) = self.nodes[node].session {
            self.nodes[node].disconnect();
            self.step(Input::SessionClosed(session)).expect("it is not refused");
        }
    }

    /// Another process takes the place of the worker's process.
    fn replace(&mut self, node: usize) {
        self.disconnect(node);
        self.next_incarnation += 1;
        let old = &self.nodes[node];
        assert_ne!(old.incarnation.0, self.next_incarnation);
        self.nodes[node] = Node::new(old.machine.clone(), self.next_incarnation);
    }

    fn crash(&mut self, node: usize) {
        self.marks.add(Mark::Crash);
        self.replace(node);
    }

    pub(super) fn crash_any(&mut self) {
        let node = self.pick(Source::Crashes, self.nodes.len());
        if self.pick(Source::Crashes, 4) == 0 {
            self.marks.add(Mark::SlotsChanged);
            self.nodes[node].machine.slots = 1 + self.pick(Source::Crashes, 3) as u32;
        }
        self.crash(node);
    }

    pub(super) fn break_connection(&mut self) {
        let node = self.pick(Source::Breaks, self.nodes.len());
        self.marks.add(Mark::Break);
        self.disconnect(node);
    }

    /// A training or a scoring makes no progress any more, or a scoring that begins later.
    pub(super) fn hang(&mut self) {
        let node = self.pick(Source::Hangs, self.nodes.len());
        if self.pick(Source::Hangs, 2) == 0 {
            // At most one, so that no scoring hangs on every worker.
            self.nodes.iter_mut().for_each(|node| node.hangs_next_scoring = false);
            self.nodes[node].hangs_next_scoring = true;
            return;
        }
        // The trial that crashes its workers fails in one way only.
        let poison = self.faults.poison;
        let may_hang = |node: &Node, lease: &LeaseId| {
            node.jobs.get(lease).is_some_and(|job| !job.crashes(poison))
        };
        let nodes = self.nodes.iter().enumerate();
        let active = nodes.flat_map(|(at, node)| {
            let leases = node.active().filter(move |lease| may_hang(node, lease));
            leases.map(move |lease| (at, lease))
        });
        let active: Vec<(usize, LeaseId)> = active.collect();
        if let Some((at, lease)) = self.choose(Source::Hangs, &active)
            && let Some(job) = self.nodes[at].jobs.get_mut(&lease)
        {
            job.is_hung = true;
            self.marks.add(Mark::Hang);
        }
    }

    pub(super) fn decline(&mut self) {
        let node = self.pick(Source::Declines, self.nodes.len());
        self.nodes[node].declines = 1;
    }

    /// A worker cannot train a sweep any more, or can again.
    pub(super) fn make_unable(&mut self) {
        let node = self.pick(Source::Unable, self.nodes.len());
        let live: Vec<SweepId> = self.live_sweeps(|_| true);
        if let Some(sweep) = self.choose(Source::Unable, &live) {
            let unable = &mut self.nodes[node].unable;
            if !unable.remove(&sweep) {
                unable.insert(sweep);
            }
        }
    }

    /// The sweeps that have not ended and whose state is wanted.
    pub(super) fn live_sweeps(&self, is_wanted: impl Fn(SweepState) -> bool) -> Vec<SweepId> {
        let sweeps = self.core.record().sweeps().values();
        let live = sweeps.filter(|sweep| !sweep.state().is_final() && is_wanted(sweep.state()));
        live.map(|sweep| sweep.id()).collect()
    }
}
