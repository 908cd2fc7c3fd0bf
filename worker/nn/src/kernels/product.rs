//! The three products of a layer, of floats or of pairs of bf16.

use super::family::Family;
use super::lanes::LANES;
use super::pairs::{PairColumns, PairRows, PairTransposed};
use super::panels::{Piece, Shape, padded, panels, strips, words};
use super::tile::{StripProduct, Tiles};
use super::transpose::Transpose;

/// The sizes of one strip of a product c = a b: a is [rows, depth] or its transpose, b is
/// [depth, columns], and c [rows, columns].
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    /// The depth in words: floats, or pairs of bf16.
    depth: usize,
    columns: usize,
    /// The stored rows of b.
    b_rows: usize,
    /// The stored rows of c.
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
        assert!(
            a.len() >= a_len && b.len() >= b_len && c.len() >= c_len,
            "buffers of {}, {} and {} floats: expected {a_len}, {b_len} and {c_len} for {self:?}",
            a.len(),
            b.len(),
            c.len()
        );
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

    /// Computes the strip for a [rows, depth].
    fn by_rows(self, tiles: &Tiles, a: &[f32], b: &[f32], c: &mut [f32]) {
        let product = self.product(a, self.rows * padded(self.depth), b, c);
        // SAFETY: the lengths were checked, and the tiles are of a family that was detected.
        unsafe { (tiles.rows)(product) };
    }

    /// Computes the strip for a [depth, rows].
    fn by_columns(self, tiles: &Tiles, a: &[f32], b: &[f32], c: &mut [f32]) {
        let product = self.product(a, self.depth * padded(self.rows), b, c);
        // SAFETY: as in by_rows.
        unsafe { (tiles.columns)(product) };
    }
}

impl Family {
    /// One strip of z = a W, for all of a and W.
    pub(crate) fn forward(self, piece: Piece, a: &[f32], w: &[f32], z: &mut [f32]) {
        let Piece { shape: Shape { rows, inputs, outputs }, strip } = piece;
        let sizes = Sizes {
            rows,
            depth: inputs,
            columns: strip.columns_of(outputs),
            b_rows: padded(inputs),
            c_rows: rows,
        };
        sizes.by_rows(self.tiles(), a, &w[strip.range(padded(inputs))], z);
    }

    /// g = a^T d, the gradient by W, for d [rows, outputs], the gradient by z. Does not write the
    /// padding rows of g.
    pub(crate) fn weight_gradient(self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        self.weight_gradient_of_words(self.tiles(), shape, shape.rows, [a, d], g);
    }

    /// g = a^T d for factors with `words` rows of words.
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

    /// One strip of e = d W^T [rows, inputs], the gradient by a. `scratch`, of
    /// [`Shape::scratch_len`] floats, receives a transposed strip of W.
    pub(crate) fn input_gradient(
        self,
        piece: Piece,
        d: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        e: &mut [f32],
    ) {
        let Piece { shape: Shape { rows, inputs, outputs }, strip } = piece;
        self.run(Transpose { piece, w, to: scratch });
        let sizes = Sizes {
            rows,
            depth: outputs,
            columns: strip.columns_of(inputs),
            b_rows: padded(outputs),
            c_rows: rows,
        };
        sizes.by_rows(self.tiles(), d, scratch, e);
    }

    /// Rounds a matrix [rows, columns] to pairs along its columns: the factor a of
    /// [`Family::forward_of_pairs`], or d of [`Family::input_gradient_of_pairs`].
    pub(crate) fn pair_columns(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairColumns { rows, columns, from, to });
    }

    /// Rounds a matrix [rows, columns] to pairs along its rows: the factors of
    /// [`Family::weight_gradient_of_pairs`].
    pub(crate) fn pair_rows(self, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
        self.run(PairRows { rows, columns, from, to });
    }

    /// The same as [`Family::forward`], of bf16. `scratch` receives a strip of W as pairs.
    pub(crate) fn forward_of_pairs(
        self,
        piece: Piece,
        a: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        z: &mut [f32],
    ) {
        let Piece { shape: Shape { rows, inputs, outputs }, strip } = piece;
        let depth = words(inputs);
        // The padding rows of W are in no word, because the depth ends before them.
        for panel in panels(strip.width) {
            let from = &w[(strip.first + panel) * padded(inputs)..];
            let to = &mut scratch[panel * depth..];
            self.run(PairRows { rows: inputs, columns: LANES, from, to });
        }
        let columns = strip.columns_of(outputs);
        let sizes = Sizes { rows, depth, columns, b_rows: depth, c_rows: rows };
        sizes.by_rows(self.tiles_of_pairs(), a, scratch, z);
    }

    /// The same as [`Family::weight_gradient`], of bf16.
    pub(crate) fn weight_gradient_of_pairs(
        self,
        shape: Shape,
        a: &[f32],
        d: &[f32],
        g: &mut [f32],
    ) {
        self.weight_gradient_of_words(self.tiles_of_pairs(), shape, words(shape.rows), [a, d], g);
    }

    /// The same as [`Family::input_gradient`], of bf16.
    pub(crate) fn input_gradient_of_pairs(
        self,
        piece: Piece,
        d: &[f32],
        w: &[f32],
        scratch: &mut [f32],
        e: &mut [f32],
    ) {
        let Piece { shape: Shape { rows, inputs, outputs }, strip } = piece;
        let depth = words(outputs);
        self.run(PairTransposed { piece, w, to: scratch });
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
