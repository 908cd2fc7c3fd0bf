//! A worker's process: the real agent, and simulated trainings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use caviar_common::blob::{Blob, BlobName};
use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, SweepId};
use caviar_common::message::{
    Checkpoint, Finished, FromWorker, Grant, KeepRule, StoredModel, ToWorker,
};
use caviar_common::numbers::to_u64;
use caviar_common::outcome::{Job, Outcome};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_worker::agent::{Agent, Command, End, Identity, ModelBytes, RunnerEvent, State};

use super::marks::{Mark, Marks};
use super::training::{epochs, measure, seconds, units};

/// Why a worker cannot train a sweep.
pub(super) const MISSING_DATA: &str = "the data is missing";

/// A machine on which a worker runs. It outlives the worker's process.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) name: Name,
    pub(super) slots: u32,
    /// The widest network for which it has the memory; `None` if it can train any.
    pub(super) most_units: Option<u32>,
}

/// A running training or scoring.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) grant: Grant,
    pub(super) epoch: u32,
    pub(super) is_parked: bool,
    /// It makes no progress any more.
    pub(super) is_hung: bool,
    /// It advances in one of this many actions.
    pub(super) slowness: u64,
}

impl Execution {
    /// True if this is the training of the first sweep's trial `poison`, which crashes its workers.
    pub(super) fn crashes(&self, poison: Option<u32>) -> bool {
        let Grant { job, sweep, trial, .. } = &self.grant;
        *job == Job::Train && *sweep == SweepId(1) && Some(trial.0) == poison
    }
}

/// A worker's process and its connection.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) machine: Machine,
    pub(super) incarnation: Incarnation,
    pub(super) agent: Agent,
    pub(super) jobs: BTreeMap<LeaseId, Execution>,
    /// Hung runners that were told to stop and still occupy their slots.
    ending: VecDeque<LeaseId>,
    /// The sweeps that it cannot train now.
    pub(super) unable: BTreeSet<SweepId>,
    /// True if the next scoring that it begins hangs.
    pub(super) hangs_next_scoring: bool,
    /// True if it was stopped, which the coordinator may not know yet.
    pub(super) is_leaving: bool,
    /// How many of the next jobs it declines.
    pub(super) declines: u32,
    /// How often the worker was told to park a trial.
    pub(super) parkings: u64,
    pub(super) session: Option<SessionId>,
    pub(super) to_coordinator: VecDeque<FromWorker>,
    pub(super) to_worker: VecDeque<ToWorker>,
    /// What happened since the simulation last took the marks.
    pub(super) marks: Marks,
}

/// What became of an attempt to train.
pub(super) enum Progress {
    /// Nothing was trained in this action.
    None,
    /// An epoch of a training.
    Trained,
    /// An epoch of a scoring.
    Scored,
    /// The trial crashes its workers.
    Crash,
}

