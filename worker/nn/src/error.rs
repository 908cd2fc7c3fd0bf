//! What can go wrong before and during a training. A loss that diverges is a result, not an error.

use caviar_common::error::{ErrorClass, Problem};

/// Why a training cannot start, continue or be resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A hyperparameter is outside the range that [`caviar_common::hyper::TABLE`] states.
    #[error("{0}")]
    Spec(Problem),
    /// A split cannot be trained on.
    #[error("{split} split: {what}")]
    Data {
        /// `train`, `validation` or `test`.
        split: &'static str,
        /// The field, its value, and what was expected.
        what: String,
    },
    /// The network has more weights than are allowed.
    #[error("weights = {weights}: expected at most {limit}; reduce units or layers")]
    TooLarge {
        /// The weights that it would store, with padding; `u64::MAX` if the number overflows.
        weights: u64,
        /// The largest number that is allowed.
        limit: u64,
    },
    /// The machine has too little memory.
    #[error("not enough memory for {floats} more floats: reduce batch_size, units or layers")]
    OutOfMemory {
        /// The floats of the allocation that failed.
        floats: usize,
    },
    /// The environment variable `CAVIAR_KERNELS` is wrong.
    #[error("CAVIAR_KERNELS = {value:?}: expected {available}, which this machine has")]
    Kernels {
        /// The value of the variable.
        value: String,
        /// The families of this machine, such as `avx2 or portable`.
        available: String,
    },
    /// A checkpoint cannot be resumed from.
    #[error("the checkpoint cannot be resumed: {what}")]
    Checkpoint {
        /// What is wrong with the checkpoint.
        what: &'static str,
    },
    /// All epochs of the spec are done.
    #[error("all {epochs} epochs are done: expected a spec with more epochs")]
    Finished {
        /// The epochs of the spec.
        epochs: u32,
    },
    /// Examples that are in a temporary file cannot be read.
    #[error("{what}")]
    Read {
        /// The file and the error of the operating system.
        what: String,
    },
    /// The weights do not make a model.
    #[error("the weights are no model: {what}")]
    Model {
        /// What is wrong with them.
        what: String,
    },
    /// A step lacks something that was checked or allocated before: a bug in this crate.
    #[error("internal error: a training step has no {what}")]
    Missing {
        /// What the step lacks.
        what: &'static str,
    },
}

impl TrainError {
    /// What a caller can do about the error.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Spec(_) | Self::Data { .. } | Self::TooLarge { .. } | Self::Kernels { .. } => {
                ErrorClass::Invalid
            }
            Self::OutOfMemory { .. } => ErrorClass::Busy,
            Self::Read { .. } => ErrorClass::Unavailable,
            Self::Checkpoint { .. } => ErrorClass::Corrupt,
            Self::Finished { .. } => ErrorClass::Refused,
            Self::Model { .. } | Self::Missing { .. } => ErrorClass::Internal,
        }
    }
}
