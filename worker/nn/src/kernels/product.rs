//! The three products of a layer, of floats or of pairs of bf16.

use super::family::Family;
use super::pairs::{PairColumns, PairRows, PairTransposed, words};
use super::panels::{STRIP, Strip, padded, panels, strips};
use super::simd::LANES;
use super::tile::{StripProduct, Tiles};
use super::transpose::Transpose;

/// Sizes of a layer's products: a [rows, inputs] times W [inputs, outputs]. All matrices are in
/// [`mod@super::panels`] layout; W and its gradient have their rows padded like columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Shape {
    /// Length of the scratch of [`Family::input_gradient`], and of the products of pairs.
    pub(crate) fn scratch_len(self) -> usize {
        STRIP * padded(self.outputs).max(words(self.inputs))
    }
}

/// Sizes of one strip of a product: c [rows, columns] = a b, for a [rows, depth] (or its transpose)
/// and b [depth, columns].
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    /// In words.
    depth: usize,
    columns: usize,
    /// Rows that are stored of b.
    b_rows: usize,
    /// Rows that are stored of c.
    c_rows: usize,
}

impl Sizes {
    /// # Panics
    /// The buffers are too short.
    fn product(self, a: &[f32], a_len: usize, b: &[f32], c: &mut [f32]) -> StripProduct {
        let Self { rows, depth, columns, .. } = self;
        let (b_panel, c_panel) = (self.b_rows * LANES, self.c_rows * LANES);
        let others = columns.div_ceil(LANES) - 1;
        let (b_len, c_len) = (others * b_panel + depth * LANES, others * c_panel + rows * LANES);
        assert!(a.len() >= a_len && b.len() >= b_len && c.len() >= c_len, "buffers of {self:?}");
        StripProduct {
            rows,
            depth,
            columns,
            a: a.as_ptr(),
            b: b.as_ptr(),
            b_panel,
            c: c.as_mut_ptr(),
            c_panel,
        }
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
    /// One strip of z = a W, for all of a and W.
    pub(crate) fn forward(self, shape: Shape, strip: Strip, a: &[f32], w: &[f32], z: &mut [f32]) {
        let Shape { rows, inputs, outputs } = shape;
        let sizes = Sizes {
            rows,
            depth: inputs,
            columns: strip.columns_of(outputs),
            b_rows: padded(inputs),
            c_rows: rows,
        };
        sizes.by_rows(self.tiles(), a, &w[strip.range(padded(inputs))], z);
    }

    /// g = a^T d, the gradient by W, for d [rows, outputs] the gradient by z. The padding rows of g
    /// are left alone.
    pub(crate) fn weight_gradient(self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        self.weight_gradient_of_words(self.tiles(), shape, shape.rows, [a, d], g);
    }

    /// By factors whose rows are so many words.
    fn weight_gradient_of_words(
        self,
        tiles: &Tiles,
        shape: Shape,
        words: usize,
        [a, d]: [&[f32]; 2],
        g: &mut [f32],
    ) {
        let Shape { inputs, outputs, .. } = shape;
        for strip in strips(outputs) {
            let columns = strip.columns_of(outputs);
            let sizes = Sizes {
                rows: inputs,
                depth: words,
                columns,
                b_rows: words,
                c_rows: padded(inputs),
            };
            sizes.by_columns(tiles, a, &d[strip.range(words)], &mut g[strip.range(padded(inputs))]);
        }
    }

    /// One strip of e = d W^T [rows, inputs], the gradient by a. `scratch` ([`Shape::scratch_len`])
    /// takes a transposed strip of W.
    pub(crate) fn input_gradient(
        self,
        shape: Shape,
        strip: Strip,
        d: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        e: &mut [f32],
    ) {
        let Shape { rows, inputs, outputs } = shape;
        self.run(Transpose { shape, w, strip, to: scratch });
        let sizes = Sizes {
            rows,
            depth: outputs,
            columns: strip.columns_of(inputs),
            b_rows: padded(outputs),
            c_rows: rows,
        };
        sizes.by_rows(self.tiles(), d, scratch, e);
    }

    /// A matrix [rows, columns] as pairs along its columns: what [`Family::forward_of_pairs`] takes
    /// for a, and [`Family::input_gradient_of_pairs`] for d.
    pub(crate) fn pair_columns(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairColumns { rows, columns, from, to });
    }

    /// A matrix [rows, columns] as pairs along its rows: what [`Family::weight_gradient_of_pairs`]
    /// takes.
    pub(crate) fn pair_rows(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairRows { rows, columns, from, to });
    }

    /// As [`Family::forward`], of bf16. `scratch` takes a strip of W.
    pub(crate) fn forward_of_pairs(
        self,
        shape: Shape,
        strip: Strip,
        a: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        z: &mut [f32],
    ) {
        let Shape { rows, inputs, outputs } = shape;
        let depth = words(inputs);
        // Its padding rows come in no word: the depth ends before them.
        for panel in panels(strip.width) {
            let from = &w[(strip.first + panel) * padded(inputs)..];
            self.run(PairRows {
                rows: inputs,
                columns: LANES,
                from,
                to: &mut scratch[panel * depth..],
            });
        }
        let sizes =
            Sizes { rows, depth, columns: strip.columns_of(outputs), b_rows: depth, c_rows: rows };
        sizes.by_rows(self.tiles_of_pairs(), a, scratch, z);
    }

    /// As [`Family::weight_gradient`], of bf16.
    pub(crate) fn weight_gradient_of_pairs(
        self,
        shape: Shape,
        a: &[f32],
        d: &[f32],
        g: &mut [f32],
    ) {
        self.weight_gradient_of_words(self.tiles_of_pairs(), shape, words(shape.rows), [a, d], g);
    }

    /// As [`Family::input_gradient`], of bf16.
    pub(crate) fn input_gradient_of_pairs(
        self,
        shape: Shape,
        strip: Strip,
        d: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        e: &mut [f32],
    ) {
        let Shape { rows, inputs, outputs } = shape;
        let depth = words(outputs);
        self.run(PairTransposed { shape, strip, w, to: scratch });
        let sizes = Sizes {
            rows,
            depth,
            columns: strip.columns_of(inputs),
            b_rows: padded(depth),
            c_rows: rows,
        };
        sizes.by_rows(self.tiles_of_pairs(), d, scratch, e);
    }
}
