//! The bytes of a checkpoint: the state that later epochs depend on, the same on every machine.
//!
//! All numbers are little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic, `caviarnn` |
//! | 4 | version (u32) |
//! | 32 | identity of the training |
//! | 4 | epochs done (u32) |
//! | 8 | steps done (u64) |
//! | 4 each | f32s: parameters, the states of the update rule, running means and variances |
//! | 32 | BLAKE3 of everything before |
//!
//! The floats are in row-major order without padding.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the layout of the same buffers that they index"
)]

use caviar_common::train::TrainSpec;

use crate::error::TrainError;
use crate::network::Network;
use crate::optimizer::Updater;

const MAGIC: &[u8; 8] = b"caviarnn";
/// Version 1 had another identity: the spec was written with every hyperparameter of every
/// optimiser. No checkpoint of it was ever stored, so it is not read.
const VERSION: u32 = 2;
/// More steps than the longest training has. Below it, the count of steps cannot overflow.
const MAX_STEPS: u64 = 1 << 53;
const DIGEST_LEN: usize = 32;

/// The state of a training between two epochs.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) epochs_done: u32,
    pub(crate) network: &'a Network,
    pub(crate) updater: &'a Updater,
}

/// A digest that differs between trainings: of the spec, of seed, trial and outputs (`numbers`),
/// and of the rows and features of the train split (`sizes`).
///
/// # Errors
/// The spec cannot be serialised, which is a bug.
pub(crate) fn identity(
    spec: &TrainSpec,
    numbers: [u64; 3],
    sizes: [usize; 2],
) -> Result<[u8; 32], TrainError> {
    let spec = serde_json::to_vec(spec);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&spec.map_err(|_| TrainError::Missing { what: "JSON form of its spec" })?);
    hasher.update(format!("{numbers:?} {sizes:?}").as_bytes());
    Ok(*hasher.finalize().as_bytes())
}

/// The checkpoint of the training with that [`identity`].
pub(crate) fn write(identity: &[u8; 32], state: State<'_>) -> Vec<u8> {
    let State { epochs_done, network, updater } = state;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(identity);
    bytes.extend_from_slice(&epochs_done.to_le_bytes());
    bytes.extend_from_slice(&updater.steps.to_le_bytes());
    let mut push = |value: f32| bytes.extend_from_slice(&value.to_le_bytes());
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    for buffer in [&network.parameters].into_iter().chain(updater.states()) {
        positions.iter().for_each(|&position| push(buffer[position]));
    }
    for layer in &network.layers {
        let running = layer.statistics().map(|of| [&of.running_mean, &of.running_variance]);
        for values in running.into_iter().flatten() {
            values.iter().take(layer.outputs).for_each(|&value| push(value));
        }
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// Restores the state of the training with that [`identity`] and returns the epochs done.
///
/// # Errors
/// The bytes are not a checkpoint, are damaged, or belong to another training. The network and the
/// updater may then be partly restored.
pub(crate) fn read(
    bytes: &[u8],
    identity: &[u8; 32],
    epochs: u32,
    network: &mut Network,
    updater: &mut Updater,
) -> Result<u32, TrainError> {
    let mut reader = Reader { rest: check_digest(bytes)? };
    if u32::from_le_bytes(reader.take()?) != VERSION {
        return Err(error("it has another version, written by another release"));
    }
    if reader.take::<32>()? != *identity {
        return Err(error("it is of another training: the spec, data, seed or trial differ"));
    }
    let epochs_done = u32::from_le_bytes(reader.take()?);
    updater.steps = u64::from_le_bytes(reader.take()?);
    if updater.steps > MAX_STEPS {
        return Err(error("it has more steps than any training"));
    }
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    for buffer in [&mut network.parameters].into_iter().chain(updater.states_mut()) {
        for &position in &positions {
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
    if reader.rest.is_empty() && epochs_done <= epochs {
        Ok(epochs_done)
    } else {
        Err(WRONG_LENGTH)
    }
}

const WRONG_LENGTH: TrainError = error("its length is not that of this training's checkpoints");

const fn error(what: &'static str) -> TrainError {
    TrainError::Checkpoint { what }
}

/// Checks magic and digest, and returns the bytes between them.
fn check_digest(bytes: &[u8]) -> Result<&[u8], TrainError> {
    if !bytes.starts_with(MAGIC) {
        return Err(error("it does not begin like a checkpoint"));
    }
    let damaged = || error("it is damaged: its BLAKE3 digest differs");
    let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    content.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)
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

    fn float(&mut self) -> Result<f32, TrainError> {
        Ok(f32::from_le_bytes(self.take()?))
    }
}
