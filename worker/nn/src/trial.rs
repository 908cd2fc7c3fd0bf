//! The trainings of one trial: one, or one for each fold of a cross-validation and each repeat.
//!
//! They advance side by side, one epoch each, so that a trial has one metric after every epoch: the
//! mean. It decides which epoch is the best, for all of them, and rungs see it as they see that of
//! a single training.
//!
//! ```text
//! epoch e:  part 0 -> part 1 -> ... -> part n-1 -> mean -> every part: is it the best epoch?
//! ```
//!
//! The model of the trial is the average of the parts. A fold is predicted by the parts that were
//! not trained on it.

use std::sync::Arc;

use caviar_common::measure::Measure;
use caviar_common::metric::{EpochMetrics, Measured, Metric, Score};
use caviar_common::numbers::{real, to_u32};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::TrainSpec;
use caviar_data::{Schema, Splits, Targets};
use caviar_metrics::Predictions;
use caviar_metrics::ensemble::average;
use caviar_model::{Kept, Member, Model};

use crate::check::check_validation;
use crate::checkpoint::{self, ScoreForm};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::trainer::{Part, Prepared, Trainer};

/// The trainings of one trial, between two mini-batches of one of them.
///
/// Each method does what that of [`Trainer`] with its name does, and with one training it has the
/// same bits.
pub struct TrialTrainer {
    /// At least one. Repeat by repeat, and in each fold by fold.
    parts: Vec<Trainer>,
    data: Arc<Splits>,
    /// The mean of the last epoch that all parts have done; `None` before.
    last: Option<EpochMetrics>,
    /// The objective.
    metric: Metric,
    keeps_best: bool,
}

impl TrialTrainer {
    /// The trainings before their first epoch. `data_digest` ties their checkpoints to the data.
    ///
    /// # Errors
    /// Those of [`Trainer::new`].
    pub fn new(
        spec: &TrainSpec,
        (data, data_digest): (Arc<Splits>, &str),
        objective: &Objective,
        sweep_seed: u64,
        trial: u64,
    ) -> Result<Self, TrainError> {
        let family = Family::for_process()?;
        let folds = data.parts();
        let fold_of_each = (0..objective.repeats.max(1)).flat_map(|_| 0..folds);
        let prepared = Prepared::new(spec, Arc::clone(&data))?;
        check_validation(&data)?;
        let part = |(number, fold)| {
            let identity = (sweep_seed, trial, Part { number, fold });
            Trainer::prepared(family, spec, prepared.clone(), identity)?
                .with_data_digest(data_digest)
                .with_objective(objective)
        };
        let parts = (0..).zip(fold_of_each).map(part).collect::<Result<_, _>>()?;
        Ok(Self {
            parts,
            data,
            last: None,
            metric: objective.metric.clone(),
            keeps_best: objective.epoch == ObjectiveEpoch::Best,
        })
    }

    /// Trains one epoch of every part and returns the mean of their metrics.
    ///
    /// # Errors
    /// All epochs are done.
    pub fn epoch(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<EpochMetrics>, TrainError> {
        let done = self.epochs_done();
        for part in self.parts.iter_mut().filter(|part| part.epochs_done() <= done) {
            if part.epoch_unjudged(go_on)?.is_none() {
                return Ok(None);
            }
        }
        let of_parts: Vec<EpochMetrics> = self.parts.iter().filter_map(Trainer::last).collect();
        let mean = mean_metrics(&of_parts, &self.metric);
        if let Some(mean) = mean {
            self.parts.iter_mut().for_each(|part| part.judge(mean));
        }
        self.last = mean;
        Ok(mean)
    }

    /// The epochs that all parts have done.
    pub fn epochs_done(&self) -> u32 {
        self.parts.iter().map(Trainer::epochs_done).min().unwrap_or_default()
    }

    /// The mini-batches and blocks of the next epoch that are done, of all parts.
    pub fn batches_done(&self) -> usize {
        let done = self.epochs_done();
        let of = |part: &Trainer| {
            if part.epochs_done() > done { part.pieces() } else { part.batches_done() }
        };
        self.parts.iter().map(of).sum()
    }

    /// The share of all parts that is done, from 0 to 1.
    pub fn share_done(&self) -> f64 {
        self.parts.iter().map(Trainer::share_done).sum::<f64>() / real(self.parts.len())
    }

    /// The mean of the last epoch that all parts have done; `None` before the first one ends.
    pub const fn last(&self) -> Option<EpochMetrics> {
        self.last
    }

    /// The mean of the epoch whose weights count.
    pub fn counting(&self) -> Option<EpochMetrics> {
        match (self.keeps_best, self.parts.first()) {
            (true, Some(part)) => part.counting(),
            (true, None) | (false, _) => self.last,
        }
    }

    /// The score of the average of all parts on the test split; `None` without one.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn test(&mut self) -> Result<Option<Score>, TrainError> {
        if let [only] = self.parts.as_mut_slice() {
            return only.test();
        }
        let mean = mean_of(self.parts.iter_mut().map(Trainer::all_test_predictions))?;
        Ok(mean.map(|predictions| score_of(&predictions, &self.data, self.metric.measure())))
    }

