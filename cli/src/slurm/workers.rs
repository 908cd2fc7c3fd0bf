//! `caviar slurm workers`: keeps as many jobs with workers as the sweeps of a coordinator need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use caviar_client::Error;
use caviar_common::duration::format;
use caviar_common::error::ErrorClass;
use caviar_common::numbers::to_u32;
use caviar_process::Signals;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::allocator::{Allocator, Demand, Limits, Step};
use super::commands::{self, CommandError, JobId, JobState, Listed};
use super::demand::{WORKER_PREFIX, demand, is_active};
use super::joining::{
    check_is_not_input, check_may_read, name_of, worker_arguments, worker_arguments_with,
};
use super::run::{absolute, program, submit};
use super::script::{Directive, Script, clusters, has_comment, resources};
use super::waiting::Waiting;
use crate::args::slurm::Workers;
use crate::embedded::Reader;
use crate::progress::talk;
use crate::show::text::count;

/// What the comment of a job begins with. The name of the coordinator follows.
const MARK_PREFIX: &str = "caviar-workers:";
/// The time between a submission and the next look, if looks are not more frequent anyway.
const SOON: Duration = Duration::from_secs(2);

/// Submits workers until it is interrupted, or shows their script.
pub(crate) async fn workers(args: &Workers) -> anyhow::Result<()> {
    check_is_not_input(&args.source)?;
    let mark = name_of(&args.source).map(|name| format!("{MARK_PREFIX}{name}"));
    // A script can be shown without any coordinator.
    let script = script(args, mark.as_deref().ok())?.without(&args.submission.skip_directive)?;
    if args.submission.print || args.submission.dry_run {
        submit(&script, &args.submission).await?;
        return Ok(());
    }
    let signals = Signals::listen()?;
    let mut continues = signal(SignalKind::user_defined1())?;
    let reader = Reader::open_for_workers(&args.source).await?;
    check_may_read(&reader.client).await?;
    let mut office = Office::new(args, script, mark?, reader);
    talk(&format!(
        "submitting workers while there is demand: at most {}, and at most {} in the queue",
        count(args.max.into(), "job"),
        args.backlog
    ));
    if has_comment(&args.submission.sbatch) {
        talk("hint: --comment replaces the one by which it finds its jobs if it is started again");
    }
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
                if office.has_submitted {
                    // If the cluster has free nodes, the next job can follow at once.
                    looks.reset_after(args.poll.min(SOON));
                }
            }
        }
    }
    office.close().await
}

/// The script of one job: one worker on one node. It is never put into the queue again by Slurm:
/// if there is still demand, another job is submitted.
fn script(args: &Workers, mark: Option<&str>) -> anyhow::Result<Script> {
    let logs = absolute(&args.logs)?.join("caviar-worker-%j.log");
    let mut directives = vec![
        Directive::with("--job-name", "caviar-worker"),
        Directive::with("--nodes", 1),
        Directive::with("--ntasks", 1),
    ];
    directives.extend(mark.map(|mark| Directive::with("--comment", mark)));
    directives.extend(resources(args.slots_per_job, &args.submission.sbatch));
    directives.push(Directive::flag("--no-requeue"));
    directives.push(Directive::with("--output", logs.display()));
    let mut words = vec![program()?, "worker".to_owned()];
    words.extend(match &args.worker_join {
        Some(file) => worker_arguments_with(&args.source, file)?,
        None => worker_arguments(&args.source)?,
    });
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
    /// The comment of the jobs of an earlier process for this coordinator; `None` once they are
    /// adopted.
    mark: Option<String>,
    /// The clusters that get the jobs, as far as the options tell.
    clusters: BTreeSet<Option<String>>,
    /// Why its jobs wait in the queue.
    waiting: Waiting,
    /// Whether the last look has submitted a job.
    has_submitted: bool,
    /// What was said last about a coordinator or a Slurm that does not answer; said once.
    trouble: Option<String>,
}

