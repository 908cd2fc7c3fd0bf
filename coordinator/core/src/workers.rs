//! What workers say: connections, reports, results, silence.
//!
//! A lease is in force from its grant to its result, its return, or its loss. Whatever is said of a
//! lease that is not in force, or that another process holds, is answered with `Revoke`: the sender
//! is fenced off. Leases are lost in three places alone: here in [`Coordinator::on_tick`], when the
//! worker's process was replaced, and when a worker comes back without one.

use std::collections::BTreeMap;

use caviar_common::ids::{LeaseId, Name, SessionId};
use caviar_common::limits::MAX_WORKERS;
use caviar_common::message::{Finished, FromWorker, Hello, PROTOCOL, Release, Stored, ToWorker};
use caviar_common::metric::{EpochMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome};

use crate::event::{Event, LeaseEnd, Loss};
use crate::input::{Effect, Refusal, Reply};
use crate::state::{Lease, Trial};
use crate::volatile::{Unable, Worker};
use crate::{Broken, Changes, Coordinator};

/// A worker that cannot train a sweep is asked again after so long, in milliseconds.
const UNABLE_MS: u64 = 300_000;

type Answer = Result<Result<Reply, Refusal>, Broken>;

impl Coordinator {
    pub(crate) fn on_message(
        &mut self,
        now: u64,
        session: SessionId,
        message: FromWorker,
        changes: &mut Changes,
    ) -> Answer {
        self.volatile.now = now;
        let answer = match message {
            FromWorker::Hello(hello) => self.on_hello(now, session, &hello, changes)?,
            other @ (FromWorker::Report { .. }
            | FromWorker::Finished { .. }
            | FromWorker::Released { .. }
            | FromWorker::Heartbeat) => match self.volatile.sessions.get(&session).cloned() {
                None => Err(Refusal::NoHello),
                Some(worker) => self.on_work(now, session, &worker, other, changes)?,
            },
        };
        if let Err(refusal) = &answer {
            self.on_session_closed(session);
            changes.effects.push(Effect::Close(session, refusal.clone()));
        }
        Ok(answer)
    }

    fn on_work(
        &mut self,
        now: u64,
        session: SessionId,
        worker: &Name,
        message: FromWorker,
        changes: &mut Changes,
    ) -> Answer {
        if let Some(known) = self.volatile.workers.get_mut(worker) {
            known.last_heard = now;
        }
        let about = match &message {
            FromWorker::Hello(_) => return Ok(Err(Refusal::NoHello)),
            FromWorker::Heartbeat => return Ok(Ok(Reply::Done)),
            FromWorker::Report { lease, .. }
            | FromWorker::Finished { lease, .. }
            | FromWorker::Released { lease, .. } => *lease,
        };
        let Some(record) = self.lease_of(worker, about) else {
            let again =
                matches!(message, FromWorker::Finished { .. }) && self.brought_result(about);
            let reply = if again {
                ToWorker::Ack { lease: about, stored: Stored::Finished }
            } else {
                ToWorker::Revoke {
                    lease: about,
                    reason: "the lease is no longer in force".to_owned(),
                }
            };
            changes.effects.push(Effect::Send(session, reply));
            return Ok(Ok(Reply::Done));
        };
        let answer = match message {
            FromWorker::Report { points, .. } => {
                self.on_report(session, about, &record, &points, changes)
            }
            FromWorker::Finished { result, .. } => {
                self.on_finished(session, about, &record, result, changes)
            }
            FromWorker::Released { release, .. } => {
                self.on_released(now, worker, about, &record, release, changes)
            }
            FromWorker::Hello(_) | FromWorker::Heartbeat => Ok(Ok(Reply::Done)),
        }?;
        if let Err(Refusal::Nonsense(message)) = &answer {
            // Whoever says it once says it again: it must count, or the two would go on for ever.
            self.lose(
                about,
                &record,
                LeaseEnd::Nonsense { message: message.clone() },
                true,
                changes,
            )?;
        }
        Ok(answer)
    }

    /// The lease, if it is in force and this process of the worker holds it.
    fn lease_of(&self, worker: &Name, lease: LeaseId) -> Option<Lease> {
        let incarnation = self.volatile.workers.get(worker)?.incarnation;
        let held = self.durable.leases.get(&lease).filter(|l| l.program_ms.is_none());
        held.filter(|l| &l.worker == worker && l.incarnation == incarnation).cloned()
    }

    /// Whether a result came with this lease: then it is being said again because an answer was
    /// lost.
    fn brought_result(&self, lease: LeaseId) -> bool {
        self.durable.results.contains_key(&lease)
    }

    /// Who is connected shows in the notes of every sweep that is not over.
    fn workers_changed(&mut self) {
        let unfinished = self.durable.sweeps.values().filter(|s| !s.state().is_final());
        self.volatile.changed.extend(unfinished.map(|s| s.id));
    }

