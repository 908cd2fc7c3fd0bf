//! `caviar slurm job`: what runs on the first node of a job.
//!
//! ```text
//! first node:  job -+-> caviar coordinator     (any port; its file is next to the store)
//!                   +-> srun caviar worker     (one on every node, the first one included)
//!                   '-> create or continue the sweep, follow it, stop both
//! ```

use std::io::Write;
use std::path::Path;
use std::pin::{Pin, pin};
use std::time::Duration;

use caviar_client::Client;
use caviar_common::limits::MAX_PARALLELISM;
use caviar_common::outcome::SweepState;
use caviar_common::spec::Parallelism;
use caviar_common::view::SweepView;
use caviar_process::Signals;
use caviar_worker::{SlotChoice, longest_lead};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::child::Child;
use super::earlier::check_can_continue;
use super::joining::Meeting;
use super::run::program;
use crate::args::slurm::JobArguments;
use crate::failure::Failure;
use crate::follow::follow;
use crate::progress::talk;
use crate::show;
use crate::show::sweep::{Origin, View};
use crate::sweep_file::{Purpose, SweepSource};

/// How long the coordinator may take to recover its store and listen.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// How often the file of the coordinator is looked for.
const POLL: Duration = Duration::from_millis(100);
/// How long workers and coordinator may take to end in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Time before the end of the job at which it stops by itself, and the largest part of the job's
/// time that this may be. Both are less than those of a worker, so that workers leave before, in
/// order.
const RESERVE: (Duration, u32) = (Duration::from_secs(20), 15);
/// How long the signal for a job that is cancelled may arrive after its workers have ended by it,
/// and how much clocks may differ.
const DELAY: Duration = Duration::from_secs(5);

/// Runs the sweep to its end, or until the job ends.
pub(crate) async fn job(args: &JobArguments) -> anyhow::Result<()> {
    let Ok(job) = std::env::var("SLURM_JOB_ID") else {
        let message = "SLURM_JOB_ID is not set, so this is not a Slurm job";
        let hint = "to submit one: caviar slurm run FILE --nodes N";
        return Err(Failure::hinted(message, hint).in_input().into());
    };
    let signals = Signals::listen()?;
    let source = SweepSource::read(&args.file, args.name.as_ref(), Purpose::Run)?;
    let meeting = Meeting::new(&args.store, &job);
    // A job that Slurm started again may find the file of its former life.
    let _missing = std::fs::remove_file(meeting.file());
    let left = caviar_worker::time_left_of_slurm_job().await;
    let end = left.and_then(|left| End::new(left, Instant::now()));
    let mut coordinator = Child::start(&program()?, &meeting.coordinator())?;
    let outcome = {
        let over = pin!(over(args, &signals, left, &mut coordinator));
        work(args, &source, &meeting, end, over).await
    };
    coordinator.stop(Signal::SIGTERM, STOP_TIMEOUT).await?;
    show_result(args, &outcome?)
}

