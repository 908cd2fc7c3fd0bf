//! The layout of every matrix, and the sizes of a layer's products.
//!
//! The columns of a matrix are padded to a multiple of [`LANES`] and cut into panels of [`LANES`]
//! columns. The panels lie one after the other, each in row-major order. So a row of a panel is one
//! vector, a product reads both operands in order, and no step packs anything.

use std::ops::Range;

use super::lanes::{LANES, Lanes, vectors, vectors_mut};

/// Columns of a strip. A register tile of AVX-512 needs two vectors across for enough independent
/// sums.
pub(super) const STRIP: usize = 2 * LANES;

/// Neighbouring panels of a matrix that a product writes at once: two of them, or one at the right
/// edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strip {
    /// The first column. In a matrix of `rows` rows, the strip starts at float `first * rows`.
    pub(crate) first: usize,
    /// The number of columns, padding included.
    pub(crate) width: usize,
}

/// The sizes of a layer's products, whose operands are a [rows, inputs] and W [inputs, outputs].
///
/// All matrices have the layout of this module. W and its gradient have padded rows too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// One strip of the result of a layer's product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) shape: Shape,
    pub(crate) strip: Strip,
}

/// The stored columns of a matrix with `columns` columns.
pub(crate) const fn padded(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// The words that hold `values` values along the depth as pairs of bf16; see [`mod@super::pairs`].
pub(crate) const fn words(values: usize) -> usize {
    let rest = values % (2 * LANES);
    values / (2 * LANES) * LANES + if rest < LANES { rest } else { LANES }
}

/// The strips of a matrix, left to right.
pub(crate) fn strips(columns: usize) -> impl Iterator<Item = Strip> {
    let columns = padded(columns);
    (0..columns).step_by(STRIP).map(move |first| Strip { first, width: STRIP.min(columns - first) })
}

/// The first column of every panel, left to right.
pub(crate) fn panels(columns: usize) -> impl Iterator<Item = usize> {
    (0..columns).step_by(LANES)
}

impl Strip {
    /// The strip's floats in a matrix of `rows` rows.
    pub(crate) fn range(self, rows: usize) -> Range<usize> {
        self.first * rows..(self.first + self.width) * rows
    }

    /// The number of the strip's columns that are not padding, in a matrix of `columns` columns.
    pub(super) fn columns_of(self, columns: usize) -> usize {
        self.width.min(columns - self.first)
    }

    /// The strip's part of a vector with one value per column.
    pub(crate) fn columns(self) -> Range<usize> {
        self.first..self.first + self.width
    }
}

impl Shape {
    /// Floats of the scratch of [`super::Family::input_gradient`] and of the products of pairs.
    pub(crate) fn scratch_len(self) -> usize {
        STRIP * padded(self.outputs).max(words(self.inputs))
    }
}

/// The position of the element (`row`, `column`) in a matrix of `rows` rows.
pub(crate) const fn offset(rows: usize, row: usize, column: usize) -> usize {
    column / LANES * LANES * rows + row * LANES + column % LANES
}

/// The panels of a strip of `rows` rows. There is at least one row.
///
/// `chunks_exact` would count the panels by an integer division, which takes longer than some
/// passes over a small panel (commit bbb5a5a).
#[inline(always)]
pub(crate) fn panels_of(strip: &[f32], rows: usize) -> impl Iterator<Item = &[Lanes]> {
    debug_assert!(rows > 0, "panels without rows");
    let mut rest = vectors(strip);
    std::iter::from_fn(
        #[inline(always)]
        move || rest.split_off(..rows),
    )
}

/// The same as [`panels_of`], to write.
#[inline(always)]
pub(crate) fn panels_of_mut(strip: &mut [f32], rows: usize) -> impl Iterator<Item = &mut [Lanes]> {
    debug_assert!(rows > 0, "panels without rows");
    let mut rest = vectors_mut(strip);
    std::iter::from_fn(
        #[inline(always)]
        move || rest.split_off_mut(..rows),
    )
}
