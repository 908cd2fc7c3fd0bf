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
//! | 4 each | f32s of each member: of its input stage, then of each layer, such as W by rows |
//! | 32 | BLAKE3 of everything before |

use caviar_common::numbers::{single, to_u64};
use caviar_common::train::Activation;
use caviar_data::Schema;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::input::InputStage;
use crate::limits::{VERSION, VERSION_WITH_LABELS, VERSION_WITH_STAGE, VERSION_WITHOUT_STAGE};
use crate::model::{About, BatchNorm, Layer, Member, Model, Place};
use crate::reader::{FLOAT_LEN, Reader};
use crate::stored_stage::StoredStage;

const MAGIC: &[u8; 8] = b"CAVIARMD";
/// The bytes before the description.
const PREFIX_LEN: usize = 8 + 4 + 4 + 8;
const DIGEST_LEN: usize = 32;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<StoredStage>,
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
            stage: StoredStage::of(&member.stage),
            layers: member.layers.iter().map(StoredLayer::of).collect(),
        });
        let description = Description { schema: self.schema(), members: members.collect() };
        let description = serde_json::to_vec(&description)
            .map_err(|error| ModelError::Description(error.to_string()))?;
        let length = u32::try_from(description.len())
            .map_err(|_| ModelError::Description("it is longer than 4 GiB".to_owned()))?;
        let count: usize = self.members().iter().flat_map(floats).map(<[f32]>::len).sum();
        let total = PREFIX_LEN + description.len() + count * FLOAT_LEN + DIGEST_LEN;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version().to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&to_u64(total).to_le_bytes());
        bytes.extend_from_slice(&description);
        for values in self.members().iter().flat_map(floats) {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// The lowest version of the format that has all that the model has.
    fn version(&self) -> u32 {
        if !self.schema().encoder.categories().is_empty() {
            VERSION
        } else if !self.schema().more_labels.is_empty() {
            VERSION_WITH_LABELS
        } else if self.members().iter().any(|member| !member.stage.is_empty()) {
            VERSION_WITH_STAGE
        } else {
            VERSION_WITHOUT_STAGE
        }
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
        if !(VERSION_WITHOUT_STAGE..=VERSION).contains(&version) {
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

/// The lists of numbers of a member, in the order in which a file stores them.
fn floats(member: &Member) -> impl Iterator<Item = &[f32]> {
    let stage = member.stage.tensors().into_iter().map(|tensor| tensor.values);
    stage.chain(member.layers.iter().flat_map(|layer| layer.tensors().map(|(_, values)| values)))
}

/// Distributes the floats, which must be exactly as many as the shapes ask for.
fn read_model(description: Description<Schema, About>, floats: &[u8]) -> Result<Model, ModelError> {
    let found = to_u64(floats.len());
    let of_member = |member: &StoredMember<About>| {
        let stage = member.stage.as_ref().map_or(0, StoredStage::floats);
        member.layers.iter().map(StoredLayer::floats).fold(stage, u64::saturating_add)
    };
    let expected = description
        .members
        .iter()
        .map(of_member)
        .fold(0, u64::saturating_add)
        .saturating_mul(to_u64(FLOAT_LEN));
    let content = || ModelError::Content { expected, found };
    if expected != found {
        return Err(content());
    }
    let mut reader = Reader { rest: floats };
    let mut members = Vec::with_capacity(description.members.len());
    for stored in description.members {
        let stage = match &stored.stage {
            Some(stage) => stage.read(&mut reader).ok_or_else(content)?,
            None => InputStage::default(),
        };
        let layers: Option<Vec<Layer>> =
            stored.layers.iter().map(|layer| layer.read(&mut reader)).collect();
        let layers = layers.ok_or_else(content)?;
        members.push(Member { weight: stored.weight, about: stored.about, stage, layers });
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
