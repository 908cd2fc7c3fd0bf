//! Points in rows, in chunks that never move.
//!
//! A vector that grows to a gigabyte would be copied at each doubling, and half of it might be
//! unused.

/// The rows of a chunk.
const ROWS: usize = 1_024;

/// Rows of equal length.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The length of a row; 0 before the first one.
    width: usize,
    chunks: Vec<Vec<f64>>,
}

impl Rows {
    /// Appends a row. All rows must have the same length.
    pub(super) fn push(&mut self, row: &[f64]) {
        self.width = row.len();
        let full = ROWS * self.width;
        match self.chunks.last_mut().filter(|chunk| chunk.len() < full) {
            Some(chunk) => chunk.extend_from_slice(row),
            None => {
                let mut chunk = Vec::with_capacity(full);
                chunk.extend_from_slice(row);
                self.chunks.push(chunk);
            }
        }
    }

    /// The row at a position, or an empty one if it does not exist.
    pub(super) fn get(&self, position: usize) -> &[f64] {
        let start = position % ROWS * self.width;
        let chunk = self.chunks.get(position / ROWS);
        chunk.and_then(|chunk| chunk.get(start..start + self.width)).unwrap_or_default()
    }

    /// The rows from a position on.
    pub(super) fn iter_from(&self, position: usize) -> impl Iterator<Item = &[f64]> {
        let chunks = self.chunks.get(position / ROWS..).unwrap_or_default();
        let rows = chunks.iter().flat_map(|chunk| chunk.chunks_exact(self.width));
        rows.skip(position % ROWS)
    }
}
