//! Requests about sweeps.

use caviar_common::data::DataSummary;
use caviar_common::ids::{LeaseId, Name, SweepId};
use caviar_common::limits::MAX_SWEEPS;
use caviar_common::message::ToWorker;
use caviar_common::outcome::SweepState;
use caviar_common::spec::SweepSpec;

use crate::event::Event;
use crate::input::{Effect, Refusal, Reply};
use crate::state::Sweep;
use crate::{Broken, Changes, Coordinator};

/// A broken invariant outside, a refusal inside.
type Answer = Result<Result<Reply, Refusal>, Broken>;

impl Coordinator {
    pub(crate) fn create_sweep(
        &mut self,
        request_id: Name,
        mut spec: SweepSpec,
        data: DataSummary,
        changes: &mut Changes,
    ) -> Answer {
        spec.fill_space(&data);
        let mut sweeps = self.durable.sweeps.values();
        if let Some(earlier) = sweeps.find(|s| s.request_id == request_id) {
            let same = earlier.spec == spec && earlier.data == data;
            return Ok(if same {
                Ok(Reply::Sweep(earlier.id))
            } else {
                Err(Refusal::RequestReused(request_id))
            });
        }
        if self.durable.sweeps.values().any(|s| s.spec.name == spec.name) {
            return Ok(Err(Refusal::NameTaken(spec.name)));
        }
        if self.durable.sweeps.len() >= MAX_SWEEPS {
            return Ok(Err(Refusal::TooManySweeps));
        }
        let warm_start = match self.earlier_results(&spec) {
            Ok(results) => results,
            Err(problem) => return Ok(Err(Refusal::Wrong(problem))),
        };
        let sweep = self.durable.next_sweep;
        self.record(
            Event::SweepCreated { sweep, request_id, spec: Box::new(spec), data, warm_start },
            changes,
        )?;
        Ok(Ok(Reply::Sweep(sweep)))
    }

    pub(crate) fn pause_sweep(&mut self, id: SweepId, changes: &mut Changes) -> Answer {
        let Some(sweep) = self.durable.sweeps.get(&id) else { return Ok(Err(no_such(id))) };
        match sweep.state() {
            SweepState::Paused => Ok(Ok(Reply::Sweep(id))),
            SweepState::Running | SweepState::Scoring => {
                self.recorded(id, Event::SweepPaused { sweep: id }, changes)
            }
            SweepState::Completed | SweepState::Cancelled => {
                Ok(Err(wrong_state(sweep, "nothing of it runs any more")))
            }
        }
    }

    pub(crate) fn resume_sweep(&mut self, id: SweepId, changes: &mut Changes) -> Answer {
        let Some(sweep) = self.durable.sweeps.get(&id) else { return Ok(Err(no_such(id))) };
        match sweep.state() {
            SweepState::Paused => self.recorded(id, Event::SweepResumed { sweep: id }, changes),
            SweepState::Running | SweepState::Scoring => Ok(Ok(Reply::Sweep(id))),
            SweepState::Completed | SweepState::Cancelled => Ok(Err(wrong_state(
                sweep,
                "it cannot go on; submit a new sweep under another name",
            ))),
        }
    }

    pub(crate) fn cancel_sweep(&mut self, id: SweepId, changes: &mut Changes) -> Answer {
        let Some(sweep) = self.durable.sweeps.get(&id) else { return Ok(Err(no_such(id))) };
        match sweep.state() {
            SweepState::Cancelled => return Ok(Ok(Reply::Sweep(id))),
            SweepState::Completed => {
                return Ok(Err(wrong_state(sweep, "there is nothing left to cancel")));
            }
            SweepState::Running | SweepState::Paused | SweepState::Scoring => {}
        }
        let leases =
            self.durable.leases.iter().filter(|(_, l)| l.sweep == id && l.program_ms.is_none());
        let held: Vec<(LeaseId, Name)> =
            leases.map(|(lease, l)| (*lease, l.worker.clone())).collect();
        let reply = self.recorded(id, Event::SweepCancelled { sweep: id }, changes);
        for (lease, worker) in held {
            if let Some(session) = self.volatile.workers.get(&worker).and_then(|w| w.session) {
                let reason = "the sweep was cancelled".to_owned();
                changes.effects.push(Effect::Send(session, ToWorker::Revoke { lease, reason }));
            }
        }
        reply
    }

    pub(crate) fn delete_sweep(&mut self, id: SweepId, changes: &mut Changes) -> Answer {
        let Some(sweep) = self.durable.sweeps.get(&id) else { return Ok(Err(no_such(id))) };
        if !sweep.state().is_final() {
            return Ok(Err(wrong_state(sweep, "cancel it first")));
        }
        self.volatile.workers.values_mut().for_each(|w| {
            w.unable.retain(|(sweep, _), _| *sweep != id);
        });
        let next_lease = self.durable.next_lease;
        self.recorded(id, Event::SweepDeleted { sweep: id, next_lease }, changes)
    }

    fn recorded(&mut self, id: SweepId, event: Event, changes: &mut Changes) -> Answer {
        self.record(event, changes)?;
        Ok(Ok(Reply::Sweep(id)))
    }
}

fn no_such(id: SweepId) -> Refusal {
    Refusal::NoSuchSweep(id.to_string())
}

fn wrong_state(sweep: &Sweep, hint: &'static str) -> Refusal {
    Refusal::WrongState { name: sweep.spec.name.clone(), state: sweep.state(), hint }
}
