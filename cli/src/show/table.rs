//! Tables that fit the terminal.
//!
//! Every column has a rank, and a width below which its cells are not shortened. A table that is
//! wider than the page is fitted in this order:
//!
//! 1. Headings and cells are shortened, down to the least width of their columns.
//! 2. If that is not enough, whole columns are left out, the highest rank first and, among equal
//!    ranks, the last first. Columns of rank 0 always stay.
//! 3. The space that remains goes back to the shortened columns.
//!
//! A line below the table names the columns that were left out. Lines are never folded. Without a
//! page width, as in a pipe, the table is complete.

use std::io::{self, Write};

use super::page::{Page, Tone, shorten, shorten_end, width};

/// Spaces between two columns.
const GAP: usize = 2;
/// Headings are shortened down to this many characters.
const LEAST_HEADING: usize = 8;

/// Where a cell gives way when it is too wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Numbers and words with a meaning: nowhere.
    Never,
    /// Names: in the middle, down to a width.
    Middle(usize),
    /// Lists: at the end, down to a width.
    End(usize),
}

/// What a table shows in one column, and how important that is.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    heading: String,
    rank: usize,
    cut: Cut,
}

impl Column {
    /// A column that always stays and whose cells are never shortened.
    pub(crate) fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), rank: 0, cut: Cut::Never }
    }

    /// Columns of a higher rank are left out first; those of rank 0 stay.
    pub(crate) const fn ranked(mut self, rank: usize) -> Self {
        self.rank = rank;
        self
    }

    /// The middle of a cell may give way, down to `least` characters.
    pub(crate) const fn shortened_to(mut self, least: usize) -> Self {
        self.cut = Cut::Middle(least);
        self
    }

    /// The end of a cell may give way, down to `least` characters.
    pub(crate) const fn ended_at(mut self, least: usize) -> Self {
        self.cut = Cut::End(least);
        self
    }

    fn shorten(&self, text: &str, most: usize) -> String {
        match self.cut {
            Cut::Never | Cut::Middle(_) => shorten(text, most),
            Cut::End(_) => shorten_end(text, most),
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in the colour and weight of a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Rows of cells under columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table. Columns without any heading make a table without a line of headings.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Writes the table so that it fits the page.
    pub(crate) fn write(&self, out: &mut impl Write, page: Page) -> io::Result<()> {
        let widths = self.widths(page.columns);
        let headings = self.columns.iter().map(|c| Cell::new(Tone::Faint, c.heading.as_str()));
        if self.columns.iter().any(|column| !column.heading.is_empty()) {
            self.write_row(out, page, &widths, &headings.collect::<Vec<_>>())?;
        }
        self.rows.iter().try_for_each(|row| self.write_row(out, page, &widths, row))?;
        let hidden = self.columns.iter().zip(&widths).filter(|(_, width)| width.is_none());
        let hidden: Vec<&str> = hidden.map(|(column, _)| column.heading.as_str()).collect();
        match page.columns {
            Some(columns) if !hidden.is_empty() => {
                let note = format!("not shown at {columns} columns: {}", hidden.join(", "));
                page.write(out, Tone::Faint, 2, &note)
            }
            _ => Ok(()),
        }
    }

    fn write_row(
        &self,
        out: &mut impl Write,
        page: Page,
        widths: &[Option<usize>],
        cells: &[Cell],
    ) -> io::Result<()> {
        let mut line = String::new();
        let mut pending = 0;
        for ((column, cell), most) in self.columns.iter().zip(cells).zip(widths) {
            let Some(most) = *most else { continue };
            let text = column.shorten(&cell.text, most);
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', pending));
                pending = 0;
                line.push_str(&page.paint(cell.tone, &text));
            }
            pending += most.saturating_sub(width(&text)) + GAP;
        }
        writeln!(out, "{line}")
    }

    /// The width of every column, or `None` for one that is left out.
    fn widths(&self, columns: Option<usize>) -> Vec<Option<usize>> {
        let natural: Vec<usize> =
            (0..self.columns.len()).map(|place| self.natural(place)).collect();
        let Some(columns) = columns.filter(|columns| needed(natural.iter()) > *columns) else {
            return natural.into_iter().map(Some).collect();
        };
        let mut widths: Vec<Option<usize>> =
            (0..self.columns.len()).map(|place| Some(self.least(place))).collect();
        while needed(widths.iter().flatten()) > columns {
            let shown = self.columns.iter().zip(&mut widths).filter(|(_, width)| width.is_some());
            let last = shown.filter(|(column, _)| column.rank > 0).max_by_key(|(c, _)| c.rank);
            match last {
                Some((_, width)) => *width = None,
                None => break,
            }
        }
        squeeze(&mut widths, columns);
        stretch(&mut widths, &natural, columns);
        widths
    }

    /// The widest cell below the heading.
    fn widest(&self, place: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(place));
        cells.map(|cell| width(&cell.text)).max().unwrap_or(0)
    }

    fn heading(&self, place: usize) -> usize {
        self.columns.get(place).map_or(0, |column| width(&column.heading))
    }

    fn natural(&self, place: usize) -> usize {
        self.widest(place).max(self.heading(place))
    }

    fn least(&self, place: usize) -> usize {
        let widest = self.widest(place);
        let cells = match self.columns.get(place).map(|column| column.cut) {
            Some(Cut::Middle(least) | Cut::End(least)) => widest.min(least),
            Some(Cut::Never) | None => widest,
        };
        cells.max(self.heading(place).min(LEAST_HEADING))
    }
}

