//! The state of one sweep.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use caviar_common::ask::{Ask, AskKey, AskedTrial};
use caviar_common::data::DataSummary;
use caviar_common::ids::{LeaseId, Name, SweepId, TrialNumber};
use caviar_common::limits::MAX_ASK_REPLIES;
use caviar_common::message::KeepRule;
use caviar_common::metric::{Point, Score};
use caviar_common::numbers::{index, to_u32};
use caviar_common::outcome::{Job, SweepState, TrialState};
use caviar_common::spec::{SearchSpec, SweepSpec};
use caviar_search::stopping::RungRank;
use caviar_search::{History, SortedList, TotalF64};
use serde::{Deserialize, Serialize};

use super::trials::Trials;
use super::{ExpiredLease, Lease, Models, PastTrial, Statistics, Trial, Urgency};
use crate::record::cost::comparable;
use crate::record::event::{
    EarlierResults, EarlierTrials, EarlierWinner, SweepExtended, SweepResized,
};
use crate::record::ties::Ties;

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Trials are sampled and trained.
    Searching,
    /// The winner is being scored on the test split.
    Scoring,
    /// The search and the scoring are done.
    Completed,
    /// A client ended the sweep.
    Cancelled,
}

impl Phase {
    /// True if the sweep has ended.
    pub(in crate::record) const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// A sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    pub(in crate::record) id: SweepId,
    pub(in crate::record) request_id: Name,
    pub(in crate::record) spec: Arc<SweepSpec>,
    pub(in crate::record) data: DataSummary,
    pub(in crate::record) warm_start: Arc<EarlierResults>,
    pub(in crate::record) earlier: Option<Arc<EarlierTrials>>,
    pub(in crate::record) phase: Phase,
    pub(in crate::record) is_paused: bool,
    pub(in crate::record) auto_slots: Option<u32>,
    pub(in crate::record) ties: Ties,
    pub(in crate::record) resizes: Vec<SweepResized>,
    pub(in crate::record) extensions: Vec<SweepExtended>,
    pub(in crate::record) trials: Trials,
    pub(in crate::record) rungs: Vec<u32>,
    pub(in crate::record) clock: u64,
    pub(in crate::record) in_flight: BTreeSet<Urgency>,
    pub(in crate::record) queue: BTreeSet<Urgency>,
    /// The trials in flight whose own results are enough for their next decision.
    pub(in crate::record) decidable: BTreeSet<Urgency>,
    /// The trials in flight that have no entry in the history's log yet, in ascending order.
    pub(in crate::record) pending: Vec<u32>,
    pub(in crate::record) history: History,
    /// How many decisions the history has while it is not in memory, nor the ends of the trials and
    /// the costs at rungs; `None` while they are.
    pub(in crate::record) unloaded_decisions: Option<usize>,
    /// The costs of the trials that have reached each rung.
    pub(in crate::record) rung_costs: Vec<SortedList<TotalF64>>,
    pub(in crate::record) statistics: Statistics,
    pub(in crate::record) scoring: Option<Scoring>,
    /// The leases in force on jobs of the sweep.
    pub(in crate::record) leases: BTreeSet<LeaseId>,
    pub(in crate::record) asks: Asks,
    pub(in crate::record) models: Models,
}

/// What external clients got when they asked for trials. An ask is kept while one of its leases is
/// in force. Of the others, the latest [`MAX_ASK_REPLIES`] are kept, and at most
/// [`MAX_IDLE_TRIALS`] trials of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::record) struct Asks {
    by_request: BTreeMap<AskKey, AskRecord>,
    /// The asks without a lease in force, oldest first.
    idle: VecDeque<AskKey>,
    /// The trials of those asks.
    idle_trials: usize,
}

/// Most trials of asks without a lease in force that are kept for one sweep. Each takes about a
/// kilobyte.
const MAX_IDLE_TRIALS: usize = 4_096;

impl Asks {
    pub(in crate::record) fn insert(&mut self, key: AskKey, trials: Vec<AskedTrial>) {
        let in_force = trials.len();
        self.by_request.insert(key, AskRecord { trials: Arc::new(trials), in_force });
    }

