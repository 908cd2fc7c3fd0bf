//! `caviar run`: a coordinator and a worker in this process, which speak to each other and to this
//! command over gRPC on loopback.

use std::io::Write;
use std::time::{Duration, Instant};

use caviar_common::ids::Name;
use caviar_common::limits::MAX_SLOTS;
use caviar_common::outcome::SweepState;
use caviar_common::view::SweepView;
use caviar_worker::WorkerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::Run;
use crate::client::Client;
use crate::embedded::Embedded;
use crate::failure::Failure;
use crate::follow::follow;
use crate::progress::talk;
use crate::show;
use crate::show::sweep::{Origin, View};
use crate::show::text;
use crate::sweep_file::{Checked, DataIs};

/// The name of the worker in this process.
const WORKER: &str = "local";

/// Runs a sweep, or goes on with what is unfinished, and shows what came out.
pub(crate) async fn run(args: &Run) -> anyhow::Result<()> {
    let began = Instant::now();
    let checked = args
        .file
        .as_deref()
        .map(|file| Checked::read(file, args.name.as_ref(), DataIs::Here))
        .transpose()?;
    if checked.is_none() && !args.store.is_file() {
        return Err(Failure::hinted(
            format!("there is no store {}", args.store.display()),
            "name the one to go on with: --store PATH",
        )
        .into());
    }
    let mut embedded = Embedded::start(&args.store).await?;
    let outcome = work(args, checked.as_ref(), &mut embedded).await;
    let stopped = embedded.stop().await;
    let sweeps = outcome?;
    stopped?;
    let mut out = show::stdout();
    for sweep in &sweeps {
        write_result(&mut out, args, sweep, began.elapsed())?;
    }
    out.flush()?;
    sweeps.iter().try_for_each(|sweep| has_winner(args, sweep))
}

async fn work(
    args: &Run,
    checked: Option<&Checked>,
    embedded: &mut Embedded,
) -> anyhow::Result<Vec<SweepView>> {
    let mut client = Client::connect(embedded.url()).await?;
    let mut interrupts = Interrupts::listen()?;
    let names = begin(args, checked, &mut client).await?;
    let worker = LocalWorker::start(embedded.url(), args)?;
    let outcome = tokio::select! {
        outcome = follow_all(&mut client, &names) => outcome.map(Some),
        error = embedded.ended() => Err(error),
        () = interrupts.next() => Ok(None),
    };
    tokio::select! {
        () = worker.stop() => {}
        () = interrupts.next() => {}
    }
    match outcome? {
        Some(sweeps) => Ok(sweeps),
        None => Err(interrupted(args, &mut client, &names).await.into()),
    }
}

/// What a person who ends a run wants to know.
async fn interrupted(args: &Run, client: &mut Client, names: &[Name]) -> Failure {
    let store = args.store.display();
    let mut kept = Vec::new();
    for name in names {
        let line = match client.sweep(name.as_str()).await {
            Ok(sweep) => {
                format!(
                    "{name}: interrupted; {} of {} trials are done and kept in {store}",
                    sweep.counts.done(),
                    show::sweep::total(&sweep)
                )
            }
            Err(_) => format!("{name}: interrupted; what is done is kept in {store}"),
        };
        kept.push(line);
    }
    Failure::Interrupted { kept, hint: format!("to go on: {}", resume_hint(args, names)) }
}

/// Begins or finds the sweeps to run.
async fn begin(
    args: &Run,
    checked: Option<&Checked>,
    client: &mut Client,
) -> anyhow::Result<Vec<Name>> {
    let known = client.list().await?;
    let named = |name: &Name| known.iter().find(|sweep| sweep.name == *name);
    let names = match (checked, &args.name) {
        (Some(checked), _) => match named(&checked.spec.name).filter(|_| args.resume) {
            Some(sweep) => {
                note_changes(checked, sweep);
                vec![go_on(client, sweep).await?]
            }
            None => vec![checked.create(client, &taken_hints(args)).await?.name],
        },
        (None, Some(name)) => {
            let absent = || {
                Failure::hinted(
                    format!("there is no sweep {name} in {}", args.store.display()),
                    list_hint(args),
                )
            };
            vec![go_on(client, named(name).ok_or_else(absent)?).await?]
        }
        (None, None) => {
            let mut names = Vec::new();
            for sweep in known.iter().filter(|sweep| !sweep.state.is_final()) {
                if sweep.state == SweepState::Paused {
                    // Somebody meant it to rest.
                    talk(&format!(
                        "note: {} stays paused; to go on with it: {}",
                        sweep.name,
                        resume_hint(args, std::slice::from_ref(&sweep.name))
                    ));
                    continue;
                }
                if sweep.spec.data.is_external() {
                    let store = args.store.display();
                    talk(&format!(
                        "note: {} is run by other programs; start a coordinator for them: caviar-coordinator --store {store}",
                        sweep.name
                    ));
                    continue;
                }
                names.push(go_on(client, sweep).await?);
            }
            names
        }
    };
    if names.is_empty() {
        return Err(Failure::hinted(
            format!("nothing in {} is unfinished", args.store.display()),
            list_hint(args),
        )
        .into());
    }
    for other in known
        .iter()
        .filter(|sweep| sweep.state == SweepState::Running && !names.contains(&sweep.name))
    {
        talk(&format!(
            "note: {} also holds the unfinished sweep {}, which goes on beside",
            args.store.display(),
            other.name
        ));
    }
    Ok(names)
}

