//! One training: a function of the spec, the data, the sweep's seed and the trial's number.

use std::ops::Range;
use std::sync::Arc;

use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::numbers::index;
use caviar_common::seed::{Purpose, Seed};
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets};

use crate::check::{check_data, check_spec};
use crate::checkpoint::{self, State};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::loss::Tally;
use crate::network::Network;
use crate::optimizer::Updater;
use crate::schedule::learning_rate;

/// Examples that are evaluated at once. A product of 256 rows already runs at the peak
/// (docs/performance.md: wide), so more rows would only need more memory.
const EVALUATION_BLOCK: usize = 256;

/// A training between two epochs. It allocates all its memory when it is made.
///
/// Each epoch shuffles the train split and cuts it into mini-batches. The last mini-batch may be
/// smaller; one of a single example is merged into the one before it. See the [crate] for an
/// example.
pub struct Trainer {
    spec: TrainSpec,
    data: Arc<Splits>,
    sweep_seed: u64,
    trial: u64,
    network: Network,
    updater: Updater,
    /// The rows of the train split in the order of this epoch.
    order: Vec<u32>,
    epochs_done: u32,
    is_abandoned: bool,
}

impl Trainer {
    /// A training before its first epoch, with the kernels of [`crate::kernel_family`].
    ///
    /// # Errors
    /// A hyperparameter is out of range, the data cannot be trained on, the network is too large,
    /// there is not enough memory, or `CAVIAR_KERNELS` is wrong.
    pub fn new(
        spec: &TrainSpec,
        data: Arc<Splits>,
        sweep_seed: u64,
        trial: u64,
    ) -> Result<Self, TrainError> {
        Self::with_family(Family::for_process()?, spec, data, sweep_seed, trial)
    }

    /// Resumes the training that wrote `checkpoint`; later epochs have the same bits. The other
    /// arguments must be those of that training.
    ///
    /// # Errors
    /// Those of [`Self::new`], or the checkpoint is damaged or belongs to another training.
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
        let outputs = index(data.outputs);
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

    /// Trains one epoch and validates.
    ///
    /// `go_on` is asked before every mini-batch. If it returns false, the epoch is abandoned and
    /// the result is `None`; after that every method returns [`TrainError::Abandoned`]. A loss that
    /// is not finite is a result, not an error.
    ///
    /// # Errors
    /// All epochs of the spec are done, or an epoch was abandoned before.
    pub fn epoch(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<EpochMetrics>, TrainError> {
        self.check_usable()?;
        if self.epochs_done >= self.spec.epochs {
            return Err(TrainError::Finished { epochs: self.spec.epochs });
        }
        let Some(train) = self.train(go_on)? else {
            self.is_abandoned = true;
            return Ok(None);
        };
        self.epochs_done += 1;
        let validation = evaluate(&mut self.network, &self.data.validation)?;
        Ok(Some(EpochMetrics { epoch: self.epochs_done, train, validation }))
    }

    /// Trains `steps` mini-batches without evaluation, to measure the speed of a step. It cycles
    /// through the mini-batches of an epoch that is not shuffled.
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn repeat_steps(&mut self, steps: u64) -> Result<(), TrainError> {
        self.check_usable()?;
        let dropout = Seed::derive(self.sweep_seed, self.trial, Purpose::Dropout);
        let batches = batches(self.order.len(), index(self.spec.batch_size)).cycle();
        for (batch, _) in batches.zip(0..steps) {
            self.step(batch, dropout, self.spec.learning_rate)?;
        }
        Ok(())
    }

    /// The number of learnt parameters: weights, biases, gamma and beta, without padding.
    pub fn parameters(&self) -> usize {
        self.network.tensors().map(|tensor| tensor.rows * tensor.columns).sum()
    }

    /// The epochs done, with those before the checkpoint that the training was resumed from.
    pub fn epochs_done(&self) -> u32 {
        self.epochs_done
    }

    /// The score on the test split with running statistics; `None` without a test split.
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn test(&mut self) -> Result<Option<Score>, TrainError> {
        self.check_usable()?;
        self.data.test.as_ref().map(|examples| evaluate(&mut self.network, examples)).transpose()
    }

    /// The state that later epochs depend on, for [`Self::resume`] on any machine.
    ///
    /// # Errors
    /// An epoch was abandoned before.
    pub fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        self.check_usable()?;
        let state =
            State { epochs_done: self.epochs_done, network: &self.network, updater: &self.updater };
        Ok(checkpoint::write(&self.identity()?, state))
    }

