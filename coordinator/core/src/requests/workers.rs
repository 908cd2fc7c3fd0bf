//! Connections of workers: hello, messages, drain, silence.
//!
//! A worker's leases stay in force while it is disconnected: it trains on and reconnects, or it
//! stays silent and they expire. The coordinator takes a lease from a worker if the worker is
//! silent for too long, if its process was replaced, if it reconnects without the lease, if it
//! reports something impossible about it, if the trial is stopped at a rung, or if the sweep is
//! cancelled.
//! A later message about the lease gets a `Revoke` in reply, so that only the new holder's reports
//! count. Only a repeated result is acknowledged again.
//!
//! A name belongs to the token with which its worker has connected, until the worker is forgotten.
//! A worker whose token was replaced is still known by its incarnation, a random number that only
//! its process and the coordinator have.

use std::collections::BTreeSet;

use caviar_common::ids::{LeaseId, Name, SessionId, SweepId, TokenId};
use caviar_common::limits::MAX_WORKERS;
use caviar_common::message::{FromWorker, Hello, PROTOCOL, Stored, ToWorker};

use super::leases::HeldLease;
use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{Refusal, Reply};
use crate::record::Broken;
use crate::record::event::{LeaseEnd, WorkerLost};
use crate::record::state::Lease;
use crate::volatile::Worker;

impl Coordinator {
    /// Handles a message of a worker. A refusal closes the connection.
    pub(crate) fn receive(
        &mut self,
        session: SessionId,
        token: Option<TokenId>,
        message: FromWorker,
    ) -> Result<Reply, Halt> {
        let result = self.dispatch(session, token, message);
        if let Err(Halt::Refused(refusal)) = &result {
            self.forget_session(session);
            self.changes.close(session, refusal.clone());
        }
        result.map(|()| Reply::Done)
    }

    fn dispatch(
        &mut self,
        session: SessionId,
        token: Option<TokenId>,
        message: FromWorker,
    ) -> Result<(), Halt> {
        match message {
            FromWorker::Hello(hello) => self.welcome(session, token, &hello),
            FromWorker::Heartbeat { stuck, waiting } => {
                self.note_heartbeat(session, stuck, waiting)
            }
            FromWorker::Report { lease, points, seconds } => {
                self.with_lease(session, lease, |core, held| {
                    core.record_epochs(held, &points, seconds)
                })
            }
            FromWorker::Finished { lease, .. } if self.record.has_result(lease) => {
                // The worker repeats a result because it never received the acknowledgement.
                self.renew(session)?;
                self.changes.send(session, ToWorker::Ack { lease, stored: Stored::Finished });
                Ok(())
            }
            FromWorker::Finished { lease, result } => {
                self.with_lease(session, lease, |core, held| core.finish_job(held, result))
            }
            FromWorker::Checkpointed { lease, checkpoint } => {
                self.with_lease(session, lease, |core, held| {
                    core.record_checkpoint(held, checkpoint)
                })
            }
            FromWorker::Restarted { lease, reason } => {
                self.with_lease(session, lease, |core, held| core.drop_checkpoint(held, reason))
            }
            FromWorker::Released { lease, release } => {
                self.with_lease(session, lease, |core, held| Ok(core.release_lease(held, release)?))
            }
        }
    }

    /// Notes how many slots of the worker on this connection cannot be used, and which of its
    /// trainings have not begun. Those do not hang, unless a job that does not stop may hold what
    /// they wait for.
    fn note_heartbeat(
        &mut self,
        session: SessionId,
        stuck: u32,
        waiting: Vec<LeaseId>,
    ) -> Result<(), Halt> {
        let worker = self.renew(session)?;
        let now = self.volatile.clock.now();
        if stuck == 0 {
            waiting.iter().for_each(|lease| self.volatile.progress.wait(*lease, &worker, now));
        }
        let Some(known) = self.volatile.workers.get_mut(&worker) else { return Ok(()) };
        known.waiting = waiting.into_iter().collect();
        if std::mem::replace(&mut known.stuck, stuck) != stuck {
            self.reschedule_worker(&worker);
        }
        Ok(())
    }