    /// All asks. Those without a lease in force come last, oldest first.
    pub(in crate::record) fn in_order(&self) -> impl Iterator<Item = (&AskKey, &AskRecord)> {
        let in_force = self.by_request.iter().filter(|(_, ask)| ask.in_force > 0);
        let idle = self.idle.iter().filter_map(|key| self.by_request.get_key_value(key));
        in_force.chain(idle)
    }

    /// Adds an ask of a snapshot, in the order of [`Asks::in_order`].
    pub(in crate::record) fn restore(&mut self, key: AskKey, ask: AskRecord) {
        if ask.in_force == 0 {
            self.idle_trials += ask.trials.len();
            self.idle.push_back(key.clone());
        }
        self.by_request.insert(key, ask);
    }

    /// Notes that a lease of this ask has ended.
    pub(in crate::record) fn end_lease(&mut self, key: &AskKey) {
        let Some(ask) = self.by_request.get_mut(key) else { return };
        ask.in_force = ask.in_force.saturating_sub(1);
        if ask.in_force > 0 {
            return;
        }
        self.idle_trials += ask.trials.len();
        self.idle.push_back(key.clone());
        while self.idle.len() > MAX_ASK_REPLIES
            || self.idle.len() > 1 && self.idle_trials > MAX_IDLE_TRIALS
        {
            let oldest = self.idle.pop_front().and_then(|key| self.by_request.remove(&key));
            let trials = oldest.map_or(0, |ask| ask.trials.len());
            self.idle_trials = self.idle_trials.saturating_sub(trials);
        }
    }
}

/// What an external client got when it asked for trials.
#[derive(Clone, Debug, PartialEq)]
pub struct AskRecord {
    pub(in crate::record) trials: Arc<Vec<AskedTrial>>,
    /// How many of the granted leases are in force.
    pub(in crate::record) in_force: usize,
}

impl AskRecord {
    /// The trials that the client got.
    pub fn trials(&self) -> &[AskedTrial] {
        &self.trials
    }
}

/// The scoring of the winner on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    pub(in crate::record) trial: TrialNumber,
    pub(in crate::record) attempts: u32,
    pub(in crate::record) losses: u32,
    #[serde(default)]
    pub(in crate::record) expired: Vec<ExpiredLease>,
    pub(in crate::record) status: ScoringStatus,
}

/// How far the scoring of the winner is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ScoringStatus {
    /// Waits for a worker.
    Waiting,
    /// A worker scores the winner.
    Running {
        /// The lease in force.
        lease: LeaseId,
    },
    /// The scoring ended, with a score or a message.
    Finished(ScoringResult),
}

/// How a scoring ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoringResult {
    pub(in crate::record) score: Option<Score>,
    pub(in crate::record) reproduced: bool,
    pub(in crate::record) message: Option<String>,
}

impl Scoring {
    /// The winner of the search.
    pub const fn trial(&self) -> TrialNumber {
        self.trial
    }

    /// Executions so far, the current one included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many times in a row the scoring has lost its worker.
    pub const fn losses(&self) -> u32 {
        self.losses
    }

    /// The latest leases that have expired, oldest first.
    pub fn expired(&self) -> &[ExpiredLease] {
        &self.expired
    }

    /// How far the scoring is.
    pub const fn status(&self) -> &ScoringStatus {
        &self.status
    }

    /// The result; `None` while the scoring has not ended.
    pub const fn result(&self) -> Option<&ScoringResult> {
        match &self.status {
            ScoringStatus::Finished(result) => Some(result),
            ScoringStatus::Waiting | ScoringStatus::Running { .. } => None,
        }
    }
}

impl ScoringResult {
    /// The score on the test split; `None` if scoring failed.
    pub const fn score(&self) -> Option<Score> {
        self.score
    }

    /// True if the second training gave the same metrics, bit for bit.
    pub const fn is_reproduced(&self) -> bool {
        self.reproduced
    }

    /// Why scoring failed.
    pub const fn message(&self) -> Option<&String> {
        self.message.as_ref()
    }
}

/// The fields of the state.
impl Sweep {
    /// The sweep's number in its store, from 1.
    pub const fn id(&self) -> SweepId {
        self.id
    }

