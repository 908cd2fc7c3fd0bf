//! A simulated cluster in one thread: the real state machines of the coordinator and of workers,
//! with simulated connections, trainings and time.
//!
//! A run is a function of its seed, which decides the message that arrives next, the training that
//! advances, the connection that breaks, the worker that crashes, and when the coordinator restarts
//! from its events. The result of a sweep must not depend on the seed.

use std::collections::{BTreeMap, VecDeque};

use caviar_common::data::DataSummary;
use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, StoreId, SweepId};
use caviar_common::message::{Finished, FromWorker, Grant, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Job, Outcome, SweepState};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::SweepSpec;
use caviar_common::view::TrialView;
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Config, Effect, Input, Reply, SamplingJob};
use caviar_core::tables::{Tables, TrialFilter};
use caviar_worker::agent::{Agent, Command, End, Identity, RunnerEvent};

/// How often each fault happens, per 1,000 actions.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A connection breaks, and the messages on it are lost.
    pub breaks: u64,
    /// A worker crashes, and a new process takes its name.
    pub crashes: u64,
    /// The coordinator restarts from its events.
    pub restarts: u64,
    /// All workers are silent for a while, or the coordinator is stopped for a while.
    pub silences: u64,
    /// The trial that crashes every worker that trains it.
    pub poison: Option<u32>,
    /// True if every worker has a twin: another process of the same name at the same time.
    pub twins: bool,
    /// True if trials differ in speed by up to a factor of 16, differently on each worker.
    pub uneven: bool,
}

impl Faults {
    /// No faults, and equal speeds.
    pub const NONE: Self = Self {
        breaks: 0,
        crashes: 0,
        restarts: 0,
        silences: 0,
        poison: None,
        twins: false,
        uneven: false,
    };
}

/// A running training or scoring.
#[derive(Debug)]
struct Execution {
    grant: Grant,
    epoch: u32,
    is_parked: bool,
    /// It advances in one of this many actions.
    slowness: u64,
}

/// A worker's process and its connection.
#[derive(Debug)]
struct Node {
    name: Name,
    slots: u32,
    incarnation: Incarnation,
    agent: Agent,
    jobs: BTreeMap<LeaseId, Execution>,
    /// How often the worker was told to park a trial.
    parkings: u64,
    session: Option<SessionId>,
    to_coordinator: VecDeque<FromWorker>,
    to_worker: VecDeque<ToWorker>,
}

impl Node {
    fn new(name: &Name, slots: u32, incarnation: u64) -> Self {
        let incarnation = Incarnation(incarnation);
        let agent =
            Agent::new(Identity { worker: name.clone(), incarnation, slots, can_park: true });
        let (to_coordinator, to_worker) = (VecDeque::new(), VecDeque::new());
        Self {
            name: name.clone(),
            slots,
            incarnation,
            agent,
            jobs: BTreeMap::new(),
            parkings: 0,
            session: None,
            to_coordinator,
            to_worker,
        }
    }

    fn disconnect(&mut self) {
        self.session = None;
        self.agent.disconnected();
        self.obey();
        self.to_coordinator.clear();
        self.to_worker.clear();
    }

    fn obey(&mut self) {
        while let Some(command) = self.agent.next_command() {
            match command {
                Command::Start(grant) => {
                    let slowness = 1
                        << Seed::derive(self.incarnation.0, grant.lease.0, Purpose::Shuffle)
                            .stream(0)
                            .below(5);
                    self.jobs.insert(
                        grant.lease,
                        Execution { grant: *grant, epoch: 0, is_parked: false, slowness },
                    );
                }
                Command::Park(lease) => {
                    self.jobs.get_mut(&lease).expect("it trains").is_parked = true;
                    self.parkings += 1;
                }
                Command::Unpark(lease) => {
                    self.jobs.get_mut(&lease).expect("it trains").is_parked = false
                }
                Command::Cancel(lease) => {
                    if self.jobs.remove(&lease).is_some() {
                        self.agent.on_event(RunnerEvent::Ended { lease, end: End::Cancelled });
                    }
                }
            }
        }
    }

    fn speak(&mut self) {
        while let Some(message) = self.agent.next_message() {
            self.to_coordinator.push_back(message);
        }
    }
}

