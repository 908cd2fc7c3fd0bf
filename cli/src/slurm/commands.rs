//! The commands of Slurm: how they are called, and what their output means.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use caviar_common::text::shortened;

/// Most characters of an error of Slurm that are shown.
const MAX_ERROR_CHARS: usize = 500;

/// The number of a job, as Slurm writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(String);

impl JobId {
    /// The number in a text; `None` if it is not one.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        is_number.then(|| Self(text.to_owned()))
    }

    /// The number as Slurm writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl From<u32> for JobId {
    fn from(number: u32) -> Self {
        Self(number.to_string())
    }
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

/// The jobs of this user that Slurm still knows. A question about numbers would fail as a whole if
/// one of them is too old to be known.
pub(crate) fn queue() -> Result<BTreeMap<JobId, JobState>, CommandError> {
    let user = nix::unistd::getuid().to_string();
    let options = ["-h", "-t", "all", "-u", &user, "-o", "%i|%T"].map(str::to_owned);
    run("squeue", &options, None).map(|(output, _)| jobs_of(&output))
}

/// Cancels jobs. Jobs that have ended or are not known any more are no error.
pub(crate) fn cancel(jobs: &[JobId]) -> Result<(), CommandError> {
    let jobs: Vec<String> = jobs.iter().map(|job| job.0.clone()).collect();
    match run("scancel", &jobs, None) {
        Err(error) if error.reason.contains("nvalid job id") => Ok(()),
        other => other.map(|_| ()),
    }
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

/// The number in the output of `sbatch --parsable`: `1234`, or `1234;cluster`.
fn job_of(output: &str) -> Option<JobId> {
    let line = output.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    JobId::new(line.split(';').next()?)
}

/// The jobs in the output of squeue, one on each line: `1234|RUNNING`.
fn jobs_of(output: &str) -> BTreeMap<JobId, JobState> {
    let lines = output.lines().filter_map(|line| line.trim().split_once('|'));
    lines.map(|(id, state)| (JobId(id.to_owned()), JobState::from_slurm(state))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_job_may_be_followed_by_its_cluster() {
        for output in ["1234\n", "1234;cluster\n", "sbatch: a plug-in says hello\n1234\n"] {
            assert_eq!(job_of(output), Some(JobId::from(1234)), "{output}");
        }
        for output in ["", "\n", "Submitted batch job 1234\n", ";x\n"] {
            assert_eq!(job_of(output), None, "{output:?}");
        }
    }

    #[test]
    fn every_state_of_slurm_is_known() {
        let output = "1|PENDING\n2|RUNNING\n 3|COMPLETED\n4|OUT_OF_MEMORY\n5|PREEMPTED\n6|NEW\n\n";
        let states: Vec<JobState> = jobs_of(output).into_values().collect();
        let expected = [
            JobState::Queued,
            JobState::Running,
            JobState::Completed,
            JobState::Failed,
            JobState::Cancelled,
            JobState::Running,
        ];
        assert_eq!(states, expected);
        assert!(jobs_of("squeue: something else\n").is_empty());
    }
}
