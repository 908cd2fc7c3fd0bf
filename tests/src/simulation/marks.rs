//! Marks: how often each fault and each rare branch was reached.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{LeaseId, SweepId, TrialNumber};
use caviar_common::message::{Stored, ToWorker};
use caviar_common::outcome::{Job, Outcome};
use caviar_core::event::{Event, LeaseEnd, LeaseEnded, Payload, WorkerLost};
use caviar_core::input::{Effect, Refusal};
use caviar_core::state::SUSPECT_LOSSES;

/// Defines [`Mark`] and the list of all marks.
macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A fault or a rare branch.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[$doc])* $name,)*
        }

        impl Mark {
            /// All marks, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

marks! {
    /// The connection of a worker broke.
    Break,
    /// The process of a worker crashed.
    Crash,
    /// The coordinator restarted from its events.
    Restart,
    /// The coordinator crashed before it had stored the events of an input.
    LostBatch,
    /// A worker has another number of slots after a crash.
    SlotsChanged,
    /// The coordinator restarted from a snapshot and the events after it.
    RestartFromSnapshot,
    /// A sweep that had ended was loaded, because an input needed it.
    LoadEndedSweep,
    /// The coordinator restarted while a sampler was thinking.
    RestartWithoutSampler,
    /// The coordinator restarted while an external client waited for trials.
    RestartWithoutWaiter,
    /// The coordinator restarted while a trial was parked.
    RestartWithoutParked,
    /// All workers were silent.
    Silence,
    /// The coordinator was stopped for a long time.
    LongStop,
    /// A training or a scoring hung.
    Hang,
    /// A hung runner that was told to stop occupied its slot for a while.
    SlowCancel,
    /// A worker declined a job.
    Declined,
    /// A worker could not train a sweep.
    Unable,
    /// A trial was too large for a worker.
    TooLarge,
    /// A worker was offered again what it could not train minutes before.
    OfferedAgain,
    /// An operator drained a worker.
    Drain,
    /// A worker was stopped and gave its leases back.
    Stop,
    /// A drained worker finished its trials and exited.
    Exit,
    /// An operator released a trial.
    Release,
    /// An operator changed how many trials are in flight.
    Resize,
    /// An operator added trials.
    Extend,
    /// The lease of a silent worker was given back to it.
    LeaseRestored,
    /// The lease on a scoring was given back.
    ScoringRestored,
    /// A worker returned after another one had taken its trial, and its loss was withdrawn.
    LossWithdrawn,
    /// An operator paused a sweep.
    Pause,
    /// An operator resumed a sweep.
    Resume,
    /// The coordinator restarted while a sweep was paused.
    RestartWhilePaused,
    /// An operator created another sweep.
    Create,
    /// An operator repeated the request for a sweep.
    CreateRepeated,
    /// An operator cancelled a sweep.
    Cancel,
    /// An operator deleted a sweep.
    Delete,
    /// A sampler replied after its sweep was cancelled.
    SampledAfterCancel,
    /// A sampler replied after its sweep was deleted.
    SampledAfterDelete,
    /// A cancelled sweep had leases in force.
    CancelWithLeases,
    /// A cancelled sweep had clients that waited for trials.
    CancelWithWaiters,
    /// A worker was silent for too long and lost a lease.
    Expired,
    /// Another process of the same name replaced the holder of a lease.
    WorkerRestarted,
    /// A worker reconnected without a lease, or declined it.
    NotHeld,
    /// A worker that stopped gave a lease back.
    Drained,
    /// A hung training lost its lease.
    Stalled,
    /// A trial lost its lease to an operator.
    Released,
    /// A worker gave a lease back that it cannot train.
    LeaseUnable,
    /// An external client was silent for too long and lost a lease.
    ClientExpired,
    /// A lost worker counted against one trial.
    LostAlone,
    /// A lost worker counted against several trials.
    LostShared,
    /// A lost worker did not count against a trial that had made progress.
    LostBlameless,
    /// A trial became a suspect.
    Suspect,
    /// A suspect was placed on a worker.
    SuspectPlaced,
    /// A suspect reported an epoch and is no suspect any more.
    SuspectCleared,
    /// The scoring of a winner lost its lease.
    ScoringLost,
    /// A hung scoring lost its lease.
    ScoringStalled,
    /// A trial was parked.
    Park,
    /// A parked trial continued.
    Unpark,
    /// A worker reconnected with more leases than slots.
    MoreLeasesThanSlots,
    /// A worker reconnected with a lease that had ended.
    Revoke,
    /// A running trial was stopped at a rung.
    StopRunning,
    /// A trial was stopped at a rung.
    TrialStopped,
    /// A trial passed a rung.
    TrialPassed,
    /// A worker repeated a result, which was acknowledged again.
    ResultRepeated,
    /// A connection was refused because another process has the name.
    NameInUse,
    /// A connection was closed because its worker was silent.
    ClosedSilent,
    /// An external client was silent.
    ClientSilence,
    /// An external client crashed.
    ClientCrash,
    /// The reply to an external client was lost.
    ReplyLost,
    /// An external client sent a request twice.
    RequestRepeated,
    /// A repeated ask was answered from the record.
    AskFromRecord,
    /// A repeated ask came while the first one waited.
    AskTwiceWaiting,
    /// An ask was answered with several trials.
    SeveralTrials,
    /// An impatient ask was answered without trials.
    EmptyImpatient,
    /// A patient ask was answered in a later step.
    PatientLater,
    /// A client stopped waiting.
    StopWaiting,
    /// An ask was answered after its sweep was over.
    AskOver,
    /// A report was answered with a verdict to stop.
    StopVerdict,
    /// A result was told of a trial that had been stopped at a rung.
    ToldStopped,
    /// A report or result was answered in a later step, because a sampler was thinking.
    AnsweredLater,
    /// A report named an epoch that was recorded before.
    EpochRepeated,
    /// A result was told twice.
    TellRepeated,
    /// A message named a lease that had ended.
    StaleLease,
    /// A client named a sweep that was deleted.
    ClientOfDeleted,
    /// Trials were granted to a client that had crashed.
    GrantedToNobody,
    /// A trial that crashed its workers was given up.
    GivenUp,
    /// An external trial failed.
    ExternalFailed,
    /// An external trial diverged.
    ExternalDiverged,
    /// A checkpoint was recorded.
    Checkpoint,
    /// A training continued from a checkpoint.
    Resumed,
    /// A training could not use its checkpoint.
    Restarted,
    /// A checkpoint was dropped.
    CheckpointDropped,
}

/// How often each mark was reached.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    counts: BTreeMap<Mark, u64>,
    suspects: BTreeSet<(SweepId, TrialNumber)>,
    scorings: BTreeSet<SweepId>,
    client_leases: BTreeSet<LeaseId>,
}

