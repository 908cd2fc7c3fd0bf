//! Python, for the tests that compare exported models with the libraries that run them.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A Python that can import these modules: `CAVIAR_PYTHON`, or `python3` if that is not set.
///
/// `CAVIAR_PYTHON` must have them. If `python3` lacks them, reports that the test is skipped, and
/// returns `None`.
pub(crate) fn python(modules: &str) -> Option<OsString> {
    let named = std::env::var_os("CAVIAR_PYTHON");
    let is_named = named.is_some();
    let python = named.unwrap_or_else(|| OsString::from("python3"));
    if can_import(&python, modules) {
        return Some(python);
    }
    assert!(!is_named, "CAVIAR_PYTHON={} cannot import {modules}", python.display());
    // Not by a macro, whose output is shown only for tests that fail.
    let _unheard =
        writeln!(std::io::stderr(), "skipped: python3 lacks {modules}; set CAVIAR_PYTHON");
    None
}

/// Whether this Python has these modules.
pub(crate) fn can_import(python: &OsString, modules: &str) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", &format!("import {modules}")]);
    probe.output().is_ok_and(|output| output.status.success())
}

/// Runs a program in a directory, and returns what it prints.
pub(crate) fn run(python: &OsString, program: &str, directory: &Path) -> String {
    let output =
        Command::new(python).args(["-c", program]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
