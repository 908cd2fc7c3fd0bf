//! A simulated cluster in one thread: the real state machines of the coordinator and of workers,
//! with simulated connections, trainings, external clients, operators and time.
//!
//! A run is a function of its seed, which decides the message that arrives next, the training that
//! advances, the connection that breaks, the worker that crashes, and when the coordinator restarts
//! from its events. The result of a sweep in virtual time must not depend on the seed.
//!
//! - `faults`: what goes wrong, how often, and the random streams.
//! - `node`: a worker's process. `workers`: what happens to workers.
//! - `clients`: programs that run the trials of external sweeps.
//! - `operators`: people who pause, release, drain, cancel and delete.
//! - `plans`: changes by a person at a place of a sweep's record.
//! - `oracle`: what must hold in every run.
//! - `training`: what trainings measure.
//! - `marks`: counts of the faults and branches that a run reached. `trace`: a hash of the run.

mod clients;
mod faults;
mod marks;
mod node;
mod operators;
mod oracle;
mod plans;
mod snapshots;
mod trace;
mod training;
mod workers;

use std::collections::BTreeMap;
use std::fmt::Debug;

use caviar_common::data::DataSummary;
use caviar_common::ids::{Name, StoreId, SweepId};
use caviar_common::outcome::SweepState;
use caviar_common::spec::SweepSpec;
use caviar_common::view::TrialView;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Config, Effect, Input, Refusal, Reply, SamplingJob};
use caviar_core::tables::{Tables, TrialFilter};
use caviar_core::{Coordinator, Replay};

pub use faults::{Faults, Source};
pub use marks::{Mark, Marks};
pub use plans::Change;
pub use training::{EPOCHS, ERROR};

use clients::Clients;
use faults::Streams;
use node::{Machine, Node};
use operators::Operators;
use oracle::Oracle;
use plans::Plan;
use snapshots::Snapshots;
use trace::Trace;

const STORE: StoreId = StoreId(7);
/// The widest network that a small worker can train, in units of a layer.
const SMALL: u32 = 100;
/// If something ends only with time, much time passes in one of this many actions.
const LEAP: usize = 64;
/// Most actions that a run may take after its faults have ended.
const MOST_CALM_ACTIONS: usize = 200_000;

/// A sampler that was asked and has not replied yet.
#[derive(Debug)]
struct Thought {
    job: SamplingJob,
    /// How many of the next actions it needs.
    actions: u64,
}

/// A simulated cluster, and everything that has happened in it.
#[derive(Debug)]
pub struct Simulation {
    core: Coordinator,
    tables: Tables,
    config: Config,
    /// All stored events, in order.
    pub events: Vec<Event>,
    now: u64,
    /// How many inputs the coordinator has heard.
    steps: u64,
    nodes: Vec<Node>,
    clients: Clients,
    operators: Operators,
    thoughts: Vec<Thought>,
    streams: Streams,
    faults: Faults,
    /// True if the coordinator crashes during the next input of a worker or a client.
    loses_batch: bool,
    /// The resizes that are still to come.
    plans: Vec<Plan>,
    snapshots: Snapshots,
    fired: Vec<(usize, Source)>,
    marks: Marks,
    oracle: Oracle,
    trace: Trace,
    trained: u64,
    next_session: u64,
    next_incarnation: u64,
}

impl Simulation {
    /// A cluster with one worker for every entry of `slots`, or two with twins.
    pub fn new(seed: u64, slots: &[u32], faults: Faults) -> Self {
        // A slow training on a busy worker needs 2 s for an epoch.
        let least_stall_ms = if faults.hangs > 0 { 20_000 } else { 1_000_000 };
        let config = Config { lease_ttl_ms: 1_000, max_lost_workers: 5, least_stall_ms };
        let machine = |i: usize| {
            let at = i % slots.len();
            let name = Name::parse("worker", &format!("worker-{at}")).expect("a legal name");
            let most_units = (faults.small && at > 0).then_some(SMALL);
            Machine { name, slots: slots[at], most_units }
        };
        let processes = slots.len() * if faults.twins { 2 } else { 1 };
        Self {
            core: Coordinator::new(config, STORE),
            tables: Tables::default(),
            config,
            events: Vec::new(),
            now: 0,
            steps: 0,
            nodes: (0..processes).map(|i| Node::new(machine(i), i as u64)).collect(),
            clients: Clients::default(),
            operators: Operators::default(),
            thoughts: Vec::new(),
            streams: Streams::new(seed),
            faults,
            loses_batch: false,
            plans: Vec::new(),
            snapshots: Snapshots::default(),
            fired: Vec::new(),
            marks: Marks::default(),
            oracle: Oracle::new(config.lease_ttl_ms),
            trace: Trace::new(),
            trained: 0,
            next_session: 1,
            next_incarnation: 1_000,
        }
    }

