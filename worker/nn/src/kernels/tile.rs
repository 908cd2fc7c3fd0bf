//! Register tiles, the inner loops of the products.
//!
//! A tile is a block of the product that stays in registers for the whole depth (the micro-kernel
//! of Goto and van de Geijn 2008). Each step of the depth costs one load of b per vector and one
//! broadcast of a per row, and no store.
//!
//! Every element of a product is one chain of multiply-adds from 0 in the order of the depth. So
//! neither the height of the tile nor the width of the vectors changes the result.

#![allow(
    clippy::needless_range_loop,
    reason = "with iterators some heights of tile are not unrolled, and their sums go to memory"
)]

use super::block::Block;
use super::lanes::{HALF, LANES};

/// One strip of a product: c [rows, columns] = a b, with b [depth, columns].
///
/// The depth counts words: floats, or pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct StripProduct {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// The columns of c without padding. The padding becomes 0 or the product of b's padding.
    pub(super) columns: usize,
    /// All panels of a: [rows, depth], or [depth, rows] if the product takes its transpose.
    pub(super) a: *const f32,
    /// The first panel of b in the strip.
    pub(super) b: *const f32,
    /// The distance of b's panels, in words.
    pub(super) b_panel: usize,
    /// The first panel of c in the strip, which is written.
    pub(super) c: *mut f32,
    /// The distance of c's panels, in floats.
    pub(super) c_panel: usize,
}

/// The products of one family.
///
/// # Safety
/// Both functions need the family's instructions and pointers to as many words as [`StripProduct`]
/// says. What they write must not overlap what they read.
pub(super) struct Tiles {
    /// The product for a [rows, depth].
    pub(super) rows: unsafe fn(StripProduct),
    /// The product for a [depth, rows].
    pub(super) columns: unsafe fn(StripProduct),
}

/// What a tile reads along the depth. Each step reads one row of b.
#[derive(Clone, Copy)]
struct Operands {
    a: *const f32,
    b: *const f32,
    /// The distance of the vectors of a row of b, in words.
    b_panel: usize,
}

/// Adds `depth` steps to a tile. In a, rows are `ROW` words apart and steps are `STEP` words apart.
///
/// # Safety
/// `ROWS` rows of a and `VECTORS` vectors of b can be read for all steps.
#[inline(always)]
unsafe fn accumulate<
    T: Block,
    const ROWS: usize,
    const VECTORS: usize,
    const ROW: usize,
    const STEP: usize,
>(
    block: T,
    mut sums: [[T::Sums; VECTORS]; ROWS],
    depth: usize,
    Operands { mut a, mut b, b_panel }: Operands,
) -> [[T::Sums; VECTORS]; ROWS] {
    // Unrolled four times to hide the instructions of the loop. Sixteen were 1 to 2 % slower with
    // AVX2 (docs/internals/kernels.md).
    for _ in 0..depth / 4 {
        for step in 0..4 {
            // SAFETY: the caller's promise.
            sums = unsafe {
                add_step::<T, ROWS, VECTORS, ROW>(
                    block,
                    sums,
                    a.add(step * STEP),
                    b.add(step * LANES),
                    b_panel,
                )
            };
        }
        // After the last step these may point past the last word; then nothing is read there.
        (a, b) = (a.wrapping_add(4 * STEP), b.wrapping_add(4 * LANES));
    }
    for step in 0..depth % 4 {
        // SAFETY: the caller's promise.
        sums = unsafe {
            add_step::<T, ROWS, VECTORS, ROW>(
                block,
                sums,
                a.add(step * STEP),
                b.add(step * LANES),
                b_panel,
            )
        };
    }
    sums
}

/// Adds one step of the depth to a tile.
///
/// # Safety
/// `ROWS` rows of a and `VECTORS` vectors of b can be read.
#[inline(always)]
unsafe fn add_step<T: Block, const ROWS: usize, const VECTORS: usize, const ROW: usize>(
    block: T,
    mut sums: [[T::Sums; VECTORS]; ROWS],
    a: *const f32,
    b: *const f32,
    b_panel: usize,
) -> [[T::Sums; VECTORS]; ROWS] {
    // SAFETY: the caller's promise.
    let mut right = [unsafe { block.load(b) }; VECTORS];
    for v in 1..VECTORS {
        // SAFETY: the caller's promise.
        right[v] = unsafe { block.load(b.add(v * b_panel)) };
    }
    for row in 0..ROWS {
        // SAFETY: the caller's promise.
        let left = unsafe { block.broadcast(a.add(row * ROW)) };
        for v in 0..VECTORS {
            sums[row][v] = block.mul_add(left, right[v], sums[row][v]);
        }
    }
    sums
}

