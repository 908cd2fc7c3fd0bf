//! The long-running programs as real processes: how they log, stop and fail, and how others find
//! them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]
#![expect(clippy::indexing_slicing, reason = "a missing field should panic where it is read")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const SWEEP: &str = "name = \"small\"\nseed = 3\n[data]\nsource = \"builtin:digits\"\n\
                     [fixed]\nepochs = 2\nlayers = 1\nunits = 8\n\
                     [search]\nstrategy = \"random\"\ntrials = 4\n";
/// Far more than any step of these tests takes. A program that hangs fails its test by then.
const PATIENCE: Duration = Duration::from_secs(120);

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for name in ["RUST_LOG", "CAVIAR_COORDINATOR", "CAVIAR_JOIN", "CAVIAR_STORE"] {
        command.env_remove(name);
    }
    command.env("CAVIAR_HOME", directory.join("home"));
    command
}

/// A process that does not outlive its test.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn log(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.0.stderr.take().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    fn wait(&mut self, what: &str) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{what} does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn output(command: &mut Command) -> Output {
    let mut program = Program::start(command);
    program.wait("a command");
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    program.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    program.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: program.0.wait().unwrap(), stdout, stderr }
}

fn stdout(directory: &Path, arguments: &[&str]) -> String {
    let output = output(&mut command(directory, arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(directory: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(directory, arguments)).unwrap()
}

/// Waits until the coordinator has published its address next to the store.
fn address(directory: &Path) -> String {
    let began = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(directory.join("caviar.db.address")) {
            return text.trim().to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no address");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a sweep on a coordinator and a worker that log everything into pipes, with which
/// `treat_log` does what a careless reader would do. Both programs must finish and exit in order.
/// Returns what `treat_log` kept.
fn run_with_logs<T>(treat_log: impl Fn(BufReader<ChildStderr>) -> T) -> [T; 2] {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    let start =
        |arguments: &[&str]| Program::start(command(directory, arguments).env("RUST_LOG", "trace"));
    let mut coordinator = start(&["coordinator", "--listen", "127.0.0.1:0"]);
    let log_of_coordinator = treat_log(coordinator.log());
    let address = address(directory);
    stdout(directory, &["submit", "small.toml", "--coordinator", &address]);
    let mut worker = start(&["worker", "--coordinator", &address, "--slots", "1"]);
    let log_of_worker = treat_log(worker.log());

    let watched = stdout(directory, &["watch", "small", "--json", "--coordinator", &address]);
    let last: Value = serde_json::from_str(watched.lines().last().unwrap()).unwrap();
    assert_eq!(last["state"], "completed");
    for program in [&mut worker, &mut coordinator] {
        program.signal(Signal::SIGTERM);
        assert_eq!(program.wait("a program that was told to stop").code(), Some(0));
    }
    [log_of_coordinator, log_of_worker]
}

#[test]
fn a_log_whose_reader_went_away_costs_no_work() {
    run_with_logs(|mut log| {
        log.read_line(&mut String::new()).unwrap();
    });
}

#[test]
fn a_log_that_nobody_reads_costs_no_work() {
    for mut log in run_with_logs(|log| log) {
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() >= 60_000, "the pipe was not full: {} bytes", bytes.len());
    }
}

#[test]
fn the_same_mistake_has_the_same_exit_code_in_every_program() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("bad.toml"), "name = 7\n").unwrap();
    let failed = |command: &mut Command| {
        let output = output(command);
        assert_eq!(output.stdout, b"", "{command:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for words in [
        &["coordinator", "--listen", "127.0.0.1:0"][..],
        &["worker"],
        &["list", "--store", "caviar.db"],
    ] {
        let (code, text) = failed(command(directory, words).env("RUST_LOG", "caviar=loud"));
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.starts_with("error: RUST_LOG = \"caviar=loud\": "), "{words:?}: {text}");
        let (code, _) = failed(command(directory, words).arg("--nonsense"));
        assert_eq!(code, 2, "{words:?}");
    }
    for words in [
        &["coordinator", "--listen", "ftp://a"][..],
        &["coordinator", "--insecure", "--listen", "0.0.0.0:0"],
        &["worker", "--coordinator", "ftp://a"],
        &["list", "--coordinator", "ftp://a"],
        &["run", "bad.toml"],
    ] {
        assert_eq!(failed(&mut command(directory, words)).0, 2, "{words:?}");
    }
    std::fs::write(directory.join("text.db"), "This is not a store, it is a text.".repeat(99))
        .unwrap();
    for words in [
        &["coordinator", "--listen", "127.0.0.1:0", "--store", "text.db"][..],
        &["list", "--store", "text.db"],
        &["run", "--resume", "--store", "text.db"],
    ] {
        assert_eq!(failed(&mut command(directory, words)).0, 2, "{words:?}");
    }
}

#[test]
fn a_second_signal_ends_a_program_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let listen = ["coordinator", "--listen", "127.0.0.1:0"];
    let mut coordinator = Program::start(&mut command(directory.path(), &listen));
    let address = address(directory.path());
    // A connection that says nothing keeps a coordinator from stopping for two seconds.
    let _silent = TcpStream::connect(address.strip_prefix("https://").unwrap()).unwrap();
    let mut log = coordinator.log();
    let mut line = String::new();
    coordinator.signal(Signal::SIGINT);
    while !line.contains("SIGINT: stopping") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0);
    }
    coordinator.signal(Signal::SIGTERM);
    assert_eq!(coordinator.wait("the coordinator").code(), Some(130));
}

#[test]
fn the_coordinator_that_holds_a_store_answers_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("small.toml"), SWEEP).unwrap();
    let status = || json(directory, &["status", "small", "--json", "--store", "caviar.db"]);
    let listen = ["coordinator", "--listen", "localhost:0"];
    let mut coordinator = Program::start(&mut command(directory, &listen));
    stdout(directory, &["submit", "small.toml", "--coordinator", &address(directory)]);
    assert_eq!(status()["state"], "running");
    coordinator.signal(Signal::SIGINT);
    assert_eq!(coordinator.wait("the coordinator").code(), Some(0));
    assert!(!directory.join("caviar.db.address").exists());
    assert_eq!(status()["state"], "interrupted");
    let listed = json(directory, &["list", "--json", "--store", "caviar.db"]);
    assert_eq!(listed[0]["state"], "interrupted");

    // A killed coordinator leaves its address behind, which must not mislead clients.
    let mut coordinator = Program::start(&mut command(directory, &listen));
    address(directory);
    coordinator.signal(Signal::SIGKILL);
    coordinator.wait("the killed coordinator");
    assert!(directory.join("caviar.db.address").exists());
    assert_eq!(status()["state"], "interrupted");

    // Nor does another coordinator that listens there by now.
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path();
    std::fs::write(elsewhere.join("small.toml"), SWEEP).unwrap();
    let _other = Program::start(&mut command(elsewhere, &listen));
    let other_address = address(elsewhere);
    stdout(elsewhere, &["submit", "small.toml", "--coordinator", &other_address]);
    std::fs::write(directory.join("caviar.db.address"), &other_address).unwrap();
    let cancelled = json(directory, &["cancel", "small", "--json"]);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(status()["state"], "cancelled");
    assert_eq!(json(elsewhere, &["status", "small", "--json"])["state"], "running");
}
