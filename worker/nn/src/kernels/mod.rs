//! The inner loops, for the machine that runs them.
//!
//! A [`Family`] is a set of vector instructions, and [`Simd`] is what it can do with vectors. The
//! passes of the other modules are written over [`Simd`]. The family is chosen once per process by
//! what the processor has. The environment variable `CAVIAR_KERNELS` (`avx512bf16`, `avx512`,
//! `avx2` or `portable`) forces one; with any other value, or a family that the machine lacks,
//! every new trainer is an error. In all families every sum has the same order and every
//! multiply-add is rounded once, so the results have the same bits.
//!
//! This is the only module with `unsafe`: register tiles read and write through pointers, and
//! instructions beyond the baseline may run only where they were detected. Its interface is safe:
//! lengths are checked in this module.
#![allow(
    unsafe_code,
    reason = "vector instructions and pointer walks; every block says why it is sound"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "an index out of range is a bug, and the checks of this module bound all of them"
)]

mod block;
mod buffer;
mod family;
mod lanes;
mod pairs;
mod panels;
mod peak;
mod portable;
mod product;
mod simd;
mod square;
mod tile;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use buffer::Buffer;
pub(crate) use family::Family;
pub use family::{kernel_family, multiply_add};
pub(crate) use lanes::{LANES, Lanes, vectors, vectors_mut};
pub(crate) use panels::{
    Piece, Shape, Strip, offset, padded, panels, panels_of, panels_of_mut, strips, words,
};
pub(crate) use simd::{Pass, Simd};
