//! Real programs: coordinators, workers and clients that are started as a user starts them, and
//! killed without warning.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::home;
use crate::wait::{PATIENCE, until_found};
use crate::watch::{is_completed, until};

/// The folder of the programs. They are built once, next to the running test, in its profile, with
/// its feature `object-store`.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        let profile = test
            .parent()
            .and_then(Path::parent)
            .expect("tests lie in <target>/<profile>/deps")
            .to_owned();
        let release = profile.ends_with("release");
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--bins",
            "-p",
            "caviar",
            "-p",
            "caviar-coordinator",
            "-p",
            "caviar-worker",
        ]);
        build.args(release.then_some("--release"));
        if cfg!(feature = "object-store") {
            build.args(["--features", "caviar/object-store,caviar-coordinator/object-store"]);
        }
        build.arg("--target-dir").arg(profile.parent().expect("a profile lies in <target>"));
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "the programs do not build");
        profile
    })
}

/// A program of the project, quiet unless `RUST_LOG` says otherwise.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    command.env_remove("CAVIAR_COORDINATOR").env_remove("CAVIAR_STORE").env_remove("CAVIAR_JOIN");
    // Coordinators leave their join strings there, and the other programs find them by address.
    command.env("CAVIAR_HOME", home()).stdin(Stdio::null());
    // A cache of this test's own, next to the programs, and never that of the user.
    command.env("CAVIAR_CACHE", programs().join("test-cache").join(std::process::id().to_string()));
    command
}

