//! Training: one thread for each running or parked trial.
//!
//! [`Runners`] carries out the agent's commands and reports over a bounded channel. It sends one
//! [`RunnerEvent::Epoch`] per epoch and exactly one [`RunnerEvent::Ended`] per start, even if the
//! thread panics.
//!
//! A runner writes a checkpoint every 30 seconds of training, if the one before is stored, and when
//! it is told to leave. A training that is expected to take less than twice as long writes none.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use caviar_common::blob::Blob;
use caviar_common::error::Problem;
use caviar_common::hyper::train_spec;
use caviar_common::ids::LeaseId;
use caviar_common::message::{Finished, Grant, KeepRule};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::numbers::to_u64;
use caviar_common::outcome::{Job, Outcome};
use caviar_nn::{TrainError, Trainer, trial_bytes};
use tokio::sync::mpsc;

use crate::agent::{End, ModelBytes, RunnerEvent, State};
use crate::cache::Blobs;
use crate::checkpoints::CheckpointError;
use crate::control::{Control, Fetched};
use crate::data::DataKey;
use crate::memory::{AdmissionError, Memory, MemoryLimit};

/// The runners of a worker. Dropping this stops all of them at their next mini-batch.
#[derive(Debug)]
pub(crate) struct Runners {
    memory: Arc<Memory>,
    events: mpsc::Sender<RunnerEvent>,
    controls: BTreeMap<LeaseId, Arc<Control>>,
    /// Training time between two checkpoints of a runner; `None` to write none.
    checkpoint_every: Option<Duration>,
}

impl Runners {
    /// Without any runner yet. Runners report to `events`, and wait while that channel is full. A
    /// runner that would exceed `memory` waits until it fits; `None` sets no limit. Data that the
    /// coordinator keeps comes from `blobs`; `None` to read it at its path.
    pub(crate) fn new(
        events: mpsc::Sender<RunnerEvent>,
        memory: Option<MemoryLimit>,
        blobs: Option<Blobs>,
        checkpoint_every: Option<Duration>,
    ) -> Self {
        let memory = Arc::new(Memory::new(memory, blobs));
        Self { memory, events, controls: BTreeMap::new(), checkpoint_every }
    }

    /// Starts a thread that trains the grant. If the grant has a checkpoint, the thread asks for it
    /// with [`RunnerEvent::Resumes`] and waits for [`Self::deliver`].
    ///
    /// # Errors
    /// The system refuses another thread. No event follows for this start.
    pub(crate) fn start(&mut self, grant: Box<Grant>) -> std::io::Result<()> {
        let lease = grant.lease;
        let control = Arc::new(Control::default());
        let runner = Runner::new(self, &control);
        let name = format!("trial-{}", grant.trial);
        thread::Builder::new().name(name).spawn(move || runner.run(&grant))?;
        self.controls.insert(lease, control);
        Ok(())
    }

    /// Stops a runner at its next mini-batch. No-op if the lease has no runner.
    pub(crate) fn cancel(&self, lease: LeaseId) {
        if let Some(control) = self.controls.get(&lease) {
            control.stop();
            self.memory.wake();
        }
    }

    /// Lets a runner write a checkpoint and end at its next mini-batch. No-op if the lease has no
    /// runner.
    pub(crate) fn leave(&self, lease: LeaseId) {
        if let Some(control) = self.controls.get(&lease) {
            control.leave();
            self.memory.wake();
        }
    }

    /// Hands a runner the checkpoint of its grant. No-op if the lease has no runner.
    pub(crate) fn deliver(&self, lease: LeaseId, fetched: Fetched) {
        if let Some(control) = self.controls.get(&lease) {
            control.deliver(fetched);
        }
    }

    /// Notes that the checkpoint that a runner wrote last is stored or given up.
    pub(crate) fn checkpoint_handled(&self, lease: LeaseId) {
        if let Some(control) = self.controls.get(&lease) {
            control.set_storing(false);
        }
    }

    /// Parks a runner at its next mini-batch, or lets a parked runner continue. No-op if the lease
    /// has no runner.
    pub(crate) fn set_parked(&self, lease: LeaseId, parked: bool) {
        if let Some(control) = self.controls.get(&lease) {
            control.set_parked(parked);
        }
    }

