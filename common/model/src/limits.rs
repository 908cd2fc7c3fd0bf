//! The limits of a model, and the version of its file.

/// Most members of a model.
pub const MAX_MEMBERS: usize = 256;
/// The version of the format of a model that embeds categories, the highest that this release
/// reads.
pub(crate) const VERSION: u32 = 4;
/// The version of the format of a model of several labels.
pub(crate) const VERSION_WITH_LABELS: u32 = 3;
/// The version of the format of a model with an input stage.
pub(crate) const VERSION_WITH_STAGE: u32 = 2;
/// The version of the format of other models, which earlier releases read too.
pub(crate) const VERSION_WITHOUT_STAGE: u32 = 1;
