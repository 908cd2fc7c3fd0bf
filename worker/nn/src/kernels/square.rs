//! Transposing a square of vectors in registers.

use super::lanes::{LANES, Lanes};
use super::simd::Simd;

/// As many vectors as a vector has lanes.
pub(super) type Square<S> = [<S as Simd>::F; LANES];

/// [`Simd::transpose`] for families whose registers hold a whole square.
#[inline(always)]
pub(super) fn transpose_rows<'a, S: Simd>(
    simd: S,
    from: impl Fn(usize) -> &'a Lanes,
    to: [&mut Lanes; LANES],
) {
    let mut square = [simd.splat(0.0); LANES];
    for (row, to) in square.iter_mut().enumerate() {
        *to = simd.load(from(row));
    }
    for (column, to) in transpose(simd, square).into_iter().zip(to) {
        simd.store(column, to);
    }
}

/// The columns of a square as rows.
///
/// Each round moves one bit of the row's number into the lane's number and one bit out of it. After
/// four rounds, row and lane have changed places.
#[inline(always)]
pub(super) fn transpose<S: Simd>(simd: S, square: Square<S>) -> Square<S> {
    let square = pairwise::<S, 2>(simd, square);
    let square = pairwise::<S, 1>(simd, square);
    let square = pairwise::<S, 4>(simd, square);
    pairwise::<S, 8>(simd, square)
}

/// Mixes the two rows whose numbers differ only in bit `BIT`, for all such pairs.
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
