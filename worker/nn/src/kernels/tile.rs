//! Register tiles: a block of the product stays in registers while the depth runs, so each step of the depth costs one load of
//! b a vector and one broadcast of a a row, and no store (the micro-kernel of Goto and van de Geijn 2008).
//!
//! Every element of a product is one chain of multiply-adds from 0, in the order of the depth: neither the tile's height nor
//! the vector's width shows in the result.

use super::Shape;
use super::panels::{LANES, PANEL, Panel};
use super::vector::Vector;

/// One panel of a product: c [rows, width] = a b, with b [depth, width].
#[derive(Clone, Copy)]
pub(super) struct PanelProduct {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// [`PANEL`] or [`LANES`].
    pub(super) width: usize,
    /// All panels of a: [rows, depth], or [depth, rows] where the product is by its transpose.
    pub(super) a: *const f32,
    /// One panel.
    pub(super) b: *const f32,
    /// One panel, written.
    pub(super) c: *mut f32,
}

/// The products of one family.
///
/// # Safety
/// All need the family's instructions, and pointers to as many floats as [`PanelProduct`] or [`super::transpose`] says; what is
/// written lies apart from what is read.
pub(super) struct Tiles {
    /// a is [rows, depth].
    pub(super) rows: unsafe fn(PanelProduct),
    /// a is [depth, rows].
    pub(super) columns: unsafe fn(PanelProduct),
    /// One panel of W transposed.
    pub(super) transpose: unsafe fn(Shape, *const f32, Panel, *mut f32),
}

/// Adds `depth` steps to a tile of `ROWS` rows and `VECTORS` vectors. In a, a row is `ROW` floats apart and a step `STEP`.
///
/// # Safety
/// The instructions of `V`; a and b reach as far as the strides say.
#[inline(always)]
unsafe fn accumulate<V: Vector, const ROWS: usize, const VECTORS: usize, const ROW: usize, const STEP: usize>(
    mut sums: [[V; VECTORS]; ROWS],
    depth: usize,
    a: *const f32,
    b: *const f32,
    b_width: usize,
) -> [[V; VECTORS]; ROWS] {
    for step in 0..depth {
        // SAFETY: the caller's promise; ROWS, VECTORS and depth bound every offset.
        unsafe {
            let (a, b) = (a.add(step * STEP), b.add(step * b_width));
            let right: [V; VECTORS] = std::array::from_fn(
                #[inline(always)]
                |v| V::load(b.add(v * V::LANES)),
            );
            for (row, sums) in sums.iter_mut().enumerate() {
                let left = V::splat(*a.add(row * ROW));
                for v in 0..VECTORS {
                    sums[v] = sums[v].add_product(left, right[v]);
                }
            }
        }
    }
    sums
}

/// Rows `row` to `row + ROWS`, vectors from column `column` of c, for a [rows, depth].
///
/// # Safety
/// As [`Tiles`]; the tile lies inside c.
#[inline(always)]
unsafe fn tile_of_rows<V: Vector, const ROWS: usize, const VECTORS: usize>(product: PanelProduct, row: usize, column: usize) {
    let PanelProduct { rows, depth, width, a, b, c } = product;
    let whole = depth / PANEL * PANEL;
    // SAFETY: the caller's promise. The panels of a before `whole` are PANEL wide; the last is as wide as its padded rest.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        for first in (0..whole).step_by(PANEL) {
            let (a, b) = (a.add(first * rows + row * PANEL), b.add(first * width + column));
            sums = accumulate::<V, ROWS, VECTORS, PANEL, 1>(sums, PANEL, a, b, width);
        }
        let (a, b, rest) = (a.add(whole * rows), b.add(whole * width + column), depth - whole);
        if rest > LANES {
            sums = accumulate::<V, ROWS, VECTORS, PANEL, 1>(sums, rest, a.add(row * PANEL), b, width);
        } else if rest > 0 {
            sums = accumulate::<V, ROWS, VECTORS, LANES, 1>(sums, rest, a.add(row * LANES), b, width);
        }
        store(sums, c.add(row * width + column), width);
    }
}

/// Rows `row` to `row + ROWS`, vectors from column `column` of c, for a [depth, rows]; the rows lie in one panel of a.
///
/// # Safety
/// As [`Tiles`]; the tile lies inside c and its rows inside one panel of a.
#[inline(always)]
unsafe fn tile_of_columns<V: Vector, const ROWS: usize, const VECTORS: usize>(product: PanelProduct, row: usize, column: usize) {
    let PanelProduct { rows, depth, width, a, b, c } = product;
    let first = row / PANEL * PANEL;
    // SAFETY: the caller's promise. The panel of a that holds these rows is PANEL wide unless it is the last and half empty.
    unsafe {
        let (a, b) = (a.add(first * depth + row - first), b.add(column));
        let zeros = [[V::splat(0.0); VECTORS]; ROWS];
        let sums = if rows - first > LANES {
            accumulate::<V, ROWS, VECTORS, 1, PANEL>(zeros, depth, a, b, width)
        } else {
            accumulate::<V, ROWS, VECTORS, 1, LANES>(zeros, depth, a, b, width)
        };
        store(sums, c.add(row * width + column), width);
    }
}

