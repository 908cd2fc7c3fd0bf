//! The state that a restart may forget: connections, silence, parked trials, samplers.

mod clock;
mod deadlines;
mod idle;
mod progress;
mod sampling;
mod unable;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, SweepId, TokenId, TrialNumber};
use caviar_common::view::TrialView;

use crate::record::state::{Holder, Record, Scoring, Trial};
use crate::schedule::Schedule;
pub(crate) use clock::Clock;
pub(crate) use deadlines::Deadlines;
pub(crate) use idle::Idle;
pub(crate) use progress::Progress;
pub(crate) use sampling::{Asked, Place, Sampling};
pub(crate) use unable::{RefusedJob, Refuser, Unable};
pub(crate) use waiting::{Waiting, WaitingAsk, WaitingReport};

/// Leases that have expired and whose workers may return: more than workers hold at once. With
/// more, the oldest are not given back.
const MAX_EXPIRED: usize = 65_536;

/// What is known of a worker, besides its leases.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The worker's connection; `None` while it is not connected.
    pub(crate) session: Option<SessionId>,
    /// The worker's process.
    pub(crate) incarnation: Incarnation,
    /// The identity of the token with which the worker has connected. Until it is forgotten, no
    /// other token can take its name. `None` if that is not known.
    pub(crate) token: Option<TokenId>,
    /// Trials that the worker can train at the same time.
    pub(crate) slots: u32,
    /// True if the worker is to finish what it holds and exit.
    pub(crate) is_draining: bool,
    /// True if the worker understands Park and Unpark.
    pub(crate) can_park: bool,
    /// True if the worker declined a grant since the last tick. Until the next one it gets no new
    /// grant, because it would decline that too.
    pub(crate) has_declined: bool,
    /// Slots in which a job that was told to stop still runs.
    pub(crate) stuck: u32,
    /// The leases whose training has not begun, as its last heartbeat says.
    pub(crate) waiting: BTreeSet<LeaseId>,
    /// When the worker last sent a message, on the coordinator's [`Clock`].
    pub(crate) last_heard: u64,
}

impl Worker {
    /// Slots that can be used.
    pub(crate) const fn usable_slots(&self) -> u32 {
        self.slots.saturating_sub(self.stuck)
    }

    /// The worker's connection, if it accepts new jobs.
    pub(crate) fn accepting_session(&self) -> Option<SessionId> {
        self.session.filter(|_| !self.is_draining && !self.has_declined)
    }
}

/// Sweeps and trials whose views have changed.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The sweeps.
    pub(crate) sweeps: BTreeSet<SweepId>,
    /// The trials, and the views of those that left flight.
    pub(crate) trials: BTreeMap<(SweepId, TrialNumber), Option<TrialView>>,
}

/// The state that a restart may forget.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// The workers that are connected or hold leases.
    pub(crate) workers: BTreeMap<Name, Worker>,
    /// The worker of each connection.
    pub(crate) sessions: BTreeMap<SessionId, Name>,
    /// When each worker may have been silent for too long.
    pub(crate) silences: Deadlines<Name>,
    /// The workers that declined a grant since the last tick.
    pub(crate) declined: BTreeSet<Name>,
    /// What workers said that they cannot train.
    pub(crate) unable: Unable,
    /// The trials of the latest leases of workers that have expired, at most
    /// [`MAX_EXPIRED`] of them.
    pub(crate) expired: BTreeMap<LeaseId, (SweepId, TrialNumber)>,
    /// Which trainings may hang.
    pub(crate) progress: Progress,
    /// When an external client last named each of its leases, on the coordinator's [`Clock`].
    pub(crate) client_leases_heard: BTreeMap<LeaseId, u64>,
    /// When each lease of an external client may expire.
    pub(crate) client_silences: Deadlines<LeaseId>,
    /// The leases whose trials are parked. A new connection begins without any.
    pub(crate) parked: BTreeSet<LeaseId>,
    /// What waits, what runs, and which workers have a free slot.
    pub(crate) schedule: Schedule,
    /// How many slots have had nothing to do for a while.
    pub(crate) idle: Idle,
    /// The samplers of sweeps that were asked for a trial since the start.
    pub(crate) samplers: BTreeMap<SweepId, Sampling>,
    /// The external clients that wait for an answer.
    pub(crate) waiting: Waiting,
    /// The sweeps that cannot go on, and why.
    pub(crate) quarantined: BTreeMap<SweepId, String>,
    /// The sweep one of whose events did not fit.
    pub(crate) breaking: Option<SweepId>,
    /// Sweeps that may have decisions to take.
    pub(crate) undecided: BTreeSet<SweepId>,
    /// The sweep at which the last decisions were interrupted.
    pub(crate) interrupted_at: Option<SweepId>,
    /// Sweeps whose view has changed since the last step.
    pub(crate) changed: BTreeSet<SweepId>,
    /// What changed since the rows of trials were last taken.
    pub(crate) touched: Touched,
    /// The time by which silence is measured.
    pub(crate) clock: Clock,
}

