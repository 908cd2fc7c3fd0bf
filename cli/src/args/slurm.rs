//! The arguments of `caviar slurm`.

use std::path::PathBuf;
use std::time::Duration;

use caviar_common::duration;
use caviar_common::ids::Name;
use caviar_common::limits::{MAX_SLOTS, MAX_WORKERS};
use caviar_common::numbers::to_u32;
use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};

use super::values::{name, path};
use super::{DEFAULT_STORE, Source};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar slurm run digits.toml --nodes 4 -- -p cpu -A account --time 2:00:00
  caviar slurm workers --max 200 --slots-per-job 8 -- -p cpu --time 4:00:00")]
pub(crate) struct Slurm {
    /// What is asked of Slurm.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What `caviar slurm` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run a sweep as one Slurm job, with a coordinator on its first node and a worker on each
    ///
    /// The job ends with the sweep. The store must be on a disk that the nodes share: then
    /// submitting the same command again continues a sweep that was not finished.
    #[command(after_help = "\
Examples:
  caviar slurm run digits.toml --nodes 4 -- -p cpu -A account
  caviar slurm run digits.toml --nodes 4 --print    Show the script and submit nothing
  caviar slurm run digits.toml -- --wait            Return when the job ends")]
    Run(Run),
    /// Submit workers for a running coordinator as long as its sweeps need them
    ///
    /// It keeps at most --backlog jobs in the queue, and cancels them when the demand ends and when
    /// it is interrupted. Running workers leave by themselves when they are idle or when their time
    /// ends. After ten failed submissions or three failed starts in a row it submits nothing more
    /// until SIGUSR1.
    #[command(after_help = "\
Examples:
  caviar slurm workers --max 200 -- -p cpu -A account --time 4:00:00
  caviar slurm workers --slots-per-job 8 --dry-run -- -p cpu")]
    Workers(Workers),
    /// Run the coordinator and the workers of a job; the script of `run` calls it
    #[command(
        hide = true,
        after_help = "\
Example:
  caviar slurm job digits.toml --store caviar.db"
    )]
    Job(JobArguments),
}

/// What is done with a script.
#[derive(Clone, Debug, Args)]
pub(crate) struct Submission {
    /// Print the script and submit nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) print: bool,
    /// Ask sbatch --test-only whether the job would be accepted, and submit nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out this option of the script, such as --mem; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) skip_directive: Vec<String>,
    /// Options for sbatch, which gets them as they are
    #[arg(last = true, value_name = "SBATCH OPTIONS")]
    pub(crate) sbatch: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Path of the sweep file
    #[arg(value_parser = path())]
    pub(crate) file: PathBuf,
    /// Number of nodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_most(to_u32(MAX_WORKERS)))]
    pub(crate) nodes: u32,
    /// Trials to train at once on each node [default: all cores of the node, which the job does
    /// not share]
    #[arg(long, value_name = "N", value_parser = at_most(MAX_SLOTS))]
    pub(crate) slots_per_node: Option<u32>,
    /// The file that keeps the sweep and its results, on a disk that all nodes share
    #[arg(long, env = "CAVIAR_STORE", value_name = "PATH", default_value = DEFAULT_STORE,
        value_parser = path())]
    pub(crate) store: PathBuf,
    /// Name of the sweep, instead of the name in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
    /// How it is submitted.
    #[command(flatten)]
    pub(crate) submission: Submission,
}

#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// Most jobs at a time, queued and running
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = at_most(to_u32(MAX_WORKERS)))]
    pub(crate) max: u32,
    /// Most jobs that wait in the queue at a time
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = at_most(to_u32(MAX_WORKERS)))]
    pub(crate) backlog: u32,
    /// Trials to train at once in each job [default: all cores of a node, which the job does not
    /// share]
    #[arg(long, value_name = "N", value_parser = at_most(MAX_SLOTS))]
    pub(crate) slots_per_job: Option<u32>,
    /// How long a worker may be without a trial before it leaves
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) idle_timeout: Duration,
    /// How often the demand and the queue are looked at
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) poll: Duration,
    /// End when no sweep of the coordinator is running any more
    #[arg(long)]
    pub(crate) until_done: bool,
    /// Folder for the logs of the jobs, on a disk that all nodes share
    #[arg(long, value_name = "PATH", default_value = ".", value_parser = path())]
    pub(crate) logs: PathBuf,
    /// File of mode 0600 with the join string of the role worker for the jobs, which every node
    /// sees [default: what a coordinator of this user left for workers]
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) worker_join: Option<PathBuf>,
    /// How each job is submitted.
    #[command(flatten)]
    pub(crate) submission: Submission,
    /// The coordinator that gets the workers.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
pub(crate) struct JobArguments {
    /// Path of the sweep file
    #[arg(value_parser = path())]
    pub(crate) file: PathBuf,
    /// The file that keeps the sweep and its results
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub(crate) store: PathBuf,
    /// Name of the sweep, instead of the name in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
}

fn at_most(most: u32) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}
