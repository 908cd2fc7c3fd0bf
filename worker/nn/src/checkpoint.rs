//! The bytes of a checkpoint: all that the epochs to come depend on, and nothing that depends on
//! the machine.
//!
//! Little-endian: magic, version (u32), identity of the training (32 bytes), epochs done (u32),
//! steps done (u64); then f32s in row-major order without padding: parameters, first state, second
//! state (as far as the update rule has them), running means and variances; last the BLAKE3 of all
//! before it.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the layout of the very buffers they index"
)]

use caviar_common::train::TrainSpec;

use crate::error::TrainError;
use crate::network::Network;
use crate::optimizer::Updater;

const MAGIC: &[u8; 8] = b"caviarnn";
const VERSION: u32 = 1;
/// More than the longest training on the most rows takes; the rest of it can be counted on from
/// here.
const MAX_STEPS: u64 = 1 << 53;
const DIGEST_LEN: usize = 32;

/// What is written.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) epochs_done: u32,
    pub(crate) network: &'a Network,
    pub(crate) updater: &'a Updater,
}

/// Names a training by its spec, its seed, trial and outputs (`numbers`), and the rows and features
/// it trains on (`sizes`).
pub(crate) fn identity(spec: &TrainSpec, numbers: [u64; 3], sizes: [usize; 2]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    // A checked spec is finite, so it always serialises.
    hasher.update(&serde_json::to_vec(spec).unwrap_or_default());
    hasher.update(format!("{numbers:?} {sizes:?}").as_bytes());
    *hasher.finalize().as_bytes()
}

/// The checkpoint of a training.
pub(crate) fn write(identity: &[u8; 32], state: State<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(identity);
    bytes.extend_from_slice(&state.epochs_done.to_le_bytes());
    bytes.extend_from_slice(&state.updater.steps.to_le_bytes());
    let positions: Vec<usize> =
        state.network.tensors().flat_map(|tensor| tensor.positions()).collect();
    for buffer in [&state.network.parameters, &state.updater.first, &state.updater.second] {
        if !buffer.is_empty() {
            positions
                .iter()
                .for_each(|&position| bytes.extend_from_slice(&buffer[position].to_le_bytes()));
        }
    }
    for layer in &state.network.layers {
        for running in layer
            .statistics
            .iter()
            .flat_map(|statistics| [&statistics.running_mean, &statistics.running_variance])
        {
            running
                .iter()
                .take(layer.outputs)
                .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        }
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// Restores the state and gives the epochs done.
///
/// # Errors
/// The bytes are no checkpoint, damaged, or of another training; network and updater may
/// then be half restored.
pub(crate) fn read(
    bytes: &[u8],
    identity: &[u8; 32],
    epochs: u32,
    network: &mut Network,
    updater: &mut Updater,
) -> Result<u32, TrainError> {
    let mut reader = Reader { rest: check_digest(bytes)? };
    if u32::from_le_bytes(reader.take()?) != VERSION {
        return Err(TrainError::Checkpoint { what: "of another version" });
    }
    if reader.take::<32>()? != *identity {
        return Err(TrainError::Checkpoint {
            what: "of another training (spec, data, seed or trial differ)",
        });
    }
    let epochs_done = u32::from_le_bytes(reader.take()?);
    updater.steps = u64::from_le_bytes(reader.take()?);
    if updater.steps > MAX_STEPS {
        return Err(TrainError::Checkpoint { what: "of more steps than any training takes" });
    }
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    for buffer in [&mut network.parameters, &mut updater.first, &mut updater.second] {
        if !buffer.is_empty() {
            for &position in &positions {
                buffer[position] = reader.float()?;
            }
        }
    }
    for layer in &mut network.layers {
        for running in layer
            .statistics
            .iter_mut()
            .flat_map(|statistics| [&mut statistics.running_mean, &mut statistics.running_variance])
        {
            for value in running.iter_mut().take(layer.outputs) {
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

const WRONG_LENGTH: TrainError =
    TrainError::Checkpoint { what: "of another length than this training's" };

/// The bytes between magic and digest.
fn check_digest(bytes: &[u8]) -> Result<&[u8], TrainError> {
    if !bytes.starts_with(MAGIC) {
        return Err(TrainError::Checkpoint { what: "not one of this program's" });
    }
    let damaged = TrainError::Checkpoint { what: "damaged (its BLAKE3 digest differs)" };
    let Some((content, digest)) = bytes.split_last_chunk::<DIGEST_LEN>() else {
        return Err(damaged);
    };
    if blake3::hash(content) != *digest {
        return Err(damaged);
    }
    content.strip_prefix(MAGIC.as_slice()).ok_or(damaged)
}

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
