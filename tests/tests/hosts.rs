//! Sweeps on several hosts: network namespaces with an sshd each, whose cables can be cut. Skipped
//! where there are no namespaces, or no sshd (`apt-get install iproute2 openssh-server`).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use caviar_common::join::{Role, join_file, trust_folder};
use caviar_tests::processes::{Place, Process, program};
use caviar_tests::scripted::Scripted;
use caviar_tests::wait::until;
use serde_json::Value;

/// Every worker has several trials to train, and each takes long enough to cut a cable.
const SWEEP: &str = r#"
name = "nodes"
seed = 5
[data]
source = "builtin:digits"
[fixed]
epochs = 100
layers = 2
units = 96
[search]
strategy = "random"
trials = 18
parallelism = 6
[stopping]
rule = "none"
"#;

/// The coordinator's host and port.
const ADDRESS: &str = "10.98.0.1:7070";
/// An address that swallows every packet.
const DEAD_ADDRESS: &str = "10.98.0.99:7070";
const WORKERS: [u32; 3] = [2, 3, 4];

/// Four hosts, `node1` to `node4`.
struct Hosts(Scripted);

impl Hosts {
    /// Starts them. `None`, with a message, if this machine cannot have them.
    fn start() -> Option<Self> {
        Scripted::start("hosts").map(Self)
    }

    /// What the names of their networks begin with.
    fn prefix(&self) -> &str {
        &self.0.said
    }

    /// The command on a host. It keeps its process id.
    fn on(&self, host: u32, command: &Command) -> Command {
        const WITH_NAME: &str = r#"echo "$0" > /proc/sys/kernel/hostname; exec "$@""#;
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &format!("{}-{host}", self.prefix())]);
        there.args(["unshare", "--uts", "sh", "-c", WITH_NAME, &format!("node{host}")]);
        there.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    /// Runs `caviar` on a host to its end. Returns whether it succeeded, and what it wrote.
    fn caviar(&self, host: u32, words: &[&str]) -> (bool, String, String) {
        let mut command = program("caviar");
        command.args(words);
        let output = self.on(host, &command).output().expect("ip runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn caviar_ok(&self, host: u32, words: &[&str]) -> String {
        let (succeeded, out, errors) = self.caviar(host, words);
        assert!(succeeded, "{words:?}: {out}{errors}");
        out
    }

    /// Calls `caviar ssh-workers` on the first host for all others.
    fn ssh_workers(&self, action: &str) -> (bool, String, String) {
        let file = self.0.path("hosts.txt");
        fs::write(&file, "node2 slots=1\nroot@node3 slots=1\nnode4 slots=1\n").expect("written");
        let option = format!("--ssh-option=-F{}", self.0.path("ssh").display());
        self.caviar(1, &["ssh-workers", &file.to_string_lossy(), &option, action])
    }

    /// Starts a coordinator on the first host.
    fn coordinator(&self, place: &Place, advertise: &[&str]) -> Process {
        let mut command = program("caviar-coordinator");
        command.args(["--listen", ":7070", "--lease-ttl-ms", "2000", "--store", &place.store()]);
        command.args(advertise).env("RUST_LOG", "info");
        let listening = |line: &str| line.contains("listening on ").then_some(());
        Process::start_and_hear(&mut self.on(1, &command), listening).0
    }

    /// Starts workers on the other hosts and then the sweep. Waits until each worker has a trial.
    fn start_sweep(&self, place: &Place) {
        let (succeeded, out, errors) = self.ssh_workers("start");
        assert!(succeeded, "{out}{errors}");
        for (line, host) in out.lines().zip(WORKERS) {
            assert!(line.starts_with(&format!("node{host}: worker started: process ")), "{out}");
        }
        until("every worker is connected", || WORKERS.iter().all(|host| self.is_connected(*host)));
        self.caviar_ok(1, &["submit", &place.sweep()]);
        until("every worker has a trial", || {
            WORKERS.iter().all(|host| self.worker(*host).is_some_and(|it| has_trials(&it)))
        });
    }

    /// What the coordinator says about the worker of a host; `None` if it knows none.
    fn worker(&self, host: u32) -> Option<Value> {
        let text = self.caviar_ok(1, &["workers", "--json"]);
        let workers: Vec<Value> = serde_json::from_str(&text).expect("a list");
        let begin = format!("node{host}-");
        workers.into_iter().find(|it| it["worker"].as_str().is_some_and(|n| n.starts_with(&begin)))
    }

    fn is_connected(&self, host: u32) -> bool {
        self.worker(host).is_some_and(|worker| worker["connected"] == true)
    }

    /// Plugs the cable of a host in or out.
    fn set_cable(&self, host: u32, state: &str) {
        let mut ip = Command::new("ip");
        ip.args([
            "-n",
            &format!("{}-switch", self.prefix()),
            "link",
            "set",
            &format!("port{host}"),
        ]);
        assert!(ip.arg(state).status().expect("ip runs").success());
    }

    /// Waits until the sweep is completed.
    fn finish(&self) {
        until("the sweep is completed", || {
            let text = self.caviar_ok(1, &["status", "nodes", "--json"]);
            let sweep: Value = serde_json::from_str(&text).expect("an object");
            sweep["state"] == "completed"
        });
    }
}

