//! Transposing a strip of a weight matrix, square by square.

use super::lanes::{LANES, vectors, vectors_mut};
use super::panels::{Piece, padded, panels};
use super::simd::{Pass, Simd};

/// Writes the rows `strip` of W [padded inputs, outputs] as columns: `to` becomes
/// [padded outputs, strip.width] in panels.
pub(super) struct Transpose<'a> {
    /// The strip of the input gradient, whose columns are rows of W.
    pub(super) piece: Piece,
    pub(super) w: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { piece: Piece { shape, strip }, w, to } = self;
        let inputs = padded(shape.inputs);
        for panel in panels(strip.width) {
            let to =
                vectors_mut(&mut to[panel * padded(shape.outputs)..]).as_chunks_mut::<LANES>().0;
            for (source, to) in panels(shape.outputs).zip(to) {
                let from = &vectors(&w[source * inputs + (strip.first + panel) * LANES..])[..LANES];
                for row in from {
                    // The next panel lies too far away for the hardware prefetcher.
                    simd.prefetch(row.as_ptr().wrapping_add(LANES * inputs));
                }
                simd.transpose(
                    #[inline(always)]
                    |row| &from[row],
                    to.each_mut(),
                );
            }
        }
    }
}
