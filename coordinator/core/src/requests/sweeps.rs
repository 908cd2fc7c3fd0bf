//! Requests about whole sweeps.

use caviar_common::data::DataSummary;
use caviar_common::error::Problem;
use caviar_common::ids::{LeaseId, Name, SweepId};
use caviar_common::limits::{MAX_PARALLELISM, MAX_RESIZES, MAX_SWEEPS};
use caviar_common::message::ToWorker;
use caviar_common::numbers::to_u32;
use caviar_common::outcome::SweepState;
use caviar_common::spec::{Parallelism, SweepSpec};
use caviar_search::stopping::rungs;

use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{Refusal, Reply};
use crate::record::event::{Payload, SweepCreated, SweepDeleted, SweepResized, Ties};
use crate::record::state::{Phase, Sweep};
use crate::volatile::Worker;

impl Coordinator {
    pub(crate) fn create_sweep(
        &mut self,
        request_id: Name,
        mut spec: SweepSpec,
        data: DataSummary,
        for_slots: Option<u32>,
    ) -> Result<Reply, Halt> {
        spec.resolve(&data);
        check_for_slots(&spec, for_slots)?;
        if let Some(earlier) = self.record.sweep_of_request(&request_id) {
            let is_same = earlier.was_requested_as(&spec, for_slots) && *earlier.data() == data;
            return if is_same {
                Ok(Reply::Sweep(earlier.id()))
            } else {
                Err(Refusal::RequestReused(request_id).into())
            };
        }
        self.check_new(&request_id, &spec.name)?;
        let warm_start = self.earlier_results(&spec).map_err(Refusal::Wrong)?;
        let id = self.record.next_sweep();
        let rungs = Some(rungs(spec.stopping, spec.max_epochs()));
        let earlier = self.earlier_trials(&spec, &data);
        let is_auto = spec.search.parallelism == Parallelism::Auto;
        let auto_slots = is_auto.then(|| for_slots.unwrap_or_else(|| self.connected_slots()));
        if let Some(slots) = auto_slots {
            spec.search.parallelism = Parallelism::Trials(spec.search.auto_parallelism(slots));
        }
        let ties = Ties::Loss;
        let created =
            SweepCreated { request_id, spec, data, warm_start, rungs, auto_slots, ties, earlier };
        self.emit(id, Box::new(created))?;
        Ok(Reply::Sweep(id))
    }

    /// The slots of the connected workers that take new trials.
    fn connected_slots(&self) -> u32 {
        let accepting = |worker: &&Worker| worker.session.is_some() && !worker.is_draining;
        let workers = self.volatile.workers.values().filter(accepting);
        workers.map(Worker::usable_slots).fold(0, u32::saturating_add)
    }

    /// Refuses a new sweep that cannot have its request id or its name, or that is one too many.
    pub(crate) fn check_new(&self, request_id: &Name, name: &Name) -> Result<(), Refusal> {
        if self.record.sweep_of_request(request_id).is_some() {
            return Err(Refusal::RequestReused(request_id.clone()));
        }
        if self.record.sweep_named(name).is_some() {
            return Err(Refusal::NameTaken(name.clone()));
        }
        if self.record.sweeps().len() >= MAX_SWEEPS {
            return Err(Refusal::TooManySweeps);
        }
        Ok(())
    }

