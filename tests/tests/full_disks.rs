//! Disks that are really full: that of a coordinator, and that of a worker's cache. Skipped where a
//! small file system cannot be mounted.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use caviar_tests::home::home;
use caviar_tests::processes::{
    Coordinator, Place, Process, caviar, caviar_ok, export, program, worker,
};
use caviar_tests::wait;
use caviar_tests::watch::{is_completed, is_in_training, until};

const SWEEP: &str = r#"
name = "full"
seed = 5
[data]
source = "builtin:digits"
[fixed]
epochs = 400
layers = 2
units = 64
[search]
strategy = "random"
trials = 6
parallelism = 2
[stopping]
rule = "none"
"#;

/// A small file system in memory. It is gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it. `None`, with a message, if this user cannot.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: this user cannot mount a file system");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file until no byte is free.
    fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("it can be created");
        while file.write_all(&[0; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.path("filler")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: a program that still runs keeps a file open.
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_coordinator_whose_disk_is_full_stops_and_goes_on_once_there_is_space() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let place = Place::new("full", SWEEP);
    let expected = place.run("2");
    let store = disk.path("full.db");
    let start = || {
        let mut command = program("caviar-coordinator");
        command.args(["--listen", "127.0.0.1:0", "--lease-ttl-ms", "2000", "--store"]);
        Coordinator::hear(command.arg(&store).env("RUST_LOG", "info"))
    };
    let mut coordinator = start();
    let url = coordinator.url.clone();
    // It finds the coordinator at its next address by the join string of the same user.
    let join = format!("{}.trust/worker.join", store.display());
    let mut command = program("caviar-worker");
    command.args(["--join", &join, "--name", "w", "--slots", "2"]).env("RUST_LOG", "warn");
    let _worker = Process::start(&mut command);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &url]);
    wait::until("a trial is in training", || is_in_training(&url, "full", 400));
    disk.fill();
    assert!(!coordinator.process.wait(), "a coordinator that cannot write does not go on");
    let log = coordinator.process.log();
    assert!(
        log.contains("the disk is full or its quota is used up: the store failed to write events"),
        "{log}"
    );
    assert!(log.contains("hint: free space, and run the command again"), "{log}");
    // It does not start on a full disk either, and says the same.
    let mut command = program("caviar-coordinator");
    command.args(["--listen", "127.0.0.1:0", "--store"]).arg(&store);
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("the disk is full or its quota is used up"),
        "{errors}"
    );
    let status = caviar_ok(&["status", "full", "--store", &store.to_string_lossy()]);
    assert!(status.contains(" of 6 trials finished"), "a store can be read: {status}");
    disk.free();
    let coordinator = start();
    until(&coordinator.url, "full", is_completed);
    let result = export("full", &["--coordinator", &coordinator.url]);
    assert!(result == expected, "the export differs from that of one process");
}

#[test]
fn an_upload_that_would_fill_the_disk_of_the_store_is_refused() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sweep = own_data(folder.path());
    let coordinator = Coordinator::start(&disk.path("full.db"), None);
    let output = caviar(&["submit", &sweep, "--coordinator", &coordinator.url]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    assert!(errors.contains("bytes are free on the disk of the uploads"), "{errors}");
    assert!(
        errors.contains("hint: free space, or name another place with --artifacts"),
        "{errors}"
    );
    // Sweeps that need no upload go on.
    let place = Place::new("full", SWEEP);
    let _worker = worker(&coordinator.url, "w", 2);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &coordinator.url]);
    until(&coordinator.url, "full", is_completed);
}

#[test]
fn a_worker_whose_cache_cannot_be_written_keeps_the_data_in_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sweep = own_data(folder.path());
    let coordinator = Coordinator::start(&folder.path().join("own.db"), None);
    caviar_ok(&["submit", &sweep, "--coordinator", &coordinator.url]);
    fs::remove_file(folder.path().join("own.csv")).expect("it is there");
    let cache = folder.path().join("cache");
    let worker = program("caviar-worker");
    // Files of a few KiB at most, as with a quota: the system refuses to write more. Without the
    // trap, it would end the program.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 8; exec "$0" "$@""#]).arg(worker.get_program());
    limited.args(["--coordinator", &coordinator.url, "--name", "w", "--slots", "2"]);
    limited.env("CAVIAR_HOME", home()).env("CAVIAR_CACHE", &cache).env("RUST_LOG", "warn");
    let said = |line: &str| line.contains("is not cached").then(|| line.to_owned());
    let (_worker, line) = Process::start_and_hear(&mut limited, said);
    until(&coordinator.url, "own", is_completed);
    let left = fs::read_dir(&cache).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.metadata().is_ok_and(|it| it.len() > 0)).count()
    });
    assert_eq!(left, 0, "{line}");
}

/// Writes a sweep on data of its own. Returns the path of the sweep file.
fn own_data(folder: &Path) -> String {
    let row = |i: usize| format!("{}.5,{},{}\n", i * 37 % 101, i * 53 % 89, i % 3);
    let rows: String = (0..2_000).map(row).collect();
    fs::write(folder.join("own.csv"), format!("x,y,kind\n{rows}")).expect("it can be written");
    let sweep = "name = \"own\"\n[data]\nsource = \"own.csv\"\nlabel = \"kind\"\n[fixed]\n\
                 epochs = 2\nlayers = 1\nunits = 8\n[search]\nstrategy = \"random\"\ntrials = 4\n";
    let file = folder.join("own.toml");
    fs::write(&file, sweep).expect("it can be written");
    file.to_string_lossy().into_owned()
}
