//! What the commands write to standard output.

mod baseline;
pub(crate) mod best;
mod boxes;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod importance;
pub(crate) mod notes;
pub(crate) mod page;
pub(crate) mod sweep;
pub(crate) mod sweep_toml;
pub(crate) mod sweeps;
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

/// The I/O error inside an error of a CSV writer, which shows whether the reader closed the pipe.
fn output_error(error: csv::Error) -> io::Error {
    let shown = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { io::Error::other(shown) }
}

/// Writes one JSON value, indented.
pub(crate) fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Writes one JSON value on one line and flushes it.
pub(crate) fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    out.flush()
}

#[cfg(test)]
pub(crate) mod tests;