impl<'a> Office<'a> {
    fn new(args: &'a Workers, script: Script, mark: String, reader: Reader) -> Self {
        let limits =
            Limits { max: args.max, backlog: args.backlog, slots_per_job: args.slots_per_job };
        let environment = ["SBATCH_CLUSTERS", "SLURM_CLUSTERS"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let clusters = clusters(&args.submission.sbatch, environment.as_deref());
        let (allocator, mark) = (Allocator::new(limits), Some(mark));
        let (waiting, has_submitted, trouble) = (Waiting::default(), false, None);
        Self { args, script, reader, allocator, mark, clusters, waiting, has_submitted, trouble }
    }

    /// Looks at the demand and the queue once, and does what follows. Returns whether the
    /// coordinator has no active sweep.
    async fn look(&mut self) -> anyhow::Result<bool> {
        self.has_submitted = false;
        let (demand, is_done) = match self.ask().await {
            Ok(reply) => reply,
            Err(error) => {
                let verb = if is_refusal(&error) { "refuses" } else { "does not answer" };
                self.note_trouble(format!("the coordinator {verb}: {error}"));
                return Ok(false);
            }
        };
        let queue = match self.queue().await? {
            Ok(listed) => {
                self.trouble = None;
                self.adopt(&listed);
                self.say_why_jobs_wait(&listed);
                let states = listed.into_iter().map(|listed| (listed.job, listed.state));
                Some(states.collect::<BTreeMap<JobId, JobState>>())
            }
            Err(error) => {
                self.note_trouble(error.to_string());
                None
            }
        };
        for step in self.allocator.look(&demand, queue.as_ref()) {
            self.take(step).await?;
        }
        Ok(is_done)
    }

    /// The jobs of this user on the clusters that have, or will get, jobs with workers.
    async fn queue(&self) -> anyhow::Result<Result<Vec<Listed>, CommandError>> {
        let mut asked = self.clusters.clone();
        asked.extend(self.allocator.jobs().map(|job| job.cluster().map(str::to_owned)));
        blocking(move || commands::queue(&asked)).await
    }

    /// Takes over the jobs that an earlier process has left, once.
    fn adopt(&mut self, listed: &[Listed]) {
        let Some(mark) = self.mark.take() else { return };
        let own = listed.iter().filter(|listed| listed.comment == mark);
        let adopted = self.allocator.adopt(own.map(|own| (own.job.clone(), own.state)));
        if adopted > 0 {
            let jobs = count(to_u32(adopted).into(), "job");
            talk(&format!("taking over {jobs} for the same coordinator"));
        }
    }

    fn say_why_jobs_wait(&mut self, listed: &[Listed]) {
        let own: BTreeSet<&JobId> = self.allocator.jobs().collect();
        let own = listed.iter().filter(|listed| own.contains(&listed.job));
        self.waiting.news(own).iter().for_each(|message| talk(message));
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
                let names: Vec<String> = jobs.iter().map(JobId::to_string).collect();
                talk(&format!("cancelling queued jobs: {}", names.join(", ")));
                if let Err(error) = blocking(move || commands::cancel(&jobs)).await? {
                    talk(&error.to_string());
                }
            }
            Step::Submit => {
                let mut next = Some(Step::Submit);
                while let Some(Step::Submit) = next {
                    next = self.submit().await?;
                }
                if let Some(Step::Say(text)) = next {
                    talk(&text);
                }
            }
        }
        Ok(())
    }

    /// Submits one job. Returns the next step.
    async fn submit(&mut self) -> anyhow::Result<Option<Step>> {
        let text = self.script.to_string();
        let options = self.args.submission.sbatch.clone();
        let result = blocking(move || commands::submit(&text, &options)).await?;
        if let Ok(job) = &result {
            self.has_submitted = true;
            talk(&format!("submitted job {job}"));
        }
        Ok(self.allocator.submitted(result.map_err(|error| error.to_string())))
    }

    /// Cancels what is queued, and says what goes on.
    async fn close(mut self) -> anyhow::Result<()> {
        if let Some(step) = self.allocator.cancel_queued() {
            self.take(step).await?;
        }
        let running = self.allocator.running();
        if running > 0 {
            talk(&continuing(running, self.args.idle_timeout));
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

/// Whether the coordinator is there and does not accept the request.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused { class, .. } if *class != ErrorClass::Unavailable)
}

/// What happens to the running jobs when no more are submitted.
fn continuing(running: usize, idle_timeout: Duration) -> String {
    let jobs = count(to_u32(running).into(), "running job");
    let verbs = if running == 1 { ("continues", "ends") } else { ("continue", "end") };
    format!("{jobs} {}, and {} when idle for {}", verbs.0, verbs.1, format(idle_timeout))
}

/// Runs a command that may take long on a thread of its own.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(call).await.context("calling Slurm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_called_silence() {
        let refused = |class| Error::Refused {
            url: "https://a:1".to_owned(),
            class,
            message: "no".to_owned(),
            hints: Vec::new(),
        };
        assert!(is_refusal(&refused(ErrorClass::Refused)));
        assert!(!is_refusal(&refused(ErrorClass::Unavailable)));
    }

    #[test]
    fn one_job_continues_and_two_jobs_continue() {
        let minute = Duration::from_secs(60);
        assert_eq!(continuing(1, minute), "1 running job continues, and ends when idle for 1m");
        assert_eq!(continuing(2, minute), "2 running jobs continue, and end when idle for 1m");
    }
}