/// Computes rows `row` to `row + ROWS` of `VECTORS` panels of c, starting at `panel`, for a
/// [rows, depth].
///
/// # Safety
/// As in [`Tiles`], and the tile lies inside c.
#[inline(always)]
unsafe fn tile_of_rows<T: Block, const ROWS: usize, const VECTORS: usize>(
    block: T,
    product: StripProduct,
    row: usize,
    panel: usize,
) {
    let StripProduct { rows, depth, b_panel, .. } = product;
    let mut sums = [[block.zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        let mut operands =
            Operands { a: product.a.add(row * LANES), b: product.b.add(panel * b_panel), b_panel };
        for _ in 0..depth / LANES {
            let next = operands.a.wrapping_add(rows * LANES);
            for line in 0..ROWS {
                // The rows' words in the next panel of a lie too far away for the hardware
                // prefetcher. Without this, wide is 5 to 7 % slower with AVX2
                // (docs/internals/kernels.md).
                block.prefetch(next.wrapping_add(line * LANES));
            }
            sums = accumulate::<T, ROWS, VECTORS, LANES, 1>(block, sums, LANES, operands);
            operands = Operands { a: next, b: operands.b.wrapping_add(LANES * LANES), b_panel };
        }
        sums = accumulate::<T, ROWS, VECTORS, LANES, 1>(block, sums, depth % LANES, operands);
        store(block, sums, product, row, panel);
    }
}

/// Computes rows `row` to `row + ROWS` of `VECTORS` panels of c, starting at `panel`, for a
/// [depth, rows].
///
/// # Safety
/// As in [`Tiles`], and the tile lies inside c and its rows inside one panel of a.
#[inline(always)]
unsafe fn tile_of_columns<T: Block, const ROWS: usize, const VECTORS: usize>(
    block: T,
    product: StripProduct,
    row: usize,
    panel: usize,
) {
    let StripProduct { depth, b_panel, .. } = product;
    let (first, column) = (row / LANES * LANES, row % LANES);
    let sums = [[block.zero(); VECTORS]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        let operands = Operands {
            a: product.a.add(first * depth + column),
            b: product.b.add(panel * b_panel),
            b_panel,
        };
        let sums = accumulate::<T, ROWS, VECTORS, 1, LANES>(block, sums, depth, operands);
        store(block, sums, product, row, panel);
    }
}

/// Writes the sums of a tile to c.
///
/// # Safety
/// The tile lies inside c.
#[inline(always)]
unsafe fn store<T: Block, const ROWS: usize, const VECTORS: usize>(
    block: T,
    sums: [[T::Sums; VECTORS]; ROWS],
    product: StripProduct,
    row: usize,
    panel: usize,
) {
    for tile_row in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: the caller's promise.
            unsafe {
                block.store(
                    sums[tile_row][v],
                    product.c.add((panel + v) * product.c_panel + (row + tile_row) * LANES),
                )
            };
        }
    }
}

/// Tiles of one height, one below the other.
#[derive(Clone, Copy)]
struct Run {
    /// The first row of the first tile.
    row: usize,
    count: usize,
}

/// Cuts `rows` rows, starting at `row`, into as few tiles of at most `most` rows as possible, with
/// heights that differ by at most one. Calls `run(tiles, height)` for the tiles of each height.
#[inline(always)]
fn for_each_height(row: usize, rows: usize, most: usize, mut run: impl FnMut(Run, usize)) {
    let count = rows.div_ceil(most);
    let (height, taller) = (rows / count, rows % count);
    if taller > 0 {
        run(Run { row, count: taller }, height + 1);
    }
    run(Run { row: row + taller * (height + 1), count: count - taller }, height);
}

/// Cuts the columns of a strip into tiles, and calls `tile(panel, kind)`. The kind is 0 for half a
/// vector, else the number of vectors.
#[inline(always)]
fn for_each_width(columns: usize, most: usize, mut tile: impl FnMut(usize, usize)) {
    let mut panel = 0;
    while panel * LANES < columns {
        let halves = (columns - panel * LANES).div_ceil(HALF);
        // Three halves are a tile of one vector and a tile of half a vector.
        let kind = if halves == 1 { 0 } else { (halves / 2).max(1).min(most) };
        tile(panel, kind);
        panel += kind.max(1);
    }
}

