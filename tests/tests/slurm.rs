//! Sweeps on a real Slurm: a controller and four nodes, which are processes on this machine.
//! Skipped where Slurm is not installed (`apt-get install slurm-wlm munge`).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use caviar_tests::launch::deploy;
use caviar_tests::processes::{Coordinator, Place, Process, caviar_ok, program};
use caviar_tests::scripted::Scripted;
use caviar_tests::wait::until_found;
use serde_json::Value;

/// Long enough to take a node away while it runs.
const SWEEP: &str = r#"
name = "nodes"
seed = 5
[data]
source = "builtin:digits"
[fixed]
epochs = 150
layers = 2
units = 96
[search]
strategy = "random"
trials = 30
parallelism = 12
"#;

/// A running Slurm.
struct Slurm(Scripted);

impl Slurm {
    /// Starts it. `None`, with a message, if this machine has no Slurm.
    fn start() -> Option<Self> {
        Scripted::start("slurm").map(Self)
    }

    /// A program that talks to this Slurm.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.0.path("slurm.conf"));
        command
    }

    fn ok(&self, words: &[&str]) -> String {
        let (program, arguments) = words.split_first().expect("a program");
        let output = self.command(program).args(arguments).output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn caviar(&self, folder: &Path, words: &str) -> Command {
        let mut command = program("caviar");
        command.args(words.split_whitespace()).current_dir(folder);
        command.env("SLURM_CONF", self.0.path("slurm.conf"));
        command
    }

    /// The state of a job and its exit code, as `COMPLETED 0:0`.
    fn state(&self, job: &str) -> String {
        let shown = self.ok(&["scontrol", "show", "job", job]);
        let value = |name: &str| {
            let words = shown.split_whitespace();
            let mut found = words.filter_map(|word| word.strip_prefix(name));
            found.next().unwrap_or_default().to_owned()
        };
        format!("{} {}", value("JobState="), value("ExitCode="))
    }
}

/// The workers that hold trials, by name.
fn busy_workers(place: &[&str]) -> Vec<String> {
    let mut command = program("caviar");
    command.args(["workers", "--json"]).args(place);
    let output = command.output().expect("caviar runs");
    let workers: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let has_trials = |worker: &&Value| {
        worker["connected"] == true && worker["trials"].as_array().is_some_and(|t| !t.is_empty())
    };
    let busy = workers.as_array().into_iter().flatten().filter(has_trials);
    busy.filter_map(|worker| worker["worker"].as_str().map(str::to_owned)).collect()
}

fn folder_of(place: &Place) -> PathBuf {
    PathBuf::from(place.store()).parent().expect("it is in a folder").to_owned()
}

/// The text of the log of a job.
fn log_of(folder: &Path, job: &str) -> String {
    std::fs::read_to_string(folder.join(format!("nodes-{job}.log"))).unwrap_or_default()
}

#[test]
fn a_job_on_three_nodes_survives_the_loss_of_one_with_the_result_of_one_process() {
    let Some(slurm) = Slurm::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let folder = folder_of(&place);
    let words = "slurm run nodes.toml --nodes 3 --store nodes.db -- --wait";
    let mut run = Process::start(&mut slurm.caviar(&folder, words));
    let store = place.store();
    until_found("all three nodes train", || {
        (busy_workers(&["--store", &store]).len() == 3).then_some(())
    });
    slurm.ok(&["scontrol", "update", "nodename=n2", "state=down", "reason=test"]);
    assert!(run.wait(), "{}", log_of(&folder, "1"));
    let log = log_of(&folder, "1");
    assert!(log.contains("best trial") && log.contains("Node failure on n2"), "{log}");
    assert_eq!(slurm.state("1"), "COMPLETED 0:0");
    assert!(place.stored() == expected, "the export differs from that of one process");
}

#[test]
fn workers_by_demand_replace_a_cancelled_one_with_the_result_of_one_process() {
    let Some(slurm) = Slurm::start() else { return };
    // The sweep must last until a second job has started, on a fast machine too: half a minute.
    let sweep = SWEEP.replace("epochs = 150", "epochs = 600");
    let expected = Place::new("nodes", &sweep).run("2");
    let place = Place::new("nodes", &sweep);
    let folder = folder_of(&place);
    let coordinator: Coordinator = place.submit();
    let url = &coordinator.url;
    let words = format!(
        "slurm workers --coordinator {url} --max 3 --slots-per-job 2 --poll 1s --until-done"
    );
    let mut office = Process::start(&mut slurm.caviar(&folder, &words));
    let cancelled = until_found("two jobs train", || {
        let busy = busy_workers(&["--coordinator", url]);
        (busy.len() >= 2).then(|| busy[0].clone())
    });
    // Another process knows the jobs by their comment.
    office.kill();
    let mut command = slurm.caviar(&folder, &words);
    let (mut office, ()) = Process::start_and_hear(&mut command, |line| {
        line.starts_with("taking over ").then_some(())
    });
    let job = cancelled.strip_prefix("slurm-").expect("it is named by its job").to_owned();
    slurm.ok(&["scancel", &job]);
    assert!(office.wait(), "it ends with the sweep");
    // The cancelled worker gave its trials back in order.
    let log = std::fs::read_to_string(folder.join(format!("caviar-worker-{job}.log")));
    let log = log.expect("it has a log");
    assert!(log.contains("2 slots") && log.contains("exiting"), "{log}");
    let next = slurm.ok(&["squeue", "-h", "-t", "all", "-o", "%i"]).lines().count();
    assert!(next >= 3, "{next} jobs were submitted");
    drop(coordinator);
    assert!(place.stored() == expected, "the export differs from that of one process");
}

