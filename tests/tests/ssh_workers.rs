//! `caviar ssh-workers` with a real sshd on this machine: it starts, lists and stops workers, and
//! the failure of one host does not keep the others. Skipped where sshd is missing
//! (`apt-get install openssh-server`).
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use caviar_tests::processes::{Coordinator, Process, caviar_ok, program};

/// An sshd for this user with keys of its own. It gives every session another home folder.
struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    _process: Process,
}

impl Sshd {
    /// Starts it. `None`, with a message, if this machine does not have it.
    fn start() -> Option<Self> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() {
            eprintln!("skipped: {} is missing; apt-get install openssh-server", sshd.display());
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key));
            assert!(keygen.status().expect("ssh-keygen runs").success());
        }
        fs::create_dir(path("home")).expect("it can be made");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("a port is free").port();
        let shown = |name: &str| path(name).display().to_string();
        let settings = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSetEnv HOME={}\n",
            shown("host"),
            shown("user.pub"),
            shown("home"),
        );
        fs::write(path("sshd"), settings).expect("it can be written");
        // Debian's sshd wants this folder, which systemd makes.
        let _exists = fs::create_dir_all("/run/sshd");
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(path("sshd")).arg(format!("-oPort={port}"));
        command.arg("-oListenAddress=127.0.0.1").stderr(Stdio::null());
        let process = Process::start(&mut command);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let client = format!(
            "Host node*\nHostName 127.0.0.1\nHost *\nPort {port}\nIdentityFile {}\n\
             IdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n\
             LogLevel ERROR\n",
            shown("user"),
        );
        fs::write(path("client"), client).expect("it can be written");
        Some(Self { folder, port, _process: process })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Calls `caviar ssh-workers` for a host file. Returns whether it succeeded, and what it wrote.
    fn call(&self, hosts: &str, words: &[&str]) -> (bool, String, String) {
        fs::write(self.path("hosts"), hosts).expect("it can be written");
        let mut command = program("caviar");
        command.arg("ssh-workers").arg(self.path("hosts"));
        command.arg(format!("--ssh-option=-F{}", self.path("client").display())).args(words);
        let output = command.output().expect("caviar runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn workers_are_started_listed_and_stopped_and_one_bad_host_does_not_keep_the_others() {
    let Some(sshd) = Sshd::start() else { return };
    let store = sshd.path("caviar.db");
    let coordinator = Coordinator::start(&store, None);
    let url = coordinator.url.as_str();
    // Nothing listens on the port of the second host.
    let hosts = "node1 slots=1\n127.0.0.2\n";
    let start = ["start", "--coordinator", url];
    let (succeeded, out, errors) = sshd.call(hosts, &start);
    assert!(!succeeded, "{out}");
    assert!(out.starts_with("node1: worker started: process "), "{out}{errors}");
    assert!(errors.contains("error: 127.0.0.2: ssh: connect to host 127.0.0.2 port "), "{errors}");
    assert!(errors.contains("error: 1 of 2 hosts failed\n"), "{errors}");

    // It connects, under the name of its host, with the slots of its line.
    let began = Instant::now();
    let workers = loop {
        let workers = caviar_ok(&["workers", "--json", "--coordinator", url]);
        if workers.contains("\"connected\": true") {
            break workers;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{workers}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(workers.contains("\"slots\": 1"), "{workers}");
    let log = fs::read_to_string(sshd.path("home/.cache/caviar/workers/log")).expect("its log");
    assert!(log.contains("1 slot: as --slots says"), "{log}");

    let (succeeded, out, _) = sshd.call("node1\n", &start);
    assert!(succeeded && out.starts_with("node1: a worker runs already: process "), "{out}");
    let (succeeded, out, _) = sshd.call("node1\n", &["list"]);
    assert!(succeeded && out.starts_with("node1: running: process "), "{out}");
    let (succeeded, out, _) = sshd.call("node1\n", &["stop"]);
    assert!(succeeded && out == "node1: worker stopped\n", "{out}");
    let (succeeded, out, _) = sshd.call("node1\n", &["list"]);
    assert!(succeeded && out == "node1: no worker\n", "{out}");
    let (succeeded, out, _) = sshd.call("node1\n", &["stop"]);
    assert!(succeeded && out == "node1: no worker\n", "{out}");
}

#[test]
fn a_worker_is_known_by_when_it_started_and_not_by_its_name() {
    let Some(sshd) = Sshd::start() else { return };
    let store = sshd.path("caviar.db");
    let coordinator = Coordinator::start(&store, None);
    // No word of the command line of the worker is the name of the program.
    let run = sshd.path("run");
    fs::copy(program("caviar").get_program(), &run).expect("it can be copied");
    let run = run.display().to_string();
    let start = ["start", "--program", &run, "--coordinator", &coordinator.url];
    let (succeeded, out, errors) = sshd.call("node1 slots=1\n", &start);
    assert!(succeeded && out.starts_with("node1: worker started: process "), "{out}{errors}");
    let (succeeded, out, _) = sshd.call("node1\n", &["list"]);
    assert!(succeeded && out.starts_with("node1: running: process "), "{out}");
    let (succeeded, out, _) = sshd.call("node1\n", &start);
    assert!(succeeded && out.starts_with("node1: a worker runs already: process "), "{out}");

    // Later, for example after a reboot, another process may have the same id.
    let file = sshd.path("home/.cache/caviar/workers/pid");
    let worker = fs::read_to_string(&file).expect("the file of the worker");
    let (_, started) = worker.split_once(' ').expect("an id and a start");
    let mut other = program("caviar");
    other.args(["coordinator", "--listen", "127.0.0.1:0", "--store"]).arg(sshd.path("other.db"));
    let mut other = other.stderr(Stdio::null()).spawn().expect("caviar starts");
    fs::write(&file, format!("{} {started}", other.id())).expect("it can be written");
    let replies = [sshd.call("node1\n", &["list"]), sshd.call("node1\n", &["stop"])];
    let is_running = other.try_wait().is_ok_and(|ended| ended.is_none());
    let _killed = other.kill();
    let _reaped = other.wait();
    for (succeeded, out, errors) in replies {
        assert!(succeeded && out == "node1: no worker\n", "{out}{errors}");
    }
    assert!(is_running, "only a worker is stopped");

    fs::write(&file, worker).expect("it can be written");
    let (succeeded, out, _) = sshd.call("node1\n", &["stop"]);
    assert!(succeeded && out == "node1: worker stopped\n", "{out}");
}

#[test]
fn a_worker_that_does_not_start_says_why() {
    let Some(sshd) = Sshd::start() else { return };
    let program = sshd.path("run").display().to_string();
    fs::write(&program, "#!/bin/sh\necho it lacks a library >&2\nexit 1\n").expect("a program");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("it is a program");
    let start = ["start", "--coordinator", "http://127.0.0.1:1", "--program"];
    let (succeeded, out, errors) = sshd.call("node1\n", &[&start[..], &[&program]].concat());
    assert!(!succeeded, "{out}");
    assert!(errors.contains("error: node1: it lacks a library\n"), "{errors}");
    let words = [&start[..], &["/nowhere/caviar"]].concat();
    let (_, _, errors) = sshd.call("node1\n", &words);
    assert!(errors.contains("error: node1: /nowhere/caviar is not on this host"), "{errors}");
    // A wrong key is a failure of the host, and never a question for a password.
    fs::remove_file(sshd.path("user.pub")).expect("it is there");
    let (_, _, errors) = sshd.call("root@node1\n", &["list"]);
    assert!(errors.contains("error: node1: ") && errors.contains("Permission denied"), "{errors}");
    assert!(sshd.port > 0);
}
