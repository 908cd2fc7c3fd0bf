//! What can go wrong before or around a training. A loss that diverges is not among it: that is a
//! result.

use caviar_common::error::ErrorClass;

/// Why a training cannot start, go on or be resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A hyperparameter is out of its range.
    #[error("{field} is {value}, must be {allowed}")]
    Spec {
        /// Its name.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// The data cannot be trained on.
    #[error("{split} split: {what}")]
    Data {
        /// Which of `train`, `validation` and `test`.
        split: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The network has more weights than are allowed.
    #[error("the network has {weights} weights, must be at most {limit}")]
    TooLarge {
        /// What it would have, or the largest number if that overflows.
        weights: u64,
        /// What it may have.
        limit: u64,
    },
    /// The machine's memory does not suffice.
    #[error("no memory for {floats} more floats; a smaller batch_size or hidden needs less")]
    OutOfMemory {
        /// What was asked for last.
        floats: usize,
    },
    /// `CAVIAR_KERNELS` is wrong.
    #[error(
        "CAVIAR_KERNELS is {value:?}, must be avx512bf16, avx512, avx2 or portable, and what this machine has"
    )]
    Kernels {
        /// Its value.
        value: String,
    },
    /// A checkpoint cannot be resumed from.
    #[error("checkpoint: {what}")]
    Checkpoint {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An epoch was abandoned half-way: only a checkpoint leads back.
    #[error("an epoch was abandoned; resume from a checkpoint")]
    Abandoned,
    /// All epochs of the spec are done.
    #[error("all {epochs} epochs are done")]
    Finished {
        /// The epochs of the spec.
        epochs: u32,
    },
}

impl TrainError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Spec { .. }
            | Self::Data { .. }
            | Self::TooLarge { .. }
            | Self::Kernels { .. } => ErrorClass::Invalid,
            Self::OutOfMemory { .. } => ErrorClass::Busy,
            Self::Checkpoint { .. } => ErrorClass::Corrupt,
            Self::Abandoned | Self::Finished { .. } => ErrorClass::Refused,
        }
    }
}
