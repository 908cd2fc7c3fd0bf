//! The agent against a model of the coordinator: random steps, over a connection that may break at
//! any message.
//!
//! These properties hold in every order of steps:
//! - A result that a runner finished is stored exactly once, after all its epochs, unless its lease
//!   was revoked.
//! - A message that the agent knows to be acknowledged is not sent again.
//! - At most as many runners run as there are slots, and none for a lease that the agent knows to
//!   be revoked or stopped.
//! - No slot is free while a trial that is not parked waits for one.
//! - A checkpoint arrives after the epochs that are done in it.
//! - A worker that stops gives every lease back, and its last checkpoint if that is stored.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot continue should panic at the place of the fault"
)]

#[path = "support/reached.rs"]
mod reached;
#[path = "support/steps.rs"]
mod steps;
mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use caviar_common::blob::{Blob, BlobName};
use caviar_common::ids::{LeaseId, StoreId};
use caviar_common::message::{
    Checkpoint, Finished, FromWorker, Release, Stored, StoredModel, ToWorker,
};
use caviar_common::metric::EpochMetrics;
use caviar_common::outcome::Outcome;
use caviar_worker::agent::{self as worker, Agent, Command, End, RunnerEvent};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reached::Reached;
use steps::{Step, step};
use support::{agent, grant, point};

/// The state of a lease as the coordinator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Revoked,
    Released,
    /// A Hello did not list it, so the coordinator queued its trial again.
    Lost,
}

#[derive(Debug)]
struct Lease {
    state: State,
    stored: u32,
    results: u32,
    /// The epochs that are done in its newest checkpoint.
    checkpoint: Option<u32>,
}

#[derive(Debug, Default)]
struct Runner {
    epochs: u32,
    is_cancelled: bool,
    is_parked: bool,
    leaves: bool,
}

struct World<'a> {
    agent: Agent,
    slots: usize,
    runners: BTreeMap<LeaseId, Runner>,
    /// The last acknowledged epoch of each lease, as the worker was told.
    acknowledged: BTreeMap<LeaseId, u32>,
    /// Leases that the worker knows to be finished, revoked or stopped.
    over: BTreeSet<LeaseId>,
    /// Leases that the worker was told to park.
    parked: BTreeSet<LeaseId>,
    is_draining: bool,
    started: BTreeSet<LeaseId>,
    /// Number of epochs of each result that a runner finished before it was cancelled.
    results: BTreeMap<LeaseId, u32>,
    /// Checkpoints that are being stored: their leases and epochs.
    storing: Vec<(LeaseId, u32)>,
    storing_models: Vec<LeaseId>,
    is_connected: bool,
    to_worker: VecDeque<ToWorker>,
    to_coordinator: VecDeque<FromWorker>,
    has_session: bool,
    leases: BTreeMap<LeaseId, Lease>,
    reached: &'a RefCell<Reached>,
}

