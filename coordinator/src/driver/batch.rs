//! What the driver hands to the committer.

use std::fmt;

use caviar_common::assignment::Assignment;
use caviar_common::ids::{SessionId, SweepId};
use caviar_common::metric::Point;
use caviar_core::event::{Event, Payload, StoredAssignment};
use caviar_core::input::{ClientReply, Effect, Refusal, Reply};
use caviar_core::snapshot::Capture;
use tokio::sync::{mpsc, oneshot};

use super::published::Change;
use super::sessions::{CloseReason, Outgoing};
use crate::store;

/// Events after which a batch is full. It takes about 50 ms to store them.
const MAX_EVENTS: usize = 8_192;
/// Events after which a batch is large: the commit takes longer for them than for its sync.
const MANY_EVENTS: usize = 256;
/// Bytes of events, as estimated, after which a batch is full.
const MAX_BYTES: usize = 8 << 20;

/// Sends the result of a view.
pub(super) type Delivery = Box<dyn FnOnce() + Send>;

/// What waits for the commit.
pub(super) enum AfterCommit {
    Reply(oneshot::Sender<Result<Reply, Refusal>>, Result<Reply, Refusal>),
    Answer(oneshot::Sender<Result<ClientReply, Refusal>>, Result<ClientReply, Refusal>),
    Effect(Effect),
    Deliver(Delivery),
    Open(SessionId, mpsc::Sender<Outgoing>, oneshot::Sender<bool>),
    Close(SessionId, Option<CloseReason>),
    CloseAll,
    /// A part of this sweep in the last snapshot is damaged.
    ForgetSnapshot(SweepId),
}

impl fmt::Debug for AfterCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply(..) => "Reply",
            Self::Answer(..) => "Answer",
            Self::Effect(_) => "Effect",
            Self::Deliver(_) => "Deliver",
            Self::Open(..) => "Open",
            Self::Close(..) => "Close",
            Self::CloseAll => "CloseAll",
            Self::ForgetSnapshot(_) => "ForgetSnapshot",
        })
    }
}

/// The events of one commit, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) stored: store::Batch,
    /// The views that the events have changed.
    pub(super) changes: Vec<Change>,
    /// In this order.
    pub(super) after: Vec<AfterCommit>,
    /// The state after the events, if a snapshot is due.
    pub(super) capture: Option<Capture>,
    bytes: usize,
}

impl Batch {
    pub(super) fn add(&mut self, events: Vec<Event>, effects: Vec<Effect>) {
        self.bytes += events.iter().map(estimated_bytes).sum::<usize>();
        self.stored.events.extend(events);
        self.after.extend(effects.into_iter().map(AfterCommit::Effect));
    }

    /// True if the batch should be stored before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.stored.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }

    /// True if handing the batch over early is worth a commit of its own.
    pub(super) fn is_large(&self) -> bool {
        self.stored.events.len() >= MANY_EVENTS || self.bytes >= MAX_BYTES / 8
    }

    /// True if there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        let has_nothing_to_store = self.stored.events.is_empty() && self.capture.is_none();
        has_nothing_to_store && self.changes.is_empty() && self.after.is_empty()
    }

    pub(super) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.after.iter().filter_map(|item| {
            if let AfterCommit::Effect(effect) = item { Some(effect) } else { None }
        })
    }
}

/// About how many bytes an event takes in the store and in memory.
fn estimated_bytes(event: &Event) -> usize {
    const FIXED: usize = 256;
    match &event.payload {
        // Sweeps are created rarely, and may have a megabyte of choices.
        Payload::SweepCreated(created) => {
            let texts = created.warm_start.iter().map(|(assignment, _)| text_bytes(assignment));
            let spec = serde_json::to_string(&created.spec).map_or(0, |text| text.len());
            FIXED + spec + texts.sum::<usize>()
        }
        Payload::TrialSampled(sampled) => match &sampled.assignment {
            StoredAssignment::Compact(_) => 4 * FIXED,
            StoredAssignment::Named(assignment) => FIXED + text_bytes(assignment),
        },
        Payload::EpochRecorded(recorded) => FIXED + 64 * recorded.metrics.value_count(),
        Payload::EpochsRecorded(recorded) => {
            FIXED + 64 * recorded.points.iter().map(Point::value_count).sum::<usize>()
        }
        Payload::TrialsAsked(asked) => FIXED + 64 * asked.granted.len(),
        Payload::SweepPaused
        | Payload::SweepResumed
        | Payload::SweepResized(_)
        | Payload::SweepExtended(_)
        | Payload::LeaseRestored(_)
        | Payload::LossWithdrawn(_)
        | Payload::SweepCancelled
        | Payload::SweepDeleted(_)
        | Payload::SweepCompleted
        | Payload::LeaseGranted(_)
        | Payload::LeaseEnded(_)
        | Payload::TrialFinished(_)
        | Payload::TrialPassed(_)
        | Payload::TrialStopped(_)
        | Payload::TrialDecided(_)
        | Payload::ScoringStarted(_)
        | Payload::WinnerScored(_)
        | Payload::CheckpointChanged(_) => FIXED,
    }
}

fn text_bytes(assignment: &Assignment) -> usize {
    let values = assignment.iter();
    values.map(|(name, value)| 32 + name.len() + value.as_str().map_or(0, str::len)).sum()
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Value;
    use caviar_common::ids::{SweepId, TrialNumber};
    use caviar_common::reason::{Reason, Source};
    use caviar_core::event::TrialSampled;

    use super::*;

    #[test]
    fn a_batch_is_full_when_its_events_are_many_or_large() {
        let paused = || Event::new(SweepId(1), Payload::SweepPaused);
        let mut batch = Batch::default();
        batch.add((1..MAX_EVENTS).map(|_| paused()).collect(), Vec::new());
        assert!(!batch.is_full());
        batch.add(vec![paused()], Vec::new());
        assert!(batch.is_full());
        let sampled = || {
            let text = Value::Text("x".repeat(4_096).into());
            let values = (0..64).map(|i| (format!("p{i}"), text.clone()));
            let sampled = TrialSampled {
                trial: TrialNumber(0),
                assignment: StoredAssignment::Named(values.collect()),
                reason: Reason::from_source(Source::Random),
                sides: None,
                epochs: 1,
                start: 0,
                end: 1,
                due: None,
            };
            Event::new(SweepId(1), sampled)
        };
        let mut batch = Batch::default();
        batch.add((0..40).map(|_| sampled()).collect(), Vec::new());
        assert!(batch.is_full(), "40 assignments of 256 KiB");
    }
}