/// # Safety
/// The instructions of `V`; the tile may be written at `to`, rows `width` apart.
#[inline(always)]
unsafe fn store<V: Vector, const ROWS: usize, const VECTORS: usize>(sums: [[V; VECTORS]; ROWS], to: *mut f32, width: usize) {
    for (row, vectors) in sums.into_iter().enumerate() {
        for (v, sum) in vectors.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { sum.store(to.add(row * width + v * V::LANES)) };
        }
    }
}

/// Cuts `rows` into the fewest tiles of at most `most` rows and sizes that differ by at most one, and calls `tile(first, height)`.
#[inline(always)]
fn for_each_tile(rows: usize, most: usize, mut tile: impl FnMut(usize, usize)) {
    let count = rows.div_ceil(most);
    let mut first = 0;
    for index in 0..count {
        let height = rows / count + usize::from(index < rows % count);
        tile(first, height);
        first += height;
    }
}

/// A family: its vector, its instructions, and the heights of its tiles (what its registers hold, with two vectors a row).
macro_rules! family {
    ($(#[$meta:meta])* $name:ident, $vector:ty, [$($features:literal)?], [$($height:literal)*]) => {
        $(#[$meta])*
        pub(super) mod $name {
            use super::{LANES, PANEL, Panel, PanelProduct, Shape, Tiles, Vector, for_each_tile, tile_of_columns, tile_of_rows};
            use crate::kernels::transpose::transpose;

            type Tile = unsafe fn(PanelProduct, usize, usize);
            const LANES_OF_ONE: usize = <$vector as Vector>::LANES;
            /// By height - 1.
            static OF_ROWS: [[Tile; [$($height),*].len()]; 2] =
                [[$(of_rows::<$height, 1>),*], [$(of_rows::<$height, 2>),*]];
            static OF_COLUMNS: [[Tile; [$($height),*].len()]; 2] =
                [[$(of_columns::<$height, 1>),*], [$(of_columns::<$height, 2>),*]];
            pub(in crate::kernels) static TILES: Tiles = Tiles { rows: panel_of_rows, columns: panel_of_columns, transpose: panel_of_w };

            $(#[target_feature(enable = $features)])?
            unsafe fn of_rows<const ROWS: usize, const VECTORS: usize>(product: PanelProduct, row: usize, column: usize) {
                // SAFETY: the caller's promise, with the instructions enabled here.
                unsafe { tile_of_rows::<$vector, ROWS, VECTORS>(product, row, column) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn of_columns<const ROWS: usize, const VECTORS: usize>(product: PanelProduct, row: usize, column: usize) {
                // SAFETY: the caller's promise, with the instructions enabled here.
                unsafe { tile_of_columns::<$vector, ROWS, VECTORS>(product, row, column) }
            }

            unsafe fn panel_of_rows(product: PanelProduct) {
                let vectors = (product.width / LANES_OF_ONE).min(2);
                for column in (0..product.width).step_by(vectors * LANES_OF_ONE) {
                    for_each_tile(product.rows, OF_ROWS[0].len(), |row, height| {
                        // SAFETY: the caller's promise; the tiles cover rows and width and no more.
                        unsafe { OF_ROWS[vectors - 1][height - 1](product, row, column) };
                    });
                }
            }

            unsafe fn panel_of_columns(product: PanelProduct) {
                const { assert!(PANEL == 2 * LANES) };
                let vectors = (product.width / LANES_OF_ONE).min(2);
                for column in (0..product.width).step_by(vectors * LANES_OF_ONE) {
                    for first in (0..product.rows).step_by(PANEL) {
                        for_each_tile((product.rows - first).min(PANEL), OF_COLUMNS[0].len(), |row, height| {
                            // SAFETY: the caller's promise; the tiles cover rows and width and no more, and none leaves a panel of a.
                            unsafe { OF_COLUMNS[vectors - 1][height - 1](product, first + row, column) };
                        });
                    }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn panel_of_w(shape: Shape, w: *const f32, panel: Panel, to: *mut f32) {
                // SAFETY: the caller's promise, with the instructions enabled here.
                unsafe { transpose::<$vector, LANES_OF_ONE>(shape, w, panel, to) }
            }

            /// Runs `pass` with the family's instructions.
            $(#[target_feature(enable = $features)])?
            #[allow(dead_code, reason = "the portable family needs no wrapper")]
            pub(in crate::kernels) unsafe fn run<R>(pass: impl FnOnce() -> R) -> R {
                pass()
            }
        }
    };
}

family!(
    #[cfg(target_arch = "x86_64")]
    avx512, crate::kernels::vector::Avx512, ["avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"], [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
family!(
    #[cfg(target_arch = "x86_64")]
    avx2, crate::kernels::vector::Avx2, ["avx2,fma"], [1 2 3 4 5 6]
);
family!(portable, crate::kernels::vector::Portable, [], [1 2 3 4]);
