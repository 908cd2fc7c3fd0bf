//! A log entry in sixteen bytes.

use super::HistoryError;
use crate::observation::{Observation, Stage};

/// The lowest two bits of a code say which decision it was.
const KIND: u32 = 0b011;
const PASSED: u32 = 0;
const STOPPED: u32 = 1;
const ENDED: u32 = 2;
/// This bit of a code says that the entry has a cost.
const HAS_COST: u32 = 0b100;
/// The number of the rung starts at this bit.
const RUNG: u32 = 3;

/// A packed [`Observation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    trial: u32,
    code: u32,
    /// The bits of the cost; 0 without a cost.
    cost: u64,
}

impl Entry {
    pub(super) fn pack(entry: Observation) -> Result<Self, HistoryError> {
        let (kind, rung) = match entry.stage {
            Stage::Passed(rung) => (PASSED, rung),
            Stage::Stopped(rung) => (STOPPED, rung),
            Stage::Ended => (ENDED, 0),
        };
        let shifted = rung << RUNG;
        if shifted >> RUNG != rung {
            return Err(HistoryError::RungTooLarge(rung));
        }
        let has_cost = if entry.cost.is_some() { HAS_COST } else { 0 };
        let cost = entry.cost.map_or(0, f64::to_bits);
        Ok(Self { trial: entry.trial, code: shifted | has_cost | kind, cost })
    }

    pub(super) fn unpack(self) -> Observation {
        let rung = self.code >> RUNG;
        let stage = match self.code & KIND {
            PASSED => Stage::Passed(rung),
            STOPPED => Stage::Stopped(rung),
            _ => Stage::Ended,
        };
        let cost = (self.code & HAS_COST != 0).then(|| f64::from_bits(self.cost));
        Observation { trial: self.trial, stage, cost }
    }

    pub(super) const fn trial(&self) -> u32 {
        self.trial
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (trial, rest) = bytes.split_at_mut(4);
        let (code, cost) = rest.split_at_mut(4);
        trial.copy_from_slice(&self.trial.to_le_bytes());
        code.copy_from_slice(&self.code.to_le_bytes());
        cost.copy_from_slice(&self.cost.to_le_bytes());
        bytes
    }

    /// Returns `None` if no entry is packed into these numbers.
    pub(super) fn from_parts(trial: u32, code: u32, cost: u64) -> Option<Self> {
        let entry = Self { trial, code, cost };
        (Self::pack(entry.unpack()).as_ref() == Ok(&entry)).then_some(entry)
    }
}
