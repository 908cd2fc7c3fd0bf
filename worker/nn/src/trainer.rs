//! One training: a function of the spec, the data, the sweep's seed, the trial's number and the
//! part of the trial.

use std::ops::Range;
use std::sync::Arc;

use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::numbers::{index, real, single, to_u32, to_usize};
use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Schema, Splits};
use caviar_metrics::Predictions;
use caviar_model::{About, InputStage, Kept, Member, Model};

use crate::best::Best;
use crate::check::{check_data, check_smoothing, check_spec, check_stage, check_validation};
use crate::checkpoint::{self, ScoreForm, State};
use crate::error::TrainError;
use crate::fit;
use crate::judge::{self, Judge};
use crate::keep;
use crate::kernels::Family;
use crate::loss::Tally;
use crate::network::{Network, Sizes};
use crate::optimizer::Updater;
use crate::order::shuffle;
use crate::progress::Progress;
use crate::rows::{
    EVALUATION_BLOCK, batches, blocks, capacity, has_classes, is_weighted, rows, total_weight,
    weights_identity,
};
use crate::schedule::{learning_rate, regularization};
use crate::stage::Stage;
use crate::stage_categories::tables_identity;

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
    /// What was learnt before the first step.
    stage: InputStage,
    /// With scaled numbers.
    data: Arc<Splits>,
    data_digest: String,
    sweep_seed: u64,
    trial: u64,
    part: Part,
    network: Network,
    updater: Updater,
    /// The weights of the best epoch; `None` unless an objective asks for it.
    best: Option<Best>,
    /// Computes the objective; `None` if it is the loss or the accuracy.
    judge: Option<Judge>,
    /// The rows of the train split in the order of this epoch.
    order: Vec<u32>,
    progress: Progress,
}

/// Which of the trainings of a trial a training is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its number, from 0, which makes its random numbers different.
    pub(crate) number: u32,
    /// The index of the fold that validates it; 0 without folds.
    pub(crate) fold: usize,
}

/// Data that is ready for a spec: its numbers are scaled. All parts of a trial share it.
#[derive(Clone)]
pub(crate) struct Prepared {
    stage: InputStage,
    data: Arc<Splits>,
}

impl Prepared {
    /// Checks the spec and the data, and scales the data.
    ///
    /// # Errors
    /// A hyperparameter is out of range, or the data cannot be trained on.
    pub(crate) fn new(spec: &TrainSpec, data: Arc<Splits>) -> Result<Self, TrainError> {
        check_spec(spec)?;
        check_data(&data)?;
        check_smoothing(spec, &data)?;
        check_stage(spec, &data)?;
        let stage = fit::stage(spec, &data);
        let data = fit::scaled(&stage, &data).map_or(data, Arc::new);
        Ok(Self { stage, data })
    }
}

