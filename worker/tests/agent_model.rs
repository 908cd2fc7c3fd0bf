//! The agent against a model of the coordinator, over a wire that may break at any message, in
//! random order.
//!
//! Whatever happens: a result that a runner finished is stored exactly once unless its lease was
//! revoked, with every epoch before it; what is known to be acknowledged is not said again; no more
//! runners run than there are slots, and none for a lease that is known to be revoked or stopped;
//! and every slot is used while anything that is not parked waits for one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on should panic where it stands"
)]

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use caviar_common::ids::{LeaseId, StoreId};
use caviar_common::message::{Finished, FromWorker, Release, Stored, ToWorker};
use caviar_common::metric::EpochMetrics;
use caviar_common::outcome::Outcome;
use caviar_worker::agent::{Agent, Command, End, RunnerEvent};
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::{agent, grant, point};

#[derive(Clone, Debug)]
enum Step {
    Dial,
    Lose,
    /// The worker puts a message on the wire, or the coordinator takes one off, or the worker does.
    Speak,
    Hear,
    Listen,
    Grant,
    Revoke(usize),
    /// As the coordinator does at a rung.
    Stop(usize),
    Park(usize),
    Unpark(usize),
    Epoch(usize),
    Finish(usize),
    Unable(usize),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Dial),
        2 => Just(Step::Lose),
        12 => Just(Step::Speak),
        12 => Just(Step::Hear),
        14 => Just(Step::Listen),
        8 => Just(Step::Grant),
        2 => any::<usize>().prop_map(Step::Revoke),
        2 => any::<usize>().prop_map(Step::Stop),
        5 => any::<usize>().prop_map(Step::Park),
        3 => any::<usize>().prop_map(Step::Unpark),
        12 => any::<usize>().prop_map(Step::Epoch),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Unable),
        1 => Just(Step::Drain),
    ]
}

/// How a lease stands with the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Revoked,
    Released,
    /// A Hello did not list it: its trial is queued again.
    Lost,
}

#[derive(Debug)]
struct Lease {
    state: State,
    stored: u32,
    results: u32,
}

#[derive(Debug, Default)]
struct Runner {
    epochs: u32,
    is_cancelled: bool,
    is_held: bool,
}

/// How often the paths that matter were taken.
#[derive(Debug, Default)]
struct Reached {
    results_said_again: u32,
    epochs_said_again: u32,
    grants_lost: u32,
    runners_cancelled: u32,
    slots_awaited: u32,
    releases: u32,
    runners_held: u32,
    runners_continued: u32,
    ends_while_held: u32,
}

