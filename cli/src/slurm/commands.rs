//! The commands of Slurm: how they are called, and what their output means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};

use caviar_common::text::shortened;

/// Most characters of an error of Slurm that are shown.
const MAX_ERROR_CHARS: usize = 500;

/// A job: its number, and the cluster that has it if sbatch named one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId {
    number: String,
    cluster: Option<String>,
}

impl JobId {
    /// The job in the output of `sbatch --parsable`: `1234`, or `1234;cluster`. `None` if it is not
    /// one.
    fn parsed(text: &str) -> Option<Self> {
        let (number, cluster) = text.split_once(';').unwrap_or((text, ""));
        let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        let cluster = (!cluster.is_empty()).then(|| cluster.to_owned());
        is_number.then(|| Self { number: number.to_owned(), cluster })
    }

    /// The number as Slurm writes it.
    pub(crate) fn number(&self) -> &str {
        &self.number
    }

    /// The cluster; `None` for the one that the commands of Slurm mean by themselves.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The command that cancels the job.
    pub(crate) fn scancel(&self) -> String {
        let mut words = vec!["scancel".to_owned()];
        words.extend(on_cluster(self.cluster()));
        words.push(self.number.clone());
        words.join(" ")
    }

    /// The command that shows the job in the queue.
    pub(crate) fn squeue(&self) -> String {
        [&["squeue".to_owned()], self.in_squeue().as_slice()].concat().join(" ")
    }

    /// The options of squeue for this job.
    fn in_squeue(&self) -> Vec<String> {
        let options = ["-j".to_owned(), self.number.clone()];
        [on_cluster(self.cluster()).as_slice(), &options].concat()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.number)?;
        self.cluster.iter().try_for_each(|cluster| write!(out, " on cluster {cluster}"))
    }
}

#[cfg(test)]
impl From<u32> for JobId {
    fn from(number: u32) -> Self {
        Self { number: number.to_string(), cluster: None }
    }
}

/// A job that squeue lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) job: JobId,
    pub(crate) state: JobState,
    /// Why it waits, such as `Priority`; `None` as a text if Slurm has not said.
    pub(crate) reason: String,
    /// What sbatch got with `--comment`.
    pub(crate) comment: String,
}

/// What a job of the queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    /// It waits for its nodes.
    Queued,
    /// It has its nodes.
    Running,
    /// It ended in order.
    Completed,
    /// Somebody cancelled it, or another job took its place.
    Cancelled,
    /// It ended in any other way.
    Failed,
}

impl JobState {
    /// The state that Slurm names in full.
    fn from_slurm(name: &str) -> Self {
        match name {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED"
            | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => Self::Queued,
            "COMPLETED" => Self::Completed,
            "CANCELLED" | "PREEMPTED" | "REVOKED" => Self::Cancelled,
            "FAILED" | "TIMEOUT" | "NODE_FAIL" | "OUT_OF_MEMORY" | "BOOT_FAIL" | "DEADLINE" => {
                Self::Failed
            }
            // RUNNING, COMPLETING, SUSPENDED, STOPPED, and what later releases add.
            _ => Self::Running,
        }
    }
}

/// Why a command of Slurm did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{program}: {reason}")]
pub(crate) struct CommandError {
    program: &'static str,
    reason: String,
}

/// Submits a script, and returns the number of its job.
pub(crate) fn submit(script: &str, options: &[String]) -> Result<JobId, CommandError> {
    let options = [&["--parsable".to_owned()], options].concat();
    let (output, _) = run("sbatch", &options, Some(script))?;
    job_of(&output).ok_or_else(|| CommandError {
        program: "sbatch",
        reason: format!("{:?} is not the number of a job", shortened(&output, MAX_ERROR_CHARS)),
    })
}

/// Asks whether a script would be accepted, and returns what Slurm says.
pub(crate) fn test(script: &str, options: &[String]) -> Result<String, CommandError> {
    let options = [&["--test-only".to_owned()], options].concat();
    let (output, messages) = run("sbatch", &options, Some(script))?;
    Ok(format!("{output}{messages}"))
}

/// What squeue prints of a job.
const FORMAT: &str = "%i|%T|%r|%k";

/// What squeue lists about a job; `None` if Slurm does not know it any more.
pub(crate) fn queued(job: &JobId) -> Result<Option<Listed>, CommandError> {
    let asked = ["-h", "-o", FORMAT].map(str::to_owned);
    let (output, _) = run("squeue", &[asked.as_slice(), &job.in_squeue()].concat(), None)?;
    Ok(jobs_of(&output, job.cluster()).into_iter().find(|listed| listed.job == *job))
}

