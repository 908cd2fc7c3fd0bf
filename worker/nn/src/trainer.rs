//! One training: a function of the spec, the data, the sweep's seed and the trial's number, and of
//! nothing else.

use std::ops::Range;
use std::sync::Arc;

use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::train::TrainSpec;

use crate::check::{check_data, check_spec};
use crate::checkpoint::{self, State};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::loss::Tally;
use crate::network::Network;
use crate::optimizer::Updater;
use crate::schedule::learning_rate;
use caviar_data::{Examples, Splits, Targets};

/// Examples that are evaluated at once; more would not be faster.
const EVALUATION_BLOCK: usize = 256;

/// A training, between two epochs. All its memory is allocated when it is made.
///
/// Mini-batches are drawn without replacement in an order that is shuffled anew each epoch. The
/// last may be smaller; one of a single example is merged into the one before it.
pub struct Trainer {
    spec: TrainSpec,
    data: Arc<Splits>,
    sweep_seed: u64,
    trial: u64,
    network: Network,
    updater: Updater,
    /// The rows of the train split, in this epoch's order.
    order: Vec<u32>,
    epochs_done: u32,
    is_abandoned: bool,
}

impl Trainer {
    /// A training before its first epoch, with the family of [`crate::kernel_family`].
    ///
    /// # Errors
    /// A hyperparameter out of range, data that cannot be trained on, a network that is
    /// too large, or `CAVIAR_KERNELS` wrong.
    pub fn new(
        spec: &TrainSpec,
        data: Arc<Splits>,
        sweep_seed: u64,
        trial: u64,
    ) -> Result<Self, TrainError> {
        Self::with_family(Family::of_process()?, spec, data, sweep_seed, trial)
    }

    /// The training from which `checkpoint` was taken, to go on bit for bit. The other arguments
    /// must be what they were then.
    ///
    /// # Errors
    /// As [`Self::new`], or the checkpoint is damaged or of another training.
    pub fn resume(
        spec: &TrainSpec,
        data: Arc<Splits>,
        sweep_seed: u64,
        trial: u64,
        checkpoint: &[u8],
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::new(spec, data, sweep_seed, trial)?;
        trainer.restore(checkpoint)?;
        Ok(trainer)
    }

    pub(crate) fn with_family(
        family: Family,
        spec: &TrainSpec,
        data: Arc<Splits>,
        sweep_seed: u64,
        trial: u64,
    ) -> Result<Self, TrainError> {
        check_spec(spec)?;
        check_data(&data)?;
        let (rows, features) = data.train.features.dim();
        let outputs = usize_of(data.outputs);
        let mut network = Network::new(family, spec, features, outputs, capacity(spec, &data))?;
        network.initialise(spec, Seed::derive(sweep_seed, trial, Purpose::Init));
        let updater = Updater::new(family, spec, network.parameters.len())?;
        let order = (0..).take(rows).collect();
        Ok(Self {
            spec: spec.clone(),
            data,
            sweep_seed,
            trial,
            network,
            updater,
            order,
            epochs_done: 0,
            is_abandoned: false,
        })
    }

    /// Trains one epoch and validates. `go_on` is asked before every mini-batch; when it says no,
    /// the epoch is abandoned with `None`, and nothing more can be done with this trainer. A loss
    /// that is not finite is a result, not an error.
    ///
    /// # Errors
    /// All epochs of the spec are done, or an epoch was abandoned before.
    pub fn epoch(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<EpochMetrics>, TrainError> {
        self.check_usable()?;
        if self.epochs_done >= self.spec.epochs {
            return Err(TrainError::Finished { epochs: self.spec.epochs });
        }
        let Some(train) = self.train(go_on) else {
            self.is_abandoned = true;
            return Ok(None);
        };
        self.epochs_done += 1;
        let validation = evaluate(&mut self.network, &self.data.validation);
        Ok(Some(EpochMetrics { epoch: self.epochs_done, train, validation }))
    }

    /// Trains `steps` mini-batches, those of an unshuffled epoch again and again, and evaluates
    /// nothing: to measure the speed of a step.
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn repeat_steps(&mut self, steps: u64) -> Result<(), TrainError> {
        self.check_usable()?;
        let dropout = Seed::derive(self.sweep_seed, self.trial, Purpose::Dropout);
        let batches = batches(self.order.len(), usize_of(self.spec.batch_size)).cycle();
        for (batch, _) in batches.zip(0..steps) {
            let Some(rows) = self.order.get(batch) else { return Ok(()) };
            let mut draws = dropout.stream(self.updater.steps);
            self.network.backpropagate(&self.data.train, rows, &mut draws);
            self.updater.step(&mut self.network, self.spec.learning_rate);
        }
        Ok(())
    }

    /// Parameters that are learnt: weights, biases, gamma and beta.
    pub fn parameters(&self) -> usize {
        self.network.tensors().map(|tensor| tensor.rows * tensor.columns).sum()
    }

    /// Epochs done, those before the checkpoint it was resumed from included.
    pub fn epochs_done(&self) -> u32 {
        self.epochs_done
    }

    /// Scores the test split, if there is one, with running statistics.
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn test(&mut self) -> Result<Option<Score>, TrainError> {
        self.check_usable()?;
        Ok(self.data.test.as_ref().map(|examples| evaluate(&mut self.network, examples)))
    }

    /// All that the epochs to come depend on, for [`Self::resume`].
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        self.check_usable()?;
        let state =
            State { epochs_done: self.epochs_done, network: &self.network, updater: &self.updater };
        Ok(checkpoint::write(&self.identity(), state))
    }

