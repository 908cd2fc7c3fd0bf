//! Chunks as bytes.
//!
//! ```text
//! trials   version (u8), b't', parameters (u16), rows (u32), cells (u64 each),
//!          odd values (u32), and for each its place (u32), its kind (u8) and its value
//! log      version (u8), b'e', 0 (u16), rows (u32), entries (16 bytes each)
//! ```
//!
//! An odd value of kind 0 is a whole number and of kind 1 the bits of a float (8 bytes each). Kind
//! 2 is a text, with its length in bytes (u32) before it.

use caviar_common::numbers::{index, to_u32, to_u64};
use caviar_common::space::{Domain, Space};

use super::entries::Entry;
use super::trials::{OddValue, TrialChunk, stride};
use super::{HistoryError, MOST_PARAMETERS, ROWS};

const VERSION: u8 = 1;
const TRIALS: u8 = b't';
const ENTRIES: u8 = b'e';
const INT: u8 = 0;
const FLOAT: u8 = 1;
const TEXT: u8 = 2;
const HEADER: usize = 8;

pub(super) fn of_trials(chunk: &TrialChunk, dimensions: usize) -> Vec<u8> {
    let rows = chunk.cells.len() / (dimensions + 1);
    let mut bytes = Vec::with_capacity(HEADER + 8 * chunk.cells.len() + 4);
    write_header(&mut bytes, TRIALS, dimensions, rows);
    bytes.extend(chunk.cells.iter().flat_map(|cell| cell.to_le_bytes()));
    bytes.extend(to_u32(chunk.odd.len()).to_le_bytes());
    for (place, value) in &chunk.odd {
        bytes.extend(place.to_le_bytes());
        match value {
            OddValue::Int(v) => {
                bytes.push(INT);
                bytes.extend(v.to_le_bytes());
            }
            OddValue::Float(bits) => {
                bytes.push(FLOAT);
                bytes.extend(bits.to_le_bytes());
            }
            OddValue::Text(text) => {
                bytes.push(TEXT);
                bytes.extend(to_u32(text.len()).to_le_bytes());
                bytes.extend(text.bytes());
            }
        }
    }
    bytes
}

pub(super) fn of_entries(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 16 * entries.len());
    write_header(&mut bytes, ENTRIES, 0, entries.len());
    bytes.extend(entries.iter().flat_map(|entry| entry.to_bytes()));
    bytes
}

fn write_header(bytes: &mut Vec<u8>, kind: u8, dimensions: usize, rows: usize) {
    bytes.extend([VERSION, kind]);
    bytes.extend(u16::try_from(dimensions).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(to_u32(rows).to_le_bytes());
}

/// Reads a chunk of trials.
pub(super) fn to_trials(bytes: &[u8], space: &Space) -> Result<TrialChunk, HistoryError> {
    if space.dimensions() > MOST_PARAMETERS {
        return Err(HistoryError::TooManyParameters(space.dimensions()));
    }
    let mut reader = Reader { bytes };
    let rows = reader.header(TRIALS, space.dimensions())?;
    let cells = (0..rows * stride(space)).map(|_| reader.u64()).collect::<Result<_, _>>()?;
    let count = reader.u32()?;
    let odd = (0..count).map(|_| reader.odd()).collect::<Result<_, _>>()?;
    reader.end()?;
    let mut chunk = TrialChunk { cells, odd };
    chunk.shrink();
    check_trials(&chunk, space)?;
    Ok(chunk)
}

/// Checks what the rest of the module relies on: masks without unknown bits, indices of existing
/// choices, and odd values in the order of their places.
fn check_trials(chunk: &TrialChunk, space: &Space) -> Result<(), HistoryError> {
    let in_order = chunk.odd.is_sorted_by(|(a, _), (b, _)| a < b);
    let places = chunk.odd.last().is_none_or(|(place, _)| index(*place) < chunk.cells.len());
    if !in_order || !places {
        return Err(HistoryError::Damaged("its odd values have wrong places"));
    }
    let choices = |domain: &Domain| match domain {
        Domain::Choice { values } => Some(to_u64(values.len())),
        Domain::Float { .. } | Domain::Int { .. } => None,
    };
    let choices: Vec<Option<u64>> = space.parameters().iter().map(|p| choices(&p.domain)).collect();
    for row in chunk.cells.chunks_exact(stride(space)) {
        let Some((mask, cells)) = row.split_first() else { continue };
        if mask.checked_shr(to_u32(cells.len())).unwrap_or(0) != 0 {
            return Err(HistoryError::Damaged("a mask names parameters that the space lacks"));
        }
        if cells.iter().zip(&choices).any(|(cell, count)| count.is_some_and(|n| *cell >= n)) {
            return Err(HistoryError::Damaged("a cell names a choice that the space lacks"));
        }
    }
    Ok(())
}

/// Reads a chunk of the log.
pub(super) fn to_entries(bytes: &[u8]) -> Result<Vec<Entry>, HistoryError> {
    let mut reader = Reader { bytes };
    let rows = reader.header(ENTRIES, 0)?;
    let entries = (0..rows).map(|_| reader.entry()).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(entries)
}

/// The bytes that are not read yet.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HistoryError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, HistoryError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, HistoryError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads the header and returns the number of rows.
    fn header(&mut self, kind: u8, dimensions: usize) -> Result<usize, HistoryError> {
        let [version, found] = self.array()?;
        let parameters = usize::from(u16::from_le_bytes(self.array()?));
        let rows = index(self.u32()?);
        match () {
            () if version != VERSION => Err(HistoryError::Damaged("its version is unknown")),
            () if found != kind => Err(HistoryError::Damaged("it is a chunk of another kind")),
            () if parameters != dimensions => {
                Err(HistoryError::Damaged("its number of parameters differs"))
            }
            () if rows == 0 || rows > ROWS => {
                Err(HistoryError::Damaged("its number of rows is not possible"))
            }
            () => Ok(rows),
        }
    }

    fn odd(&mut self) -> Result<(u32, OddValue), HistoryError> {
        let place = self.u32()?;
        let [kind] = self.array()?;
        let value = match kind {
            INT => OddValue::Int(self.u64()?.cast_signed()),
            FLOAT => OddValue::Float(self.u64()?),
            TEXT => {
                let length = index(self.u32()?);
                let (text, rest) = self.bytes.split_at_checked(length).ok_or(TOO_SHORT)?;
                self.bytes = rest;
                let text = std::str::from_utf8(text);
                OddValue::Text(
                    text.map_err(|_| HistoryError::Damaged("a text is not UTF-8"))?.into(),
                )
            }
            _ => return Err(HistoryError::Damaged("a value has an unknown kind")),
        };
        Ok((place, value))
    }

    fn entry(&mut self) -> Result<Entry, HistoryError> {
        let (trial, code, cost) = (self.u32()?, self.u32()?, self.u64()?);
        Entry::from_parts(trial, code, cost)
            .ok_or(HistoryError::Damaged("an entry has an unknown stage"))
    }

    fn end(&self) -> Result<(), HistoryError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(HistoryError::Damaged("it is too long")) }
    }
}

const TOO_SHORT: HistoryError = HistoryError::Damaged("it is too short");
