//! A simulated worker: what it answers to each message of the coordinator. Pure.
//!
//! ```text
//! Grant -> Report of epoch 1 -- Ack --> Report of epoch 2 ... -- Ack --> Finished -- Ack --> over
//! ```
//! It trains nothing: each message is the answer to the one before it, once the time of the epoch
//! is over. A parked trial answers when it is unparked.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::bail;
use caviar_common::message::PROTOCOL;
use caviar_proto::v1;
use caviar_proto::v1::ack::Stored;
use caviar_proto::v1::coordinator_message::Kind as ToKind;
use caviar_proto::v1::worker_message::Kind as FromKind;

use super::schedule::Schedule;

/// What a message of the coordinator meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The coordinator has accepted the worker.
    Welcomed { heartbeat: Duration },
    /// A trial or a scoring begins. `waited` is the time since the slot became free; `None` for the
    /// first job of a slot and for a scoring.
    Granted { waited: Option<Duration> },
    /// An epoch is stored.
    Reported,
    /// A trial of this sweep has ended, and its result is stored.
    Finished { sweep: u64 },
    /// The coordinator has taken a lease away.
    Revoked,
    /// Nothing that is counted.
    Other,
}

/// A trial in training, for the comparison after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) sweep: u64,
    pub(crate) trial: u32,
    /// The last epoch that the coordinator has acknowledged.
    pub(crate) epoch: u32,
}

#[derive(Debug)]
struct Lease {
    held: Held,
    /// When the epoch in training ends.
    epoch_end: Instant,
    is_scoring: bool,
    is_parked: bool,
    /// The last epoch that was sent.
    sent: u32,
    is_finished: bool,
}

/// The state of a simulated worker.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    slots: u32,
    schedule: Schedule,
    /// The store of the coordinator; `None` before the first Welcome.
    store: Option<u64>,
    leases: BTreeMap<u64, Lease>,
    /// When slots became free, the longest wait first.
    free_since: VecDeque<Instant>,
}

impl Worker {
    /// A worker without trials.
    pub(crate) const fn new(name: String, slots: u32, schedule: Schedule) -> Self {
        Self {
            name,
            slots,
            schedule,
            store: None,
            leases: BTreeMap::new(),
            free_since: VecDeque::new(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first message of a connection.
    pub(crate) fn hello(&self) -> v1::WorkerMessage {
        let hello = v1::Hello {
            protocol: PROTOCOL,
            worker: self.name.clone(),
            incarnation: u64::from(std::process::id()),
            slots: self.slots,
            draining: false,
            store: self.store,
            held: self.leases.keys().copied().collect(),
            can_park: true,
        };
        v1::WorkerMessage { kind: Some(FromKind::Hello(hello)) }
    }

    /// When the next epoch ends that can be reported; `None` if none is in training.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        if self.schedule.time().is_zero() {
            return None;
        }
        let training = self.leases.values().filter(|lease| lease.may_report());
        training.map(|lease| lease.epoch_end).min()
    }

    /// The report of an epoch that has ended; `None` if all are still running.
    pub(crate) fn next_report(&mut self, now: Instant) -> Option<v1::WorkerMessage> {
        let ended = |lease: &Lease| lease.may_report() && lease.epoch_end <= now;
        let id = self.leases.iter().find(|(_, lease)| ended(lease)).map(|(id, _)| *id)?;
        self.answer(id, now)
    }

    /// The trials in training whose end the coordinator has not acknowledged.
    pub(crate) fn held(&self) -> impl Iterator<Item = Held> {
        self.leases.values().filter(|lease| !lease.is_scoring).map(|lease| lease.held)
    }

    /// Handles a message. Returns what it meant and the answer to it.
    pub(crate) fn on_message(
        &mut self,
        message: v1::CoordinatorMessage,
        now: Instant,
    ) -> anyhow::Result<(Outcome, Option<v1::WorkerMessage>)> {
        Ok(match message.kind {
            Some(ToKind::Welcome(welcome)) => {
                self.store = Some(welcome.store);
                let heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(10));
                (Outcome::Welcomed { heartbeat }, None)
            }
            Some(ToKind::Grant(grant)) => self.on_grant(&grant, now),
            Some(ToKind::Ack(ack)) => self.on_ack(ack, now)?,
            Some(
                ToKind::Revoke(v1::Revoke { lease, .. }) | ToKind::Stop(v1::Stop { lease, .. }),
            ) => {
                if self.leases.remove(&lease).is_some_and(|lease| !lease.is_finished) {
                    self.free_since.push_back(now);
                }
                (Outcome::Revoked, None)
            }
            Some(ToKind::Park(v1::Park { lease })) => {
                self.park(lease, true);
                (Outcome::Other, None)
            }
            Some(ToKind::Unpark(v1::Unpark { lease })) => {
                self.park(lease, false);
                (Outcome::Other, self.answer(lease, now))
            }
            Some(ToKind::Drain(_)) => bail!("the coordinator drains a simulated worker"),
            None => bail!("the coordinator sent a message that this version does not know"),
        })
    }