    pub(crate) fn pause_sweep(&mut self, id: SweepId) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        match sweep.state() {
            SweepState::Paused => Ok(Reply::Sweep(id)),
            SweepState::Running | SweepState::Scoring => {
                self.emit(id, Payload::SweepPaused)?;
                Ok(Reply::Sweep(id))
            }
            SweepState::Completed | SweepState::Cancelled => {
                Err(wrong_state(sweep, "it has ended, so there is nothing to pause"))
            }
        }
    }

    pub(crate) fn resume_sweep(&mut self, id: SweepId) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        match sweep.state() {
            SweepState::Paused => {
                self.emit(id, Payload::SweepResumed)?;
                self.ask_refusers_again(id);
                Ok(Reply::Sweep(id))
            }
            SweepState::Running | SweepState::Scoring => {
                self.ask_refusers_again(id);
                Ok(Reply::Sweep(id))
            }
            SweepState::Completed | SweepState::Cancelled => Err(wrong_state(
                sweep,
                "it cannot be resumed; submit a new sweep under another name",
            )),
        }
    }

    /// A client has resumed the sweep, so what workers lacked for it may be there now.
    fn ask_refusers_again(&mut self, id: SweepId) {
        self.volatile.unable.forget_sweep(id);
        self.volatile.mark_changed(id);
    }

    /// Changes how many trials are in flight from the next decision on.
    pub(crate) fn resize_sweep(&mut self, id: SweepId, parallelism: u32) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        let wrong = |message: String| {
            let problem = Problem::with_value("parallelism", parallelism, message);
            Halt::from(Refusal::Wrong(problem))
        };
        if !(1..=MAX_PARALLELISM).contains(&parallelism) {
            return Err(wrong(format!("expected a whole number from 1 to {MAX_PARALLELISM}")));
        }
        if let Some(hint) = why_not_resized(sweep) {
            return Err(wrong_state(sweep, hint));
        }
        let (before, search) = (sweep.parallelism(), sweep.search());
        if parallelism == before {
            return Ok(Reply::Sweep(id));
        }
        let most = search.most_in_flight();
        if before.min(parallelism) >= most {
            let what = if search.strategy.has_rounds() { "largest round" } else { "sweep" };
            return Err(wrong(format!(
                "the {what} has {most} trials, so more are never in flight: expected a number \
                 below {most}, which would slow the sweep down, or leave it at {before}"
            )));
        }
        if sweep.resizes().len() >= MAX_RESIZES {
            return Err(wrong(format!(
                "the sweep has been resized {MAX_RESIZES} times, the most it can be: submit a new \
                 sweep"
            )));
        }
        let (trials, decisions) = (sweep.sampled(), to_u32(sweep.history().len()));
        self.emit(id, SweepResized { parallelism, trials, decisions })?;
        Ok(Reply::Sweep(id))
    }

    pub(crate) fn cancel_sweep(&mut self, id: SweepId) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        match sweep.state() {
            SweepState::Cancelled => return Ok(Reply::Sweep(id)),
            SweepState::Completed => {
                return Err(wrong_state(sweep, "there is nothing left to cancel"));
            }
            SweepState::Running | SweepState::Paused | SweepState::Scoring => {}
        }
        // The leases end with the event, so their holders must be found before.
        let worker_of =
            |lease: &LeaseId| Some((*lease, self.record.lease(*lease)?.worker()?.clone()));
        let held: Vec<(LeaseId, Name)> = sweep.leases().iter().filter_map(worker_of).collect();
        self.emit(id, Payload::SweepCancelled)?;
        for (lease, worker) in held {
            if let Some(session) = self.volatile.workers.get(&worker).and_then(|w| w.session) {
                let reason = "the sweep was cancelled".to_owned();
                self.changes.send(session, ToWorker::Revoke { lease, reason });
            }
        }
        Ok(Reply::Sweep(id))
    }

    pub(crate) fn delete_sweep(&mut self, id: SweepId) -> Result<Reply, Halt> {
        let sweep = self.record.sweep(id).ok_or_else(|| Refusal::NoSuchSweep(id.to_string()))?;
        let is_quarantined = self.volatile.quarantined.contains_key(&id);
        if !sweep.state().is_final() && !is_quarantined {
            return Err(wrong_state(sweep, "cancel it first"));
        }
        self.volatile.unable.forget_sweep(id);
        let next_lease = self.record.next_lease();
        self.emit(id, SweepDeleted { next_lease })?;
        self.volatile.quarantined.remove(&id);
        Ok(Reply::Sweep(id))
    }

    /// The sweep of that number, unless it is quarantined.
    pub(crate) fn sweep_of(&self, id: SweepId) -> Result<&Sweep, Refusal> {
        let sweep = self.record.sweep(id).ok_or_else(|| Refusal::NoSuchSweep(id.to_string()))?;
        match self.volatile.quarantined.get(&id) {
            Some(reason) => {
                let (name, reason) = (sweep.spec().name.clone(), reason.clone());
                Err(Refusal::Quarantined { name, reason })
            }
            None => Ok(sweep),
        }
    }
}

/// Refuses a number of slots that has no effect or is out of range.
fn check_for_slots(spec: &SweepSpec, for_slots: Option<u32>) -> Result<(), Refusal> {
    let Some(slots) = for_slots else { return Ok(()) };
    let message = match spec.search.parallelism {
        Parallelism::Trials(trials) => format!(
            "the sweep has parallelism = {trials}, so the number of slots has no effect: leave it \
             out, or set parallelism = \"auto\""
        ),
        Parallelism::Auto if (1..=MAX_PARALLELISM).contains(&slots) => return Ok(()),
        Parallelism::Auto => format!("expected a whole number from 1 to {MAX_PARALLELISM}"),
    };
    Err(Refusal::Wrong(Problem::with_value("for_slots", slots, message)))
}

/// Why another number of trials in flight would change nothing; `None` if it may.
fn why_not_resized(sweep: &Sweep) -> Option<&'static str> {
    if sweep.state().is_final() {
        return Some("it has ended, so no trial will be in flight");
    }
    match sweep.phase() {
        Phase::Scoring => Some("the search is over, and only the winner is being scored"),
        Phase::Searching if sweep.sampled() >= sweep.budget() => Some(
            "all trials of its budget have been started, so another number in flight would change \
             nothing",
        ),
        Phase::Searching | Phase::Completed | Phase::Cancelled => None,
    }
}

pub(super) fn wrong_state(sweep: &Sweep, hint: &'static str) -> Halt {
    Refusal::WrongState { name: sweep.spec().name.clone(), state: sweep.state(), hint }.into()
}