    /// The average of all parts as a model. Its predictions for a fold are those of the parts that
    /// the fold validates.
    ///
    /// # Errors
    /// No epoch is done, the examples have no schema, or a weight is not finite.
    pub fn keep(&mut self, sweep: &str) -> Result<Kept, TrainError> {
        if let [only] = self.parts.as_mut_slice() {
            return only.keep(sweep);
        }
        let count = real(self.parts.len());
        let members = self.parts.iter_mut().map(|part| part.member(sweep));
        let members = members.map(|member| Ok(Member { weight: 1.0 / count, ..member? }));
        let members = members.collect::<Result<_, TrainError>>()?;
        let data = Arc::clone(&self.data);
        let schema = data.schema.as_deref().ok_or(TrainError::Missing { what: "data schema" })?;
        let model = Model::new(schema.clone(), members)
            .map_err(|error| TrainError::Model { what: error.to_string() })?;
        Ok(Kept { model, validation: self.validation()?, test: self.test_predictions()? })
    }

    /// The predictions for the validation split, or for all folds one after the other; `None` if
    /// there are too many to keep.
    fn validation(&mut self) -> Result<Option<Predictions>, TrainError> {
        let mut folds = Vec::with_capacity(self.data.parts());
        for fold in 0..self.data.parts() {
            let judged = self.parts.iter_mut().filter(|part| part.fold() == fold);
            let Some(mean) = mean_of(judged.map(Trainer::validation_predictions))? else {
                return Ok(None);
            };
            folds.push(mean);
        }
        let all = Predictions::concatenated(folds);
        let all = all.map_err(|_| TrainError::Missing { what: "predictions of equal form" })?;
        Ok(Some(all).filter(|all| all.numbers() <= Kept::MAX_NUMBERS))
    }

    fn test_predictions(&mut self) -> Result<Option<Predictions>, TrainError> {
        mean_of(self.parts.iter_mut().map(Trainer::test_predictions))
    }

    /// The state that later steps depend on, for [`Self::restore`] on any machine: that of the only
    /// part, or those of all parts in one file.
    ///
    /// # Errors
    /// A bug in this crate.
    pub fn checkpoint(&self, seconds: f64) -> Result<Vec<u8>, TrainError> {
        let parts = self.parts.iter().map(|part| part.checkpoint(seconds));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        Ok(match <[Vec<u8>; 1]>::try_from(parts) {
            Ok([only]) => only,
            Err(parts) => checkpoint::join(self.last, &parts),
        })
    }

    /// Replaces the state by that of a checkpoint. Returns the seconds that were trained before.
    ///
    /// # Errors
    /// The checkpoint is damaged or belongs to another trial. The state is then as before.
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<f64, TrainError> {
        if let [only] = self.parts.as_mut_slice() {
            let seconds = only.restore(checkpoint)?;
            self.last = only.last();
            return Ok(seconds);
        }
        let has_classes = matches!(self.data.train.targets, Targets::Classes(_));
        let measure = self.metric.measure();
        let (last, parts) =
            checkpoint::split(checkpoint, self.parts.len(), ScoreForm { has_classes, measure })?;
        let before = self.parts.iter().map(|part| part.checkpoint(0.0));
        let before = before.collect::<Result<Vec<_>, _>>()?;
        let mut seconds = 0.0;
        for (number, bytes) in parts.iter().enumerate() {
            let Some(part) = self.parts.get_mut(number) else { break };
            match part.restore(bytes) {
                Ok(trained) => seconds = trained,
                Err(error) => {
                    for (part, bytes) in self.parts.iter_mut().zip(&before) {
                        part.restore(bytes)?;
                    }
                    return Err(error);
                }
            }
        }
        self.last = last;
        Ok(seconds)
    }