impl Trainer {
    /// A training before its first epoch, with the kernels of [`crate::kernel_family`]. In a
    /// cross-validation it is that for the first fold; [`crate::TrialTrainer`] has all.
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
        Self::with_family(Family::for_process()?, spec, data, (sweep_seed, trial, Part::default()))
    }

    pub(crate) fn with_family(
        family: Family,
        spec: &TrainSpec,
        data: Arc<Splits>,
        identity: (u64, u64, Part),
    ) -> Result<Self, TrainError> {
        let prepared = Prepared::new(spec, data)?;
        check_validation(&prepared.data)?;
        Self::prepared(family, spec, prepared, identity)
    }

    /// The same for data whose validation split may be empty, which only [`Self::train_epoch`] can
    /// train.
    pub(crate) fn prepared(
        family: Family,
        spec: &TrainSpec,
        prepared: Prepared,
        (sweep_seed, trial, part): (u64, u64, Part),
    ) -> Result<Self, TrainError> {
        let Prepared { stage, data } = prepared;
        let features = data.train.features.ncols();
        let (outputs, capacity) = (index(data.outputs), capacity(spec, &data));
        let sizes = Sizes { features, outputs, capacity };
        let mut network = Network::with_stage(family, spec, &stage, sizes)?;
        if is_weighted(&data) {
            network.reserve_weights(capacity)?;
        }
        network.initialise(spec, Seed::derive(sweep_seed, trial, Purpose::Init).part(part.number));
        let updater = Updater::new(family, spec, network.parameters.len())?;
        let order: Vec<u32> = rows(&data, part.fold).collect();
        network.forget_absent(&data, &order);
        Ok(Self {
            spec: spec.clone(),
            stage,
            data,
            data_digest: String::new(),
            sweep_seed,
            trial,
            part,
            network,
            updater,
            best: None,
            judge: None,
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
    /// score, the predictions and the layers are those of that epoch then. If the objective is a
    /// measure, it is computed after every epoch, which allocates memory for that time.
    ///
    /// # Errors
    /// The measure does not fit the data, or there is not enough memory.
    pub fn with_objective(mut self, objective: &Objective) -> Result<Self, TrainError> {
        self.best = match objective.epoch {
            ObjectiveEpoch::Best => Some(Best::new(objective, &self.network)?),
            ObjectiveEpoch::Last => None,
        };
        self.judge = Judge::new(objective, &self.data, self.part.fold)?;
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
        let metrics = self.epoch_unjudged(go_on)?;
        if let Some(metrics) = metrics {
            self.judge(metrics);
        }
        Ok(metrics)
    }

    /// Trains one epoch without validation. No epoch is the best one then.
    pub(crate) fn train_epoch(&mut self) -> Result<(), TrainError> {
        let Progress { epochs_done, .. } = self.progress;
        if epochs_done >= self.spec.epochs {
            return Err(TrainError::Finished { epochs: self.spec.epochs });
        }
        self.train(&|| true)?;
        self.progress = Progress { epochs_done: epochs_done + 1, ..Progress::default() };
        Ok(())
    }

    /// [`Self::epoch`] without the decision whether it is the best one so far, which
    /// [`Self::judge`] takes.
    pub(crate) fn epoch_unjudged(
        &mut self,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<EpochMetrics>, TrainError> {
        if self.progress.epochs_done >= self.spec.epochs {
            return Err(TrainError::Finished { epochs: self.spec.epochs });
        }
        if !self.train(go_on)? || !self.validate(go_on)? {
            return Ok(None);
        }
        let Progress { epochs_done, train, validation, .. } = self.progress;
        let epochs_done = epochs_done + 1;
        let has_classes = has_classes(&self.data.train);
        let (train, mut validation) = (train.score(has_classes), validation.score(has_classes));
        if let Some(judge) = &mut self.judge {
            validation.measured = Some(judge.judge(self.data.validation(self.part.fold))?);
        }
        let metrics = EpochMetrics { epoch: epochs_done, train, validation, spread: None };
        self.progress = Progress { epochs_done, last: Some(metrics), ..Progress::default() };
        Ok(Some(metrics))
    }

    /// Keeps the weights of the epoch that has ended if, by its metrics or by those of all parts of
    /// the trial, it is the best one so far.
    pub(crate) fn judge(&mut self, metrics: EpochMetrics) {
        if let Some(best) = &mut self.best {
            best.see(metrics, &mut self.network);
        }
    }

    /// Trains `steps` mini-batches without evaluation, to measure the speed of a step. It cycles
    /// through the mini-batches of an epoch that is not shuffled.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn repeat_steps(&mut self, steps: u64) -> Result<(), TrainError> {
        let dropout = self.seed(Purpose::Dropout);
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
        let of_epoch = real(self.progress.pieces_done) / real(self.pieces());
        (f64::from(self.progress.epochs_done) + of_epoch) / f64::from(self.spec.epochs)
    }

    /// The mini-batches of an epoch, with the blocks of examples that are validated.
    pub(crate) fn pieces(&self) -> usize {
        self.batches().count() + blocks(self.validation()).count()
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

    /// The index of the fold that validates it.
    pub(crate) const fn fold(&self) -> usize {
        self.part.fold
    }

    /// The score on the test split with running statistics; `None` without a test split.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn test(&mut self) -> Result<Option<Score>, TrainError> {
        let data = Arc::clone(&self.data);
        let Some(examples) = &data.test else { return Ok(None) };
        let tally = self.with_counting(|network| evaluate_all(network, examples))?;
        let score = tally.score(has_classes(examples));
        if self.judge.is_none() {
            return Ok(Some(score));
        }
        let outputs = self.with_counting(|network| outputs_of_all(network, examples))?;
        self.judge.as_ref().map(|judge| judge.complete(score, examples, outputs)).transpose()
    }

    /// The model of the epoch that counts, and its predictions for the validation and the test
    /// split. `sweep` is the name of the sweep, for the description of the model.
    ///
    /// # Errors
    /// No epoch is done, the examples have no schema, or a weight is not finite.
    pub fn keep(&mut self, sweep: &str) -> Result<Kept, TrainError> {
        let member = self.member(sweep)?;
        let model = Model::new(self.schema()?.clone(), vec![member])
            .map_err(|error| TrainError::Model { what: error.to_string() })?;
        let (validation, test) = (self.validation_predictions()?, self.test_predictions()?);
        Ok(Kept { model, validation, test })
    }

    fn schema(&self) -> Result<&Schema, TrainError> {
        self.data.schema.as_deref().ok_or(TrainError::Missing { what: "schema of its data" })
    }

    /// The network of the epoch that counts, as the only member of a model.
    pub(crate) fn member(&mut self, sweep: &str) -> Result<Member, TrainError> {
        let missing = |what| TrainError::Missing { what };
        let best = self.best.as_ref().map(|best| best.metrics.map_or(0, |best| best.epoch));
        let epoch = best.unwrap_or(self.progress.epochs_done);
        if epoch == 0 {
            return Err(missing("epoch that is done"));
        }
        let spec = self.spec.clone();
        let fitted = self.stage.clone();
        let (stage, layers) = self.with_counting(|network| {
            let export = |stage: &Stage| stage.export(&fitted, &network.parameters);
            let learnt = network.stage.as_ref().map(export);
            (learnt.unwrap_or(fitted), keep::layers(&spec, network))
        });
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
        Ok(Member { weight: 1.0, about, stage, layers })
    }

    /// The predictions of the epoch that counts for the examples that validate it; `None` if there
    /// are too many to keep.
    pub(crate) fn validation_predictions(&mut self) -> Result<Option<Predictions>, TrainError> {
        let data = Arc::clone(&self.data);
        let examples = data.validation(self.part.fold);
        self.is_kept(examples).then(|| self.predictions(examples)).transpose()
    }

    /// The same for the test split; `None` also without one.
    pub(crate) fn test_predictions(&mut self) -> Result<Option<Predictions>, TrainError> {
        let data = Arc::clone(&self.data);
        let kept = data.test.as_ref().filter(|examples| self.is_kept(examples));
        kept.map(|examples| self.predictions(examples)).transpose()
    }

    fn is_kept(&self, examples: &Examples) -> bool {
        let numbers = examples.features.nrows().saturating_mul(index(self.data.outputs));
        numbers <= Kept::MAX_NUMBERS
    }

    /// The predictions of the epoch that counts for the test split, however many there are; `None`
    /// without one.
    pub(crate) fn all_test_predictions(&mut self) -> Result<Option<Predictions>, TrainError> {
        let data = Arc::clone(&self.data);
        data.test.as_ref().map(|examples| self.predictions(examples)).transpose()
    }

    fn predictions(&mut self, examples: &Examples) -> Result<Predictions, TrainError> {
        let outputs = self.with_counting(|network| outputs_of_all(network, examples))?;
        let schema = self.schema()?;
        let (width, standards) = (index(schema.outputs()), schema.standards());
        judge::predictions(width, &standards, examples, outputs)
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
            pieces: self.pieces(),
            weights: [self.train_weight(), total_weight(self.validation())],
            scores: ScoreForm {
                has_classes: has_classes(&self.data.train),
                measure: self.judge.as_ref().map(Judge::measure),
            },
        };
        let (network, updater) = (&mut self.network, &mut self.updater);
        let target = checkpoint::Target { network, updater, best: self.best.as_mut() };
        let (progress, seconds) = checkpoint::read(checkpoint, &identity, limits, target)?;
        self.progress = progress;
        if let Some(judge) = &mut self.judge {
            judge.clear();
        }
        Ok(seconds)
    }

    /// A digest of the arguments of the training, which its checkpoints contain.
    fn identity(&self) -> Result<[u8; 32], TrainError> {
        let (rows, features) = self.data.train.features.dim();
        let numbers = [self.sweep_seed, self.trial, u64::from(self.data.outputs)];
        let objective = self.best.as_ref().map_or_else(String::new, Best::identity);
        let judge = self.judge.as_ref().map_or_else(String::new, Judge::identity);
        let weights = weights_identity(&self.data);
        let Part { number, fold } = self.part;
        let is_only = self.data.folds.is_empty() && number == 0;
        let part = if is_only { String::new() } else { format!(" part {number} {fold}") };
        // The order of the rows depends on it.
        let window = self.data.train.features.window_rows();
        let window = window.map_or_else(String::new, |rows| format!(" in windows of {rows}"));
        let (digest, tables) = (&self.data_digest, tables_identity(&self.stage.categories));
        let data = format!("{digest}{objective}{judge}{weights}{part}{window}{tables}");
        checkpoint::identity(&self.spec, numbers, [rows, features], &data)
    }

    /// The rest of the pass over the train split. False if it was interrupted.
    fn train(&mut self, go_on: &dyn Fn() -> bool) -> Result<bool, TrainError> {
        let Progress { epochs_done, pieces_done, .. } = self.progress;
        let (draws, dropout) = (self.seed(Purpose::Shuffle), self.seed(Purpose::Dropout));
        let mut draws = draws.stream(u64::from(epochs_done));
        let rows = rows(&self.data, self.part.fold);
        self.order.iter_mut().zip(rows).for_each(|(slot, row)| *slot = row);
        shuffle(&mut self.order, self.data.train.features.window_rows(), &mut draws);
        let batches = self.batches().count();
        for batch in self.batches().skip(pieces_done) {
            if !go_on() {
                return Ok(false);
            }
            let rate = self.set_schedules(batches);
            let tally = self.step(batch, dropout, rate)?;
            self.progress.train.add(tally);
            self.progress.pieces_done += 1;
        }
        Ok(true)
    }

    fn seed(&self, purpose: Purpose) -> Seed {
        Seed::derive(self.sweep_seed, self.trial, purpose).part(self.part.number)
    }

    /// The weight of the rows that it is trained on, in the measures.
    fn train_weight(&self) -> f64 {
        let Some(weights) = &self.data.train.weights else { return real(self.order.len()) };
        let rows = rows(&self.data, self.part.fold).filter_map(|row| weights.get(index(row)));
        rows.map(|weight| f64::from(weight.measures)).sum()
    }

    fn validation(&self) -> &Examples {
        self.data.validation(self.part.fold)
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
        self.repeat_outputs(done)?;
        let examples = self.data.validation(self.part.fold);
        for block in blocks(examples).skip(done) {
            if !go_on() {
                return Ok(false);
            }
            let outputs = self.judge.as_mut().map(Judge::outputs);
            let tally = self.network.evaluate(examples, block, outputs)?;
            self.progress.validation.add(tally);
            self.progress.pieces_done += 1;
        }
        Ok(true)
    }

    /// Computes again the outputs of the `done` blocks of this epoch that were validated before a
    /// checkpoint, which does not have them.
    fn repeat_outputs(&mut self, done: usize) -> Result<(), TrainError> {
        let Some(judge) = &mut self.judge else { return Ok(()) };
        let known = judge.rows().div_ceil(EVALUATION_BLOCK);
        let examples = self.data.validation(self.part.fold);
        for block in blocks(examples).take(done).skip(known) {
            self.network.outputs(examples, block, judge.outputs())?;
        }
        Ok(())
    }

    /// Sets dropout and weight decay for the next of the `batches` mini-batches of this epoch, and
    /// returns its learning rate.
    fn set_schedules(&mut self, batches: usize) -> f64 {
        let Progress { epochs_done, pieces_done, .. } = self.progress;
        let done = f64::from(epochs_done) * real(batches) + real(pieces_done);
        let share = done / (f64::from(self.spec.epochs) * real(batches));
        let spec = &self.spec;
        self.network.dropout = single(spec.dropout * regularization(spec.dropout_schedule, share));
        self.updater.weight_decay =
            spec.weight_decay * regularization(spec.weight_decay_schedule, share);
        learning_rate(spec, epochs_done, share)
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

/// The sums over all examples.
fn evaluate_all(network: &mut Network, examples: &Examples) -> Result<Tally, TrainError> {
    let mut tally = Tally::default();
    for block in blocks(examples) {
        tally.add(network.evaluate(examples, block, None)?);
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
