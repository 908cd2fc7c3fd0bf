//! The limits of array files, in addition to those of every data set.

use crate::limits::{MAX_LABEL_BYTES, MAX_VALUES};

/// Most dimensions of an array: images with channels have four.
pub(super) const MAX_DIMENSIONS: usize = 4;

/// Longest header that is read, in bytes. NumPy's default limit is 10000 bytes. The header of an
/// array without fields usually has 118.
pub(super) const MAX_HEADER_BYTES: u32 = 1 << 16;

/// Widest item of a text array, in bytes: the longest name of a class, in NumPy's 4 bytes for each
/// character.
pub(super) const MAX_TEXT_ITEM_BYTES: usize = MAX_LABEL_BYTES * 4;

/// Most memory for the items of a text array, in bytes, as much as the most numbers take.
pub(super) const MAX_TEXT_BYTES: usize = MAX_VALUES * size_of::<f32>();

/// Most entries of an archive. A small file can have many entries that share one compressed header,
/// so the time to list them needs a limit.
pub(super) const MAX_ENTRIES: usize = 1 << 10;
