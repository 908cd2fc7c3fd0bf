//! Writing a secret that exists only once: everything that can fail is tried before it is made.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and nothing is written.
    Refused,
    /// It is replaced when the secret is there, and not before.
    Replaced,
}

/// A file for a secret, which only this user can read. Until the secret is written, it has another
/// name next to its own.
#[derive(Debug)]
pub(crate) struct SecretFile {
    /// As the user wrote it.
    name: PathBuf,
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    existing: Existing,
}

impl SecretFile {
    /// Prepares to write to `path`; `None` without one.
    ///
    /// # Errors
    /// The file cannot be written, or is there already and must stay.
    pub(crate) fn prepare(
        path: Option<&Path>,
        existing: Existing,
    ) -> Result<Option<Self>, Failure> {
        let Some(name) = path else { return Ok(None) };
        if existing == Existing::Refused && name.symlink_metadata().is_ok() {
            return Err(is_there(name).in_input());
        }
        // Not a link is replaced, but the file that it leads to.
        let path = name.canonicalize().unwrap_or_else(|_| name.to_owned());
        if path.exists() && !path.is_file() {
            let message = format!("--output {}: expected a file", name.display());
            return Err(Failure::hinted(message, "name a file").in_input());
        }
        let temporary = next_to(&path);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|error| {
            let message = format!("--output {}: cannot write there: {error}", name.display());
            Failure::hinted(message, "name a file in a folder that you can write to").in_input()
        })?;
        Ok(Some(Self { name: name.to_owned(), path, temporary, file, existing }))
    }

    /// Writes the text, and gives the file its name. Returns the name.
    ///
    /// # Errors
    /// It cannot be written. The error says that the secret is shown on standard output, which the
    /// caller does.
    pub(crate) fn write(mut self, text: &str) -> Result<PathBuf, Failure> {
        if self.existing == Existing::Refused && self.path.symlink_metadata().is_ok() {
            return Err(shown_instead(&is_there(&self.name).to_string()));
        }
        let written = self.put(text);
        written.map_err(|error| {
            shown_instead(&format!("--output {}: cannot write: {error}", self.name.display()))
        })?;
        Ok(std::mem::take(&mut self.name))
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _renamed = std::fs::remove_file(&self.temporary);
    }
}

fn is_there(name: &Path) -> Failure {
    Failure::hinted(
        format!("--output {}: the file is there already", name.display()),
        "name another file, or remove it if nothing uses it",
    )
}

fn shown_instead(message: &str) -> Failure {
    Failure::hinted(
        format!("{message}; the join string is on standard output instead"),
        "keep it in a file of mode 0600: it cannot be printed again",
    )
}

/// A name in the same folder that no other process uses.
fn next_to(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}
