//! Measures how well slots are used when training times vary, and how much more trials in flight
//! cost the search.
//!
//! `cargo run --release -p caviar-core --example utilisation -- [STRATEGY] [RULE] [SEEDS] [WORKERS]
//! [SLOTS] [TRIALS] [PARALLELISM,...]`
//!
//! Workers of some slots each (one of 8 by default) train against the real state machine in
//! simulated time: an epoch takes its virtual cost times a factor of its trial, lognormal with
//! sigma 1. Nothing sleeps. The objective is a bowl with ripples over five hyperparameters, that a
//! curve approaches. Without the last argument the parallelism is a multiple of all slots. `auto`
//! is the number that the coordinator chooses.
#![allow(
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::expect_used,
    reason = "prints a table of small numbers"
)]

use std::collections::BTreeMap;

use caviar_common::data::DataSummary;
use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, StoreId, SweepId};
use caviar_common::message::{Finished, FromWorker, Grant, Hello, PROTOCOL, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Outcome, SweepState};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Order, Parallelism, StoppingRule, Strategy, SweepSpec};
use caviar_core::Coordinator;
use caviar_core::input::{Config, Effect, Input};
use caviar_core::tables::{Tables, TrialFilter};

/// Epochs of every trial; the rungs are at epochs 2, 6 and 18.
const EPOCHS: u32 = 27;
const SWEEP: SweepId = SweepId(1);
/// The best point of the bowl, in the unit cube.
const CENTRE: [f64; 5] = [0.62, 0.31, 0.45, 0.7, 0.2];
const WEIGHTS: [f64; 5] = [1.0, 0.5, 0.3, 0.15, 0.05];

/// The workers, and the budget.
#[derive(Clone, Copy)]
struct Shape {
    workers: u32,
    /// Slots of each worker.
    slots: u32,
    trials: u32,
}

impl Shape {
    const fn all_slots(self) -> u32 {
        self.workers * self.slots
    }
}

/// How a sweep is run.
#[derive(Clone, Copy)]
struct Search {
    strategy: Strategy,
    rule: StoppingRule,
    order: Order,
    parallelism: Parallelism,
    seed: u64,
}

/// A trial that a worker holds.
struct Execution {
    session: SessionId,
    grant: Grant,
    epoch: u32,
    /// How long an epoch takes, in mean times of a full training.
    epoch_time: f64,
    /// How long the current epoch still takes.
    left: f64,
    is_parked: bool,
}

/// The result of one run.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Share of slot time in which the slot trained a trial.
    used: f64,
    /// The same until the last trial of the budget was sampled.
    steady: f64,
    /// Share of slot time that was spent on epochs that count.
    useful: f64,
    /// How long the sweep took, in mean times of a full training.
    time: f64,
    regret: f64,
    /// Trials in flight.
    parallelism: f64,
}

struct Cluster {
    shape: Shape,
    core: Coordinator,
    tables: Tables,
    spec: SweepSpec,
    jobs: BTreeMap<LeaseId, Execution>,
    now: f64,
    busy: f64,
    /// Slot time and busy time until the last trial was sampled.
    steady: (f64, f64),
}

fn spec(shape: Shape, search: &Search) -> SweepSpec {
    let Search { strategy, rule, order, parallelism, seed } = *search;
    let trials = shape.trials;
    let text = format!(
        "name = \"s\"\nseed = {seed}\n[data]\nsource = \"builtin:digits\"\n\
         [fixed]\nepochs = {EPOCHS}\n\
         [space]\nlearning_rate = {{ low = 1e-4, high = 1 }}\n\
         momentum = {{ low = 0.5, high = 0.999 }}\nweight_decay = {{ low = 1e-6, high = 1e-2 }}\n\
         dropout = {{ low = 0.0, high = 0.5 }}\n\
         batch_norm_momentum = {{ low = 0.5, high = 0.99 }}\n\
         [search]\nstrategy = \"{}\"\ntrials = {trials}\n\
         [objective]\nmetric = \"validation_loss\"\ngoal = \"minimize\"\n",
        strategy.name()
    );
    let mut spec = parse(&text).expect("the spec is right").spec;
    spec.stopping = rule;
    spec.search.order = order;
    spec.search.parallelism = parallelism;
    spec
}

