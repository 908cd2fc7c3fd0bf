//! Transposing a panel of a weight matrix, in squares that fit the registers.

use super::Shape;
use super::panels::{Panel, padded, panels};
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
        for source in panels(shape.outputs) {
            let block = Block {
                from: w[source.first * inputs + panel.first * source.width..][..panel.width * source.width].as_chunks().0,
                to: to[source.first * panel.width..][..source.width * panel.width].as_chunks_mut().0,
                next: source.width * inputs,
            };
            match (source.width > LANES, panel.width > LANES) {
                (false, false) => block.transpose::<S, 1, 1>(simd),
                (false, true) => block.transpose::<S, 1, 2>(simd),
                (true, false) => block.transpose::<S, 2, 1>(simd),
                (true, true) => block.transpose::<S, 2, 2>(simd),
            }
        }
    }
}

/// What two panels have in common: some squares.
struct Block<'a> {
    from: &'a [Lanes],
    to: &'a mut [Lanes],
    /// How far behind `from` the next block begins, in floats.
    next: usize,
}

impl Block<'_> {
    /// `from` has `N` vectors a row, `to` has `M`.
    #[inline(always)]
    fn transpose<S: Simd, const N: usize, const M: usize>(self, simd: S) {
        let (from, to) = (self.from.as_chunks::<N>().0.as_chunks::<LANES>().0, self.to.as_chunks_mut::<M>().0.as_chunks_mut::<LANES>().0);
        for (row, from) in from.iter().enumerate() {
            for (column, to) in to.iter_mut().enumerate() {
                for vectors in from {
                    // The next block lies far away: no hardware guesses that.
                    simd.prefetch(vectors[column].as_ptr().wrapping_add(self.next));
                }
                simd.transpose(
                    #[inline(always)]
                    |index| &from[index][column],
                    to.each_mut().map(
                        #[inline(always)]
                        |vectors| &mut vectors[row],
                    ),
                );
            }
        }
    }
}

/// As many vectors as a vector has lanes.
pub(super) type Square<S> = [<S as Simd>::F; LANES];

/// A square's columns as rows. Each round moves a part of the row's number into the lane's, and as much out of it; after all four, row
/// and lane have changed places.
#[inline(always)]
pub(super) fn transpose<S: Simd>(simd: S, square: Square<S>) -> Square<S> {
    let square = pairwise::<S, 2>(simd, square, S::interleave_quarters);
    let square = pairwise::<S, 1>(simd, square, S::interleave_quarters);
    let square = pairwise::<S, 4>(simd, square, S::deal_quarters);
    pairwise::<S, 8>(simd, square, S::deal_quarters)
}

/// Changes the rows whose numbers differ in bit `BIT` alone with each other.
#[inline(always)]
fn pairwise<S: Simd, const BIT: usize>(simd: S, square: Square<S>, change: impl Fn(S, S::F, S::F) -> [S::F; 2]) -> Square<S> {
    std::array::from_fn(
        #[inline(always)]
        |row| change(simd, square[row & !BIT], square[row | BIT])[usize::from(row & BIT != 0)],
    )
}
