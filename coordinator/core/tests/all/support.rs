//! What the tests share: a coordinator on a bench, small sweeps, metrics.

use caviar_common::assignment::Value;
use caviar_common::data::DataSummary;
use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, StoreId, SweepId, TrialNumber};
use caviar_common::message::{Finished, FromWorker, Grant, Hello, PROTOCOL, ToWorker};
use caviar_common::metric::{EpochMetrics, Metric, Score};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Goal, Objective, Parallelism, StoppingRule, SweepSpec};
use caviar_common::view::TrialView;
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Config, Effect, Input, Refusal, Reply};
use caviar_core::tables::Tables;

/// Epochs of the trials of [`Bench::with_rungs`]; their rungs are at epochs 2 and 6.
pub(crate) const RUNG_EPOCHS: u32 = 10;
/// How long a worker may be silent, in milliseconds.
pub(crate) const TTL: u64 = 1_000;
pub(crate) const SWEEP: SweepId = SweepId(1);
pub(crate) const STORE: StoreId = StoreId(77);

pub(crate) fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

pub(crate) fn spec(sweep: &str, trials: u32) -> SweepSpec {
    let text = format!(
        "name = \"{sweep}\"\n[data]\nsource = \"builtin:digits\"\n[fixed]\nepochs = 2\n\
         [space]\nlearning_rate = {{ low = 1e-4, high = 1 }}\n\
         [search]\nstrategy = \"random\"\ntrials = {trials}\nparallelism = 2\n"
    );
    parse(&text).unwrap().spec
}

pub(crate) fn summary(test: u64) -> DataSummary {
    DataSummary {
        train: 100,
        validation: 20,
        test,
        features: 4,
        outputs: 3,
        digest: "00".to_owned(),
        ..DataSummary::default()
    }
}

pub(crate) fn point(epoch: u32, loss: f64) -> EpochMetrics {
    let accuracy = if loss.is_finite() { 1.0 - loss / 10.0 } else { 0.1 };
    let score = Score { loss, accuracy: Some(accuracy), measured: None };
    EpochMetrics { epoch, train: score, validation: score, spread: None }
}

pub(crate) const CONFIG: Config =
    Config { lease_ttl_ms: TTL, max_lost_workers: 3, least_stall_ms: 1_000_000 };

/// What a worker says first: that it holds these leases of this store.
pub(crate) fn hello(worker: &str, incarnation: u64, slots: u32, held: &[u64]) -> Hello {
    Hello {
        protocol: PROTOCOL,
        worker: name(worker),
        incarnation: Incarnation(incarnation),
        slots,
        draining: false,
        can_park: true,
        store: Some(STORE),
        held: held.iter().map(|lease| LeaseId(*lease)).collect(),
    }
}

/// What a worker reports when it has trained a trial to its last epoch, `last`.
pub(crate) fn completed(last: Option<EpochMetrics>) -> Finished {
    let (outcome, test) = (Outcome::Completed, None);
    Finished { outcome, last, test, seconds: 1.0, memory_bytes: Some(4096), model: None }
}

/// A coordinator, the effects of its latest step, and all events so far.
pub(crate) struct Bench {
    pub(crate) core: Coordinator,
    pub(crate) tables: Tables,
    pub(crate) now: u64,
    pub(crate) effects: Vec<Effect>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            core: Coordinator::new(CONFIG, STORE),
            tables: Tables::default(),
            now: 0,
            effects: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A coordinator with a sweep of `trials` trials and one connected worker.
    pub(crate) fn with_sweep(trials: u32, slots: u32) -> Self {
        let mut bench = Self::new();
        bench.create("s", trials, 10).unwrap();
        bench.hello(1, "w", 1, slots, &[]);
        bench
    }

    pub(crate) fn step(&mut self, input: Input) -> Result<Reply, Refusal> {
        let step = self.core.step(self.now, input).unwrap();
        self.tables.update(&step.events, self.core.take_rows());
        self.effects = step.effects;
        self.events.extend(step.events);
        step.reply
    }

    pub(crate) fn create(&mut self, sweep: &str, trials: u32, test: u64) -> Result<Reply, Refusal> {
        let spec = Box::new(spec(sweep, trials));
        self.step(Input::CreateSweep {
            request_id: name(&format!("request-{sweep}")),
            spec,
            data: summary(test),
            for_slots: None,
        })
    }

    pub(crate) fn say(&mut self, session: u64, message: FromWorker) -> Result<Reply, Refusal> {
        self.step(Input::Message { session: SessionId(session), token: None, message })
    }

    pub(crate) fn hello(
        &mut self,
        session: u64,
        worker: &str,
        incarnation: u64,
        slots: u32,
        held: &[u64],
    ) {
        self.try_hello(session, worker, incarnation, slots, held).unwrap();
    }

    pub(crate) fn try_hello(
        &mut self,
        session: u64,
        worker: &str,
        incarnation: u64,
        slots: u32,
        held: &[u64],
    ) -> Result<Reply, Refusal> {
        self.say(session, FromWorker::Hello(hello(worker, incarnation, slots, held)))
    }