impl Volatile {
    /// The state after a restart at `now`: every holder of a lease counts as heard at this time.
    pub(crate) fn after_restart(record: &Record, now: u64) -> Self {
        let mut volatile = Self { clock: Clock::starting_at(now), ..Self::default() };
        for (id, lease) in record.leases() {
            match lease.holder() {
                Holder::Client { .. } => {
                    volatile.client_leases_heard.insert(*id, 0);
                    volatile.client_silences.insert(0, *id);
                }
                Holder::Worker { name, incarnation, token } => {
                    let worker = volatile.workers.entry(name.clone()).or_insert_with(|| Worker {
                        session: None,
                        incarnation: *incarnation,
                        token: None,
                        // The worker has at least as many as it holds leases; its Hello will say
                        // how many.
                        slots: 0,
                        is_draining: false,
                        can_park: false,
                        has_declined: false,
                        stuck: 0,
                        waiting: BTreeSet::new(),
                        last_heard: 0,
                    });
                    worker.slots = worker.slots.saturating_add(1);
                    // The latest lease says with which token it connected last.
                    worker.token.clone_from(token);
                    volatile.silences.insert(0, name.clone());
                }
            }
        }
        for sweep in record.sweeps().values() {
            let of_trials = sweep.trials_in_flight().flat_map(Trial::expired);
            let of_scoring = sweep.scoring().into_iter().flat_map(Scoring::expired);
            for expired in of_trials.chain(of_scoring) {
                volatile.remember_expired(expired.id(), (sweep.id(), expired.lease().trial()));
            }
        }
        volatile.undecided.extend(record.sweeps().keys());
        volatile
    }

    /// Notes that the lease of a worker has expired.
    pub(crate) fn remember_expired(&mut self, lease: LeaseId, trial: (SweepId, TrialNumber)) {
        self.expired.insert(lease, trial);
        if self.expired.len() > MAX_EXPIRED {
            self.expired.pop_first();
        }
    }

    /// Notes that an event happened to `sweep`.
    pub(crate) fn mark_undecided(&mut self, sweep: SweepId) {
        self.undecided.insert(sweep);
        self.mark_changed(sweep);
    }

    /// Makes the sampler of a sweep again before the next question, from what the sweep says now.
    pub(crate) fn renew_sampler(&mut self, sweep: SweepId) {
        match self.samplers.get_mut(&sweep) {
            Some(sampling) if sampling.is_away() => sampling.is_outdated = true,
            Some(_) | None => drop(self.samplers.remove(&sweep)),
        }
    }

    /// Notes that the view of `sweep` has changed.
    pub(crate) fn mark_changed(&mut self, sweep: SweepId) {
        self.changed.insert(sweep);
        self.touched.sweeps.insert(sweep);
    }
}