#[test]
fn a_job_leaves_before_its_time_limit_and_the_next_one_continues() {
    let Some(slurm) = Slurm::start() else { return };
    let place = Place::new("nodes", &SWEEP.replace("epochs = 150", "epochs = 20000"));
    let folder = folder_of(&place);
    let submit = |time: &str| {
        let words = format!("slurm run nodes.toml --store nodes.db -- --time {time}");
        assert!(Process::start(&mut slurm.caviar(&folder, &words)).wait());
    };
    submit("1");
    let ended = |job: &str| {
        let state = slurm.state(job);
        let is_over = !["PENDING", "RUNNING", "COMPLETING"].iter().any(|s| state.starts_with(s));
        is_over.then_some(state)
    };
    // Slurm would say TIMEOUT of a job that it had to kill.
    assert_eq!(until_found("the time limit is near", || ended("1")), "FAILED 130:0");
    let log = log_of(&folder, "1");
    assert!(log.contains("leaving before the time limit of "), "{log}");
    assert!(log.contains("the time limit ended the job"), "{log}");
    assert!(log.contains("submit the same command again"), "{log}");

    submit("10");
    let store = place.store();
    until_found("it trains", || (!busy_workers(&["--store", &store]).is_empty()).then_some(()));
    slurm.ok(&["scancel", "2"]);
    let asked = Instant::now();
    until_found("it is gone", || ended("2"));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let log = log_of(&folder, "2");
    assert!(log.contains("continuing sweep nodes"), "{log}");
    assert!(log.contains("SIGTERM ended the job"), "{log}");
    let status = caviar_ok(&["status", "nodes", "--store", &store]);
    assert!(status.contains("interrupted"), "{status}");
}

#[test]
fn plain_scripts_run_a_coordinator_and_workers_with_the_result_of_one_process() {
    let Some(slurm) = Slurm::start() else { return };
    let expected = Place::new("nodes", SWEEP).run("2");
    let place = Place::new("nodes", SWEEP);
    let folder = folder_of(&place);
    let sbatch = |words: &[&str], script: &str| {
        let mut command = slurm.command("sbatch");
        command.args(words).arg(deploy(&format!("slurm/{script}"))).current_dir(&folder);
        // A home and a cache of the test's own, as for all programs of the tests.
        let caviar = program("caviar");
        command.envs(caviar.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("CAVIAR_PROGRAM", caviar.get_program()).env("CAVIAR_STORE", place.store());
        let output = command.output().expect("sbatch runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {errors}");
    };
    // The workers wait for the coordinator's join string.
    sbatch(&["--array=1-2"], "worker.sh");
    sbatch(&[], "coordinator.sh");
    let store = place.store();
    let admin = format!("{store}.trust/admin.join");
    let words = ["submit", &place.sweep(), "--join", &admin];
    until_found("the coordinator takes the sweep", || {
        program("caviar").args(words).output().is_ok_and(|it| it.status.success()).then_some(())
    });
    let busy = until_found("both workers train", || {
        let busy = busy_workers(&["--store", &store]);
        (busy.len() == 2).then_some(busy)
    });
    assert!(busy.iter().all(|name| name.starts_with("slurm-")), "{busy:?}");
    until_found("the sweep is completed", || {
        let status = caviar_ok(&["status", "nodes", "--store", &store, "--json"]);
        let status: Value = serde_json::from_str(&status).expect("it is JSON");
        (status["state"] == "completed").then_some(())
    });
    // The jobs end in order, and the store is there for the next one.
    for name in ["caviar-worker", "caviar-coordinator"] {
        slurm.ok(&["scancel", "--name", name]);
        until_found("the jobs are gone", || {
            slurm.ok(&["squeue", "-h", "--name", name]).is_empty().then_some(())
        });
    }
    assert!(place.stored() == expected, "the export differs from that of one process");
}
