//! The history of a sweep: the assignments of its trials and the log of decisions, packed.
//!
//! A sweep of a million trials has a million assignments and up to four million log entries. As
//! maps from names to values, the assignments would take hundreds of bytes each. A [`History`]
//! packs them:
//!
//! ```text
//! trial   a mask of the parameters that have a value (u64), and one cell per parameter (u64)
//! entry   trial (u32), stage and whether there is a cost (u32), cost (f64)
//! ```
//!
//! The cell of a float holds its bits, that of a whole number its two's complement, and that of a
//! choice the index of the value. A value that its domain does not describe in this form, such as
//! the whole number 2 in a range of floats, is kept as it is in a list next to the cells. So every
//! assignment comes back exactly as it was.
//!
//! Rows are grouped into chunks of [`History::CHUNK`]. A full chunk never changes, and all clones
//! share it. A clone copies only the two chunks that are not full, so it takes microseconds for any
//! length. Chunks can be stored as bytes ([`History::trial_chunk_bytes`]) and appended again
//! ([`History::push_trial_chunk`]).
//!
//! Example: in the space `layers` from 1 to 4, `activation` one of relu and tanh, and `units_3`
//! with at least three layers, the assignment `layers = 2, activation = "tanh"` has the mask 0b011
//! and the cells 2, 1 and 0.

mod bytes;
mod chunked;
mod entries;
mod trials;

use std::sync::Arc;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::numbers::{index, to_u32};
use caviar_common::space::Space;

use crate::observation::Observation;
use chunked::Chunked;
use entries::Entry;
use trials::{Row, TrialChunk};
pub(crate) use trials::{pack, unpack};

/// The rows of a full chunk.
const ROWS: usize = 1_024;
/// The most parameters, because a mask has one bit for each. It is also the limit of a spec.
const MOST_PARAMETERS: usize = 64;

/// The assignments of a sweep's trials and the log of decisions on them.
///
/// Trials have consecutive numbers from 0, in the order in which they were sampled. The log is in
/// the order of virtual time. Both only grow. See the [module's description](self) for the form in
/// memory.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    space: Arc<Space>,
    trials: Chunked<TrialChunk>,
    log: Chunked<Vec<Entry>>,
}

/// Why something cannot become part of a [`History`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The assignment has a value for a parameter that the space does not have.
    #[error("the space has no parameter {0:?}")]
    UnknownParameter(String),
    /// The space has more parameters than a row has bits for.
    #[error("the space has {0} parameters: expected at most {MOST_PARAMETERS}")]
    TooManyParameters(usize),
    /// The log entry belongs to a trial whose assignment is not known.
    #[error("the history has no trial {0}")]
    UnknownTrial(u32),
    /// The number of the rung does not fit into a packed entry.
    #[error("the rung number {0} is too large")]
    RungTooLarge(u32),
    /// A stored chunk can only follow full chunks.
    #[error("a stored chunk can only follow full chunks, and {0} rows of another one are present")]
    NotAtBoundary(usize),
    /// The bytes are not those of a chunk of this space.
    #[error("a stored chunk of the history is damaged: {0}")]
    Damaged(&'static str),
}

impl History {
    /// The number of trials in a full chunk of trials, and of entries in a full chunk of the log.
    pub const CHUNK: u32 = 1_024;

    /// A history without trials.
    pub fn new(space: impl Into<Arc<Space>>) -> Self {
        Self { space: space.into(), trials: Chunked::default(), log: Chunked::default() }
    }

    /// The parameters of the trials.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Adds the next trial and returns its number.
    ///
    /// The values need not lie in their domains. An assignment may leave out parameters, whether
    /// they are active or not.
    ///
    /// # Errors
    /// If the assignment names a parameter that the space does not have, or if the space has more
    /// than 64 parameters.
    pub fn push_trial(&mut self, assignment: &Assignment) -> Result<u32, HistoryError> {
        let number = self.trials();
        self.trials.tail_mut().push(&self.space, assignment)?;
        if self.trials.tail().len(&self.space) == ROWS {
            self.trials.tail_mut().shrink();
            self.trials.seal();
        }
        Ok(number)
    }

    /// The number of trials. It is the number of the next one.
    pub fn trials(&self) -> u32 {
        to_u32(self.trials.full() * ROWS + self.trials.tail().len(&self.space))
    }

    /// The assignment of a trial, exactly as it was added; `None` if there is no such trial.
    pub fn assignment(&self, trial: u32) -> Option<Assignment> {
        let row = self.row(trial)?;
        let parameters = self.space.parameters().iter().enumerate();
        Some(parameters.filter_map(|(j, p)| Some((p.name.clone(), row.value(j)?))).collect())
    }

