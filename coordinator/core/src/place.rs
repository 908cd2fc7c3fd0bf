//! Handing waiting trials to free slots.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Grant, ToWorker};
use caviar_common::outcome::Work as Task;

use crate::event::Event;
use crate::input::Effect;
use crate::state::{Losses, Phase, Sweep};
use crate::volatile::Worker;
use crate::{Broken, Coordinator, Work};

/// Something that waits for a worker.
struct Waiting {
    sweep: SweepId,
    trial: TrialNumber,
    work: Task,
    /// How often it was begun before.
    attempts: u32,
    losses: Losses,
}

/// A worker that could take more.
struct Free<'a> {
    name: &'a Name,
    session: SessionId,
    worker: &'a Worker,
    held: u32,
}

impl Coordinator {
    /// Grants leases until no slot is free or nothing waits.
    pub(crate) fn place(&mut self, work: &mut Work) -> Result<(), Broken> {
        if !self.durable.sweeps.values().any(|s| waiting(s).next().is_some()) {
            return Ok(());
        }
        while let Some((session, worker, task)) = self.match_up() {
            self.grant(session, &worker, &task, work)?;
        }
        Ok(())
    }

    /// What to do next, and the worker with the most free slots that can do it. The sweep with the fewest leases comes first, but before
    /// all others what lost its worker in company: it needs a worker that is nearly empty, and would else wait for one for ever.
    fn match_up(&self) -> Option<(SessionId, Name, Waiting)> {
        let mut free = self.free();
        if free.is_empty() {
            return None;
        }
        let sweeps = self.durable.sweeps.values().filter(|s| waiting(s).next().is_some());
        let mut sweeps: Vec<(usize, &Sweep)> = sweeps.map(|s| (self.running_on(s.id), s)).collect();
        sweeps.sort_by_key(|(running, sweep)| (*running, sweep.id));
        let is_suspect = |task: &Waiting| task.losses != Losses::default();
        // Where one suspect finds no place, none of its kind does: thousands may wait after a network was away.
        let mut refused = BTreeSet::new();
        for task in sweeps.iter().flat_map(|(_, sweep)| waiting(sweep)).filter(is_suspect) {
            let kind = (task.sweep, task.losses);
            if refused.contains(&kind) {
                continue;
            }
            if let Some(free) = free.iter().find(|f| self.takes(f, &task)) {
                return Some((free.session, free.name.clone(), task));
            }
            if !is_too_large(&free, &task) {
                refused.insert(kind);
            }
            // Nothing more for the emptiest worker, until it is empty enough.
            let emptiest = self.connected().filter(|f| f.worker.can(task.sweep, task.trial)).min_by_key(|f| (f.held, f.name));
            free.retain(|f| emptiest.as_ref().is_none_or(|e| e.name != f.name));
        }
        sweeps.iter().find_map(|(_, sweep)| self.first_fit(&free, waiting(sweep).filter(|task| !is_suspect(task))))
    }

    /// The first of a sweep's tasks, passing over what is too large for the workers that are free.
    fn first_fit(&self, free: &[Free<'_>], tasks: impl Iterator<Item = Waiting>) -> Option<(SessionId, Name, Waiting)> {
        for task in tasks {
            if let Some(free) = free.iter().find(|f| self.takes(f, &task)) {
                return Some((free.session, free.name.clone(), task));
            }
            if !is_too_large(free, &task) {
                return None;
            }
        }
        None
    }

    /// The workers that take new work.
    fn connected(&self) -> impl Iterator<Item = Free<'_>> {
        self.volatile.workers.iter().filter_map(|(name, worker)| {
            let held = self.durable.held.get(name).map_or(0, |h| u32::try_from(h.len()).unwrap_or(u32::MAX));
            let session = worker.session.filter(|_| !worker.draining && !worker.resting)?;
            Some(Free { name, session, worker, held })
        })
    }

    /// Those of them that have a slot, the most free slots first.
    fn free(&self) -> Vec<Free<'_>> {
        let mut free: Vec<Free<'_>> = self.connected().filter(|f| f.held < f.worker.slots).collect();
        free.sort_by_key(|f| (Reverse(f.worker.slots - f.held), f.name));
        free
    }

    /// Whether the worker can do it, in the company that it and what is there allow.
    fn takes(&self, free: &Free<'_>, task: &Waiting) -> bool {
        let slots = free.worker.slots;
        let held = self.durable.held.get(free.name).into_iter().flatten();
        let records = held.filter_map(|lease| self.durable.leases.get(lease));
        let there = records.filter_map(|lease| Some(self.durable.sweeps.get(&lease.sweep)?.losses(lease)));
        let allowed = there.chain([task.losses]).map(|losses| losses.company(slots)).min();
        free.worker.can(task.sweep, task.trial) && allowed.is_some_and(|allowed| free.held < allowed)
    }

    fn grant(&mut self, session: SessionId, worker: &Name, task: &Waiting, work: &mut Work) -> Result<(), Broken> {
        let Waiting { sweep: id, trial, work: kind, attempts, .. } = *task;
        let missing = || Broken(format!("nothing to grant in sweep {id} to worker {worker}"));
        let sweep = self.durable.sweeps.get(&id).ok_or_else(missing)?;
        let incarnation = self.volatile.workers.get(worker).ok_or_else(missing)?.incarnation;
        let (lease, attempt) = (self.durable.next_lease, AttemptNumber(attempts + 1));
        let grant = grant_message(sweep, lease, trial, attempt, kind).ok_or_else(missing)?;
        let event = Event::LeaseGranted { sweep: id, trial, attempt, lease, worker: worker.clone(), incarnation, work: kind };
        self.record(event, work)?;
        work.effects.push(Effect::Send(session, ToWorker::Grant(Box::new(grant))));
        Ok(())
    }
}

/// Whether some of these workers lack the memory for this task, so that it says nothing of the others like it.
fn is_too_large(free: &[Free<'_>], task: &Waiting) -> bool {
    free.iter().any(|f| f.worker.unable.contains_key(&(task.sweep, Some(task.trial))))
}

/// What of the sweep waits for a worker, in the order in which it is needed.
fn waiting(sweep: &Sweep) -> impl Iterator<Item = Waiting> {
    let searching = (sweep.phase == Phase::Searching && !sweep.paused).then_some(&sweep.queue);
    let trials = searching.into_iter().flatten().filter_map(|(_, number)| sweep.trial(*number));
    let train = trials.map(|t| Waiting { sweep: sweep.id, trial: t.number, work: Task::Train, attempts: t.attempts, losses: t.losses });
    let scoring =
        sweep.scoring.as_ref().filter(|s| sweep.phase == Phase::Scoring && !sweep.paused && s.lease.is_none() && s.result.is_none());
    let score = scoring.map(|s| Waiting { sweep: sweep.id, trial: s.trial, work: Task::Score, attempts: s.attempts, losses: s.losses });
    train.chain(score)
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