/// Defines the tiles of a family and a kind of words: the instructions, the block of a whole and of
/// half a vector, the vectors across a tile, and the heights of the tiles (as many as the registers
/// hold sums for).
macro_rules! tiles {
    (
        $(#[$meta:meta])*
        $name:ident, [$($features:literal)?], $whole:expr, $half:expr,
        $vectors:literal, [$($height:literal)*]
    ) => {
        $(#[$meta])*
        pub(super) mod $name {
            use super::{
                LANES, Run, StripProduct, Tiles, for_each_height, for_each_width,
                tile_of_columns, tile_of_rows,
            };
            #[allow(unused_imports, reason = "each family needs one or two of them")]
            use crate::kernels::block::{Half, Pairs, Whole};

            /// Computes a run of tiles. A call for each tile would cost as much as some steps of
            /// its depth (commit 6034a61).
            type Tile = unsafe fn(&StripProduct, Run, usize);
            /// The functions by kind of [`for_each_width`], then by height - 1.
            type Table = [[Tile; [$($height),*].len()]; 3];
            static OF_ROWS: Table = [
                [$(half_of_rows::<$height>),*],
                [$(of_rows::<$height, 1>),*],
                [$(of_rows::<$height, $vectors>),*],
            ];
            static OF_COLUMNS: Table = [
                [$(half_of_columns::<$height>),*],
                [$(of_columns::<$height, 1>),*],
                [$(of_columns::<$height, $vectors>),*],
            ];
            pub(in crate::kernels) static TILES: Tiles =
                Tiles { rows: strip_of_rows, columns: strip_of_columns };

            $(#[target_feature(enable = $features)])?
            unsafe fn of_rows<const ROWS: usize, const VECTORS: usize>(
                product: &StripProduct,
                run: Run,
                panel: usize,
            ) {
                for tile in 0..run.count {
                    let row = run.row + tile * ROWS;
                    // SAFETY: the caller's promise, with the instructions enabled here.
                    unsafe { tile_of_rows::<_, ROWS, VECTORS>($whole, *product, row, panel) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn half_of_rows<const ROWS: usize>(
                product: &StripProduct,
                run: Run,
                panel: usize,
            ) {
                for tile in 0..run.count {
                    let row = run.row + tile * ROWS;
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_rows::<_, ROWS, 1>($half, *product, row, panel) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn of_columns<const ROWS: usize, const VECTORS: usize>(
                product: &StripProduct,
                run: Run,
                panel: usize,
            ) {
                for tile in 0..run.count {
                    let row = run.row + tile * ROWS;
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_columns::<_, ROWS, VECTORS>($whole, *product, row, panel) }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn half_of_columns<const ROWS: usize>(
                product: &StripProduct,
                run: Run,
                panel: usize,
            ) {
                for tile in 0..run.count {
                    let row = run.row + tile * ROWS;
                    // SAFETY: as in of_rows.
                    unsafe { tile_of_columns::<_, ROWS, 1>($half, *product, row, panel) }
                }
            }

            unsafe fn strip_of_rows(product: StripProduct) {
                for_each_width(product.columns, $vectors, |panel, kind| {
                    for_each_height(0, product.rows, OF_ROWS[0].len(), |run, height| {
                        // SAFETY: the caller's promise; the tiles cover rows and columns, and
                        // nothing beyond the width.
                        unsafe { OF_ROWS[kind][height - 1](&product, run, panel) };
                    });
                });
            }

            unsafe fn strip_of_columns(product: StripProduct) {
                // Whole panels of rows are separate, because the heights of their tiles are
                // constants.
                let (whole, rest) = (product.rows / LANES * LANES, product.rows % LANES);
                for_each_width(product.columns, $vectors, |panel, kind| {
                    // SAFETY: as in strip_of_rows, and no tile leaves its panel of a.
                    let of_height = |run, height: usize| unsafe {
                        OF_COLUMNS[kind][height - 1](&product, run, panel)
                    };
                    for first in (0..whole).step_by(LANES) {
                        for_each_height(first, LANES, OF_COLUMNS[0].len(), of_height);
                    }
                    if rest > 0 {
                        for_each_height(whole, rest, OF_COLUMNS[0].len(), of_height);
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
    avx512,
    ["avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"],
    Whole(super::Avx512::detected()),
    Half(super::Avx512::detected()),
    2,
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx512_dot,
    ["avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"],
    super::Dot::detected(),
    super::Dot::detected(),
    2,
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx512_pairs,
    ["avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"],
    Pairs(super::Avx512::detected()),
    Pairs(super::Avx512::detected()),
    1,
    [1 2 3 4 5 6 7 8]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx2,
    ["avx2,fma"],
    Whole(super::Avx2::detected()),
    Half(super::Avx2::detected()),
    1,
    [1 2 3 4 5 6]
);
tiles!(
    #[cfg(target_arch = "x86_64")]
    avx2_pairs,
    ["avx2,fma"],
    Pairs(super::Avx2::detected()),
    Pairs(super::Avx2::detected()),
    1,
    [1 2 3 4]
);
tiles!(
    /// NEON's registers hold the sums of four vectors.
    #[cfg(target_arch = "aarch64")]
    portable,
    [],
    Whole(crate::kernels::portable::Portable),
    Half(crate::kernels::portable::Portable),
    1,
    [1 2 3 4]
);
tiles!(
    /// Two vectors across, like AVX-512. On x86 this family is for tests, so every x86 machine
    /// tests that width.
    #[cfg(not(target_arch = "aarch64"))]
    portable,
    [],
    Whole(crate::kernels::portable::Portable),
    Half(crate::kernels::portable::Portable),
    2,
    [1 2 3 4]
);
tiles!(
    portable_pairs,
    [],
    Pairs(crate::kernels::portable::Portable),
    Pairs(crate::kernels::portable::Portable),
    1,
    [1 2 3 4]
);
