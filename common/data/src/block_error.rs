//! What can be wrong with a block.

/// Why the bytes of a block are not a data set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes do not begin like a block.
    #[error("it is not a block of data")]
    NotABlock,
    /// Another release has made the block.
    #[error(
        "it is a block of version {found}: expected version 2; {}",
        if *.found < 2 { "submit the sweep again" } else { "is this release older?" }
    )]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// The block is shorter or longer than its schema says.
    #[error("it has {found} bytes: expected {expected}, as its header says")]
    Length {
        /// The length of the block.
        found: u64,
        /// The length that its header or its schema says.
        expected: u64,
    },
    /// The schema is longer than any data set needs.
    #[error("its schema has {bytes} bytes, which is too long")]
    LongSchema {
        /// The length of the schema.
        bytes: u64,
    },
    /// The schema cannot be read, or exceeds a limit.
    #[error("its schema is wrong: {what}")]
    Schema {
        /// What is wrong, in words for the user.
        what: String,
    },
    /// A number that no reader returns.
    #[error("{what}")]
    Number {
        /// What is wrong, in words for the user.
        what: &'static str,
    },
    /// The data as a whole cannot be trained on.
    #[error("{what}")]
    Data {
        /// What is wrong, in words for the user.
        what: String,
    },
}
