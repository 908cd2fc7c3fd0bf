//! Workers whose join string changes: the token is rotated, or the coordinator is started again at
//! another address.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails with the reason")]

use std::path::PathBuf;
use std::process::Command;

use caviar_common::join::{Role, join_file, trust_folder};
use caviar_tests::processes::{Coordinator, Process, program};

const SWEEP: &str = r#"
name = "joined"
[data]
source = "builtin:digits"
[fixed]
epochs = 2
[search]
strategy = "random"
trials = 4
parallelism = 2
"#;

/// A user whose home folder no other test sees.
struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        let user = Self(tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(user.path("joined.toml"), SWEEP).expect("it can be written");
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.current_dir(self.0.path()).env("CAVIAR_HOME", self.path("home"));
        command
    }

    fn coordinator(&self, store: &str) -> Coordinator {
        Coordinator::start_for(&self.path("home"), &self.path(store))
    }

    fn worker(&self, options: &[&str]) -> Command {
        let mut command = self.program("caviar-worker");
        command.args(["--name", "w", "--slots", "2"]).args(options).env("RUST_LOG", "info");
        command
    }

    /// Starts a worker, and waits until the coordinator has accepted it.
    fn connected(&self, options: &[&str], coordinator: &Coordinator) -> Process {
        let connected = format!("connected to {}", coordinator.url);
        let is_it = |line: &str| line.contains(&connected).then_some(());
        Process::start_and_hear(&mut self.worker(options), is_it).0
    }

    fn caviar_ok(&self, words: &[&str]) -> String {
        let output = self.program("caviar").args(words).output().expect("caviar runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).expect("it prints text")
    }

    /// Submits the sweep, and waits until a worker has ended it.
    fn sweep(&self, coordinator: &Coordinator) {
        self.caviar_ok(&["submit", "joined.toml", "--coordinator", &coordinator.url]);
        self.caviar_ok(&["watch", "joined", "--coordinator", &coordinator.url]);
        let status = ["status", "joined", "--json", "--coordinator", &coordinator.url];
        let sweep: serde_json::Value =
            serde_json::from_str(&self.caviar_ok(&status)).expect("JSON");
        assert_eq!(sweep["state"], "completed");
    }
}

#[test]
fn a_worker_goes_on_with_the_new_secret_of_its_token() {
    let user = User::new();
    let coordinator = user.coordinator("a.db");
    let file = join_file(&trust_folder(&user.path("a.db")), Role::Worker);
    let _worker = user.connected(&["--join", &file.to_string_lossy()], &coordinator);
    user.caviar_ok(&["tokens", "rotate", "first-worker", "--coordinator", &coordinator.url]);
    user.sweep(&coordinator);
}

#[test]
fn a_worker_follows_its_coordinator_to_another_port() {
    let user = User::new();
    let mut before = user.coordinator("a.db");
    let file = join_file(&trust_folder(&user.path("a.db")), Role::Worker);
    let _by_file = user.connected(&["--join", &file.to_string_lossy()], &before);
    before.process.kill();
    let after = user.coordinator("a.db");
    user.sweep(&after);
}

#[test]
fn a_worker_of_the_same_user_follows_its_coordinator_and_no_other() {
    let user = User::new();
    let mut before = user.coordinator("a.db");
    let _worker = user.connected(&[], &before);
    before.process.kill();
    // It is the latest of this user for a while.
    let _other = user.coordinator("b.db");
    let after = user.coordinator("a.db");
    user.sweep(&after);
}

#[test]
fn a_new_worker_tries_the_next_coordinator_when_the_latest_was_killed() {
    let user = User::new();
    let running = user.coordinator("a.db");
    user.coordinator("b.db").process.kill();
    let _worker = user.connected(&[], &running);
    user.sweep(&running);
}
