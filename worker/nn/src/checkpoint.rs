//! The bytes of a checkpoint: the state that later steps depend on, the same on every machine.
//!
//! All numbers are little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic, `caviarnn` |
//! | 4 | version (u32) |
//! | 32 | identity of the training |
//! | 4 | epochs done (u32) |
//! | 8 | mini-batches and validated blocks done of the next epoch (u64) |
//! | 8 | steps done (u64) |
//! | 8 | seconds trained so far (f64) |
//! | 32 each | sums over its mini-batches and blocks: loss, its weight, hits, weight (f64) |
//! | 24 each | train and validation score of the last epoch: loss, accuracy, measure (f64) or 0 |
//! | 8 | the spread of that epoch over the trainings of a trial (f64); NaN without |
//! | 4 each | f32s: parameters, the states of the update rule, running means and variances |
//! | 4 each | if they are averaged: f32s of the same form for the averages, without states |
//! | 60 | if the best epoch is kept: its number (u32), 0 before the first, its scores and spread |
//! | 4 each | if the best epoch is kept: f32s of the same form for its weights, without states |
//! | 32 | BLAKE3 of everything before |
//!
//! The floats are in row-major order without padding, so they do not depend on the kernels. The
//! order of the examples, the masks of dropout and the learning rate are not in it: they are
//! functions of the seed, the epoch and the step.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the layout of the same buffers that they index"
)]

use caviar_common::measure::Measure;
use caviar_common::metric::{EpochMetrics, Measured, Score};
use caviar_common::numbers::{to_u64, to_usize};
use caviar_common::train::TrainSpec;

use crate::best::Best;
use crate::error::TrainError;
use crate::kernels::Buffer;
use crate::loss::Tally;
use crate::network::Network;
use crate::optimizer::Updater;
use crate::progress::Progress;
use crate::weights::Weights;

const MAGIC: &[u8; 8] = b"caviarnn";
/// Versions 1 and 2 knew no place within an epoch, version 3 no best epoch, version 4 no measure
/// and no weights, and version 5 no spread. A training whose checkpoint is not read begins with the
/// first epoch, with the same result.
const VERSION: u32 = 6;
/// More steps than the longest training has. Below it, the count of steps cannot overflow.
const MAX_STEPS: u64 = 1 << 53;
const DIGEST_LEN: usize = 32;
/// The bytes before the floats.
const HEADER_LEN: usize = 8 + 4 + 32 + 4 + 8 + 8 + 8 + 2 * 32 + SCORES_LEN;
/// The bytes of the scores and the spread of an epoch.
const SCORES_LEN: usize = 2 * 24 + 8;
/// The bytes of the best epoch before its floats.
const BEST_LEN: usize = 4 + SCORES_LEN;

/// The state of a training between two mini-batches.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) progress: Progress,
    /// Training time so far.
    pub(crate) seconds: f64,
    pub(crate) network: &'a Network,
    pub(crate) updater: &'a Updater,
    /// The best epoch, if it is kept.
    pub(crate) best: Option<&'a Best>,
}

/// What a checkpoint replaces.
pub(crate) struct Target<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) updater: &'a mut Updater,
    pub(crate) best: Option<&'a mut Best>,
}

const JOINED_MAGIC: &[u8; 8] = b"caviartr";
/// The version of checkpoints of several trainings. Theirs have their own. Version 1 had no spread.
const JOINED_VERSION: u32 = 2;