    /// The value of parameter `j` of the space in a trial; `None` if it has no value.
    pub fn value(&self, trial: u32, j: usize) -> Option<Value> {
        self.row(trial)?.value(j)
    }

    /// The packed assignment of a trial.
    pub(crate) fn row(&self, trial: u32) -> Option<Row<'_>> {
        let (chunk, row) = (index(trial) / ROWS, index(trial) % ROWS);
        self.trials.get(chunk)?.row(&self.space, row)
    }

    /// Adds an entry to the log.
    ///
    /// # Errors
    /// If the trial is not known, or if the number of its rung is above 2^29.
    pub fn push(&mut self, entry: Observation) -> Result<(), HistoryError> {
        if entry.trial >= self.trials() {
            return Err(HistoryError::UnknownTrial(entry.trial));
        }
        let packed = Entry::pack(entry)?;
        self.log.tail_mut().push(packed);
        if self.log.tail().len() == ROWS {
            self.log.tail_mut().shrink_to_fit();
            self.log.seal();
        }
        Ok(())
    }

    /// The number of log entries.
    pub fn len(&self) -> usize {
        self.log.full() * ROWS + self.log.tail().len()
    }

    /// True if the log has no entry. There may be trials.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The log entry at a position, counted from 0.
    pub fn entry(&self, position: usize) -> Option<Observation> {
        Some(self.log.get(position / ROWS)?.get(position % ROWS)?.unpack())
    }

    /// The log, in the order in which the decisions were made.
    pub fn entries(&self) -> impl Iterator<Item = Observation> {
        self.entries_from(0)
    }

    /// The log from a position on. It is empty if the log is not that long.
    pub fn entries_from(&self, position: usize) -> impl Iterator<Item = Observation> {
        let first = position / ROWS;
        let chunks = (first..=self.log.full()).filter_map(move |chunk| {
            let skipped = if chunk == first { position % ROWS } else { 0 };
            self.log.get(chunk)?.get(skipped..)
        });
        chunks.flatten().map(|entry| entry.unpack())
    }
}

/// Chunks as bytes, for a store.
///
/// All numbers are little-endian, and the first byte is the version of the format. A full chunk
/// never changes. Append the chunks in their order, the one that is not full last, and every trial
/// before the entries that name it.
impl History {
    /// The number of full chunks of trials. Chunk i has the trials from `CHUNK` i on.
    pub fn full_trial_chunks(&self) -> usize {
        self.trials.full()
    }

    /// The bytes of a chunk of trials; `None` if there is no such chunk, or if it is empty.
    pub fn trial_chunk_bytes(&self, chunk: usize) -> Option<Vec<u8>> {
        let rows = self.trials.get(chunk).filter(|rows| !rows.cells.is_empty())?;
        Some(bytes::of_trials(rows, self.space.dimensions()))
    }

    /// Appends a chunk of trials.
    ///
    /// # Errors
    /// If the last chunk is not full, or if the bytes are not a chunk of this space.
    pub fn push_trial_chunk(&mut self, bytes: &[u8]) -> Result<(), HistoryError> {
        let rows = self.trials.tail().len(&self.space);
        if rows > 0 {
            return Err(HistoryError::NotAtBoundary(rows));
        }
        let chunk = bytes::to_trials(bytes, &self.space)?;
        if chunk.len(&self.space) == ROWS {
            self.trials.push_full(chunk);
        } else {
            *self.trials.tail_mut() = chunk;
        }
        Ok(())
    }

    /// The number of full chunks of the log. Chunk i has the entries from `CHUNK` i on.
    pub fn full_entry_chunks(&self) -> usize {
        self.log.full()
    }

    /// The bytes of a chunk of the log; `None` if there is no such chunk, or if it is empty.
    pub fn entry_chunk_bytes(&self, chunk: usize) -> Option<Vec<u8>> {
        Some(bytes::of_entries(self.log.get(chunk).filter(|entries| !entries.is_empty())?))
    }

    /// Appends a chunk of the log.
    ///
    /// # Errors
    /// If the last chunk is not full, if the bytes are not a chunk of a log, or if an entry names a
    /// trial that is not known yet.
    pub fn push_entry_chunk(&mut self, bytes: &[u8]) -> Result<(), HistoryError> {
        let rows = self.log.tail().len();
        if rows > 0 {
            return Err(HistoryError::NotAtBoundary(rows));
        }
        let entries = bytes::to_entries(bytes)?;
        let known = self.trials();
        match entries.iter().map(Entry::trial).find(|trial| *trial >= known) {
            Some(trial) => return Err(HistoryError::UnknownTrial(trial)),
            None if entries.len() == ROWS => self.log.push_full(entries),
            None => *self.log.tail_mut() = entries,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
