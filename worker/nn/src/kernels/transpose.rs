//! Transposing a panel of a weight matrix, in squares that fit the registers.

use super::Shape;
use super::panels::{LANES, PANEL, Panel, padded, panel_at};
use super::vector::Vector;

/// Rows `panel` of W [padded inputs, outputs] as columns: `to` becomes [padded outputs, panel.width], row-major.
///
/// # Safety
/// The instructions of `V`, whose `LANES` is `SIDE`; as many floats at `w` and `to` as said.
#[inline(always)]
pub(super) unsafe fn transpose<V: Vector, const SIDE: usize>(shape: Shape, w: *const f32, panel: Panel, to: *mut f32) {
    const { assert!(SIDE == V::LANES && LANES.is_multiple_of(SIDE)) };
    let inputs = padded(shape.inputs);
    for output in (0..padded(shape.outputs)).step_by(SIDE) {
        let source = panel_at(shape.outputs, output / PANEL * PANEL);
        for input in (panel.first..panel.first + panel.width).step_by(SIDE) {
            // SAFETY: the square at (input, output) lies inside w, the one at (output, input - panel.first) inside to.
            unsafe {
                let from = w.add(source.first * inputs + input * source.width + (output - source.first));
                let rows: [V; SIDE] = std::array::from_fn(
                    #[inline(always)]
                    |row| V::load(from.add(row * source.width)),
                );
                let to = to.add(output * panel.width + (input - panel.first));
                for (row, vector) in transposed(rows).into_iter().enumerate() {
                    vector.store(to.add(row * panel.width));
                }
            }
        }
    }
}

/// A square's columns as rows. Interleaving row i with row i + SIDE / 2 moves the top bit of the row's number to the bottom of
/// the column's; after as many rounds as there are bits, row and column have changed places.
///
/// # Safety
/// The instructions of `V`.
#[inline(always)]
unsafe fn transposed<V: Vector, const SIDE: usize>(mut rows: [V; SIDE]) -> [V; SIDE] {
    for _ in 0..SIDE.ilog2() {
        // SAFETY: the caller's promise.
        rows = std::array::from_fn(
            #[inline(always)]
            |row| unsafe { rows[row / 2].interleave(rows[row / 2 + SIDE / 2])[row % 2] },
        );
    }
    rows
}