impl Marks {
    /// How often a mark was reached.
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts.get(&mark).copied().unwrap_or_default()
    }

    /// The marks that were never reached.
    pub fn missing(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| self.count(*mark) == 0).collect()
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (mark, count) in &other.counts {
            *self.counts.entry(*mark).or_default() += count;
        }
    }

    pub(super) fn add(&mut self, mark: Mark) {
        *self.counts.entry(mark).or_default() += 1;
    }

    pub(super) fn add_if(&mut self, condition: bool, mark: Mark) {
        if condition {
            self.add(mark);
        }
    }

    /// Counts what events show.
    pub(super) fn see_events(&mut self, events: &[Event]) {
        for event in events {
            let sweep = event.sweep;
            match &event.payload {
                Payload::LeaseEnded(ended) => self.see_lost_lease(sweep, ended),
                Payload::LeaseGranted(granted) => {
                    let is_suspect = self.suspects.contains(&(sweep, granted.trial));
                    self.add_if(is_suspect && granted.job == Job::Train, Mark::SuspectPlaced);
                }
                Payload::EpochsRecorded(recorded) => {
                    let was_suspect = self.suspects.remove(&(sweep, recorded.trial));
                    self.add_if(was_suspect, Mark::SuspectCleared);
                }
                Payload::TrialsAsked(asked) => {
                    self.add_if(asked.granted.len() > 1, Mark::SeveralTrials);
                    self.client_leases.extend(asked.granted.iter().map(|it| it.lease));
                }
                Payload::TrialFinished(finished) => match &finished.outcome {
                    Outcome::Failed { .. } if finished.seconds.is_none() => self.add(Mark::GivenUp),
                    Outcome::Failed { .. } => self.add(Mark::ExternalFailed),
                    Outcome::Diverged if finished.memory_bytes.is_none() => {
                        self.add(Mark::ExternalDiverged);
                    }
                    Outcome::Completed | Outcome::Diverged => {}
                },
                Payload::ScoringStarted(_) => {
                    self.scorings.insert(sweep);
                }
                Payload::CheckpointChanged(changed) => self.add(match changed.checkpoint {
                    Some(_) => Mark::Checkpoint,
                    None => Mark::CheckpointDropped,
                }),
                Payload::TrialPassed(_) => self.add(Mark::TrialPassed),
                Payload::TrialStopped(_) => self.add(Mark::TrialStopped),
                Payload::SweepResized(_) => self.add(Mark::Resize),
                Payload::SweepExtended(_) => self.add(Mark::Extend),
                Payload::LeaseRestored(restored) => {
                    self.add(Mark::LeaseRestored);
                    self.add_if(self.scorings.contains(&sweep), Mark::ScoringRestored);
                    self.see_withdrawn((sweep, restored.trial), restored.losses);
                }
                Payload::LossWithdrawn(withdrawn) => {
                    self.add(Mark::LossWithdrawn);
                    self.see_withdrawn((sweep, withdrawn.trial), withdrawn.losses);
                }
                Payload::SweepPaused => self.add(Mark::Pause),
                Payload::SweepResumed => self.add(Mark::Resume),
                Payload::SweepCancelled => self.add(Mark::Cancel),
                Payload::SweepDeleted(_) => self.add(Mark::Delete),
                Payload::SweepCreated(_)
                | Payload::TrialSampled(_)
                | Payload::EpochRecorded(_)
                | Payload::TrialDecided(_)
                | Payload::WinnerScored(_)
                | Payload::SweepCompleted => {}
            }
        }
    }

    /// A loss did not count after all.
    fn see_withdrawn(&mut self, trial: (SweepId, TrialNumber), losses: u32) {
        if losses < SUSPECT_LOSSES {
            self.suspects.remove(&trial);
        }
    }

    fn see_lost_lease(&mut self, sweep: SweepId, ended: &LeaseEnded) {
        let is_scoring = self.scorings.contains(&sweep);
        self.add_if(is_scoring, Mark::ScoringLost);
        self.add_if(is_scoring && ended.cause == LeaseEnd::Stalled, Mark::ScoringStalled);
        self.add(match &ended.cause {
            LeaseEnd::Expired if self.client_leases.contains(&ended.lease) => Mark::ClientExpired,
            LeaseEnd::Expired => Mark::Expired,
            LeaseEnd::WorkerRestarted => Mark::WorkerRestarted,
            LeaseEnd::NotHeld => Mark::NotHeld,
            LeaseEnd::Drained => Mark::Drained,
            LeaseEnd::Stalled => Mark::Stalled,
            LeaseEnd::Released => Mark::Released,
            LeaseEnd::Unable { .. } => Mark::LeaseUnable,
            LeaseEnd::InvalidReport { message } => panic!("an impossible report: {message}"),
        });
        match (&ended.cause, ended.lost_worker) {
            (_, Some(WorkerLost::Alone)) => self.add(Mark::LostAlone),
            (_, Some(WorkerLost::Shared)) => self.add(Mark::LostShared),
            (LeaseEnd::Expired | LeaseEnd::WorkerRestarted, None) => self.add(Mark::LostBlameless),
            (_, None) => {}
        }
        if ended.losses.is_some_and(|losses| losses >= SUSPECT_LOSSES)
            && !is_scoring
            && self.suspects.insert((sweep, ended.trial))
        {
            self.add(Mark::Suspect);
        }
    }

    /// Counts what effects show.
    pub(super) fn see_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send(_, ToWorker::Park { .. }) => self.add(Mark::Park),
                Effect::Send(_, ToWorker::Unpark { .. }) => self.add(Mark::Unpark),
                Effect::Send(_, ToWorker::Stop { .. }) => self.add(Mark::StopRunning),
                Effect::Send(_, ToWorker::Revoke { .. }) => self.add(Mark::Revoke),
                Effect::Close(_, Refusal::Connected(_)) => self.add(Mark::NameInUse),
                Effect::Close(_, Refusal::Silent { .. }) => self.add(Mark::ClosedSilent),
                Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) | Effect::Changed(_) => {}
            }
        }
    }

    /// Counts a repeated result, which is acknowledged without an event.
    pub(super) fn see_result(&mut self, events: &[Event], effects: &[Effect]) {
        let is_acknowledged = effects.iter().any(|effect| {
            matches!(effect, Effect::Send(_, ToWorker::Ack { stored: Stored::Finished, .. }))
        });
        self.add_if(is_acknowledged && events.is_empty(), Mark::ResultRepeated);
    }
}
