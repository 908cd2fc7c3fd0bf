//! Writes the inputs of a split to a temporary file.
//!
//! The rows of the training split are written in random order, so that consecutive rows are a
//! sample of the whole split also where the table is sorted. A training then reads windows of
//! consecutive rows in random order, and the rows of a window in random order.
//!
//! No window of a shuffled file has all its rows near each other in the table, so the rows are
//! distributed first, as a radix sort does: each goes to its window, and then each window is put in
//! order. Every byte is written twice and read once, whatever the size.

use caviar_common::numbers::{index, to_u32, to_u64};

use crate::encode::Encoder;
use crate::error::DataError;
use crate::features::{FileFeatures, INPUT_BYTES};
use crate::inputs::Inputs;
use crate::scratch::Scratch;

/// Rows that are encoded at once.
const ROWS_AT_ONCE: usize = 1 << 12;
/// Numbers that are encoded at once, for wide tables.
const NUMBERS_AT_ONCE: usize = 1 << 20;
/// Bytes that wait for a window before they are written together.
const WAITING_BYTES: usize = 1 << 16;

/// Encodes the rows of a table.
pub(crate) struct Stream<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) inputs: &'a Inputs,
    /// Bytes of a window.
    pub(crate) window_bytes: usize,
}

impl Stream<'_> {
    fn row_bytes(&self) -> usize {
        (self.encoder.width() * INPUT_BYTES).max(1)
    }

    /// Rows of a window, at least 1.
    fn window_rows(&self) -> usize {
        (self.window_bytes / self.row_bytes()).max(1)
    }

    /// Writes `rows` in their order.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(crate) fn in_order(&self, rows: &[usize]) -> Result<FileFeatures, DataError> {
        let mut file = Scratch::new()?;
        let mut bytes = Vec::new();
        for rows in rows.chunks(self.rows_at_once()) {
            let encoded = self.encoder.encode(self.inputs, rows);
            bytes.clear();
            bytes.extend(encoded.iter().flat_map(|input| input.to_le_bytes()));
            file.append(&bytes)?;
        }
        Ok(FileFeatures::new(file, rows.len(), self.encoder.width(), self.window_rows()))
    }

    /// Writes row `rows[i]` as row `places[i]` of the file. The places are 0 to the number of rows,
    /// each once.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(crate) fn shuffled(
        &self,
        rows: &[usize],
        places: &[u32],
    ) -> Result<FileFeatures, DataError> {
        let mut file = Scratch::new()?;
        let (window_rows, row_bytes) = (self.window_rows(), self.row_bytes());
        let count = rows.len().div_ceil(window_rows);
        let mut windows: Vec<Window> =
            (0..count).map(|number| Window::new(number * window_rows * row_bytes)).collect();
        for (rows, places) in
            rows.chunks(self.rows_at_once()).zip(places.chunks(self.rows_at_once()))
        {
            let encoded = self.encoder.encode(self.inputs, rows);
            for (row, &place) in encoded.rows().into_iter().zip(places) {
                let place = index(place);
                if let Some(window) = windows.get_mut(place / window_rows) {
                    window.order.push(to_u32(place % window_rows));
                    window.waiting.extend(row.iter().flat_map(|input| input.to_le_bytes()));
                    if window.waiting.len() >= WAITING_BYTES {
                        window.write(&mut file)?;
                    }
                }
            }
        }
        for window in &mut windows {
            window.write(&mut file)?;
        }
        for window in windows {
            window.put_in_order(&mut file, row_bytes)?;
        }
        Ok(FileFeatures::new(file, rows.len(), self.encoder.width(), window_rows))
    }

    fn rows_at_once(&self) -> usize {
        (NUMBERS_AT_ONCE / self.encoder.width().max(1)).clamp(1, ROWS_AT_ONCE)
    }
}

/// A window while its rows arrive.
struct Window {
    /// Where it begins in the file, in bytes.
    start: usize,
    /// Bytes of its rows in the file.
    written: usize,
    /// Rows that are not in the file.
    waiting: Vec<u8>,
    /// The place in the window of each row, in the order of their arrival.
    order: Vec<u32>,
}

impl Window {
    const fn new(start: usize) -> Self {
        Self { start, written: 0, waiting: Vec::new(), order: Vec::new() }
    }

    fn write(&mut self, file: &mut Scratch) -> Result<(), DataError> {
        file.write_at(&self.waiting, to_u64(self.start + self.written))?;
        self.written += self.waiting.len();
        self.waiting.clear();
        Ok(())
    }

    fn put_in_order(self, file: &mut Scratch, row_bytes: usize) -> Result<(), DataError> {
        let mut arrived = vec![0; self.written];
        file.read_at(&mut arrived, to_u64(self.start))?;
        let mut ordered = vec![0; self.written];
        for (row, place) in arrived.chunks_exact(row_bytes).zip(self.order) {
            let start = index(place) * row_bytes;
            if let Some(to) = ordered.get_mut(start..start + row_bytes) {
                to.copy_from_slice(row);
            }
        }
        Ok(file.write_at(&ordered, to_u64(self.start))?)
    }
}
