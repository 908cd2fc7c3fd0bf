//! The arguments.

use std::path::PathBuf;

use caviar_common::ids::Name;
use caviar_common::limits::MAX_SLOTS;
use caviar_worker::MemoryLimit;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Distributed hyperparameter search for batch-normalised networks
///
/// One TOML file is a sweep. `caviar run FILE` runs it on this machine; `caviar submit FILE` gives
/// it to a coordinator. Standard output is data, standard error is talk.
#[derive(Debug, Parser)]
#[command(name = "caviar", version)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a sweep on this machine, with a coordinator and a worker inside this process
    Run(Run),
    /// Give a sweep to a coordinator
    Submit(Submit),
    /// List the sweeps
    List(List),
    /// Show how a sweep is going
    Status(Status),
    /// Follow a sweep until it ends: status --watch
    Watch(Watch),
    /// List the trials of a sweep
    Trials(Trials),
    /// Show the best trial of a sweep
    Best(Best),
    /// Show which hyperparameters of a sweep mattered
    Importance(Importance),
    /// Say why a trial was chosen, what was expected of it, and what came of it
    Explain(Explain),
    /// Write every trial of a sweep with its metrics of every epoch, for another program
    Export(Export),
    /// Start no more trials of a sweep; those that run go on
    Pause(Turn),
    /// Go on with a paused sweep
    Resume(Turn),
    /// End a sweep: its running trials stop, its results stay
    Cancel(Turn),
    /// Remove a completed or cancelled sweep with all its results
    Delete(Delete),
    /// List the workers
    Workers(Workers),
    /// Let a worker finish what it holds, take nothing new, and leave
    Drain(Drain),
}

/// The coordinator that is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The coordinator
    #[arg(
        long,
        env = "CAVIAR_COORDINATOR",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub(crate) coordinator: String,
}

/// Where to read from.
#[derive(Clone, Debug, Args)]
pub(crate) struct Source {
    /// The coordinator, unless a store is read.
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Read this store, on which no coordinator runs, instead of asking a coordinator
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The sweep file
    #[arg(required_unless_present = "resume")]
    pub(crate) file: Option<PathBuf>,
    /// Trials to train at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
    pub(crate) slots: Option<u32>,
    /// Memory that all trials and their data may take together, such as 4GiB; a trial waits until
    /// it fits [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<MemoryLimit>,
    /// Where everything is kept
    #[arg(long, value_name = "PATH", default_value = "caviar.db")]
    pub(crate) store: PathBuf,
    /// The sweep's name, instead of the one in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
    /// Go on with what is unfinished and not paused in the store; with FILE or --name, with that
    /// sweep alone
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `submit`
#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The sweep file
    pub(crate) file: PathBuf,
    /// The sweep's name, instead of the one in the file
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<Name>,
    /// Write the sweep as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Follow it until it ends
    #[arg(long, conflicts_with = "store")]
    pub(crate) watch: bool,
    /// Write one JSON object; with --watch one for every change, each on its line
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Write one JSON object for every change, each on its line
    #[arg(long)]
    pub(crate) json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `trials`
#[derive(Debug, Args)]
pub(crate) struct Trials {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// The order
    #[arg(long, value_enum, default_value_t = Sort::Number)]
    pub(crate) sort: Sort,
    /// Write CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// The order of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// As they were sampled
    Number,
    /// Best first
    Objective,
}

/// `best`
#[derive(Debug, Args)]
pub(crate) struct Best {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Write TOML, for the `fixed` section of a sweep file
    #[arg(long, conflicts_with = "json")]
    pub(crate) toml: bool,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `importance`
#[derive(Debug, Args)]
pub(crate) struct Importance {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// The trial's number
    pub(crate) trial: u32,
    /// Write a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// The format
    #[arg(long, value_enum, default_value_t = Format::Csv, conflicts_with_all = ["csv", "json"])]
    pub(crate) format: Format,
    /// Write CSV: --format csv
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Write a JSON object: --format json
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to read.
    #[command(flatten)]
    pub(crate) source: Source,
}

impl Export {
    /// The format, whichever way it was asked for.
    pub(crate) const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// A format for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One row for every epoch of every trial
    Csv,
    /// One object
    Json,
}

/// `pause`, `resume` and `cancel`
#[derive(Debug, Args)]
pub(crate) struct Turn {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Write the sweep as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `delete`
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The sweep, by name or number
    pub(crate) sweep: String,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `workers`
#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `drain`
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The worker's name
    pub(crate) worker: String,
    /// Write the worker as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse_sweep("name", text).map_err(|problem| problem.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(words: &str) -> bool {
        Arguments::try_parse_from(words.split(' ')).is_ok()
    }

    #[test]
    fn the_documented_commands_are_understood() {
        for words in [
            "caviar run examples/digits.toml",
            "caviar run --resume --store caviar.db",
            "caviar run examples/digits.toml --slots 2 --memory 4GiB",
            "caviar submit examples/digits.toml",
            "caviar list --store caviar.db",
            "caviar status digits --watch --json",
            "caviar trials digits --sort objective --csv",
            "caviar best digits --toml",
            "caviar importance digits",
            "caviar importance digits --json --store caviar.db",
            "caviar explain digits 46",
            "caviar explain digits 46 --json --store caviar.db",
            "caviar export digits",
            "caviar export digits --format csv",
            "caviar export digits --json",
            "caviar export digits --csv --store caviar.db",
            "caviar submit examples/digits.toml --json",
            "caviar cancel digits --json",
            "caviar pause digits --coordinator http://127.0.0.1:1",
            "caviar drain w1",
        ] {
            assert!(accepts(words), "{words}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            "caviar run",
            "caviar run a.toml --slots 0",
            "caviar run a.toml --memory abc",
            "caviar run a.toml --memory 5",
            "caviar run a.toml --name é",
            "caviar run a.toml --name 7",
            "caviar trials digits --csv --json",
            "caviar explain digits",
            "caviar explain digits best",
            "caviar export digits --format csv --json",
            "caviar export digits --csv --json",
            "caviar pause digits --store caviar.db",
        ] {
            assert!(!accepts(words), "{words}");
        }
    }
}
