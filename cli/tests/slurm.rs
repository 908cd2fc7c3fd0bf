//! `caviar slurm` with programs that play Slurm: what it submits, cancels and says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use support::{Process, caviar, stderr_of, stdout_of, until};

const SWEEP: &str = "name = \"small\"\nseed = 3\n[data]\nsource = \"builtin:digits\"\n\
                     [fixed]\nepochs = 2\nlayers = 1\nunits = 8\n\
                     [search]\nstrategy = \"random\"\ntrials = 6\n";

/// Plays sbatch: it keeps each script and its options, and starts the script in the background as
/// the job of the next number. The file `held` keeps jobs in the queue, `broken` makes them fail,
/// and with `refuses` it takes none. If the file `cluster` has a name, jobs are on that cluster,
/// and the other programs know them only there.
const SBATCH: &str = r#"#!/bin/sh
cd "$CLUSTER" || exit 1
case " $* " in
    *" --test-only "*) cat >script.tested; echo "sbatch: Job 9 to start" >&2; exit 0 ;;
esac
if [ -f refuses ]; then echo "sbatch: error: invalid partition" >&2; exit 1; fi
job=$(($(cat next 2>/dev/null || echo 0) + 1))
echo "$job" >next
echo "$*" >"options.$job"
echo "${CAVIAR_JOIN-none}" >"join.$job"
cat >"script.$job"
sed -n 's/^#SBATCH --comment=//p' "script.$job" >"comment.$job"
if [ -f broken ]; then
    echo FAILED >"state.$job"
elif [ -f held ]; then
    echo PENDING >"state.$job"
else
    echo RUNNING >"state.$job"
    (SLURM_JOB_ID=$job SLURM_JOB_NUM_NODES=1 bash "script.$job" >"log.$job" 2>&1 </dev/null
     if [ $? = 0 ]; then echo COMPLETED; else echo FAILED; fi >"state.$job") >/dev/null 2>&1 &
fi
if [ -f cluster ]; then echo "$job;$(cat cluster)"; else echo "$job"; fi
"#;

/// Plays squeue: it lists every job that sbatch knows.
const SQUEUE: &str = r#"#!/bin/sh
cd "$CLUSTER" || exit 1
echo "$*" >squeue.options
case " $* " in
    *" -M $(cat cluster 2>/dev/null) "*) echo "CLUSTER: $(cat cluster)" ;;
    *) if [ -f cluster ]; then exit 0; fi ;;
