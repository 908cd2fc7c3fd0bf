//! The arguments of `caviar bench`.

use std::path::PathBuf;

use caviar_common::limits::{MAX_EPOCHS, MAX_PARALLELISM, MAX_SLOTS, MAX_SWEEPS, MAX_WORKERS};
use caviar_common::numbers::to_u32;
use caviar_common::spec::Strategy;
use clap::builder::{
    PathBufValueParser, PossibleValuesParser, RangedI64ValueParser, TypedValueParser,
};
use clap::{Args, Subcommand};

use super::route::Encryption;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  caviar bench coordinator --workers 1000 --trials 20000")]
pub(crate) struct Bench {
    /// What is measured.
    #[command(subcommand)]
    pub(crate) subject: Subject,
}

/// What `caviar bench` measures.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Measure how many workers and trials a coordinator carries on this machine
    ///
    /// It starts a coordinator on a new store and connects simulated workers to it, each with its
    /// own connection. From the end of the first trial, a prober asks about the sweeps. At the end
    /// the coordinator is killed under load and started again.
    ///
    /// The trials train nothing. Each reports its epochs one after the other as soon as the
    /// coordinator acknowledges them. So the coordinator is saturated: the rates are the most that
    /// it reaches, and latencies consist of waiting in its queue. With --rate, trials take time and
    /// end at an even rate, and latencies are those under a load that the coordinator can carry.
    ///
    /// The simulated workers and the prober run in this process and need processor time too. The
    /// output states how much.
    Coordinator(Coordinator),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar bench coordinator
  caviar bench coordinator --workers 10000 --sweeps 100 --trials 100000 --json
  caviar bench coordinator --workers 1000 --trials 60000 --rate 1000 --seconds 30")]
pub(crate) struct Coordinator {
    /// Simulated workers
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(to_u32(MAX_WORKERS)))]
    pub(crate) workers: u32,
    /// Slots of each worker
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(MAX_SLOTS))]
    pub(crate) slots: u32,
    /// Sweeps that share the workers
    // The recovery needs one more.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = count(to_u32(MAX_SWEEPS).saturating_sub(1)))]
    pub(crate) sweeps: u32,
    /// Trials of all sweeps together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count(u32::MAX))]
    pub(crate) trials: u32,
    /// Epochs that each trial reports, one in each message
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(MAX_EPOCHS))]
    pub(crate) reports: u32,
    /// Trials in flight in each sweep [default: enough for every slot, if the limit allows it]
    #[arg(long, value_name = "N", value_parser = count(MAX_PARALLELISM))]
    pub(crate) parallelism: Option<u32>,
    /// Trials per second of all workers together: each trial takes as long as that needs [default:
    /// no time]
    #[arg(long, value_name = "N", value_parser = count(1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Requests about the sweeps per second
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) queries: u32,
    /// Strategy of the sweeps
    #[arg(long, default_value = Strategy::Random.name(), value_parser = strategies())]
    pub(crate) strategy: String,
    /// Keep the store in this new file [default: a temporary file on a disk]
    #[arg(long, value_name = "FILE",
        value_parser = PathBufValueParser::new().try_map(caviar_process::expand_path))]
    pub(crate) store: Option<PathBuf>,
    /// Measure without encryption and tokens
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Before the load, measure for this many seconds what the connected workers cost while they
    /// have nothing to do
    #[arg(long, value_name = "N", value_parser = count(86_400))]
    pub(crate) idle_seconds: Option<u32>,
    /// End the load after this many seconds, even if trials are left
    #[arg(long, value_name = "N", value_parser = count(86_400))]
    pub(crate) seconds: Option<u32>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Coordinator {
    /// How the coordinator is reached.
    pub(crate) const fn encryption(&self) -> Encryption {
        if self.insecure { Encryption::Off } else { Encryption::On }
    }
}

fn count(most: u32) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

/// Every strategy except `grid`, whose number of trials follows from the points of its space.
fn strategies() -> PossibleValuesParser {
    let names = Strategy::ALL.into_iter().filter(|it| *it != Strategy::Grid).map(Strategy::name);
    PossibleValuesParser::new(names.collect::<Vec<_>>())
}
