//! Training: one thread for every trial in work.
//!
//! [`Runners`] does what the agent commands and answers over a bounded channel: a
//! [`RunnerEvent::Epoch`] for every epoch, and one [`RunnerEvent::Ended`] for every start, whatever
//! happens in the thread.

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
use crate::control::Control;
use crate::data::Wanted;
use crate::memory::{Memory, MemoryLimit, Refused};

/// The runners of a worker. Dropping it tells all of them to stop.
#[derive(Debug)]
pub(crate) struct Runners {
    memory: Arc<Memory>,
    events: mpsc::Sender<RunnerEvent>,
    controls: BTreeMap<LeaseId, Arc<Control>>,
}

impl Runners {
    /// No runner yet; what they will say goes to `events`. A runner waits while that channel is
    /// full, and while there is no `memory` left.
    pub(crate) fn new(events: mpsc::Sender<RunnerEvent>, memory: Option<MemoryLimit>) -> Self {
        Self { memory: Arc::new(Memory::new(memory)), events, controls: BTreeMap::new() }
    }

    /// Starts to train.
    ///
    /// # Errors
    /// The system refuses another thread. Nothing more will be heard of this start.
    pub(crate) fn start(&mut self, grant: Box<Grant>) -> std::io::Result<()> {
        let lease = grant.lease;
        let control = Arc::new(Control::default());
        let slot = Slot::new(self, &control);
        let name = format!("trial-{}", grant.trial);
        thread::Builder::new().name(name).spawn(move || slot.work(&grant))?;
        self.controls.insert(lease, control);
        Ok(())
    }

    /// Tells a runner to stop at the next mini-batch.
    pub(crate) fn cancel(&self, lease: LeaseId) {
        if let Some(control) = self.controls.get(&lease) {
            control.stop();
            self.memory.wake();
        }
    }

    /// Tells a runner to wait at the next mini-batch, or to wait no longer.
    pub(crate) fn hold(&self, lease: LeaseId, held: bool) {
        if let Some(control) = self.controls.get(&lease) {
            control.hold(held);
        }
    }

    /// A runner has ended.
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

/// What one thread has at hand.
struct Slot {
    memory: Arc<Memory>,
    events: mpsc::Sender<RunnerEvent>,
    control: Arc<Control>,
    /// When it began to train; reading the data, waiting for memory and being held do not count.
    began: Cell<Instant>,
    /// The last epoch done. It is kept here because a training that fails has to say it too.
    last: Cell<Option<EpochMetrics>>,
    /// Bytes that the training may allocate, once it has begun.
    bytes: Cell<Option<u64>>,
}

impl Slot {
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

    fn work(&self, grant: &Grant) {
        let lease = grant.lease;
        let span = tracing::info_span!("trial", sweep = %grant.sweep_name, trial = %grant.trial, attempt = %grant.attempt);
        let end = span.in_scope(|| self.guarded(|| self.end(self.train(grant))));
        // The receiver is gone only when the worker is.
        let _gone = self.events.blocking_send(RunnerEvent::Ended { lease, end });
    }

    /// A bug in a training must cost this trial alone, and must be heard of.
    fn guarded(&self, work: impl FnOnce() -> End) -> End {
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
            // This machine is to blame, not the trial: its settings, its data, or its memory.
            Err(TrialError::Train(error @ TrainError::Kernels { .. })) => {
                End::Unable { message: error.to_string() }
            }
            Err(TrialError::Refused(error @ Refused::Data(_))) => {
                End::Unable { message: error.to_string() }
            }
            Err(TrialError::Refused(error @ Refused::TooLarge { .. })) => {
                End::TooLarge { message: error.to_string() }
            }
            Err(TrialError::Train(error @ TrainError::OutOfMemory { .. })) => {
                End::TooLarge { message: error.to_string() }
            }
            Err(error) => self.finished(Outcome::Failed { message: error.to_string() }, None),
        }
    }

    /// Trains to the end; none if it was told to stop.
    fn train(&self, grant: &Grant) -> Result<Option<(Outcome, Option<Score>)>, TrialError> {
        let spec = train_spec(&grant.fixed, &grant.assignment).map_err(TrialError::Spec)?;
        let wanted = Wanted { data: &grant.data, seed: grant.seed, digest: &grant.digest };
        let place = self
            .memory
            .enter(grant.lease, self.control.stopped(), wanted, |data| trial_bytes(&spec, data))?;
        let Some(place) = place else { return Ok(None) };
        self.began.set(Instant::now());
        self.bytes.set(Some(place.bytes()));
        tracing::info!(memory = %ByteSize(place.bytes()), "trial started");
        let mut trainer = Trainer::new(&spec, place.data(), grant.seed, u64::from(grant.trial.0))?;
        let go_on = || self.go_on();
        while trainer.epochs_done() < spec.epochs {
            let Some(metrics) = trainer.epoch(&go_on)? else { return Ok(None) };
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

    /// Waits while it is held; whether it may train on.
    fn go_on(&self) -> bool {
        let waited = self.control.wait();
        self.began.set(self.began.get() + waited.unwrap_or_default());
        waited.is_some()
    }

    /// Whether anybody listens still.
    fn report(&self, lease: LeaseId, metrics: EpochMetrics) -> bool {
        tracing::debug!(
            epoch = metrics.epoch,
            loss = metrics.validation.loss,
            accuracy = metrics.validation.accuracy,
            "epoch done"
        );
        self.events.blocking_send(RunnerEvent::Epoch { lease, metrics }).is_ok()
    }

    fn finished(&self, outcome: Outcome, test: Option<Score>) -> End {
        let seconds = self.began.get().elapsed().as_secs_f64();
        End::Finished(Finished {
            outcome,
            last: self.last.get(),
            test,
            seconds,
            memory_bytes: self.bytes.get(),
        })
    }
}

/// Why a trial cannot be trained.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error("{0}")]
    Spec(Problem),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Train(#[from] TrainError),
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it left no message")
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