    /// How many trainings there are.
    pub fn parts(&self) -> u32 {
        to_u32(self.parts.len())
    }
}

/// The average of predictions of the same rows; `None` if one is not kept.
fn mean_of(
    predictions: impl Iterator<Item = Result<Option<Predictions>, TrainError>>,
) -> Result<Option<Predictions>, TrainError> {
    let Some(predictions) = predictions.collect::<Result<Option<Vec<_>>, _>>()? else {
        return Ok(None);
    };
    let weights: Vec<(usize, f64)> = (0..predictions.len()).map(|number| (number, 1.0)).collect();
    average(&predictions, &weights)
        .map(Some)
        .map_err(|_| TrainError::Missing { what: "predictions of equal rows" })
}

/// The score of predictions, in the scale of the training.
fn score_of(predictions: &Predictions, data: &Splits, measure: Option<Measure>) -> Score {
    let value = |measure| predictions.measure(measure);
    let standards = data.schema.as_deref().map(Schema::standards).unwrap_or_default();
    let (loss, accuracy) = match data.train.targets {
        Targets::Classes(_) => (value(Measure::LogLoss), value(Measure::Accuracy)),
        Targets::Values(_) => {
            let scales = standards.iter().map(|standard| standard.scale).chain([1.0]);
            let losses =
                predictions.of_each_output().into_iter().zip(scales).map(|(one, scale)| {
                    one.measure(Measure::Rmse).map(|rmse| (rmse * scale).powi(2))
                });
            let losses: Option<Vec<f64>> = losses.collect();
            (losses.map(|all| all.iter().sum::<f64>() / real(all.len())), None)
        }
    };
    let measured = measure.and_then(|measure| {
        let value = value(measure).filter(|value| !value.is_nan())?;
        Some(Measured { measure, value })
    });
    Score { loss: loss.unwrap_or(f64::NAN), accuracy, measured }
}

/// The mean of the metrics of one epoch, with the spread of the objective; `None` without any.
fn mean_metrics(parts: &[EpochMetrics], objective: &Metric) -> Option<EpochMetrics> {
    let [first, ..] = parts else { return None };
    if let [only] = parts {
        return Some(*only);
    }
    let mean = |score: fn(&EpochMetrics) -> Score| {
        let scores = parts.iter().map(score);
        let accuracies: Option<Vec<f64>> = scores.clone().map(|score| score.accuracy).collect();
        let count = real(parts.len());
        Score {
            loss: scores.map(|score| score.loss).sum::<f64>() / count,
            accuracy: accuracies.map(|all| all.into_iter().sum::<f64>() / count),
            measured: mean_measured(parts, score),
        }
    };
    Some(EpochMetrics {
        epoch: first.epoch,
        train: mean(|metrics| metrics.train),
        validation: mean(|metrics| metrics.validation),
        spread: spread(parts, objective),
    })
}

/// The standard deviation of the objective over n parts, sqrt(sum (v_i - mean)^2 / (n - 1)); `None`
/// for fewer than two, and if it is not finite.
fn spread(parts: &[EpochMetrics], objective: &Metric) -> Option<f64> {
    let values: Vec<f64> = parts.iter().map(|part| part.get(objective)).collect::<Option<_>>()?;
    let mean = values.iter().sum::<f64>() / real(values.len());
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / real(values.len().checked_sub(1)?)).sqrt();
    Some(deviation).filter(|deviation| deviation.is_finite())
}

/// The mean of the measure that all parts have; `None` if one has none.
fn mean_measured(parts: &[EpochMetrics], score: fn(&EpochMetrics) -> Score) -> Option<Measured> {
    let measured: Option<Vec<Measured>> = parts.iter().map(|part| score(part).measured).collect();
    let measured = measured?;
    let measure = measured.first()?.measure;
    let sum: f64 = measured.iter().map(|measured| measured.value).sum();
    Some(Measured { measure, value: sum / real(measured.len()) })
}
