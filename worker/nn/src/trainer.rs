//! One training: a function of the spec, the data, the sweep's seed and the trial's number.

use std::ops::Range;
use std::sync::Arc;

use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::numbers::{index, real, to_u32, to_u64, to_usize};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets};
use caviar_model::{About, Kept, Member, Model};

use crate::best::Best;
use crate::check::{check_data, check_smoothing, check_spec};
use crate::checkpoint::{self, State};
use crate::error::TrainError;
use crate::keep;
use crate::kernels::Family;
use crate::loss::Tally;
use crate::network::Network;
use crate::optimizer::Updater;
use crate::order::shuffle;
use crate::progress::Progress;
use crate::schedule::learning_rate;

/// Examples that are evaluated at once. A product of 256 rows already runs at the peak
/// (docs/performance.md: wide), so more rows would only need more memory.
const EVALUATION_BLOCK: usize = 256;

/// A training between two mini-batches. It allocates all its memory when it is made, except for
/// what it reads examples from a file with.
///
/// Each epoch shuffles the train split and cuts it into mini-batches. The last mini-batch may be
/// smaller; one of a single example is merged into the one before it. See the [crate] for an
/// example.
///
/// A train split in a file is shuffled in windows: their order, and the rows of each. The rows are
/// in random order in the file.
pub struct Trainer {
    spec: TrainSpec,
    data: Arc<Splits>,
    data_digest: String,
    sweep_seed: u64,
    trial: u64,
    network: Network,
    updater: Updater,
    /// The weights of the best epoch; `None` unless an objective asks for it.
    best: Option<Best>,
    /// The rows of the train split in the order of this epoch.
    order: Vec<u32>,
    progress: Progress,
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

    pub(crate) fn with_family(
        family: Family,
        spec: &TrainSpec,
        data: Arc<Splits>,
        sweep_seed: u64,
        trial: u64,
    ) -> Result<Self, TrainError> {
        check_spec(spec)?;
        check_data(&data)?;
        check_smoothing(spec, &data)?;
        let (rows, features) = data.train.features.dim();
        let outputs = index(data.outputs);
        let mut network = Network::new(family, spec, features, outputs, capacity(spec, &data))?;
        network.initialise(spec, Seed::derive(sweep_seed, trial, Purpose::Init));
        let updater = Updater::new(family, spec, network.parameters.len())?;
        let order = (0..).take(rows).collect();
        Ok(Self {
            spec: spec.clone(),
            data,
            data_digest: String::new(),
            sweep_seed,
            trial,
            network,
            updater,
            best: None,
            order,
            progress: Progress::default(),
        })
    }

    /// Ties the checkpoints of this training to the data with that digest, such as that of the
    /// file which the splits were made from. Without it, they name only the size of the data.
    #[must_use]
    pub fn with_data_digest(mut self, digest: &str) -> Self {
        digest.clone_into(&mut self.data_digest);
        self
    }

