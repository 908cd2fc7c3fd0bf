//! Training: one thread for each running or parked trial.
//!
//! [`Runners`] carries out the agent's commands and reports over a bounded channel. It sends one
//! [`RunnerEvent::Epoch`] per epoch and exactly one [`RunnerEvent::Ended`] per start, even if the
//! thread panics.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytesize::ByteSize;
use caviar_common::error::Problem;
use caviar_common::hyper::train_spec;
use caviar_common::ids::LeaseId;
use caviar_common::message::{Finished, Grant};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Job, Outcome};
use caviar_nn::{TrainError, Trainer, trial_bytes};
use tokio::sync::mpsc;

use crate::agent::{End, RunnerEvent};
use crate::cache::Blobs;
use crate::control::Control;
use crate::data::DataKey;
use crate::memory::{AdmissionError, Memory, MemoryLimit};

/// The runners of a worker. Dropping this stops all of them at their next mini-batch.
#[derive(Debug)]
pub(crate) struct Runners {
    memory: Arc<Memory>,
    events: mpsc::Sender<RunnerEvent>,
    controls: BTreeMap<LeaseId, Arc<Control>>,
}

impl Runners {
    /// Without any runner yet. Runners report to `events`, and wait while that channel is full. A
    /// runner that would exceed `memory` waits until it fits; `None` sets no limit. Data that the
    /// coordinator keeps comes from `blobs`; `None` to read it at its path.
    pub(crate) fn new(
        events: mpsc::Sender<RunnerEvent>,
        memory: Option<MemoryLimit>,
        blobs: Option<Blobs>,
    ) -> Self {
        Self { memory: Arc::new(Memory::new(memory, blobs)), events, controls: BTreeMap::new() }
    }

    /// Starts a thread that trains the grant.
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

    /// Parks a runner at its next mini-batch, or lets a parked runner continue. No-op if the lease
    /// has no runner.
    pub(crate) fn set_parked(&self, lease: LeaseId, parked: bool) {
        if let Some(control) = self.controls.get(&lease) {
            control.set_parked(parked);
        }
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
            // These are faults of this machine and not of the trial: its settings, its data or its
            // memory. The trial is given back, so that another worker can train it.
            Err(TrialError::Train(error @ TrainError::Kernels { .. })) => {
                End::Unable { message: error.to_string() }
            }
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
        let admission = self
            .memory
            .admit(grant.lease, self.control.stopped(), key, |data| trial_bytes(&spec, data))?;
        let Some(admission) = admission else { return Ok(None) };
        self.began.set(Instant::now());
        self.bytes.set(Some(admission.bytes()));
        tracing::info!(memory = %ByteSize(admission.bytes()), "trial started");
        let trial = u64::from(grant.trial.0);
        let mut trainer = Trainer::new(&spec, admission.data(), grant.seed, trial)?;
        let may_continue = || self.wait_while_parked();
        while trainer.epochs_done() < spec.epochs {
            let Some(metrics) = trainer.epoch(&may_continue)? else { return Ok(None) };
            self.last.set(Some(metrics));
            if grant.job == Job::Train && !self.report(grant.lease, metrics) {
                return Ok(None);
            }
            if !metrics.is_finite() {
                return Ok(Some((Outcome::Diverged, None)));
            }
        }
        let test = if grant.job == Job::Score { trainer.test()? } else { None };
        Ok(Some((Outcome::Completed, test)))
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
        })
    }

    /// Training time so far.
    fn seconds(&self) -> f64 {
        self.began.get().elapsed().as_secs_f64()
    }
}

/// Why a trial could not be trained to an outcome.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error("{0}")]
    Spec(Problem),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
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