/// How to go on with these, and with nothing else where it is one.
fn resume_hint(args: &Run, names: &[Name]) -> String {
    let name = if let [name] = names { format!(" --name {name}") } else { String::new() };
    format!("caviar run --resume{name} --store {}", args.store.display())
}

fn list_hint(args: &Run) -> String {
    format!("caviar list --store {} shows what is there", args.store.display())
}

fn taken_hints(args: &Run) -> Vec<String> {
    let file = args.file.as_ref().map_or_else(String::new, |file| format!(" {}", file.display()));
    vec![
        format!("to go on with it: caviar run{file} --resume --store {}", args.store.display()),
        "to begin another: --name NAME".to_owned(),
    ]
}

/// A sweep goes on as it was begun, whatever its file says by now.
fn note_changes(checked: &Checked, sweep: &SweepView) {
    let mut spec = checked.spec.clone();
    spec.fill_space(&sweep.data);
    if spec != sweep.spec {
        talk(&format!(
            "note: {} goes on as it was begun; its file says something else now (--name NAME begins another)",
            sweep.name
        ));
    }
}

async fn go_on(client: &mut Client, sweep: &SweepView) -> anyhow::Result<Name> {
    match sweep.state {
        SweepState::Paused => Ok(client.resume(sweep.name.as_str()).await?.name),
        SweepState::Running | SweepState::Scoring | SweepState::Completed => Ok(sweep.name.clone()),
        SweepState::Cancelled => Err(Failure::hinted(
            format!("the sweep {} was cancelled", sweep.name),
            "to begin another: --name NAME",
        )
        .into()),
    }
}

async fn follow_all(client: &mut Client, names: &[Name]) -> anyhow::Result<Vec<SweepView>> {
    let mut sweeps = Vec::new();
    for name in names {
        sweeps.push(follow(client, name.as_str(), Some(WORKER)).await?);
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
        return show::json(out, sweep);
    }
    let (name, store) = (&sweep.name, args.store.display());
    show::sweep::status(out, sweep, &[], View::on_stdout(Origin::Coordinator))?;
    writeln!(
        out,
        "\ntook {} with {}; every trial is kept in {store}:",
        text::duration(took),
        text::count(slots(args).into(), "slot")
    )?;
    writeln!(out, "  caviar trials {name} --sort objective --store {store}")?;
    writeln!(out, "  caviar best {name} --toml --store {store}")?;
    writeln!(out, "  caviar export {name} --format csv --store {store}")
}

fn has_winner(args: &Run, sweep: &SweepView) -> anyhow::Result<()> {
    if sweep.best.is_some() {
        return Ok(());
    }
    let hint = format!("caviar trials {} --store {} says why", sweep.name, args.store.display());
    Err(Failure::hinted(format!("no trial of {} was completed", sweep.name), hint).into())
}

fn slots(args: &Run) -> u32 {
    args.slots.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(cores).unwrap_or(MAX_SLOTS).min(MAX_SLOTS)
    })
}

/// The worker in this process.
#[derive(Debug)]
struct LocalWorker {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl LocalWorker {
    fn start(coordinator: &str, args: &Run) -> anyhow::Result<Self> {
        let name = Name::parse("worker", WORKER).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let config = WorkerConfig {
            coordinator: coordinator.to_owned(),
            name,
            slots: slots(args),
            memory: args.memory,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let until = async {
                let _either_way = stopped.await;
            };
            if let Err(error) = caviar_worker::run(config, until).await {
                talk(&format!("error: worker: {error}"));
            }
        });
        Ok(Self { stop, task })
    }

    /// Gives back what is unfinished and ends.
    async fn stop(self) {
        let _already_gone = self.stop.send(());
        let _panicked = self.task.await;
    }
}

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