impl<'a> World<'a> {
    fn new(slots: u32, reached: &'a RefCell<Reached>) -> Self {
        Self {
            agent: agent(slots),
            slots: usize::try_from(slots).unwrap(),
            runners: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            over: BTreeSet::new(),
            parked: BTreeSet::new(),
            is_draining: false,
            started: BTreeSet::new(),
            results: BTreeMap::new(),
            storing: Vec::new(),
            storing_models: Vec::new(),
            is_connected: false,
            to_worker: VecDeque::new(),
            to_coordinator: VecDeque::new(),
            has_session: false,
            leases: BTreeMap::new(),
            reached,
        }
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Dial => self.dial(),
            Step::Disconnect => self.disconnect(),
            Step::WorkerSends => self.worker_sends(),
            Step::CoordinatorReceives => self.coordinator_receives(),
            Step::WorkerReceives => self.worker_receives(),
            Step::Grant => self.grant(),
            Step::Revoke(index) => {
                self.revoke(*index, |lease| ToWorker::Revoke { lease, reason: "taken away".into() })
            }
            Step::Stop(index) => {
                self.revoke(*index, |lease| ToWorker::Stop { lease, reason: "weak".into() })
            }
            Step::Park(index) => self.send_about_open(*index, |lease| ToWorker::Park { lease }),
            Step::Unpark(index) => self.send_about_open(*index, |lease| ToWorker::Unpark { lease }),
            Step::Epoch(index) => self.epoch(*index),
            Step::Finish(index) => self.end(*index, false),
            Step::Unable(index) => self.end(*index, true),
            Step::Drain if self.has_session => self.to_worker.push_back(ToWorker::Drain),
            Step::Drain => {}
            Step::Checkpoint(index) => self.checkpoint(*index),
            Step::Stored(index) => self.store(*index),
            Step::Leave => {
                self.agent.stop();
                self.is_draining = true;
                self.parked.clear();
                self.run_commands();
            }
        }
        for (lease, runner) in &self.runners {
            assert!(
                runner.is_cancelled || !self.over.contains(lease),
                "lease {lease} is over and still trains"
            );
        }
        let waits = self.runners.iter().any(|(lease, runner)| {
            let is_stopped = runner.is_cancelled || runner.leaves;
            runner.is_parked && !is_stopped && !self.parked.contains(lease)
        });
        assert!(
            !waits || self.slots_in_use() >= self.slots,
            "a slot is free, and a trial that is not parked waits"
        );
    }

    /// Number of slots in use. A runner that was told to stop may still train.
    fn slots_in_use(&self) -> usize {
        self.runners.values().filter(|runner| !runner.is_parked || runner.is_cancelled).count()
    }

    fn dial(&mut self) {
        if !self.is_connected {
            self.is_connected = true;
            let hello = self.agent.hello();
            self.parked.clear();
            self.run_commands();
            self.to_coordinator.push_back(FromWorker::Hello(hello));
        }
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.has_session = false;
        self.to_worker.clear();
        self.to_coordinator.clear();
        self.agent.disconnected();
        self.parked.clear();
        self.run_commands();
    }

    fn worker_sends(&mut self) {
        let has_message = self.agent.has_message();
        let message = self.agent.next_message();
        assert_eq!(message.is_some(), has_message);
        let Some(message) = message else { return };
        assert!(self.is_connected, "sent without a connection: {message:?}");
        match &message {
            FromWorker::Report { lease, points, .. } => {
                let known = self.acknowledged.get(lease).copied().unwrap_or(0);
                assert!(
                    points[0].epoch > known,
                    "lease {lease}: epoch {} sent again, but {known} is acknowledged",
                    points[0].epoch
                );
                assert!(!self.over.contains(lease));
            }
            FromWorker::Finished { lease, .. } => {
                assert!(!self.over.contains(lease), "the result of lease {lease} sent again")
            }
            FromWorker::Checkpointed { .. }
            | FromWorker::Restarted { .. }
            | FromWorker::Released { .. }
            | FromWorker::Hello(_)
            | FromWorker::Heartbeat { .. } => {}
        }
        self.to_coordinator.push_back(message);
    }

    fn worker_receives(&mut self) {
        let Some(message) = self.to_worker.pop_front() else { return };
        match &message {
            ToWorker::Ack { lease, stored: Stored::Epoch(epoch) } => {
                self.acknowledged.insert(*lease, *epoch);
            }
            ToWorker::Ack { lease, stored: Stored::Finished }
            | ToWorker::Revoke { lease, .. }
            | ToWorker::Stop { lease, .. } => {
                self.over.insert(*lease);
            }
            ToWorker::Park { lease } if !self.is_draining => {
                self.parked.insert(*lease);
            }
            ToWorker::Unpark { lease } => {
                self.parked.remove(lease);
            }
            ToWorker::Drain => {
                self.is_draining = true;
                self.parked.clear();
            }
            ToWorker::Welcome { .. } | ToWorker::Grant(_) | ToWorker::Park { .. } => {}
        }
        self.agent.on_message(message);
        self.run_commands();
    }

    fn run_commands(&mut self) {
        while let Some(command) = self.agent.next_command() {
            match command {
                Command::Start(grant) => {
                    assert!(
                        self.started.insert(grant.lease),
                        "lease {} started twice",
                        grant.lease
                    );
                    assert!(
                        !self.over.contains(&grant.lease),
                        "lease {} started after it was over",
                        grant.lease
                    );
                    self.runners.insert(grant.lease, Runner::default());
                    assert!(self.slots_in_use() <= self.slots, "more runners than slots");
                }
                Command::Park(lease) => {
                    let runner = self.runners.get_mut(&lease).expect("only a runner can be parked");
                    assert!(
                        !runner.is_parked && !runner.is_cancelled,
                        "lease {lease} parked twice, or after it was cancelled"
                    );
                    runner.is_parked = true;
                    self.reached.borrow_mut().runners_parked += 1;
                }
                Command::Unpark(lease) => {
                    let runner =
                        self.runners.get_mut(&lease).expect("only a runner can be unparked");
                    assert!(
                        runner.is_parked && !runner.is_cancelled,
                        "lease {lease} unparked without being parked"
                    );
                    assert!(
                        !self.parked.contains(&lease),
                        "lease {lease} unparked against the coordinator's request"
                    );
                    runner.is_parked = false;
                    assert!(self.slots_in_use() <= self.slots, "more runners than slots");
                    self.reached.borrow_mut().runners_unparked += 1;
                }
                Command::Leave(lease) => {
                    let runner = self.runners.get_mut(&lease).expect("only a runner can leave");
                    runner.leaves = true;
                }
                Command::Store(lease, state) => self.storing.push((lease, state.epoch)),
                Command::StoreModel(lease, _) => self.storing_models.push(lease),
                Command::Discard(_) | Command::Fetch(..) => {}
                Command::Cancel(lease) => {
                    self.runners
                        .get_mut(&lease)
                        .expect("only a runner can be cancelled")
                        .is_cancelled = true;
                    self.reached.borrow_mut().runners_cancelled += 1;
                }
            }
        }
        if self.runners.values().any(|runner| runner.is_cancelled)
            && self.agent.held_leases() >= self.slots
        {
            self.reached.borrow_mut().grants_while_a_runner_stops += 1;
        }
    }

    fn pick(&self, index: usize) -> Option<LeaseId> {
        self.runners.keys().nth(index % self.runners.len().max(1)).copied()
    }

    fn epoch(&mut self, index: usize) {
        let Some(lease) = self.pick(index) else { return };
        let runner = self.runners.get_mut(&lease).unwrap();
        // A parked runner may still report the epoch that it was about to complete.
        runner.epochs += 1;
        let metrics = point(runner.epochs);
        self.agent.on_event(RunnerEvent::Epoch { lease, metrics, seconds: 0.0 });
    }

    fn end(&mut self, index: usize, is_unable: bool) {
        let Some(lease) = self.pick(index) else { return };
        let runner = self.runners.remove(&lease).unwrap();
        self.reached.borrow_mut().ends_while_parked += u32::from(runner.is_parked);
        let last = (runner.epochs > 0).then(|| point(runner.epochs));
        let end = if is_unable {
            End::Unable { message: "no such file".into() }
        } else if (runner.is_cancelled || runner.leaves) && index.is_multiple_of(2) {
            End::Cancelled
        } else {
            End::Finished(Finished {
                outcome: Outcome::Completed,
                last,
                test: None,
                seconds: 1.0,
                memory_bytes: None,
                model: None,
            })
        };
        let epoch = runner.epochs;
        if !runner.is_cancelled && matches!(end, End::Finished(_)) {
            self.results.insert(lease, epoch);
        }
        if matches!(end, End::Finished(_)) && index.is_multiple_of(3) {
            let model = Box::new(worker::ModelBytes { epoch, bytes: vec![1].into() });
            self.agent.on_event(RunnerEvent::Model { lease, model });
        }
        self.agent.on_event(RunnerEvent::Ended { lease, end });
        self.run_commands();
    }

    fn checkpoint(&mut self, index: usize) {
        let Some(lease) = self.pick(index) else { return };
        let epoch = self.runners[&lease].epochs;
        let state = Box::new(worker::State { epoch, batch: 0, bytes: vec![1].into() });
        self.agent.on_event(RunnerEvent::Checkpoint { lease, state });
        self.run_commands();
    }

    /// Stores a model, or every fourth one not.
    fn store_model(&mut self, index: usize) {
        if self.storing_models.is_empty() {
            return;
        }
        let lease = self.storing_models.remove(index % self.storing_models.len());
        let blob = Blob { name: BlobName::from_hash([1; 32]), bytes: 1 };
        let stored = StoredModel { epoch: 1, blob };
        self.agent.on_model_stored(lease, (index % 4 < 3).then_some(stored));
        self.reached.borrow_mut().models += 1;
        self.run_commands();
    }

    fn store(&mut self, index: usize) {
        self.store_model(index);
        if self.storing.is_empty() {
            return;
        }
        let (lease, epoch) = self.storing.remove(index % self.storing.len());
        let blob = Blob { name: BlobName::from_hash([0; 32]), bytes: 1 };
        let stored = Checkpoint { epoch, batch: 0, blob };
        self.agent.on_stored(lease, (index % 8 < 7).then_some(stored));
        self.run_commands();
    }

    fn grant(&mut self) {
        if self.has_session {
            let lease = LeaseId(u64::try_from(self.leases.len()).unwrap() + 1);
            self.leases.insert(
                lease,
                Lease { state: State::Open, stored: 0, results: 0, checkpoint: None },
            );
            self.to_worker.push_back(grant(lease));
        }
    }

    fn open(&self, index: usize) -> Option<LeaseId> {
        let open: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.state == State::Open)
            .map(|(id, _)| *id)
            .collect();
        open.get(index % open.len().max(1)).copied()
    }

    fn revoke(&mut self, index: usize, message: fn(LeaseId) -> ToWorker) {
        let Some(lease) = self.open(index) else { return };
        self.leases.get_mut(&lease).unwrap().state = State::Revoked;
        if self.has_session {
            self.to_worker.push_back(message(lease));
        }
    }

    fn send_about_open(&mut self, index: usize, message: fn(LeaseId) -> ToWorker) {
        if let Some(lease) = self.open(index).filter(|_| self.has_session) {
            self.to_worker.push_back(message(lease));
        }
    }

    fn coordinator_receives(&mut self) {
        match self.to_coordinator.pop_front() {
            Some(FromWorker::Hello(hello)) => self.on_hello(&hello.held),
            Some(FromWorker::Report { lease, points, .. }) => self.on_report(lease, &points),
            Some(FromWorker::Finished { lease, result }) => self.on_finished(lease, &result),
            Some(FromWorker::Released { lease, release }) => {
                let known =
                    self.leases.get_mut(&lease).expect("only a granted lease can be released");
                if known.state == State::Open {
                    known.state = State::Released;
                }
                if matches!(release, Release::Unable { .. }) {
                    self.reached.borrow_mut().releases += 1;
                }
                if release == Release::Drained && known.checkpoint.is_some() {
                    self.reached.borrow_mut().checkpoints_of_released += 1;
                }
            }
            Some(FromWorker::Checkpointed { lease, checkpoint }) => {
                let lease = self.leases.get_mut(&lease).expect("only a granted lease has one");
                if lease.state == State::Open {
                    assert!(checkpoint.epoch <= lease.stored, "{checkpoint:?} of {lease:?}");
                    lease.checkpoint = Some(checkpoint.epoch);
                    self.reached.borrow_mut().checkpoints += 1;
                }
            }
            Some(FromWorker::Heartbeat { .. } | FromWorker::Restarted { .. }) | None => {}
        }
    }

    fn on_hello(&mut self, held: &[LeaseId]) {
        self.has_session = true;
        self.to_worker.push_back(ToWorker::Welcome {
            heartbeat_ms: 1_000,
            lease_ttl_ms: 5_000,
            store: StoreId(1),
            keeps_checkpoints: true,
        });
        for (id, lease) in &mut self.leases {
            if lease.state == State::Open && !held.contains(id) {
                lease.state = State::Lost;
                self.reached.borrow_mut().grants_lost += 1;
            }
        }
        for lease in held {
            match self.leases.get(lease).expect("only a granted lease can be held").state {
                State::Open | State::Finished => {}
                State::Revoked | State::Released | State::Lost => {
                    self.to_worker
                        .push_back(ToWorker::Revoke { lease: *lease, reason: "stale".into() });
                }
            }
        }
    }

    fn on_report(&mut self, id: LeaseId, points: &[EpochMetrics]) {
        let lease = self.leases.get_mut(&id).expect("only a granted lease can report");
        let first = points[0].epoch;
        let consecutive = points.iter().zip(first..).all(|(point, epoch)| point.epoch == epoch);
        assert!(consecutive, "{points:?}");
        if lease.state != State::Open {
            self.to_worker.push_back(ToWorker::Revoke { lease: id, reason: "stale".into() });
            return;
        }
        assert!(
            first <= lease.stored + 1,
            "lease {id}: epochs after {} are missing before {first}",
            lease.stored
        );
        if first <= lease.stored {
            self.reached.borrow_mut().epochs_sent_again += 1;
        }
        lease.stored = lease.stored.max(points[points.len() - 1].epoch);
        self.to_worker.push_back(ToWorker::Ack { lease: id, stored: Stored::Epoch(lease.stored) });
    }

    fn on_finished(&mut self, id: LeaseId, result: &Finished) {
        let lease = self.leases.get_mut(&id).expect("only a granted lease can finish");
        match lease.state {
            State::Open => {
                assert_eq!(
                    result.last.map_or(0, |last| last.epoch),
                    lease.stored,
                    "lease {id} ended before all its epochs were reported"
                );
                lease.state = State::Finished;
                lease.results += 1;
            }
            State::Finished => self.reached.borrow_mut().results_sent_again += 1,
            State::Revoked | State::Released | State::Lost => {
                self.to_worker.push_back(ToWorker::Revoke { lease: id, reason: "stale".into() });
                return;
            }
        }
        self.to_worker.push_back(ToWorker::Ack { lease: id, stored: Stored::Finished });
    }

    /// Lets every trial end on a connection that no longer breaks.
    fn settle(&mut self) {
        // A trial that remains parked would never end.
        (0..self.leases.len()).for_each(|index| self.perform(&Step::Unpark(index)));
        for _ in 0..10_000 {
            self.dial();
            for step in [
                Step::WorkerSends,
                Step::CoordinatorReceives,
                Step::WorkerReceives,
                Step::Finish(0),
                Step::Stored(0),
            ] {
                self.perform(&step);
            }
            let is_idle = self.to_worker.is_empty()
                && self.to_coordinator.is_empty()
                && !self.agent.has_message();
            if is_idle
                && self.runners.is_empty()
                && self.has_session
                && self.agent.held_leases() == 0
            {
                return;
            }
        }
        panic!("the agent never becomes idle: {:?}", self.agent);
    }

    fn check(&self) {
        for (id, lease) in &self.leases {
            assert_ne!(lease.state, State::Open, "lease {id} never ended");
            assert_eq!(lease.results, u32::from(lease.state == State::Finished));
        }
        for (id, epochs) in &self.results {
            let lease = &self.leases[id];
            assert!(
                matches!(lease.state, State::Finished | State::Revoked),
                "the result of lease {id} was lost: {lease:?}"
            );
            assert!(
                lease.state == State::Revoked || lease.stored == *epochs,
                "lease {id}: {lease:?}, expected {epochs} stored epochs"
            );
        }
    }
}

#[test]
fn no_result_is_lost_or_counted_twice_in_any_order_of_steps() {
    let reached = RefCell::new(Reached::default());
    let config = Config { cases: 800, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let steps = |most| proptest::collection::vec(step(), 1..most);
    let cases = (1u32..4, steps(200), proptest::option::of(steps(120)));
    let tried = runner.run(&cases, |(slots, steps, last_steps)| {
        let mut world = World::new(slots, &reached);
        steps.iter().for_each(|step| world.perform(step));
        if let Some(steps) = last_steps {
            world.perform(&Step::Leave);
            steps.iter().for_each(|step| world.perform(step));
        }
        world.settle();
        world.check();
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
    let reached = reached.into_inner();
    assert!(reached.is_enough(), "{reached:?}");
}
