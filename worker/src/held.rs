//! One lease that a worker holds: its stage, and what the coordinator has not been sent yet.

use caviar_common::ids::{AttemptNumber, LeaseId, Name, TrialNumber};
use caviar_common::message::{Checkpoint, Finished, FromWorker, Grant, Release, StoredModel};

use crate::outbox::{Epochs, Outbox};

/// One execution of a trial, as log lines name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the sweep that the trial belongs to.
    pub sweep: Name,
    /// The trial's number in its sweep.
    pub trial: TrialNumber,
    /// Which execution of the trial this is.
    pub number: AttemptNumber,
}

/// The stage of a held lease.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Waits for a slot: a runner that was told to stop still uses it, or the trial was parked
    /// before it started.
    Waiting(Box<Grant>),
    /// A runner trains it in a slot.
    Running,
    /// Its runner waits at a mini-batch and uses no slot.
    Parked,
    /// It has ended. The coordinator has not acknowledged the result yet.
    Finished { result: Box<Finished>, is_sent: bool },
    /// Its runner was told to leave. When that has ended and everything is sent, the lease is
    /// released.
    Leaving { has_ended: bool },
}

/// The model of a trial, which is stored before the result is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// No model is stored: none is wanted, or it could not be stored.
    None,
    /// It is being stored.
    Storing,
    /// It is stored.
    Stored(StoredModel),
}

#[derive(Debug)]
pub(crate) struct HeldLease {
    pub(crate) attempt: Attempt,
    pub(crate) stage: Stage,
    /// The coordinator wants the trial parked. After it was unparked, its stage remains `Parked`
    /// until a slot is free.
    pub(crate) should_park: bool,
    pub(crate) outbox: Outbox,
    /// Why the runner trains from the first epoch, until that is acknowledged, and whether it was
    /// sent on the current connection.
    pub(crate) restarted: Option<(String, bool)>,
    /// Checkpoints that are being stored.
    pub(crate) storing: u32,
    /// The model of the trial.
    pub(crate) model: Model,
    /// The newest checkpoint that is stored, and whether it was sent on the current connection.
    pub(crate) checkpoint: Option<(Checkpoint, bool)>,
}

impl HeldLease {
    /// A lease that waits for a slot.
    pub(crate) fn new(grant: Box<Grant>) -> Self {
        let attempt =
            Attempt { sweep: grant.sweep_name.clone(), trial: grant.trial, number: grant.attempt };
        Self {
            attempt,
            stage: Stage::Waiting(grant),
            should_park: false,
            outbox: Outbox::default(),
            restarted: None,
            storing: 0,
            model: Model::None,
            checkpoint: None,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_) | Stage::Running | Stage::Parked)
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.outbox.has_unsent()
            || matches!(self.restarted, Some((_, false)))
            || self.has_unsent_checkpoint()
            || self.is_done()
            || self.has_unsent_result()
    }

    pub(crate) fn has_unsent_checkpoint(&self) -> bool {
        matches!(self.checkpoint, Some((_, false)))
    }

    /// True if the result can be sent: it is known, and its model is stored.
    fn has_unsent_result(&self) -> bool {
        matches!(self.stage, Stage::Finished { is_sent: false, .. }) && self.model != Model::Storing
    }

    /// True if the lease is released as soon as everything is sent.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Leaving { has_ended: true }) && self.storing == 0
    }

    /// Notes that the coordinator has stored the epochs up to this one, and with them that the
    /// training began again, which is sent before the first of them.
    pub(crate) fn acknowledge(&mut self, epoch: u32) {
        self.outbox.acknowledge(epoch);
        self.restarted.take_if(|(_, is_sent)| *is_sent);
    }

    /// The next unsent message: first the epochs, then the checkpoint, which the coordinator only
    /// accepts after its epochs, and then the result or the release.
    pub(crate) fn next_message(&mut self, lease: LeaseId) -> Option<FromWorker> {
        if let Some((reason, is_sent @ false)) = &mut self.restarted {
            *is_sent = true;
            return Some(FromWorker::Restarted { lease, reason: reason.clone() });
        }
        if let Some(Epochs { points, seconds }) = self.outbox.next_report() {
            return Some(FromWorker::Report { lease, points, seconds: Some(seconds) });
        }
        if let Some((checkpoint, is_sent @ false)) = &mut self.checkpoint {
            *is_sent = true;
            return Some(FromWorker::Checkpointed { lease, checkpoint: *checkpoint });
        }
        if self.is_done() {
            return Some(FromWorker::Released { lease, release: Release::Drained });
        }
        let model = match self.model {
            Model::Storing => return None,
            Model::None => None,
            Model::Stored(model) => Some(model),
        };
        match &mut self.stage {
            Stage::Finished { result, is_sent } if !*is_sent => {
                *is_sent = true;
                let result = Finished { model, ..Finished::clone(result) };
                Some(FromWorker::Finished { lease, result })
            }
            Stage::Finished { .. }
            | Stage::Leaving { .. }
            | Stage::Waiting(_)
            | Stage::Running
            | Stage::Parked => None,
        }
    }

    /// Marks everything unacknowledged as unsent, for a new connection.
    pub(crate) fn rewind(&mut self) {
        self.outbox.rewind();
        if let Some((_, is_sent)) = &mut self.restarted {
            *is_sent = false;
        }
        if let Some((_, is_sent)) = &mut self.checkpoint {
            *is_sent = false;
        }
        if let Stage::Finished { is_sent, .. } = &mut self.stage {
            *is_sent = false;
        }
    }
}
