//! Columns of numbers that grow row by row, a limited part of them in memory.
//!
//! When the part in memory is full, it is appended to a temporary file as one group of rows:
//!
//! ```text
//! file:   [ column 0 | column 1 | .. ]  [ column 0 | column 1 | .. ]   memory: the last rows
//!           rows 0 to 99                  rows 100 to 199
//! ```
//!
//! So a column is read back in as many pieces as there are groups.

use caviar_common::numbers::to_u64;

use crate::file_error::FileError;
use crate::scratch::Scratch;

/// The size of a number in bytes.
const NUMBER_BYTES: usize = 8;

/// The columns so far.
pub(crate) struct Spool {
    columns: Vec<Filled>,
    /// Most numbers in memory.
    most: usize,
    /// Numbers in memory.
    kept: usize,
    /// Rows in memory.
    rows: usize,
    groups: Vec<Group>,
    file: Option<Scratch>,
}

/// One column.
#[derive(Clone, Default)]
struct Filled {
    /// The rows that are not in the file.
    last: Vec<f64>,
    /// Whether the column has rows at all.
    is_filled: bool,
}

/// Some rows of all columns in the file.
struct Group {
    /// Where the first column begins, in bytes.
    start: u64,
    rows: usize,
}

impl Spool {
    /// `columns` empty columns, with about `most` numbers in memory.
    pub(crate) fn new(columns: usize, most: usize) -> Self {
        Self {
            columns: vec![Filled::default(); columns],
            most,
            kept: 0,
            rows: 0,
            groups: Vec::new(),
            file: None,
        }
    }

    /// Adds the number of a column in the current row. A column is filled in every row or in none.
    pub(crate) fn push(&mut self, column: usize, value: f64) {
        if let Some(column) = self.columns.get_mut(column) {
            column.last.push(value);
            column.is_filled = true;
            self.kept += 1;
        }
    }

    /// Ends the current row.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(crate) fn end_row(&mut self) -> Result<(), FileError> {
        self.rows += 1;
        if self.kept < self.most {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Scratch::new()?),
        };
        let group = Group { start: file.bytes(), rows: self.rows };
        let mut bytes = Vec::with_capacity(self.rows * NUMBER_BYTES);
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.is_filled {
                bytes.clear();
                bytes.extend(column.last.drain(..).flat_map(f64::to_le_bytes));
                file.write_at(&bytes, group.place(index))?;
            }
        }
        self.groups.push(group);
        (self.kept, self.rows) = (0, 0);
        Ok(())
    }

    /// Removes a column and returns its numbers, row by row.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn take(&mut self, column: usize) -> Result<Vec<f64>, FileError> {
        let taken = self.columns.get_mut(column).map(std::mem::take).unwrap_or_default();
        let Filled { last, is_filled } = taken;
        let Some(file) = self.file.as_ref().filter(|_| is_filled) else { return Ok(last) };
        let rows: usize = self.groups.iter().map(|group| group.rows).sum();
        let mut values = Vec::with_capacity(rows + last.len());
        let mut bytes = Vec::new();
        for group in &self.groups {
            bytes.resize(group.rows * NUMBER_BYTES, 0);
            file.read_at(&mut bytes, group.place(column))?;
            let (numbers, _) = bytes.as_chunks::<NUMBER_BYTES>();
            values.extend(numbers.iter().map(|number| f64::from_le_bytes(*number)));
        }
        values.extend(last);
        Ok(values)
    }
}

impl Group {
    /// Where a column of the group begins, in bytes.
    fn place(&self, column: usize) -> u64 {
        self.start + to_u64(column * self.rows * NUMBER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_the_same_in_memory_and_in_a_file() {
        for most in [1, 7, 1000] {
            let mut spool = Spool::new(3, most);
            for row in 0..100 {
                spool.push(0, f64::from(row));
                spool.push(2, f64::from(-row));
                spool.end_row().unwrap();
            }
            assert_eq!(spool.file.is_some(), most < 1000);
            let expected: Vec<f64> = (0..100).map(f64::from).collect();
            assert_eq!(spool.take(0).unwrap(), expected, "{most}");
            let negative: Vec<f64> = expected.iter().map(|value| -value).collect();
            assert_eq!(spool.take(2).unwrap(), negative, "{most}");
            assert_eq!(spool.take(1).unwrap(), [0.0; 0], "a column that was never filled");
        }
    }
}
