//! Which workers cannot train which sweeps and trials, as they said so themselves.
//!
//! A worker that refused is asked again after a time that doubles with every refusal in a row, from
//! [`FIRST_MS`] to [`LONGEST_MS`]: most reasons, such as a file that is not mounted yet, give no
//! sign when they end. Where there is a sign, it is asked earlier: when it connects again, when a
//! client resumes the sweep, and when it may have more memory because a lease of it has ended. The
//! last happens with every trial, so it brings the time forward only as far as a tenth of it.
//!
//! For example, a worker refuses a sweep at 0 s, 10 s and 30 s, and is asked again at 70 s.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{Name, SweepId, TrialNumber};

use super::deadlines::Deadlines;

/// Most refusals of one sweep that are remembered. With more, the worker is offered the trial again
/// and refuses it again, which costs a message.
const MOST_OF_A_SWEEP: usize = 4_096;
/// How long a worker is not asked after its first refusal, in milliseconds. Chosen, not measured.
const FIRST_MS: u64 = 10_000;
/// The longest time for which a worker is not asked, in milliseconds. Chosen, not measured.
const LONGEST_MS: u64 = 300_000;
/// Into how many parts of its time a sign of more memory can shorten it.
const SOONER: u64 = 10;

/// A worker, and the trial that it has no memory for; `None` if it cannot train the sweep at all.
pub(crate) type Refuser = (Name, Option<TrialNumber>);

/// What is remembered of a refusal.
#[derive(Clone, Debug)]
pub(crate) struct RefusedJob {
    /// Why the worker cannot train.
    pub(crate) message: String,
    /// For how long it is not asked, in milliseconds.
    pub(crate) pause_ms: u64,
    /// When it refused, on the coordinator's clock.
    at: u64,
    /// When it is asked again.
    until: u64,
    /// True while it is not asked. Later only the length of the pause counts.
    is_in_force: bool,
}

/// The refusals of workers, by sweep.
#[derive(Debug, Default)]
pub(crate) struct Unable {
    by_sweep: BTreeMap<SweepId, BTreeMap<Refuser, RefusedJob>>,
    expiries: Deadlines<(SweepId, Refuser)>,
}

impl Unable {
    /// Remembers that a worker refused at `now` to train the trial, or any trial of the sweep.
    pub(crate) fn insert(&mut self, sweep: SweepId, refuser: Refuser, message: String, now: u64) {
        let refusals = self.by_sweep.entry(sweep).or_default();
        let earlier = refusals.get(&refuser);
        if refusals.len() >= MOST_OF_A_SWEEP && earlier.is_none() {
            return;
        }
        let pause_ms = match earlier {
            None => FIRST_MS,
            // It had several of these jobs, and gives them back one after the other.
            Some(earlier) if earlier.is_in_force => earlier.pause_ms,
            Some(earlier) => earlier.pause_ms.saturating_mul(2).min(LONGEST_MS),
        };
        let until = now.saturating_add(pause_ms);
        let refusal = RefusedJob { message, pause_ms, at: now, until, is_in_force: true };
        refusals.insert(refuser.clone(), refusal);
        self.expiries.insert(until, (sweep, refuser));
    }

