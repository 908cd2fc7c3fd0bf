//! After any sequence of inputs, the stored events make the state of the coordinator that wrote
//! them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ask::{Ask, AskKey, AskedTrial, Report, Tell};
use caviar_common::assignment::Value;
use caviar_common::blob::{Blob, BlobName};
use caviar_common::data::{DataSpec, DataSummary};
use caviar_common::ids::{LeaseId, SessionId, SweepId};
use caviar_common::message::{Checkpoint, Finished, FromWorker, Hello, Release, ToWorker};
use caviar_common::metric::{Metric, NamedMetrics, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_common::spec::{Goal, Objective, Order, StoppingRule};
use caviar_common::view::TrialTimes;
use caviar_coordinator::store::query::TrialQuery;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Rows, Snapshot, Store};
use caviar_core::event::{Event, Payload};
use caviar_core::input::{ClientReply, Config, Effect, Input, Reply, Waiter, WaiterId};
use caviar_core::snapshot::Written;
use caviar_core::tables::{Tables, TrialFilter};
use caviar_core::{Coordinator, Replay};
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::events::KINDS;
use crate::support::{append_with, hello, load_all, loaded, metrics, name, spec, summary};

/// Epochs of every trial: enough for one rung.
const EPOCHS: u32 = 4;
const CONFIG: Config = Config { lease_ttl_ms: 100, max_lost_workers: 2, least_stall_ms: 1_000_000 };

/// A lease as its worker knows it.
struct Held {
    session: SessionId,
    job: Job,
    epoch: u32,
    diverged: bool,
}