struct World<'a> {
    agent: Agent,
    slots: usize,
    runners: BTreeMap<LeaseId, Runner>,
    /// What the worker has been told.
    acknowledged: BTreeMap<LeaseId, u32>,
    over: BTreeSet<LeaseId>,
    /// What the worker has been told to park.
    parked: BTreeSet<LeaseId>,
    is_draining: bool,
    started: BTreeSet<LeaseId>,
    /// Epochs of every result that a runner came to before it was cancelled.
    results: BTreeMap<LeaseId, u32>,
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
            is_connected: false,
            to_worker: VecDeque::new(),
            to_coordinator: VecDeque::new(),
            has_session: false,
            leases: BTreeMap::new(),
            reached,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Dial => self.dial(),
            Step::Lose => self.lose(),
            Step::Speak => self.speak(),
            Step::Hear => self.hear(),
            Step::Listen => self.listen(),
            Step::Grant => self.grant(),
            Step::Revoke(index) => {
                self.revoke(*index, |lease| ToWorker::Revoke { lease, reason: "taken away".into() })
            }
            Step::Stop(index) => {
                self.revoke(*index, |lease| ToWorker::Stop { lease, reason: "weak".into() })
            }
            Step::Park(index) => self.say_of_open(*index, |lease| ToWorker::Park { lease }),
            Step::Unpark(index) => self.say_of_open(*index, |lease| ToWorker::Unpark { lease }),
            Step::Epoch(index) => self.epoch(*index),
            Step::Finish(index) => self.end(*index, false),
            Step::Unable(index) => self.end(*index, true),
            Step::Drain if self.has_session => self.to_worker.push_back(ToWorker::Drain),
            Step::Drain => {}
        }
        for (lease, runner) in &self.runners {
            assert!(
                runner.is_cancelled || !self.over.contains(lease),
                "lease {lease} is over and trained on"
            );
        }
        let waits = self.runners.iter().any(|(lease, runner)| {
            runner.is_held && !runner.is_cancelled && !self.parked.contains(lease)
        });
        assert!(
            !waits || self.busy() >= self.slots,
            "a slot is free, and a trial that is not parked waits"
        );
    }

    /// Slots in use: one that was told to stop may still train.
    fn busy(&self) -> usize {
        self.runners.values().filter(|runner| !runner.is_held || runner.is_cancelled).count()
    }

    fn dial(&mut self) {
        if !self.is_connected {
            self.is_connected = true;
            let hello = self.agent.hello();
            self.parked.clear();
            self.obey();
            self.to_coordinator.push_back(FromWorker::Hello(hello));
        }
    }

    fn lose(&mut self) {
        self.is_connected = false;
        self.has_session = false;
        self.to_worker.clear();
        self.to_coordinator.clear();
        self.agent.disconnected();
        self.parked.clear();
        self.obey();
    }

    fn speak(&mut self) {
        let has_message = self.agent.has_message();
        let message = self.agent.next_message();
        assert_eq!(message.is_some(), has_message);
        let Some(message) = message else { return };
        assert!(self.is_connected, "said without a connection: {message:?}");
        match &message {
            FromWorker::Report { lease, points } => {
                let known = self.acknowledged.get(lease).copied().unwrap_or(0);
                assert!(
                    points[0].epoch > known,
                    "lease {lease}: epoch {} said again, {known} acknowledged",
                    points[0].epoch
                );
                assert!(!self.over.contains(lease));
            }
            FromWorker::Finished { lease, .. } => {
                assert!(!self.over.contains(lease), "the end of {lease} said again")
            }
            FromWorker::Released { .. } | FromWorker::Hello(_) | FromWorker::Heartbeat => {}
        }
        self.to_coordinator.push_back(message);
    }

    fn listen(&mut self) {
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
        self.obey();
    }

    fn obey(&mut self) {
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
                        "lease {} started when it was over",
                        grant.lease
                    );
                    self.runners.insert(grant.lease, Runner::default());
                    assert!(self.busy() <= self.slots, "more runners than slots");
                }
                Command::Hold(lease) => {
                    let runner = self.runners.get_mut(&lease).expect("only a runner can be held");
                    assert!(
                        !runner.is_held && !runner.is_cancelled,
                        "lease {lease} held twice, or after its end"
                    );
                    runner.is_held = true;
                    self.reached.borrow_mut().runners_held += 1;
                }
                Command::Continue(lease) => {
                    let runner = self.runners.get_mut(&lease).expect("only a runner can go on");
                    assert!(runner.is_held && !runner.is_cancelled, "lease {lease} was not held");
                    assert!(!self.parked.contains(&lease), "lease {lease} is parked and goes on");
                    runner.is_held = false;
                    assert!(self.busy() <= self.slots, "more runners than slots");
                    self.reached.borrow_mut().runners_continued += 1;
                }
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
            && self.agent.held() >= self.slots
        {
            self.reached.borrow_mut().slots_awaited += 1;
        }
    }

    fn pick(&self, index: usize) -> Option<LeaseId> {
        self.runners.keys().nth(index % self.runners.len().max(1)).copied()
    }

    fn epoch(&mut self, index: usize) {
        let Some(lease) = self.pick(index) else { return };
        let runner = self.runners.get_mut(&lease).unwrap();
        // The one that was under way when it was told to wait may still come.
        runner.epochs += 1;
        let metrics = point(runner.epochs);
        self.agent.on_event(RunnerEvent::Epoch { lease, metrics });
    }

    fn end(&mut self, index: usize, is_unable: bool) {
        let Some(lease) = self.pick(index) else { return };
        let runner = self.runners.remove(&lease).unwrap();
        self.reached.borrow_mut().ends_while_held += u32::from(runner.is_held);
        let last = (runner.epochs > 0).then(|| point(runner.epochs));
        let end = if is_unable {
            End::Unable { message: "no such file".into() }
        } else if runner.is_cancelled && index.is_multiple_of(2) {
            End::Cancelled
        } else {
            End::Finished(Finished {
                outcome: Outcome::Completed,
                last,
                test: None,
                seconds: 1.0,
                memory_bytes: None,
            })
        };
        if !runner.is_cancelled && !is_unable {
            self.results.insert(lease, runner.epochs);
        }
        self.agent.on_event(RunnerEvent::Ended { lease, end });
        self.obey();
    }

    fn grant(&mut self) {
        if self.has_session {
            let lease = LeaseId(u64::try_from(self.leases.len()).unwrap() + 1);
            self.leases.insert(lease, Lease { state: State::Open, stored: 0, results: 0 });
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

    fn say_of_open(&mut self, index: usize, message: fn(LeaseId) -> ToWorker) {
        if let Some(lease) = self.open(index).filter(|_| self.has_session) {
            self.to_worker.push_back(message(lease));
        }
    }

    fn hear(&mut self) {
        match self.to_coordinator.pop_front() {
            Some(FromWorker::Hello(hello)) => self.hear_hello(&hello.held),
            Some(FromWorker::Report { lease, points }) => self.hear_report(lease, &points),
            Some(FromWorker::Finished { lease, result }) => self.hear_finished(lease, &result),
            Some(FromWorker::Released { lease, release }) => {
                let known =
                    self.leases.get_mut(&lease).expect("only what was granted can be given back");
                if known.state == State::Open {
                    known.state = State::Released;
                }
                if matches!(release, Release::Unable { .. }) {
                    self.reached.borrow_mut().releases += 1;
                }
            }
            Some(FromWorker::Heartbeat) | None => {}
        }
    }

    fn hear_hello(&mut self, held: &[LeaseId]) {
        self.has_session = true;
        self.to_worker.push_back(ToWorker::Welcome {
            heartbeat_ms: 1_000,
            lease_ttl_ms: 5_000,
            store: StoreId(1),
        });
        for (id, lease) in &mut self.leases {
            if lease.state == State::Open && !held.contains(id) {
                lease.state = State::Lost;
                self.reached.borrow_mut().grants_lost += 1;
            }
        }
        for lease in held {
            match self.leases.get(lease).expect("only what was granted can be held").state {
                State::Open | State::Finished => {}
                State::Revoked | State::Released | State::Lost => {
                    self.to_worker
                        .push_back(ToWorker::Revoke { lease: *lease, reason: "stale".into() });
                }
            }
        }
    }

    fn hear_report(&mut self, id: LeaseId, points: &[EpochMetrics]) {
        let lease = self.leases.get_mut(&id).expect("only what was granted is reported");
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
            self.reached.borrow_mut().epochs_said_again += 1;
        }
        lease.stored = lease.stored.max(points[points.len() - 1].epoch);
        self.to_worker.push_back(ToWorker::Ack { lease: id, stored: Stored::Epoch(lease.stored) });
    }

    fn hear_finished(&mut self, id: LeaseId, result: &Finished) {
        let lease = self.leases.get_mut(&id).expect("only what was granted ends");
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
            State::Finished => self.reached.borrow_mut().results_said_again += 1,
            State::Revoked | State::Released | State::Lost => {
                self.to_worker.push_back(ToWorker::Revoke { lease: id, reason: "stale".into() });
                return;
            }
        }
        self.to_worker.push_back(ToWorker::Ack { lease: id, stored: Stored::Finished });
    }

    /// Lets everything come to its end on a wire that holds.
    fn settle(&mut self) {
        // What is parked would wait for ever.
        (0..self.leases.len()).for_each(|index| self.take(&Step::Unpark(index)));
        for _ in 0..10_000 {
            self.dial();
            for step in [Step::Speak, Step::Hear, Step::Listen, Step::Finish(0)] {
                self.take(&step);
            }
            let is_quiet = self.to_worker.is_empty()
                && self.to_coordinator.is_empty()
                && !self.agent.has_message();
            if is_quiet && self.runners.is_empty() && self.has_session && self.agent.held() == 0 {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.agent);
    }

    fn check(&self) {
        for (id, lease) in &self.leases {
            assert_ne!(lease.state, State::Open, "lease {id} is open for ever");
            assert_eq!(lease.results, u32::from(lease.state == State::Finished));
        }
        for (id, epochs) in &self.results {
            let lease = &self.leases[id];
            assert!(
                matches!(lease.state, State::Finished | State::Revoked),
                "the result of lease {id} got lost: {lease:?}"
            );
            assert!(
                lease.state == State::Revoked || lease.stored == *epochs,
                "lease {id}: {lease:?}, not {epochs} epochs"
            );
        }
    }
}

#[test]
fn nothing_is_lost_and_nothing_counts_twice_in_any_order() {
    let reached = RefCell::new(Reached::default());
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let cases = (1u32..4, proptest::collection::vec(step(), 1..200));
    let tried = runner.run(&cases, |(slots, steps)| {
        let mut world = World::new(slots, &reached);
        steps.iter().for_each(|step| world.take(step));
        world.settle();
        world.check();
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
    let reached = reached.into_inner();
    let counts = [
        reached.results_said_again,
        reached.epochs_said_again,
        reached.grants_lost,
        reached.runners_cancelled,
    ];
    let held = [reached.runners_held, reached.runners_continued, reached.ends_while_held];
    assert!(
        counts
            .iter()
            .chain(&held)
            .chain(&[reached.slots_awaited, reached.releases])
            .all(|count| *count > 20),
        "{reached:?}"
    );
}
