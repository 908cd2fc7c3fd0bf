//! The rows of a mini-batch that are in a file.

use caviar_data::{FeatureWindow, FileFeatures};

use crate::error::TrainError;

/// Reads rows from a file, window by window. Its memory grows with the first rows that it reads.
#[derive(Debug, Default)]
pub(crate) struct FileRows {
    window: FeatureWindow,
    rows: Vec<f32>,
}

impl FileRows {
    /// The features of `rows`, `[rows, features]`. Rows of one window should follow each other.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(
        &mut self,
        file: &FileFeatures,
        rows: impl ExactSizeIterator<Item = usize>,
    ) -> Result<&[f32], TrainError> {
        let width = file.width();
        self.rows.resize(rows.len() * width, 0.0);
        for (to, row) in self.rows.chunks_exact_mut(width.max(1)).zip(rows) {
            let copied = self.window.copy_row(file, row, to);
            copied.map_err(|error| TrainError::Read { what: error.to_string() })?;
        }
        Ok(&self.rows)
    }
}