/// The simulated cluster.
#[derive(Debug)]
pub struct Simulation {
    core: Coordinator,
    tables: Tables,
    config: Config,
    /// All stored events, in order.
    pub events: Vec<Event>,
    now: u64,
    nodes: Vec<Node>,
    chance: Stream,
    next_session: u64,
    next_incarnation: u64,
    faults: Faults,
    trained: u64,
    /// Questions for samplers that are not answered yet.
    jobs: VecDeque<SamplingJob>,
}

impl Simulation {
    /// A cluster with one worker for every entry of `slots`, or two with twins.
    pub fn new(seed: u64, slots: &[u32], faults: Faults) -> Self {
        let config = Config { lease_ttl_ms: 1_000, max_lost_workers: 5, least_stall_ms: 1_000_000 };
        let name = |i: usize| {
            Name::parse("worker", &format!("worker-{}", i % slots.len())).expect("a legal name")
        };
        let all = slots.repeat(if faults.twins { 2 } else { 1 });
        let nodes = all
            .iter()
            .enumerate()
            .map(|(i, slots)| Node::new(&name(i), *slots, i as u64))
            .collect();
        let chance = Seed::derive(seed, 0, Purpose::Shuffle).stream(0);
        let core = Coordinator::new(config, STORE);
        Self {
            core,
            tables: Tables::default(),
            config,
            events: Vec::new(),
            now: 0,
            nodes,
            chance,
            next_session: 1,
            next_incarnation: 1_000,
            faults,
            trained: 0,
            jobs: VecDeque::new(),
        }
    }

    /// Submits a sweep on invented data.
    pub fn submit(&mut self, spec: &SweepSpec) -> SweepId {
        let data = DataSummary {
            train: 1_000,
            validation: 200,
            test: 100,
            features: 16,
            outputs: 4,
            digest: "00".to_owned(),
        };
        let request_id = spec.name.clone();
        match self.step(Input::CreateSweep { request_id, spec: Box::new(spec.clone()), data }) {
            Some(Reply::Sweep(sweep)) => sweep,
            other => panic!("the sweep was not created: {other:?}"),
        }
    }

    /// Takes actions until the sweep is completed. After `patience` actions there are no more
    /// faults.
    pub fn run(&mut self, sweep: SweepId, patience: usize) {
        for action in 0.. {
            if self.core.sweep(sweep).expect("the sweep is there").state == SweepState::Completed {
                return;
            }
            if action == patience {
                self.faults = Faults {
                    poison: self.faults.poison,
                    uneven: self.faults.uneven,
                    ..Faults::NONE
                };
            }
            assert!(
                action < patience + 200_000,
                "the sweep does not end: {:?}",
                self.core.sweep(sweep)
            );
            self.act();
        }
    }

    /// All trials with their curves, without what may differ between runs: training times, workers
    /// and attempts.
    pub fn result(&self, sweep: SweepId) -> Vec<TrialView> {
        let filter = TrialFilter { limit: usize::MAX, with_curves: true, ..TrialFilter::default() };
        let mut trials = self.tables.trials(sweep, &filter).expect("the sweep is there");
        for trial in &mut trials {
            trial.worker = None;
            trial.seconds = None;
            trial.attempts.0 = 0;
        }
        trials
    }

    /// Epochs that workers have trained so far, whether they count or not.
    pub const fn trained(&self) -> u64 {
        self.trained
    }

    /// How often the workers that are alive now were told to park a trial.
    pub fn parkings(&self) -> u64 {
        self.nodes.iter().map(|node| node.parkings).sum()
    }

    /// The coordinator's state machine.
    pub fn core(&self) -> &Coordinator {
        &self.core
    }

    fn act(&mut self) {
        // Faults must not fail a trial that causes none. In practice too, they rarely hit the same
        // trial every time.
        let fault = if self.is_on_the_edge() { u64::MAX } else { self.chance.below(1_000) };
        let node = self.chance.below(self.nodes.len() as u64) as usize;
        let mut bound = self.faults.breaks;
        if fault < bound {
            return self.disconnect(node);
        }
        bound += self.faults.crashes;
        if fault < bound {
            return self.crash(node);
        }
        bound += self.faults.restarts;
        if fault < bound {
            return self.restart();
        }
        bound += self.faults.silences;
        if fault < bound {
            return self.fall_silent();
        }
        self.now += 1;
        if self.now.is_multiple_of(self.config.lease_ttl_ms / 8) {
            self.step(Input::Tick);
        }
        // Any time may pass until a sampler replies.
        if !self.jobs.is_empty()
            && self.chance.below(4) == 0
            && let Some(job) = self.jobs.pop_front()
        {
            self.step(Input::Sampled(Box::new(job.run())));
        }
        match self.chance.below(4) {
            0 => self.connect_or_beat(node),
            1 => self.deliver_to_coordinator(node),
            2 => self.deliver_to_worker(node),
            _ => self.train(node),
        }
    }