/// Why the job has to end before its sweep.
async fn over(
    args: &JobArguments,
    signals: &Signals,
    left: Option<Duration>,
    coordinator: &mut Child,
) -> anyhow::Error {
    let time_limit = async {
        match left {
            Some(left) => {
                let (reserve, share) = RESERVE;
                sleep(left.saturating_sub(reserve.min(left / share))).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        name = signals.first() => interrupted(args, name).into(),
        () = time_limit => interrupted(args, "the time limit").into(),
        status = coordinator.ended() => match status {
            Ok(status) => {
                let message = format!("the coordinator ended: {status}");
                Failure::hinted(message, "its last lines in this log say why").into()
            }
            Err(error) => error,
        },
    }
}

/// Waits for the coordinator, starts the workers, and follows the sweep until it ends or the job is
/// over. Stops the workers in each case.
async fn work(
    args: &JobArguments,
    source: &SweepSource,
    meeting: &Meeting,
    end: Option<End>,
    mut over: Pin<&mut impl Future<Output = anyhow::Error>>,
) -> anyhow::Result<SweepView> {
    let prepare = async {
        wait_for(&meeting.file()).await?;
        let client = meeting.connect().await?;
        let name = begin(args, source, &client).await?;
        anyhow::Ok((client, name))
    };
    let (client, name) = tokio::select! {
        prepared = prepare => prepared?,
        why = over.as_mut() => return Err(why),
    };
    let mut workers = Child::start("srun", &srun(meeting)?)?;
    let outcome = tokio::select! {
        sweep = follow(&client, &name, None) => sweep,
        why = over.as_mut() => Err(why),
        status = workers.ended() => {
            let patience = if status?.success() { patience(end, Instant::now()) } else { DELAY };
            Err(timeout(patience, over).await.unwrap_or_else(|_| deserted().into()))
        }
    };
    // It passes this signal on to the workers, which end in order. SIGTERM would kill them.
    workers.stop(Signal::SIGUSR1, STOP_TIMEOUT).await?;
    outcome
}

/// The slots for which `parallelism = "auto"` is resolved: those that the workers of the job will
/// have, if all nodes are like this one. `None` if the file has a number.
fn slots_of_auto(source: &SweepSource) -> Option<u32> {
    if source.spec.search.parallelism != Parallelism::Auto {
        return None;
    }
    let nodes = std::env::var("SLURM_JOB_NUM_NODES").ok().and_then(|nodes| nodes.parse().ok());
    let slots = SlotChoice::detect().slots().saturating_mul(nodes.unwrap_or(1));
    Some(slots.clamp(1, MAX_PARALLELISM))
}

/// The end of the job by its time limit.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Instant,
    /// From when on its workers may leave because of it.
    near: Instant,
}

impl End {
    /// The end of a job that has this time left `now`; `None` if it is too far away to have one.
    fn new(left: Duration, now: Instant) -> Option<Self> {
        let lead = longest_lead(left).saturating_add(DELAY);
        Some(Self { at: now.checked_add(left)?, near: now + left.saturating_sub(lead) })
    }
}

/// How long the job may go on after all of its workers have left in order: until its end if that is
/// why they left, and otherwise only until the signal that may have ended them.
fn patience(end: Option<End>, now: Instant) -> Duration {
    end.filter(|end| end.near <= now).map_or(DELAY, |end| end.at.duration_since(now))
}

fn deserted() -> Failure {
    let hint = "their last lines in this log say why";
    Failure::hinted("all workers of the job have ended", hint)
}

fn show_result(args: &JobArguments, sweep: &SweepView) -> anyhow::Result<()> {
    let mut out = show::stdout();
    show::sweep::status(&mut out, sweep, &[], View::on_stdout(Origin::Coordinator))?;
    out.flush()?;
    if sweep.best.is_some() {
        return Ok(());
    }
    let hint = format!("to see why: caviar trials {} --store {}", sweep.name, args.store.display());
    Err(Failure::hinted(format!("no trial of {} was completed", sweep.name), hint).into())
}

/// The command that runs a worker on every node. A worker or a node that fails does not end the
/// others.
fn srun(meeting: &Meeting) -> anyhow::Result<Vec<String>> {
    let nodes = std::env::var("SLURM_JOB_NUM_NODES").unwrap_or_else(|_| "1".to_owned());
    let mut words = vec![format!("--nodes={nodes}"), format!("--ntasks={nodes}")];
    let fixed = [
        "--ntasks-per-node=1",
        // The step has all processors of its job on a node; the worker must not be bound to one.
        "--cpu-bind=none",
        "--no-kill",
        "--kill-on-bad-exit=0",
        "--wait=0",
    ];
    words.extend(fixed.map(str::to_owned));
    words.extend([program()?, "worker".to_owned()]);
    words.extend(meeting.worker());
    Ok(words)
}

/// Creates the sweep, or continues an earlier one of its name. Returns its name.
async fn begin(
    args: &JobArguments,
    source: &SweepSource,
    client: &Client,
) -> anyhow::Result<String> {
    let known = client.list_sweeps().await?;
    let Some(sweep) = known.into_iter().find(|sweep| sweep.name == source.spec.name) else {
        return Ok(source.create(client, slots_of_auto(source), &[]).await?.name.to_string());
    };
    check_can_continue(source, &sweep, &args.store)?;
    let name = sweep.name.to_string();
    if sweep.state == SweepState::Paused {
        client.resume_sweep(&name).await?;
    }
    let finished = sweep.counts.finished();
    talk(&format!("continuing sweep {name}: {finished} trials are finished"));
    Ok(name)
}

fn interrupted(args: &JobArguments, by: &str) -> Failure {
    let store = args.store.display();
    Failure::Interrupted {
        kept: vec![format!("{by} ended the job; everything that was finished is kept in {store}")],
        hint: "to continue the sweep, submit the same command again".to_owned(),
    }
}

/// Waits until the coordinator has written its file.
async fn wait_for(file: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    while !file.exists() {
        if began.elapsed() > START_TIMEOUT {
            let after = START_TIMEOUT.as_secs();
            let message =
                format!("the coordinator has not written {} in {after} s", file.display());
            return Err(Failure::hinted(message, "see its lines in this log").into());
        }
        sleep(POLL).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_workers_waits_only_for_an_end_that_they_leave_before() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        assert_eq!(patience(None, now), DELAY);
        // (time of the job, time after which the workers have left, what is waited)
        for (left, after, waited) in [
            (3_600, 10, 5),
            (3_600, 3_444, 5),
            (3_600, 3_445, 155),
            (3_600, 3_599, 1),
            (100, 64, 5),
            (100, 65, 35),
            (100, 200, 0),
        ] {
            let end = End::new(seconds(left), now);
            let found = patience(end, now + seconds(after));
            assert_eq!(found, seconds(waited), "{after} s of {left} s");
        }
        assert_eq!(patience(End::new(Duration::MAX, now), now), DELAY);
    }
}
