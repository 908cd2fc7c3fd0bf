//! What can be asked of the driver.

use std::fmt;

use caviar_common::ids::{SessionId, SweepId};
use caviar_core::Coordinator;
use caviar_core::input::{ClientReply, Input, Refusal, Reply, WaiterId};
use caviar_core::snapshot::LoadedSweep;
use caviar_core::state::Sweep;
use tokio::sync::{mpsc, oneshot};

use super::batch::{AfterCommit, Delivery};
use super::sessions::{CloseReason, Outgoing};
use crate::store::StoreError;

/// Reads the state, and returns what sends the result once everything in it is stored.
pub(super) type View = Box<dyn FnOnce(&Coordinator) -> Delivery + Send>;
pub(super) type ReplySender = oneshot::Sender<Result<Reply, Refusal>>;
pub(super) type AnswerSender = oneshot::Sender<Result<ClientReply, Refusal>>;

/// What came of loading a sweep: what it lacks, or why that cannot be read.
pub(super) type Loading = (SweepId, Result<Box<LoadedSweep>, StoreError>);

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
    /// Loads a sweep, if it has ended and is not in memory.
    Load {
        sweep: SweepId,
        reply: ReplySender,
    },
    /// A sweep that has ended was loaded, or it cannot be.
    Loaded(Loading),
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

/// The commands that wait for the driver, for use on its thread. When it is dropped, so is every
/// command, also one that is being sent, and those who wait for a reply get an error.
pub(super) struct Queue(pub(super) mpsc::Receiver<Command>);

impl Drop for Queue {
    fn drop(&mut self) {
        // A sender takes a place first and puts its command there a moment later. A receiver that
        // is dropped in between leaves the command, and the channel of its reply, in the queue for
        // as long as there are senders. A closed one waits for the places that were taken.
        self.0.close();
        while self.0.blocking_recv().is_some() {}
    }
}

impl Command {
    /// The sweep that must be loaded before; `None` if the command needs none.
    pub(super) fn needs(&self, core: &Coordinator) -> Option<SweepId> {
        if let Self::Apply { input, .. } | Self::Ask { input, .. } = self {
            return core.needs(input);
        }
        let Self::Load { sweep, .. } = self else { return None };
        core.record().sweep(*sweep).filter(|sweep| !sweep.is_loaded()).map(Sweep::id)
    }

    /// True if the command loads a sweep, which changes nothing.
    pub(super) const fn is_about_loading(&self) -> bool {
        matches!(self, Self::Load { .. } | Self::Loaded(_))
    }

    /// What refuses the command; `None` if nobody waits for a reply.
    pub(super) fn refused(self, refusal: &Refusal) -> Option<AfterCommit> {
        let refusal = refusal.clone();
        if let Self::Ask { answer, .. } = self {
            return Some(AfterCommit::Answer(answer, Err(refusal)));
        }
        let (Self::Apply { reply: Some(reply), .. } | Self::Load { reply, .. }) = self else {
            return None;
        };
        Some(AfterCommit::Reply(reply, Err(refusal)))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply { .. } => "Apply",
            Self::Ask { .. } => "Ask",
            Self::Read(_) => "Read",
            Self::Load { .. } => "Load",
            Self::Loaded(_) => "Loaded",
            Self::Open { .. } => "Open",
            Self::Close { .. } => "Close",
            Self::CloseAll => "CloseAll",
            Self::Wake => "Wake",
            Self::Stop => "Stop",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_is_being_sent_is_dropped_with_the_queue() {
        let (commands, queue) = mpsc::channel(1);
        let place = commands.try_reserve().unwrap();
        let dropping = std::thread::spawn(move || drop(Queue(queue)));
        commands.closed().await;
        let (reply, mut received) = oneshot::channel();
        place.send(Command::Load { sweep: SweepId(1), reply });
        dropping.join().unwrap();
        assert_eq!(received.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