/// The width of a line with these columns.
fn needed<'a>(widths: impl Iterator<Item = &'a usize>) -> usize {
    let (sum, count) = widths.fold((0, 0), |(sum, count), width| (sum + width, count + 1));
    sum + GAP * (count.max(1) - 1)
}

/// Takes characters from the widest columns until a line fits. This is only needed on a page that
/// is too narrow for the columns of rank 0.
fn squeeze(widths: &mut [Option<usize>], columns: usize) {
    while needed(widths.iter().flatten()) > columns {
        match widths.iter_mut().flatten().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => return,
        }
    }
}

/// Gives the space that is left to shortened columns, one character at a time.
fn stretch(widths: &mut [Option<usize>], natural: &[usize], columns: usize) {
    let mut spare = columns.saturating_sub(needed(widths.iter().flatten()));
    while spare > 0 {
        let before = spare;
        for (width, natural) in widths.iter_mut().zip(natural) {
            match width {
                Some(width) if *width < *natural && spare > 0 => {
                    *width += 1;
                    spare -= 1;
                }
                _ => {}
            }
        }
        if spare == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::new("name").shortened_to(6),
            Column::new("state"),
            Column::new("learning_rate").ranked(1),
            Column::new("units").ranked(2),
            Column::new("trials").ranked(3).ended_at(6),
        ]);
        table.row(["a-very-long-name", "completed", "0.01", "64", "digits/3 digits/4"]);
        table.row(["short", "queued", "", "", ""]);
        table
    }

    fn shown(columns: Option<usize>) -> String {
        let mut out = Vec::new();
        table().write(&mut out, Page { columns, ..Page::default() }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_everything() {
        let expected = "\
name              state      learning_rate  units  trials
a-very-long-name  completed  0.01           64     digits/3 digits/4
short             queued
";
        assert_eq!(shown(None), expected);
        assert_eq!(shown(Some(68)), expected);
    }

    #[test]
    fn cells_and_headings_are_shortened_before_columns_are_left_out() {
        let expected = "\
name         state      learning_rate  units  trials
a-ver…-name  completed  0.01           64     digits/3 …
short        queued
";
        assert_eq!(shown(Some(56)), expected);
    }

    #[test]
    fn columns_are_left_out_by_rank_and_named() {
        let expected = "\
name      state      learn…rate
a-ve…ame  completed  0.01
short     queued
not shown at 31 columns: units,
  trials
";
        assert_eq!(shown(Some(31)), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        for columns in 1..80 {
            let text = shown(Some(columns));
            let narrowest = 4;
            assert!(
                text.lines().all(|line| width(line) <= columns.max(narrowest)),
                "{columns}\n{text}"
            );
        }
    }
}
