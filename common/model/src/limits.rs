//! The limits of a model, and the version of its file.

/// Most members of a model.
pub const MAX_MEMBERS: usize = 256;
/// The version of the format that this release writes and reads.
pub(crate) const VERSION: u32 = 1;
