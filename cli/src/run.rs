//! `caviar run`: a coordinator and a worker in this process. They talk to each other and to this
//! command over gRPC on the loopback interface.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caviar_client::{Client, Dialer};
use caviar_common::ids::Name;
use caviar_common::join::Role;
use caviar_common::outcome::SweepState;
use caviar_common::spec::Parallelism;
use caviar_common::view::SweepView;
use caviar_process::Signals;
use caviar_worker::{
    BlobPlaces, CheckpointConfig, LeaveRules, SlotChoice, WorkerConfig, WorkerError,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::{DEFAULT_STORE, Run};
use crate::embedded::Embedded;
use crate::failure::Failure;
use crate::follow::{OnlyWorker, follow};
use crate::place::coordinator_hint;
use crate::progress::talk;
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::sweep::{Origin, View};
use crate::show::text;
use crate::sweep_file::{Purpose, SweepSource};

/// The name of the worker in this process.
const WORKER: &str = "local";

/// Runs a sweep or continues unfinished ones, and shows the result.
pub(crate) async fn run(args: &Run) -> anyhow::Result<()> {
    let began = Instant::now();
    let source = args
        .file
        .as_deref()
        .map(|file| SweepSource::read(file, args.name.as_ref(), Purpose::Run))
        .transpose()?;
    if source.is_none() && !args.store.is_file() {
        return Err(Failure::hinted(
            format!("there is no store {}", args.store.display()),
            "name the store to continue: --store PATH",
        )
        .into());
    }
    let mut embedded = Embedded::start(&args.store).await?;
    let outcome = work(args, source.as_ref(), &mut embedded).await;
    let stopped = embedded.stop().await;
    let sweeps = outcome?;
    stopped?;
    let mut out = show::stdout();
    for sweep in &sweeps {
        write_result(&mut out, args, sweep, began.elapsed())?;
    }
    out.flush()?;
    sweeps.iter().try_for_each(|sweep| check_winner(args, sweep))
}

async fn work(
    args: &Run,
    source: Option<&SweepSource>,
    embedded: &mut Embedded,
) -> anyhow::Result<Vec<SweepView>> {
    let client = Client::connect(&embedded.dialer(Role::Admin)?).await?;
    let signals = Signals::listen()?;
    let names = begin(args, source, &client).await?;
    let store = args.store.display();
    talk(&format!("coordinator at {} with store {store}", embedded.url()));
    let choice = SlotChoice::detect();
    if args.slots.is_none() && choice.is_limited() {
        talk(&choice.to_string());
    }
    let mut worker = LocalWorker::start(embedded.dialer(Role::Worker)?, args)?;
    let outcome = tokio::select! {
        outcome = follow_all(args, &client, &names) => outcome.map(Some),
        error = embedded.ended() => Err(error),
        why = worker.ended() => {
            let hint = format!("to continue: {}", resume_command(args, &names));
            Err(Failure::hinted(why, hint).into())
        }
        _ = signals.first() => Ok(None),
    };
    tokio::select! {
        () = worker.stop() => {}
        _ = signals.second() => {}
    }
    match outcome? {
        Some(sweeps) => Ok(sweeps),
        None => Err(interrupted(args, &client, &names).await.into()),
    }
}

/// The report of an interrupted run: what is kept, and how to continue.
async fn interrupted(args: &Run, client: &Client, names: &[Name]) -> Failure {
    let store = args.store.display();
    let mut kept = Vec::new();
    for name in names {
        let line = match client.sweep(name.as_str()).await {
            Ok(sweep) => {
                format!(
                    "{name}: interrupted; {} of {} trials are finished and kept in {store}",
                    sweep.counts.finished(),
                    show::sweep::total(&sweep)
                )
            }
            Err(_) => format!("{name}: interrupted; finished trials are kept in {store}"),
        };
        kept.push(line);
    }
    Failure::Interrupted { kept, hint: format!("to continue: {}", resume_command(args, names)) }
}

/// Creates or finds the sweeps to run.
async fn begin(
    args: &Run,
    source: Option<&SweepSource>,
    client: &Client,
) -> anyhow::Result<Vec<Name>> {
    let known = client.list_sweeps().await?;
    let names = match (source, &args.name) {
        (Some(source), _) => vec![begin_file(args, source, client, &known).await?],
        (None, Some(name)) => match known.iter().find(|sweep| sweep.name == *name) {
            Some(sweep) => vec![continue_sweep(args, client, sweep).await?],
            None => {
                return Err(Failure::hinted(
                    format!("there is no sweep {name} in {}", args.store.display()),
                    list_hint(args),
                )
                .into());
            }
        },
        (None, None) => continue_unfinished(args, client, &known).await?,
    };
    if names.is_empty() {
        return Err(Failure::hinted(
            format!("no sweep in {} is unfinished", args.store.display()),
            list_hint(args),
        )
        .into());
    }
    for other in known
        .iter()
        .filter(|sweep| sweep.state == SweepState::Running && !names.contains(&sweep.name))
    {
        talk(&format!(
            "note: the unfinished sweep {} in {} continues at the same time",
            other.name,
            args.store.display()
        ));
    }
    Ok(names)
}

/// Creates the sweep of a file, or continues or replaces an earlier sweep of its name.
async fn begin_file(
    args: &Run,
    source: &SweepSource,
    client: &Client,
    known: &[SweepView],
) -> anyhow::Result<Name> {
    let Some(sweep) = known.iter().find(|sweep| sweep.name == source.spec.name) else {
        return Ok(source.create(client, slots_of_auto(args, source), &[]).await?.name);
    };
    if args.replace {
        if !sweep.state.is_final() {
            client.cancel_sweep(sweep.name.as_str()).await?;
        }
        client.delete_sweep(sweep.name.as_str()).await?;
        talk(&format!("note: the earlier sweep {} is deleted", sweep.name));
        return Ok(source.create(client, slots_of_auto(args, source), &[]).await?.name);
    }
    let has_changed = source.has_changed_since(sweep);
    if args.resume {
        if has_changed {
            talk(&format!(
                "note: {} continues with the settings that it started with, although its file has \
                 changed (--name NAME runs the new file as another sweep)",
                sweep.name
            ));
        }
        return continue_sweep(args, client, sweep).await;
    }
    Err(name_is_taken(args, sweep, has_changed).into())
}

fn name_is_taken(args: &Run, sweep: &SweepView, has_changed: bool) -> Failure {
    let run = run_command(args);
    let (store, name) = (args.store.display(), &sweep.name);
    let replace = format!("to delete it and its results and start again: {run} --replace");
    let rename = format!("to keep both: {run} --name NAME");
    let show = format!("to see its result: caviar status {name}{}", store_flag(args));
    let resume = format!("to continue it: {run} --resume");
    let what = if sweep.state.is_final() {
        format!("a {} sweep {name}", sweep.state.name())
    } else {
        format!("an unfinished sweep {name}")
    };
    let extend =
        format!("to add trials to it: caviar extend {name} --trials N{}", store_flag(args));
    let first = if sweep.state.is_final() { show } else { resume };
    let (message, mut hints) = if has_changed {
        let hints = if sweep.state.is_final() { Vec::new() } else { vec![first] };
        let message = format!("{store} has {what}, and its file has changed since");
        (message, [hints, vec![rename, replace]].concat())
    } else {
        (format!("{store} has {what}"), vec![first, replace, rename])
    };
    if sweep.state == SweepState::Completed {
        hints.insert(usize::from(!has_changed), extend);
    }
    Failure::with_hints(message, hints)
}

/// Continues every unfinished sweep that a worker can train and that nobody has paused.
async fn continue_unfinished(
    args: &Run,
    client: &Client,
    known: &[SweepView],
) -> anyhow::Result<Vec<Name>> {
    let mut names = Vec::new();
    for sweep in known.iter().filter(|sweep| !sweep.state.is_final()) {
        if sweep.state == SweepState::Paused {
            talk(&format!(
                "note: {} stays paused; to continue it: {}",
                sweep.name,
                resume_command(args, std::slice::from_ref(&sweep.name))
            ));
        } else if sweep.spec.data.is_external() {
            talk(&format!(
                "note: external programs run the trials of {}; {}",
                sweep.name,
                coordinator_hint(&args.store)
            ));
        } else {
            names.push(continue_sweep(args, client, sweep).await?);
        }
    }
    Ok(names)
}

/// The command that continues these sweeps. It names the sweep if there is one.
fn resume_command(args: &Run, names: &[Name]) -> String {
    let name = if let [name] = names { format!(" --name {name}") } else { String::new() };
    format!("caviar run --resume{name}{}", store_flag(args))
}

/// The command that runs the same file; `FILE` stands for it where none was named.
fn run_command(args: &Run) -> String {
    let file = args.file.as_ref().map_or_else(|| "FILE".to_owned(), |f| f.display().to_string());
    format!("caviar run {file}{}", store_flag(args))
}

/// The option that names the store in a command for the user; empty for the default store.
fn store_flag(args: &Run) -> String {
    if args.store == Path::new(DEFAULT_STORE) {
        String::new()
    } else {
        format!(" --store {}", args.store.display())
    }
}

fn list_hint(args: &Run) -> String {
    format!("to see its sweeps: caviar list{}", store_flag(args))
}

async fn continue_sweep(args: &Run, client: &Client, sweep: &SweepView) -> anyhow::Result<Name> {
    if sweep.spec.data.is_external() && !sweep.state.is_final() {
        return Err(Failure::hinted(
            format!("external programs run the trials of {}, not a worker", sweep.name),
            coordinator_hint(&args.store),
        )
        .into());
    }
    match sweep.state {
        SweepState::Paused => Ok(client.resume_sweep(sweep.name.as_str()).await?.name),
        SweepState::Running | SweepState::Scoring | SweepState::Completed => Ok(sweep.name.clone()),
        SweepState::Cancelled => Err(Failure::with_hints(
            format!("sweep {} was cancelled and cannot continue", sweep.name),
            vec![
                format!("to delete it and start again: {} --replace", run_command(args)),
                format!("to run the file as another sweep: {} --name NAME", run_command(args)),
            ],
        )
        .into()),
    }
}

async fn follow_all(args: &Run, client: &Client, names: &[Name]) -> anyhow::Result<Vec<SweepView>> {
    let mut sweeps = Vec::new();
    for name in names {
        let resume = resume_command(args, std::slice::from_ref(name));
        let worker = OnlyWorker { name: WORKER, resume: &resume };
        sweeps.push(follow(client, name.as_str(), Some(worker)).await?);
    }
    Ok(sweeps)
}

fn write_result(
    out: &mut impl Write,
    args: &Run,
    sweep: &SweepView,
    took: Duration,
) -> std::io::Result<()> {
    if args.json {
        // One of several sweeps.
        let write = if args.resume { show::json_line } else { show::json };
        return write(out, sweep);
    }
    let (name, store) = (&sweep.name, args.store.display());
    show::sweep::status(out, sweep, &[], View::on_stdout(Origin::Coordinator))?;
    let took = text::duration(took);
    let slots = text::count(slots(args).into(), "slot");
    let summary = format!("It took {took} with {slots}. All trials are kept in {store}:");
    writeln!(out)?;
    Page::of_stdout().write(out, Tone::Plain, 0, &summary)?;
    let store = store_flag(args);
    writeln!(out, "  caviar trials {name} --top 10{store}")?;
    if !sweep.models.is_empty() {
        writeln!(out, "  caviar model {name}{store}")?;
    }
    writeln!(out, "  caviar best {name} --toml{store}")?;
    writeln!(out, "  caviar export {name}{store}")
}

fn check_winner(args: &Run, sweep: &SweepView) -> anyhow::Result<()> {
    if sweep.best.is_some() {
        return Ok(());
    }
    let hint = format!("to see why: caviar trials {}{}", sweep.name, store_flag(args));
    Err(Failure::hinted(format!("no trial of {} was completed", sweep.name), hint).into())
}

/// The slots for which `parallelism = "auto"` is resolved: those of the worker in this process,
/// whether it has connected yet or not. `None` if the file has a number.
fn slots_of_auto(args: &Run, source: &SweepSource) -> Option<u32> {
    (source.spec.search.parallelism == Parallelism::Auto).then(|| slots(args))
}

fn slots(args: &Run) -> u32 {
    args.slots.unwrap_or_else(|| SlotChoice::detect().slots())
}

/// The blobs that the coordinator of a store keeps.
fn blobs_of(store: &Path) -> PathBuf {
    caviar_coordinator::artifacts::Place::NextToStore.folder(store).join("blobs")
}

/// The worker that trains inside this process.
#[derive(Debug)]
struct LocalWorker {
    stop: oneshot::Sender<()>,
    /// `None` once its end was seen.
    task: Option<JoinHandle<Result<(), WorkerError>>>,
}

impl LocalWorker {
    fn start(coordinator: Dialer, args: &Run) -> anyhow::Result<Self> {
        let name = Name::parse("worker", WORKER).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let config = WorkerConfig {
            coordinator: coordinator.into(),
            name,
            slots: slots(args),
            memory: args.memory,
            checkpoints: CheckpointConfig::default(),
            // The coordinator is in this process: its blobs are read where they are.
            blobs: BlobPlaces { cache: None, folder: Some(blobs_of(&args.store)) },
            leave: LeaveRules::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let until = async {
            let _either_way = stopped.await;
        };
        let task = Some(tokio::spawn(caviar_worker::run(config, until)));
        Ok(Self { stop, task })
    }

    /// Waits until it ends on its own, and says why. It does so only if it was drained or failed.
    async fn ended(&mut self) -> String {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let end = task.await;
        self.task = None;
        match end {
            Ok(Ok(())) => "the worker of this run was told to leave".to_owned(),
            Ok(Err(error)) => format!("the worker of this run cannot start: {error}"),
            Err(error) => format!("internal error: the worker of this run failed: {error}"),
        }
    }

    /// Releases the unfinished trials and ends.
    async fn stop(self) {
        let _already_gone = self.stop.send(());
        if let Some(task) = self.task {
            let _panicked = task.await;
        }
    }
}
