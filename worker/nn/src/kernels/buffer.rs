//! Aligned memory for the inner loops.

use std::ops::{Deref, DerefMut};

use crate::error::TrainError;

/// One cache line. A vector that starts on a cache line is never split over two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Floats that start on a cache line and are 0 at first. The length is rounded up to whole lines.
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// A buffer of at least `len` floats.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(len: usize) -> Result<Self, TrainError> {
        let count = len.div_ceil(16);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| TrainError::OutOfMemory { floats: len })?;
        advise_huge_pages(lines.spare_capacity_mut());
        lines.resize(count, Line([0.0; 16]));
        Ok(Self { lines })
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: Line is repr(C) around 16 floats without padding (64 bytes, alignment 64), so the
        // lines are 16 times as many floats in one allocation. All are initialised, and they are
        // borrowed as long as self.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in deref, and the borrow is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16)
        }
    }
}

/// Requests huge pages for a large allocation; a hint that only Linux uses.
///
/// With small pages, a product that walks a matrix of some megabytes waits for address translation
/// (commit 7992d36).
fn advise_huge_pages<T>(room: &mut [std::mem::MaybeUninit<T>]) {
    const HUGE_PAGE_BYTES: usize = 2 << 20;
    let range = room.as_mut_ptr_range();
    let start = range.start.addr().next_multiple_of(HUGE_PAGE_BYTES);
    let len = range.end.addr().saturating_sub(start) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    #[cfg(target_os = "linux")]
    if len > 0 {
        // SAFETY: the pages lie inside the allocation, and advice changes no content. A refusal has
        // no effect.
        unsafe { libc::madvise(range.start.with_addr(start).cast(), len, libc::MADV_HUGEPAGE) };
    }
}