    /// Lets `ms` milliseconds pass, with the ticks of a running coordinator.
    pub(crate) fn wait(&mut self, ms: u64) {
        for _ in 0..ms / (TTL / 8) {
            self.now += TTL / 8;
            self.step(Input::Tick).unwrap();
        }
        self.now += ms % (TTL / 8);
        self.step(Input::Tick).unwrap();
    }

    /// Kills worker `w`, closes its session, and connects another process of it as session and
    /// incarnation `number`.
    pub(crate) fn replace(&mut self, number: u64, slots: u32) {
        self.step(Input::SessionClosed(SessionId(number - 1))).unwrap();
        self.hello(number, "w", number, slots, &[]);
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let grant = |e: &Effect| match e {
            Effect::Send(_, ToWorker::Grant(grant)) => Some((**grant).clone()),
            Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) | Effect::Changed(_) => None,
        };
        self.effects.iter().filter_map(grant).collect()
    }

    pub(crate) fn sends(&self, message: &ToWorker) -> bool {
        self.effects.iter().any(|e| matches!(e, Effect::Send(_, sent) if sent == message))
    }

    pub(crate) fn revokes(&self, lease: LeaseId) -> bool {
        self.effects
            .iter()
            .any(|e| matches!(e, Effect::Send(_, ToWorker::Revoke { lease: l, .. }) if *l == lease))
    }

    pub(crate) fn closes(&self, session: u64) -> bool {
        self.effects.iter().any(|e| matches!(e, Effect::Close(s, _) if *s == SessionId(session)))
    }

    /// Reports epochs that took a second each.
    pub(crate) fn report(
        &mut self,
        session: u64,
        lease: LeaseId,
        points: Vec<EpochMetrics>,
    ) -> Result<Reply, Refusal> {
        let seconds = points.last().map(|point| f64::from(point.epoch));
        self.say(session, FromWorker::Report { lease, points, seconds })
    }

    pub(crate) fn finish(
        &mut self,
        session: u64,
        lease: LeaseId,
        outcome: Outcome,
        test: Option<Score>,
    ) -> Result<Reply, Refusal> {
        let result = Finished {
            outcome,
            last: Some(point(2, 0.5)),
            test,
            seconds: 1.0,
            memory_bytes: Some(4096),
            model: None,
        };
        self.say(session, FromWorker::Finished { lease, result })
    }

    pub(crate) fn train(&mut self, session: u64, lease: LeaseId) {
        self.report(session, lease, vec![point(1, 1.0), point(2, 0.5)]).unwrap();
        let mut effects = std::mem::take(&mut self.effects);
        self.finish(session, lease, Outcome::Completed, None).unwrap();
        effects.append(&mut self.effects);
        self.effects = effects;
    }

    pub(crate) fn state(&self, trial: u32) -> TrialState {
        self.tables.trial(SWEEP, TrialNumber(trial), false).unwrap().state
    }

    pub(crate) fn sweep_state(&self) -> SweepState {
        self.core.sweep(SWEEP).unwrap().state
    }
}

/// Sweeps with rungs.
impl Bench {
    /// A coordinator with a sweep under halving, whose trials all take the same virtual time.
    pub(crate) fn with_rungs(
        trials: u32,
        parallelism: u32,
        change: impl Fn(&mut SweepSpec),
    ) -> Self {
        let mut bench = Self::new();
        let mut spec = spec("s", trials);
        spec.fixed.insert("epochs", Value::Int(RUNG_EPOCHS.into()));
        spec.search.parallelism = Parallelism::Trials(parallelism);
        spec.stopping = StoppingRule::Halving;
        spec.objective =
            Objective { metric: Metric::ValidationLoss, goal: Goal::Minimize, ..spec.objective };
        change(&mut spec);
        bench
            .step(Input::CreateSweep {
                request_id: name("r"),
                spec: Box::new(spec),
                data: summary(10),
                for_slots: None,
            })
            .unwrap();
        bench
    }

    /// Reports epochs of a trial, all with this loss.
    pub(crate) fn epochs(
        &mut self,
        lease: LeaseId,
        epochs: std::ops::RangeInclusive<u32>,
        loss: f64,
    ) {
        self.report(1, lease, epochs.map(|epoch| point(epoch, loss)).collect()).unwrap();
    }

    pub(crate) fn view(&self, trial: u32) -> TrialView {
        self.tables.trial(SWEEP, TrialNumber(trial), true).unwrap()
    }

    pub(crate) fn start_of(&self, number: u32) -> u64 {
        let start = |e: &Event| {
            if let Payload::TrialSampled(sampled) = &e.payload {
                (sampled.trial.0 == number).then_some(sampled.start)
            } else {
                None
            }
        };
        self.events.iter().find_map(start).unwrap()
    }

    pub(crate) fn stops(&self, lease: LeaseId) -> bool {
        self.effects
            .iter()
            .any(|e| matches!(e, Effect::Send(_, ToWorker::Stop { lease: l, .. }) if *l == lease))
    }
}
