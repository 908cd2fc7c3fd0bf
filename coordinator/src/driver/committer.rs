//! The committer's thread: it stores one batch after another, and carries out what waited for it.
//!
//! Nothing is sent or shown before the commit of the events that led to it. A failed commit ends
//! this thread and with it the driver; every waiting request fails.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use caviar_core::input::Effect;
use tokio::sync::mpsc;

use super::batch::{AfterCommit, Batch};
use super::command::Command;
use super::engine::{LostSessions, UnderWay};
use super::log::log;
use super::published::Sweeps;
use super::sessions::{CloseReason, LostSession, Sessions};
use super::snapshots::Snapshots;
use crate::store::{Store, StoreError};

/// Batches after which some rows of deleted sweeps are removed, although more batches wait.
const TIDY_EVERY: u32 = 16;

/// How often an idle committer looks whether a snapshot is encoded.
const ENCODING_TIME: Duration = Duration::from_millis(100);

/// The store, the sessions of workers, and the views of sweeps.
pub(super) struct Committer {
    store: Box<dyn Store>,
    sessions: Sessions,
    sweeps: Arc<Sweeps>,
    lost: LostSessions,
    under_way: UnderWay,
    snapshots: Snapshots,
    /// Wakes the driver.
    driver: mpsc::WeakSender<Command>,
}

/// Tells the driver when it is dropped that the committer's thread ends, also by a panic.
pub(super) struct Ending {
    under_way: UnderWay,
    driver: mpsc::WeakSender<Command>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.under_way.end();
        wake(&self.driver);
    }
}

/// Wakes the driver, in case it waits for a command. One whose queue is full is awake.
fn wake(driver: &mpsc::WeakSender<Command>) {
    if let Some(driver) = driver.upgrade() {
        drop(driver.try_send(Command::Wake));
    }
}

impl Committer {
    pub(super) fn new(
        store: Box<dyn Store>,
        sweeps: Arc<Sweeps>,
        (lost, under_way, snapshots): (LostSessions, UnderWay, Snapshots),
        driver: mpsc::WeakSender<Command>,
    ) -> Self {
        let sessions = Sessions::default();
        Self { store, sessions, sweeps, lost, under_way, snapshots, driver }
    }

    /// Stores batches until the driver ends.
    pub(super) fn run(&mut self, batches: &Receiver<Batch>) -> Result<(), StoreError> {
        // A crash may have left rows of deleted sweeps.
        let (mut is_untidy, mut is_saving, mut since) = (true, false, 0);
        loop {
            let wait = match is_untidy || is_saving {
                true => Duration::ZERO,
                // What is being encoded is saved although no batch comes.
                false if self.snapshots.is_encoding() => ENCODING_TIME,
                false => Duration::MAX,
            };
            let is_idle = match batches.recv_timeout(wait) {
                Ok(batch) => {
                    is_untidy |= self.commit(batch)?;
                    self.under_way.remove();
                    wake(&self.driver);
                    since += 1;
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => {
                    return self.snapshots.finish(self.store.as_mut());
                }
            };
            is_saving = self.snapshots.save_some(self.store.as_mut())?;
            if is_untidy && (is_idle || since >= TIDY_EVERY) {
                (is_untidy, since) = (self.store.tidy()?, 0);
            }
        }
    }

    /// What tells the driver that this thread ends.
    pub(super) fn ending(&self) -> Ending {
        Ending { under_way: self.under_way.clone(), driver: self.driver.clone() }
    }

    /// Stores a batch and carries it out. Returns true if it has deleted a sweep.
    fn commit(&mut self, batch: Batch) -> Result<bool, StoreError> {
        let Batch { stored, changes, after, capture, .. } = batch;
        if !stored.events.is_empty() {
            self.store.append(&stored)?;
        }
        if let Some(capture) = capture {
            self.snapshots.take(capture, self.store.as_ref());
        }
        stored.events.iter().for_each(log);
        self.sweeps.see(&stored.events);
        let has_deleted = changes.iter().any(|(_, published)| published.is_none());
        if !changes.is_empty() {
            self.sweeps.publish(changes);
        }
        after.into_iter().try_for_each(|item| self.carry_out(item))?;
        Ok(has_deleted)
    }

    fn carry_out(&mut self, item: AfterCommit) -> Result<(), StoreError> {
        match item {
            // The requester may be gone.
            AfterCommit::Reply(sender, reply) => drop(sender.send(reply)),
            AfterCommit::Deliver(deliver) => deliver(),
            // The client may be gone.
            AfterCommit::Answer(sender, answer) => drop(sender.send(answer)),
            // The engine sends answers to those who wait for them.
            AfterCommit::Effect(Effect::Changed(_) | Effect::Answer(..)) => {}
            AfterCommit::Effect(Effect::Send(session, message)) => {
                if let Err(lost) = self.sessions.send(session, message) {
                    match lost {
                        LostSession::Slow => {
                            tracing::warn!(
                                session = session.0,
                                "closed a session that does not read"
                            );
                        }
                        LostSession::Gone => {
                            tracing::debug!(session = session.0, "the worker of a session is gone");
                        }
                    }
                    // The driver is told after this batch.
                    self.lost.push(session);
                }
            }
            AfterCommit::Effect(Effect::Close(session, refusal)) => {
                tracing::warn!(session = session.0, %refusal, "closed a session");
                self.sessions.close(session, Some(CloseReason::Refused(refusal)));
            }
            AfterCommit::Open(session, outbox, reply) => {
                let is_accepted = self.sessions.insert(session, outbox);
                if reply.send(is_accepted).is_err() {
                    // The requester is gone and will never close the session.
                    self.sessions.close(session, None);
                }
            }
            AfterCommit::Close(session, reason) => {
                self.sessions.close(session, reason);
            }
            AfterCommit::CloseAll => self.sessions.close_all(),
            AfterCommit::ForgetSnapshot(sweep) => {
                return self.snapshots.forget(self.store.as_mut(), sweep);
            }
        }
        Ok(())
    }
}