/// The checkpoints of all trainings of a trial as one, with the mean of the last epoch that all
/// have done.
///
/// After magic and version (u32) come the number of that epoch (u32; 0 without one), its scores and
/// its spread (56), and for each training the bytes of its checkpoint (u64) and the checkpoint;
/// then BLAKE3.
pub(crate) fn join(last: Option<EpochMetrics>, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(JOINED_MAGIC);
    bytes.extend_from_slice(&JOINED_VERSION.to_le_bytes());
    bytes.extend_from_slice(&last.map_or(0, |metrics| metrics.epoch).to_le_bytes());
    write_scores(&mut bytes, last);
    for part in parts {
        bytes.extend_from_slice(&to_u64(part.len()).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// The inverse of [`join`] for `count` trainings.
///
/// # Errors
/// The bytes are not such a checkpoint, or are damaged.
pub(crate) fn split(
    bytes: &[u8],
    count: usize,
    form: ScoreForm,
) -> Result<(Option<EpochMetrics>, Vec<&[u8]>), TrainError> {
    let mut reader = Reader { rest: check_digest(bytes, JOINED_MAGIC)? };
    if u32::from_le_bytes(reader.take()?) != JOINED_VERSION {
        return Err(OTHER_VERSION);
    }
    let epoch = u32::from_le_bytes(reader.take()?);
    let last = reader.metrics(epoch, form)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let length = to_usize(reader.word()?);
        let (part, rest) = reader.rest.split_at_checked(length).ok_or(WRONG_LENGTH)?;
        parts.push(part);
        reader.rest = rest;
    }
    if reader.rest.is_empty() { Ok((last, parts)) } else { Err(WRONG_LENGTH) }
}

/// What the progress of a training cannot exceed.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) epochs: u32,
    /// The mini-batches and validated blocks of an epoch.
    pub(crate) pieces: usize,
    /// The weights of all examples of the train and the validation split.
    pub(crate) weights: [f64; 2],
    pub(crate) scores: ScoreForm,
}

/// What scores have besides the loss.
#[derive(Clone, Copy)]
pub(crate) struct ScoreForm {
    /// An accuracy.
    pub(crate) has_classes: bool,
    /// A measure, over the validation split.
    pub(crate) measure: Option<Measure>,
}

/// A digest that differs between trainings: of the spec, of seed, trial and outputs (`numbers`), of
/// the rows and features of the train split (`sizes`), and of the digest of the data.
///
/// # Errors
/// The spec cannot be serialised, which is a bug.
pub(crate) fn identity(
    spec: &TrainSpec,
    numbers: [u64; 3],
    sizes: [usize; 2],
    data_digest: &str,
) -> Result<[u8; 32], TrainError> {
    let spec = serde_json::to_vec(spec);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&spec.map_err(|_| TrainError::Missing { what: "JSON form of its spec" })?);
    hasher.update(format!("{numbers:?} {sizes:?} {data_digest}").as_bytes());
    Ok(*hasher.finalize().as_bytes())
}