    /// The runners that wait for memory, or for data or a checkpoint that is on its way.
    pub(crate) fn waiting(&self) -> Vec<LeaseId> {
        let waiting = self.controls.iter().filter(|(_, control)| control.flags().waits());
        waiting.map(|(lease, _)| *lease).collect()
    }

    /// Drops the controls of a runner that has ended.
    pub(crate) fn forget(&mut self, lease: LeaseId) {
        self.controls.remove(&lease);
    }
}

impl Drop for Runners {
    fn drop(&mut self) {
        self.controls.values().for_each(|control| control.stop());
        self.memory.wake();
    }
}

/// The state of one runner's thread.
struct Runner {
    memory: Arc<Memory>,
    events: mpsc::Sender<RunnerEvent>,
    control: Arc<Control>,
    /// When training began. It is moved forward by the time spent parked, so that the training
    /// time excludes that, reading the data and waiting for memory.
    began: Cell<Instant>,
    /// Training time of earlier attempts until the checkpoint, in seconds.
    before: Cell<f64>,
    checkpoint_every: Option<Duration>,
    /// When the next checkpoint is due; `None` to write none.
    due: Cell<Option<Instant>>,
    /// A mini-batch was trained since the last checkpoint. Otherwise a checkpoint that takes longer
    /// than the time between two of them would be followed by the next one.
    has_moved: Cell<bool>,
    /// The last completed epoch. It is kept here because a failed training reports it too.
    last: Cell<Option<EpochMetrics>>,
    /// The bytes that the training may allocate; `None` before it begins.
    bytes: Cell<Option<u64>>,
}

impl Runner {
    fn new(runners: &Runners, control: &Arc<Control>) -> Self {
        Self {
            memory: Arc::clone(&runners.memory),
            events: runners.events.clone(),
            control: Arc::clone(control),
            began: Cell::new(Instant::now()),
            before: Cell::new(0.0),
            checkpoint_every: runners.checkpoint_every,
            due: Cell::new(None),
            has_moved: Cell::new(false),
            last: Cell::new(None),
            bytes: Cell::new(None),
        }
    }

    fn run(&self, grant: &Grant) {
        let lease = grant.lease;
        let span = tracing::info_span!(
            "trial",
            sweep = %grant.sweep_name,
            trial = %grant.trial,
            attempt = %grant.attempt,
        );
        let end = span.in_scope(|| self.catch_panic(|| self.end(self.train(grant))));
        // The receiver is closed only when the worker exits.
        let _closed = self.events.blocking_send(RunnerEvent::Ended { lease, end });
    }

