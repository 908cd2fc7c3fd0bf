//! Handing free slots to what waits for one: trials that have not begun, and trials that are
//! parked.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Grant, ToWorker};
use caviar_common::outcome::Job;

use crate::event::Event;
use crate::input::Effect;
use crate::park::Urgency;
use crate::state::{Losses, Phase, Sweep};
use crate::volatile::Worker;
use crate::{Broken, Changes, Coordinator};

/// Something that waits for a worker.
pub(crate) struct Waiting {
    sweep: SweepId,
    trial: TrialNumber,
    job: Job,
    /// Virtual time at which its result is due.
    due: u64,
    /// How often it was begun before.
    attempts: u32,
    losses: Losses,
}

impl Waiting {
    pub(crate) const fn urgency(&self) -> Urgency {
        (self.due, self.trial)
    }

    /// Whether it lost a worker before, and may be the cause.
    pub(crate) fn is_suspect(&self) -> bool {
        self.losses != Losses::default()
    }
}

/// What a slot is for.
pub(crate) enum Next {
    /// A worker begins something.
    Begin { session: SessionId, worker: Name, task: Waiting },
    /// The holder of the lease goes on with it.
    Resume(LeaseId),
}

/// A worker that could take more.
pub(crate) struct Free<'a> {
    pub name: &'a Name,
    pub session: SessionId,
    pub worker: &'a Worker,
    /// Leases that it has.
    pub held: u32,
    /// Those of them that are not parked.
    pub active: u32,
}

impl Coordinator {
    /// Hands out slots until none is free or nothing waits, and those of trials that run ahead to
    /// what is needed before them.
    pub(crate) fn place(&mut self, changes: &mut Changes) -> Result<(), Broken> {
        let leases = &self.durable.leases;
        self.volatile.parked.retain(|lease| leases.contains_key(lease));
        if self.volatile.parked.is_empty()
            && !self.durable.sweeps.values().any(|s| waiting(s).next().is_some())
        {
            return Ok(());
        }
        while let Some(next) = self.match_up() {
            self.give(next, changes)?;
        }
        while let Some((ahead, next)) = self.displace() {
            // A worker takes a grant when it has a slot, and parks while it has not parked all it
            // may.
            if matches!(next, Next::Resume(_)) {
                self.give(next, changes)?;
                self.park(ahead, changes)?;
            } else {
                self.park(ahead, changes)?;
                self.give(next, changes)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, next: Next, changes: &mut Changes) -> Result<(), Broken> {
        match next {
            Next::Begin { session, worker, task } => self.grant(session, &worker, &task, changes),
            Next::Resume(lease) => self.unpark(lease, changes),
        }
    }

    /// What to do next, and the worker with the most free slots that can do it. The sweep with the
    /// fewest slots comes first, but before all others what lost its worker in company: it needs a
    /// worker that is nearly empty, and would else wait for one for ever.
    fn match_up(&self) -> Option<Next> {
        let with_slots = self.free();
        if with_slots.is_empty() {
            return None;
        }
        let mut free: Vec<&Free<'_>> = with_slots.iter().collect();
        let has_parked = |s: &Sweep| {
            self.volatile
                .parked
                .iter()
                .any(|l| self.durable.leases.get(l).is_some_and(|l| l.sweep == s.id))
        };
        let sweeps =
            self.durable.sweeps.values().filter(|s| waiting(s).next().is_some() || has_parked(s));
        let mut sweeps: Vec<(usize, &Sweep)> = sweeps.map(|s| (self.running_on(s), s)).collect();
        sweeps.sort_by_key(|(running, sweep)| (*running, sweep.id));
        // Where one suspect finds no place, none of its kind does: thousands may wait after a
        // network was away.
        let mut refused = BTreeSet::new();
        for task in sweeps.iter().flat_map(|(_, sweep)| waiting(sweep)).filter(Waiting::is_suspect)
        {
            let kind = (task.sweep, task.losses);
            if refused.contains(&kind) {
                continue;
            }
            if let Some(free) = free.iter().find(|f| self.takes(f, &task)) {
                return Some(begin_on(free, task));
            }
            if !is_too_large(&free, &task) {
                refused.insert(kind);
            }
            // Nothing more for the emptiest worker, until it is empty enough.
            let emptiest = self
                .connected()
                .filter(|f| f.worker.can(task.sweep, task.trial))
                .min_by_key(|f| (f.held, f.name));
            free.retain(|f| emptiest.as_ref().is_none_or(|e| e.name != f.name));
        }
        sweeps.iter().find_map(|(_, sweep)| {
            let begin = self.first_fit(&free, waiting(sweep).filter(|task| !task.is_suspect()));
            // Who holds a parked trial must go on with it even while it is kept from new ones.
            first_of(self.first_parked(sweep, &with_slots), begin)
        })
    }

    /// The first of a sweep's tasks, passing over what is too large for the workers that are free.
    fn first_fit<'a>(
        &self,
        free: &[&'a Free<'a>],
        tasks: impl Iterator<Item = Waiting>,
    ) -> Option<(&'a Free<'a>, Waiting)> {
        for task in tasks {
            if let Some(free) = free.iter().find(|f| self.takes(f, &task)) {
                return Some((free, task));
            }
            if !is_too_large(free, &task) {
                return None;
            }
        }
        None
    }

    /// The workers that take new work.
    fn connected(&self) -> impl Iterator<Item = Free<'_>> {
        self.volatile.workers.keys().filter_map(|name| self.connected_as(name))
    }

