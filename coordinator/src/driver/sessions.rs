//! The connections of workers, as the driver sees them: a bounded outbox for each.

use std::collections::BTreeMap;

use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::SessionId;
use caviar_common::limits::MAX_WORKERS;
use caviar_common::message::ToWorker;
use caviar_core::input::Refusal;
use tokio::sync::mpsc;

/// Connections at a time: one for each worker, and some that are being replaced.
const MAX_SESSIONS: usize = MAX_WORKERS + 1_000;

/// Something to send on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// A message to the worker.
    Message(ToWorker),
    /// The end of the connection, with the reason for it.
    Close(CloseReason),
}

/// Why the coordinator closes a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The state machine refused a message.
    #[error("{0}")]
    Refused(Refusal),
    /// The worker sent something that is not a message.
    #[error("{0}")]
    Malformed(Problem),
    /// The worker does not read what it is sent.
    #[error("the worker reads too slowly: {0} messages wait for it; hint: it may connect again")]
    Slow(usize),
    /// The worker sent nothing after it had connected.
    #[error("no Hello arrived within {0} s of connecting")]
    Silent(u64),
    /// The coordinator is shutting down.
    #[error("the coordinator is stopping; hint: connect again when it is back")]
    Stopping,
}

impl CloseReason {
    /// The error class, which tells the worker what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::Malformed(_) => ErrorClass::Invalid,
            Self::Slow(_) => ErrorClass::Busy,
            Self::Silent(_) => ErrorClass::Refused,
            Self::Stopping => ErrorClass::Unavailable,
        }
    }
}

/// Why a session was closed instead of sending on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostSession {
    /// The worker does not read what it is sent.
    Slow,
    /// The connection has ended, and nothing reads the outbox any more.
    Gone,
}

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, mpsc::Sender<Outgoing>>,
    stopping: bool,
}

impl Sessions {
    /// Adds a session. Returns false if there are too many.
    pub(super) fn insert(&mut self, session: SessionId, outbox: mpsc::Sender<Outgoing>) -> bool {
        let accepted = !self.stopping && self.open.len() < MAX_SESSIONS;
        if accepted {
            self.open.insert(session, outbox);
        }
        accepted
    }

    /// Queues a message, if the session is open.
    ///
    /// # Errors
    /// The session was closed instead, because its outbox is full or nothing reads it any more.
    pub(super) fn send(
        &mut self,
        session: SessionId,
        message: ToWorker,
    ) -> Result<(), LostSession> {
        let Some(outbox) = self.open.get(&session) else { return Ok(()) };
        // Only the committer sends here. It keeps the last place free for the reason of the close.
        if !outbox.is_closed() && outbox.capacity() <= 1 {
            let waiting = outbox.max_capacity() - outbox.capacity();
            self.close(session, Some(CloseReason::Slow(waiting)));
            return Err(LostSession::Slow);
        }
        outbox.try_send(Outgoing::Message(message)).map_err(|_| {
            self.close(session, None);
            LostSession::Gone
        })
    }

    /// Closes a session. Returns false if it was not open.
    pub(super) fn close(&mut self, session: SessionId, reason: Option<CloseReason>) -> bool {
        let Some(outbox) = self.open.remove(&session) else { return false };
        if let Some(reason) = reason {
            // The worker's task may be gone already.
            let _ = outbox.try_send(Outgoing::Close(reason));
        }
        true
    }

    /// Closes all sessions, and accepts no more.
    pub(super) fn close_all(&mut self) {
        self.stopping = true;
        for (_, outbox) in std::mem::take(&mut self.open) {
            // As in `close`.
            let _ = outbox.try_send(Outgoing::Close(CloseReason::Stopping));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_whose_connection_is_gone_is_not_one_that_does_not_read() {
        let mut sessions = Sessions::default();
        let session = SessionId(1);
        for (places, read, expected) in [
            (8, true, Ok(())),
            (1, true, Err(LostSession::Slow)),
            (8, false, Err(LostSession::Gone)),
            (1, false, Err(LostSession::Gone)),
        ] {
            let (outbox, inbox) = mpsc::channel(places);
            let _inbox = read.then_some(inbox);
            assert!(sessions.insert(session, outbox));
            assert_eq!(sessions.send(session, ToWorker::Drain), expected, "{places} {read}");
            assert_eq!(sessions.close(session, None), expected.is_ok());
            assert_eq!(sessions.send(session, ToWorker::Drain), Ok(()), "it is closed");
        }
    }
}