impl Node {
    pub(super) fn new(machine: Machine, incarnation: u64) -> Self {
        let incarnation = Incarnation(incarnation);
        let identity = Identity {
            worker: machine.name.clone(),
            incarnation,
            slots: machine.slots,
            // A parked trial keeps its memory.
            can_park: machine.most_units.is_none(),
        };
        Self {
            machine,
            incarnation,
            agent: Agent::new(identity),
            jobs: BTreeMap::new(),
            ending: VecDeque::new(),
            unable: BTreeSet::new(),
            hangs_next_scoring: false,
            is_leaving: false,
            declines: 0,
            parkings: 0,
            session: None,
            to_coordinator: VecDeque::new(),
            to_worker: VecDeque::new(),
            marks: Marks::default(),
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.session = None;
        self.agent.disconnected();
        self.obey();
        self.to_coordinator.clear();
        self.to_worker.clear();
    }

    pub(super) fn obey(&mut self) {
        while let Some(command) = self.agent.next_command() {
            match command {
                Command::Start(grant) => self.start(*grant),
                Command::Park(lease) => {
                    self.job(lease).is_parked = true;
                    self.parkings += 1;
                }
                Command::Unpark(lease) => self.job(lease).is_parked = false,
                Command::Leave(lease) => self.leave(lease),
                Command::Store(lease, state) => self.store(lease, &state),
                Command::StoreModel(lease, model) => self.store_model(lease, &model),
                Command::Discard(_) | Command::Fetch(..) => {}
                Command::Cancel(lease) => match self.jobs.remove(&lease) {
                    Some(job) if job.is_hung => {
                        self.marks.add(Mark::SlowCancel);
                        self.ending.push_back(lease);
                    }
                    Some(_) => self.end(lease, End::Cancelled),
                    None => {}
                },
            }
        }
    }

    /// A runner writes a checkpoint and ends, unless it hangs.
    fn leave(&mut self, lease: LeaseId) {
        match self.jobs.remove(&lease) {
            Some(job) if job.is_hung => {
                self.marks.add(Mark::SlowCancel);
                self.ending.push_back(lease);
            }
            Some(job) => {
                self.write_checkpoint(lease, &job.grant, job.epoch);
                self.end(lease, End::Cancelled);
            }
            None => {}
        }
    }

    fn write_checkpoint(&mut self, lease: LeaseId, grant: &Grant, epoch: u32) {
        if grant.job == Job::Train {
            let state = Box::new(State { epoch, batch: 0, bytes: vec![0].into() });
            self.agent.on_event(RunnerEvent::Checkpoint { lease, state });
        }
    }

    /// Stores a checkpoint at once; every fifth one cannot be stored.
    fn store(&mut self, lease: LeaseId, state: &State) {
        let State { epoch, batch, .. } = *state;
        let blob = Blob { name: BlobName::from_hash([epoch.to_le_bytes()[0]; 32]), bytes: 1 };
        let is_stored = !(lease.0 + u64::from(epoch)).is_multiple_of(5);
        self.agent.on_stored(lease, is_stored.then_some(Checkpoint { epoch, batch, blob }));
    }

    /// Stores a model at once.
    fn store_model(&mut self, lease: LeaseId, model: &ModelBytes) {
        let mut hash = [0; 32];
        hash.iter_mut().zip(model.bytes.iter()).for_each(|(byte, text)| *byte = *text);
        let blob = Blob { name: BlobName::from_hash(hash), bytes: to_u64(model.bytes.len()) };
        self.agent.on_model_stored(lease, Some(StoredModel { epoch: model.epoch, blob }));
    }

    /// The model of a completed training, if the sweep wants it.
    fn send_model(&mut self, lease: LeaseId, grant: &Grant) {
        let Objective { metric, .. } = &grant.objective;
        let value = |epoch: u32| measure(grant, epoch).get(metric);
        let last = epochs(grant);
        let counting = match grant.objective.epoch {
            ObjectiveEpoch::Last => last,
            ObjectiveEpoch::Best => (2..=last).fold(1, |best, epoch| {
                let is_best = grant.objective.is_best(value(epoch), value(best));
                if is_best { epoch } else { best }
            }),
        };
        let is_wanted =
            grant.objective.cost(value(counting)).is_some_and(|cost| match grant.keep {
                KeepRule::Nothing => false,
                KeepRule::All => true,
                KeepRule::UpTo(worst) => cost <= worst,
            });
        if is_wanted {
            let text = format!("trial {} epoch {counting}", grant.trial);
            let bytes = Arc::new(text.into_bytes());
            let model = Box::new(ModelBytes { epoch: counting, bytes });
            self.agent.on_event(RunnerEvent::Model { lease, model });
        }
    }

    /// Where a training begins. Every fourth checkpoint cannot be used.
    fn first_epoch(&mut self, grant: &Grant) -> u32 {
        match grant.checkpoint {
            None => 0,
            Some(checkpoint) if !grant.lease.0.is_multiple_of(4) => {
                self.marks.add(Mark::Resumed);
                checkpoint.epoch
            }
            Some(_) => {
                self.marks.add(Mark::Restarted);
                let reason = "the checkpoint is damaged".to_owned();
                self.agent.on_event(RunnerEvent::Restarted { lease: grant.lease, reason });
                0
            }
        }
    }

    fn job(&mut self, lease: LeaseId) -> &mut Execution {
        self.jobs.get_mut(&lease).expect("it trains")
    }

    fn end(&mut self, lease: LeaseId, end: End) {
        self.agent.on_event(RunnerEvent::Ended { lease, end });
    }

    fn start(&mut self, grant: Grant) {
        let lease = grant.lease;
        if let Some(end) = self.objection(&grant) {
            return self.end(lease, end);
        }
        let speed = Seed::derive(self.incarnation.0, lease.0, Purpose::Shuffle).stream(0).below(5);
        let is_hung = grant.job == Job::Score && std::mem::take(&mut self.hangs_next_scoring);
        self.marks.add_if(is_hung, Mark::Hang);
        let epoch = self.first_epoch(&grant);
        let (is_parked, slowness) = (false, 1 << speed);
        self.jobs.insert(lease, Execution { grant, epoch, is_parked, is_hung, slowness });
    }

    /// Why the worker gives a job back before it begins.
    fn objection(&mut self, grant: &Grant) -> Option<End> {
        if self.declines > 0 {
            self.declines -= 1;
            self.marks.add(Mark::Declined);
            return Some(End::Cancelled);
        }
        if self.unable.contains(&grant.sweep) {
            self.marks.add(Mark::Unable);
            return Some(End::Unable { message: MISSING_DATA.to_owned() });
        }
        let most = self.machine.most_units?;
        (units(&grant.assignment) > most).then(|| {
            self.marks.add(Mark::TooLarge);
            End::TooLarge { message: format!("there is memory for {most} units") }
        })
    }

    pub(super) fn speak(&mut self) {
        while let Some(message) = self.agent.next_message() {
            self.to_coordinator.push_back(message);
        }
    }

    /// Handles the next message of the coordinator. Returns false if there was none.
    pub(super) fn listen(&mut self) -> bool {
        let Some(message) = self.to_worker.pop_front() else { return false };
        self.agent.on_message(message);
        self.obey();
        assert!(
            self.active().count() <= self.machine.slots as usize,
            "{} trains more than it has slots",
            self.machine.name
        );
        true
    }

    /// The leases of the trainings that are not parked.
    pub(super) fn active(&self) -> impl Iterator<Item = LeaseId> {
        self.jobs.iter().filter(|(_, job)| !job.is_parked).map(|(lease, _)| *lease)
    }

    /// True if the process is done and may exit.
    pub(super) fn may_exit(&self) -> bool {
        self.agent.may_exit() && self.to_coordinator.is_empty()
    }

    /// Lets a hung runner that was told to stop end at last.
    pub(super) fn end_hung(&mut self) {
        if let Some(lease) = self.ending.pop_front() {
            self.end(lease, End::Cancelled);
            self.obey();
        }
    }

    /// Trains one epoch of one of the worker's trials. `speed` decides whether a slow one advances,
    /// and the trial of `poison` crashes the process.
    pub(super) fn train(
        &mut self,
        lease: LeaseId,
        speed: Option<&mut Stream>,
        poison: Option<u32>,
    ) -> Progress {
        let job = self.job(lease);
        let is_slow = speed.is_some_and(|speed| speed.below(job.slowness) > 0);
        if job.is_hung || is_slow {
            return Progress::None;
        }
        if job.crashes(poison) {
            return Progress::Crash;
        }
        let kind = job.grant.job;
        job.epoch += 1;
        let (epoch, grant) = (job.epoch, job.grant.clone());
        let (metrics, seconds) = (measure(&job.grant, job.epoch), seconds(&job.grant, job.epoch));
        let is_over = job.epoch == epochs(&job.grant) || !metrics.is_finite();
        if kind == Job::Train {
            self.agent.on_event(RunnerEvent::Epoch { lease, metrics, seconds });
        }
        if kind == Job::Train && !is_over && (lease.0 + u64::from(epoch)).is_multiple_of(3) {
            self.write_checkpoint(lease, &grant, epoch);
            self.obey();
        }
        if is_over {
            let outcome = if metrics.is_finite() { Outcome::Completed } else { Outcome::Diverged };
            let test = (kind == Job::Score).then_some(metrics.validation);
            self.jobs.remove(&lease);
            if kind == Job::Train && outcome == Outcome::Completed {
                self.send_model(lease, &grant);
            }
            let (last, memory_bytes, model) = (Some(metrics), Some(4096), None);
            let result = Finished { outcome, last, test, seconds, memory_bytes, model };
            self.end(lease, End::Finished(result));
            self.obey();
        }
        if kind == Job::Train { Progress::Trained } else { Progress::Scored }
    }
}