    /// Submits a sweep on invented data, or an external one.
    pub fn submit(&mut self, spec: &SweepSpec) -> SweepId {
        // So little data that a hung training is noticed after some seconds.
        let network = DataSummary {
            train: 20,
            validation: 10,
            test: 10,
            features: 16,
            outputs: 4,
            digest: "00".to_owned(),
            ..DataSummary::default()
        };
        let data = if spec.data.is_external() { DataSummary::default() } else { network };
        let request_id = spec.name.clone();
        match self.step(Input::CreateSweep {
            request_id,
            spec: Box::new(spec.clone()),
            data,
            for_slots: None,
        }) {
            Ok(Reply::Sweep(sweep)) => sweep,
            other => panic!("the sweep was not created: {other:?}"),
        }
    }

    /// Takes actions until the sweep is completed. After `patience` actions there are no more
    /// faults.
    pub fn run(&mut self, sweep: SweepId, patience: usize) {
        self.run_all(&[sweep], patience);
    }

    /// Takes actions until all of these sweeps are completed. After `patience` actions there are no
    /// more faults.
    pub fn run_all(&mut self, sweeps: &[SweepId], patience: usize) {
        for action in 0.. {
            let is_open = |sweep: &&SweepId| self.state(**sweep) != Some(SweepState::Completed);
            let Some(open) = sweeps.iter().find(is_open) else { return };
            let is_stuck = action >= patience + MOST_CALM_ACTIONS;
            assert!(!is_stuck, "a sweep does not end: {}", self.describe(*open));
            if action == patience {
                self.end_faults();
            }
            self.act(action);
        }
    }

    /// The state of a sweep, of the leases and of the workers, for a message.
    fn describe(&self, sweep: SweepId) -> String {
        let record = self.core.record();
        let scoring = record.sweep(sweep).and_then(|sweep| sweep.scoring());
        let (leases, workers) = (record.leases(), self.core.workers());
        format!(
            "{:?} at {}, scoring {scoring:?}, leases {leases:?}, workers {workers:?}, nodes {:?}",
            self.state(sweep),
            self.now,
            self.nodes
        )
    }

