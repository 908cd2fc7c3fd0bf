//! The features of a data set, in memory of their own or inside a block.

use ndarray::{Array2, ArrayView2, aview2};
use zerocopy::FromBytes;

use crate::map::Bytes;

/// Bytes of a number in a block.
pub(crate) const NUMBER_BYTES: usize = 4;

/// The features of a data set: in memory of their own, or inside a block.
#[derive(Clone, Debug)]
pub(crate) enum Features {
    /// Read from another format.
    Owned(Array2<f32>),
    /// A part of a block. The part was checked: it is aligned, and as long as the shape says.
    Block {
        /// The block.
        bytes: Bytes,
        /// Where the features begin, in bytes.
        start: usize,
        /// Rows and columns.
        shape: (usize, usize),
    },
}

impl Features {
    /// Rows and columns.
    pub(crate) fn view(&self) -> ArrayView2<'_, f32> {
        match self {
            Self::Owned(features) => features.view(),
            Self::Block { bytes, start, shape } => {
                let values = floats(bytes.get(), *start, shape.0 * shape.1).unwrap_or_default();
                // `from_block` makes this view first, and refuses the block if it has no rows.
                ArrayView2::from_shape(*shape, values).unwrap_or_else(|_| aview2::<f32, 0>(&[]))
            }
        }
    }
}

impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

/// `count` numbers from byte `start` on, in place; `None` if they are not aligned, not there, or in
/// another order than this machine's.
pub(crate) fn floats(bytes: &[u8], start: usize, count: usize) -> Option<&[f32]> {
    let part = bytes.get(start..)?.get(..count.checked_mul(NUMBER_BYTES)?)?;
    if cfg!(target_endian = "little") { <[f32]>::ref_from_bytes(part).ok() } else { None }
}
