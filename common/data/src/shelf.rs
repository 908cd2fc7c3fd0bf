//! Packed columns, a limited part of them in memory and the others in temporary files.

use crate::cells::{Cells, Section};
use crate::file_error::FileError;
use crate::scratch::Scratch;
use crate::table::Column;

/// The columns so far.
pub(crate) struct Shelf {
    columns: Vec<Column>,
    /// How many of them are in files.
    moved: usize,
    /// Bytes of the others.
    kept_bytes: usize,
    /// Most bytes in memory.
    most_bytes: usize,
}

impl Shelf {
    /// No columns yet; at most `most_bytes` of them will be in memory.
    pub(crate) const fn new(most_bytes: usize) -> Self {
        Self { columns: Vec::new(), moved: 0, kept_bytes: 0, most_bytes }
    }

    /// Adds a column, and moves the columns in memory to a file if they are too large together.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(crate) fn push(&mut self, column: Column) -> Result<(), FileError> {
        self.kept_bytes = self.kept_bytes.saturating_add(column.cells.bytes().len());
        self.columns.push(column);
        if self.kept_bytes > self.most_bytes {
            let kept = self.columns.get_mut(self.moved..).unwrap_or_default();
            move_to_file(kept)?;
            (self.moved, self.kept_bytes) = (self.columns.len(), 0);
        }
        Ok(())
    }

    pub(crate) const fn len(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn into_columns(self) -> Vec<Column> {
        self.columns
    }
}

fn move_to_file(columns: &mut [Column]) -> Result<(), FileError> {
    let mut file = Scratch::new()?;
    for column in &*columns {
        file.append(column.cells.bytes())?;
    }
    let block = file.into_bytes()?;
    let mut end = 0;
    for column in columns {
        let start = end;
        end += column.cells.bytes().len();
        let section = Section::Block { block: block.clone(), range: start..end };
        column.cells = Cells::from_section(column.cells.packing(), section);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use caviar_common::data::ColumnType;

    use super::*;

    fn columns(most_bytes: usize) -> Shelf {
        let mut shelf = Shelf::new(most_bytes);
        for number in 0..5u8 {
            let values: Vec<f64> = (0..20).map(|row| f64::from(row * number)).collect();
            let (name, kind) = (number.to_string(), ColumnType::Number);
            let (cells, categories) = (Cells::pack(&values), Vec::new());
            shelf.push(Column { name, kind, cells, categories, form: None }).unwrap();
        }
        shelf
    }

    #[test]
    fn columns_keep_their_numbers_in_files() {
        let in_files = columns(30);
        assert_eq!((in_files.moved, in_files.len()), (4, 5));
        assert_eq!(in_files.into_columns(), columns(usize::MAX).into_columns());
    }
}