    /// All workers are silent for some time while the coordinator runs, or the coordinator itself
    /// is stopped for much longer.
    fn fall_silent(&mut self) {
        let ttl = self.config.lease_ttl_ms;
        if self.chance.below(4) == 0 {
            self.now += 20 * ttl;
            self.step(Input::Tick);
            return;
        }
        for _ in 0..self.chance.below(24) {
            self.now += ttl / 8;
            self.step(Input::Tick);
            if self.is_on_the_edge() {
                return;
            }
        }
    }

    /// True if a few more lost workers would fail a trial that crashes none. Workers that are
    /// silent already may still be lost.
    fn is_on_the_edge(&self) -> bool {
        let last = self.config.max_lost_workers - 3;
        let mut trials = self.core.record().sweeps().values().flat_map(|s| s.trials_in_flight());
        let mut scorings = self.core.record().sweeps().values().filter_map(|s| s.scoring());
        trials.any(|t| {
            t.losses() >= last && !t.state().is_final() && Some(t.number().0) != self.faults.poison
        }) || scorings.any(|s| s.losses() >= last)
    }

    /// The coordinator handles an input. Before the next one it takes all decisions, or none, or
    /// only some, as if a sampler took too long.
    fn step(&mut self, input: Input) -> Option<Reply> {
        let step = self.core.hear(self.now, input).expect("no invariant is broken");
        let (mut events, mut effects) = (step.events, step.effects);
        if self.chance.below(4) > 0 {
            let chance = &mut self.chance;
            let decided =
                self.core.decide(&mut || chance.below(4) > 0).expect("no invariant is broken");
            events.extend(decided.events);
            effects.extend(decided.effects);
            self.jobs.extend(decided.jobs);
        }
        self.tables.update(&events, self.core.take_rows());
        self.events.extend(events);
        for effect in effects {
            match effect {
                Effect::Send(session, message) => {
                    if let Some(node) = self.nodes.iter_mut().find(|n| n.session == Some(session)) {
                        node.to_worker.push_back(message);
                    }
                }
                Effect::Close(session, _) => {
                    if let Some(node) = self.nodes.iter_mut().find(|n| n.session == Some(session)) {
                        node.disconnect();
                    }
                }
                Effect::Answer(..) | Effect::Changed(_) => {}
            }
        }
        step.reply.ok()
    }

