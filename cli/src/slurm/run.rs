//! `caviar slurm run`: submits a sweep as one job.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use caviar_common::spec::Parallelism;
use tokio::time::sleep;

use super::commands::{self, CommandError, JobId, JobState};
use super::earlier::{check_can_continue, earlier_sweep};
use super::script::{Directive, Script, resources};
use super::waiting;
use crate::args::slurm::{Run, Submission};
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;
use crate::sweep_file::{Purpose, SweepSource};

/// How often squeue is asked about a new job, and the time before each question.
const LOOKS: u32 = 4;
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Submits the job, or shows its script.
pub(crate) async fn run(args: &Run) -> anyhow::Result<()> {
    let source = SweepSource::read(&args.file, args.name.as_ref(), Purpose::Submit)?;
    let store = absolute(&args.store)?;
    let folder = store.parent().map(Path::to_owned).unwrap_or_default();
    if !folder.is_dir() {
        let message = format!("--store {}: there is no such folder", args.store.display());
        let hint = "name a file in a folder that all nodes share";
        return Err(Failure::hinted(message, hint).in_input().into());
    }
    let name = source.spec.name.as_str();
    let log = folder.join(format!("{name}-%j.log"));
    let script = script(args, name, &log)?.without(&args.submission.skip_directive)?;
    if !args.submission.print && has_ended(args, &source).await? {
        return Ok(());
    }
    if let Parallelism::Trials(trials) = source.spec.search.parallelism {
        talk(&format!(
            "note: the sweep file has parallelism = {trials}, so at most {} are trained at once; \
             without that line, the sweep uses all slots of the job",
            show::text::count(trials.into(), "trial")
        ));
    }
    let Some(job) = submit(&script, &args.submission).await? else { return Ok(()) };
    let log = log.display().to_string().replace("%j", job.number());
    talk(&format!("job {job} is submitted; it ends with sweep {name}"));
    talk(&format!("hint: to follow it: tail -F {log}"));
    talk(&format!(
        "hint: to end it: {}; the same command continues the sweep later",
        job.scancel()
    ));
    if let Some(message) = why_it_waits(job).await? {
        talk(&message);
    }
    Ok(())
}

/// Whether the store has the sweep, and it needs no job any more. Says so.
async fn has_ended(args: &Run, source: &SweepSource) -> anyhow::Result<bool> {
    let Some(sweep) = earlier_sweep(&args.store, &source.spec.name).await else {
        return Ok(false);
    };
    check_can_continue(source, &sweep, &args.store)?;
    if !sweep.state.is_final() {
        return Ok(false);
    }
    let command = if sweep.best.is_some() { "best" } else { "trials" };
    let (name, store) = (&sweep.name, args.store.display());
    talk(&format!("sweep {name} has ended, so no job is submitted"));
    talk(&format!("hint: to see its result: caviar {command} {name} --store {store}"));
    Ok(true)
}

/// What to say about a job that waits for something else than its turn. Looks until Slurm has
/// considered the job, for two seconds at most.
async fn why_it_waits(job: JobId) -> anyhow::Result<Option<String>> {
    for _ in 0..LOOKS {
        sleep(LOOK_INTERVAL).await;
        let job = job.clone();
        let look = tokio::task::spawn_blocking(move || commands::queued(&job));
        // The job is submitted, whether squeue answers or not.
        let Ok(Some(listed)) = look.await.context("calling squeue")? else { return Ok(None) };
        if listed.state != JobState::Queued || listed.reason != "None" {
            return Ok(waiting::message(&listed));
        }
    }
    Ok(None)
}

/// The script of the whole job.
fn script(args: &Run, name: &str, log: &Path) -> anyhow::Result<Script> {
    let mut directives = vec![
        Directive::with("--job-name", format!("caviar-{name}")),
        Directive::with("--nodes", args.nodes),
        Directive::with("--ntasks-per-node", 1),
    ];
    directives.extend(resources(args.slots_per_node, &args.submission.sbatch));
    if args.nodes > 1 {
        // The sweep continues on the other nodes.
        directives.push(Directive::flag("--no-kill"));
    }
    directives.push(Directive::with("--output", log.display()));
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut words = vec![program()?, "slurm".to_owned(), "job".to_owned()];
    words.push(text(absolute(&args.file)?));
    words.extend(["--store".to_owned(), text(absolute(&args.store)?)]);
    if let Some(name) = &args.name {
        words.extend(["--name".to_owned(), name.to_string()]);
    }
    Ok(Script::new(directives, &words))
}

/// Shows, tests or submits a script, as the arguments say. `None` if no job was submitted.
pub(super) async fn submit(script: &Script, how: &Submission) -> anyhow::Result<Option<JobId>> {
    let text = script.to_string();
    let mut out = show::stdout();
    if how.print {
        out.write_all(script.text_for(&how.sbatch).as_bytes())?;
        out.flush()?;
        return Ok(None);
    }
    let (options, only_test) = (how.sbatch.clone(), how.dry_run);
    let call = move || {
        if only_test {
            commands::test(&text, &options).map(Err)
        } else {
            commands::submit(&text, &options).map(Ok)
        }
    };
    let said: Result<Result<JobId, String>, CommandError> =
        tokio::task::spawn_blocking(call).await.context("calling sbatch")?;
    match said {
        Ok(Ok(job)) => Ok(Some(job)),
        Ok(Err(text)) => {
            out.write_all(text.as_bytes())?;
            out.flush()?;
            Ok(None)
        }
        Err(error) => Err(Failure::with_hints(
            error.to_string(),
            vec![
                "everything after -- goes to sbatch: -p PARTITION -A ACCOUNT, for example".into(),
                "to see the script: --print; to leave one of its options out: --skip-directive \
                 OPTION"
                    .into(),
            ],
        )
        .into()),
    }
}

/// The path of this program, which must be the same on all nodes.
pub(super) fn program() -> anyhow::Result<String> {
    let path = std::env::current_exe().context("finding the program itself")?;
    Ok(path.to_string_lossy().into_owned())
}

/// The path from the root.
pub(super) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
}
