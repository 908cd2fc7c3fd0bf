//! Handing waiting trials to free slots.

use std::cmp::Reverse;

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Grant, ToWorker};
use caviar_common::outcome::Work as Task;

use crate::event::Event;
use crate::input::Effect;
use crate::state::{Phase, Sweep};
use crate::{Broken, Coordinator, Work};

impl Coordinator {
    /// Grants leases until no slot is free or nothing waits.
    pub(crate) fn place(&mut self, work: &mut Work) -> Result<(), Broken> {
        if !self.durable.sweeps.values().any(|s| next_task(s).is_some()) {
            return Ok(());
        }
        while let Some((session, worker, sweep)) = self.match_up() {
            self.grant(session, &worker, sweep, work)?;
        }
        Ok(())
    }

    /// The worker with the most free slots that can do something, and the sweep with the fewest leases that it can work on.
    fn match_up(&self) -> Option<(SessionId, Name, SweepId)> {
        let mut free: Vec<(Reverse<u32>, &Name, SessionId)> = Vec::new();
        for (name, worker) in &self.volatile.workers {
            let held = self.durable.held.get(name).map_or(0, |h| u32::try_from(h.len()).unwrap_or(u32::MAX));
            if let Some(session) = worker.session.filter(|_| !worker.draining && held < worker.slots) {
                free.push((Reverse(worker.slots - held), name, session));
            }
        }
        free.sort();
        let mut waiting: Vec<(usize, SweepId)> =
            self.durable.sweeps.values().filter(|s| next_task(s).is_some()).map(|s| (self.running_on(s.id), s.id)).collect();
        waiting.sort_unstable();
        for (_, name, session) in free {
            let unable = |sweep: &SweepId| self.volatile.workers.get(name).is_some_and(|w| w.unable.contains_key(sweep));
            if let Some((_, sweep)) = waiting.iter().find(|(_, sweep)| !unable(sweep)) {
                return Some((session, name.clone(), *sweep));
            }
        }
        None
    }

    fn grant(&mut self, session: SessionId, worker: &Name, id: SweepId, work: &mut Work) -> Result<(), Broken> {
        let missing = || Broken(format!("nothing to grant in sweep {id} to worker {worker}"));
        let sweep = self.durable.sweeps.get(&id).ok_or_else(missing)?;
        let (trial, task, attempts) = next_task(sweep).ok_or_else(missing)?;
        let incarnation = self.volatile.workers.get(worker).ok_or_else(missing)?.incarnation;
        let (lease, attempt) = (self.durable.next_lease, AttemptNumber(attempts + 1));
        let grant = grant_message(sweep, lease, trial, attempt, task).ok_or_else(missing)?;
        let event = Event::LeaseGranted { sweep: id, trial, attempt, lease, worker: worker.clone(), incarnation, work: task };
        self.record(event, work)?;
        work.effects.push(Effect::Send(session, ToWorker::Grant(Box::new(grant))));
        Ok(())
    }
}

/// What the sweep needs done next: the trial, the task, and how often it was begun before.
fn next_task(sweep: &Sweep) -> Option<(TrialNumber, Task, u32)> {
    if sweep.paused {
        return None;
    }
    match sweep.phase {
        Phase::Searching => {
            let (_, trial) = sweep.queue.first()?;
            Some((*trial, Task::Train, sweep.trial(*trial)?.attempts))
        }
        Phase::Scoring => {
            let scoring = sweep.scoring.as_ref().filter(|s| s.lease.is_none() && s.result.is_none())?;
            Some((scoring.trial, Task::Score, scoring.attempts))
        }
        Phase::Completed | Phase::Cancelled => None,
    }
}

fn grant_message(sweep: &Sweep, lease: LeaseId, number: TrialNumber, attempt: AttemptNumber, work: Task) -> Option<Grant> {
    let trial = sweep.trial(number)?;
    Some(Grant {
        lease,
        sweep: sweep.id,
        sweep_name: sweep.spec.name.clone(),
        trial: number,
        attempt,
        work,
        seed: sweep.spec.seed,
        data: sweep.spec.data.clone(),
        digest: sweep.data.digest.clone(),
        fixed: sweep.spec.fixed.clone(),
        assignment: trial.assignment.clone(),
    })
}
