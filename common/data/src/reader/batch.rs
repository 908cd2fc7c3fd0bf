//! Some rows of a table, as a model reads them.

use ndarray::{ArrayView2, ShapeError};

/// Rows that [`SchemaReader::read`](super::SchemaReader::read) has read. Its memory is reused from
/// one call to the next.
#[derive(Clone, Debug, Default)]
pub struct RowBatch {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) features: Vec<f32>,
    pub(super) truth: Option<Truth>,
    pub(super) text: Vec<u8>,
    /// Where the text of each row ends; empty if the format has no text.
    pub(super) ends: Vec<usize>,
}

/// The labels of some rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// The class of each row by its number among the classes of the model; `None` for a class that
    /// the model does not know, which it can therefore never predict.
    Classes(Vec<Option<u32>>),
    /// The numbers of each row, in the units of the labels: `[rows, outputs]`, row by row.
    Values(Vec<f64>),
}

impl RowBatch {
    /// The number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The inputs of the network, `[rows, width]`, row-major.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// The inputs as a matrix, `[rows, width]`.
    ///
    /// # Errors
    /// None: the number of inputs is the product of the sides.
    pub fn matrix(&self) -> Result<ArrayView2<'_, f32>, ShapeError> {
        ArrayView2::from_shape((self.rows, self.width), &self.features)
    }

    /// The labels; `None` if they were not asked for.
    pub const fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }

    /// The row at an index from 0 as a record of a text file, without its line end. It is UTF-8,
    /// with the delimiter and the quotes of the file; a cell in quotes can have line breaks. `None`
    /// if the row does not exist, or the file is not a table of named columns.
    pub fn record(&self, row: usize) -> Option<&[u8]> {
        let end = *self.ends.get(row)?;
        let before = row.checked_sub(1).and_then(|row| self.ends.get(row));
        self.text.get(before.copied().unwrap_or_default()..end)
    }

    /// Empties the batch, for inputs of this width.
    pub(super) fn clear(&mut self, width: usize, truth: Option<Truth>) {
        (self.rows, self.width, self.truth) = (0, width, truth);
        self.features.clear();
        self.text.clear();
        self.ends.clear();
    }

    /// Adds inputs that are 0, and returns them.
    pub(super) fn grow(&mut self, rows: usize) -> &mut [f32] {
        let start = self.features.len();
        self.features.resize(start + rows * self.width, 0.0);
        self.rows += rows;
        self.features.get_mut(start..).unwrap_or_default()
    }

    pub(super) fn push_record(&mut self, record: &[u8]) {
        self.text.extend_from_slice(record);
        self.ends.push(self.text.len());
    }
}