/// The checkpoint of the training with that [`identity`].
pub(crate) fn write(identity: &[u8; 32], state: State<'_>) -> Vec<u8> {
    let State { progress, seconds, network, updater, best } = state;
    let mut bytes = Vec::with_capacity(len(network, updater, best.is_some()));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(identity);
    bytes.extend_from_slice(&progress.epochs_done.to_le_bytes());
    bytes.extend_from_slice(&to_u64(progress.pieces_done).to_le_bytes());
    bytes.extend_from_slice(&updater.steps.to_le_bytes());
    bytes.extend_from_slice(&seconds.to_le_bytes());
    for Tally { loss, loss_weight, hits, weight } in [progress.train, progress.validation] {
        [loss, loss_weight, hits, weight]
            .iter()
            .for_each(|sum| bytes.extend_from_slice(&sum.to_le_bytes()));
    }
    write_scores(&mut bytes, progress.last);
    write_floats(&mut bytes, network, updater);
    if let Some(best) = best {
        let epoch = best.metrics.map_or(0, |metrics| metrics.epoch);
        bytes.extend_from_slice(&epoch.to_le_bytes());
        write_scores(&mut bytes, best.metrics);
        write_weights(&mut bytes, network, &best.weights);
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// The scores and the spread of an epoch; zeros and NaN without one.
fn write_scores(bytes: &mut Vec<u8>, metrics: Option<EpochMetrics>) {
    for score in [metrics.map(|it| it.train), metrics.map(|it| it.validation)] {
        let loss = score.map_or(0.0, |it| it.loss);
        let accuracy = score.and_then(|it| it.accuracy).unwrap_or(0.0);
        let measured = score.and_then(|it| it.measured).map_or(0.0, |it| it.value);
        for value in [loss, accuracy, measured] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    let spread = metrics.and_then(|it| it.spread).unwrap_or(f64::NAN);
    bytes.extend_from_slice(&spread.to_le_bytes());
}

/// Parameters and running statistics apart from those of the network.
fn write_weights(bytes: &mut Vec<u8>, network: &Network, weights: &Weights) {
    let mut push = |value: f32| bytes.extend_from_slice(&value.to_le_bytes());
    let positions = network.tensors().flat_map(|tensor| tensor.positions());
    positions.for_each(|position| push(weights.parameters[position]));
    for (units, statistics) in normalised_units(network).zip(&weights.statistics) {
        for values in statistics {
            values.iter().take(units).for_each(|&value| push(value));
        }
    }
}

fn write_floats(bytes: &mut Vec<u8>, network: &Network, updater: &Updater) {
    let mut push = |value: f32| bytes.extend_from_slice(&value.to_le_bytes());
    let push_parameters = |buffer: &Buffer, push: &mut dyn FnMut(f32)| {
        let positions = network.tensors().flat_map(|tensor| tensor.positions());
        positions.for_each(|position| push(buffer[position]));
    };
    for buffer in [&network.parameters].into_iter().chain(updater.states()) {
        push_parameters(buffer, &mut push);
    }
    for layer in &network.layers {
        let running = layer.statistics().map(|of| [&of.running_mean, &of.running_variance]);
        for values in running.into_iter().flatten() {
            values.iter().take(layer.outputs).for_each(|&value| push(value));
        }
    }
    if let Some(average) = &network.average {
        write_weights(bytes, network, &average.weights);
    }
}

/// The units of each layer that is normalised.
fn normalised_units(network: &Network) -> impl Iterator<Item = usize> {
    let normalised = network.layers.iter().filter(|layer| layer.statistics().is_some());
    normalised.map(|layer| layer.outputs)
}

/// The bytes of a checkpoint of that training.
fn len(network: &Network, updater: &Updater, has_best: bool) -> usize {
    let parameters: usize = network.tensors().map(|tensor| tensor.rows * tensor.columns).sum();
    let statistics = 2 * normalised_units(network).sum::<usize>();
    let copies = usize::from(network.average.is_some()) + usize::from(has_best);
    let floats = parameters * (1 + updater.states().count())
        + statistics
        + copies * (parameters + statistics);
    let best = if has_best { BEST_LEN } else { 0 };
    HEADER_LEN + 4 * floats + best + DIGEST_LEN
}

/// Restores the state of the training with that [`identity`]. Returns its progress and the seconds
/// that it was trained.
///
/// # Errors
/// The bytes are not a checkpoint, are damaged, or belong to another training. Network and updater
/// are then as before.
pub(crate) fn read(
    bytes: &[u8],
    identity: &[u8; 32],
    limits: Limits,
    target: Target<'_>,
) -> Result<(Progress, f64), TrainError> {
    let Target { network, updater, best } = target;
    let mut reader = Reader { rest: check_digest(bytes, MAGIC)? };
    if u32::from_le_bytes(reader.take()?) != VERSION {
        return Err(OTHER_VERSION);
    }
    if reader.take::<32>()? != *identity {
        return Err(error("it is of another training: the spec, data, seed or trial differ"));
    }
    if bytes.len() != len(network, updater, best.is_some()) {
        return Err(WRONG_LENGTH);
    }
    let epochs_done = u32::from_le_bytes(reader.take()?);
    let pieces_done = to_usize(reader.word()?);
    let steps = reader.word()?;
    let seconds = f64::from_bits(reader.word()?);
    let mut tally = || {
        let mut sum = || reader.word().map(f64::from_bits);
        Ok(Tally { loss: sum()?, loss_weight: sum()?, hits: sum()?, weight: sum()? })
    };
    let (train, validation) = (tally()?, tally()?);
    let last = reader.metrics(epochs_done, limits.scores)?;
    let progress = Progress { epochs_done, pieces_done, train, validation, last };
    check_progress(&progress, limits)?;
    if steps > MAX_STEPS {
        return Err(error("it has more steps than any training"));
    }
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(error("its training time is not a time"));
    }
    let best_epoch = match &best {
        Some(_) => best_epoch(&reader, network, updater, epochs_done, limits)?,
        None => None,
    };
    read_floats(&mut reader, network, updater)?;
    if let Some(best) = best {
        let weights = reader.rest.get(BEST_LEN..).ok_or(WRONG_LENGTH)?;
        best.metrics = best_epoch;
        read_weights(&mut Reader { rest: weights }, network, &mut best.weights)?;
    }
    updater.steps = steps;
    Ok((progress, seconds))
}

/// The metrics of the best epoch, which precede its weights at the end of a checkpoint. `reader` is
/// at the floats.
fn best_epoch(
    reader: &Reader<'_>,
    network: &Network,
    updater: &Updater,
    epochs_done: u32,
    limits: Limits,
) -> Result<Option<EpochMetrics>, TrainError> {
    let with_best = len(network, updater, true) - len(network, updater, false);
    let start = reader.rest.len().checked_sub(with_best).ok_or(WRONG_LENGTH)?;
    let mut reader = Reader { rest: reader.rest.get(start..).ok_or(WRONG_LENGTH)? };
    let epoch = u32::from_le_bytes(reader.take()?);
    // Another part of the trial may have to end its first epoch before there is a best one.
    if epoch > epochs_done || (epoch == 0 && epochs_done > 1) {
        return Err(error("its best epoch is not one of those that are done"));
    }
    reader.metrics(epoch, limits.scores)
}

fn check_progress(progress: &Progress, limits: Limits) -> Result<(), TrainError> {
    let Progress { epochs_done, pieces_done, train, validation, .. } = progress;
    let pieces = if *epochs_done < limits.epochs { limits.pieces } else { 1 };
    if *epochs_done > limits.epochs || *pieces_done >= pieces {
        return Err(error("it is further than the training goes"));
    }
    // The sums of weights depend on the order of the rows by their rounding.
    let fits = |tally: &Tally, most: f64| {
        let Tally { loss_weight, hits, weight, .. } = *tally;
        let is_sum = |sum: f64| sum.is_finite() && sum >= 0.0;
        is_sum(loss_weight) && is_sum(hits) && hits <= weight && weight <= most * (1.0 + 1e-6)
    };
    let [train_most, validation_most] = limits.weights;
    if !fits(train, train_most) || !fits(validation, validation_most) {
        return Err(error("it counts more examples than the data has"));
    }
    Ok(())
}

/// Reads as many floats as [`len`] counts, which the caller has checked.
fn read_floats(
    reader: &mut Reader<'_>,
    network: &mut Network,
    updater: &mut Updater,
) -> Result<(), TrainError> {
    let tensors: Vec<_> = network.tensors().collect();
    for buffer in [&mut network.parameters].into_iter().chain(updater.states_mut()) {
        for position in tensors.iter().flat_map(|tensor| tensor.positions()) {
            buffer[position] = reader.float()?;
        }
    }
    for layer in &mut network.layers {
        let outputs = layer.outputs;
        let running =
            layer.statistics_mut().map(|of| [&mut of.running_mean, &mut of.running_variance]);
        for values in running.into_iter().flatten() {
            for value in values.iter_mut().take(outputs) {
                *value = reader.float()?;
            }
        }
    }
    let Some(mut average) = network.average.take() else { return Ok(()) };
    let read = read_weights(reader, network, &mut average.weights);
    network.average = Some(average);
    read
}

/// The inverse of [`write_weights`].
fn read_weights(
    reader: &mut Reader<'_>,
    network: &Network,
    weights: &mut Weights,
) -> Result<(), TrainError> {
    for position in network.tensors().flat_map(|tensor| tensor.positions()) {
        weights.parameters[position] = reader.float()?;
    }
    for (units, statistics) in normalised_units(network).zip(&mut weights.statistics) {
        for value in statistics.iter_mut().flat_map(|values| values.iter_mut().take(units)) {
            *value = reader.float()?;
        }
    }
    Ok(())
}

const OTHER_VERSION: TrainError = error("it has another version, written by another release");
const WRONG_LENGTH: TrainError = error("its length is not that of this training's checkpoints");

const fn error(what: &'static str) -> TrainError {
    TrainError::Checkpoint { what }
}

/// Checks magic and digest, and returns the bytes between them.
fn check_digest<'a>(bytes: &'a [u8], magic: &[u8; 8]) -> Result<&'a [u8], TrainError> {
    if !bytes.starts_with(magic) {
        return Err(error("it does not begin like a checkpoint"));
    }
    let damaged = || error("it is damaged: its BLAKE3 digest differs");
    let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    content.strip_prefix(magic.as_slice()).ok_or_else(damaged)
}

/// Reads numbers from the front of the remaining bytes.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], TrainError> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>().ok_or(WRONG_LENGTH)?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn word(&mut self) -> Result<u64, TrainError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn float(&mut self) -> Result<f32, TrainError> {
        Ok(f32::from_le_bytes(self.take()?))
    }

    /// The metrics of an epoch, whose scores come next; `None` for epoch 0.
    fn metrics(
        &mut self,
        epoch: u32,
        ScoreForm { has_classes, measure }: ScoreForm,
    ) -> Result<Option<EpochMetrics>, TrainError> {
        let train = self.score(has_classes, None)?;
        let validation = self.score(has_classes, measure)?;
        let spread = Some(f64::from_bits(self.word()?)).filter(|spread| spread.is_finite());
        Ok((epoch > 0).then_some(EpochMetrics { epoch, train, validation, spread }))
    }

    fn score(&mut self, has_classes: bool, measure: Option<Measure>) -> Result<Score, TrainError> {
        let mut value = || self.word().map(f64::from_bits);
        let (loss, accuracy, value) = (value()?, value()?, value()?);
        let measured = measure.map(|measure| Measured { measure, value });
        Ok(Score { loss, accuracy: has_classes.then_some(accuracy), measured })
    }
}
