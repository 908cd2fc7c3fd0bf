//! `caviar bench coordinator`: a load test of a real coordinator in a process of its own.
//!
//! ```text
//! create and pause the sweeps -> connect the workers -> resume the sweeps
//!     -> the first trial is finished -> start the prober
//!     -> every trial is finished, or the time is over -> stop the prober
//!     -> kill -9 under load -> start again on the same store -> compare
//! ```
//! The sweeps are paused first, so that the load begins with every worker connected, and so that
//! the memory of the sessions can be told from that of the trials.

pub(crate) mod arguments;
mod child;
mod folder;
mod grpc;
mod load;
mod prober;
mod progress;
mod recovery;
mod report;
mod route;
mod running;
mod schedule;
mod session;
mod sessions;
mod statistics;
mod usage;
mod worker;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use caviar_client::Client;
use caviar_common::limits::MAX_TRIALS;
use caviar_common::numbers::{real, to_usize};
use caviar_process::Signals;
use tokio::task::JoinSet;

use self::arguments::{Coordinator, Subject};
use self::child::Child;
use self::folder::Folder;
use self::load::{Load, sweep_name};
use self::prober::{Prober, Queries};
use self::recovery::{Acknowledged, recover};
use self::report::{CpuSeconds, MemoryBytes, Report, StoreBytes};
use self::running::{Goal, Running};
use self::statistics::Counts;
use self::usage::{cpu_seconds, resident_bytes};
use crate::failure::Failure;
use crate::show;
use crate::show::page::Page;

/// Requests that change sweeps at the same time.
const REQUESTS: usize = 16;
/// Files that this process and the coordinator need next to the connections.
const SPARE_FILES: u64 = 100;
/// Trials of the sweep that runs when the coordinator is killed, unless there are more slots.
const RECOVERY_TRIALS: u32 = 512;

/// Carries out `caviar bench`.
pub(crate) async fn bench(subject: &Subject) -> anyhow::Result<()> {
    match subject {
        Subject::Coordinator(args) => coordinator(args).await,
    }
}

async fn coordinator(args: &Coordinator) -> anyhow::Result<()> {
    let load = Load::new(args)?;
    check_open_files(&load)?;
    let folder = Folder::create(args.store.as_deref())?;
    let signals = Signals::listen()?;
    let report = tokio::select! {
        report = measure(args, &load, &folder) => report?,
        _ = signals.first() => {
            let kept = vec!["the benchmark was interrupted".to_owned()];
            let hint = "to measure for a shorter time: --seconds N".to_owned();
            return Err(Failure::Interrupted { kept, hint }.into());
        }
    };
    let mut out = show::stdout();
    if args.json {
        report.json(&mut out)?;
    } else {
        report.text(&mut out, Page::of_stdout())?;
    }
    out.flush()?;
    if report.recovery.is_complete() {
        return Ok(());
    }
    Err(Failure::with_hints(report.recovery.summary(), Vec::new()).into())
}

/// Allows this process and the coordinator a connection for every worker.
fn check_open_files(load: &Load) -> anyhow::Result<()> {
    let most = caviar_process::raise_open_files().context("raising the limit of open files")?;
    let needed = u64::from(load.workers) + SPARE_FILES;
    if needed <= most {
        return Ok(());
    }
    let message = format!("{} workers need {needed} open files, not {most}", load.workers);
    let hint = "raise the limit (ulimit -Hn), or take fewer --workers";
    Err(Failure::hinted(message, hint).in_input().into())
}

async fn measure(args: &Coordinator, load: &Load, folder: &Folder) -> anyhow::Result<Report> {
    let child = Child::start(folder, args.encryption()).await?;
    let client = child.client().await?;
    create_sweeps(&client, load, folder).await?;
    let (idle, empty_store) = (resident_bytes(child.id()), folder.store_bytes());
    let mut running = Running::connect(child, load).await?;
    let connected = resident_bytes(running.child().id());
    let idle_cpu = measure_idle(args, &mut running).await?;
    let measured = run_load(args, load, &client, &mut running).await?;
    let loaded = resident_bytes(running.child().id());
    let total = folder.store_bytes();
    let before = kill_under_load(load, folder, &client, running).await?;
    drop(client);
    let (child, recovery) = recover(folder, args.encryption(), before).await?;
    child.stop().await?;
    let Measured { counts, queries, cpu } = measured;
    let duration = counts.duration().as_secs_f64();
    let rate = |count: u64| real(to_usize(count)) / duration.max(f64::EPSILON);
    Ok(Report {
        load: load.clone(),
        finished_trials: counts.trials,
        seconds: duration,
        trials_per_second: rate(counts.trials),
        reports_per_second: rate(counts.reports),
        grant_ms: counts.waits.percentiles(),
        queries_ms: queries,
        revoked_leases: counts.revoked,
        cpu_seconds: cpu,
        idle_cpu_share: idle_cpu,
        memory_bytes: MemoryBytes::new(
            [idle, connected, loaded],
            load.workers.into(),
            counts.trials,
        ),
        store_bytes: StoreBytes {
            total,
            per_finished_trial: total.saturating_sub(empty_store).checked_div(counts.trials),
        },
        recovery,
    })
}

