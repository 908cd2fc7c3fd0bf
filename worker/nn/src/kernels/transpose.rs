//! Transposing a panel of a weight matrix, in squares that fit the registers.

use super::Shape;
use super::panels::{PANEL, Panel, padded, panel_at};
use super::simd::{LANES, Lanes, Pass, Simd};

/// Rows `panel` of W [padded inputs, outputs] as columns: `to` becomes [padded outputs, panel.width], row-major.
pub(super) struct Transpose<'a> {
    pub(super) shape: Shape,
    pub(super) w: &'a [f32],
    pub(super) panel: Panel,
    pub(super) to: &'a mut [f32],
}

impl Pass for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, w, panel, to } = self;
        let inputs = padded(shape.inputs);
        let (w, to) = (w.as_chunks::<LANES>().0, to.as_chunks_mut::<LANES>().0);
        for output in (0..padded(shape.outputs)).step_by(LANES) {
            let source = panel_at(shape.outputs, output / PANEL * PANEL);
            for input in (0..panel.width).step_by(LANES) {
                // In vectors: where the square begins, and how far apart its rows are.
                let from = (source.first * inputs + (panel.first + input) * source.width + (output - source.first)) / LANES;
                let rows = w[from..].iter().step_by(source.width / LANES);
                let into = to[(output * panel.width + input) / LANES..].iter_mut().step_by(panel.width / LANES);
                transpose(simd, rows, into);
            }
        }
    }
}

/// A square's columns as rows. Interleaving row i with row i + 8 moves the top bit of the row's number to the bottom of the column's;
/// after as many rounds as there are bits, row and column have changed places.
#[inline(always)]
fn transpose<'a, S: Simd>(simd: S, rows: impl Iterator<Item = &'a Lanes>, into: impl Iterator<Item = &'a mut Lanes>) {
    let mut square = [simd.splat(0.0); LANES];
    for (slot, row) in square.iter_mut().zip(rows) {
        *slot = simd.load(row);
    }
    for _ in 0..LANES.ilog2() {
        square = std::array::from_fn(
            #[inline(always)]
            |row| simd.interleave(square[row / 2], square[row / 2 + LANES / 2])[row % 2],
        );
    }
    for (row, to) in square.into_iter().zip(into) {
        simd.store(row, to);
    }
}
