//! The trials of a sweep that are not in flight any more.

use std::sync::Arc;

use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::numbers::{index, to_u32};
use caviar_common::outcome::TrialState;

/// What the state keeps of a trial that is not in flight any more. Its assignment and its costs are
/// in the sweep's history, and everything else in the events and in the store's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTrial {
    pub(super) state: TrialState,
    pub(super) lease: Option<LeaseId>,
}

impl PastTrial {
    /// How the trial ended.
    pub const fn state(&self) -> TrialState {
        self.state
    }

    /// The lease under which its outcome was reported; `None` if none was.
    pub const fn lease(&self) -> Option<LeaseId> {
        self.lease
    }
}

/// Trials of a chunk.
const ROWS: usize = 1_024;
/// Bytes of a trial in a chunk: its state, and its lease.
const ROW_BYTES: usize = 1 + size_of::<u64>();

/// Consecutive trials, in their order; `None` for those in flight.
pub(in crate::record) type Chunk = Vec<Option<PastTrial>>;

/// All trials of a sweep, by number; `None` for those in flight. Clones share the chunks that have
/// not changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::record) struct Past {
    chunks: Vec<Arc<Chunk>>,
    len: usize,
}

impl Past {
    /// Trials that are only in the snapshot.
    pub(in crate::record) fn unloaded(len: u32) -> Self {
        Self { chunks: Vec::new(), len: index(len) }
    }

    pub(in crate::record) fn len(&self) -> u32 {
        to_u32(self.len)
    }

    pub(in crate::record) fn get(&self, number: TrialNumber) -> Option<PastTrial> {
        let place = index(number.0);
        self.chunks.get(place / ROWS)?.get(place % ROWS).copied().flatten()
    }

    /// Adds the next trial, which is in flight.
    pub(in crate::record) fn push(&mut self) {
        if self.len.is_multiple_of(ROWS) {
            self.chunks.push(Arc::default());
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(None);
        }
        self.len += 1;
    }

    /// Takes a trial out of flight.
    pub(in crate::record) fn set(&mut self, number: TrialNumber, past: PastTrial) {
        let place = index(number.0);
        let chunk = self.chunks.get_mut(place / ROWS).map(Arc::make_mut);
        if let Some(entry) = chunk.and_then(|chunk| chunk.get_mut(place % ROWS)) {
            *entry = Some(past);
        }
    }

    pub(in crate::record) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// Appends a chunk. Returns false if the one before it is not full, or if this one is empty or
    /// too long.
    #[must_use]
    pub(in crate::record) fn push_chunk(&mut self, chunk: Chunk) -> bool {
        let fits = self.len.is_multiple_of(ROWS) && (1..=ROWS).contains(&chunk.len());
        if fits {
            self.len += chunk.len();
            self.chunks.push(Arc::new(chunk));
        }
        fits
    }
}

/// A chunk as bytes, for a store. For each trial its state (a byte, 0 for a trial in flight) and
/// its lease (eight bytes, little-endian, 0 for none).
pub(in crate::record) fn to_bytes(chunk: &Chunk) -> Vec<u8> {
    let row = |past: &Option<PastTrial>| {
        let code = past.and_then(|past| code_of(past.state)).unwrap_or(0);
        let lease = past.and_then(|past| past.lease).map_or(0, |lease| lease.0);
        std::iter::once(code).chain(lease.to_le_bytes())
    };
    chunk.iter().flat_map(row).collect()
}

/// The chunk in these bytes; `None` if they are not those of a chunk.
pub(in crate::record) fn from_bytes(bytes: &[u8]) -> Option<Chunk> {
    let rows = bytes.chunks(ROW_BYTES).map(|row| {
        let (code, lease) = row.split_first()?;
        let lease = u64::from_le_bytes(lease.try_into().ok()?);
        let lease = (lease != 0).then_some(LeaseId(lease));
        match code.checked_sub(1) {
            None => Some(None),
            Some(place) => {
                let state = *TrialState::ALL.get(usize::from(place))?;
                Some(Some(PastTrial { state, lease }))
            }
        }
    });
    rows.collect()
}

/// The number of a state in bytes, from 1.
fn code_of(state: TrialState) -> Option<u8> {
    let place = TrialState::ALL.iter().position(|other| *other == state)?;
    u8::try_from(place + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_from_their_bytes() {
        let mut past = Past::default();
        for number in 0..2_500 {
            past.push();
            if number % 7 > 0 {
                let state = TrialState::ALL[index(number) % TrialState::ALL.len()];
                let lease = (number % 3 > 0).then_some(LeaseId(u64::from(number) << 33));
                past.set(TrialNumber(number), PastTrial { state, lease });
            }
        }
        let mut copy = Past::default();
        for chunk in past.chunks() {
            assert!(copy.push_chunk(from_bytes(&to_bytes(chunk)).unwrap()));
        }
        assert_eq!(copy, past);
        assert!(!copy.push_chunk(vec![None]), "the last chunk is not full");
        let bytes = to_bytes(&past.chunks()[0]);
        assert_eq!(from_bytes(&bytes[1..]), None);
        assert_eq!(from_bytes(&[8; ROW_BYTES]), None, "no such state");
    }

    #[test]
    fn a_clone_shares_what_has_not_changed() {
        let mut past = Past::default();
        (0..3_000).for_each(|_| past.push());
        let before = past.clone();
        past.set(TrialNumber(1_500), PastTrial { state: TrialState::Failed, lease: None });
        let is_shared: Vec<bool> =
            past.chunks().iter().zip(before.chunks()).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(is_shared, [true, false, true]);
        assert_eq!(before.get(TrialNumber(1_500)), None);
    }
}