fn has_trials(worker: &Value) -> bool {
    worker["trials"].as_array().is_some_and(|trials| !trials.is_empty())
}

/// The file with the join string of the coordinator on a store.
fn join(place: &Place, role: Role) -> PathBuf {
    join_file(&trust_folder(Path::new(&place.store())), role)
}

#[test]
fn workers_that_ssh_starts_on_three_hosts_have_the_result_of_one_process() {
    let Some(hosts) = Hosts::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let coordinator = hosts.coordinator(&place, &[]);
    hosts.start_sweep(&place);
    let (succeeded, out, errors) = hosts.ssh_workers("list");
    assert!(succeeded, "{out}{errors}");
    for (line, host) in out.lines().zip(WORKERS) {
        assert!(line.starts_with(&format!("node{host}: running: process ")), "{out}");
    }
    hosts.finish();
    let (succeeded, out, errors) = hosts.ssh_workers("stop");
    assert!(succeeded, "{errors}");
    assert_eq!(out, "node2: worker stopped\nnode3: worker stopped\nnode4: worker stopped\n");
    until("the coordinator has forgotten the workers", || {
        hosts.caviar_ok(1, &["workers", "--json"]).trim() == "[]"
    });
    let (_, out, _) = hosts.ssh_workers("list");
    assert_eq!(out, "node2: no worker\nnode3: no worker\nnode4: no worker\n");
    drop(coordinator);
    assert!(place.stored() == expected, "the export differs from that of one process");
}

#[test]
fn when_the_cable_of_the_coordinator_is_mended_all_workers_return() {
    let Some(hosts) = Hosts::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let coordinator = hosts.coordinator(&place, &[]);
    hosts.start_sweep(&place);
    hosts.set_cable(1, "down");
    let is_lost = |host| !hosts.is_connected(host);
    until("every worker is lost", || WORKERS.into_iter().all(is_lost));
    hosts.set_cable(1, "up");
    until("every worker is back", || WORKERS.into_iter().all(|host| hosts.is_connected(host)));
    hosts.finish();
    drop(coordinator);
    assert!(place.stored() == expected, "the export differs from that of one process");
}