    /// The client's identifier of the request that created the sweep.
    pub const fn request_id(&self) -> &Name {
        &self.request_id
    }

    /// The requested sweep, with the default space filled in.
    pub fn spec(&self) -> &Arc<SweepSpec> {
        &self.spec
    }

    /// The data set that the sweep trains on.
    pub const fn data(&self) -> &DataSummary {
        &self.data
    }

    /// The results of an earlier sweep that the sampler learns from.
    pub fn warm_start(&self) -> &EarlierResults {
        &self.warm_start
    }

    /// The best trial of the earlier sweep, which the first trial repeats; `None` without one, and
    /// if the space does not have it.
    pub fn earlier_winner(&self) -> Option<&EarlierWinner> {
        self.earlier.as_ref()?.winner.as_ref()
    }

    /// The costs of the trials of an earlier sweep at a rung, if they count there, in ascending
    /// order.
    pub fn earlier_costs_at(&self, rung: u32) -> impl Iterator<Item = f64> {
        let costs = self.earlier.as_ref().and_then(|earlier| earlier.rung_costs.get(index(rung)));
        costs.into_iter().flatten().map(|cost| cost.0)
    }

    /// The costs of the trials that have reached a rung, in ascending order. Those of an earlier
    /// sweep are not among them.
    pub fn costs_at(&self, rung: u32) -> impl Iterator<Item = f64> {
        let costs = self.rung_costs.get(index(rung));
        costs.into_iter().flat_map(SortedList::iter).map(|cost| cost.0)
    }

    /// How far the sweep is, whether it is paused or not.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// True if no new trial may start until a client resumes the sweep.
    pub const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// The slots from which `parallelism = "auto"` was resolved; `None` if the sweep file gave a
    /// number.
    pub const fn auto_slots(&self) -> Option<u32> {
        self.auto_slots
    }

    /// True if a request with this spec, and slots for `parallelism = "auto"` if it names some,
    /// created the sweep.
    pub fn was_requested_as(&self, spec: &SweepSpec, for_slots: Option<u32>) -> bool {
        let has_slots = for_slots.is_none_or(|slots| self.auto_slots == Some(slots));
        has_slots && self.spec.answers(spec)
    }

    /// The changes of the number of trials in flight, oldest first.
    pub fn resizes(&self) -> &[SweepResized] {
        &self.resizes
    }

    /// How many trials are in flight in virtual time now: the number of the spec, or of the latest
    /// change.
    pub fn parallelism(&self) -> u32 {
        let latest = self.resizes.last().map(|resized| resized.parallelism);
        latest.unwrap_or_else(|| self.spec.search.parallelism.trials())
    }

    /// The additions to the number of trials, oldest first.
    pub fn extensions(&self) -> &[SweepExtended] {
        &self.extensions
    }

    /// The number of trials now: that of the spec, and what was added.
    pub fn budget(&self) -> u32 {
        let added = self.extensions.iter().map(|extended| extended.added);
        added.fold(self.spec.search.trials, u32::saturating_add)
    }

    /// The trials of each round of a search in rounds. What was added is a round of its own.
    pub fn rounds(&self) -> impl Iterator<Item = u32> {
        let SearchSpec { rounds, strategy, .. } = &self.spec.search;
        let extensions = self.extensions.iter().filter(|_| strategy.has_rounds());
        rounds.iter().copied().chain(extensions.map(|extended| extended.added))
    }

    /// How trials are chosen now: what the spec says, with what was added.
    pub fn search(&self) -> SearchSpec {
        let (trials, rounds) = (self.budget(), self.rounds().collect());
        SearchSpec { trials, rounds, ..self.spec.search.clone() }
    }

    /// How many trials were sampled.
    pub fn sampled(&self) -> u32 {
        self.trials.sampled()
    }

    /// The trials in flight, by number.
    pub fn trials_in_flight(&self) -> impl Iterator<Item = &Trial> {
        self.trials.in_flight()
    }

    /// What is known of a trial that is not in flight any more; `None` while the sweep is not
    /// loaded.
    pub fn past_trial(&self, number: TrialNumber) -> Option<PastTrial> {
        self.trials.past(number)
    }

