//! `caviar slurm`: sweeps and workers as Slurm jobs. The commands of Slurm are called, and their
//! output is parsed.

mod allocator;
mod child;
mod commands;
mod demand;
mod earlier;
mod job;
pub(crate) mod joining;
mod run;
mod script;
mod waiting;
mod workers;

use crate::args::slurm::{Action, Slurm};

/// Carries out a command.
pub(crate) async fn slurm(args: &Slurm) -> anyhow::Result<()> {
    match &args.action {
        Action::Run(args) => run::run(args).await,
        Action::Workers(args) => workers::workers(args).await,
        Action::Job(args) => job::job(args).await,
    }
}