    fn state(&self, sweep: SweepId) -> Option<SweepState> {
        self.core.record().sweep(sweep).map(|sweep| sweep.state())
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
            trial.retrained_epochs = 0;
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
    pub const fn core(&self) -> &Coordinator {
        &self.core
    }

    /// The faults and rare branches that the run has reached.
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The faults that were drawn, with the number of the action.
    pub fn fired(&self) -> &[(usize, Source)] {
        &self.fired
    }

    /// A hash of all inputs and events so far.
    pub const fn trace(&self) -> u64 {
        self.trace.hash()
    }

    fn act(&mut self, action: usize) {
        let fired = self.streams.fired(&self.faults);
        self.fired.extend(fired.iter().map(|source| (action, *source)));
        for source in fired {
            // Faults must not fail a trial that causes none. In practice too, they rarely hit the
            // same trial every time.
            if !self.is_on_the_edge() {
                self.carry_out(source);
            }
        }
        if self.is_on_the_edge() {
            self.wake_clients();
        }
        self.now += 1;
        if self.now.is_multiple_of(self.config.lease_ttl_ms / 8) {
            self.tick();
        }
        self.think();
        let schedule = self.streams.of(Source::Schedule);
        let actor = schedule.below((self.nodes.len() + self.clients.len()) as u64) as usize;
        if actor >= self.nodes.len() {
            return self.client_acts(actor - self.nodes.len());
        }
        self.worker_acts(actor);
        if self.waits_for_time() && self.pick(Source::Schedule, LEAP) == 0 {
            self.pass_time();
        }
    }

    fn carry_out(&mut self, source: Source) {
        match source {
            Source::Schedule | Source::Decisions | Source::Samplers | Source::Clients => {}
            Source::Breaks => self.break_connection(),
            Source::Crashes => self.crash_any(),
            Source::Restarts => self.restart(),
            Source::Silences => self.fall_silent(),
            Source::Hangs => self.hang(),
            Source::Declines => self.decline(),
            Source::Unable => self.make_unable(),
            Source::Drains => self.drain_or_stop(),
            Source::Releases => self.release(),
            Source::Pauses => self.pause_or_resume(),
            Source::Extras => self.change_extras(),
            Source::ClientSilences => self.silence_client(),
            Source::ClientCrashes => self.crash_client(),
            Source::Repeats => self.repeat_request(),
            Source::LostReplies => self.lose_reply(),
            Source::LateMessages => self.send_late_message(),
            Source::LostBatches => self.loses_batch = true,
            Source::Resizes => self.resize_extra(),
        }
    }

    /// No more faults from now on: paused sweeps continue, other sweeps end, and what is away comes
    /// back.
    fn end_faults(&mut self) {
        self.faults = self.faults.lasting();
        self.end_operations();
        self.wake_clients();
        let connects_again = self.pick(Source::Unable, 2) == 0;
        for node in 0..self.nodes.len() {
            self.nodes[node].unable.clear();
            self.nodes[node].declines = 0;
            // What a worker could not train is forgotten when it connects again, or after minutes.
            if connects_again {
                self.disconnect(node);
            }
        }
    }

    /// A number below `n`, as a source draws it.
    fn pick(&mut self, source: Source, n: usize) -> usize {
        self.streams.of(source).below(n as u64) as usize
    }

    /// One of the items; `None` if there are none.
    fn choose<T: Clone>(&mut self, source: Source, items: &[T]) -> Option<T> {
        let at = self.pick(source, items.len());
        items.get(at).cloned()
    }

    fn tick(&mut self) {
        self.oracle.tick(self.now);
        self.step(Input::Tick).expect("a tick is not refused");
        self.oracle.keep_workers(|worker| self.core.worker(worker).is_some());
    }

    /// All workers and clients are silent for some time while the coordinator runs, or the
    /// coordinator itself is stopped for much longer.
    fn fall_silent(&mut self) {
        let ttl = self.config.lease_ttl_ms;
        if self.pick(Source::Silences, 4) == 0 {
            self.marks.add(Mark::LongStop);
            self.now += 20 * ttl;
            return self.tick();
        }
        self.marks.add(Mark::Silence);
        for _ in 0..self.pick(Source::Silences, 24) {
            self.now += ttl / 8;
            self.tick();
            if self.is_on_the_edge() {
                return;
            }
        }
    }

    /// True if a few more lost workers would fail a trial that crashes none. Workers that are
    /// silent already may still be lost.
    fn is_on_the_edge(&self) -> bool {
        let last = self.config.max_lost_workers - 3;
        let poison = |sweep| self.faults.poison.filter(|_| sweep == SweepId(1));
        self.core.record().sweeps().values().any(|sweep| {
            let is_near = |losses: u32| losses >= last;
            let poison = poison(sweep.id());
            let mut trials = sweep.trials_in_flight();
            sweep.scoring().is_some_and(|scoring| is_near(scoring.losses()))
                || trials.any(|t| {
                    is_near(t.losses()) && !t.state().is_final() && Some(t.number().0) != poison
                })
        })
    }

    /// The coordinator handles an input. Before the next one it takes all decisions, or none, or
    /// only some, as if a sampler took too long.
    fn step(&mut self, input: Input) -> Result<Reply, Refusal> {
        self.steps += 1;
        self.trace_input(&input);
        let is_finished = matches!(
            &input,
            Input::Message { message: caviar_common::message::FromWorker::Finished { .. }, .. }
        );
        self.load_needed(&input);
        let step = self.core.hear(self.now, input).expect("no invariant is broken");
        if is_finished {
            self.marks.see_result(&step.events, &step.effects);
        }
        let (mut events, mut effects) = (step.events, step.effects);
        if self.streams.of(Source::Decisions).below(4) > 0 {
            let decided = self.decide();
            events.extend(decided.events);
            effects.extend(decided.effects);
            self.begin_thoughts(decided.jobs);
        }
        self.tables.update(&events, self.core.take_rows());
        let offered_again = self.oracle.check(&events, self.now);
        self.marks.add_if(offered_again > 0, Mark::OfferedAgain);
        self.marks.see_events(&events);
        self.marks.see_effects(&effects);
        for event in &events {
            self.trace.add(event);
        }
        self.events.extend(events);
        self.snapshots.take(&mut self.core, &self.events);
        for effect in effects {
            self.carry_out_effect(effect);
        }
        step.reply
    }

    fn trace_input(&mut self, input: &Input) {
        match input {
            Input::Sampled(_) => self.trace.add(&(self.now, "sampled")),
            input => self.trace.add(&(self.now, input)),
        }
    }

    fn carry_out_effect(&mut self, effect: Effect) {
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
            Effect::Answer(waiter, answer) => self.take_answer(waiter, answer),
            Effect::Changed(_) => {}
        }
    }

    fn begin_thoughts(&mut self, jobs: Vec<SamplingJob>) {
        for job in jobs {
            let chance = self.streams.of(Source::Samplers);
            // Any time may pass until a sampler replies.
            let actions = if chance.below(8) == 0 { 100 } else { 8 };
            let actions = chance.below(actions);
            self.thoughts.push(Thought { job, actions });
        }
    }

