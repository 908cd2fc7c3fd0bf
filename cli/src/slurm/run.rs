//! `caviar slurm run`: submits a sweep as one job.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_common::spec::Parallelism;

use super::commands::{self, CommandError, JobId};
use super::script::{Directive, Script, resources};
use crate::args::slurm::{Run, Submission};
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;
use crate::sweep_file::{Purpose, SweepSource};

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
    Ok(())
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
