//! The commands that change a sweep after it was submitted.

use clap::Args;

use super::Change;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar resize digits --parallelism 128
  caviar resize digits --parallelism 16 --store caviar.db")]
pub(crate) struct Resize {
    /// Trials in flight from the next decision on, from 1 to 65,536
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) parallelism: u32,
    /// The sweep.
    #[command(flatten)]
    pub(crate) change: Change,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar extend digits --trials 40
  caviar extend digits --trials 40 --store caviar.db")]
pub(crate) struct Extend {
    /// How many trials are added
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: u32,
    /// The sweep.
    #[command(flatten)]
    pub(crate) change: Change,
}