    fn on_hello(
        &mut self,
        now: u64,
        session: SessionId,
        hello: &Hello,
        changes: &mut Changes,
    ) -> Answer {
        if hello.protocol != PROTOCOL {
            return Ok(Err(Refusal::WrongProtocol(hello.protocol)));
        }
        if self.volatile.sessions.contains_key(&session) {
            return Ok(Err(Refusal::NoHello));
        }
        if self.volatile.workers.len() >= MAX_WORKERS
            && !self.volatile.workers.contains_key(&hello.worker)
        {
            return Ok(Err(Refusal::TooManyWorkers));
        }
        let is_another = |w: &Worker| {
            w.session.is_some() && w.incarnation != hello.incarnation && !self.is_silent(w, now)
        };
        if self.volatile.workers.get(&hello.worker).is_some_and(is_another) {
            // Two processes of one name would take each other's leases for ever. A process that was
            // killed has no connection any more.
            return Ok(Err(Refusal::Connected(hello.worker.clone())));
        }
        let earlier = self.volatile.workers.remove(&hello.worker);
        if let Some(old) = earlier.as_ref().and_then(|w| w.session) {
            self.volatile.sessions.remove(&old);
            changes.effects.push(Effect::Close(old, Refusal::Replaced(hello.worker.clone())));
        }
        let same_process = earlier.filter(|w| w.incarnation == hello.incarnation);
        let draining = hello.draining || same_process.is_some_and(|w| w.draining);
        let unable = BTreeMap::new();
        let worker = Worker {
            session: Some(session),
            incarnation: hello.incarnation,
            slots: hello.slots,
            draining,
            can_park: hello.can_park,
            resting: false,
            last_heard: now,
            unable,
        };
        self.unpark_all(&hello.worker);
        self.volatile.workers.insert(hello.worker.clone(), worker);
        self.volatile.sessions.insert(session, hello.worker.clone());
        let ttl = self.config.lease_ttl_ms;
        changes.effects.push(Effect::Send(
            session,
            ToWorker::Welcome {
                heartbeat_ms: (ttl / 4).max(1),
                lease_ttl_ms: ttl,
                store: self.store,
            },
        ));
        if draining && !hello.draining {
            changes.effects.push(Effect::Send(session, ToWorker::Drain));
        }
        self.workers_changed();
        self.reconcile(session, hello, changes)?;
        self.park_excess(&hello.worker, changes)?;
        Ok(Ok(Reply::Done))
    }

    /// Compares what the worker holds with what it should hold. Leases of another store have other
    /// numbers; the worker forgets them.
    fn reconcile(
        &mut self,
        session: SessionId,
        hello: &Hello,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let held: &[LeaseId] = if hello.store == Some(self.store) { &hello.held } else { &[] };
        let recorded: Vec<LeaseId> =
            self.durable.held.get(&hello.worker).into_iter().flatten().copied().collect();
        let alone = recorded.len() == 1;
        for lease in recorded {
            let Some(record) = self.durable.leases.get(&lease).cloned() else { continue };
            if record.incarnation != hello.incarnation {
                self.lose(lease, &record, LeaseEnd::WorkerRestarted, alone, changes)?;
            } else if !held.contains(&lease) {
                self.lose(lease, &record, LeaseEnd::NotHeld, alone, changes)?;
            }
        }
        for lease in held {
            // One whose result is stored is acknowledged when the worker says it again.
            if self.lease_of(&hello.worker, *lease).is_none() && !self.brought_result(*lease) {
                let reason = "the lease is no longer in force".to_owned();
                changes
                    .effects
                    .push(Effect::Send(session, ToWorker::Revoke { lease: *lease, reason }));
            }
        }
        Ok(())
    }

    fn on_report(
        &mut self,
        session: SessionId,
        lease: LeaseId,
        record: &Lease,
        points: &[EpochMetrics],
        changes: &mut Changes,
    ) -> Answer {
        if record.job == Job::Score {
            return Ok(Err(Refusal::Nonsense("a scoring has no epochs to report".to_owned())));
        }
        for metrics in points {
            let Some(trial) = self.trial_of(record) else {
                return Err(Broken(format!("lease {lease} has no trial")));
            };
            let (stored, most) = (trial.curve.len(), trial.epochs);
            let epoch = usize::try_from(metrics.epoch).unwrap_or(usize::MAX);
            if epoch <= stored {
                continue;
            }
            if epoch != stored + 1 || metrics.epoch > most {
                let text = format!(
                    "epoch {epoch} of trial {} was reported after epoch {stored} of {most}",
                    record.trial
                );
                return Ok(Err(Refusal::Nonsense(text)));
            }
            let event = Event::EpochRecorded {
                sweep: record.sweep,
                trial: record.trial,
                lease,
                metrics: Point::Network(*metrics),
            };
            self.record(event, changes)?;
        }
        let epochs =
            self.trial_of(record).map_or(0, |t| u32::try_from(t.curve.len()).unwrap_or(u32::MAX));
        changes
            .effects
            .push(Effect::Send(session, ToWorker::Ack { lease, stored: Stored::Epoch(epochs) }));
        Ok(Ok(Reply::Done))
    }