    /// Renews the leases of the worker on this connection and returns its name.
    fn renew(&mut self, session: SessionId) -> Result<Name, Refusal> {
        let worker = self.volatile.sessions.get(&session).ok_or(Refusal::NoHello)?.clone();
        if let Some(known) = self.volatile.workers.get_mut(&worker) {
            known.last_heard = self.volatile.clock.now();
        }
        Ok(worker)
    }

    /// Handles a message about a lease with `handler`, or revokes the lease if this process of the
    /// worker does not hold it.
    fn with_lease(
        &mut self,
        session: SessionId,
        id: LeaseId,
        handler: impl FnOnce(&mut Self, &HeldLease) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let worker = self.renew(session)?;
        let Some(lease) = self.lease_held_by(&worker, id).cloned() else {
            self.revoke(session, id);
            return Ok(());
        };
        let held = HeldLease { id, lease, worker, session };
        let result = handler(self, &held);
        if let Err(Halt::Refused(Refusal::InvalidReport(message))) = &result {
            // The worker would report the same after it reconnects. The report counts against the
            // trial, so that this ends.
            let cause = LeaseEnd::InvalidReport { message: message.clone() };
            self.lose_lease(id, &held.lease, cause, Some(WorkerLost::Alone))?;
        }
        result
    }

    /// Notes that a worker has connected or disconnected, so that `before` of them were connected
    /// before. The views of sweeps only say whether there is any.
    fn mark_workers_changed(&mut self, before: usize) {
        if (before == 0) == self.volatile.sessions.is_empty() {
            return;
        }
        let unfinished = self.record.sweeps().values().filter(|s| !s.state().is_final());
        let unfinished: Vec<SweepId> = unfinished.map(|sweep| sweep.id()).collect();
        unfinished.into_iter().for_each(|sweep| self.volatile.mark_changed(sweep));
    }

    /// Accepts a new connection of a worker and compares what both sides know of its leases.
    fn welcome(
        &mut self,
        session: SessionId,
        token: Option<TokenId>,
        hello: &Hello,
    ) -> Result<(), Halt> {
        self.check_hello(session, hello, token.as_ref())?;
        let connected = self.volatile.sessions.len();
        let earlier = self.volatile.workers.remove(&hello.worker);
        if let Some(old) = earlier.as_ref().and_then(|worker| worker.session) {
            self.volatile.sessions.remove(&old);
            self.changes.close(old, Refusal::Replaced(hello.worker.clone()));
        }
        let same_process = earlier.filter(|worker| worker.incarnation == hello.incarnation);
        let is_draining = hello.draining || same_process.is_some_and(|worker| worker.is_draining);
        let worker = Worker {
            session: Some(session),
            incarnation: hello.incarnation,
            token,
            slots: hello.slots,
            is_draining,
            can_park: hello.can_park,
            has_declined: false,
            stuck: 0,
            waiting: BTreeSet::new(),
            last_heard: self.volatile.clock.now(),
        };
        self.forget_parked(&hello.worker);
        self.forget_unable(&hello.worker);
        let due = worker.last_heard.saturating_add(self.config.lease_ttl_ms).saturating_add(1);
        self.volatile.silences.insert(due, hello.worker.clone());
        self.volatile.workers.insert(hello.worker.clone(), worker);
        self.reschedule_worker(&hello.worker);
        self.volatile.sessions.insert(session, hello.worker.clone());
        let lease_ttl_ms = self.config.lease_ttl_ms;
        let heartbeat_ms = (lease_ttl_ms / 4).max(1);
        let (store, keeps_checkpoints) = (self.store, true);
        let welcome = ToWorker::Welcome { heartbeat_ms, lease_ttl_ms, store, keeps_checkpoints };
        self.changes.send(session, welcome);
        if is_draining && !hello.draining {
            self.changes.send(session, ToWorker::Drain);
        }
        self.mark_workers_changed(connected);
        self.reconcile_leases(session, hello)?;
        self.park_excess(&hello.worker)?;
        Ok(())
    }

