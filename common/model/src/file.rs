//! The bytes of `model.caviar`. The same model always has the same bytes.
//!
//! All numbers are little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic, `CAVIARMD` |
//! | 4 | version (u32) |
//! | 4 | length of the description (u32) |
//! | 8 | length of the file (u64) |
//! | as stated | description as JSON: the schema, and of each member its origin and its shapes |
//! | 4 each | f32s of each layer of each member: W by rows, b, gamma, beta, mean, variance |
//! | 32 | BLAKE3 of everything before |

use caviar_common::numbers::{single, to_u64};
use caviar_common::train::Activation;
use caviar_data::Schema;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::limits::VERSION;
use crate::model::{About, BatchNorm, Layer, Member, Model, Place};

const MAGIC: &[u8; 8] = b"CAVIARMD";
/// The bytes before the description.
const PREFIX_LEN: usize = 8 + 4 + 4 + 8;
const DIGEST_LEN: usize = 32;
const FLOAT_LEN: usize = 4;

/// The description at the start of a file, with borrowed or owned parts.
#[derive(Serialize, Deserialize)]
struct Description<S, A> {
    schema: S,
    members: Vec<StoredMember<A>>,
}

#[derive(Serialize, Deserialize)]
struct StoredMember<A> {
    weight: f64,
    about: A,
    layers: Vec<StoredLayer>,
}

/// The shape of a layer.
#[derive(Serialize, Deserialize)]
struct StoredLayer {
    inputs: usize,
    outputs: usize,
    has_bias: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation: Option<Activation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm: Option<StoredNorm>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct StoredNorm {
    place: Place,
    epsilon: f64,
}

impl Model {
    /// The bytes of the model as a file.
    ///
    /// # Errors
    /// The description is longer than 4 GiB, which no data set within the limits makes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let members = self.members().iter().map(|member| StoredMember {
            weight: member.weight,
            about: &member.about,
            layers: member.layers.iter().map(StoredLayer::of).collect(),
        });
        let description = Description { schema: self.schema(), members: members.collect() };
        let description = serde_json::to_vec(&description)
            .map_err(|error| ModelError::Description(error.to_string()))?;
        let length = u32::try_from(description.len())
            .map_err(|_| ModelError::Description("it is longer than 4 GiB".to_owned()))?;
        let floats: usize = self.members().iter().map(Member::parameters).sum();
        let total = PREFIX_LEN + description.len() + floats * FLOAT_LEN + DIGEST_LEN;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&to_u64(total).to_le_bytes());
        bytes.extend_from_slice(&description);
        for layer in self.members().iter().flat_map(|member| &member.layers) {
            for (_, values) in layer.tensors() {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// Reads the bytes of a file. Nothing in it is trusted, and the memory used is in proportion to
    /// the number of bytes.
    ///
    /// # Errors
    /// The bytes are not a model, have another version, are cut off or damaged, or are a model that
    /// [`Model::new`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut prefix = Reader { rest: bytes };
        if prefix.array::<8>() != Some(*MAGIC) {
            return Err(ModelError::NotModel);
        }
        let found = to_u64(bytes.len());
        let shortest = to_u64(PREFIX_LEN + DIGEST_LEN);
        let cut = || ModelError::Length { expected: shortest, found };
        let version = u32::from_le_bytes(prefix.array().ok_or_else(cut)?);
        if version != VERSION {
            return Err(ModelError::Version { found: version });
        }
        let length = u32::from_le_bytes(prefix.array().ok_or_else(cut)?);
        let expected = u64::from_le_bytes(prefix.array().ok_or_else(cut)?);
        if expected != found {
            return Err(ModelError::Length { expected, found });
        }
        let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or_else(cut)?;
        if blake3::hash(content) != *digest {
            return Err(ModelError::Damaged);
        }
        let content = content.get(PREFIX_LEN..).ok_or_else(cut)?;
        let (description, floats) = usize::try_from(length)
            .ok()
            .and_then(|length| content.split_at_checked(length))
            .ok_or_else(|| ModelError::Description("it is longer than the file".to_owned()))?;
        let description: Description<Schema, About> = serde_json::from_slice(description)
            .map_err(|error| ModelError::Description(error.to_string()))?;
        read_model(description, floats)
    }
}

/// Distributes the floats, which must be exactly as many as the shapes ask for.
fn read_model(description: Description<Schema, About>, floats: &[u8]) -> Result<Model, ModelError> {
    let found = to_u64(floats.len());
    let shapes = description.members.iter().flat_map(|member| &member.layers);
    let expected = shapes
        .map(StoredLayer::floats)
        .fold(0, u64::saturating_add)
        .saturating_mul(to_u64(FLOAT_LEN));
    let content = || ModelError::Content { expected, found };
    if expected != found {
        return Err(content());
    }
    let mut reader = Reader { rest: floats };
    let mut members = Vec::with_capacity(description.members.len());
    for stored in description.members {
        let layers: Option<Vec<Layer>> =
            stored.layers.iter().map(|layer| layer.read(&mut reader)).collect();
        let layers = layers.ok_or_else(content)?;
        members.push(Member { weight: stored.weight, about: stored.about, layers });
    }
    Model::new(description.schema, members)
}

impl StoredLayer {
    fn of(layer: &Layer) -> Self {
        let norm = layer.norm.as_ref();
        Self {
            inputs: layer.inputs,
            outputs: layer.outputs,
            has_bias: layer.bias.is_some(),
            activation: layer.activation,
            norm: norm
                .map(|norm| StoredNorm { place: norm.place, epsilon: f64::from(norm.epsilon) }),
        }
    }

    /// The number of floats that the layer stores; saturates.
    fn floats(&self) -> u64 {
        let outputs = to_u64(self.outputs);
        let rows = to_u64(self.inputs)
            .saturating_add(u64::from(self.has_bias))
            .saturating_add(if self.norm.is_some() { 4 } else { 0 });
        rows.saturating_mul(outputs)
    }

    /// The layer with the next floats; `None` if there are too few.
    fn read(&self, reader: &mut Reader<'_>) -> Option<Layer> {
        let outputs = self.outputs;
        let weights = reader.floats(self.inputs.checked_mul(outputs)?)?;
        let bias = if self.has_bias { Some(reader.floats(outputs)?) } else { None };
        let norm = match self.norm {
            Some(StoredNorm { place, epsilon }) => Some(BatchNorm {
                place,
                gamma: reader.floats(outputs)?,
                beta: reader.floats(outputs)?,
                mean: reader.floats(outputs)?,
                variance: reader.floats(outputs)?,
                epsilon: single(epsilon),
            }),
            None => None,
        };
        let (inputs, activation) = (self.inputs, self.activation);
        Some(Layer { inputs, outputs, weights, bias, activation, norm })
    }
}

/// What is left of the bytes. Every method removes what it reads, and returns `None` if less is
/// left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let (bytes, rest) = self.rest.split_at_checked(count.checked_mul(FLOAT_LEN)?)?;
        self.rest = rest;
        Some(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }
}