    fn trial_of(&self, record: &Lease) -> Option<&Trial> {
        self.durable.sweeps.get(&record.sweep)?.trial(record.trial)
    }

    fn on_finished(
        &mut self,
        session: SessionId,
        lease: LeaseId,
        record: &Lease,
        result: Finished,
        changes: &mut Changes,
    ) -> Answer {
        let Some(trial) = self.trial_of(record) else {
            return Err(Broken(format!("lease {lease} has no trial")));
        };
        let (sweep, number) = (record.sweep, record.trial);
        let event = match record.job {
            Job::Train => {
                if let Some(objection) = objection(trial, &result.outcome) {
                    return Ok(Err(Refusal::Nonsense(objection)));
                }
                let Finished { outcome, seconds, memory_bytes, .. } = result;
                Event::TrialFinished {
                    sweep,
                    trial: number,
                    lease,
                    outcome,
                    seconds: Some(seconds),
                    memory_bytes,
                }
            }
            Job::Score => {
                let reproduced = match (trial.curve.last(), &result.last) {
                    (Some(Point::Network(first)), Some(second)) => same_bits(first, second),
                    _ => false,
                };
                let message = match (result.outcome, result.test) {
                    (Outcome::Failed { message }, _) => Some(message),
                    (Outcome::Diverged, _) => Some("the second training diverged".to_owned()),
                    (Outcome::Completed, None) => Some("the worker sent no score".to_owned()),
                    (Outcome::Completed, Some(_)) => None,
                };
                Event::WinnerScored {
                    sweep,
                    trial: number,
                    lease,
                    score: result.test,
                    reproduced,
                    message,
                }
            }
        };
        self.record(event, changes)?;
        changes
            .effects
            .push(Effect::Send(session, ToWorker::Ack { lease, stored: Stored::Finished }));
        Ok(Ok(Reply::Done))
    }

    fn on_released(
        &mut self,
        now: u64,
        worker: &Name,
        lease: LeaseId,
        record: &Lease,
        release: Release,
        changes: &mut Changes,
    ) -> Answer {
        let Some(known) = self.volatile.workers.get_mut(worker) else {
            return Err(Broken(format!("worker {worker} is not there")));
        };
        let cause = match release {
            Release::Drained => {
                // Whoever gives work back because it leaves gets no more of it.
                known.draining = true;
                LeaseEnd::Drained
            }
            Release::Declined => {
                known.resting = true;
                LeaseEnd::NotHeld
            }
            Release::Unable { message } => {
                known
                    .unable
                    .insert((record.sweep, None), Unable { message: message.clone(), since: now });
                LeaseEnd::Unable { message }
            }
            Release::TooLarge { message } => {
                known.unable.insert(
                    (record.sweep, Some(record.trial)),
                    Unable { message: message.clone(), since: now },
                );
                LeaseEnd::Unable { message }
            }
        };
        if cause == LeaseEnd::Drained {
            self.unpark_all(worker);
        }
        self.lose(lease, record, cause, false, changes)?;
        Ok(Ok(Reply::Done))
    }

    /// Ends a lease without a result. A trial that was lost too often while it was `alone` on its
    /// worker fails.
    fn lose(
        &mut self,
        lease: LeaseId,
        record: &Lease,
        cause: LeaseEnd,
        alone: bool,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let (sweep, trial) = (record.sweep, record.trial);
        let losses = self.durable.sweeps.get(&sweep).map_or(0, |s| s.losses(record).alone);
        let loss = cause.loss(alone);
        if loss != Some(Loss::Alone) || losses + 1 < self.config.max_losses {
            return self.record(Event::LeaseEnded { sweep, trial, lease, cause, loss }, changes);
        }
        let message = match cause {
            LeaseEnd::Nonsense { message } => {
                format!("given up after {} executions went wrong, the last: {message}", losses + 1)
            }
            LeaseEnd::Expired
            | LeaseEnd::WorkerRestarted
            | LeaseEnd::NotHeld
            | LeaseEnd::Drained
            | LeaseEnd::Unable { .. } => {
                format!(
                    "given up after {} executions went wrong, the last: its worker was lost while it held nothing else",
                    losses + 1
                )
            }
        };
        let event = match record.job {
            Job::Train => Event::TrialFinished {
                sweep,
                trial,
                lease,
                outcome: Outcome::Failed { message },
                seconds: None,
                memory_bytes: None,
            },
            Job::Score => Event::WinnerScored {
                sweep,
                trial,
                lease,
                score: None,
                reproduced: false,
                message: Some(message),
            },
        };
        self.record(event, changes)
    }

