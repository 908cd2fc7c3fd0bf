//! The processes of a job.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The log of workers and of the coordinator unless `RUST_LOG` says otherwise: one line for each
/// trial, from its worker.
const LOG_FILTER: &str = "info,caviar_coordinator::driver::log=warn,caviar_worker::runner=warn";

/// A process that does not outlive this one. It writes to the log of the job.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
}

impl Child {
    /// Starts the program with these arguments.
    pub(super) fn start(program: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let arguments = arguments.iter().map(OsStr::new);
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", LOG_FILTER);
        }
        // Since Slurm 22.05, srun does not know the number that sbatch was given.
        if let Some(cpus) = std::env::var_os("SLURM_CPUS_PER_TASK") {
            command.env("SRUN_CPUS_PER_TASK", cpus);
        }
        let process = command.spawn().with_context(|| format!("starting {program}"))?;
        Ok(Self { process })
    }

    /// Its exit status, once it has ended.
    pub(super) fn status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.try_wait().context("looking at a process of the job")
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            sleep(POLL).await;
        }
    }

    /// Sends it a signal, and waits for its end, but not longer than `within`.
    pub(super) async fn stop(&mut self, signal: Signal, within: Duration) -> anyhow::Result<()> {
        if self.status()?.is_some() {
            return Ok(());
        }
        let asked = Instant::now();
        kill(Pid::from_raw(i32::try_from(self.process.id())?), signal)?;
        while self.status()?.is_none() && asked.elapsed() < within {
            sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already unless something went wrong.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