    /// Replaces the state by that of a checkpoint.
    pub(crate) fn restore(&mut self, checkpoint: &[u8]) -> Result<(), TrainError> {
        self.epochs_done = checkpoint::read(
            checkpoint,
            &self.identity()?,
            self.spec.epochs,
            &mut self.network,
            &mut self.updater,
        )?;
        Ok(())
    }

    fn check_usable(&self) -> Result<(), TrainError> {
        if self.is_abandoned { Err(TrainError::Abandoned) } else { Ok(()) }
    }

    /// A digest of the arguments of the training, which its checkpoints contain.
    fn identity(&self) -> Result<[u8; 32], TrainError> {
        let (rows, features) = self.data.train.features.dim();
        let numbers = [self.sweep_seed, self.trial, u64::from(self.data.outputs)];
        checkpoint::identity(&self.spec, numbers, [rows, features])
    }

    /// One pass over the train split; `None` if it was abandoned.
    fn train(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Score>, TrainError> {
        let rate = learning_rate(&self.spec, self.epochs_done);
        let seed = |purpose| Seed::derive(self.sweep_seed, self.trial, purpose);
        self.order.iter_mut().zip(0..).for_each(|(slot, row)| *slot = row);
        seed(Purpose::Shuffle).stream(u64::from(self.epochs_done)).shuffle(&mut self.order);
        let dropout = seed(Purpose::Dropout);
        let mut tally = Tally::default();
        for batch in batches(self.order.len(), index(self.spec.batch_size)) {
            if !go_on() {
                return Ok(None);
            }
            tally.add(self.step(batch, dropout, rate)?);
        }
        Ok(Some(tally.score(has_classes(&self.data.train))))
    }

    /// One step on the mini-batch at `batch` in the epoch's order. Each step draws what is dropped
    /// from its own stream of `dropout`.
    fn step(&mut self, batch: Range<usize>, dropout: Seed, rate: f64) -> Result<Tally, TrainError> {
        let rows = self.order.get(batch).ok_or(TrainError::Missing { what: "mini-batch" })?;
        let mut draws = dropout.stream(self.updater.steps);
        let tally = self.network.backpropagate(&self.data.train, rows, &mut draws)?;
        self.updater.step(&mut self.network, rate);
        Ok(tally)
    }
}

/// Cuts `rows` rows into mini-batches of `size`. A last one of a single row is merged into the one
/// before it.
pub(crate) fn batches(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = if rows % size == 1 && rows > 1 { rows / size } else { rows.div_ceil(size) };
    (0..count)
        .map(move |batch| batch * size..if batch + 1 == count { rows } else { (batch + 1) * size })
}

fn evaluate(network: &mut Network, examples: &Examples) -> Result<Score, TrainError> {
    let rows = examples.features.nrows();
    let mut tally = Tally::default();
    for first in (0..rows).step_by(EVALUATION_BLOCK) {
        tally.add(network.evaluate(examples, first..rows.min(first + EVALUATION_BLOCK))?);
    }
    Ok(tally.score(has_classes(examples)))
}

fn has_classes(examples: &Examples) -> bool {
    matches!(examples.targets, Targets::Classes(_))
}

/// The examples that the network must hold at once.
pub(crate) fn capacity(spec: &TrainSpec, data: &Splits) -> usize {
    // One more than a mini-batch, for a merged example.
    let batch = index(spec.batch_size).saturating_add(1).min(data.train.features.nrows());
    batch.max(EVALUATION_BLOCK.min(largest_evaluated(data)))
}

/// The examples of the larger of the validation and the test split.
fn largest_evaluated(data: &Splits) -> usize {
    let test_rows = data.test.as_ref().map_or(0, |test| test.features.nrows());
    data.validation.features.nrows().max(test_rows)
}
