//! The inner loops, for the machine that runs them.
//!
//! A [`Family`] is a set of vector instructions; what it does with them is [`Simd`], and the passes
//! of the other modules are written over that. It is chosen once a process by what the processor
//! has; the environment variable `CAVIAR_KERNELS` (`avx512bf16`, `avx512`, `avx2` or `portable`)
//! forces one. A value that names none, or one that this machine lacks, is an error of every new
//! trainer. Whatever the family, every sum runs in one order and every multiply-add rounds once, so
//! the results are the same bits.
//!
//! This is the only module with `unsafe`: register tiles read and write through pointers, and
//! instructions beyond the baseline may run only where they were detected. What it exports is safe:
//! lengths are checked here.
#![allow(
    unsafe_code,
    reason = "vector instructions and pointer walks; every block says why it is sound"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "an index out of range is a bug here; the checks below bound all of them"
)]

mod block;
mod buffer;
mod family;
mod pairs;
mod panels;
mod peak;
mod portable;
mod product;
mod simd;
mod tile;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use buffer::Buffer;
pub(crate) use family::Family;
pub use family::kernel_family;
pub(crate) use pairs::words;
pub(crate) use panels::{Strip, offset, padded, panels, panels_of, panels_of_mut, strips};
pub use peak::multiply_add;
pub(crate) use product::Shape;
pub(crate) use simd::{LANES, Lanes, Pass, Simd, vectors, vectors_mut};