/// A process that does not outlive its test.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Reads its standard error, if a test waited for a line of it.
    log: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self { child: command.spawn().expect("the program starts"), log: None }
    }

    /// Starts it, and waits until `said` returns a value for a line of its standard error.
    pub fn start_and_hear<T>(command: &mut Command, said: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let mut process = Self::start(command.stderr(Stdio::piped()));
        let stderr = process.child.stderr.take().expect("stderr is piped");
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.try_for_each(|line| send.send(line))
        });
        let (began, mut log) = (Instant::now(), String::new());
        let found = loop {
            let line = lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed()));
            let line = line.unwrap_or_else(|error| panic!("the program does not say so: {error}"));
            log.extend([&line, "\n"]);
            if let Some(found) = said(&line) {
                break found;
            }
        };
        // The rest of its standard error is read, so that it never blocks, and shown when a test
        // fails.
        process.log = Some(std::thread::spawn(move || {
            for line in lines {
                eprintln!("{line}");
                log.extend([&line, "\n"]);
            }
            log
        }));
        (process, found)
    }

    /// `kill -9`, and everything that it wrote to its standard error.
    pub fn log(mut self) -> String {
        self.kill();
        let log = self.log.take().expect("it was started to be heard");
        log.join().expect("its standard error ends")
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        // Killing fails if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("the process is there");
    }

    /// Waits for its end, and returns whether it succeeded.
    pub fn wait(&mut self) -> bool {
        let ended = || self.child.try_wait().expect("the process can be waited for");
        until_found("the process ends", ended).success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A coordinator on a store.
#[derive(Debug)]
pub struct Coordinator {
    /// The process.
    pub process: Process,
    /// Where it listens: `https://127.0.0.1:port`.
    pub url: String,
}

impl Coordinator {
    /// Starts one on any port, or on that of `url`, and waits until it listens.
    pub fn start(store: &Path, url: Option<&str>) -> Self {
        let listen = url.map_or("127.0.0.1:0", |url| url.trim_start_matches("https://"));
        Self::start_on(listen, home(), store)
    }

    /// Starts one for the user with this folder on any port, and waits until it listens.
    pub fn start_for(home: &Path, store: &Path) -> Self {
        Self::start_on("127.0.0.1:0", home, store)
    }

    fn start_on(listen: &str, home: &Path, store: &Path) -> Self {
        let mut command = program("caviar-coordinator");
        command
            .env("CAVIAR_HOME", home)
            .args(["--listen", listen, "--lease-ttl-ms", "2000", "--store"])
            .arg(store)
            .env("RUST_LOG", "info");
        Self::hear(&mut command)
    }

    /// Starts one with this command, and waits until it listens.
    pub fn hear(command: &mut Command) -> Self {
        let (process, url) = Process::start_and_hear(command, listening);
        Self { process, url }
    }
}

/// The address in "listening on https://127.0.0.1:41234, ...", whatever the log adds around it.
fn listening(line: &str) -> Option<String> {
    const BEFORE: &str = "https://127.0.0.1:";
    let rest = &line[line.find(BEFORE)?..];
    let digits = rest[BEFORE.len()..].bytes().take_while(u8::is_ascii_digit).count();
    Some(rest[..BEFORE.len() + digits].to_owned())
}

/// Starts a worker.
pub fn worker(url: &str, name: &str, slots: u32) -> Process {
    let mut command = program("caviar-worker");
    command
        .args(["--coordinator", url, "--name", name, "--slots", &slots.to_string()])
        .env("RUST_LOG", "warn");
    Process::start(&mut command)
}

/// A folder with a sweep file and its store.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Place {
    /// Writes a sweep file with this name and text into a new folder.
    pub fn new(name: &'static str, file: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder"), name };
        std::fs::write(place.path("toml"), file).expect("the folder can be written");
        place
    }

    fn path(&self, extension: &str) -> String {
        let path = self.folder.path().join(self.name).with_extension(extension);
        path.into_os_string().into_string().expect("temporary paths are UTF-8")
    }

    /// The path of the sweep file.
    pub fn sweep(&self) -> String {
        self.path("toml")
    }

    /// The path of the store.
    pub fn store(&self) -> String {
        self.path("db")
    }

    /// Runs the sweep in one process with `slots` slots. Returns the export from its store.
    pub fn run(&self, slots: &str) -> Value {
        caviar_ok(&["run", &self.sweep(), "--slots", slots, "--store", &self.store()]);
        self.stored()
    }

    /// The export from the store, which no coordinator may have open.
    pub fn stored(&self) -> Value {
        export(self.name, &["--store", &self.store()])
    }

    /// Starts a coordinator on the store and submits the sweep to it.
    pub fn submit(&self) -> Coordinator {
        let coordinator = Coordinator::start(Path::new(&self.store()), None);
        caviar_ok(&["submit", &self.sweep(), "--coordinator", &coordinator.url]);
        coordinator
    }

    /// Waits until the sweep is completed on a coordinator. Returns the export, and whether any
    /// trial was executed more than once.
    pub fn finish(&self, coordinator: &Coordinator) -> (Value, bool) {
        until(&coordinator.url, self.name, is_completed);
        let place = ["--coordinator", coordinator.url.as_str()];
        let listed: Value =
            serde_json::from_str(&caviar_ok(&["trials", self.name, "--json", place[0], place[1]]))
                .expect("JSON");
        let again =
            listed.as_array().into_iter().flatten().any(|t| t["attempts"].as_u64() > Some(1));
        (export(self.name, &place), again)
    }
}

/// Runs `caviar` with these arguments to its end.
pub fn caviar(args: &[&str]) -> Output {
    program("caviar").args(args).output().expect("caviar runs")
}

/// Runs `caviar`, which must succeed, and returns what it printed.
pub fn caviar_ok(args: &[&str]) -> String {
    let output = caviar(args);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "caviar {args:?} failed\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The export of a sweep without the values that may differ between runs: times, workers, attempts.
pub fn export(sweep: &str, place: &[&str]) -> Value {
    let mut args = vec!["export", sweep, "--format", "json"];
    args.extend(place);
    let mut value: Value = serde_json::from_str(&caviar_ok(&args)).expect("the export is JSON");
    forget(&mut value);
    value
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in
                ["seconds", "worker", "attempts", "started_at", "ended_at", "retrained_epochs"]
            {
                map.remove(key);
            }
            map.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
