//! Transposing a strip of a weight matrix, in squares that fit the registers.

use super::Shape;
use super::panels::{Strip, padded, panels};
use super::simd::{LANES, Pass, Simd, vectors, vectors_mut};

/// Rows `strip` of W [padded inputs, outputs] as columns: `to` becomes [padded outputs,
/// strip.width], in panels.
pub(super) struct Transpose<'a> {
    pub(super) shape: Shape,
    pub(super) w: &'a [f32],
    pub(super) strip: Strip,
    pub(super) to: &'a mut [f32],
}

impl Pass for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, w, strip, to } = self;
        let inputs = padded(shape.inputs);
        for panel in panels(strip.width) {
            let to =
                vectors_mut(&mut to[panel * padded(shape.outputs)..]).as_chunks_mut::<LANES>().0;
            for (source, to) in panels(shape.outputs).zip(to) {
                let from = &vectors(&w[source * inputs + (strip.first + panel) * LANES..])[..LANES];
                for row in from {
                    // The next panel lies far away: no hardware guesses that.
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

/// As many vectors as a vector has lanes.
pub(super) type Square<S> = [<S as Simd>::F; LANES];

/// A square's columns as rows. Each round moves a part of the row's number into the lane's, and as
/// much out of it; after all four, row and lane have changed places.
#[inline(always)]
pub(super) fn transpose<S: Simd>(simd: S, square: Square<S>) -> Square<S> {
    let square = pairwise::<S, 2>(simd, square);
    let square = pairwise::<S, 1>(simd, square);
    let square = pairwise::<S, 4>(simd, square);
    pairwise::<S, 8>(simd, square)
}

/// Changes the rows whose numbers differ in bit `BIT` alone with each other.
#[inline(always)]
fn pairwise<S: Simd, const BIT: usize>(simd: S, square: Square<S>) -> Square<S> {
    let mut changed = square;
    for (row, to) in changed.iter_mut().enumerate() {
        let (low, high) = (square[row & !BIT], square[row | BIT]);
        let pair = if BIT < 4 {
            simd.interleave_quarters(low, high)
        } else {
            simd.deal_quarters(low, high)
        };
        *to = pair[usize::from(row & BIT != 0)];
    }
    changed
}
