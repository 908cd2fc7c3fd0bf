//! The three products of a layer, of floats or of pairs of bf16.

use super::family::Family;
use super::pairs::{PairColumns, PairRows, PairTransposed, words};
use super::panels::{PANEL, Panel, padded, panels};
use super::tile::{PanelProduct, Tiles};
use super::transpose::Transpose;

/// Sizes of a layer's products: a [rows, inputs] times W [inputs, outputs]. All matrices are in [`mod@super::panels`] layout; W and its
/// gradient have their rows padded like columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Shape {
    /// Length of the scratch of [`Family::input_gradient`], and of the products of pairs.
    pub(crate) fn scratch_len(self) -> usize {
        PANEL * padded(self.outputs).max(words(self.inputs))
    }
}

/// Sizes of one panel of a product: c [rows, width] = a b, for a [rows, depth] (or its transpose) and b [depth, width].
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    /// In words.
    depth: usize,
    panel: Panel,
    /// Of the whole product.
    columns: usize,
}

impl Sizes {
    /// # Panics
    /// The buffers are too short.
    fn product(self, a: &[f32], a_len: usize, b: &[f32], c: &mut [f32]) -> PanelProduct {
        let Self { rows, depth, panel, columns } = self;
        let width = panel.width;
        assert!(a.len() >= a_len && b.len() >= depth * width && c.len() >= rows * width, "buffers of {self:?}");
        PanelProduct { rows, depth, width, columns: panel.columns_of(columns), a: a.as_ptr(), b: b.as_ptr(), c: c.as_mut_ptr() }
    }

    /// For a [rows, depth].
    fn by_rows(self, tiles: &Tiles, a: &[f32], b: &[f32], c: &mut [f32]) {
        let product = self.product(a, self.rows * padded(self.depth), b, c);
        // SAFETY: the lengths were checked; the tiles are of a family that was detected.
        unsafe { (tiles.rows)(product) };
    }

    /// For a [depth, rows].
    fn by_columns(self, tiles: &Tiles, a: &[f32], b: &[f32], c: &mut [f32]) {
        let product = self.product(a, self.depth * padded(self.rows), b, c);
        // SAFETY: as in by_rows.
        unsafe { (tiles.columns)(product) };
    }
}

impl Family {
    /// One panel of z = a W, for all of a and W.
    pub(crate) fn forward(self, shape: Shape, panel: Panel, a: &[f32], w: &[f32], z: &mut [f32]) {
        let sizes = Sizes { rows: shape.rows, depth: shape.inputs, panel, columns: shape.outputs };
        sizes.by_rows(self.tiles(), a, &w[panel.first * padded(shape.inputs)..], z);
    }

    /// g = a^T d, the gradient by W, for d [rows, outputs] the gradient by z. The padding rows of g are left alone.
    pub(crate) fn weight_gradient(self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        for panel in panels(shape.outputs) {
            let sizes = Sizes { rows: shape.inputs, depth: shape.rows, panel, columns: shape.outputs };
            sizes.by_columns(self.tiles(), a, &d[panel.first * shape.rows..], &mut g[panel.first * padded(shape.inputs)..]);
        }
    }

    /// One panel of e = d W^T [rows, inputs], the gradient by a. `scratch` ([`Shape::scratch_len`]) takes a transposed panel of W.
    pub(crate) fn input_gradient(self, shape: Shape, panel: Panel, d: &[f32], w: &[f32], scratch: &mut [f32], e: &mut [f32]) {
        self.run(Transpose { shape, w, panel, to: scratch });
        let sizes = Sizes { rows: shape.rows, depth: shape.outputs, panel, columns: shape.inputs };
        sizes.by_rows(self.tiles(), d, scratch, e);
    }

    /// A matrix [rows, columns] as pairs along its columns: what [`Family::forward_of_pairs`] takes for a, and
    /// [`Family::input_gradient_of_pairs`] for d.
    pub(crate) fn pair_columns(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairColumns { rows, columns, from, to });
    }

    /// A matrix [rows, columns] as pairs along its rows: what [`Family::weight_gradient_of_pairs`] takes.
    pub(crate) fn pair_rows(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        for panel in panels(columns) {
            self.pair_rows_of_panel(rows, panel.width, &from[panel.range(rows)], &mut to[panel.range(words(rows))]);
        }
    }

    fn pair_rows_of_panel(self, rows: usize, width: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairRows { rows, width, from, to });
    }

    /// As [`Family::forward`], of bf16. `scratch` takes a panel of W.
    pub(crate) fn forward_of_pairs(self, shape: Shape, panel: Panel, a: &[f32], w: &[f32], scratch: &mut [f32], z: &mut [f32]) {
        self.pair_rows_of_panel(shape.inputs, panel.width, &w[panel.first * padded(shape.inputs)..], scratch);
        let sizes = Sizes { rows: shape.rows, depth: words(shape.inputs), panel, columns: shape.outputs };
        sizes.by_rows(self.tiles_of_pairs(), a, scratch, z);
    }

    /// As [`Family::weight_gradient`], of bf16.
    pub(crate) fn weight_gradient_of_pairs(self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        let depth = words(shape.rows);
        for panel in panels(shape.outputs) {
            let sizes = Sizes { rows: shape.inputs, depth, panel, columns: shape.outputs };
            sizes.by_columns(self.tiles_of_pairs(), a, &d[panel.first * depth..], &mut g[panel.first * padded(shape.inputs)..]);
        }
    }

    /// As [`Family::input_gradient`], of bf16.
    pub(crate) fn input_gradient_of_pairs(self, shape: Shape, panel: Panel, d: &[f32], w: &[f32], scratch: &mut [f32], e: &mut [f32]) {
        self.run(PairTransposed { inputs: shape.inputs, outputs: shape.outputs, panel, w, to: scratch });
        let sizes = Sizes { rows: shape.rows, depth: words(shape.outputs), panel, columns: shape.inputs };
        sizes.by_rows(self.tiles_of_pairs(), d, scratch, e);
    }
}
