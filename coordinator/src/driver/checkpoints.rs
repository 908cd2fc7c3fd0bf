//! The blobs of trials in flight, checkpoints and models: which are needed, and which are not any
//! more.

use std::collections::BTreeMap;

use caviar_common::blob::BlobName;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload, TrialFinished};

/// The newest checkpoint of each trial in flight, and the model of each that is completed, as they
/// were after the last commit.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    needed: BTreeMap<(SweepId, TrialNumber), BlobName>,
    models: BTreeMap<(SweepId, TrialNumber), BlobName>,
    outdated: Vec<BlobName>,
}

impl Checkpoints {
    /// Those of a coordinator that was restarted.
    pub(super) fn new(core: &Coordinator) -> Self {
        let needed = core.checkpoints().map(|(sweep, trial, blob)| ((sweep, trial), blob.name));
        let models =
            core.models_in_flight().map(|(sweep, trial, blob)| ((sweep, trial), blob.name));
        Self { needed: needed.collect(), models: models.collect(), outdated: Vec::new() }
    }

    /// True if an event of this kind can change what is needed.
    pub(super) const fn concerns(event: &Event) -> bool {
        matches!(
            event.payload,
            Payload::CheckpointChanged(_)
                | Payload::TrialFinished(_)
                | Payload::TrialStopped(_)
                | Payload::TrialDecided(_)
                | Payload::SweepCancelled
                | Payload::SweepDeleted(_)
        )
    }

    /// Takes an event that was committed.
    pub(super) fn see(&mut self, event: &Event) {
        let sweep = event.sweep;
        if matches!(event.payload, Payload::SweepCancelled | Payload::SweepDeleted(_)) {
            let of_sweep = (sweep, TrialNumber(0))..=(sweep, TrialNumber(u32::MAX));
            let trials: Vec<_> = self.needed.range(of_sweep).map(|(trial, _)| *trial).collect();
            self.outdated.extend(trials.iter().filter_map(|trial| self.needed.remove(trial)));
            // A model of a sweep that is cancelled may be kept. The others have their grace period.
            self.models.retain(|(of, _), _| *of != sweep);
        } else if let Payload::CheckpointChanged(changed) = &event.payload {
            let key = (sweep, changed.trial);
            let before = match &changed.checkpoint {
                Some(checkpoint) => self.needed.insert(key, checkpoint.blob.name),
                None => self.needed.remove(&key),
            };
            self.outdated.extend(before);
        } else {
            if let Payload::TrialFinished(TrialFinished { trial, model: Some(model), .. }) =
                &event.payload
            {
                self.models.insert((sweep, *trial), model.blob.name);
            } else {
                event.trials().into_iter().for_each(|trial| {
                    self.models.remove(&(sweep, trial));
                });
            }
            let ended = event.trials().into_iter();
            self.outdated.extend(ended.filter_map(|trial| self.needed.remove(&(sweep, trial))));
        }
    }

    /// The blobs that are needed.
    pub(super) fn needed(&self) -> impl Iterator<Item = BlobName> {
        self.needed.values().chain(self.models.values()).copied()
    }

    /// Takes the blobs that are not needed any more since the last call.
    pub(super) fn take_outdated(&mut self) -> Vec<BlobName> {
        std::mem::take(&mut self.outdated)
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::blob::Blob;
    use caviar_common::ids::LeaseId;
    use caviar_common::message::Checkpoint;
    use caviar_common::message::StoredModel;
    use caviar_common::outcome::Outcome;
    use caviar_core::event::{CheckpointChanged, TrialDecided, TrialFinished};

    use super::*;

    fn name(number: u8) -> BlobName {
        BlobName::from_hash([number; 32])
    }

    fn changed(sweep: u64, trial: u32, blob: Option<u8>) -> Event {
        let checkpoint = blob.map(|number| Checkpoint {
            epoch: 1,
            batch: 0,
            blob: Blob { name: name(number), bytes: 1 },
        });
        let (trial, lease) = (TrialNumber(trial), LeaseId(1));
        Event::new(SweepId(sweep), CheckpointChanged { trial, lease, checkpoint, reason: None })
    }

    fn finished(sweep: u64, trial: u32, model: Option<u8>) -> Event {
        let blob = |number| Blob { name: name(number), bytes: 1 };
        let finished = TrialFinished {
            trial: TrialNumber(trial),
            lease: LeaseId(1),
            outcome: Outcome::Completed,
            seconds: None,
            memory_bytes: None,
            model: model.map(|number| StoredModel { epoch: 1, blob: blob(number) }),
        };
        Event::new(SweepId(sweep), finished)
    }

    #[test]
    fn the_newest_checkpoint_of_a_trial_in_flight_is_needed() {
        let mut checkpoints = Checkpoints::default();
        let mut after = |event: &Event| {
            assert!(Checkpoints::concerns(event));
            checkpoints.see(event);
            (checkpoints.needed().collect::<Vec<_>>(), checkpoints.take_outdated())
        };
        assert_eq!(after(&changed(1, 0, Some(1))), (vec![name(1)], vec![]));
        assert_eq!(after(&changed(1, 0, Some(2))), (vec![name(2)], vec![name(1)]));
        assert_eq!(after(&changed(1, 0, None)), (vec![], vec![name(2)]));
        after(&changed(1, 1, Some(3)));
        after(&changed(1, 2, Some(4)));
        after(&changed(2, 1, Some(5)));
        assert_eq!(after(&finished(1, 1, None)), (vec![name(4), name(5)], vec![name(3)]));
        let cancelled = Event::new(SweepId(1), Payload::SweepCancelled);
        assert_eq!(after(&cancelled), (vec![name(5)], vec![name(4)]));
    }

    #[test]
    fn the_model_of_a_completed_trial_is_needed_until_the_trial_is_decided() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.see(&finished(1, 1, Some(7)));
        assert_eq!(checkpoints.needed().collect::<Vec<_>>(), [name(7)]);
        let trial = TrialNumber(1);
        let decided = TrialDecided { trial, cost: None, epochs: None };
        let decided = Event::new(SweepId(1), decided);
        assert!(Checkpoints::concerns(&decided));
        checkpoints.see(&decided);
        // If it is kept, it is in the view of the sweep; otherwise it has its grace period.
        assert_eq!((checkpoints.needed().count(), checkpoints.take_outdated()), (0, vec![]));
    }
}
