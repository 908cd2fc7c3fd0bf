//! What can be wrong with a model or its file.

use std::fmt;

use caviar_common::limits::{MAX_EMBEDDING_SIZE, MAX_LAYERS, MAX_UNITS, MAX_WEIGHTS};
use caviar_data::SchemaFault;

use crate::limits::{MAX_MEMBERS, VERSION};

/// Why bytes are not a model, or parts do not make one. Members and layers are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The bytes do not begin as those of a model do.
    #[error("not a model of Caviar: expected a file that `caviar model` has written")]
    NotModel,
    /// The format of the file has another version.
    #[error(
        "the file has version {found} of the format: expected 1 to {VERSION}; use the release of \
         Caviar that wrote it"
    )]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// The file does not have the length that it states.
    #[error("the model is cut off or was added to: expected {expected} bytes, found {found}")]
    Length {
        /// The length that the file states.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// The checksum is wrong.
    #[error("the model is damaged: its checksum is wrong; copy or write the file again")]
    Damaged,
    /// The description at the start of the file cannot be read.
    #[error("the description in the model cannot be read: {0}")]
    Description(String),
    /// The numbers in the file are not as many as its description says.
    #[error("the model has {found} bytes of weights, but its description says {expected}")]
    Content {
        /// The bytes that the description asks for; `u64::MAX` if they are that many or more.
        expected: u64,
        /// The bytes in the file.
        found: u64,
    },
    /// The parts of the schema do not fit each other.
    #[error("the model's schema {0}")]
    Schema(#[from] SchemaFault),
    /// There is no network, or there are too many.
    #[error("the model has {count} networks: expected 1 to {MAX_MEMBERS}")]
    Members {
        /// The number of networks.
        count: usize,
    },
    /// The weight of a network in the average is not a positive number.
    #[error("network {member} has the weight {weight}: expected a number above 0")]
    MemberWeight {
        /// The number of the network.
        member: usize,
        /// Its weight.
        weight: f64,
    },
    /// The weights of the networks in the average do not sum to 1.
    #[error("the weights of the networks sum to {sum}: expected 1")]
    MemberWeights {
        /// The sum.
        sum: f64,
    },
    /// The temperature is not a positive number, or not 1 for regression.
    #[error(
        "network {member} has the temperature {temperature}: expected a number above 0, and 1 for \
         regression"
    )]
    Temperature {
        /// The number of the network.
        member: usize,
        /// Its temperature.
        temperature: f64,
    },
    /// A network has no layer, or too many.
    #[error("network {member} has {count} layers: expected 1 to {}", MAX_LAYERS + 1)]
    Layers {
        /// The number of the network.
        member: usize,
        /// The number of layers.
        count: usize,
    },
    /// A hidden layer has no unit, or too many.
    #[error("layer {layer} of network {member} has {units} units: expected 1 to {MAX_UNITS}")]
    Units {
        /// The number of the network.
        member: usize,
        /// The number of the layer.
        layer: usize,
        /// The units.
        units: usize,
    },
    /// A network has too many weights.
    #[error("network {member} has too many weights: expected at most {MAX_WEIGHTS}")]
    TooLarge {
        /// The number of the network.
        member: usize,
    },
    /// A layer does not fit the layer before it, the schema, or its own size.
    #[error("layer {layer} of network {member} has {found} {what}: expected {expected}")]
    Shape {
        /// The number of the network.
        member: usize,
        /// The number of the layer.
        layer: usize,
        /// What is counted, in the plural.
        what: &'static str,
        /// How many fit.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A hidden layer lacks an activation, or the output layer has one or a batch normalisation.
    #[error(
        "layer {layer} of network {member} is not a layer of Caviar: hidden layers have an \
         activation, and the output layer has none and no batch normalisation"
    )]
    Activation {
        /// The number of the network.
        member: usize,
        /// The number of the layer.
        layer: usize,
    },
    /// What is before the first layer does not fit itself or the schema.
    #[error("the input stage of network {member} {fault}")]
    Stage {
        /// The number of the network.
        member: usize,
        /// What is wrong.
        fault: StageFault,
    },
    /// The model is too large for ONNX.
    #[error(
        "the ONNX file would have {bytes} bytes: its format ends at 2 GiB; use the format \
         safetensors"
    )]
    LargeOnnx {
        /// The bytes of the file.
        bytes: usize,
    },
    /// A number is infinite or NaN, a variance is negative, or an epsilon is not above 0.
    #[error("layer {layer} of network {member} has {tensor} that are not finite or not legal")]
    BadNumber {
        /// The number of the network.
        member: usize,
        /// The number of the layer.
        layer: usize,
        /// Which numbers.
        tensor: Tensor,
    },
}

/// What is wrong with the stage before the first layer. The text continues a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageFault {
    /// The numbers are not inputs of the schema.
    #[error(
        "has numbers that are not ascending, not below {inputs}, the inputs of the schema, or \
         categories"
    )]
    Numbers {
        /// The encoded inputs.
        inputs: usize,
    },
    /// The categories that are embedded are not those of the schema.
    #[error("does not embed the {expected} categories of the schema, each with all its values")]
    Categories {
        /// The categories that the schema numbers.
        expected: usize,
    },
    /// The functions of a scaling.
    #[error("has knots that are not ascending, or not as many functions as numbers")]
    Knots,
    /// The edges of bins.
    #[error("has edges of bins that are not ascending, or too many, or not for each number")]
    Edges,
    /// The inputs that an embedding makes of a number.
    #[error("makes {size} inputs of a number: expected 1 to {MAX_EMBEDDING_SIZE}")]
    Size {
        /// The inputs.
        size: usize,
    },
    /// The learnt factors.
    #[error("has another number of factors than the {expected} inputs of the first layer")]
    Factors {
        /// The inputs of the first layer.
        expected: usize,
    },
    /// A list has another length, or a number that is not finite.
    #[error("has {name} of another length than its shape, or a number that is not finite")]
    Values {
        /// Which numbers.
        name: &'static str,
    },
}

/// One list of numbers of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tensor {
    /// The matrix W.
    Weights,
    /// The vector b.
    Bias,
    /// The factors of batch normalisation.
    Gamma,
    /// The terms of batch normalisation.
    Beta,
    /// The running means of batch normalisation.
    Mean,
    /// The running variances of batch normalisation.
    Variance,
}

impl Tensor {
    /// The name in errors, in the plural.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Bias => "biases",
            Self::Gamma => "factors of batch normalisation",
            Self::Beta => "terms of batch normalisation",
            Self::Mean => "running means",
            Self::Variance => "running variances",
        }
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