    /// Takes over the state in a checkpoint.
    pub(crate) fn restore(&mut self, checkpoint: &[u8]) -> Result<(), TrainError> {
        self.epochs_done = checkpoint::read(
            checkpoint,
            &self.identity(),
            self.spec.epochs,
            &mut self.network,
            &mut self.updater,
        )?;
        Ok(())
    }

    fn check_usable(&self) -> Result<(), TrainError> {
        if self.is_abandoned { Err(TrainError::Abandoned) } else { Ok(()) }
    }

    /// Names the training: a checkpoint of another one must not be taken for its own.
    fn identity(&self) -> [u8; 32] {
        let (rows, features) = self.data.train.features.dim();
        let sizes = [self.sweep_seed, self.trial, u64::from(self.data.outputs)];
        checkpoint::identity(&self.spec, sizes, [rows, features])
    }

    /// One pass over the train split; none if it was abandoned.
    fn train(&mut self, go_on: &dyn Fn() -> bool) -> Option<Score> {
        let rate = learning_rate(&self.spec, self.epochs_done);
        let seed = |purpose| Seed::derive(self.sweep_seed, self.trial, purpose);
        self.order.iter_mut().zip(0..).for_each(|(slot, row)| *slot = row);
        seed(Purpose::Shuffle).stream(u64::from(self.epochs_done)).shuffle(&mut self.order);
        let dropout = seed(Purpose::Dropout);
        let mut tally = Tally::default();
        for batch in batches(self.order.len(), usize_of(self.spec.batch_size)) {
            if !go_on() {
                return None;
            }
            let rows = self.order.get(batch)?;
            let mut draws = dropout.stream(self.updater.steps);
            tally.add(self.network.backpropagate(&self.data.train, rows, &mut draws));
            self.updater.step(&mut self.network, rate);
        }
        Some(tally.score(has_classes(&self.data.train)))
    }
}

/// Cuts `rows` rows into mini-batches of `size`. A last one of a single row goes to the one before
/// it.
pub(crate) fn batches(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = if rows % size == 1 && rows > 1 { rows / size } else { rows.div_ceil(size) };
    (0..count)
        .map(move |index| index * size..if index + 1 == count { rows } else { (index + 1) * size })
}

fn evaluate(network: &mut Network, examples: &Examples) -> Score {
    let rows = examples.features.nrows();
    let mut tally = Tally::default();
    for first in (0..rows).step_by(EVALUATION_BLOCK) {
        tally.add(network.evaluate(examples, first..rows.min(first + EVALUATION_BLOCK)));
    }
    tally.score(has_classes(examples))
}

fn has_classes(examples: &Examples) -> bool {
    matches!(examples.targets, Targets::Classes(_))
}

/// Examples that the network must hold at once.
pub(crate) fn capacity(spec: &TrainSpec, data: &Splits) -> usize {
    // One more than a mini-batch, for the merged one.
    let batch = usize_of(spec.batch_size).saturating_add(1).min(data.train.features.nrows());
    batch.max(EVALUATION_BLOCK.min(largest_split(data)))
}

fn largest_split(data: &Splits) -> usize {
    let test_rows = data.test.as_ref().map_or(0, |test| test.features.nrows());
    data.validation.features.nrows().max(test_rows)
}

/// Exact wherever the trainer runs: it needs addresses of at least 32 bits.
#[allow(clippy::as_conversions, reason = "a u32 fits the usize of every supported machine")]
pub(crate) fn usize_of(value: u32) -> usize {
    value as usize
}
