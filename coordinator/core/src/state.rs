//! What the events make. Only [`crate::apply`] writes it; everything else reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use caviar_common::ask::Ask;
use caviar_common::assignment::Assignment;
use caviar_common::data::DataSummary;
use caviar_common::ids::{AttemptNumber, Incarnation, LeaseId, Name, SweepId, TrialNumber};
#[cfg(doc)]
use caviar_common::limits::MAX_ASK_REPLIES;
use caviar_common::metric::{Point, Score};
use caviar_common::outcome::{Job, SweepState, TrialState};
use caviar_common::reason::Reason;
use caviar_common::spec::SweepSpec;
use caviar_search::Observation;

use crate::event::{EarlierResults, Granted, Loss, Rung};

/// Everything that survives a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Durable {
    /// The sweeps.
    pub sweeps: BTreeMap<SweepId, Sweep>,
    /// The leases in force.
    pub leases: BTreeMap<LeaseId, Lease>,
    /// The leases in force, by worker.
    pub held: BTreeMap<Name, BTreeSet<LeaseId>>,
    /// The leases that brought a result, with their sweeps: what is said of them again is
    /// acknowledged again.
    pub results: BTreeMap<LeaseId, SweepId>,
    /// The next sweep's number.
    pub next_sweep: SweepId,
    /// The next lease's number.
    pub next_lease: LeaseId,
}

impl Default for Durable {
    fn default() -> Self {
        Self {
            sweeps: BTreeMap::new(),
            leases: BTreeMap::new(),
            held: BTreeMap::new(),
            results: BTreeMap::new(),
            next_sweep: SweepId(1),
            next_lease: LeaseId(1),
        }
    }
}

/// A lease in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The sweep.
    pub sweep: SweepId,
    /// The trial.
    pub trial: TrialNumber,
    /// Which execution of it.
    pub attempt: AttemptNumber,
    /// The worker that holds it.
    pub worker: Name,
    /// The worker's process.
    pub incarnation: Incarnation,
    /// What for.
    pub job: Job,
    /// Where a program holds it that runs trials by itself, and no worker: how long it may be
    /// silent, in milliseconds.
    pub program_ms: Option<u64>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Trials are sampled and trained.
    Searching,
    /// The winner is being scored.
    Scoring,
    /// Done.
    Completed,
    /// Ended by request.
    Cancelled,
}

/// A sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Its number.
    pub id: SweepId,
    /// The caller's mark of the request that made it.
    pub request_id: Name,
    /// What was asked for.
    pub spec: SweepSpec,
    /// The data it runs on.
    pub data: DataSummary,
    /// What it learns from beside its own trials.
    pub warm_start: EarlierResults,
    /// How far it is.
    pub phase: Phase,
    /// Whether nothing new may start.
    pub paused: bool,
    /// Its trials, by number.
    pub trials: Vec<Trial>,
    /// The epochs at which trials are compared, ascending; none without a stopping rule.
    pub rungs: Vec<u32>,
    /// Virtual time: that of the latest decision.
    pub clock: u64,
    /// Trials in the slots of the virtual cluster, by ([`Trial::due`], number).
    pub in_flight: BTreeSet<(u64, TrialNumber)>,
    /// Trials that wait for a worker, by ([`Trial::due`], number): what the next decision needs
    /// goes first.
    pub queue: BTreeSet<(u64, TrialNumber)>,
    /// What was decided of trials at rungs and ends, in the order of the decisions.
    pub log: Vec<Observation>,
    /// The scoring of the winner.
    pub scoring: Option<Scoring>,
    /// The latest answers to programs that asked for trials, oldest first; [`MAX_ASK_REPLIES`] at most.
    pub answers: VecDeque<Answer>,
}

/// What a program was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The program.
    pub client: Name,
    /// Its mark of the request.
    pub request_id: Name,
    /// The trials.
    pub granted: Vec<Granted>,
}

/// Executions of a trial whose worker was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Losses {
    /// While the worker held nothing else: these count against the trial.
    pub alone: u32,
    /// While the worker held other trials too: these say only that the trial may be the cause.
    pub shared: u32,
}

impl Losses {
    /// Leases that a worker with `slots` may hold while it holds this trial, if it was ever lost.
    /// Every shared loss halves the company, so that a trial that takes its workers down is soon
    /// alone, and its neighbours of the first loss are not held up for long.
    pub fn company(self, slots: u32) -> Option<u32> {
        let halves = if self.alone > 0 { u32::MAX } else { self.shared };
        (halves > 0).then(|| slots.checked_shr(halves).unwrap_or(0).max(1))
    }

    /// One more.
    pub const fn add(&mut self, loss: Loss) {
        match loss {
            Loss::Alone => self.alone += 1,
            Loss::Shared => self.shared += 1,
        }
    }
}

/// The scoring of a winner.
#[derive(Clone, Debug, PartialEq)]
pub struct Scoring {
    /// The winner.
    pub trial: TrialNumber,
    /// Executions so far.
    pub attempts: u32,
    /// Executions whose worker was lost.
    pub losses: Losses,
    /// The lease in force.
    pub lease: Option<LeaseId>,
    /// The end of it.
    pub result: Option<ScoringResult>,
}

/// The end of a scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoringResult {
    /// The lease that brought it.
    pub lease: LeaseId,
    /// The score, unless it failed.
    pub score: Option<Score>,
    /// Whether the second training gave the same metrics.
    pub reproduced: bool,
    /// Why it failed.
    pub message: Option<String>,
}