    fn check_hello(
        &self,
        session: SessionId,
        hello: &Hello,
        token: Option<&TokenId>,
    ) -> Result<(), Refusal> {
        if hello.protocol != PROTOCOL {
            return Err(Refusal::WrongProtocol(hello.protocol));
        }
        if self.volatile.sessions.contains_key(&session) {
            return Err(Refusal::NoHello);
        }
        let workers = &self.volatile.workers;
        let known = workers.get(&hello.worker);
        if workers.len() >= MAX_WORKERS && known.is_none() {
            return Err(Refusal::TooManyWorkers);
        }
        let other_process = known.filter(|worker| worker.incarnation != hello.incarnation);
        let foreign = other_process.filter(|it| it.token.is_some() && it.token.as_ref() != token);
        if let Some(other) = foreign {
            let state = if other.session.is_some() { "is connected" } else { "may return" };
            return Err(Refusal::ForeignWorker { worker: hello.worker.clone(), state });
        }
        // Two live processes of one name would take each other's leases indefinitely. A process
        // that was killed has no connection any more.
        let is_connected =
            other_process.is_some_and(|worker| worker.session.is_some() && !self.is_silent(worker));
        if is_connected {
            return Err(Refusal::Connected(hello.worker.clone()));
        }
        Ok(())
    }

    /// Ends the leases that the record has and the worker does not hold. Gives those back that have
    /// only expired, and revokes the others that the worker holds and the record does not have.
    /// Leases of another store have other numbers; the worker forgets them itself.
    fn reconcile_leases(&mut self, session: SessionId, hello: &Hello) -> Result<(), Broken> {
        let held: &[LeaseId] = if hello.store == Some(self.store) { &hello.held } else { &[] };
        let recorded: Vec<LeaseId> = self.record.held_leases(&hello.worker).collect();
        let is_of_another_process = |id: &LeaseId| {
            let lease = self.record.lease(*id);
            lease.is_some_and(|lease| lease.incarnation() != Some(hello.incarnation))
        };
        let (lost, own): (Vec<LeaseId>, Vec<LeaseId>) =
            recorded.into_iter().partition(is_of_another_process);
        self.lose_worker(&lost, &LeaseEnd::WorkerRestarted)?;
        for id in own.into_iter().filter(|id| !held.contains(id)) {
            if let Some(lease) = self.record.lease(id).cloned() {
                self.lose_lease(id, &lease, LeaseEnd::NotHeld, None)?;
            }
        }
        for id in held {
            // A lease whose result is stored is acknowledged when the worker repeats the result.
            if self.lease_held_by(&hello.worker, *id).is_none()
                && !self.record.has_result(*id)
                && !self.give_back((&hello.worker, hello.incarnation), *id)?
            {
                self.revoke(session, *id);
            }
        }
        Ok(())
    }

    fn revoke(&mut self, session: SessionId, lease: LeaseId) {
        let reason = "the lease is no longer in force".to_owned();
        self.changes.send(session, ToWorker::Revoke { lease, reason });
    }