    /// The epochs of the rungs, ascending; empty without a stopping rule.
    pub fn rungs(&self) -> &[u32] {
        &self.rungs
    }

    /// Virtual time of the latest decision.
    pub const fn clock(&self) -> u64 {
        self.clock
    }

    /// The trials in the slots of the virtual cluster, by the time of their next decision.
    pub const fn in_flight(&self) -> &BTreeSet<Urgency> {
        &self.in_flight
    }

    /// The trials in flight whose own results are enough for their next decision, by its time.
    pub const fn decidable(&self) -> &BTreeSet<Urgency> {
        &self.decidable
    }

    /// The trials in flight that have no entry in the history's log yet, in ascending order.
    pub fn pending(&self) -> &[u32] {
        &self.pending
    }

    /// The trials that wait to be executed, by the time of their next decision.
    pub const fn queue(&self) -> &BTreeSet<Urgency> {
        &self.queue
    }

    /// The assignments of the trials, and the decisions on them at rungs and ends, in the order in
    /// which they were taken. Empty while the sweep is not loaded.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The scoring of the winner; `None` until it starts.
    pub const fn scoring(&self) -> Option<&Scoring> {
        self.scoring.as_ref()
    }

    /// The counts of trials, the best of them, rounds and boxes.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The leases in force on jobs of the sweep.
    pub const fn leases(&self) -> &BTreeSet<LeaseId> {
        &self.leases
    }
}

/// What follows from the fields.
impl Sweep {
    /// The state that users see.
    pub const fn state(&self) -> SweepState {
        match self.phase {
            Phase::Completed => SweepState::Completed,
            Phase::Cancelled => SweepState::Cancelled,
            Phase::Searching | Phase::Scoring if self.is_paused => SweepState::Paused,
            Phase::Searching => SweepState::Running,
            Phase::Scoring => SweepState::Scoring,
        }
    }

    /// The trial of that number, if it is in flight or the best of those that are not.
    pub fn trial(&self, number: TrialNumber) -> Option<&Trial> {
        self.trials.get(number)
    }

    /// True unless the sweep has ended and its history and the ends of its trials are only in the
    /// snapshot.
    pub const fn is_loaded(&self) -> bool {
        self.unloaded_decisions.is_none()
    }

    /// True if nothing will change in the sweep any more.
    pub fn has_ended(&self) -> bool {
        let is_idle = self.leases.is_empty() && self.trials.in_flight.is_empty();
        self.phase.is_final() && is_idle
    }

    /// The state of the trial of that number, if it was sampled. While the sweep is not loaded,
    /// only that of the best trial is known.
    pub fn state_of(&self, number: TrialNumber) -> Option<TrialState> {
        let past = self.past_trial(number).map(|past| past.state());
        past.or_else(|| self.trial(number).map(Trial::state))
    }

    /// What the same client got when it sent the same request before.
    pub fn earlier_ask(&self, ask: &Ask) -> Option<&AskRecord> {
        self.asks.by_request.get(&ask.key)
    }

    /// How many times in a row the job of `lease` has lost its worker.
    pub fn losses(&self, lease: &Lease) -> u32 {
        match lease.job {
            Job::Train => self.trial(lease.trial).map(|trial| trial.losses),
            Job::Score => self.scoring.as_ref().map(|scoring| scoring.losses),
        }
        .unwrap_or_default()
    }

    /// The rank of a trial of this cost at a rung, among the trials that reached the rung before.
    /// Those of an earlier sweep count if their costs are comparable.
    pub fn rank_at(&self, rung: u32, cost: f64) -> RungRank {
        let own = self.rung_costs.get(index(rung));
        let better = to_u32(own.map_or(0, |costs| costs.rank(&comparable(cost))));
        let reached = to_u32(own.map_or(0, SortedList::len));
        let earlier = self.earlier.as_ref().map(|earlier| earlier.rank_at(rung, cost));
        let (better_earlier, reached_earlier) = earlier.unwrap_or_default();
        RungRank::new(
            self.spec.stopping,
            reached.saturating_add(reached_earlier),
            better.saturating_add(better_earlier),
        )
    }