    /// Lets the samplers think, and takes the first reply.
    fn think(&mut self) {
        for thought in &mut self.thoughts {
            thought.actions = thought.actions.saturating_sub(1);
        }
        let Some(at) = self.thoughts.iter().position(|thought| thought.actions == 0) else {
            return;
        };
        let job = self.thoughts.remove(at).job;
        let state = self.state(job.sweep());
        self.marks.add_if(state.is_none(), Mark::SampledAfterDelete);
        self.marks.add_if(state == Some(SweepState::Cancelled), Mark::SampledAfterCancel);
        self.step(Input::Sampled(Box::new(job.run()))).expect("a reply is not refused");
    }

    fn load_needed(&mut self, input: &Input) {
        if let Some(sweep) = self.core.needs(input) {
            self.snapshots.load(&mut self.core, sweep);
            self.marks.add(Mark::LoadEndedSweep);
        }
    }

    /// The coordinator restarts from its events.
    fn restart(&mut self) {
        self.check_recovery();
        self.recover();
    }

    /// Checks that a restart from the events gives the same state, and the same rows.
    ///
    /// # Panics
    /// They differ.
    pub fn check_recovery(&mut self) {
        self.snapshots.load_all(&mut self.core);
        let mut replay = Replay::new(self.config, STORE);
        let mut tables = Tables::default();
        for event in &self.events {
            replay.apply_with_rows(event).expect("the events fit");
            tables.update(std::slice::from_ref(event), replay.take_rows());
        }
        let recovered = replay.finish(self.now);
        let (old, new) = (self.core.record(), recovered.record());
        let count = self.events.len();
        if let Some(restored) = self.snapshots.replay(self.config, &self.events) {
            let mut restored = restored.finish(self.now);
            self.snapshots.load_all(&mut restored);
            assert!(is_same(old, restored.record()), "the snapshot differs after {count} events");
        }
        assert!(is_same(old, new), "replay differs from live after {count} events");
        let filter = TrialFilter { limit: usize::MAX, with_curves: true, ..TrialFilter::default() };
        for sweep in old.sweeps().keys() {
            let mut rows = self.tables.trials(*sweep, &filter).expect("the sweep is there");
            // What is parked is forgotten.
            rows.iter_mut().for_each(|row| row.parked = false);
            let replayed = tables.trials(*sweep, &filter).expect("the sweep is there");
            assert!(is_same(&rows, &replayed), "rows differ from live after {count} events");
        }
    }

    /// The coordinator crashes during an input. It decides, but stores and sends nothing.
    fn lose_batch(&mut self, input: Input) {
        self.loses_batch = false;
        self.load_needed(&input);
        let step = self.core.hear(self.now, input).expect("no invariant is broken");
        let decided = self.core.decide(&mut || true).expect("no invariant is broken");
        let has_events = !step.events.is_empty() || !decided.events.is_empty();
        self.marks.add_if(has_events, Mark::LostBatch);
        self.recover();
    }

    /// Replaces the coordinator by one that reads the last snapshot and the stored events.
    fn recover(&mut self) {
        self.marks.add(Mark::Restart);
        self.marks.add_if(!self.thoughts.is_empty(), Mark::RestartWithoutSampler);
        let record = self.core.record();
        let is_paused = record.sweeps().values().any(|s| s.state() == SweepState::Paused);
        self.marks.add_if(is_paused, Mark::RestartWhilePaused);
        let has_parked = record.leases().keys().any(|lease| self.core.is_parked(*lease));
        self.marks.add_if(has_parked, Mark::RestartWithoutParked);
        for node in &mut self.nodes {
            node.disconnect();
        }
        self.core = match self.snapshots.replay(self.config, &self.events) {
            Some(replay) => {
                self.marks.add(Mark::RestartFromSnapshot);
                replay.finish(self.now)
            }
            None => {
                let events = self.events.iter().cloned();
                let recovered = Coordinator::recover(self.config, STORE, self.now, events);
                recovered.expect("the events fit")
            }
        };
        self.oracle.restart(self.now);
        self.thoughts.clear();
        self.lose_waiters();
    }
}

/// Compares as text if need be, because the loss of a diverged trial is NaN, which is not equal to
/// itself.
fn is_same<T: PartialEq + Debug>(a: &T, b: &T) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
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

/// The decisions of each sweep, in order.
pub fn decisions_by_sweep(events: &[Event]) -> BTreeMap<SweepId, Vec<&Payload>> {
    let mut by_sweep: BTreeMap<SweepId, Vec<&Payload>> = BTreeMap::new();
    for event in decisions(events) {
        by_sweep.entry(event.sweep).or_default().push(&event.payload);
    }
    by_sweep
}