    /// Turns a panic into a failed trial, so that a bug in the training is reported and costs only
    /// this trial.
    fn catch_panic(&self, work: impl FnOnce() -> End) -> End {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message =
                format!("the training panicked, which is a bug in Caviar: {}", panic_text(&*panic));
            self.finished(Outcome::Failed { message }, None)
        })
    }

    fn end(&self, trained: Result<Option<(Outcome, Option<Score>)>, TrialError>) -> End {
        match trained {
            Ok(Some((outcome, test))) => self.finished(outcome, test),
            Ok(None) => End::Cancelled,
            // These are faults of this machine and not of the trial: its settings, its data, its
            // memory or its network. The trial is given back, so that another worker can train it.
            Err(TrialError::Train(error @ TrainError::Kernels { .. })) => {
                End::Unable { message: error.to_string() }
            }
            Err(error @ TrialError::Checkpoint(_)) => End::Unable { message: error.to_string() },
            Err(TrialError::Admission(error @ AdmissionError::Data(_))) => {
                End::Unable { message: error.to_string() }
            }
            Err(TrialError::Admission(error @ AdmissionError::TooLarge { .. })) => {
                End::TooLarge { message: error.to_string() }
            }
            Err(TrialError::Train(error @ TrainError::OutOfMemory { .. })) => {
                End::TooLarge { message: error.to_string() }
            }
            Err(error) => self.finished(Outcome::Failed { message: error.to_string() }, None),
        }
    }

    /// Trains to the end and returns the outcome and, for [`Job::Score`], the score on the test
    /// split. Returns `None` if the runner was stopped.
    fn train(&self, grant: &Grant) -> Result<Option<(Outcome, Option<Score>)>, TrialError> {
        let spec = train_spec(&grant.fixed, &grant.assignment).map_err(TrialError::Spec)?;
        let key = DataKey {
            data: &grant.data,
            seed: grant.seed,
            digest: &grant.digest,
            block: grant.block,
        };
        let admission = self.memory.admit(grant.lease, self.control.flags(), key, |data| {
            trial_bytes(&spec, data, &grant.objective)
        })?;
        let Some(admission) = admission else { return Ok(None) };
        self.began.set(Instant::now());
        self.bytes.set(Some(admission.bytes()));
        tracing::info!(memory = %ByteSize(admission.bytes()), "trial started");
        let trial = u64::from(grant.replays.unwrap_or(grant.trial).0);
        let trainer = Trainer::new(&spec, admission.data(), grant.seed, trial)?;
        let trainer = trainer.with_data_digest(&grant.digest);
        let mut trainer = trainer.with_objective(&grant.objective)?;
        if let Some(checkpoint) = grant.checkpoint
            && !self.resume(grant.lease, checkpoint.blob, &mut trainer)?
        {
            return Ok(None);
        }
        if grant.job == Job::Train {
            self.due.set(self.checkpoint_every.map(|every| Instant::now() + every));
        }
        self.train_epochs(grant, spec.epochs, &mut trainer)
    }

    /// Trains the rest of the epochs.
    fn train_epochs(
        &self,
        grant: &Grant,
        epochs: u32,
        trainer: &mut Trainer,
    ) -> Result<Option<(Outcome, Option<Score>)>, TrialError> {
        let may_continue = || self.wait_while_parked() && !self.is_checkpoint_due();
        loop {
            let last = trainer.last();
            self.last.set(last);
            if last.is_some_and(|last| !last.is_finite()) {
                return Ok(Some((Outcome::Diverged, None)));
            }
            if trainer.epochs_done() >= epochs {
                break;
            }
            let goes_on = match trainer.epoch(&may_continue)? {
                Some(metrics) => grant.job == Job::Score || self.report(grant.lease, metrics),
                None => self.write_checkpoint(grant, trainer)?,
            };
            if !goes_on {
                return Ok(None);
            }
        }
        let test = if grant.job == Job::Score { trainer.test()? } else { None };
        self.keep(grant, trainer);
        Ok(Some((Outcome::Completed, test)))
    }

    /// Sends the model of a completed training to where it is stored, if the sweep wants it. A
    /// model that cannot be made costs only itself.
    fn keep(&self, grant: &Grant, trainer: &mut Trainer) {
        let counting = trainer.counting();
        let value = counting.and_then(|metrics| metrics.get(&grant.objective.metric));
        let is_wanted = grant.objective.cost(value).is_some_and(|cost| match grant.keep {
            KeepRule::Nothing => false,
            KeepRule::All => true,
            KeepRule::UpTo(worst) => cost <= worst,
        });
        let Some(metrics) = counting.filter(|_| is_wanted && grant.job == Job::Train) else {
            return;
        };
        let kept = trainer.keep(grant.sweep_name.as_str()).map_err(|error| error.to_string());
        match kept.and_then(|kept| kept.to_bytes().map_err(|error| error.to_string())) {
            Ok(bytes) => {
                let model = ModelBytes { epoch: metrics.epoch, bytes: Arc::new(bytes) };
                let event = RunnerEvent::Model { lease: grant.lease, model: Box::new(model) };
                // The receiver is closed only when the worker exits.
                let _closed = self.events.blocking_send(event);
            }
            Err(error) => tracing::warn!("the model of the trial is not kept: {error}"),
        }
    }

    /// Asks for the checkpoint of the grant and continues from it. If it is lost, the training
    /// begins with the first epoch. False if the runner was stopped.
    fn resume(
        &self,
        lease: LeaseId,
        blob: Blob,
        trainer: &mut Trainer,
    ) -> Result<bool, TrialError> {
        if self.events.blocking_send(RunnerEvent::Resumes { lease, blob }).is_err() {
            return Ok(false);
        }
        let Some(fetched) = self.control.wait_for_checkpoint() else { return Ok(false) };
        self.began.set(Instant::now());
        let restored = match fetched {
            Ok(bytes) => trainer.restore(&bytes).map_err(|error| error.to_string()),
            Err(CheckpointError::Lost(reason)) => Err(format!("no checkpoint: {reason}")),
            // Another worker may be able to fetch it.
            Err(
                error @ (CheckpointError::Unreachable(_)
                | CheckpointError::Unavailable(_)
                | CheckpointError::Refused(_)),
            ) => {
                return Err(TrialError::Checkpoint(error));
            }
        };
        Ok(match restored {
            Ok(seconds) => {
                self.before.set(seconds);
                let (epoch, batch) = (trainer.epochs_done(), trainer.batches_done());
                tracing::info!(epoch, batch, seconds, "resumed from a checkpoint");
                true
            }
            Err(reason) => {
                tracing::warn!("training from the first epoch: {reason}");
                self.events.blocking_send(RunnerEvent::Restarted { lease, reason }).is_ok()
            }
        })
    }

    /// True if the training should be interrupted for a checkpoint before the next mini-batch.
    fn is_checkpoint_due(&self) -> bool {
        let is_due = self.has_moved.get()
            && self.due.get().is_some_and(|due| Instant::now() >= due)
            && !self.control.is_storing();
        self.has_moved.set(!is_due);
        is_due
    }

    /// Writes the checkpoint for which the training was interrupted, unless the trial is short.
    /// False if the runner should end.
    fn write_checkpoint(&self, grant: &Grant, trainer: &Trainer) -> Result<bool, TrialError> {
        let is_stopped = self.control.flags().stopped().load(Ordering::Acquire);
        let (Some(every), Job::Train) = (self.checkpoint_every, grant.job) else {
            return Ok(!is_stopped);
        };
        if is_stopped && !self.control.leaves() {
            return Ok(false);
        }
        self.due.set(Some(Instant::now() + every));
        let seconds = self.seconds();
        // Nothing is done before the first mini-batch, and there is nothing to save.
        let expected = seconds / trainer.share_done();
        if !expected.is_finite() || expected < 2.0 * every.as_secs_f64() {
            return Ok(!is_stopped);
        }
        let (epoch, batch) = (trainer.epochs_done(), to_u64(trainer.batches_done()));
        let bytes = Arc::new(trainer.checkpoint(seconds)?);
        tracing::debug!(epoch, batch, bytes = bytes.len(), "checkpoint written");
        self.control.set_storing(true);
        let state = Box::new(State { epoch, batch, bytes });
        let event = RunnerEvent::Checkpoint { lease: grant.lease, state };
        Ok(self.events.blocking_send(event).is_ok() && !is_stopped)
    }

    /// Blocks while the runner is parked. False if it was stopped.
    fn wait_while_parked(&self) -> bool {
        let waited = self.control.wait_while_parked();
        self.began.set(self.began.get() + waited.unwrap_or_default());
        waited.is_some()
    }

    /// Sends the metrics of an epoch to the driver. False if the driver no longer receives events.
    fn report(&self, lease: LeaseId, metrics: EpochMetrics) -> bool {
        tracing::debug!(
            epoch = metrics.epoch,
            loss = metrics.validation.loss,
            accuracy = metrics.validation.accuracy,
            "epoch done"
        );
        let seconds = self.seconds();
        self.events.blocking_send(RunnerEvent::Epoch { lease, metrics, seconds }).is_ok()
    }

    fn finished(&self, outcome: Outcome, test: Option<Score>) -> End {
        End::Finished(Finished {
            outcome,
            last: self.last.get(),
            test,
            seconds: self.seconds(),
            memory_bytes: self.bytes.get(),
            // The agent adds it once it is stored.
            model: None,
        })
    }

    /// Training time so far, with that before the checkpoint.
    fn seconds(&self) -> f64 {
        self.before.get() + self.began.get().elapsed().as_secs_f64()
    }
}

/// Why a trial could not be trained to an outcome.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error("{0}")]
    Spec(Problem),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error("this worker cannot fetch the checkpoint of the trial: {0}")]
    Checkpoint(CheckpointError),
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// The message of a panic. Panics with a formatted text carry a `String`, those with a literal a
/// `&str`.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
