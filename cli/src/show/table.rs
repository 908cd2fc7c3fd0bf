//! Columns of text.

use std::io::{self, Write};
use std::ops::Range;

/// Spaces between two columns.
const GAP: usize = 2;
/// Spaces before the lines that go on with a row.
const INDENT: usize = 4;

/// Rows of cells, each column as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn with_headings<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Writes it. Where it is wider than `columns`, every row goes on in indented lines below,
    /// heading under heading.
    pub(crate) fn write(&self, out: &mut impl Write, columns: Option<usize>) -> io::Result<()> {
        let widths = self.widths();
        let folds = folds(&widths, columns.unwrap_or(usize::MAX));
        for row in &self.rows {
            for fold in &folds {
                let mut line = " ".repeat(if fold.start == 0 { 0 } else { INDENT });
                for (cell, width) in row.iter().zip(&widths).take(fold.end).skip(fold.start) {
                    let padding = (width + GAP).saturating_sub(cell.chars().count());
                    line.push_str(cell);
                    line.extend(std::iter::repeat_n(' ', padding));
                }
                if fold.start == 0 || !line.trim_end().is_empty() {
                    writeln!(out, "{}", line.trim_end())?;
                }
            }
        }
        Ok(())
    }

    /// Characters of its longest line, unless it is folded.
    pub(crate) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

/// The columns of each line of a row; a column that is too wide by itself has a line to itself.
fn folds(widths: &[usize], columns: usize) -> Vec<Range<usize>> {
    let mut folds = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (column, width) in widths.iter().enumerate() {
        if column > start && used + width > columns {
            folds.push(start..column);
            (start, used) = (column, INDENT);
        }
        used += width + GAP;
    }
    folds.push(start..widths.len());
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::with_headings(["name", "trials"]);
        table.row(["digits", "60"]);
        table.row(["é", ""]);
        let mut out = Vec::new();
        table.write(&mut out, None).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "name    trials\ndigits  60\né\n");
    }

    #[test]
    fn rows_are_folded_where_they_do_not_fit() {
        let mut table = Table::with_headings(["trial", "state", "learning_rate", "units"]);
        table.row(["0", "completed", "0.01", "64"]);
        table.row(["1", "queued", "", ""]);
        let folded = |columns| {
            let mut out = Vec::new();
            table.write(&mut out, Some(columns)).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(table.width(), 38);
        assert_eq!(folded(38).lines().count(), 3);
        assert_eq!(
            folded(30),
            "trial  state\n    learning_rate  units\n0      completed\n    0.01           64\n1      queued\n"
        );
        assert!(
            folded(1)
                .starts_with("trial\n    state\n    learning_rate\n    units\n0\n    completed\n")
        );
    }
}