    /// The objective of a trial so far. That of a diverged trial is the value at its end.
    pub fn objective(&self, trial: &Trial) -> Option<f64> {
        self.counting(trial)?.get(&self.spec.objective.metric)
    }

    /// The epoch of the objective so far; `None` before the first one.
    pub fn counting<'a>(&self, trial: &'a Trial) -> Option<&'a Point> {
        let has_diverged = trial.state() == TrialState::Diverged;
        if has_diverged { trial.last() } else { trial.counting() }
    }

    /// The loss that decides between this trial and others of equal cost, if one does.
    pub(in crate::record) fn tie_loss(&self, trial: &Trial) -> Option<f64> {
        let point = self.counting(trial).filter(|_| self.ties == Ties::Loss);
        point.and_then(Point::tie_loss)
    }

    /// The models of the best completed trials that no rung can stop any more.
    pub const fn models(&self) -> &Models {
        &self.models
    }

    /// Whether a worker that gets this job now stores its model.
    pub fn keep_rule(&self, job: Job) -> KeepRule {
        match job {
            Job::Train => self.models.rule(self.spec.keep.models),
            Job::Score => KeepRule::Nothing,
        }
    }

    /// The final cost of a trial. `None` unless the trial is completed and no rung can stop it any
    /// more.
    pub fn cost(&self, trial: &Trial) -> Option<f64> {
        // A trial that ended before the rung, or diverged there, is not decided at it; nor is any
        // once the search is over.
        let may_stop = self.phase == Phase::Searching && self.rung_cost(trial).is_some();
        let is_complete = trial.state() == TrialState::Completed && !may_stop;
        self.spec.objective.cost(self.objective(trial)).filter(|_| is_complete)
    }

    /// The epoch of the trial's next rung; `None` if its next decision is its end.
    pub fn next_rung(&self, trial: &Trial) -> Option<u32> {
        let rung = self.rungs.get(index(trial.passed_rungs)).copied();
        rung.filter(|epoch| *epoch < trial.epochs)
    }

    /// Virtual time of the trial's next decision.
    pub fn next_due(&self, trial: &Trial) -> u64 {
        self.due_after_rungs(trial, trial.passed_rungs)
    }

    /// Virtual time of the decision on the trial after it has passed this many rungs.
    pub fn due_after_rungs(&self, trial: &Trial, passed: u32) -> u64 {
        let rung = self.rungs.get(index(passed)).filter(|epoch| **epoch < trial.epochs);
        rung.map_or(trial.end, |epoch| trial.time_of_epoch(*epoch))
    }

    /// Virtual time of the first decision on the trial for which its worker has not reported enough
    /// yet.
    pub fn next_unreported(&self, trial: &Trial) -> u64 {
        let recorded = trial.recorded_epochs();
        let ahead = self.rungs.iter().skip(index(trial.passed_rungs));
        let rung = ahead.copied().find(|epoch| recorded < *epoch);
        rung.map_or(trial.end, |epoch| trial.time_of_epoch(epoch))
    }

    /// The trial's cost at its next rung; `None` while the trial has not reached the rung.
    ///
    /// A network that diverges never reaches a later rung. A value of an external client that is
    /// not finite counts as worse than any other.
    pub fn rung_cost(&self, trial: &Trial) -> Option<f64> {
        let rung = trial.epochs_so_far.at_rung(self.next_rung(trial)?);
        let rung = rung.filter(|rung| rung.point.is_finite())?;
        let objective = &self.spec.objective;
        Some(objective.cost(rung.counting.get(&objective.metric)).unwrap_or(f64::INFINITY))
    }

    /// True if the trial's own results are enough for its next decision.
    pub fn is_decidable(&self, trial: &Trial) -> bool {
        trial.state().is_final() || self.rung_cost(trial).is_some()
    }

    /// The best completed trial that no rung can stop any more: that of the lowest cost. [`Ties`]
    /// says what decides between equal ones.
    pub fn best(&self) -> Option<&Trial> {
        self.trial(self.statistics.best?.trial)
    }
}