/// The jobs of this user that Slurm still knows, on these clusters; `None` is the one that squeue
/// asks by itself. A question about numbers would fail as a whole if one of them is too old to be
/// known.
pub(crate) fn queue(clusters: &BTreeSet<Option<String>>) -> Result<Vec<Listed>, CommandError> {
    let user = nix::unistd::getuid().to_string();
    let asked = ["-h", "-t", "all", "-u", &user, "-o", FORMAT].map(str::to_owned);
    let mut listed = Vec::new();
    for cluster in clusters {
        let options = [asked.as_slice(), &on_cluster(cluster.as_deref())].concat();
        let (output, _) = run("squeue", &options, None)?;
        listed.extend(jobs_of(&output, cluster.as_deref()));
    }
    Ok(listed)
}

/// Cancels jobs. Jobs that have ended or are not known any more are no error.
pub(crate) fn cancel(jobs: &[JobId]) -> Result<(), CommandError> {
    let mut by_cluster: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for job in jobs {
        by_cluster.entry(job.cluster()).or_default().push(job.number.clone());
    }
    let mut result = Ok(());
    for (cluster, numbers) in by_cluster {
        match run("scancel", &[on_cluster(cluster), numbers].concat(), None) {
            Err(error) if error.reason.contains("nvalid job id") => {}
            // The jobs of the other clusters are cancelled all the same.
            Err(error) => result = Err(error),
            Ok(_) => {}
        }
    }
    result
}

/// The options that name a cluster.
fn on_cluster(cluster: Option<&str>) -> Vec<String> {
    cluster.map_or_else(Vec::new, |cluster| vec!["-M".to_owned(), cluster.to_owned()])
}

/// Runs a program, and returns its standard output and its standard error.
fn run(
    program: &'static str,
    options: &[String],
    input: Option<&str>,
) -> Result<(String, String), CommandError> {
    let failed = |reason: String| CommandError { program, reason };
    let mut child = Command::new(program)
        .args(options)
        // sbatch would pass the secret on to the job and to the controller of the cluster.
        .env_remove("CAVIAR_JOIN")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}; is this a login node?")))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that refuses its options does not read the script.
        let _refused = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, messages) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return Ok((printed, messages));
    }
    let said = shortened(messages.trim(), MAX_ERROR_CHARS).replace('\n', "; ");
    Err(failed(if said.is_empty() { output.status.to_string() } else { said }))
}

/// The job in the output of `sbatch --parsable`.
fn job_of(output: &str) -> Option<JobId> {
    JobId::parsed(output.lines().map(str::trim).rfind(|line| !line.is_empty())?)
}

/// The jobs in the output of squeue for a cluster, one on each line:
/// `1234|RUNNING|None|comment`. Other lines, such as `CLUSTER: name`, have no job.
fn jobs_of(output: &str, cluster: Option<&str>) -> Vec<Listed> {
    let job = |line: &str| {
        let mut parts = line.trim().splitn(4, '|');
        let (number, state) = (parts.next()?.to_owned(), JobState::from_slurm(parts.next()?));
        let job = JobId { number, cluster: cluster.map(str::to_owned) };
        let mut next = || parts.next().unwrap_or_default().to_owned();
        Some(Listed { job, state, reason: next(), comment: next() })
    };
    output.lines().filter_map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_job_may_be_followed_by_its_cluster() {
        for output in ["1234\n", "sbatch: a plug-in says hello\n1234\n", "1234;\n"] {
            assert_eq!(job_of(output), Some(JobId::from(1234)), "{output}");
        }
        let job = job_of("1234;other\n").unwrap();
        assert_eq!((job.number(), job.cluster()), ("1234", Some("other")));
        assert_eq!((job.to_string().as_str()), "1234 on cluster other");
        assert_eq!(job.scancel(), "scancel -M other 1234");
        assert_eq!(JobId::from(1234).scancel(), "scancel 1234");
        assert_eq!(job.squeue(), "squeue -M other -j 1234");
        for output in ["", "\n", "Submitted batch job 1234\n", ";x\n"] {
            assert_eq!(job_of(output), None, "{output:?}");
        }
    }

    #[test]
    fn every_state_of_slurm_is_known() {
        let output = "1|PENDING|Priority|\n2|RUNNING|None|a|b\n 3|COMPLETED\n\
                      4|OUT_OF_MEMORY|None|(null)\n5|PREEMPTED|\n6|NEW|\n\n";
        let listed = jobs_of(output, Some("other"));
        let states: Vec<JobState> = listed.iter().map(|listed| listed.state).collect();
        let expected = [
            JobState::Queued,
            JobState::Running,
            JobState::Completed,
            JobState::Failed,
            JobState::Cancelled,
            JobState::Running,
        ];
        assert_eq!(states, expected);
        assert_eq!((listed[0].reason.as_str(), listed[1].comment.as_str()), ("Priority", "a|b"));
        assert_eq!(Some(&listed[1].job), JobId::parsed("2;other").as_ref());
        assert!(jobs_of("CLUSTER: other\nsqueue: something else\n", None).is_empty());
    }
}
