//! What must hold in every run, checked against the events and against what was really said.

use std::collections::BTreeMap;

use caviar_common::ids::{Incarnation, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::outcome::Job;
use caviar_core::event::{Event, LeaseEnd, LeaseEnded, LeaseGranted, Payload, TrialsAsked};
use caviar_core::state::{SUSPECT_LOSSES, losses_after};

use super::node::MISSING_DATA;

/// The training or the scoring of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TrialJob {
    sweep: SweepId,
    trial: TrialNumber,
    is_scoring: bool,
}

impl TrialJob {
    const fn training(sweep: SweepId, trial: TrialNumber) -> Self {
        Self { sweep, trial, is_scoring: false }
    }
}

/// How long the coordinator offers a worker nothing that it could not train, in milliseconds, at
/// most.
const UNABLE_MS: u64 = 300_000;
/// The same for a sweep, at least.
const LEAST_UNABLE_MS: u64 = 10_000;
/// The same for a trial that was too large, at least: the worker may have more memory.
const LEAST_TOO_LARGE_MS: u64 = 1_000;

/// What workers could not train, and when they said so: a sweep, or one of its trials.
pub(super) type Refusals = BTreeMap<(Name, SweepId, Option<TrialNumber>), u64>;

/// A lease in force.
#[derive(Clone, Debug)]
struct Held {
    job: TrialJob,
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
    /// The leases of workers that have expired, and how many losses that was.
    expired: BTreeMap<LeaseId, (Held, u32)>,
    /// How many times in a row each job has lost its worker.
    losses: BTreeMap<TrialJob, u32>,
    workers_heard: BTreeMap<Name, u64>,
    leases_heard: BTreeMap<LeaseId, u64>,
    /// The processes that the coordinator was asked to drain and that it has not forgotten.
    draining: BTreeMap<Name, Incarnation>,
    /// What the coordinator must not offer, but after a long time.
    refusals: Refusals,
}