    /// True if no worker has refused anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_sweep.is_empty()
    }

    fn refuses(&self, worker: &Name, sweep: SweepId, trial: Option<TrialNumber>) -> bool {
        let refusals = self.by_sweep.get(&sweep);
        let refusal = refusals.and_then(|refusals| refusals.get(&(worker.clone(), trial)));
        refusal.is_some_and(|refusal| refusal.is_in_force)
    }

    /// True if the worker has not said that it cannot train this trial.
    pub(crate) fn can_train(&self, worker: &Name, sweep: SweepId, trial: TrialNumber) -> bool {
        !self.refuses(worker, sweep, None) && !self.refuses(worker, sweep, Some(trial))
    }

    /// True if the worker lacks the memory for this trial, so that its refusal says nothing about
    /// other trials.
    pub(crate) fn is_too_large(&self, worker: &Name, sweep: SweepId, trial: TrialNumber) -> bool {
        self.refuses(worker, sweep, Some(trial))
    }

    /// True if the worker has said that it cannot train this sweep.
    pub(crate) fn is_barred(&self, worker: &Name, sweep: SweepId) -> bool {
        self.refuses(worker, sweep, None)
    }

    /// The refusals of a sweep that are in force, by worker.
    pub(crate) fn of_sweep(&self, sweep: SweepId) -> impl Iterator<Item = (&Refuser, &RefusedJob)> {
        let refusals = self.by_sweep.get(&sweep).into_iter().flatten();
        refusals.filter(|(_, refusal)| refusal.is_in_force)
    }

    /// Forgets what the worker cannot train. Returns the sweeps that it concerns.
    pub(crate) fn forget_worker(&mut self, worker: &Name) -> Vec<SweepId> {
        let mut changed = Vec::new();
        for (sweep, refusals) in &mut self.by_sweep {
            let before = refusals.len();
            refusals.retain(|(name, _), _| name != worker);
            if refusals.len() < before {
                changed.push(*sweep);
            }
        }
        self.by_sweep.retain(|_, refusals| !refusals.is_empty());
        changed
    }

    /// Forgets the refusals of a sweep.
    pub(crate) fn forget_sweep(&mut self, sweep: SweepId) {
        self.by_sweep.remove(&sweep);
    }

    /// The worker has trained a trial of the sweep, so a later refusal is a first one again. One in
    /// force stays: the trial may have begun before it.
    pub(crate) fn has_trained(&mut self, worker: &Name, sweep: SweepId) {
        let Some(refusals) = self.by_sweep.get_mut(&sweep) else { return };
        let key = (worker.clone(), None);
        if refusals.get(&key).is_some_and(|refusal| !refusal.is_in_force) {
            refusals.remove(&key);
        }
    }

    /// A lease of the worker has ended, so it may have more memory: asks it sooner for the trials
    /// that did not fit.
    pub(crate) fn may_have_memory(&mut self, worker: &Name) {
        let (first, last) = (Some(TrialNumber(0)), Some(TrialNumber(u32::MAX)));
        for (sweep, refusals) in &mut self.by_sweep {
            let of_worker = refusals.range_mut((worker.clone(), first)..=(worker.clone(), last));
            for (refuser, refusal) in of_worker.filter(|(_, refusal)| refusal.is_in_force) {
                let sooner = refusal.at.saturating_add(refusal.pause_ms / SOONER);
                if sooner < refusal.until {
                    refusal.until = sooner;
                    self.expiries.insert(sooner, (*sweep, refuser.clone()));
                }
            }
        }
    }

    /// Ends the refusals whose time is over at `now`. Returns the sweeps that they concern.
    pub(crate) fn expire(&mut self, now: u64) -> BTreeSet<SweepId> {
        let mut changed = BTreeSet::new();
        while let Some((sweep, refuser)) = self.expiries.take_due(now) {
            let refusals = self.by_sweep.get_mut(&sweep);
            let refusal = refusals.and_then(|refusals| refusals.get_mut(&refuser));
            // The worker may have refused it again since.
            if let Some(refusal) = refusal.filter(|it| it.is_in_force && it.until <= now) {
                refusal.is_in_force = false;
                changed.insert(sweep);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: SweepId = SweepId(1);

    fn refusal(unable: &mut Unable, trial: Option<TrialNumber>, now: u64) -> Name {
        let worker = Name::parse("worker", "w").unwrap();
        unable.insert(SWEEP, (worker.clone(), trial), "no such file".to_owned(), now);
        worker
    }

    #[test]
    fn a_worker_is_asked_again_after_a_time_that_doubles() {
        let mut unable = Unable::default();
        let mut now = 0;
        for pause in [10, 20, 40, 80, 160, 300, 300] {
            let worker = refusal(&mut unable, None, now);
            now += pause * 1_000;
            assert!(unable.expire(now - 1).is_empty());
            assert!(unable.is_barred(&worker, SWEEP));
            assert_eq!(unable.expire(now).len(), 1);
            assert!(!unable.is_barred(&worker, SWEEP));
        }
    }

    #[test]
    fn more_memory_makes_the_pause_shorter_but_not_for_data_that_cannot_be_read() {
        let (mut unable, trial) = (Unable::default(), TrialNumber(3));
        let worker = refusal(&mut unable, Some(trial), 0);
        refusal(&mut unable, None, 0);
        unable.may_have_memory(&worker);
        assert!(unable.expire(999).is_empty());
        unable.expire(1_000);
        assert!(!unable.is_too_large(&worker, SWEEP, trial));
        assert!(unable.is_barred(&worker, SWEEP));
    }
}
