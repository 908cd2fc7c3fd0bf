//! Python, for the tests of clients in another language.

use std::ffi::OsString;
use std::io::Write;
use std::process::Command;

/// A Python that can import these modules: `CAVIAR_PYTHON`, or `python3` if that is not set.
///
/// `CAVIAR_PYTHON` must have them. If `python3` lacks them, reports that the test is skipped, and
/// returns `None`.
pub fn python(modules: &str) -> Option<OsString> {
    let named = std::env::var_os("CAVIAR_PYTHON");
    let is_named = named.is_some();
    let python = named.unwrap_or_else(|| OsString::from("python3"));
    let mut probe = Command::new(&python);
    probe.args(["-c", &format!("import {modules}")]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(!is_named, "CAVIAR_PYTHON={} cannot import {modules}", python.display());
    // Not by a macro, whose output is shown only for tests that fail.
    let _unheard =
        writeln!(std::io::stderr(), "skipped: python3 lacks {modules}; set CAVIAR_PYTHON");
    None
}
