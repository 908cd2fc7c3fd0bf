//! What can be asked of the driver.

use std::fmt;

use caviar_common::ids::SessionId;
use caviar_core::Coordinator;
use caviar_core::input::{ClientReply, Input, Refusal, Reply, WaiterId};
use tokio::sync::{mpsc, oneshot};

use super::batch::Delivery;
use super::sessions::{CloseReason, Outgoing};

/// Reads the state, and returns what sends the result once everything in it is stored.
pub(super) type View = Box<dyn FnOnce(&Coordinator) -> Delivery + Send>;
pub(super) type ReplySender = oneshot::Sender<Result<Reply, Refusal>>;
pub(super) type AnswerSender = oneshot::Sender<Result<ClientReply, Refusal>>;

/// What can be asked of the driver.
pub(super) enum Command {
    Apply {
        input: Input,
        reply: Option<ReplySender>,
    },
    /// A request of an external client, with the input's waiter and the sender of its answer.
    Ask {
        input: Input,
        waiter: WaiterId,
        answer: AnswerSender,
    },
    Read(View),
    Open {
        session: SessionId,
        outbox: mpsc::Sender<Outgoing>,
        reply: oneshot::Sender<bool>,
    },
    Close {
        session: SessionId,
        reason: Option<CloseReason>,
    },
    CloseAll,
    /// A batch was carried out, or the committer has ended.
    Wake,
    Stop,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply { .. } => "Apply",
            Self::Ask { .. } => "Ask",
            Self::Read(_) => "Read",
            Self::Open { .. } => "Open",
            Self::Close { .. } => "Close",
            Self::CloseAll => "CloseAll",
            Self::Wake => "Wake",
            Self::Stop => "Stop",
        })
    }
}
