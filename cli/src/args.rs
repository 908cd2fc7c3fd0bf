//! The command line: commands, arguments and their help.

pub(crate) mod access;
pub(crate) mod doctor;
pub(crate) mod models;
pub(crate) mod slurm;
pub(crate) mod ssh_workers;
pub(crate) mod steer;
mod values;

use std::path::PathBuf;

use caviar_client::ConnectionArguments;
use caviar_common::ids::Name;
use caviar_common::limits::MAX_TRIALS;
use caviar_worker::MemoryLimit;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::access::{Access, Health, Tokens};
use self::doctor::Doctor;
use self::models::{Evaluate, ModelArguments, Predict, RefitArguments, Split};
use self::slurm::Slurm;
use self::ssh_workers::SshWorkers;
use self::steer::{Extend, Resize};
pub(crate) use self::values::Sort;
use self::values::{name, path, slots};
use crate::bench::arguments::{Bench, Subject};

/// The store of `caviar run`, in the current folder.
pub(crate) const DEFAULT_STORE: &str = "caviar.db";

/// Distributed hyperparameter search for batch-normalised networks
///
/// A sweep is one TOML file. `caviar run FILE` runs it on this machine, and `caviar submit FILE`
/// sends it to a coordinator. Results go to standard output. Progress, hints and errors go to
/// standard error.
///
/// Commands that read a sweep ask the coordinator of --coordinator or --join, or read the store of
/// --store. Without any they read the store in this folder that was written last. In a folder
/// without a store they ask the coordinator that this user has started last.
///
/// With --json, an error is one JSON object on one line of standard error.
#[derive(Debug, Parser)]
#[command(
    name = "caviar",
    version,
    after_help = "\
Examples:
  caviar run examples/digits.toml    Tune a network on bundled data, on this machine
  caviar best digits                 Show the best trial of that sweep
  caviar init iris.csv               Write a sweep file for your own data"
)]
pub(crate) struct Arguments {
    /// What this process does.
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// What a process does.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Carries out one command.
    #[command(flatten)]
    Command(Command),
    /// Run a coordinator: it keeps sweeps and hands their trials to workers
    ///
    /// SIGTERM or Ctrl-C stops it in order; a second one ends it at once.
    #[command(after_help = "\
Examples:
  caviar coordinator                             For every host that reaches this one
  caviar coordinator --listen 127.0.0.1:7070     For this host only
  caviar coordinator --listen :0 --store /shared/caviar.db")]
    Coordinator(caviar_coordinator::program::Arguments),
    /// Run a worker: it trains the trials of a coordinator on this machine's cores
    ///
    /// SIGTERM or Ctrl-C gives unfinished trials back and exits; a second one ends it at once.
    #[command(after_help = "\
Examples:
  caviar worker                        For the coordinator that this user has started last
  caviar worker --join worker.join     With a join string from a file
  ssh node-1 caviar worker --join - < worker.join")]
    Worker(caviar_worker::program::Arguments),
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a sweep on this machine, with a coordinator and a worker inside this process
    Run(Run),
    /// Show what is in a table, and what can mislead
    Inspect(Inspect),
    /// Write a sweep file for a table
    Init(Init),
    /// Validate a sweep file and its data without running anything
    Check(Check),
    /// Send a sweep to a coordinator
    Submit(Submit),
    /// List the sweeps of a coordinator or of a store
    List(List),
    /// Show the state, the best trial and the running trials of a sweep
    Status(Status),
    /// Follow a sweep until it ends (same as status --watch)
    Watch(Watch),
    /// List the trials of a sweep
    Trials(Trials),
    /// Show the best completed trial of a sweep
    Best(Best),
    /// Write a model of a sweep into a folder: for Caviar, ONNX or PyTorch
    Model(ModelArguments),
    /// Train a model of a sweep again on all rows, and write it into a folder
    Refit(RefitArguments),
    /// Predict the rows of a table with a model
    Predict(Predict),
    /// Judge the predictions of a model for rows whose labels are known
    Evaluate(Evaluate),
    /// Write which row of the data is in which split, as CSV
    Split(Split),
    /// Show which hyperparameters of a sweep mattered
    Importance(Importance),
    /// Explain why a trial was chosen, how it ended, and what followed from it
    Explain(Explain),
    /// Write every trial with the metrics of every epoch, for another program
    Export(Export),
    /// Start no more trials of a sweep; running trials continue
    #[command(after_help = "Example:\n  caviar pause digits")]
    Pause(Change),
    /// Continue a paused sweep
    #[command(after_help = "Example:\n  caviar resume digits")]
    Resume(Change),
    /// Change how many trials of a sweep are in flight
    Resize(Resize),
    /// Add trials to a sweep; a completed one continues
    Extend(Extend),
    /// End a sweep: stop its running trials and keep its results
    #[command(after_help = "Example:\n  caviar cancel digits")]
    Cancel(Change),
    /// Remove a completed or cancelled sweep and all its results
    Delete(Delete),
    /// Take a running trial away from its worker; it waits for a free slot
    Release(Release),
    /// List the workers of a coordinator
    Workers(Workers),
    /// Let a worker finish its trials, accept no new ones, and leave
    Drain(Drain),
    /// Run a sweep or workers as Slurm jobs
    Slurm(Slurm),
    /// Start, list or stop workers on hosts, with ssh
    SshWorkers(SshWorkers),
    /// Make, list and end the tokens with which workers and clients connect
    Tokens(Tokens),
    /// Print what any other gRPC client needs to connect: the authority and a token
    Access(Access),
    /// Check that a coordinator answers, for the probes of other programs
    #[command(after_help = "Example:\n  caviar health && echo up")]
    Health(Health),
    /// Check, step by step, why a worker on this host cannot join its coordinator
    ///
    /// Give it the options of the worker. Every row says what was found, and every row that failed
    /// what to do next. The exit code is 0 if nothing failed, and otherwise 1.
    Doctor(Doctor),
    /// Measure Caviar on this machine
    Bench(Bench),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

impl Command {
    /// Whether the command was asked for JSON, so that errors are JSON too.
    pub(crate) const fn is_json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Check(args) => args.json,
            Self::Submit(args) => args.json,
            Self::List(args) => args.json,
            Self::Status(args) => args.json,
            Self::Watch(args) => args.json,
            Self::Trials(args) => args.json,
            Self::Best(args) => args.json,
            Self::Evaluate(args) => args.json,
            Self::Importance(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Export(args) => matches!(args.format(), Format::Json),
            Self::Pause(args) | Self::Resume(args) | Self::Cancel(args) => args.json,
            Self::Resize(args) => args.change.json,
            Self::Extend(args) => args.change.json,
            Self::Delete(args) => args.json,
            Self::Release(args) => args.json,
            Self::Workers(args) => args.json,
            Self::Drain(args) => args.json,
            Self::Bench(Bench { subject: Subject::Coordinator(args) }) => args.json,
            Self::Tokens(args) => args.command.is_json(),
            Self::Access(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Init(_)
            | Self::Inspect(_)
            | Self::Model(_)
            | Self::Refit(_)
            | Self::Predict(_)
            | Self::Split(_)
            | Self::Slurm(_)
            | Self::SshWorkers(_)
            | Self::Health(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// Where a command finds sweeps.
#[derive(Clone, Debug, Args)]
pub(crate) struct Source {
    /// The coordinator to ask, unless it is a store.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    /// Open this store instead of asking a coordinator. If a coordinator has it open, ask that one
    #[arg(long, env = "CAVIAR_STORE", value_name = "PATH", value_parser = path())]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar run examples/digits.toml
  caviar run examples/digits.toml --slots 4 --memory 8GiB
  caviar run --resume                        Continue what was interrupted
  caviar run digits.toml --name digits-2     Run an edited file as another sweep")]
pub(crate) struct Run {
    /// Path of the sweep file
    #[arg(required_unless_present = "resume", value_parser = path())]
    pub(crate) file: Option<PathBuf>,
    /// Trials to train at the same time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = slots())]
    pub(crate) slots: Option<u32>,
    /// Memory limit for all trials and their data together, such as 4GiB. A trial waits until it
    /// fits [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<MemoryLimit>,
    /// The file that keeps the sweep and its results
    #[arg(long, env = "CAVIAR_STORE", value_name = "PATH", default_value = DEFAULT_STORE,
        value_parser = path())]
    pub(crate) store: PathBuf,
    /// Name of the sweep, instead of the name in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
    /// Continue the unfinished sweeps of the store that are not paused, or only the sweep of FILE
    /// or --name
    #[arg(long)]
    pub(crate) resume: bool,
    /// Delete an earlier sweep of the same name and its results, and start again
    #[arg(long, requires = "file", conflicts_with = "resume")]
    pub(crate) replace: bool,
    /// Write the result as one JSON object; with --resume, one per line for each sweep
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar init iris.csv                       Writes iris.toml
  caviar init houses.csv --label price --output sweeps/houses.toml")]
pub(crate) struct Init {
    /// The table: a text file such as .csv or .tsv; it may be compressed with gzip, zstd or zip
    #[arg(value_parser = path())]
    pub(crate) data: PathBuf,
    /// The column to predict; several columns of numbers if it is repeated [default: a column with
    /// a usual name such as label, target, class or y; without one a terminal is asked, and
    /// elsewhere it is the last column]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Vec<String>,
    /// The file to write [default: the name of the data with .toml, in this folder]. The sweep has
    /// its name
    #[arg(short, long, value_name = "PATH", value_parser = path())]
    pub(crate) output: Option<PathBuf>,
    /// Number of trials to run
    #[arg(long, value_name = "N", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TRIALS)))]
    pub(crate) trials: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar inspect iris.csv                    Shows the columns of a table
  caviar inspect houses.csv --label price
  caviar inspect houses.toml                 The data of a sweep file, read as it says")]
pub(crate) struct Inspect {
    /// The table, or a sweep file that names it
    #[arg(value_parser = path())]
    pub(crate) file: PathBuf,
    /// The column to predict; several if it is repeated [default: that of the sweep file; for a
    /// table as for caviar init]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Vec<String>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar check examples/digits.toml")]
pub(crate) struct Check {
    /// Path of the sweep file
    #[arg(value_parser = path())]
    pub(crate) file: PathBuf,
    /// Write what would be run as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar submit examples/digits.toml
  caviar submit digits.toml --name digits-2 --coordinator 127.0.0.1:7070")]
pub(crate) struct Submit {
    /// Path of the sweep file
    #[arg(value_parser = path())]
    pub(crate) file: PathBuf,
    /// Name of the sweep, instead of the name in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
    /// Slots for which parallelism = "auto" is resolved, when workers come later; by default those
    /// of the connected workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) for_slots: Option<u32>,
    /// Write the sweep as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator that gets the sweep.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar list
  caviar list --store caviar.db --json")]
pub(crate) struct List {
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar status digits
  caviar status digits --watch")]
pub(crate) struct Status {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Follow the sweep until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// Write one JSON object; with --watch, one per line for every change
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar watch digits")]
pub(crate) struct Watch {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Write one JSON object per line for every change
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar trials digits
  caviar trials digits --top 10              The ten best completed trials
  caviar trials digits --csv > trials.csv")]
pub(crate) struct Trials {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Order of the trials
    #[arg(long, value_enum, default_value_t = Sort::Number)]
    pub(crate) sort: Sort,
    /// Show only the N best completed trials, best first
    #[arg(long, value_name = "N", conflicts_with = "sort",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: Option<u32>,
    /// Write CSV with all digits
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar best digits
  caviar best digits --toml > best.toml      A sweep file that trains the same network again")]
pub(crate) struct Best {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Write a sweep file that trains the same network again, with the same bits
    #[arg(long, conflicts_with = "json")]
    pub(crate) toml: bool,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar importance digits")]
pub(crate) struct Importance {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar explain digits 46")]
pub(crate) struct Explain {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Number of the trial
    pub(crate) trial: u32,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar export digits > digits.csv
  caviar export digits --json > digits.json")]
pub(crate) struct Export {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Format of the output
    #[arg(long, value_enum, default_value_t = Format::Csv, conflicts_with_all = ["csv", "json"])]
    pub(crate) format: Format,
    /// Write CSV (same as --format csv)
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Write a JSON object (same as --format json)
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

impl Export {
    /// The format, from either way of asking for it.
    pub(crate) const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// A format for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One row for every epoch of every trial
    Csv,
    /// One object with all trials
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Write the sweep as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the sweep is.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar delete digits
  caviar delete digits --store caviar.db")]
pub(crate) struct Delete {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Write the deleted sweep as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to delete it.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar release digits 46")]
pub(crate) struct Release {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Number of the trial
    pub(crate) trial: u32,
    /// Write the trial as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the sweep is.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar workers --coordinator 127.0.0.1:7070")]
pub(crate) struct Workers {
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator to ask.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar drain node-17")]
pub(crate) struct Drain {
    /// Name of the worker
    pub(crate) worker: String,
    /// Write the worker as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator of the worker.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar completions bash > ~/.local/share/bash-completion/completions/caviar
  caviar completions zsh > ~/.zfunc/_caviar
  caviar completions fish > ~/.config/fish/completions/caviar.fish")]
pub(crate) struct Completions {
    /// The shell that reads the script
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder, which is created if it is missing
    #[arg(value_parser = path())]
    pub(crate) directory: PathBuf,
}

#[cfg(test)]
mod tests;