#[test]
fn the_trials_of_a_worker_move_while_its_cable_is_cut() {
    let Some(hosts) = Hosts::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let coordinator = hosts.coordinator(&place, &[]);
    hosts.start_sweep(&place);
    // The worker may have reported the end of its trial right before.
    until("the cable of a worker with a trial is cut", || {
        hosts.set_cable(2, "down");
        let is_cut = hosts.worker(2).is_some_and(|worker| has_trials(&worker));
        if !is_cut {
            hosts.set_cable(2, "up");
        }
        is_cut
    });
    hosts.finish();
    assert!(!hosts.is_connected(2), "it is connected without a cable");
    let trials: Value = serde_json::from_str(&hosts.caviar_ok(1, &["trials", "nodes", "--json"]))
        .expect("the trials are JSON");
    let moved = trials.as_array().into_iter().flatten().any(|it| it["attempts"].as_u64() > Some(1));
    assert!(moved, "no trial has moved: {trials}");
    let (succeeded, out, errors) = hosts.ssh_workers("list");
    assert!(!succeeded, "{out}");
    assert!(errors.contains("error: node2: ssh: connect to host 10.98.0.2 port 22: "), "{errors}");
    assert!(errors.contains("error: 1 of 3 hosts failed\n"), "{errors}");
    assert!(out.starts_with("node3: running: ") && out.contains("\nnode4: running: "), "{out}");

    hosts.set_cable(2, "up");
    until("the worker is back", || hosts.is_connected(2));
    drop(coordinator);
    assert!(place.stored() == expected, "the export differs from that of one process");
}

#[test]
fn the_second_address_of_a_join_string_is_used_when_the_first_is_silent() {
    let Some(hosts) = Hosts::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let advertised = format!("{DEAD_ADDRESS},{ADDRESS}");
    let coordinator = hosts.coordinator(&place, &["--advertise", &advertised]);
    let (admin, worker) = (join(&place, Role::Admin), join(&place, Role::Worker));
    let both = fs::read_to_string(&worker).expect("the join string");
    assert!(both.trim().ends_with(&format!("@{advertised}")), "{advertised}");

    let admin = admin.to_string_lossy();
    hosts.caviar_ok(3, &["submit", &place.sweep(), "--join", &admin]);
    let mut command = program("caviar-worker");
    command.arg("--join").arg(&worker).args(["--slots", "2"]);
    let _worker = Process::start(&mut hosts.on(2, &command));
    let watched = hosts.caviar_ok(4, &["watch", "nodes", "--json", "--join", &admin]);
    let last = watched.lines().last().expect("the last state");
    let last: Value = serde_json::from_str(last).expect("an object");
    assert_eq!(last["state"], "completed", "{last}");
    // The first address neither answers nor refuses.
    let dead = ["list", "--join", &admin, "--coordinator", DEAD_ADDRESS];
    let (succeeded, _, errors) = hosts.caviar(3, &dead);
    assert!(!succeeded && errors.contains(" does not answer within "), "{errors}");
    drop(coordinator);
    assert!(place.stored() == expected, "the export differs from that of one process");
}

/// Writes images of random pixels whose block has 103 MB, and a sweep of 16 short trials on them.
fn write_images(folder: &Path) {
    const ROWS: u32 = 32_768;
    let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
        std::iter::once(&magic).chain(sizes).flat_map(|size| size.to_be_bytes()).collect()
    };
    let mut state = 7u32;
    let mut byte = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut images = header(0x0803, &[ROWS, 28, 28]);
    images.extend((0..ROWS * 784).map(|_| byte()));
    let mut labels = header(0x0801, &[ROWS]);
    labels.extend((0..ROWS).map(|_| byte() % 10));
    fs::write(folder.join("images.idx"), images).expect("the folder can be written");
    fs::write(folder.join("labels.idx"), labels).expect("the folder can be written");
    let sweep = "name = \"images\"\n[data]\nsource = \"images.idx\"\nlabels = \"labels.idx\"\n\
                 [fixed]\nepochs = 1\nlayers = 1\nunits = 4\nbatch_size = 1024\n\
                 [space]\nlearning_rate = { low = 0.01, high = 0.1 }\n\
                 [search]\nstrategy = \"random\"\ntrials = 16\nparallelism = 16\n";
    fs::write(folder.join("images.toml"), sweep).expect("the folder can be written");
}