impl Oracle {
    pub(super) const fn new(lease_ttl_ms: u64) -> Self {
        Self {
            lease_ttl_ms,
            last_tick: 0,
            awake_at_tick: 0,
            leases: BTreeMap::new(),
            expired: BTreeMap::new(),
            losses: BTreeMap::new(),
            workers_heard: BTreeMap::new(),
            leases_heard: BTreeMap::new(),
            draining: BTreeMap::new(),
            refusals: Refusals::new(),
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
        self.refusals.clear();
    }

    /// The coordinator was asked to drain a process.
    pub(super) fn drain(&mut self, worker: Name, process: Incarnation) {
        self.draining.insert(worker, process);
    }

    /// The coordinator forgets silent workers, and with them that they were to drain. A worker that
    /// was told so says it when it connects again.
    pub(super) fn keep_workers(&mut self, is_known: impl Fn(&Name) -> bool) {
        self.draining.retain(|worker, _| is_known(worker));
        self.refusals.retain(|(worker, ..), _| is_known(worker));
    }

    /// A worker connects again. Returns what it could not train.
    pub(super) fn take_refusals(&mut self, worker: &Name) -> Refusals {
        let (taken, kept): (Refusals, Refusals) = std::mem::take(&mut self.refusals)
            .into_iter()
            .partition(|((name, ..), _)| name == worker);
        self.refusals = kept;
        taken
    }

    /// The connection of the worker was refused.
    pub(super) fn restore(&mut self, refusals: Refusals) {
        self.refusals.extend(refusals);
    }

    /// True if the coordinator still remembers what a worker could not train.
    pub(super) fn has_refusals(&self, now: u64) -> bool {
        let awake = self.awake(now);
        self.refusals.values().any(|refused| awake < refused + UNABLE_MS)
    }

    /// The coordinator hears a worker.
    pub(super) fn hear_worker(&mut self, worker: &Name, now: u64) {
        self.workers_heard.insert(worker.clone(), self.awake(now));
    }

    /// The coordinator hears a client name a lease.
    pub(super) fn hear_lease(&mut self, lease: LeaseId, now: u64) {
        self.leases_heard.insert(lease, self.awake(now));
    }

    /// The coordinator has recorded events. Returns how often it offered a worker again what the
    /// worker could not train.
    ///
    /// # Panics
    /// One of the events must not happen.
    pub(super) fn check(&mut self, events: &[Event], now: u64) -> usize {
        let mut offered_again = 0;
        for event in events {
            let sweep = event.sweep;
            match &event.payload {
                Payload::LeaseGranted(granted) => {
                    offered_again += self.offer(sweep, granted, now);
                    self.grant(sweep, granted);
                }
                Payload::TrialsAsked(asked) => self.grant_asked(sweep, asked, now),
                Payload::LeaseEnded(ended) => self.end(ended, now),
                Payload::LeaseRestored(restored) => {
                    let held = self.withdraw(restored.lease, restored.losses);
                    self.add(restored.lease, held);
                }
                Payload::LossWithdrawn(withdrawn) => {
                    self.withdraw(withdrawn.lease, withdrawn.losses);
                }
                Payload::SweepResumed => self.refusals.retain(|(_, of, _), _| *of != sweep),
                Payload::EpochsRecorded(recorded) => {
                    let job = TrialJob::training(sweep, recorded.trial);
                    self.losses.remove(&job);
                    let expired = self.expired.values_mut().filter(|(held, _)| held.job == job);
                    expired.for_each(|(_, losses)| *losses = 0);
                }
                Payload::TrialFinished(finished) => {
                    self.leases.remove(&finished.lease).expect("the lease was in force");
                }
                Payload::WinnerScored(scored) => {
                    self.leases.remove(&scored.lease).expect("the lease was in force");
                }
                Payload::TrialStopped(stopped) => {
                    let stopped = TrialJob::training(sweep, stopped.trial);
                    self.leases.retain(|_, held| held.job != stopped);
                }
                Payload::SweepCancelled => self.leases.retain(|_, held| held.job.sweep != sweep),
                _ => {}
            }
        }
        offered_again
    }

    /// Checks that a worker is not offered what it could not train. Returns how many refusals were
    /// forgotten because they are old.
    fn offer(&mut self, sweep: SweepId, granted: &LeaseGranted, now: u64) -> usize {
        let awake = self.awake(now);
        let keys = [None, Some(granted.trial)].map(|it| (granted.worker.clone(), sweep, it));
        let refused = keys.iter().filter_map(|key| Some((key, self.refusals.remove(key)?)));
        let ages = refused.map(|((.., trial), at)| (trial, awake - at)).inspect(|(trial, age)| {
            let least = if trial.is_some() { LEAST_TOO_LARGE_MS } else { LEAST_UNABLE_MS };
            assert!(*age >= least, "{granted:?} was refused {age} ms before");
        });
        ages.count()
    }

    fn is_suspect(&self, job: &TrialJob) -> bool {
        self.losses.get(job).is_some_and(|losses| *losses >= SUSPECT_LOSSES)
    }

    fn grant(&mut self, sweep: SweepId, granted: &LeaseGranted) {
        let is_scoring = granted.job == Job::Score;
        let job = TrialJob { is_scoring, ..TrialJob::training(sweep, granted.trial) };
        let worker = Some(granted.worker.clone());
        let is_draining = self.draining.get(&granted.worker) == Some(&granted.incarnation);
        assert!(!is_draining, "a worker that drains gets {granted:?}");
        if self.is_suspect(&job) {
            let mut held = self.leases.values().filter(|held| held.worker == worker);
            let other = held.find(|held| self.is_suspect(&held.job));
            assert!(other.is_none(), "{granted:?} is the second suspect, with {other:?}");
        }
        self.add(granted.lease, Held { job, worker, may_be_silent_ms: self.lease_ttl_ms });
    }

    fn grant_asked(&mut self, sweep: SweepId, asked: &TrialsAsked, now: u64) {
        for granted in &asked.granted {
            let job = TrialJob::training(sweep, granted.trial);
            let may_be_silent_ms = asked.lease_ms;
            self.add(granted.lease, Held { job, worker: None, may_be_silent_ms });
            self.hear_lease(granted.lease, now);
        }
    }

    fn add(&mut self, lease: LeaseId, held: Held) {
        let other = self.leases.values().find(|other| other.job == held.job);
        assert!(other.is_none(), "{:?} has two leases", held.job);
        self.leases.insert(lease, held);
    }

    /// The process of an expired lease is alive, so its loss does not count.
    fn withdraw(&mut self, lease: LeaseId, without: u32) -> Held {
        let (held, loss) = self.expired.remove(&lease).expect("the lease has expired");
        let losses = self.losses.entry(held.job).or_default();
        *losses = losses.saturating_sub(loss);
        assert_eq!(*losses, without, "lease {lease}");
        held
    }

    fn end(&mut self, ended: &LeaseEnded, now: u64) {
        let held = self.leases.remove(&ended.lease).expect("the lease was in force");
        let losses = self.losses.entry(held.job).or_default();
        let before = *losses;
        *losses = ended.lost_worker.map_or(*losses, |lost| losses_after(*losses, lost));
        assert_eq!(ended.losses, Some(*losses), "{ended:?}");
        let added = *losses - before;
        if let (LeaseEnd::Unable { message }, Some(worker)) = (&ended.cause, &held.worker) {
            let trial = (message != MISSING_DATA).then_some(ended.trial);
            let awake = self.awake(now);
            self.refusals.insert((worker.clone(), held.job.sweep, trial), awake);
        }
        if ended.cause == LeaseEnd::Expired && held.worker.is_some() {
            self.expired.insert(ended.lease, (held.clone(), added));
        }
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
