//! The layout of every matrix: columns padded to [`LANES`] and cut into panels of [`PANEL`] columns (the last may have half as
//! many), each panel row-major. A product then streams both operands in order, and nothing is packed in a step.

use super::simd::LANES;

/// Columns of a panel: two of the widest vectors, so that a register tile has enough independent sums.
pub(crate) const PANEL: usize = 32;

/// Some neighbouring columns of a matrix: [`PANEL`] of them, or [`LANES`] at its right edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// The first column. The panel starts at `first * rows` floats.
    pub(crate) first: usize,
    /// How many.
    pub(crate) width: usize,
}

/// The columns that are stored for so many columns.
pub(crate) const fn padded(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// The panels of a matrix, left to right.
pub(crate) fn panels(columns: usize) -> impl Iterator<Item = Panel> {
    (0..padded(columns)).step_by(PANEL).map(move |first| panel_at(columns, first))
}

impl Panel {
    /// Where it lies in a matrix of so many rows.
    pub(crate) fn range(self, rows: usize) -> std::ops::Range<usize> {
        self.first * rows..(self.first + self.width) * rows
    }

    /// How many of its columns are among the first `columns`, and no padding.
    pub(super) fn columns_of(self, columns: usize) -> usize {
        self.width.min(columns - self.first)
    }

    /// Its columns, in a vector with one value a column.
    pub(crate) fn columns(self) -> std::ops::Range<usize> {
        self.first..self.first + self.width
    }
}

pub(super) const fn panel_at(columns: usize, first: usize) -> Panel {
    let rest = padded(columns) - first;
    Panel { first, width: if rest < PANEL { rest } else { PANEL } }
}

/// Where the element at (`row`, `column`) of a [`rows`, `columns`] matrix lies.
pub(crate) const fn offset(rows: usize, columns: usize, row: usize, column: usize) -> usize {
    let Panel { first, width } = panel_at(columns, column / PANEL * PANEL);
    first * rows + row * width + (column - first)
}
