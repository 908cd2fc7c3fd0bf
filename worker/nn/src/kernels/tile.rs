//! Register tiles: a block of the product stays in registers while the depth runs, so each step of the depth costs one load of
//! b a vector and one broadcast of a a row, and no store (the micro-kernel of Goto and van de Geijn 2008).
//!
//! Every element of a product is one chain of multiply-adds from 0, in the order of the depth: neither the tile's height nor
//! the vector's width shows in the result.

#![allow(clippy::needless_range_loop, reason = "with iterators some heights of tile are not unrolled, and their sums live in memory")]

use super::block::Block;
use super::panels::PANEL;
use super::simd::{HALF, LANES};

/// One panel of a product: c [rows, width] = a b, with b [depth, width]. The depth counts words: floats, or pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct PanelProduct {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// [`PANEL`] or [`LANES`].
    pub(super) width: usize,
    /// Columns of c that are no padding. What lies behind them becomes 0, or what the product is there.
    pub(super) columns: usize,
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
/// Both need the family's instructions, and pointers to as many floats as [`PanelProduct`] says; what is written lies apart from what
/// is read.
pub(super) struct Tiles {
    /// a is [rows, depth].
    pub(super) rows: unsafe fn(PanelProduct),
    /// a is [depth, rows].
    pub(super) columns: unsafe fn(PanelProduct),
}

/// A place in a matrix that a tile reads along the depth: what it points at, and how far apart rows (or vectors) and steps lie.
#[derive(Clone, Copy)]
struct Operand {
    at: *const f32,
    /// From one step of the depth to the next.
    step: usize,
}

/// Adds one step of the depth to a tile. In a, rows are `ROW` words apart.
///
/// # Safety
/// `ROWS` rows of a and `VECTORS` vectors of b can be read.
#[inline(always)]
unsafe fn add_step<T: Block, const ROWS: usize, const VECTORS: usize, const ROW: usize>(
    block: T,
    mut sums: [[T::Sums; VECTORS]; ROWS],
    a: *const f32,
    b: *const f32,
) -> [[T::Sums; VECTORS]; ROWS] {
    // SAFETY: the caller's promise.
    let right: [T::Words; VECTORS] = std::array::from_fn(
        #[inline(always)]
        |v| unsafe { block.load(b.add(v * LANES)) },
    );
    for row in 0..ROWS {
        // SAFETY: the caller's promise.
        let left = unsafe { block.broadcast(a.add(row * ROW)) };
        for v in 0..VECTORS {
            sums[row][v] = block.mul_add(left, right[v], sums[row][v]);
        }
    }
    sums
}

/// Adds `depth` steps to a tile, and meanwhile asks for `ROWS` rows of a panel at `ahead`.
///
/// # Safety
/// The operands can be read as far as their strides say.
#[inline(always)]
unsafe fn accumulate<T: Block, const ROWS: usize, const VECTORS: usize, const ROW: usize>(
    block: T,
    mut sums: [[T::Sums; VECTORS]; ROWS],
    depth: usize,
    a: Operand,
    b: Operand,
    ahead: Option<*const f32>,
) -> [[T::Sums; VECTORS]; ROWS] {
    let (mut left, mut right) = (a.at, b.at);
    // Four at a time, so that the loop's own instructions do not show.
    for group in 0..depth / 4 {
        if let Some(ahead) = ahead.filter(|_| group * 4 * LANES < ROWS * PANEL) {
            for line in 0..4 {
                block.prefetch(ahead.wrapping_add((group * 4 + line) * LANES));
            }
        }
        // SAFETY: the caller's promise.
        unsafe {
            for step in 0..4 {
                sums = add_step::<T, ROWS, VECTORS, ROW>(block, sums, left.add(step * a.step), right.add(step * b.step));
            }
            (left, right) = (left.add(4 * a.step), right.add(4 * b.step));
        }
    }
    for _ in 0..depth % 4 {
        // SAFETY: the caller's promise.
        unsafe {
            sums = add_step::<T, ROWS, VECTORS, ROW>(block, sums, left, right);
            (left, right) = (left.add(a.step), right.add(b.step));
        }
    }
    sums
}