    /// Keeps the weights of the best epoch, if the objective is that of the best epoch. The test
    /// score, the predictions and the layers are those of that epoch then.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn with_objective(mut self, objective: &Objective) -> Result<Self, TrainError> {
        self.best = match objective.epoch {
            ObjectiveEpoch::Best => Some(Best::new(objective, &self.network)?),
            ObjectiveEpoch::Last => None,
        };
        Ok(self)
    }

    /// Trains one epoch and validates, or continues an epoch that was interrupted.
    ///
    /// `go_on` is asked before every mini-batch and before every 256 examples of the validation. If
    /// it returns false, the epoch is interrupted there and the result is `None`. The next call
    /// continues it, and the bits are the same as without the interruption. A loss that is not
    /// finite is a result, not an error.
    ///
    /// # Errors
    /// All epochs of the spec are done.
    pub fn epoch(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<EpochMetrics>, TrainError> {
        if self.progress.epochs_done >= self.spec.epochs {
            return Err(TrainError::Finished { epochs: self.spec.epochs });
        }
        if !self.train(go_on)? || !self.validate(go_on)? {
            return Ok(None);
        }
        let Progress { epochs_done, train, validation, .. } = self.progress;
        let epochs_done = epochs_done + 1;
        let train = train.score(has_classes(&self.data.train));
        let validation = validation.score(has_classes(&self.data.validation));
        let metrics = EpochMetrics { epoch: epochs_done, train, validation };
        if let Some(best) = &mut self.best {
            best.see(metrics, &mut self.network);
        }
        self.progress = Progress { epochs_done, last: Some(metrics), ..Progress::default() };
        Ok(Some(metrics))
    }

    /// Trains `steps` mini-batches without evaluation, to measure the speed of a step. It cycles
    /// through the mini-batches of an epoch that is not shuffled.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn repeat_steps(&mut self, steps: u64) -> Result<(), TrainError> {
        let dropout = Seed::derive(self.sweep_seed, self.trial, Purpose::Dropout);
        for (batch, _) in self.batches().cycle().zip(0..steps) {
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
        self.progress.epochs_done
    }

    /// The mini-batches that are done of the epoch that is not done, with the blocks of examples
    /// that are validated; 0 between two epochs.
    pub fn batches_done(&self) -> usize {
        self.progress.pieces_done
    }

    /// The share of the training that is done, from 0 to 1, as if all mini-batches and blocks took
    /// the same time.
    pub fn share_done(&self) -> f64 {
        let pieces = self.batches().count() + blocks(&self.data.validation).count();
        let of_epoch = real(self.progress.pieces_done) / real(pieces);
        (f64::from(self.progress.epochs_done) + of_epoch) / f64::from(self.spec.epochs)
    }

    /// The metrics of the last epoch that is done, also one before the checkpoint; `None` before
    /// the first one ends.
    pub fn last(&self) -> Option<EpochMetrics> {
        self.progress.last
    }

    /// The metrics of the epoch whose weights count: the best epoch so far if there is an objective
    /// of the best epoch, else the last one. `None` before the first epoch ends.
    pub fn counting(&self) -> Option<EpochMetrics> {
        match &self.best {
            Some(best) => best.metrics,
            None => self.progress.last,
        }
    }

    /// The score on the test split with running statistics; `None` without a test split.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn test(&mut self) -> Result<Option<Score>, TrainError> {
        let data = Arc::clone(&self.data);
        let Some(examples) = &data.test else { return Ok(None) };
        let tally = self.with_counting(|network| evaluate_all(network, examples))?;
        Ok(Some(tally.score(has_classes(examples))))
    }

    /// The model of the epoch that counts, and its predictions for the validation and the test
    /// split. `sweep` is the name of the sweep, for the description of the model.
    ///
    /// # Errors
    /// No epoch is done, the examples have no schema, or a weight is not finite.
    pub fn keep(&mut self, sweep: &str) -> Result<Kept, TrainError> {
        let missing = |what| TrainError::Missing { what };
        let data = Arc::clone(&self.data);
        let schema = data.schema.as_deref().ok_or(missing("schema of its data"))?;
        let epoch = self.counting().ok_or(missing("epoch that is done"))?.epoch;
        let spec = self.spec.clone();
        let layers = self.with_counting(|network| keep::layers(&spec, network));
        let about = About {
            caviar: env!("CARGO_PKG_VERSION").to_owned(),
            sweep: sweep.to_owned(),
            trial: to_u32(to_usize(self.trial)),
            epoch,
            seed: self.sweep_seed,
            data_digest: self.data_digest.clone(),
            hyperparameters: serde_json::to_value(&spec)
                .map_err(|_| missing("JSON form of its spec"))?,
            temperature: 1.0,
        };
        let member = Member { weight: 1.0, about, layers };
        let model = Model::new(schema.clone(), vec![member])
            .map_err(|error| TrainError::Model { what: error.to_string() })?;
        let mut predict = |examples: &Examples| {
            let numbers = examples.features.nrows().saturating_mul(index(data.outputs));
            if numbers > Kept::MAX_NUMBERS {
                return Ok(None);
            }
            let outputs = self.with_counting(|network| outputs_of_all(network, examples))?;
            keep::predictions(schema, examples, outputs).map(Some)
        };
        let validation = predict(&data.validation)?;
        let test = data.test.as_ref().map(&mut predict).transpose()?.flatten();
        Ok(Kept { model, validation, test })
    }

    /// Does something with the network while it has the weights that count.
    fn with_counting<T>(&mut self, work: impl FnOnce(&mut Network) -> T) -> T {
        let Self { network, best, .. } = self;
        let mut exchange = |network: &mut Network| match best {
            Some(best) => best.exchange(network),
            None => network.exchange_average(),
        };
        exchange(network);
        let result = work(network);
        exchange(network);
        result
    }

    /// The state that later steps depend on, for [`Self::restore`] on any machine. `seconds` is the
    /// time trained so far, which a later attempt adds to its own.
    ///
    /// It has 4 bytes for each parameter, for each value of the optimiser's state, for each running
    /// mean and variance, for each average of these and for each of the best epoch, and about 200
    /// more.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn checkpoint(&self, seconds: f64) -> Result<Vec<u8>, TrainError> {
        let state = State {
            progress: self.progress,
            seconds,
            network: &self.network,
            updater: &self.updater,
            best: self.best.as_ref(),
        };
        Ok(checkpoint::write(&self.identity()?, state))
    }

    /// Replaces the state by that of a checkpoint; later steps have the same bits as those of the
    /// training that wrote it. Returns the seconds that were trained before.
    ///
    /// # Errors
    /// The checkpoint is damaged or belongs to another training. The state is then as before.
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<f64, TrainError> {
        let identity = self.identity()?;
        let limits = checkpoint::Limits {
            epochs: self.spec.epochs,
            pieces: self.batches().count() + blocks(&self.data.validation).count(),
            examples: [&self.data.train, &self.data.validation]
                .map(|examples| to_u64(examples.features.nrows())),
            has_classes: has_classes(&self.data.train),
        };
        let (network, updater) = (&mut self.network, &mut self.updater);
        let target = checkpoint::Target { network, updater, best: self.best.as_mut() };
        let (progress, seconds) = checkpoint::read(checkpoint, &identity, limits, target)?;
        self.progress = progress;
        Ok(seconds)
    }

    /// A digest of the arguments of the training, which its checkpoints contain.
    fn identity(&self) -> Result<[u8; 32], TrainError> {
        let (rows, features) = self.data.train.features.dim();
        let numbers = [self.sweep_seed, self.trial, u64::from(self.data.outputs)];
        let objective = self.best.as_ref().map_or_else(String::new, Best::identity);
        // The order of the rows depends on it.
        let window = self.data.train.features.window_rows();
        let window = window.map_or_else(String::new, |rows| format!(" in windows of {rows}"));
        let data = format!("{}{objective}{window}", self.data_digest);
        checkpoint::identity(&self.spec, numbers, [rows, features], &data)
    }

    /// The rest of the pass over the train split. False if it was interrupted.
    fn train(&mut self, go_on: &dyn Fn() -> bool) -> Result<bool, TrainError> {
        let Progress { epochs_done, pieces_done, .. } = self.progress;
        let seed = |purpose| Seed::derive(self.sweep_seed, self.trial, purpose);
        let mut draws = seed(Purpose::Shuffle).stream(u64::from(epochs_done));
        shuffle(&mut self.order, self.data.train.features.window_rows(), &mut draws);
        let dropout = seed(Purpose::Dropout);
        let batches = self.batches().count();
        for batch in self.batches().skip(pieces_done) {
            if !go_on() {
                return Ok(false);
            }
            let tally = self.step(batch, dropout, self.rate(batches))?;
            self.progress.train.add(tally);
            self.progress.pieces_done += 1;
        }
        Ok(true)
    }

    /// The rest of the pass over the validation split. False if it was interrupted.
    fn validate(&mut self, go_on: &dyn Fn() -> bool) -> Result<bool, TrainError> {
        self.network.exchange_average();
        let is_done = self.validate_as_is(go_on);
        self.network.exchange_average();
        is_done
    }

    /// The same with the parameters that the network has, averaged or not.
    fn validate_as_is(&mut self, go_on: &dyn Fn() -> bool) -> Result<bool, TrainError> {
        let done = self.progress.pieces_done - self.batches().count();
        for block in blocks(&self.data.validation).skip(done) {
            if !go_on() {
                return Ok(false);
            }
            let tally = self.network.evaluate(&self.data.validation, block)?;
            self.progress.validation.add(tally);
            self.progress.pieces_done += 1;
        }
        Ok(true)
    }

    /// The learning rate of the next of the `batches` mini-batches of this epoch.
    fn rate(&self, batches: usize) -> f64 {
        let Progress { epochs_done, pieces_done, .. } = self.progress;
        let done = f64::from(epochs_done) * real(batches) + real(pieces_done);
        let share = done / (f64::from(self.spec.epochs) * real(batches));
        learning_rate(&self.spec, epochs_done, share)
    }

    /// The mini-batches of an epoch, as ranges of `order`.
    fn batches(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        batches(self.order.len(), index(self.spec.batch_size))
    }

    /// One step on the mini-batch at `batch` in the epoch's order. Each step draws what is dropped
    /// from its own stream of `dropout`.
    fn step(&mut self, batch: Range<usize>, dropout: Seed, rate: f64) -> Result<Tally, TrainError> {
        let rows = self.order.get(batch).ok_or(TrainError::Missing { what: "mini-batch" })?;
        let mut draws = dropout.stream(self.updater.steps);
        let tally = self.network.backpropagate(&self.data.train, rows, &mut draws)?;
        self.updater.step(&mut self.network, rate);
        self.network.include_in_average(self.updater.steps);
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

/// Cuts examples into the blocks that are evaluated at once.
fn blocks(examples: &Examples) -> impl Iterator<Item = Range<usize>> + use<> {
    let rows = examples.features.nrows();
    (0..rows).step_by(EVALUATION_BLOCK).map(move |first| first..rows.min(first + EVALUATION_BLOCK))
}

/// The sums over all examples.
fn evaluate_all(network: &mut Network, examples: &Examples) -> Result<Tally, TrainError> {
    let mut tally = Tally::default();
    for block in blocks(examples) {
        tally.add(network.evaluate(examples, block)?);
    }
    Ok(tally)
}

/// The outputs for all examples, row by row.
fn outputs_of_all(network: &mut Network, examples: &Examples) -> Result<Vec<f32>, TrainError> {
    let mut outputs = Vec::new();
    for block in blocks(examples) {
        network.outputs(examples, block, &mut outputs)?;
    }
    Ok(outputs)
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
