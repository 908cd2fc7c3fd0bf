//! Processes that the tests of the launchers start.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Far more than any step takes. A program that hangs fails its test by then.
#[allow(dead_code, reason = "not every test waits")]
const PATIENCE: Duration = Duration::from_secs(120);

/// The program in a folder, without what the environment says about coordinators and Slurm.
pub(crate) fn caviar(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar"));
    command.args(words.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_cleared = |name: &String| {
        name.starts_with("SLURM_") || name.starts_with("CAVIAR_") || name == "RUST_LOG"
    };
    names.filter(is_cleared).for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// Looks until there is something.
#[allow(dead_code, reason = "not every test waits")]
pub(crate) fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it takes too long until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The standard output of a command that succeeds.
pub(crate) fn stdout_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The standard error of a command that succeeds or fails.
pub(crate) fn stderr_of(mut command: Command, succeeds: bool) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), succeeds, "{command:?}: {errors}");
    errors
}

/// A process that does not outlive its test.
#[allow(dead_code, reason = "not every test uses all of it")]
pub(crate) struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
    read: String,
}

#[allow(dead_code, reason = "not every test uses all of it")]
impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, read: String::new() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Reads its log up to a line with this text, and returns the line.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no {text:?}: {}", self.read);
            self.read.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end, and returns what it said.
    pub(crate) fn succeeded(&mut self) -> String {
        self.ended(true)
    }

    /// Waits for its failure, and returns what it said.
    pub(crate) fn failed(&mut self) -> String {
        self.ended(false)
    }

    fn ended(&mut self, succeeds: bool) -> String {
        let mut rest = std::mem::take(&mut self.read);
        self.log.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().success(), succeeds, "{rest}");
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
