//! What a terminal shows: the programs run in a pseudo-terminal of a given width.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::{OpenptyResult, Winsize, openpty};

const SWEEP: &str = r#"name = "a-name-that-takes-its-share-of-a-line"
seed = 3
[data]
source = "builtin:digits"
[search]
trials = 40
[fixed]
epochs = 3
"#;
const NAME: &str = "a-name-that-takes-its-share-of-a-line";
/// Columns of a terminal that does not tell its size.
const DEFAULT_COLUMNS: usize = 80;

/// Runs a command with its output in a terminal of that many columns, and returns what it wrote to
/// standard output. With 0 columns the terminal does not tell its size.
fn caviar(directory: &Path, columns: u16, arguments: &[&str]) -> String {
    let rows = if columns == 0 { 0 } else { 24 };
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("CAVIAR_COORDINATOR")
        .env_remove("CAVIAR_JOIN")
        .env_remove("CAVIAR_STORE")
        .stdin(Stdio::null())
        .stdout(slave)
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The terminal ends, with an error, when no process has its other side open.
    drop(command);
    let mut written = Vec::new();
    let _closed = File::from(master).read_to_end(&mut written);
    assert!(child.wait().unwrap().success(), "{arguments:?}");
    String::from_utf8(written).unwrap()
}

/// The lines of a terminal without their colours.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| console::strip_ansi_codes(line).trim_end().to_owned()).collect()
}

fn assert_fits(text: &str, columns: usize, arguments: &[&str]) {
    for line in lines(text) {
        let width = unicode_width::UnicodeWidthStr::width(line.as_str());
        // Commands stay whole, so that they can be copied.
        let is_command = line.trim_start().starts_with("caviar ");
        assert!(width <= columns || is_command, "{arguments:?}: {width} of {columns}: {line}");
    }
}

#[test]
fn every_page_fits_the_width_of_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("sweep.toml"), SWEEP).unwrap();
    for columns in [0, 40, 80] {
        let most = if columns == 0 { DEFAULT_COLUMNS } else { usize::from(columns) };
        let run = ["run", "sweep.toml", "--replace"];
        let shown = caviar(directory, columns, &run);
        assert!(shown.contains("\u{1b}["), "a terminal has colours: {shown}");
        assert_fits(&shown, most, &run);
        for arguments in [
            &["status", NAME][..],
            &["list"],
            &["trials", NAME],
            &["best", NAME],
            &["explain", NAME, "0"],
            &["importance", NAME],
            &["check", "sweep.toml"],
        ] {
            let shown = caviar(directory, columns, arguments);
            assert!(!shown.is_empty());
            assert_fits(&shown, most, arguments);
        }
    }
}
