//! The systemd units: systemd accepts them, they expose little, and their commands are those of the
//! program. Skipped where systemd-analyze is missing (`apt-get install systemd`).
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::process::{Command, Output};

use caviar_tests::launch::{check_command_line, text};
use caviar_tests::processes::programs;

/// The units, and the name of an instance of each.
const UNITS: [(&str, &str); 2] = [
    ("caviar-coordinator.service", "caviar-coordinator.service"),
    ("caviar-worker@.service", "caviar-worker@1.service"),
];

/// Ten times the exposure that a unit may have.
const MAX_EXPOSURE: u32 = 20;

/// The output of systemd-analyze about a unit whose program is the one that was built here. `None`
/// if this machine does not have it.
fn analyze(words: &[&str], unit: &str, instance: &str) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = programs().join("caviar");
    let text = text(&format!("systemd/{unit}"));
    let text = text.replace("/usr/local/bin/caviar", &program.to_string_lossy());
    std::fs::write(folder.path().join(unit), &text).expect("the folder can be written");
    let path = folder.path().join(instance);
    std::fs::write(&path, &text).expect("the folder can be written");
    match Command::new("systemd-analyze").args(words).arg(&path).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: systemd-analyze: {error}; apt-get install systemd");
            None
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    for (unit, instance) in UNITS {
        let Some(output) = analyze(&["verify"], unit, instance) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
    }
}

#[test]
fn the_units_expose_little() {
    for (unit, instance) in UNITS {
        let threshold = format!("--threshold={MAX_EXPOSURE}");
        let words = ["security", "--offline=yes", "--no-pager", &threshold];
        let Some(output) = analyze(&words, unit, instance) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit}: {said}");
    }
}

#[test]
fn the_commands_are_those_of_the_program() {
    for (unit, _) in UNITS {
        let text = text(&format!("systemd/{unit}")).replace("\\\n", " ");
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let words: Vec<String> =
            command.expect("it has one").split_whitespace().map(str::to_owned).collect();
        let (program, arguments) = words.split_first().expect("it has a program");
        assert_eq!(program, "/usr/local/bin/caviar");
        // systemd replaces these before it starts the program.
        let arguments: Vec<String> =
            arguments.iter().map(|word| word.replace("%l", "host").replace("%i", "1")).collect();
        check_command_line(unit, &arguments);
        assert!(text.contains("RestartPreventExitStatus=2\n"), "{unit}");
    }
}