    fn on_grant(
        &mut self,
        grant: &v1::Grant,
        now: Instant,
    ) -> (Outcome, Option<v1::WorkerMessage>) {
        let is_scoring = grant.work() == v1::Work::Score;
        let held = Held { sweep: grant.sweep, trial: grant.trial, epoch: 0 };
        let epoch_end = self.schedule.end((held.sweep, held.trial, 1), now);
        let (is_parked, sent, is_finished) = (false, 0, false);
        let lease = Lease { held, epoch_end, is_scoring, is_parked, sent, is_finished };
        self.leases.insert(grant.lease, lease);
        let free_since = self.free_since.pop_front().filter(|_| !is_scoring);
        let waited = free_since.map(|since| now.saturating_duration_since(since));
        (Outcome::Granted { waited }, self.answer(grant.lease, now))
    }

    fn on_ack(
        &mut self,
        ack: v1::Ack,
        now: Instant,
    ) -> anyhow::Result<(Outcome, Option<v1::WorkerMessage>)> {
        let Some(lease) = self.leases.get_mut(&ack.lease) else {
            bail!("the coordinator acknowledged lease {}, which is over", ack.lease)
        };
        match ack.stored {
            // A later attempt may learn that the coordinator kept more epochs of an earlier one.
            Some(Stored::Epoch(epoch)) if !lease.is_finished && epoch >= lease.sent => {
                lease.held.epoch = epoch;
                lease.sent = epoch;
                Ok((Outcome::Reported, self.answer(ack.lease, now)))
            }
            Some(Stored::Finished(true)) if lease.is_finished => {
                let (sweep, is_scoring) = (lease.held.sweep, lease.is_scoring);
                self.leases.remove(&ack.lease);
                let outcome = if is_scoring { Outcome::Other } else { Outcome::Finished { sweep } };
                Ok((outcome, None))
            }
            stored => bail!(
                "the coordinator acknowledged {stored:?} of lease {} after epoch {} was sent",
                ack.lease,
                lease.sent
            ),
        }
    }

    fn park(&mut self, lease: u64, is_parked: bool) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.is_parked = is_parked;
        }
    }

    /// The next message about a lease; `None` while an acknowledgement is missing, the trial is
    /// parked, or its epoch has not ended.
    fn answer(&mut self, id: u64, now: Instant) -> Option<v1::WorkerMessage> {
        let epochs = self.schedule.epochs();
        let lease = self.leases.get_mut(&id).filter(|lease| lease.may_report())?;
        let kind = if lease.is_scoring || lease.sent >= epochs {
            lease.is_finished = true;
            self.free_since.push_back(now);
            FromKind::Finished(finished(id, lease, epochs))
        } else if lease.epoch_end <= now {
            lease.sent = lease.sent.saturating_add(1);
            let next = (lease.held.sweep, lease.held.trial, lease.sent.saturating_add(1));
            lease.epoch_end = self.schedule.end(next, now);
            FromKind::Report(report(id, lease))
        } else {
            return None;
        };
        Some(v1::WorkerMessage { kind: Some(kind) })
    }
}

impl Lease {
    /// Whether the next message may be sent once its epoch has ended.
    fn may_report(&self) -> bool {
        !self.is_parked && !self.is_finished && self.held.epoch >= self.sent
    }
}

fn report(id: u64, lease: &Lease) -> v1::Report {
    v1::Report {
        lease: id,
        points: vec![metrics(lease.held, lease.sent)],
        seconds: Some(seconds(lease.sent)),
    }
}

fn finished(id: u64, lease: &Lease, epochs: u32) -> v1::Finished {
    v1::Finished {
        lease: id,
        outcome: v1::Outcome::Completed.into(),
        message: None,
        last: Some(metrics(lease.held, epochs)),
        test: lease.is_scoring.then(|| score(lease.held, epochs)),
        seconds: seconds(epochs),
        memory_bytes: Some(1 << 20),
        model: None,
    }
}

/// What a training of a second an epoch would report.
fn seconds(epoch: u32) -> f64 {
    f64::from(epoch)
}

fn metrics(held: Held, epoch: u32) -> v1::EpochMetrics {
    let score = score(held, epoch);
    v1::EpochMetrics {
        epoch,
        train: Some(score.clone()),
        validation: Some(score),
        ..Default::default()
    }
}

/// A score that depends on the trial and the epoch only, so that a second training of the winner
/// gives the same one.
fn score(held: Held, epoch: u32) -> v1::Score {
    // SplitMix64 (Steele, Lea and Flood 2014).
    let mut bits = held.sweep.rotate_left(40) ^ u64::from(held.trial).rotate_left(20);
    bits = (bits ^ u64::from(epoch)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let high = u32::try_from(bits >> 32).unwrap_or(0);
    let accuracy = f64::from(high) / f64::from(u32::MAX);
    v1::Score { loss: Some(1.0 - accuracy), accuracy: Some(accuracy), measured: None }
}

#[cfg(test)]
mod tests;
