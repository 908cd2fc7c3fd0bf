//! The arguments of `caviar doctor`.

use caviar_client::ConnectionArguments;
use caviar_worker::program::HostArguments;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar doctor                        For the coordinator that this user has started last
  caviar doctor --join worker.join     With a join string from a file
  ssh node-1 caviar doctor --join - < worker.join")]
pub(crate) struct Doctor {
    /// Write the rows as a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator that a worker is to join.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    /// What the worker is to use of this host.
    #[command(flatten)]
    pub(crate) host: HostArguments,
}