impl Cluster {
    fn new(shape: Shape, spec: SweepSpec) -> Self {
        let core = Coordinator::new(Config::default(), StoreId(1));
        let mut cluster = Self {
            shape,
            steady: (0.0, 0.0),
            core,
            tables: Tables::default(),
            spec: spec.clone(),
            jobs: BTreeMap::new(),
            now: 0.0,
            busy: 0.0,
        };
        let name = |text: &str| Name::parse("name", text).expect("a legal name");
        let data = DataSummary {
            train: 1_000,
            validation: 200,
            test: 0,
            features: 16,
            outputs: 4,
            digest: "00".to_owned(),
            ..DataSummary::default()
        };
        for worker in 1..=shape.workers {
            let hello = Hello {
                protocol: PROTOCOL,
                worker: name(&format!("w{worker}")),
                incarnation: Incarnation(worker.into()),
                slots: shape.slots,
                draining: false,
                can_park: true,
                store: None,
                held: Vec::new(),
            };
            cluster.say(SessionId(worker.into()), FromWorker::Hello(hello));
        }
        let (request_id, spec) = (name("r"), Box::new(spec));
        cluster.step(Input::CreateSweep { request_id, spec, data, for_slots: None });
        cluster
    }

    fn say(&mut self, session: SessionId, message: FromWorker) {
        self.step(Input::Message { session, token: None, message });
    }

    fn step(&mut self, input: Input) {
        let step = self.core.step(0, input).expect("no invariant is broken");
        self.tables.update(&step.events, self.core.take_rows());
        let effects = step.effects;
        for effect in effects {
            let Effect::Send(session, message) = effect else { continue };
            match message {
                ToWorker::Grant(grant) => self.begin(session, *grant),
                ToWorker::Stop { lease, .. } | ToWorker::Revoke { lease, .. } => {
                    drop(self.jobs.remove(&lease))
                }
                ToWorker::Park { lease } => self.set_parked(lease, true),
                ToWorker::Unpark { lease } => self.set_parked(lease, false),
                ToWorker::Welcome { .. } | ToWorker::Ack { .. } | ToWorker::Drain => {}
            }
        }
    }

    fn begin(&mut self, session: SessionId, grant: Grant) {
        let seed = Seed::derive(self.spec.seed, grant.trial.0.into(), Purpose::Shuffle);
        // Divided by its mean, so that a full training takes 1 on average.
        let epoch_time = (seed.stream(0).normal() - 0.5).exp() / f64::from(EPOCHS);
        self.jobs.insert(
            grant.lease,
            Execution { session, grant, epoch: 0, epoch_time, left: epoch_time, is_parked: false },
        );
    }

    fn set_parked(&mut self, lease: LeaseId, is_parked: bool) {
        if let Some(job) = self.jobs.get_mut(&lease) {
            job.is_parked = is_parked;
        }
    }

    /// Trains until the next epoch ends, and reports it.
    fn train(&mut self) {
        let running = self.jobs.iter().filter(|(_, job)| !job.is_parked);
        let (lease, passes) = running
            .map(|(lease, job)| (*lease, job.left))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("something runs");
        self.now += passes;
        for job in self.jobs.values_mut().filter(|job| !job.is_parked) {
            job.left -= passes;
            self.busy += passes;
        }
        let sampled = self.core.record().sweep(SWEEP).map_or(0, |sweep| sweep.sampled());
        if sampled < self.shape.trials {
            self.steady = (self.now * f64::from(self.shape.all_slots()), self.busy);
        }
        let Some(job) = self.jobs.get_mut(&lease) else { return };
        job.epoch += 1;
        job.left = job.epoch_time;
        let session = job.session;
        let (epoch, loss) = (
            job.epoch,
            value(&self.spec, &job.grant) + left_to_learn(&self.spec, &job.grant, job.epoch),
        );
        let score = Score { loss, accuracy: None, measured: None };
        let metrics = EpochMetrics { epoch, train: score, validation: score, spread: None };
        self.say(session, FromWorker::Report { lease, points: vec![metrics], seconds: None });
        if epoch == EPOCHS && self.jobs.remove(&lease).is_some() {
            let result = Finished {
                outcome: Outcome::Completed,
                last: Some(metrics),
                test: None,
                seconds: 1.0,
                memory_bytes: None,
                model: None,
            };
            self.say(session, FromWorker::Finished { lease, result });
        }
    }