    /// The worker of that name, if it takes new work.
    pub(crate) fn connected_as(&self, name: &Name) -> Option<Free<'_>> {
        let (name, worker) = self.volatile.workers.get_key_value(name)?;
        let session = worker.session.filter(|_| !worker.draining && !worker.resting)?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let held = || self.durable.held.get(name).into_iter().flatten();
        let active = held().filter(|lease| !self.volatile.parked.contains(lease)).count();
        Some(Free { name, session, worker, held: count(held().count()), active: count(active) })
    }

    /// Those of them that have a slot, the most free slots first.
    fn free(&self) -> Vec<Free<'_>> {
        let mut free: Vec<Free<'_>> =
            self.connected().filter(|f| f.active < f.worker.slots).collect();
        free.sort_by_key(|f| (Reverse(f.worker.slots - f.active), f.name));
        free
    }

    /// Whether the worker can do it, in the company that it and what is there allow.
    pub(crate) fn takes(&self, free: &Free<'_>, task: &Waiting) -> bool {
        let slots = free.worker.slots;
        let held = self.durable.held.get(free.name).into_iter().flatten();
        let records = held.filter_map(|lease| self.durable.leases.get(lease));
        let there =
            records.filter_map(|lease| Some(self.durable.sweeps.get(&lease.sweep)?.losses(lease)));
        let allowed = there.chain([task.losses]).filter_map(|losses| losses.company(slots)).min();
        free.worker.can(task.sweep, task.trial) && allowed.is_none_or(|allowed| free.held < allowed)
    }

    fn grant(
        &mut self,
        session: SessionId,
        worker: &Name,
        task: &Waiting,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let Waiting { sweep: id, trial, job: kind, attempts, .. } = *task;
        let missing = || Broken(format!("nothing to grant in sweep {id} to worker {worker}"));
        let sweep = self.durable.sweeps.get(&id).ok_or_else(missing)?;
        let incarnation = self.volatile.workers.get(worker).ok_or_else(missing)?.incarnation;
        let (lease, attempt) = (self.durable.next_lease, AttemptNumber(attempts + 1));
        let grant = grant_message(sweep, lease, trial, attempt, kind).ok_or_else(missing)?;
        let event = Event::LeaseGranted {
            sweep: id,
            trial,
            attempt,
            lease,
            worker: worker.clone(),
            incarnation,
            job: kind,
        };
        self.record(event, changes)?;
        changes.effects.push(Effect::Send(session, ToWorker::Grant(Box::new(grant))));
        Ok(())
    }
}

/// Which of a parked trial and a waiting one has the slot.
pub(crate) fn first_of(
    parked: Option<(Urgency, LeaseId)>,
    begin: Option<(&Free<'_>, Waiting)>,
) -> Option<Next> {
    match (parked, begin) {
        (Some((urgency, _)), Some((free, task))) if task.urgency() < urgency => {
            Some(begin_on(free, task))
        }
        (Some((_, lease)), _) => Some(Next::Resume(lease)),
        (None, begin) => begin.map(|(free, task)| begin_on(free, task)),
    }
}

fn begin_on(free: &Free<'_>, task: Waiting) -> Next {
    Next::Begin { session: free.session, worker: free.name.clone(), task }
}

/// Whether some of these workers lack the memory for this task, so that it says nothing of the
/// others like it.
fn is_too_large(free: &[&Free<'_>], task: &Waiting) -> bool {
    free.iter().any(|f| f.worker.unable.contains_key(&(task.sweep, Some(task.trial))))
}

/// What of the sweep waits for a worker, in the order in which it is needed.
pub(crate) fn waiting(sweep: &Sweep) -> impl Iterator<Item = Waiting> {
    let searching =
        (sweep.phase == Phase::Searching && !sweep.paused && !sweep.spec.data.is_external())
            .then_some(&sweep.queue);
    let trials = searching.into_iter().flatten().filter_map(|(_, number)| sweep.trial(*number));
    let train = trials.map(|t| Waiting {
        sweep: sweep.id,
        trial: t.number,
        job: Job::Train,
        due: t.due,
        attempts: t.attempts,
        losses: t.losses,
    });
    let scoring = sweep.scoring.as_ref().filter(|s| {
        sweep.phase == Phase::Scoring && !sweep.paused && s.lease.is_none() && s.result.is_none()
    });
    let score = scoring.map(|s| Waiting {
        sweep: sweep.id,
        trial: s.trial,
        job: Job::Score,
        due: 0,
        attempts: s.attempts,
        losses: s.losses,
    });
    train.chain(score)
}

fn grant_message(
    sweep: &Sweep,
    lease: LeaseId,
    number: TrialNumber,
    attempt: AttemptNumber,
    job: Job,
) -> Option<Grant> {
    let trial = sweep.trial(number)?;
    Some(Grant {
        lease,
        sweep: sweep.id,
        sweep_name: sweep.spec.name.clone(),
        trial: number,
        attempt,
        job,
        seed: sweep.spec.seed,
        data: sweep.spec.data.clone(),
        digest: sweep.data.digest.clone(),
        fixed: sweep.spec.fixed.clone(),
        assignment: trial.assignment.clone(),
    })
}
