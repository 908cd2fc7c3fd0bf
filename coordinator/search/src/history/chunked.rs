//! An append-only list of chunks whose clones share the full ones.

use std::sync::Arc;

/// Full chunks, and the one that still grows.
///
/// Cloning costs a reference count and a copy of the last chunk. The next chunk that becomes full
/// after a clone copies the list of references once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked<C> {
    full: Arc<Vec<Arc<C>>>,
    tail: C,
}

impl<C: Default> Chunked<C> {
    /// The number of full chunks.
    pub(super) fn full(&self) -> usize {
        self.full.len()
    }

    /// The chunk at a position; the last one is not full.
    pub(super) fn get(&self, chunk: usize) -> Option<&C> {
        if chunk == self.full.len() {
            Some(&self.tail)
        } else {
            self.full.get(chunk).map(Arc::as_ref)
        }
    }

    /// The chunk that is not full.
    pub(super) const fn tail(&self) -> &C {
        &self.tail
    }

    pub(super) const fn tail_mut(&mut self) -> &mut C {
        &mut self.tail
    }

    /// Declares the last chunk full, and starts a new one.
    pub(super) fn seal(&mut self) {
        let full = std::mem::take(&mut self.tail);
        self.push_full(full);
    }

    /// Appends a full chunk. The last chunk must be empty.
    pub(super) fn push_full(&mut self, chunk: C) {
        Arc::make_mut(&mut self.full).push(Arc::new(chunk));
    }
}
