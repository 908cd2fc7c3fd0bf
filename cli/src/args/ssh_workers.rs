//! The arguments of `caviar ssh-workers`.

use std::path::PathBuf;
use std::time::Duration;

use caviar_common::duration;
use clap::{Args, Subcommand};

use super::Source;
use super::values::path;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar ssh-workers hosts.txt start --coordinator head:7070
  caviar ssh-workers hosts.txt list
  caviar ssh-workers hosts.txt stop

Each line of the file is a host, with a number of slots if it is not to use all its cores:
  user@node1 slots=8
  node2")]
pub(crate) struct SshWorkers {
    /// File with one host on each line
    #[arg(value_name = "HOSTFILE", value_parser = path())]
    pub(crate) hosts: PathBuf,
    /// Program that is called as ssh
    #[arg(long, value_name = "PROGRAM", default_value = "ssh")]
    pub(crate) ssh: PathBuf,
    /// An argument for ssh, such as -p2222 or -Fconfig; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, global = true)]
    pub(crate) ssh_option: Vec<String>,
    /// What is done on the hosts.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What is done on each host.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start a worker on each host that runs none
    #[command(after_help = "Example:\n  caviar ssh-workers hosts.txt start --idle-timeout 10m")]
    Start(Start),
    /// Say which hosts run a worker
    #[command(after_help = "Example:\n  caviar ssh-workers hosts.txt list")]
    List,
    /// Stop the workers; they give unfinished trials back
    #[command(after_help = "Example:\n  caviar ssh-workers hosts.txt stop")]
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Path of the program caviar on the hosts [default: the path of this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<String>,
    /// How long a worker may be without a trial before it leaves [default: it stays]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) idle_timeout: Option<Duration>,
    /// The coordinator that gets the workers.
    #[command(flatten)]
    pub(crate) source: Source,
}
