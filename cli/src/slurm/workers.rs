//! `caviar slurm workers`: keeps as many jobs with workers as the sweeps of a coordinator need.

use std::collections::BTreeMap;

use anyhow::Context;
use caviar_client::Error;
use caviar_common::duration::format;
use caviar_process::Signals;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::allocator::{Allocator, Demand, Limits, Step};
use super::commands::{self, JobId, JobState};
use super::demand::{WORKER_PREFIX, demand, is_active};
use super::joining::worker_arguments;
use super::run::{absolute, program, submit};
use super::script::{Directive, Script, resources};
use crate::args::slurm::Workers;
use crate::embedded::Reader;
use crate::progress::talk;

/// Submits workers until it is interrupted, or shows their script.
pub(crate) async fn workers(args: &Workers) -> anyhow::Result<()> {
    let script = script(args)?.without(&args.submission.skip_directive)?;
    if args.submission.print || args.submission.dry_run {
        submit(&script, &args.submission).await?;
        return Ok(());
    }
    let signals = Signals::listen()?;
    let mut continues = signal(SignalKind::user_defined1())?;
    let reader = Reader::open_for_workers(&args.source).await?;
    let mut office = Office::new(args, script, reader);
    talk(&format!(
        "workers for {}: at most {} jobs, {} of them queued",
        office.reader.client.url(),
        args.max,
        args.backlog
    ));
    let mut looks = interval(args.poll);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.first() => break,
            _ = continues.recv() => {
                office.allocator.resume();
                talk("continuing");
            }
            _ = looks.tick() => {
                if office.look().await? && args.until_done {
                    talk("no sweep is running any more");
                    break;
                }
            }
        }
    }
    office.close().await
}

/// The script of one job: one worker on one node. It is never put into the queue again by Slurm:
/// if there is still demand, another job is submitted.
fn script(args: &Workers) -> anyhow::Result<Script> {
    let logs = absolute(&args.logs)?.join("caviar-worker-%j.log");
    let mut directives = vec![
        Directive::with("--job-name", "caviar-worker"),
        Directive::with("--nodes", 1),
        Directive::with("--ntasks", 1),
    ];
    directives.extend(resources(args.slots_per_job, &args.submission.sbatch));
    directives.push(Directive::flag("--no-requeue"));
    directives.push(Directive::with("--output", logs.display()));
    let mut words = vec![program()?, "worker".to_owned()];
    words.extend(worker_arguments(&args.source)?);
    words.extend(["--name".to_owned(), format!("{WORKER_PREFIX}$SLURM_JOB_ID")]);
    words.extend(["--idle-timeout".to_owned(), format(args.idle_timeout)]);
    Ok(Script::new(directives, &words))
}

/// Everything between the coordinator and Slurm.
struct Office<'a> {
    args: &'a Workers,
    script: Script,
    reader: Reader,
    allocator: Allocator,
    /// What was said last about a coordinator or a Slurm that does not answer; said once.
    trouble: Option<String>,
}

impl<'a> Office<'a> {
    fn new(args: &'a Workers, script: Script, reader: Reader) -> Self {
        let limits =
            Limits { max: args.max, backlog: args.backlog, slots_per_job: args.slots_per_job };
        Self { args, script, reader, allocator: Allocator::new(limits), trouble: None }
    }

    /// Looks at the demand and the queue once, and does what follows. Returns whether the
    /// coordinator has no active sweep.
    async fn look(&mut self) -> anyhow::Result<bool> {
        let (demand, is_done) = match self.ask().await {
            Ok(reply) => reply,
            Err(error) => {
                self.note_trouble(format!("the coordinator does not answer: {error}"));
                return Ok(false);
            }
        };
        let queue = blocking(commands::queue).await?;
        if let Err(error) = &queue {
            self.note_trouble(error.to_string());
        } else {
            self.trouble = None;
        }
        let queue: Option<BTreeMap<JobId, JobState>> = queue.ok();
        for step in self.allocator.look(&demand, queue.as_ref()) {
            self.take(step).await?;
        }
        Ok(is_done)
    }

    async fn ask(&self) -> Result<(Demand, bool), Error> {
        let client = &self.reader.client;
        let (sweeps, workers) = (client.list_sweeps().await?, client.list_workers().await?);
        Ok((demand(&sweeps, &workers), !sweeps.iter().any(is_active)))
    }

    async fn take(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Say(text) => talk(&text),
            Step::Cancel(jobs) => {
                let names: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
                talk(&format!("cancelling queued jobs: {}", names.join(", ")));
                if let Err(error) = blocking(move || commands::cancel(&jobs)).await? {
                    talk(&error.to_string());
                }
            }
            Step::Submit => {
                let text = self.script.to_string();
                let options = self.args.submission.sbatch.clone();
                let result = blocking(move || commands::submit(&text, &options)).await?;
                if let Ok(job) = &result {
                    talk(&format!("submitted job {}", job.as_str()));
                }
                let result = result.map_err(|error| error.to_string());
                if let Some(Step::Say(text)) = self.allocator.submitted(result) {
                    talk(&text);
                }
            }
        }
        Ok(())
    }

    /// Cancels what is queued, and says what goes on.
    async fn close(mut self) -> anyhow::Result<()> {
        if let Some(step) = self.allocator.cancel_queued() {
            self.take(step).await?;
        }
        let running = self.allocator.running();
        if running > 0 {
            let idle = format(self.args.idle_timeout);
            talk(&format!("{running} running jobs continue, and end when idle for {idle}"));
        }
        self.reader.close().await
    }

    fn note_trouble(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            talk(&format!("{trouble}; trying again"));
            self.trouble = Some(trouble);
        }
    }
}

/// Runs a command that may take long on a thread of its own.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(call).await.context("calling Slurm")
}