    fn run(mut self) -> Figures {
        while self.core.sweep(SWEEP).is_some_and(|sweep| sweep.state == SweepState::Running) {
            self.train();
        }
        let filter = TrialFilter { limit: usize::MAX, with_curves: true, ..TrialFilter::default() };
        let trials = self.tables.trials(SWEEP, &filter).expect("the sweep is there");
        let time = |trial: u32| {
            (Seed::derive(self.spec.seed, trial.into(), Purpose::Shuffle).stream(0).normal() - 0.5)
                .exp()
        };
        let counted: f64 =
            trials.iter().map(|t| time(t.trial.0) * t.curve.len() as f64 / f64::from(EPOCHS)).sum();
        let best = self
            .core
            .sweep(SWEEP)
            .and_then(|sweep| sweep.best?.objective)
            .expect("a trial completed");
        let slot_time = self.now * f64::from(self.shape.all_slots());
        let parallelism = self.core.sweep(SWEEP).map_or(0, |sweep| sweep.parallelism);
        Figures {
            used: self.busy / slot_time,
            useful: counted / slot_time,
            time: self.now,
            regret: best,
            steady: self.steady.1 / self.steady.0,
            parallelism: parallelism.into(),
        }
    }
}

/// The objective after the last epoch; 0 at best.
fn value(spec: &SweepSpec, grant: &Grant) -> f64 {
    let point = spec.space.encode(&grant.assignment);
    let side = |((x, c), w): ((&f64, &f64), &f64)| {
        w * ((x - c).powi(2) + 0.02 * (1.0 - (25.0 * (x - c)).cos()))
    };
    point.iter().zip(&CENTRE).zip(&WEIGHTS).map(side).sum()
}

/// What a trial still has to learn after an epoch, 0 after the last one. Slow learners rank worse
/// at early rungs than at their end.
fn left_to_learn(spec: &SweepSpec, grant: &Grant, epoch: u32) -> f64 {
    let pace = spec.space.encode(&grant.assignment).first().copied().unwrap_or_default();
    (0.1 + 0.4 * pace) * (1.0 / f64::from(epoch) - 1.0 / f64::from(EPOCHS))
}

fn mean(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    figures.iter().map(of).sum::<f64>() / figures.len() as f64
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let named = |i: usize| args.get(i).map(String::as_str);
    let strategy = named(0).map_or(Strategy::Random, |n| {
        Strategy::ALL.into_iter().find(|s| s.name() == n).expect("a strategy")
    });
    let rule = named(1).map_or(StoppingRule::Halving, |n| {
        StoppingRule::ALL.into_iter().find(|r| r.name() == n).expect("a stopping rule")
    });
    let number = |i, default: u32| named(i).map_or(default, |n| n.parse().expect("a whole number"));
    let seeds: u64 = number(2, 10).into();
    let shape = Shape { workers: number(3, 1), slots: number(4, 8), trials: number(5, 200) };
    let Shape { workers, slots, trials } = shape;
    println!(
        "{}, {}, {workers} workers of {slots} slots, {trials} trials, {seeds} seeds",
        strategy.name(),
        rule.name()
    );
    println!("order         parallelism    used  steady  useful    time  regret");
    // Half of the slots, all of them, and so on.
    let halves = [1, 2, 3, 4, 8, 12].map(|halves| shape.all_slots() * halves / 2);
    let given: Vec<u32> = named(6).map_or(halves.into(), |numbers| {
        numbers.split(',').map(|n| n.parse().expect("a whole number")).collect()
    });
    let given = given.into_iter().map(Parallelism::Trials);
    let choices: Vec<Parallelism> = given.chain([Parallelism::Auto]).collect();
    for order in Order::ALL {
        for parallelism in &choices {
            let search = |seed| Search { strategy, rule, order, parallelism: *parallelism, seed };
            let run = |seed| Cluster::new(shape, spec(shape, &search(seed))).run();
            let all: Vec<Figures> = (0..seeds).map(run).collect();
            let share = |of: fn(&Figures) -> f64| 100.0 * mean(&all, of);
            let (used, steady, useful) =
                (share(|f| f.used), share(|f| f.steady), share(|f| f.useful));
            let (time, regret) = (mean(&all, |f| f.time), mean(&all, |f| f.regret));
            let in_flight = mean(&all, |f| f.parallelism);
            let shown = match parallelism {
                Parallelism::Auto => format!("auto: {in_flight}"),
                Parallelism::Trials(trials) => trials.to_string(),
            };
            println!(
                "{:<13} {shown:>11} {used:>6.1}% {steady:>6.1}% {useful:>6.1}% {time:>7.2} \
                 {regret:>7.4}",
                order.name()
            );
        }
    }
}