    /// A connection is gone. Its leases stay: the worker trains on and comes back, or it stays
    /// silent and they expire.
    pub(crate) fn on_session_closed(&mut self, session: SessionId) {
        if let Some(worker) = self.volatile.sessions.remove(&session)
            && let Some(known) = self.volatile.workers.get_mut(&worker)
            && known.session == Some(session)
        {
            known.session = None;
            self.workers_changed();
        }
    }

    /// Silence in which the coordinator stood still does not count, see [`Self::on_tick`].
    fn is_silent(&self, worker: &Worker, now: u64) -> bool {
        let now = now.min(self.volatile.last_tick.saturating_add(self.config.lease_ttl_ms / 4));
        now.saturating_sub(worker.last_heard) > self.config.lease_ttl_ms
    }

    /// Time has passed: the leases of silent workers end, and workers that are gone are forgotten.
    pub(crate) fn on_tick(&mut self, now: u64, changes: &mut Changes) -> Result<(), Broken> {
        self.volatile.now = now;
        let ttl = self.config.lease_ttl_ms;
        // One tick makes a worker a quarter of a lease more silent at most: where more time went
        // by, the coordinator itself stood still (stopped by a signal, frozen, waiting for a disk),
        // and what the workers said meanwhile may still lie in the sockets.
        let still = now.saturating_sub(self.volatile.last_tick).saturating_sub(ttl / 4);
        self.volatile.last_tick = now;
        for worker in self.volatile.workers.values_mut() {
            worker.resting = false;
            worker.last_heard = worker.last_heard.saturating_add(still).min(now);
            // Whatever it was, a file that was not there or memory that others had, it may be over.
            worker.unable.retain(|(sweep, _), unable| {
                let stays = now.saturating_sub(unable.since) <= UNABLE_MS;
                if !stays {
                    self.volatile.changed.insert(*sweep);
                }
                stays
            });
        }
        let names: Vec<Name> = self
            .volatile
            .workers
            .iter()
            .filter(|(_, w)| self.is_silent(w, now))
            .map(|(n, _)| n.clone())
            .collect();
        for name in names {
            let leases: Vec<LeaseId> =
                self.durable.held.get(&name).into_iter().flatten().copied().collect();
            let alone = leases.len() == 1;
            for lease in leases {
                if let Some(record) = self.durable.leases.get(&lease).cloned() {
                    self.lose(lease, &record, LeaseEnd::Expired, alone, changes)?;
                }
            }
            if let Some(worker) = self.volatile.workers.remove(&name)
                && let Some(session) = worker.session
            {
                self.volatile.sessions.remove(&session);
                changes
                    .effects
                    .push(Effect::Close(session, Refusal::Silent { worker: name, ttl_ms: ttl }));
                self.workers_changed();
            }
        }
        Ok(())
    }

    pub(crate) fn drain_worker(
        &mut self,
        name: &Name,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(worker) = self.volatile.workers.get_mut(name) else {
            return Err(Refusal::NoSuchWorker(name.clone()));
        };
        // From then on the worker itself says in every Hello that it is draining. What it has not
        // heard would be forgotten by a restart.
        let Some(session) = worker.session else { return Err(Refusal::Away(name.clone())) };
        if !worker.draining {
            worker.draining = true;
            changes.effects.push(Effect::Send(session, ToWorker::Drain));
            self.unpark_all(name);
        }
        Ok(Reply::Done)
    }
}

/// What is wrong with an outcome, if the epochs that were reported do not bear it out.
fn objection(trial: &Trial, outcome: &Outcome) -> Option<String> {
    let done = u32::try_from(trial.curve.len()).unwrap_or(u32::MAX);
    match outcome {
        Outcome::Completed if done != trial.epochs => Some(format!(
            "trial {} was called completed after {done} of {} epochs",
            trial.number, trial.epochs
        )),
        Outcome::Completed if trial.curve.last().is_some_and(|last| !last.is_finite()) => Some(
            format!("trial {} was called completed, but its last loss is not finite", trial.number),
        ),
        Outcome::Diverged if trial.curve.last().is_none_or(Point::is_finite) => {
            Some(format!("trial {} was called diverged, but its last loss is finite", trial.number))
        }
        Outcome::Completed | Outcome::Diverged | Outcome::Failed { .. } => None,
    }
}

fn same_bits(a: &EpochMetrics, b: &EpochMetrics) -> bool {
    let score = |s: &Score| (s.loss.to_bits(), s.accuracy.map(f64::to_bits));
    a.epoch == b.epoch
        && score(&a.train) == score(&b.train)
        && score(&a.validation) == score(&b.validation)
}