    /// Forgets a closed connection. The worker keeps its leases; without any, it is forgotten too,
    /// unless it was asked to drain: it may return without having heard that.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        let connected = self.volatile.sessions.len();
        if let Some(worker) = self.volatile.sessions.remove(&session)
            && let Some(known) = self.volatile.workers.get_mut(&worker)
            && known.session == Some(session)
        {
            known.session = None;
            let is_draining = known.is_draining;
            if self.record.held_leases(&worker).next().is_none() && !is_draining {
                self.forget_worker(&worker);
            } else {
                self.reschedule_worker(&worker);
            }
            self.mark_workers_changed(connected);
        }
    }

    /// Forgets what a worker said that it cannot train.
    fn forget_unable(&mut self, worker: &Name) {
        let changed = self.volatile.unable.forget_worker(worker);
        changed.into_iter().for_each(|sweep| self.volatile.mark_changed(sweep));
    }

    /// True if the worker was silent for longer than a lease lasts.
    fn is_silent(&self, worker: &Worker) -> bool {
        let silent = self.volatile.clock.now().saturating_sub(worker.last_heard);
        silent > self.config.lease_ttl_ms
    }

    /// Ends the leases of silent workers, forgets those workers, and gives the other workers
    /// another chance at what they could not train. Part of every tick, and the last part of it.
    pub(crate) fn expire_workers(&mut self) -> Result<(), Broken> {
        let now = self.volatile.clock.now();
        for name in std::mem::take(&mut self.volatile.declined) {
            if let Some(worker) = self.volatile.workers.get_mut(&name) {
                worker.has_declined = false;
            }
            self.reschedule_worker(&name);
        }
        let changed = self.volatile.unable.expire(now);
        changed.into_iter().for_each(|sweep| self.volatile.mark_changed(sweep));
        while let Some(name) = self.volatile.silences.take_due(now) {
            let Some(worker) = self.volatile.workers.get(&name) else { continue };
            if self.is_silent(worker) {
                self.expire_worker(name)?;
            } else {
                let ttl_ms = self.config.lease_ttl_ms;
                let due = worker.last_heard.saturating_add(ttl_ms).saturating_add(1);
                self.volatile.silences.insert(due, name);
            }
        }
        Ok(())
    }

    /// Ends the leases of trainings that hang. Part of every tick. One that has not begun is not to
    /// blame.
    pub(crate) fn end_stalled_trainings(&mut self) -> Result<(), Broken> {
        let now = self.volatile.clock.now();
        // A worker says at least once in the lease duration which of its trainings have not begun.
        let least = self.config.least_stall_ms.max(self.config.lease_ttl_ms);
        while let Some(id) = self.volatile.progress.take_stalled(now, least) {
            let Some(lease) = self.record.lease(id).cloned() else { continue };
            let worker = lease.worker().and_then(|worker| self.volatile.workers.get(worker));
            let has_begun = worker.is_none_or(|worker| !worker.waiting.contains(&id));
            let lost = has_begun.then_some(WorkerLost::Alone);
            self.lose_lease(id, &lease, LeaseEnd::Stalled, lost)?;
            self.revoke_from(&lease, id, "the training reported no epoch for too long");
        }
        Ok(())
    }

    /// Tells the worker that held a lease that it has ended.
    pub(crate) fn revoke_from(&mut self, lease: &Lease, id: LeaseId, reason: &str) {
        let worker = lease.worker().and_then(|worker| self.volatile.workers.get(worker));
        if let Some(session) = worker.and_then(|worker| worker.session) {
            let reason = reason.to_owned();
            self.changes.send(session, ToWorker::Revoke { lease: id, reason });
        }
    }

    /// Forgets a worker without leases.
    fn forget_worker(&mut self, name: &Name) -> Option<Worker> {
        let worker = self.volatile.workers.remove(name);
        self.reschedule_worker(name);
        self.forget_unable(name);
        self.volatile.progress.forget_worker(name);
        worker
    }

    fn expire_worker(&mut self, name: Name) -> Result<(), Broken> {
        let leases: Vec<LeaseId> = self.record.held_leases(&name).collect();
        self.lose_worker(&leases, &LeaseEnd::Expired)?;
        let connected = self.volatile.sessions.len();
        let worker = self.forget_worker(&name);
        if let Some(session) = worker.and_then(|worker| worker.session) {
            self.volatile.sessions.remove(&session);
            let ttl_ms = self.config.lease_ttl_ms;
            self.changes.close(session, Refusal::Silent { worker: name, ttl_ms });
            self.mark_workers_changed(connected);
        }
        Ok(())
    }

    pub(crate) fn drain_worker(&mut self, name: &Name) -> Result<Reply, Halt> {
        let worker = self.volatile.workers.get_mut(name);
        let worker = worker.ok_or_else(|| Refusal::NoSuchWorker(name.clone()))?;
        // A worker that received the message says in every later Hello that it drains. Without a
        // connection, a restart of the coordinator would forget the request.
        let session = worker.session.ok_or_else(|| Refusal::Away(name.clone()))?;
        if !worker.is_draining {
            worker.is_draining = true;
            self.changes.send(session, ToWorker::Drain);
            self.forget_parked(name);
            self.reschedule_worker(name);
        }
        Ok(Reply::Done)
    }
}