/// A live coordinator, its store, and workers that follow its messages or not.
pub(crate) struct World {
    pub(crate) live: Coordinator,
    /// What the store should show.
    tables: Tables,
    answer: Option<ClientReply>,
    pub(crate) store: SqliteStore,
    unwritten: Vec<Event>,
    /// Which parts of the snapshot are stored, and whether there is one.
    snapshot: Option<Written>,
    kinds: BTreeSet<&'static str>,
    now: u64,
    sessions: u64,
    held: BTreeMap<LeaseId, Held>,
    sweeps: Vec<SweepId>,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("caviar.db")).unwrap();
        Self {
            live: Coordinator::new(CONFIG, store.id()),
            tables: Tables::default(),
            answer: None,
            store,
            unwritten: Vec::new(),
            snapshot: None,
            kinds: BTreeSet::new(),
            now: 0,
            sessions: 0,
            held: BTreeMap::new(),
            sweeps: Vec::new(),
            directory,
        }
    }

    fn step(&mut self, input: Input) {
        let step = self.live.step(self.now, input).unwrap();
        if let (Ok(Reply::Sweep(id)), Some(Payload::SweepCreated(_))) =
            (&step.reply, step.events.first().map(|event| &event.payload))
        {
            self.sweeps.push(*id);
        }
        for effect in step.effects {
            if let Effect::Answer(_, answer) = effect {
                self.answer = Some(answer);
            } else if let Effect::Send(session, ToWorker::Grant(grant)) = effect {
                self.held.insert(
                    grant.lease,
                    Held { session, job: grant.job, epoch: 0, diverged: false },
                );
            }
        }
        self.kinds.extend(step.events.iter().map(Event::name));
        self.unwritten.extend(step.events);
    }

    fn say(&mut self, session: SessionId, message: FromWorker) {
        self.step(Input::Message { session, token: None, message });
    }

    /// Does something. `pick` chooses the sweep, worker or lease.
    pub(crate) fn act(&mut self, action: u8, pick: u8) {
        let sweep = self
            .sweeps
            .get(usize::from(pick) % self.sweeps.len().max(1))
            .copied()
            .unwrap_or(SweepId(1));
        let worker = format!("w{}", pick % 2);
        match action {
            0 => self.create(pick),
            1 => self.connect(&worker, u64::from(pick / 128)),
            2..=7 => self.train(pick, action == 2),
            8..=11 => self.finish(pick),
            12 => self.release(pick),
            13 => self.now += u64::from(pick),
            14 => self.step(Input::PauseSweep(sweep)),
            15 | 16 => self.step(Input::ResumeSweep(sweep)),
            17 if pick < 64 => self.step(Input::CancelSweep(sweep)),
            18 => self.step(Input::DeleteSweep(sweep)),
            19 if pick < 32 => self.step(Input::DrainWorker(name(&worker))),
            20 => self.compare(),
            21 => self.take_snapshot(),
            22..=24 => self.run_client(pick),
            25 => self.step(Input::ResizeSweep(sweep, u32::from(pick % 8))),
            26 => self.fall_asleep(pick),
            27 => self.checkpoint(pick),
            28 => {
                let (request_id, added) = (name(&format!("more-{pick}")), u32::from(pick % 3));
                self.step(Input::ExtendSweep { sweep, request_id, added });
            }
            _ => self.step(Input::Tick),
        }
    }

    fn create(&mut self, pick: u8) {
        let mut spec = Box::new(spec(&format!("s{}", pick % 3), 6, 2));
        spec.fixed.insert("epochs", Value::Int(EPOCHS.into()));
        spec.stopping = StoppingRule::Halving;
        spec.search.order =
            if pick.is_multiple_of(2) { Order::Virtual } else { Order::AsCompleted };
        spec.objective =
            Objective { metric: Metric::TrainLoss, goal: Goal::Minimize, ..spec.objective };
        let request_id = name(&format!("r{pick}"));
        self.step(Input::CreateSweep { request_id, spec, data: summary(), for_slots: None });
    }

    fn connect(&mut self, worker: &str, incarnation: u64) {
        self.sessions += 1;
        let held: Vec<u64> = self.held.keys().map(|l| l.0).filter(|l| l % 3 > 0).collect();
        self.say(
            SessionId(self.sessions),
            FromWorker::Hello(Hello {
                store: Some(self.store.id()),
                ..hello(worker, incarnation, 2, &held)
            }),
        );
        for held in self.held.values_mut() {
            held.session = SessionId(self.sessions);
        }
    }

    /// No worker says anything for longer than a lease lasts. Then they connect again, one after
    /// the other.
    fn fall_asleep(&mut self, pick: u8) {
        for _ in 0..8 {
            self.now += CONFIG.lease_ttl_ms / 4;
            self.step(Input::Tick);
        }
        // The first may be another process, which takes the trials that the second still trains.
        let (same, other) = (u64::from(pick / 128), u64::from(pick % 4 / 2) * 2);
        self.connect(&format!("w{}", pick % 2), same + other);
        self.connect(&format!("w{}", 1 - pick % 2), same);
    }

    fn pick(&self, pick: u8) -> Option<LeaseId> {
        self.held.keys().copied().nth(usize::from(pick) % self.held.len().max(1))
    }

    fn train(&mut self, pick: u8, diverges: bool) {
        let Some(lease) = self.pick(pick) else { return };
        let held = self.held.get_mut(&lease).unwrap();
        if held.job == Job::Score || held.diverged || held.epoch == EPOCHS {
            return self.finish(pick);
        }
        held.epoch += 1;
        held.diverged = diverges;
        let loss = if diverges { f64::NAN } else { 1.0 / f64::from(pick) };
        let (session, points) = (held.session, vec![metrics(held.epoch, loss)]);
        self.say(session, FromWorker::Report { lease, points, seconds: None });
    }

    /// A worker stores a checkpoint, or cannot use the one that it got.
    fn checkpoint(&mut self, pick: u8) {
        let Some(lease) = self.pick(pick) else { return };
        let Held { session, job, epoch, .. } = self.held[&lease];
        if job == Job::Score {
            return;
        }
        let blob = Blob { name: BlobName::from_hash([pick; 32]), bytes: 1 };
        let checkpoint = Checkpoint { epoch, batch: pick.into(), blob };
        self.say(
            session,
            match pick {
                0..200 => FromWorker::Checkpointed { lease, checkpoint },
                200.. => FromWorker::Restarted { lease, reason: "it is damaged".to_owned() },
            },
        );
    }

    fn finish(&mut self, pick: u8) {
        let Some(lease) = self.pick(pick) else { return };
        let Some(Held { session, job, epoch, diverged }) = self.held.remove(&lease) else {
            return;
        };
        let outcome = match (job, diverged) {
            (Job::Train, true) => Outcome::Diverged,
            (Job::Train, false) if epoch < EPOCHS => Outcome::Failed { message: "no".to_owned() },
            (Job::Train | Job::Score, _) => Outcome::Completed,
        };
        let test =
            (job == Job::Score).then_some(Score { loss: 0.1, accuracy: Some(0.9), measured: None });
        let result = Finished {
            outcome,
            last: Some(metrics(EPOCHS, 0.1)),
            test,
            seconds: 0.5,
            memory_bytes: Some(4096),
            model: None,
        };
        self.say(session, FromWorker::Finished { lease, result });
    }

    fn release(&mut self, pick: u8) {
        let Some(lease) = self.pick(pick) else { return };
        let Some(held) = self.held.remove(&lease) else { return };
        let release = if pick.is_multiple_of(4) {
            Release::Drained
        } else {
            Release::Unable { message: "no data".to_owned() }
        };
        self.say(held.session, FromWorker::Released { lease, release });
    }

    /// An external client asks for a trial, and reports an epoch or tells the end.
    fn run_client(&mut self, pick: u8) {
        let Some(sweep) = self.live.find("x") else {
            let mut spec = Box::new(spec("x", 6, 2));
            spec.data = DataSpec::external();
            spec.fixed = [("epochs".to_owned(), Value::Int(EPOCHS.into()))].into_iter().collect();
            spec.objective = Objective {
                metric: Metric::Named(name("score")),
                goal: Goal::Maximize,
                ..spec.objective
            };
            spec.stopping = StoppingRule::Median;
            return self.step(Input::CreateSweep {
                request_id: name(&format!("x{pick}")),
                spec,
                data: DataSummary::default(),
                for_slots: None,
            });
        };
        let request_id = name(&format!("r{}", pick % 8));
        let ask = Ask {
            key: AskKey { request_id, client: name("w0"), token: None },
            count: 1,
            lease_ms: 1_000,
        };
        let waiter = Waiter { id: WaiterId(1), is_patient: false };
        self.step(Input::AskTrials(sweep, ask, waiter));
        let Some(ClientReply::Trials(mut asked)) = self.answer.take() else { return };
        let Some(AskedTrial { trial, lease, .. }) = asked.trials.pop() else { return };
        let known = self.live.record().sweep(sweep).and_then(|sweep| sweep.trial(trial));
        let epoch = 1 + known.map_or(EPOCHS, |trial| trial.recorded_epochs());
        let metrics = NamedMetrics { epoch, metrics: [(name("score"), f64::from(pick))].into() };
        if epoch <= EPOCHS && pick > 40 {
            self.step(Input::ReportTrial(
                sweep,
                Report { trial, lease, token: None, metrics, seconds: None },
                WaiterId(2),
            ));
        } else {
            let last = (epoch <= EPOCHS).then_some(metrics);
            self.step(Input::TellTrial(
                sweep,
                Tell { trial, lease, token: None, outcome: Outcome::Completed, last, seconds: 0.5 },
                WaiterId(3),
            ));
        }
    }

    /// Stores what happened since the last batch.
    pub(crate) fn write(&mut self) {
        let rows = self.live.take_rows();
        let events = std::mem::take(&mut self.unwritten);
        self.tables.update(&events, rows.clone());
        let sweeps = rows.sweeps.iter().filter_map(|id| self.live.sweep(*id)).collect();
        append_with(&mut self.store, &events, Rows { sweeps, trials: rows.trials }).unwrap();
    }

    fn compare(&mut self) {
        self.write();
        let events = loaded(&mut self.store);
        self.compare_trials();
        let again = Coordinator::recover(CONFIG, self.store.id(), 0, events).unwrap();
        // As text, because NaN is not equal to itself.
        assert_eq!(format!("{:#?}", again.record()), format!("{:#?}", self.live.record()));
        self.compare_snapshot();
    }

    /// Saves what the live coordinator is now.
    pub(crate) fn take_snapshot(&mut self) {
        self.begin_snapshot();
        while self.store.save_some().unwrap() {}
    }

    /// Begins to save what the live coordinator is now.
    pub(crate) fn begin_snapshot(&mut self) {
        self.write();
        let sweeps: Vec<SweepId> = self.live.record().sweeps().keys().copied().collect();
        let capture = self.live.capture(sweeps).unwrap();
        let encoded = capture.encode(self.snapshot.get_or_insert_default()).unwrap();
        let mark = self.store.mark().unwrap();
        // What happens after the capture is not part of it.
        self.step(Input::Tick);
        self.write();
        self.store.begin_save(Snapshot { mark, encoded }).unwrap();
    }

    /// The snapshot and the events after it make the live state too.
    fn compare_snapshot(&mut self) {
        let Some(restored) = self.store.restore() else {
            return assert!(self.snapshot.is_none(), "the snapshot cannot be read");
        };
        let (mut replay, written) = Replay::from_snapshot(CONFIG, self.store.id(), restored);
        let readers = self.store.readers().unwrap();
        let mut rest = self.store.load_rest().unwrap();
        for event in rest.by_ref() {
            let (_, event) = event.unwrap();
            if let Some(job) = replay.needs(&event) {
                replay.load(readers.open().unwrap().load(job).unwrap());
            }
            replay.apply(&event).unwrap();
        }
        assert!(rest.damages().is_empty(), "{:?}", rest.damages());
        drop(rest);
        let mut again = replay.finish(0);
        load_all(&mut again, &self.store).unwrap();
        assert_eq!(format!("{:#?}", again.record()), format!("{:#?}", self.live.record()));
        self.snapshot = Some(written);
    }

    /// The store shows the trials as the live coordinator does.
    fn compare_trials(&self) {
        let mut reader = self.store.readers().unwrap().open().unwrap();
        for (id, sweep) in self.live.record().sweeps() {
            let filter =
                TrialFilter { limit: usize::MAX, with_curves: true, ..TrialFilter::default() };
            let mut live = self.tables.trials(*id, &filter).unwrap();
            let known = live.len().try_into().unwrap();
            let goal = sweep.spec().objective.goal;
            let query =
                TrialQuery { known, max_values: Some(usize::MAX), ..TrialQuery::all(*id, goal) };
            let mut stored = reader.trials(&query).unwrap().trials;
            for trial in live.iter_mut().chain(&mut stored) {
                trial.parked = false;
                trial.times = TrialTimes::default();
            }
            assert_eq!(format!("{stored:#?}"), format!("{live:#?}"));
        }
    }
}

#[test]
fn a_replayed_log_makes_the_live_state() {
    let kinds = RefCell::new(BTreeSet::new());
    let actions = proptest::collection::vec((0..30u8, proptest::prelude::any::<u8>()), 150..300);
    let run = |actions: Vec<(u8, u8)>| {
        let mut world = World::new();
        world.act(0, 0);
        world.act(1, 0);
        actions.into_iter().for_each(|(action, pick)| world.act(action, pick));
        world.compare();
        kinds.borrow_mut().append(&mut world.kinds);
        Ok(())
    };
    // Only releases up to format 2 wrote `epoch_recorded`.
    let all = KINDS - 1;
    // Random actions may miss a rare kind of event: then they go on until they reach it.
    for _ in 0..50 {
        let cases = Cases { cases: 40, failure_persistence: None, ..Cases::default() };
        TestRunner::new(cases).run(&actions, run).unwrap();
        if kinds.borrow().len() == all {
            break;
        }
    }
    let kinds = kinds.into_inner();
    assert_eq!(kinds.len(), all, "every kind of event must be reached: {kinds:?}");
}
