//! What the tests of `deploy/` share: the files, and the program's own opinion of a command line.

use std::path::{Path, PathBuf};

use crate::processes::program;

/// A path in `deploy/`.
pub fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// The text of a file in `deploy/`.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Checks that `caviar` knows the command and the options of a command line, and can read their
/// values.
pub fn check_command_line(place: &str, words: &[String]) {
    // With --help the program parses what is before it, and does nothing else.
    let output = program("caviar").args(words).arg("--help").output().expect("caviar runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: caviar {words:?}: {errors}");
}

/// The value of an option on a command line: the word after it.
pub fn value<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).map(String::as_str)
}