/// Rows `row` to `row + ROWS`, vectors from column `column` of c, for a [rows, depth].
///
/// # Safety
/// As [`Tiles`]; the tile lies inside c.
#[inline(always)]
unsafe fn tile_of_rows<T: Block, const ROWS: usize, const VECTORS: usize>(block: T, product: PanelProduct, row: usize, column: usize) {
    let PanelProduct { rows, depth, width, a, b, c, .. } = product;
    let whole = depth / PANEL * PANEL;
    let mut sums = [[block.zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise. The panels of a before `whole` are PANEL wide; the last is as wide as its padded rest.
    unsafe {
        let right = |first: usize| Operand { at: b.add(first * width + column), step: width };
        for first in (0..whole).step_by(PANEL) {
            let left = Operand { at: a.add(first * rows + row * PANEL), step: 1 };
            // The same rows of the next panel lie far away: no hardware guesses that.
            let ahead = (first + PANEL < depth).then(|| left.at.wrapping_add(rows * PANEL));
            sums = accumulate::<T, ROWS, VECTORS, PANEL>(block, sums, PANEL, left, right(first), ahead);
        }
        let (a, rest) = (a.add(whole * rows), depth - whole);
        if rest > LANES {
            let left = Operand { at: a.add(row * PANEL), step: 1 };
            sums = accumulate::<T, ROWS, VECTORS, PANEL>(block, sums, rest, left, right(whole), None);
        } else if rest > 0 {
            let left = Operand { at: a.add(row * LANES), step: 1 };
            sums = accumulate::<T, ROWS, VECTORS, LANES>(block, sums, rest, left, right(whole), None);
        }
        store(block, sums, c.add(row * width + column), width);
    }
}

/// Rows `row` to `row + ROWS`, vectors from column `column` of c, for a [depth, rows]; the rows lie in one panel of a.
///
/// # Safety
/// As [`Tiles`]; the tile lies inside c and its rows inside one panel of a.
#[inline(always)]
unsafe fn tile_of_columns<T: Block, const ROWS: usize, const VECTORS: usize>(block: T, product: PanelProduct, row: usize, column: usize) {
    let PanelProduct { rows, depth, width, a, b, c, .. } = product;
    let first = row / PANEL * PANEL;
    // The panel of a that holds these rows is PANEL wide unless it is the last and half empty.
    let step = if rows - first > LANES { PANEL } else { LANES };
    let mut sums = [[block.zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        let left = Operand { at: a.add(first * depth + row - first), step };
        let right = Operand { at: b.add(column), step: width };
        sums = accumulate::<T, ROWS, VECTORS, 1>(block, sums, depth, left, right, None);
        store(block, sums, c.add(row * width + column), width);
    }
}

/// # Safety
/// The tile may be written at `to`, rows `width` apart.
#[inline(always)]
unsafe fn store<T: Block, const ROWS: usize, const VECTORS: usize>(block: T, sums: [[T::Sums; VECTORS]; ROWS], to: *mut f32, width: usize) {
    for row in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: the caller's promise.
            unsafe { block.store(sums[row][v], to.add(row * width + v * LANES)) };
        }
    }
}

/// Tiles of one height, one below the other.
#[derive(Clone, Copy)]
struct Run {
    /// The first row of the first.
    row: usize,
    count: usize,
}

/// Cuts `rows` rows from `row` on into the fewest tiles of at most `most` rows and sizes that differ by at most one, and calls
/// `run(tiles, height)` for those of either height.
#[inline(always)]
fn for_each_height(row: usize, rows: usize, most: usize, mut run: impl FnMut(Run, usize)) {
    let count = rows.div_ceil(most);
    let (height, taller) = (rows / count, rows % count);
    if taller > 0 {
        run(Run { row, count: taller }, height + 1);
    }
    run(Run { row: row + taller * (height + 1), count: count - taller }, height);
}

/// Cuts the columns of a panel into tiles, and calls `tile(column, kind)` with kind 0 for half a vector, else how many vectors.
#[inline(always)]
fn for_each_strip(columns: usize, most: usize, mut strip: impl FnMut(usize, usize)) {
    let mut column = 0;
    while column < columns {
        let halves = (columns - column).div_ceil(HALF);
        // Three halves are one vector and a half.
        let kind = if halves == 1 { 0 } else { (halves / 2).max(1).min(most) };
        strip(column, kind);
        column += kind.max(1) * LANES;
    }
}

/// The tiles of a family and a kind of words: its instructions, the block of a whole and of half a vector, the vectors across a tile, and the
/// heights of its tiles (what its registers hold).
macro_rules! tiles {
    ($(#[$meta:meta])* $name:ident, [$($features:literal)?], $whole:expr, $half:expr, $vectors:literal, [$($height:literal)*]) => {
        $(#[$meta])*
        pub(super) mod $name {
            use super::{PANEL, PanelProduct, Run, Tiles, for_each_height, for_each_strip, tile_of_columns, tile_of_rows};
            #[allow(unused_imports, reason = "each needs one or two of them")]
            use crate::kernels::block::{Half, Pairs, Whole};

            /// A call for each tile would cost as much as some steps of its depth.
            type Tile = unsafe fn(&PanelProduct, Run, usize);
            /// By kind of [`for_each_strip`], then by height - 1.
            type Table = [[Tile; [$($height),*].len()]; 3];
            static OF_ROWS: Table =
                [[$(half_of_rows::<$height>),*], [$(of_rows::<$height, 1>),*], [$(of_rows::<$height, $vectors>),*]];
            static OF_COLUMNS: Table =
                [[$(half_of_columns::<$height>),*], [$(of_columns::<$height, 1>),*], [$(of_columns::<$height, $vectors>),*]];
            pub(in crate::kernels) static TILES: Tiles = Tiles { rows: panel_of_rows, columns: panel_of_columns };

            $(#[target_feature(enable = $features)])?
            unsafe fn of_rows<const ROWS: usize, const VECTORS: usize>(product: &PanelProduct, run: Run, column: usize) {
                for tile in 0..run.count {
                    // SAFETY: the caller's promise, with the instructions enabled here.
                    unsafe { tile_of_rows::<_, ROWS, VECTORS>($whole, *product, run.row + tile * ROWS, column) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn half_of_rows<const ROWS: usize>(product: &PanelProduct, run: Run, column: usize) {
                for tile in 0..run.count {
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_rows::<_, ROWS, 1>($half, *product, run.row + tile * ROWS, column) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn of_columns<const ROWS: usize, const VECTORS: usize>(product: &PanelProduct, run: Run, column: usize) {
                for tile in 0..run.count {
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_columns::<_, ROWS, VECTORS>($whole, *product, run.row + tile * ROWS, column) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn half_of_columns<const ROWS: usize>(product: &PanelProduct, run: Run, column: usize) {
                for tile in 0..run.count {
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_columns::<_, ROWS, 1>($half, *product, run.row + tile * ROWS, column) }
                }
            }

            unsafe fn panel_of_rows(product: PanelProduct) {
                for_each_strip(product.columns, $vectors, |column, kind| {
                    for_each_height(0, product.rows, OF_ROWS[0].len(), |run, height| {
                        // SAFETY: the caller's promise; the tiles cover rows and columns, and no more than the width.
                        unsafe { OF_ROWS[kind][height - 1](&product, run, column) };
                    });
                });
            }

            unsafe fn panel_of_columns(product: PanelProduct) {
                for_each_strip(product.columns, $vectors, |column, kind| {
                    for first in (0..product.rows).step_by(PANEL) {
                        for_each_height(first, (product.rows - first).min(PANEL), OF_COLUMNS[0].len(), |run, height| {
                            // SAFETY: as in panel_of_rows, and none leaves a panel of a.
                            unsafe { OF_COLUMNS[kind][height - 1](&product, run, column) };
                        });
                    }
                });
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512, Dot};

tiles!(
    #[cfg(target_arch = "x86_64")]
    avx512, ["avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"], Whole(super::Avx512::detected()), Half(super::Avx512::detected()),
    2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx512_dot, ["avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"], super::Dot::detected(), super::Dot::detected(),
    2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx512_pairs, ["avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"], Pairs(super::Avx512::detected()), Pairs(super::Avx512::detected()),
    1, [1 2 3 4 5 6 7 8]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx2, ["avx2,fma"], Whole(super::Avx2::detected()), Half(super::Avx2::detected()), 1, [1 2 3 4 5 6]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx2_pairs, ["avx2,fma"], Pairs(super::Avx2::detected()), Pairs(super::Avx2::detected()), 1, [1 2 3 4]
);
tiles!(portable, [], Whole(crate::kernels::portable::Portable), Half(crate::kernels::portable::Portable), 1, [1 2 3 4]);
tiles!(portable_pairs, [], Pairs(crate::kernels::portable::Portable), Pairs(crate::kernels::portable::Portable), 1, [1 2 3 4]);