esac
for file in state.*; do
    job=${file#state.}
    reason=$(cat reason 2>/dev/null || echo None)
    [ -f "$file" ] && echo "$job|$(cat "$file")|$reason|$(cat "comment.$job")"
done
exit 0
"#;

const SCANCEL: &str = r#"#!/bin/sh
cd "$CLUSTER" || exit 1
if [ -f cluster ]; then
    if [ "$1 $2" != "-M $(cat cluster)" ]; then echo "Invalid job id" >&2; exit 1; fi
    shift 2
fi
for job in "$@"; do echo CANCELLED >"state.$job"; echo "$job" >>cancelled; done
"#;

/// Plays srun: it runs the command once, after its own options.
const SRUN: &str = r#"#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"#;

/// A folder with a sweep, and with the programs that play Slurm.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let cluster = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(cluster.path("small.toml"), SWEEP).unwrap();
        fs::create_dir(cluster.path("bin")).unwrap();
        let programs =
            [("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL), ("srun", SRUN)];
        for (name, text) in programs {
            let path = cluster.path("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn caviar(&self, words: &str) -> std::process::Command {
        let mut command = caviar(self.folder.path(), words);
        let path = std::env::var("PATH").unwrap();
        let bin = self.path("bin");
        command.env("PATH", format!("{}:{path}", bin.display())).env("CLUSTER", self.folder.path());
        command
    }

    /// Writes a join string of a role to the file `own-ROLE.join`.
    fn write_join(&self, role: &str) {
        let words = "tokens create --join caviar.db.trust/admin.join --role";
        stdout_of(self.caviar(&format!("{words} {role} --output own-{role}.join")));
    }

    /// What a command says that refuses its arguments.
    fn refusal(&self, words: &str) -> String {
        let mut command = self.caviar(words);
        let output = command.env("CAVIAR_HOME", self.path("nowhere")).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {errors}");
        errors
    }

    /// Waits until squeue is asked again.
    fn wait_for_a_look(&self) {
        let _gone = fs::remove_file(self.path("squeue.options"));
        until("it looks", || exists(&self.path("squeue.options")));
    }

    /// Starts a coordinator, and returns it with its address.
    fn coordinator(&self) -> (Process, String) {
        let process = Process::start(&mut self.caviar("coordinator --listen 127.0.0.1:0"));
        let address = until("the coordinator listens", || {
            let text = self.text("caviar.db.address");
            (!text.is_empty()).then(|| text.trim().to_owned())
        });
        (process, address)
    }
}

fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

#[test]
fn the_script_of_a_job_is_shown_tested_and_submitted_with_the_users_options() {
    let cluster = Cluster::new();
    let printed = stdout_of(cluster.caviar("slurm run small.toml --nodes 4 --print"));
    for line in [
        "#!/bin/bash",
        "#SBATCH --job-name=caviar-small",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --exclusive",
        "#SBATCH --mem=0",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    assert!(!cluster.path("next").exists(), "nothing is submitted");
    let words = "slurm run small.toml --print --skip-directive --mem --skip-directive --exclusive";
    let printed = stdout_of(cluster.caviar(words));
    assert!(!printed.contains("--mem") && !printed.contains("--exclusive"), "{printed}");
    let words = "slurm run small.toml --nodes 4 --print -- -p cpu -A account";
    let printed = stdout_of(cluster.caviar(words));
    assert!(printed.starts_with("#!/bin/bash\n# sbatch -p cpu -A account\n#SBATCH "), "{printed}");
    let printed = stdout_of(cluster.caviar("slurm run small.toml --dry-run"));
    assert_eq!(printed, "sbatch: Job 9 to start\n");
    assert!(!cluster.path("next").exists(), "nothing is submitted");

    let submit = "slurm run small.toml -- -p cpu -A=account --comment=x --print";
    let said = stderr_of(cluster.caviar(submit), true);
    assert!(said.starts_with("job 1 is submitted; it ends with sweep small\n"), "{said}");
    assert_eq!(cluster.text("options.1"), "--parsable -p cpu -A=account --comment=x --print\n");
    until("the job ends", || (cluster.text("state.1") == "COMPLETED\n").then_some(()));
    assert!(cluster.text("log.1").contains("best trial"), "{}", cluster.text("log.1"));

    // Its log has one line for each trial, and one for the score of the winner.
    let log = cluster.text("log.1");
    assert_eq!(log.matches("trial finished").count(), 7, "{log}");
    assert!(!log.contains("TrialFinished") && !log.contains("trial started"), "{log}");

    // The same command again finds the sweep completed.
    let said = stderr_of(cluster.caviar("slurm run small.toml"), true);
    assert!(said.starts_with("sweep small has ended, so no job is submitted\n"), "{said}");
    assert!(said.contains("caviar best small --store caviar.db\n"), "{said}");
    fs::write(cluster.path("small.toml"), SWEEP.replace("trials = 6", "trials = 7")).unwrap();
    let said = stderr_of(cluster.caviar("slurm run small.toml"), false);
    assert!(said.contains("has a sweep small, and its file has changed since"), "{said}");
    assert_eq!(cluster.text("next"), "1\n", "nothing more is submitted");
}

#[test]
fn a_job_that_waits_for_more_than_its_turn_is_explained() {
    let cluster = Cluster::new();
    fs::write(cluster.path("held"), "").unwrap();
    fs::write(cluster.path("reason"), "PartitionTimeLimit").unwrap();
    let explained = |job: u32| {
        format!(
            "job {job} waits, and Slurm's reason is PartitionTimeLimit\n\
             hint: it may never start; to see it: squeue -j {job}\n"
        )
    };
    let said = stderr_of(cluster.caviar("slurm run small.toml"), true);
    assert!(said.contains(&explained(1)), "{said}");
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!("slurm workers --coordinator {address} --poll 1s --slots-per-job 1");
    let mut office = Process::start(&mut cluster.caviar(&words));
    until("a job is queued", || exists(&cluster.path("state.2")));
    (0..3).for_each(|_| cluster.wait_for_a_look());
    office.signal(Signal::SIGINT);
    let said = office.succeeded();
    assert_eq!(said.matches(&explained(2)).count(), 1, "{said}");
    assert!(said.contains("at most 200 jobs, and at most 1 in the queue"), "{said}");
    fs::write(cluster.path("reason"), "Priority").unwrap();
    let said = stderr_of(cluster.caviar("slurm run small.toml --name other"), true);
    assert!(!said.contains("waits"), "{said}");
}

#[test]
fn a_refused_job_says_why_and_what_to_do() {
    let cluster = Cluster::new();
    fs::write(cluster.path("refuses"), "").unwrap();
    let said = stderr_of(cluster.caviar("slurm run small.toml"), false);
    assert!(said.starts_with("error: sbatch: sbatch: error: invalid partition\n"), "{said}");
    assert!(said.contains("--skip-directive"), "{said}");
    let mut command = cluster.caviar("slurm run small.toml");
    command.env("PATH", "/nonexistent");
    let said = stderr_of(command, false);
    assert!(said.contains("sbatch: cannot be started"), "{said}");
    let said = stderr_of(cluster.caviar("slurm run small.toml --skip-directive --memory"), false);
    assert!(said.contains("--skip-directive --memory: the script has no such option"), "{said}");
    let said = stderr_of(cluster.caviar("slurm run small.toml --store no/where.db"), false);
    assert!(said.contains("--store no/where.db: there is no such folder"), "{said}");
    let said = stderr_of(cluster.caviar("slurm job small.toml --store caviar.db"), false);
    assert!(said.contains("SLURM_JOB_ID is not set"), "{said}");
}

#[test]
fn a_job_that_is_ended_keeps_its_results_and_says_how_to_continue() {
    let cluster = Cluster::new();
    fs::write(cluster.path("small.toml"), SWEEP.replace("epochs = 2", "epochs = 100000")).unwrap();
    let mut command = cluster.caviar("slurm job small.toml --store caviar.db");
    let mut job = Process::start(command.env("SLURM_JOB_ID", "7"));
    let listed = || {
        let mut list = cluster.caviar("workers --store caviar.db");
        String::from_utf8(list.output().unwrap().stdout).unwrap()
    };
    until("its worker is there", || listed().contains("connected").then_some(()));
    job.signal(Signal::SIGTERM);
    let said = job.failed();
    assert!(said.contains("SIGTERM ended the job; everything that was finished is kept"), "{said}");
    assert!(said.contains("submit the same command again"), "{said}");
    let status = stdout_of(cluster.caviar("status small --store caviar.db"));
    assert!(status.contains("interrupted"), "{status}");
}

#[test]
fn workers_are_submitted_while_a_sweep_needs_them() {
    let cluster = Cluster::new();
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!(
        "slurm workers --coordinator {address} --poll 1s --idle-timeout 1s --until-done \
         --slots-per-job 2 -- -p cpu"
    );
    let said = stderr_of(cluster.caviar(&words), true);
    assert!(said.contains("submitted job 1\n"), "{said}");
    assert!(said.contains("no sweep is running any more"), "{said}");
    assert_eq!(cluster.text("options.1"), "--parsable -p cpu\n");
    assert!(cluster.text("script.1").contains("#SBATCH --no-requeue\n"));
    assert!(cluster.text("squeue.options").contains("-t all"));
    // The worker leaves by itself.
    until("the job ends", || (cluster.text("state.1") == "COMPLETED\n").then_some(()));
    let log = cluster.text("log.1");
    assert!(log.contains("no trial for 1s") && log.contains("worker=slurm-1"), "{log}");
}

#[test]
fn queued_jobs_are_cancelled_when_it_is_interrupted() {
    let cluster = Cluster::new();
    fs::write(cluster.path("held"), "").unwrap();
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!("slurm workers --coordinator {address} --poll 1s --slots-per-job 1");
    let mut office = Process::start(&mut cluster.caviar(&words));
    until("a job is queued", || exists(&cluster.path("state.1")));
    // Only one, however many looks follow.
    cluster.wait_for_a_look();
    assert!(!cluster.path("state.2").exists());
    office.signal(Signal::SIGINT);
    let said = office.succeeded();
    assert!(said.contains("cancelling queued jobs: 1\n"), "{said}");
    assert_eq!(cluster.text("cancelled"), "1\n");
}

#[test]
fn a_second_process_takes_over_the_jobs_of_the_first() {
    let cluster = Cluster::new();
    fs::write(cluster.path("held"), "").unwrap();
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!(
        "slurm workers --coordinator {address} --poll 1s --slots-per-job 1 --max 2 --backlog 2"
    );
    let mut first = Process::start(&mut cluster.caviar(&words));
    until("two jobs are queued", || exists(&cluster.path("state.2")));
    first.signal(Signal::SIGKILL);
    first.failed();
    // A job that has ended, and jobs of another coordinator and of no coordinator.
    let mark = cluster.text("comment.1");
    assert!(mark.starts_with("caviar-workers:"), "{mark}");
    let others = [(7, "COMPLETED", mark.trim()), (8, "PENDING", "caviar-workers:x")];
    for (job, state, comment) in others.into_iter().chain([(9, "PENDING", "(null)")]) {
        fs::write(cluster.path(&format!("state.{job}")), state).unwrap();
        fs::write(cluster.path(&format!("comment.{job}")), comment).unwrap();
    }
    let mut second = Process::start(&mut cluster.caviar(&words));
    cluster.wait_for_a_look();
    cluster.wait_for_a_look();
    assert!(!cluster.path("state.3").exists(), "at most two jobs");
    second.signal(Signal::SIGTERM);
    let said = second.succeeded();
    assert!(said.contains("taking over 2 jobs for the same coordinator\n"), "{said}");
    assert!(said.contains("cancelling queued jobs: 1, 2\n"), "{said}");
    assert_eq!(cluster.text("cancelled"), "1\n2\n");
}

#[test]
fn a_comment_of_the_user_is_kept_and_its_price_is_said() {
    let cluster = Cluster::new();
    // A script is shown without a coordinator, too.
    let mut print = cluster.caviar("slurm workers --coordinator 127.0.0.1:1 --print");
    print.env("CAVIAR_HOME", cluster.path("nowhere"));
    let printed = stdout_of(print);
    assert!(printed.contains("#SBATCH --job-name=caviar-worker\n"), "{printed}");
    let (_coordinator, address) = cluster.coordinator();
    let words = format!("slurm workers --coordinator {address} --until-done -- --comment=mine");
    let said = stderr_of(cluster.caviar(&words), true);
    assert!(said.contains("hint: --comment replaces the one by which it finds its jobs"), "{said}");
}

#[test]
fn a_closed_terminal_cancels_queued_jobs_unless_nohup_was_asked_for() {
    let cluster = Cluster::new();
    fs::write(cluster.path("held"), "").unwrap();
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!("slurm workers --coordinator {address} --poll 1s --slots-per-job 1");
    let start = |how: &[&str]| {
        let plain = cluster.caviar(&words);
        let mut command = std::process::Command::new("env");
        command.args(how).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Process::start(command.current_dir(cluster.path("")))
    };
    // The test itself may run under nohup.
    let mut office = start(&["--default-signal=HUP"]);
    until("a job is queued", || exists(&cluster.path("state.1")));
    office.signal(Signal::SIGHUP);
    let said = office.succeeded();
    assert!(said.contains("cancelling queued jobs: 1\n"), "{said}");

    let mut office = start(&["--ignore-signal=HUP"]);
    until("a job is queued", || exists(&cluster.path("state.2")));
    office.signal(Signal::SIGHUP);
    cluster.wait_for_a_look();
    cluster.wait_for_a_look();
    assert_eq!(cluster.text("state.2"), "PENDING\n");
    office.signal(Signal::SIGTERM);
    office.succeeded();
}

#[test]
fn jobs_on_another_cluster_are_watched_and_cancelled_there() {
    let cluster = Cluster::new();
    fs::write(cluster.path("held"), "").unwrap();
    fs::write(cluster.path("cluster"), "other").unwrap();
    let said = stderr_of(cluster.caviar("slurm run small.toml -- -M other"), true);
    assert!(said.contains("to end it: scancel -M other 1;"), "{said}");
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!("slurm workers --coordinator {address} --poll 1s --slots-per-job 1");
    // Without the option, the variable and the reply of sbatch tell.
    for (at, (options, variable)) in
        [(" -- -M other", ""), ("", "other"), ("", "")].iter().enumerate()
    {
        let job = at + 2;
        let mut command = cluster.caviar(&format!("{words}{options}"));
        let mut office = Process::start(command.env("SBATCH_CLUSTERS", variable));
        until("a job is queued", || exists(&cluster.path(&format!("state.{job}"))));
        cluster.wait_for_a_look();
        cluster.wait_for_a_look();
        office.signal(Signal::SIGTERM);
        let said = office.succeeded();
        assert!(said.contains(&format!("submitted job {job} on cluster other\n")), "{said}");
        assert!(!said.contains("ended before its worker"), "{said}");
        let state = cluster.text(&format!("state.{job}"));
        assert_eq!(state, "CANCELLED\n", "{said}");
    }
}

#[test]
fn a_job_whose_workers_have_all_ended_does_not_wait_for_its_time_limit() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::new();
    let srun = cluster.path("bin/srun");
    fs::write(&srun, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&srun, fs::Permissions::from_mode(0o755)).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut command = cluster.caviar("slurm job small.toml --store caviar.db");
    command.env("SLURM_JOB_ID", "7").env("SLURM_JOB_END_TIME", (now.as_secs() + 400).to_string());
    let said = Process::start(&mut command).failed();
    assert!(said.contains("error: all workers of the job have ended\n"), "{said}");
}

#[test]
fn failed_starts_pause_it_until_it_is_told_to_continue() {
    let cluster = Cluster::new();
    let (_coordinator, address) = cluster.coordinator();
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let words = format!("slurm workers --coordinator {address} --poll 1s --slots-per-job 1");
    fs::write(cluster.path("broken"), "").unwrap();
    let mut office = Process::start(&mut cluster.caviar(&words));
    let failed = |job: u32| (cluster.text(&format!("state.{job}")) == "FAILED\n").then_some(());
    until("three jobs fail", || failed(3));
    let said = office.line_with("paused: ");
    assert!(said.contains("3 jobs in a row, the last of them 3, ended before"), "{said}");
    assert!(office.line_with("hint: ").contains("kill -USR1 "));
    assert!(!cluster.path("state.4").exists());
    office.signal(Signal::SIGUSR1);
    until("it continues", || failed(4));
    office.signal(Signal::SIGTERM);
    office.succeeded();
}

#[test]
fn a_join_string_of_a_role_that_does_not_fit_is_refused_at_the_start() {
    let cluster = Cluster::new();
    let (_coordinator, _) = cluster.coordinator();
    ["worker", "submit"].iter().for_each(|role| cluster.write_join(role));
    let said = cluster.refusal("slurm workers --join own-worker.join");
    assert!(said.contains("has the role worker, with which sweeps cannot be read"), "{said}");
    assert!(said.contains("--role view"), "{said}");
    let said = cluster.refusal("slurm workers --join own-submit.join");
    assert!(said.contains("own-submit.join has one of the role submit"), "{said}");
    assert!(said.contains("--worker-join FILE"), "{said}");
    let admin = "caviar.db.trust/admin.join";
    let said =
        cluster.refusal(&format!("slurm workers --join own-submit.join --worker-join {admin}"));
    assert!(said.contains("expected a join string of the role worker, not admin"), "{said}");
    let said = cluster.refusal("slurm workers --join own-submit.join --worker-join absent.join");
    assert!(said.contains("--worker-join absent.join: "), "{said}");
    let said = cluster.refusal("slurm workers --join - --worker-join own-worker.join");
    assert!(said.contains("--join -: the command and its jobs read"), "{said}");
    let other = Cluster::new();
    let (_other, _) = other.coordinator();
    other.write_join("worker");
    let file = other.path("own-worker.join");
    let words = format!("slurm workers --join own-submit.join --worker-join {}", file.display());
    let said = cluster.refusal(&words);
    assert!(said.contains("it is for another coordinator"), "{said}");
    assert!(!cluster.path("next").exists(), "nothing is submitted");
}

#[test]
fn the_jobs_get_what_the_coordinator_left_for_workers() {
    let cluster = Cluster::new();
    let mut command = cluster.caviar("coordinator --listen 127.0.0.1:0");
    let _coordinator = Process::start(command.env("CAVIAR_HOME", cluster.path("home")));
    until("it listens", || exists(&cluster.path("caviar.db.address")));
    let in_home = until("its files are in the home folder", || {
        let mut files = fs::read_dir(cluster.path("home/join")).ok()?;
        files.find_map(|file| {
            let path = file.unwrap().path();
            path.to_string_lossy().ends_with(".worker.join").then_some(path)
        })
    });
    cluster.write_join("submit");
    let script = |join: &str, home: &str| {
        let mut command = cluster.caviar(&format!("slurm workers --print --join {join}"));
        command.env("CAVIAR_HOME", cluster.path(home));
        stdout_of(command)
    };
    let printed = script("own-submit.join", "home");
    assert!(printed.contains(&format!("--join {}", in_home.display())), "{printed}");
    // The file next to that of the administrator.
    let printed = script("caviar.db.trust/admin.join", "nowhere");
    let file = cluster.path("caviar.db.trust/worker.join");
    assert!(printed.contains(&format!("--join {}", file.display())), "{printed}");
}

#[test]
fn a_secret_of_the_environment_does_not_reach_the_jobs() {
    let cluster = Cluster::new();
    let (_coordinator, address) = cluster.coordinator();
    ["worker", "submit"].iter().for_each(|role| cluster.write_join(role));
    stdout_of(cluster.caviar(&format!("submit small.toml --coordinator {address}")));
    let mut command = cluster.caviar(
        "slurm workers --worker-join own-worker.join --poll 1s --idle-timeout 1s --until-done",
    );
    command.env("CAVIAR_JOIN", cluster.text("own-submit.join"));
    let said = stderr_of(command, true);
    assert!(said.contains("no sweep is running any more"), "{said}");
    assert_eq!(cluster.text("join.1"), "none\n");
    let file = cluster.path("own-worker.join");
    assert!(cluster.text("script.1").contains(&format!("--join {}", file.display())));
}
