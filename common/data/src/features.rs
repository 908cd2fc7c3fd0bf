//! The inputs of the examples of one split: in memory, or in a temporary file.

use std::sync::Arc;

use caviar_common::numbers::to_u64;
use ndarray::Array2;

use crate::file_error::FileError;
use crate::scratch::Scratch;

/// The size of an input in bytes.
pub(crate) const INPUT_BYTES: usize = 4;

/// The standardised inputs of one split, `[rows, features]`.
#[derive(Clone, Debug)]
pub enum Features {
    /// Inputs in memory, row-major.
    Memory(Array2<f32>),
    /// Inputs in a temporary file.
    File(FileFeatures),
}

/// Inputs in a temporary file, row by row. Clones share the file.
///
/// A training reads it in windows of consecutive rows. See [`FeatureWindow`].
#[derive(Clone, Debug)]
pub struct FileFeatures {
    file: Arc<Scratch>,
    rows: usize,
    width: usize,
    window_rows: usize,
}

/// A part of a file of inputs that is in memory: a window of consecutive rows.
#[derive(Debug, Default)]
pub struct FeatureWindow {
    /// Which file and window are in memory; `None` before the first row was read.
    loaded: Option<(Arc<Scratch>, usize)>,
    bytes: Vec<u8>,
}

impl Features {
    /// The number of rows and of features.
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Memory(features) => features.dim(),
            Self::File(features) => (features.rows, features.width),
        }
    }

    /// The number of rows.
    pub fn nrows(&self) -> usize {
        self.dim().0
    }

    /// The number of features.
    pub fn ncols(&self) -> usize {
        self.dim().1
    }

    /// The inputs in memory; `None` if they are in a file.
    pub const fn in_memory(&self) -> Option<&Array2<f32>> {
        match self {
            Self::Memory(features) => Some(features),
            Self::File(_) => None,
        }
    }

    /// Rows of a window; `None` if all rows are in memory.
    pub const fn window_rows(&self) -> Option<usize> {
        match self {
            Self::Memory(_) => None,
            Self::File(features) => Some(features.window_rows),
        }
    }

    /// All inputs, which are read if they are in a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn to_array(&self) -> Result<Array2<f32>, FileError> {
        match self {
            Self::Memory(features) => Ok(features.clone()),
            Self::File(features) => {
                let mut array = Array2::zeros((features.rows, features.width));
                let mut window = FeatureWindow::default();
                for (row, mut to) in array.rows_mut().into_iter().enumerate() {
                    if let Some(to) = to.as_slice_mut() {
                        window.copy_row(features, row, to)?;
                    }
                }
                Ok(array)
            }
        }
    }
}

impl From<Array2<f32>> for Features {
    fn from(features: Array2<f32>) -> Self {
        Self::Memory(features)
    }
}

/// Inputs are equal if their numbers are, wherever they are. Those of a file that cannot be read
/// equal no others.
impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => a == b,
            (Self::File(a), Self::File(b)) if Arc::ptr_eq(&a.file, &b.file) => true,
            (Self::Memory(_) | Self::File(_), _) => {
                self.dim() == other.dim()
                    && matches!((self.to_array(), other.to_array()), (Ok(a), Ok(b)) if a == b)
            }
        }
    }
}

impl FileFeatures {
    /// The inputs in a file, which has `rows` rows of `width` little-endian numbers.
    pub(crate) fn new(file: Scratch, rows: usize, width: usize, window_rows: usize) -> Self {
        Self { file: Arc::new(file), rows, width, window_rows: window_rows.max(1) }
    }

    /// The number of features.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Bytes of a window.
    pub fn window_bytes(&self) -> usize {
        self.window_rows.min(self.rows) * self.width * INPUT_BYTES
    }
}

impl FeatureWindow {
    /// Copies the inputs of a row. If its window is not in memory, it is read and replaces the one
    /// that is.
    ///
    /// # Errors
    /// The file cannot be read, or has no such row.
    pub fn copy_row(
        &mut self,
        from: &FileFeatures,
        row: usize,
        to: &mut [f32],
    ) -> Result<(), FileError> {
        let window = row / from.window_rows;
        let first = window * from.window_rows;
        let row_bytes = from.width * INPUT_BYTES;
        let is_loaded = self
            .loaded
            .as_ref()
            .is_some_and(|(file, number)| *number == window && Arc::ptr_eq(file, &from.file));
        if !is_loaded {
            self.loaded = None;
            let rows = from.rows.saturating_sub(first).min(from.window_rows);
            self.bytes.resize(rows * row_bytes, 0);
            from.file.read_at(&mut self.bytes, to_u64(first * row_bytes))?;
            self.loaded = Some((Arc::clone(&from.file), window));
        }
        let start = (row - first) * row_bytes;
        let bytes = self.bytes.get(start..start + row_bytes).unwrap_or_default();
        let (numbers, _) = bytes.as_chunks::<INPUT_BYTES>();
        for (to, number) in to.iter_mut().zip(numbers) {
            *to = f32::from_le_bytes(*number);
        }
        Ok(())
    }
}
