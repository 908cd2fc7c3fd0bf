//! What is written on standard output.

pub(crate) mod best;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod importance;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod trials;
pub(crate) mod workers;

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

/// Standard output, locked and buffered.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Columns of the terminal that standard output is; none where it is no terminal, and lines may be
/// as long as they are.
pub(crate) fn columns() -> Option<usize> {
    columns_of(&console::Term::stdout())
}

/// Columns of a terminal.
pub(crate) fn columns_of(terminal: &console::Term) -> Option<usize> {
    let (_, columns) = terminal.size_checked().filter(|_| terminal.is_term())?;
    Some(usize::from(columns))
}

/// The error of the output below a CSV writer, so that one sees whether its reader went away.
fn output_error(error: csv::Error) -> io::Error {
    let shown = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { io::Error::other(shown) }
}

/// Writes one object, indented.
pub(crate) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Writes one object on one line, at once.
pub(crate) fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    out.flush()
}

#[cfg(test)]
pub(crate) mod samples;
