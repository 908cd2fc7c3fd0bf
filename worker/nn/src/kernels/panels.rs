//! The layout of every matrix: columns padded to [`LANES`] and cut into panels of so many columns,
//! one after the other, each row-major. So a panel is one vector a row, a product streams both
//! operands in order, and nothing is packed in a step.

use std::ops::Range;

use super::simd::{LANES, Lanes, vectors, vectors_mut};

/// Columns of a strip: a register tile of AVX-512 needs two vectors across for enough independent
/// sums.
pub(super) const STRIP: usize = 2 * LANES;

/// Some neighbouring panels of a matrix, which a product writes at once: two of them, or one at the
/// right edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strip {
    /// The first column. The strip starts at `first * rows` floats.
    pub(crate) first: usize,
    /// How many.
    pub(crate) width: usize,
}

/// The columns that are stored for so many columns.
pub(crate) const fn padded(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// The strips of a matrix, left to right.
pub(crate) fn strips(columns: usize) -> impl Iterator<Item = Strip> {
    let columns = padded(columns);
    (0..columns).step_by(STRIP).map(move |first| Strip { first, width: STRIP.min(columns - first) })
}

/// Where the first column of every panel is, left to right.
pub(crate) fn panels(columns: usize) -> impl Iterator<Item = usize> {
    (0..columns).step_by(LANES)
}

impl Strip {
    /// Where it lies in a matrix of so many rows.
    pub(crate) fn range(self, rows: usize) -> Range<usize> {
        self.first * rows..(self.first + self.width) * rows
    }

    /// How many of its columns are among the first `columns`, and no padding.
    pub(super) fn columns_of(self, columns: usize) -> usize {
        self.width.min(columns - self.first)
    }

    /// Its columns, in a vector with one value a column.
    pub(crate) fn columns(self) -> Range<usize> {
        self.first..self.first + self.width
    }
}

/// Where the element at (`row`, `column`) of a matrix of `rows` rows lies.
pub(crate) const fn offset(rows: usize, row: usize, column: usize) -> usize {
    column / LANES * LANES * rows + row * LANES + column % LANES
}

/// The panels of a strip of `rows` rows, at least one. `chunks_exact` would divide integers to
/// count them, which takes longer than some of what is done with a small panel.
#[inline(always)]
pub(crate) fn panels_of(strip: &[f32], rows: usize) -> impl Iterator<Item = &[Lanes]> {
    debug_assert!(rows > 0, "panels without rows");
    let mut rest = vectors(strip);
    std::iter::from_fn(
        #[inline(always)]
        move || rest.split_off(..rows),
    )
}

/// As [`panels_of`], to write.
#[inline(always)]
pub(crate) fn panels_of_mut(strip: &mut [f32], rows: usize) -> impl Iterator<Item = &mut [Lanes]> {
    debug_assert!(rows > 0, "panels without rows");
    let mut rest = vectors_mut(strip);
    std::iter::from_fn(
        #[inline(always)]
        move || rest.split_off_mut(..rows),
    )
}
