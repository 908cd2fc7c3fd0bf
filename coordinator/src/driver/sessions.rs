//! The connections of workers, as the driver sees them: one bounded outbox each.

use std::collections::BTreeMap;

use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::SessionId;
use caviar_common::limits::MAX_WORKERS;
use caviar_common::message::ToWorker;
use caviar_core::input::Refusal;
use tokio::sync::mpsc;

/// Connections at once: every worker's, and some that are being replaced.
const MAX_SESSIONS: usize = MAX_WORKERS + 1_000;

/// Something to say on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// A message.
    Message(ToWorker),
    /// The end of the connection, and why.
    Close(CloseReason),
}

/// Why this side ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The state machine does not take what was said.
    #[error("{0}")]
    Refused(Refusal),
    /// What was said is no message.
    #[error("{0}")]
    Malformed(Problem),
    /// The other side does not read what it is sent.
    #[error("the worker reads too slowly: {0} messages wait for it; hint: it may connect again")]
    Slow(usize),
    /// The other side said nothing after connecting.
    #[error("no Hello came within {0} s of connecting")]
    Silent(u64),
    /// This side is shutting down.
    #[error("the coordinator is stopping; hint: connect again when it is back")]
    Stopping,
}

impl CloseReason {
    /// What the other side can do about it.
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

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, mpsc::Sender<Outgoing>>,
    stopping: bool,
}

impl Sessions {
    /// Whether there was room for one more.
    pub(super) fn insert(&mut self, session: SessionId, outbox: mpsc::Sender<Outgoing>) -> bool {
        let accepted = !self.stopping && self.open.len() < MAX_SESSIONS;
        if accepted {
            self.open.insert(session, outbox);
        }
        accepted
    }

    /// Says something. False if the session had to be closed for it: it does not read what it is
    /// sent.
    #[must_use]
    pub(super) fn say(&mut self, session: SessionId, message: ToWorker) -> bool {
        let Some(outbox) = self.open.get(&session) else { return true };
        // The driver alone sends here, and leaves the last place to the reason of the close.
        if outbox.capacity() > 1 && outbox.try_send(Outgoing::Message(message)).is_ok() {
            return true;
        }
        let waiting = outbox.max_capacity() - outbox.capacity();
        self.close(session, Some(CloseReason::Slow(waiting)));
        false
    }

    /// Ends a connection. Whether it was open.
    pub(super) fn close(&mut self, session: SessionId, reason: Option<CloseReason>) -> bool {
        let Some(outbox) = self.open.remove(&session) else { return false };
        if let Some(reason) = reason {
            // Where nobody listens any more, nobody needs to know.
            let _ = outbox.try_send(Outgoing::Close(reason));
        }
        true
    }

    pub(super) fn close_all(&mut self) {
        self.stopping = true;
        for (_, outbox) in std::mem::take(&mut self.open) {
            // As in `close`.
            let _ = outbox.try_send(Outgoing::Close(CloseReason::Stopping));
        }
    }
}
