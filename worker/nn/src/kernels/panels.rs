//! The layout of every matrix: columns padded to [`LANES`] and cut into panels of [`PANEL`] columns (the last may have half as
//! many), each panel row-major. A product then streams both operands in order, and nothing is packed in a step.

/// Columns are padded to a multiple of this: the widest vector.
pub(crate) const LANES: usize = 16;
/// Columns of a panel: two of the widest vectors, so that a register tile has enough independent sums.
pub(super) const PANEL: usize = 32;

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

/// [`LANES`] neighbouring columns of a [rows, columns] matrix: what a pass down the rows keeps in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first column.
    pub(crate) column: usize,
    /// Where row 0 lies.
    start: usize,
    /// From one row to the next.
    stride: usize,
}

/// The blocks of a matrix, left to right.
#[inline(always)]
pub(crate) fn blocks(rows: usize, columns: usize) -> impl Iterator<Item = Block> {
    (0..padded(columns)).step_by(LANES).map(move |column| {
        let Panel { first, width } = panel_at(columns, column / PANEL * PANEL);
        Block { column, start: first * rows + (column - first), stride: width }
    })
}

impl Block {
    /// The block's part of every row.
    #[inline(always)]
    pub(crate) fn rows(self, matrix: &[f32], rows: usize) -> impl Iterator<Item = &[f32; LANES]> {
        matrix[self.start..].as_chunks::<LANES>().0.iter().step_by(self.stride / LANES).take(rows)
    }

    /// The block's part of every row, to write.
    #[inline(always)]
    pub(crate) fn rows_mut(self, matrix: &mut [f32], rows: usize) -> impl Iterator<Item = &mut [f32; LANES]> {
        matrix[self.start..].as_chunks_mut::<LANES>().0.iter_mut().step_by(self.stride / LANES).take(rows)
    }

    /// Where the block's part of one row lies.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> std::ops::Range<usize> {
        let at = self.start + row * self.stride;
        at..at + LANES
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