    fn connect_or_beat(&mut self, node: usize) {
        if self.nodes[node].session.is_some() {
            let session = self.nodes[node].session;
            if let Some(session) = session {
                self.step(Input::Message { session, message: FromWorker::Heartbeat });
            }
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let node = &mut self.nodes[node];
        node.session = Some(session);
        let hello = FromWorker::Hello(node.agent.hello());
        node.obey();
        node.to_coordinator.push_back(hello);
        self.deliver(session);
    }

    fn deliver(&mut self, session: SessionId) {
        let node = self.nodes.iter_mut().find(|n| n.session == Some(session));
        if let Some(message) = node.and_then(|n| n.to_coordinator.pop_front()) {
            self.step(Input::Message { session, message });
        }
    }

    fn deliver_to_coordinator(&mut self, node: usize) {
        self.nodes[node].speak();
        if let Some(session) = self.nodes[node].session {
            self.deliver(session);
        }
    }

    fn deliver_to_worker(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(message) = node.to_worker.pop_front() {
            node.agent.on_message(message);
            node.obey();
        }
        assert!(
            node.jobs.values().filter(|job| !job.is_parked).count() <= node.slots as usize,
            "{} trains more than it has slots",
            node.name
        );
    }

    /// Trains one epoch of one of the worker's trials.
    fn train(&mut self, at: usize) {
        let jobs = self.nodes[at].jobs.values().filter(|job| !job.is_parked).count() as u64;
        let pick = self.chance.below(jobs) as usize;
        let node = &mut self.nodes[at];
        let Some((lease, job)) = node.jobs.iter_mut().filter(|(_, job)| !job.is_parked).nth(pick)
        else {
            return;
        };
        if self.faults.uneven && self.chance.below(job.slowness) > 0 {
            return;
        }
        if job.grant.job == Job::Train && Some(job.grant.trial.0) == self.faults.poison {
            return self.crash(at);
        }
        let lease = *lease;
        job.epoch += 1;
        let metrics = measure(&job.grant, job.epoch);
        self.trained += u64::from(job.grant.job == Job::Train);
        let is_over = job.epoch == epochs(&job.grant) || !metrics.is_finite();
        if job.grant.job == Job::Train {
            node.agent.on_event(RunnerEvent::Epoch {
                lease,
                metrics,
                seconds: f64::from(job.epoch),
            });
        }
        if is_over {
            let outcome = if metrics.is_finite() { Outcome::Completed } else { Outcome::Diverged };
            let test = (job.grant.job == Job::Score).then_some(metrics.validation);
            node.jobs.remove(&lease);
            let result = Finished {
                outcome,
                last: Some(metrics),
                test,
                seconds: 1.0,
                memory_bytes: Some(4096),
            };
            node.agent.on_event(RunnerEvent::Ended { lease, end: End::Finished(result) });
            node.obey();
        }
    }

    fn disconnect(&mut self, node: usize) {
        if let Some(session) = self.nodes[node].session {
            self.nodes[node].disconnect();
            self.step(Input::SessionClosed(session));
        }
    }

    fn crash(&mut self, node: usize) {
        self.disconnect(node);
        self.next_incarnation += 1;
        let old = &self.nodes[node];
        assert_ne!(old.incarnation.0, self.next_incarnation);
        self.nodes[node] = Node::new(&old.name.clone(), old.slots, self.next_incarnation);
    }

    /// The coordinator crashes and restarts from its events.
    fn restart(&mut self) {
        for node in &mut self.nodes {
            node.disconnect();
        }
        let recovered =
            Coordinator::recover(self.config, STORE, self.now, self.events.iter().cloned())
                .expect("the events fit");
        // As text, because the loss of a diverged trial is NaN, which is not equal to itself.
        let same = format!("{:?}", recovered.record()) == format!("{:?}", self.core.record());
        assert!(same, "replay differs from live after {} events", self.events.len());
        self.core = recovered;
        self.jobs.clear();
    }
}

/// The decisions, in order. In virtual time they must not depend on anything else.
pub fn decisions(events: &[Event]) -> Vec<&Event> {
    let is_decision = |e: &&Event| {
        matches!(
            e.payload,
            Payload::TrialSampled(_)
                | Payload::TrialPassed(_)
                | Payload::TrialStopped(_)
                | Payload::TrialDecided(_)
                | Payload::ScoringStarted(_)
                | Payload::SweepCompleted
        )
    };
    events.iter().filter(is_decision).collect()
}

const STORE: StoreId = StoreId(7);

/// Epochs of a simulated training unless its sweep has others.
pub const EPOCHS: u32 = 3;

fn epochs(grant: &Grant) -> u32 {
    let epochs = grant
        .assignment
        .get("epochs")
        .or_else(|| grant.fixed.get("epochs"))
        .and_then(|v| v.as_i64());
    epochs.and_then(|epochs| u32::try_from(epochs).ok()).expect("the spec has epochs")
}

/// The metrics of a simulated training. They depend on the learning rate only: best at 0.01, and
/// diverging above 0.3.
fn measure(grant: &Grant, epoch: u32) -> EpochMetrics {
    let rate = grant
        .assignment
        .get("learning_rate")
        .and_then(|v| v.as_f64())
        .expect("a learning rate is searched");
    let distance = (rate.log10() + 2.0).abs();
    let loss = if rate > 0.3 && epoch > 1 { f64::NAN } else { distance + 1.0 / f64::from(epoch) };
    let score = Score { loss, accuracy: Some(1.0 / (1.0 + distance)) };
    EpochMetrics { epoch, train: score, validation: score }
}
