//! What must hold in every run, checked against the events and against what was really said.

use std::collections::BTreeMap;

use caviar_common::ids::{Incarnation, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::outcome::Job;
use caviar_core::event::{Event, LeaseEnd, LeaseEnded, LeaseGranted, Payload, TrialsAsked};
use caviar_core::state::{SUSPECT_LOSSES, losses_after};

/// The training or the scoring of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    sweep: SweepId,
    trial: TrialNumber,
    is_scoring: bool,
}

impl Task {
    const fn training(sweep: SweepId, trial: TrialNumber) -> Self {
        Self { sweep, trial, is_scoring: false }
    }
}

/// A lease in force.
#[derive(Clone, Debug)]
struct Held {
    task: Task,
    /// The worker that holds it; `None` if an external client does.
    worker: Option<Name>,
    /// How long the holder may be silent, in milliseconds.
    may_be_silent_ms: u64,
}

/// What is known of the leases, the losses and the silence of their holders.
#[derive(Debug)]
pub(super) struct Oracle {
    lease_ttl_ms: u64,
    /// The time of the latest tick.
    last_tick: u64,
    /// How long the coordinator was awake until the latest tick.
    awake_at_tick: u64,
    leases: BTreeMap<LeaseId, Held>,
    /// How many times in a row each task has lost its worker.
    losses: BTreeMap<Task, u32>,
    workers_heard: BTreeMap<Name, u64>,
    leases_heard: BTreeMap<LeaseId, u64>,
    /// The processes that the coordinator was asked to drain and that it has not forgotten.
    draining: BTreeMap<Name, Incarnation>,
}

impl Oracle {
    pub(super) const fn new(lease_ttl_ms: u64) -> Self {
        Self {
            lease_ttl_ms,
            last_tick: 0,
            awake_at_tick: 0,
            leases: BTreeMap::new(),
            losses: BTreeMap::new(),
            workers_heard: BTreeMap::new(),
            leases_heard: BTreeMap::new(),
            draining: BTreeMap::new(),
        }
    }

    /// How long the coordinator was awake until `now`. If much time passes between two ticks, it
    /// was stopped in most of it.
    fn awake(&self, now: u64) -> u64 {
        self.awake_at_tick + (now - self.last_tick).min(self.lease_ttl_ms / 4)
    }

    /// There is a tick at `now`.
    pub(super) fn tick(&mut self, now: u64) {
        (self.awake_at_tick, self.last_tick) = (self.awake(now), now);
    }

    /// The coordinator restarts at `now`. Nobody counts as silent before.
    pub(super) fn restart(&mut self, now: u64) {
        self.tick(now);
        let awake = self.awake_at_tick;
        self.workers_heard.values_mut().for_each(|heard| *heard = awake);
        self.leases_heard.values_mut().for_each(|heard| *heard = awake);
        self.draining.clear();
    }

    /// The coordinator was asked to drain a process.
    pub(super) fn drain(&mut self, worker: Name, process: Incarnation) {
        self.draining.insert(worker, process);
    }

    /// The coordinator forgets silent workers, and with them that they were to drain. A worker that
    /// was told so says it when it connects again.
    pub(super) fn keep_workers(&mut self, is_known: impl Fn(&Name) -> bool) {
        self.draining.retain(|worker, _| is_known(worker));
    }

    /// The coordinator hears a worker.
    pub(super) fn hear_worker(&mut self, worker: &Name, now: u64) {
        self.workers_heard.insert(worker.clone(), self.awake(now));
    }

    /// The coordinator hears a client name a lease.
    pub(super) fn hear_lease(&mut self, lease: LeaseId, now: u64) {
        self.leases_heard.insert(lease, self.awake(now));
    }

    /// The coordinator has recorded events.
    ///
    /// # Panics
    /// One of them must not happen.
    pub(super) fn check(&mut self, events: &[Event], now: u64) {
        for event in events {
            let sweep = event.sweep;
            match &event.payload {
                Payload::LeaseGranted(granted) => self.grant(sweep, granted),
                Payload::TrialsAsked(asked) => self.grant_asked(sweep, asked, now),
                Payload::LeaseEnded(ended) => self.end(ended, now),
                Payload::EpochsRecorded(recorded) => {
                    self.losses.remove(&Task::training(sweep, recorded.trial));
                }
                Payload::TrialFinished(finished) => {
                    self.leases.remove(&finished.lease).expect("the lease was in force");
                }
                Payload::WinnerScored(scored) => {
                    self.leases.remove(&scored.lease).expect("the lease was in force");
                }
                Payload::TrialStopped(stopped) => {
                    let stopped = Task::training(sweep, stopped.trial);
                    self.leases.retain(|_, held| held.task != stopped);
                }
                Payload::SweepCancelled => self.leases.retain(|_, held| held.task.sweep != sweep),
                _ => {}
            }
        }
    }

    fn is_suspect(&self, task: &Task) -> bool {
        self.losses.get(task).is_some_and(|losses| *losses >= SUSPECT_LOSSES)
    }

    fn grant(&mut self, sweep: SweepId, granted: &LeaseGranted) {
        let is_scoring = granted.job == Job::Score;
        let task = Task { is_scoring, ..Task::training(sweep, granted.trial) };
        let worker = Some(granted.worker.clone());
        let is_draining = self.draining.get(&granted.worker) == Some(&granted.incarnation);
        assert!(!is_draining, "a worker that drains gets {granted:?}");
        if self.is_suspect(&task) {
            let mut held = self.leases.values().filter(|held| held.worker == worker);
            let other = held.find(|held| self.is_suspect(&held.task));
            assert!(other.is_none(), "{granted:?} is the second suspect, with {other:?}");
        }
        self.add(granted.lease, Held { task, worker, may_be_silent_ms: self.lease_ttl_ms });
    }

    fn grant_asked(&mut self, sweep: SweepId, asked: &TrialsAsked, now: u64) {
        for granted in &asked.granted {
            let task = Task::training(sweep, granted.trial);
            let may_be_silent_ms = asked.lease_ms;
            self.add(granted.lease, Held { task, worker: None, may_be_silent_ms });
            self.hear_lease(granted.lease, now);
        }
    }

    fn add(&mut self, lease: LeaseId, held: Held) {
        let other = self.leases.values().find(|other| other.task == held.task);
        assert!(other.is_none(), "{:?} has two leases", held.task);
        self.leases.insert(lease, held);
    }

    fn end(&mut self, ended: &LeaseEnded, now: u64) {
        let held = self.leases.remove(&ended.lease).expect("the lease was in force");
        let losses = self.losses.entry(held.task).or_default();
        *losses = ended.lost_worker.map_or(*losses, |lost| losses_after(*losses, lost));
        assert_eq!(ended.losses, Some(*losses), "{ended:?}");
        if ended.cause == LeaseEnd::Expired {
            let heard = match &held.worker {
                Some(worker) => self.workers_heard.get(worker),
                None => self.leases_heard.get(&ended.lease),
            };
            let silent = self.awake(now) - heard.copied().unwrap_or_default();
            assert!(silent >= held.may_be_silent_ms, "{ended:?} after {silent} ms of silence");
        }
    }
}