/// A trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number.
    pub number: TrialNumber,
    /// Its state.
    pub state: TrialState,
    /// Its values.
    pub assignment: Assignment,
    /// Why it was chosen.
    pub reason: Reason,
    /// Epochs it is to train.
    pub epochs: u32,
    /// Its start in virtual time.
    pub start: u64,
    /// Its end in virtual time, unless it ends at a rung.
    pub end: u64,
    /// Rungs it has passed.
    pub passed: u32,
    /// Virtual time of what is decided next of it: its next rung or its end.
    pub due: u64,
    /// Executions so far.
    pub attempts: u32,
    /// Executions whose worker was lost.
    pub losses: Losses,
    /// The lease in force, or, once done, the lease that brought the outcome; none of a stopped
    /// one.
    pub lease: Option<LeaseId>,
    /// The worker of the latest execution.
    pub worker: Option<Name>,
    /// The epochs of the latest execution.
    pub curve: Vec<Point>,
    /// Training time in seconds.
    pub seconds: Option<f64>,
    /// Bytes that its training allocated.
    pub memory_bytes: Option<u64>,
    /// Why it failed.
    pub message: Option<String>,
    /// Where it was stopped.
    pub stopped: Option<Rung>,
}

impl Trial {
    /// Virtual time at which `epoch`, from 1, is trained. Every epoch costs the same.
    pub fn time_of(&self, epoch: u32) -> u64 {
        if epoch >= self.epochs {
            return self.end;
        }
        let cost = self.end.saturating_sub(self.start) / u64::from(self.epochs);
        self.start.saturating_add(cost.saturating_mul(u64::from(epoch)))
    }
}

impl Sweep {
    /// Its state, as people see it.
    pub const fn state(&self) -> SweepState {
        match self.phase {
            Phase::Completed => SweepState::Completed,
            Phase::Cancelled => SweepState::Cancelled,
            Phase::Searching | Phase::Scoring if self.paused => SweepState::Paused,
            Phase::Searching => SweepState::Running,
            Phase::Scoring => SweepState::Scoring,
        }
    }

    /// The trial of that number.
    pub fn trial(&self, number: TrialNumber) -> Option<&Trial> {
        self.trials.get(usize::try_from(number.0).ok()?)
    }

    /// What was answered when the same program asked the same before.
    pub fn answer(&self, ask: &Ask) -> Option<&Answer> {
        self.answers
            .iter()
            .find(|answer| answer.request_id == ask.request_id && answer.client == ask.client)
    }

    /// The losses of what a lease is for.
    pub fn losses(&self, lease: &Lease) -> Losses {
        match lease.job {
            Job::Train => self.trial(lease.trial).map_or_else(Losses::default, |t| t.losses),
            Job::Score => self.scoring.as_ref().map_or_else(Losses::default, |s| s.losses),
        }
    }

    /// The objective of a trial after its last epoch so far.
    pub fn objective(&self, trial: &Trial) -> Option<f64> {
        trial.curve.last()?.get(&self.spec.objective.metric)
    }

    /// The objective turned so that less is better; none unless the trial is completed and cannot
    /// be stopped any more.
    pub fn loss(&self, trial: &Trial) -> Option<f64> {
        // A trial that ended before the rung, or diverged there, is not decided at it; nor is any
        // once the search is over.
        let may_stop = self.phase == Phase::Searching && self.rung_loss(trial).is_some();
        let is_complete = trial.state == TrialState::Completed && !may_stop;
        let value = self.objective(trial).filter(|v| v.is_finite() && is_complete)?;
        Some(self.spec.objective.goal.as_cost(value))
    }

    /// The epoch of the rung that is decided next of the trial; none where that is its end.
    pub fn next_rung(&self, trial: &Trial) -> Option<u32> {
        let rung = self.rungs.get(usize::try_from(trial.passed).ok()?).copied();
        rung.filter(|epoch| *epoch < trial.epochs)
    }

    /// Virtual time of what is decided next of the trial.
    pub fn next_due(&self, trial: &Trial) -> u64 {
        self.next_rung(trial).map_or(trial.end, |epoch| trial.time_of(epoch))
    }

    /// Virtual time of the first decision on the trial for which a worker has still to bring
    /// something.
    pub fn next_delivery(&self, trial: &Trial) -> u64 {
        let ahead = self.rungs.iter().skip(usize::try_from(trial.passed).unwrap_or(usize::MAX));
        let rung = ahead.copied().find(|epoch| {
            !u64::try_from(trial.curve.len()).is_ok_and(|done| done >= u64::from(*epoch))
        });
        rung.map_or(trial.end, |epoch| trial.time_of(epoch))
    }

    /// The trial's objective at its next rung, turned so that less is better; none while it has not
    /// come there. A network that diverges never comes; what a program measured there without a
    /// finite value is worse than any other.
    pub fn rung_loss(&self, trial: &Trial) -> Option<f64> {
        let epoch = usize::try_from(self.next_rung(trial)?).ok()?;
        let metrics =
            trial.curve.get(epoch.checked_sub(1)?).filter(|metrics| metrics.is_finite())?;
        let value = metrics.get(&self.spec.objective.metric).filter(|v| v.is_finite());
        Some(value.map_or(f64::INFINITY, |value| self.spec.objective.goal.as_cost(value)))
    }

    /// Whether what is decided next of the trial can be, as far as its own results go.
    pub fn is_ready(&self, trial: &Trial) -> bool {
        trial.state.is_final() || self.rung_loss(trial).is_some()
    }

    /// The best completed trial: the least loss, and of equals the lowest number.
    pub fn best(&self) -> Option<&Trial> {
        let ranked = self.trials.iter().filter_map(|t| Some((self.loss(t)?, t)));
        ranked.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, trial)| trial)
    }
}