/// The share of one core that the coordinator uses while the workers have nothing to do; `None`
/// if that is not asked for, or the system does not tell.
async fn measure_idle(args: &Coordinator, running: &mut Running) -> anyhow::Result<Option<f64>> {
    let Some(seconds) = args.idle_seconds else { return Ok(None) };
    let used = |running: &Running| cpu_seconds(running.child().id());
    let (before, began) = (used(running), Instant::now());
    running.rest(Duration::from_secs(seconds.into())).await?;
    let share = |spent: f64| spent / began.elapsed().as_secs_f64().max(f64::EPSILON);
    Ok(used(running).zip(before).map(|(after, before)| share(after - before)))
}

/// Creates the sweeps and pauses each, so that none begins before the others.
async fn create_sweeps(client: &Client, load: &Load, folder: &Folder) -> anyhow::Result<()> {
    let specs = load.places().map(|place| load.sweep(place, &folder.data()));
    let specs = specs.collect::<Result<Vec<_>, _>>()?;
    for_each(specs, |spec| {
        let client = client.clone();
        async move {
            let name = spec.name.as_str();
            client.create_sweep(name, &spec).await?;
            client.pause_sweep(name).await?;
            Ok(())
        }
    })
    .await
}

/// What was measured while the trials ran.
struct Measured {
    counts: Counts,
    queries: Queries,
    cpu: CpuSeconds,
}

/// Resumes the sweeps, and waits until every trial is finished or the time is over.
async fn run_load(
    args: &Coordinator,
    load: &Load,
    client: &Client,
    running: &mut Running,
) -> anyhow::Result<Measured> {
    let child = running.child();
    let processes = [child.id(), std::process::id()];
    let cpu_before = processes.map(cpu_seconds);
    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    for_each(load.places(), |place| {
        let client = client.clone();
        async move {
            client.resume_sweep(&sweep_name(place)).await?;
            Ok(())
        }
    })
    .await?;
    let count = |counts: &Counts| counts.trials;
    running.reach(Goal { count, target: 1, until, what: "trials finished" }).await?;
    let prober = Prober::start(running.child().route().clone(), load)?;
    let target = load.trials.into();
    running.reach(Goal { count, target, until, what: "trials finished" }).await?;
    let counts = running.counts();
    let used = |process: usize| {
        let before = cpu_before.get(process).copied().flatten()?;
        Some(cpu_seconds(*processes.get(process)?)? - before)
    };
    let cpu = CpuSeconds { coordinator: used(0), load_generator: used(1) };
    let queries = match prober {
        Some(prober) => prober.stop().await?,
        None => Queries::default(),
    };
    Ok(Measured { counts, queries, cpu })
}

/// Kills the coordinator while trials run: those of a further sweep if all others have ended.
async fn kill_under_load(
    load: &Load,
    folder: &Folder,
    client: &Client,
    mut running: Running,
) -> anyhow::Result<Acknowledged> {
    let finished = running.counts().trials;
    if finished >= u64::from(load.trials) {
        let trials = load.all_slots().saturating_mul(2).clamp(RECOVERY_TRIALS, MAX_TRIALS);
        let spec = load.spec("bench-recovery", trials, &folder.data())?;
        client.create_sweep("bench-recovery", &spec).await?;
        let (count, target) = (|counts: &Counts| counts.trials, finished + u64::from(trials / 4));
        running.reach(Goal { count, target, until: None, what: "trials finished" }).await?;
    }
    running.kill().await
}

/// Does some work for each item, for a few of them at the same time.
async fn for_each<T, F>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for item in items {
        if tasks.len() >= REQUESTS
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        tasks.spawn(work(item));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