/// Bytes that have left a host since it was started, those to itself included.
fn sent(hosts: &Hosts, host: u32) -> u64 {
    let mut cat = Command::new("cat");
    cat.args(["lo", "eth0"].map(|name| format!("/sys/class/net/{name}/statistics/tx_bytes")));
    // Only `ip` mounts the /sys of the namespace.
    let output = hosts.on(host, &cat).output().expect("cat runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.parse::<u64>().expect("a number")).sum()
}

/// Copies a file from the first host to all four with scp, at once. Returns how long it took.
fn copy_to_all(hosts: &Hosts, file: &Path) -> Duration {
    let began = Instant::now();
    let copies: Vec<_> = (1..=4)
        .map(|host| {
            let mut scp = Command::new("scp");
            scp.arg("-q").arg("-F").arg(hosts.0.path("ssh")).arg(file);
            scp.arg(format!("node{host}:{}", hosts.0.path(&format!("copy-{host}")).display()));
            hosts.on(1, &scp).spawn().expect("scp runs")
        })
        .collect();
    for mut copy in copies {
        assert!(copy.wait().expect("scp ends").success());
    }
    began.elapsed()
}

#[test]
#[ignore = "a measurement of docs/performance.md; it takes a minute and 3 GB of memory"]
fn the_time_and_the_bytes_of_100_mb_for_16_workers_on_4_hosts() {
    let Some(hosts) = Hosts::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_images(folder.path());
    let place = Place::new("nodes", SWEEP);
    let _coordinator = hosts.coordinator(&place, &[]);
    let file = folder.path().join("images.toml");
    let file = file.to_str().expect("temporary paths are UTF-8");
    let began = Instant::now();
    hosts.caviar_ok(1, &["submit", file]);
    let submitted = began.elapsed();
    fs::remove_file(folder.path().join("images.idx")).expect("it is there");
    let blobs = PathBuf::from(format!("{}.artifacts", place.store())).join("blobs");
    let blobs = fs::read_dir(blobs).expect("it is there").flatten().map(|entry| entry.path());
    let size = |path: &PathBuf| path.metadata().map_or(0, |data| data.len());
    let blob = blobs.max_by_key(size).expect("one");
    let bytes = size(&blob);

    // scp first, so that it has no advantage from a file that was read before.
    let copied = copy_to_all(&hosts, &blob);
    let sent_before = sent(&hosts, 1);
    let began = Instant::now();
    let cache = |host: u32| hosts.0.path(&format!("cache-{host}"));
    let join = join(&place, Role::Worker);
    let workers: Vec<Process> = (0..16)
        .map(|number| {
            let host = number % 4 + 1;
            let mut command = program("caviar-worker");
            command.args(["--join", &join.to_string_lossy(), "--slots", "1"]);
            command.args(["--name", &format!("w{number}")]).current_dir(hosts.0.path(""));
            command.env("CAVIAR_CACHE", cache(host)).env("RUST_LOG", "warn");
            Process::start(&mut hosts.on(host, &command))
        })
        .collect();
    let is_whole = |host| {
        let names = fs::read_dir(cache(host)).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().len()).collect::<Vec<_>>() == [64]
    };
    until("all caches have it", || (1..=4).all(is_whole));
    let fetched = began.elapsed();
    let is_completed = |sweep: &str| {
        let text = hosts.caviar_ok(1, &["status", sweep, "--json"]);
        let status: Value = serde_json::from_str(&text).expect("an object");
        status["state"] == "completed"
    };
    until("the sweep is completed", || is_completed("images"));
    let completed = began.elapsed();
    let first = sent(&hosts, 1) - sent_before;

    write_images(folder.path());
    let uploaded = sent(&hosts, 1);
    hosts.caviar_ok(1, &["submit", file, "--name", "again"]);
    until("the second sweep is completed", || is_completed("again"));
    let second = sent(&hosts, 1) - uploaded;
    drop(workers);
    eprintln!(
        "block {bytes} bytes; submit {submitted:.2?}; 4 scp at once {copied:.2?}; in all 4 caches \
         {fetched:.2?}; sweep completed {completed:.2?}; the coordinator's host sent {first} \
         bytes, and {second} in a second sweep"
    );
    assert!((4 * bytes..4 * bytes + bytes / 10).contains(&first), "{first}");
    assert!(second < bytes / 10, "{second}");
}
