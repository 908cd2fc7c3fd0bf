//! What was noticed about the data of a sweep.

use std::io::{self, Write};

use caviar_common::data::{DataNote, NoteLevel};

use super::page::{Page, Tone};

/// Writes what was noticed about the data.
pub(crate) fn write_note(out: &mut impl Write, note: &DataNote, page: Page) -> io::Result<()> {
    match note.level {
        NoteLevel::Warning => page.write(out, Tone::Waiting, 9, &format!("warning  {}", note.text)),
        NoteLevel::Info => page.write(out, Tone::Faint, 9, &format!("note     {}", note.text)),
    }
}
