//! Requests about whole sweeps.

use caviar_common::data::DataSummary;
use caviar_common::ids::{LeaseId, Name, SweepId};
use caviar_common::limits::MAX_SWEEPS;
use caviar_common::message::ToWorker;
use caviar_common::outcome::SweepState;
use caviar_common::spec::SweepSpec;
use caviar_search::stopping::rungs;

use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{Refusal, Reply};
use crate::record::event::{Payload, SweepCreated, SweepDeleted};
use crate::record::state::Sweep;

impl Coordinator {
    pub(crate) fn create_sweep(
        &mut self,
        request_id: Name,
        mut spec: SweepSpec,
        data: DataSummary,
    ) -> Result<Reply, Halt> {
        spec.fill_space(&data);
        if let Some(earlier) = self.record.sweep_of_request(&request_id) {
            let is_same = **earlier.spec() == spec && *earlier.data() == data;
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
        self.emit(id, Box::new(SweepCreated { request_id, spec, data, warm_start, rungs }))?;
        Ok(Reply::Sweep(id))
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
                Ok(Reply::Sweep(id))
            }
            SweepState::Running | SweepState::Scoring => Ok(Reply::Sweep(id)),
            SweepState::Completed | SweepState::Cancelled => Err(wrong_state(
                sweep,
                "it cannot be resumed; submit a new sweep under another name",
            )),
        }
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

fn wrong_state(sweep: &Sweep, hint: &'static str) -> Halt {
    Refusal::WrongState { name: sweep.spec().name.clone(), state: sweep.state(), hint }.into()
}
