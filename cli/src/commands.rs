//! The commands. Each asks a coordinator, or a coordinator inside this process that has opened a
//! store, and writes the reply.

use std::io::Write;

use caviar_client::{Client, Error, Request};
use caviar_common::ids::TrialNumber;
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::spec::Goal;
use caviar_common::view::{SweepView, TrialView};
use serde::Serialize;

use crate::args::steer::{Extend, Resize};
use crate::args::{
    Best, Change, Command, Delete, Drain, Explain, Export, Format, Importance, List, Release, Sort,
    Source, Status, Submit, Trials, Watch, Workers,
};
use crate::connect::Named;
use crate::embedded::{Reader, object};
use crate::failure::Failure;
use crate::follow::follow;
use crate::progress::talk;
use crate::show;
use crate::show::explain::Explanation;
use crate::show::page::Page;
use crate::show::sweep::{Origin, View};
use crate::sweep_file::{Purpose, SweepSource, request_id};
use crate::{
    access, bench, check, doctor, init, inspect, manual, models, run, slurm, split, ssh_workers,
};

/// Carries out a command.
pub(crate) async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(&args).await,
        Command::Init(args) => init::init(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Check(args) => check::check(&args),
        Command::Submit(args) => submit(&args).await,
        Command::List(args) => list(&args).await,
        Command::Status(args) if args.watch => watch(&args.sweep, args.json, &args.source).await,
        Command::Status(args) => status(&args).await,
        Command::Watch(Watch { sweep, json, source }) => watch(&sweep, json, &source).await,
        Command::Trials(args) => trials(&args).await,
        Command::Best(args) => best(&args).await,
        Command::Model(args) => models::model(&args).await,
        Command::Refit(args) => models::refit(&args).await,
        Command::Predict(args) => models::predict::predict(&args),
        Command::Evaluate(args) => models::evaluate::evaluate(&args),
        Command::Split(args) => split::split(&args).await,
        Command::Importance(args) => importance(&args).await,
        Command::Explain(args) => explain(&args).await,
        Command::Export(args) => export(&args).await,
        Command::Pause(args) => change(&args, Client::pause_sweep).await,
        Command::Resume(args) => change(&args, Client::resume_sweep).await,
        Command::Cancel(args) => change(&args, Client::cancel_sweep).await,
        Command::Resize(args) => resize(&args).await,
        Command::Extend(args) => extend(&args).await,
        Command::Delete(args) => delete(&args).await,
        Command::Release(args) => release(&args).await,
        Command::Workers(args) => workers(&args).await,
        Command::Drain(args) => drain(&args).await,
        Command::Slurm(args) => slurm::slurm(&args).await,
        Command::SshWorkers(args) => ssh_workers::ssh_workers(&args).await,
        Command::Tokens(args) => access::tokens(&args.command).await,
        Command::Access(args) => access::access(&args).await,
        Command::Health(args) => access::health(&args).await,
        Command::Doctor(args) => doctor::doctor(&args).await,
        Command::Bench(args) => bench::bench(&args.subject).await,
        Command::Completions(args) => manual::completions(args.shell),
        Command::Man(args) => manual::pages(&args),
    }
}

/// A request that changes the state of a sweep.
type StateChange = for<'a> fn(&'a Client, &'a str) -> Request<'a, SweepView>;

async fn change(args: &Change, request: StateChange) -> anyhow::Result<()> {
    let (sweep, origin) = Reader::with(&args.source, async |reader| {
        Ok((request(&reader.client, &args.sweep).await?, reader.origin()))
    })
    .await?;
    report_state(&sweep, origin, args.json)
}

/// Reports the state of a sweep to the user and, with `--json`, the sweep to a program.
fn report_state(sweep: &SweepView, origin: Origin, json: bool) -> anyhow::Result<()> {
    talk(&format!("sweep {} is {}", sweep.name, show::sweep::state(sweep, origin).0));
    write_if_json(&object(sweep, origin)?, json)
}

fn write_if_json(value: &impl Serialize, json: bool) -> anyhow::Result<()> {
    if json {
        let mut out = show::stdout();
        show::json(&mut out, value)?;
        out.flush()?;
    }
    Ok(())
}

async fn submit(args: &Submit) -> anyhow::Result<()> {
    let source = SweepSource::read(&args.file, args.name.as_ref(), Purpose::Submit)?;
    // Not to a `caviar run` in this folder, which ends with its own sweep.
    let coordinator = Named::connect(&args.connection).await?;
    let hints = ["to create another sweep: --name NAME".to_owned()];
    let sweep = source.create(coordinator.client(), args.for_slots, &hints).await?;
    let (name, state) = (&sweep.name, show::sweep::state(&sweep, Origin::Coordinator).0);
    talk(&format!("sweep {name} is {state} on {coordinator}"));
    write_if_json(&object(&sweep, Origin::Coordinator)?, args.json)?;
    let option = coordinator.option().await;
    if let Some(note) = show::sweep::auto_note(&sweep, &option) {
        talk(&format!("note: {note}"));
    }
    talk(&format!("hint: to follow it: caviar watch {name}{option}"));
    talk(&format!("hint: to see its result: caviar best {name}{option}"));
    Ok(())
}

async fn list(args: &List) -> anyhow::Result<()> {
    let (sweeps, origin) = Reader::with(&args.source, async |reader| {
        let sweeps = reader.client.list_sweeps().await?.into_iter();
        let sweeps: Vec<SweepView> = sweeps.map(|sweep| reader.seen(sweep)).collect();
        Ok((sweeps, reader.origin()))
    })
    .await?;
    let mut out = show::stdout();
    if args.json {
        let objects: Result<Vec<_>, _> = sweeps.iter().map(|it| object(it, origin)).collect();
        show::json(&mut out, &objects?)?;
    } else {
        show::sweeps::list(&mut out, &sweeps, View::on_stdout(origin))?;
    }
    Ok(out.flush()?)
}

async fn status(args: &Status) -> anyhow::Result<()> {
    let (sweep, running, origin) = Reader::with(&args.source, async |reader| {
        let sweep = reader.seen(reader.client.sweep(&args.sweep).await?);
        let running = if args.json {
            Vec::new()
        } else {
            reader.client.list_trials(&args.sweep, &[TrialState::Running]).await?
        };
        Ok((sweep, running, reader.origin()))
    })
    .await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &object(&sweep, origin)?)?;
    } else {
        show::sweep::status(&mut out, &sweep, &running, View::on_stdout(origin))?;
    }
    Ok(out.flush()?)
}

async fn watch(sweep: &str, json: bool, source: &Source) -> anyhow::Result<()> {
    Reader::with(source, async |reader| {
        if reader.origin() == Origin::Store {
            let view = reader.seen(reader.client.sweep(sweep).await?);
            return finished(&view, &reader.store_option(), json);
        }
        let mut out = show::stdout();
        if json {
            let mut changes = reader.client.watch_sweep(sweep).await?;
            while let Some(view) = changes.next().await? {
                show::json_line(&mut out, &view)?;
            }
            return Ok(());
        }
        let last = follow(&reader.client, sweep, None).await?;
        show::sweep::status(&mut out, &last, &[], View::on_stdout(Origin::Coordinator))?;
        Ok(out.flush()?)
    })
    .await
}

/// Shows a sweep of a store that no coordinator has open. Following it would never end unless it
/// has ended already. `option` names the store for `caviar run`.
fn finished(sweep: &SweepView, option: &str, json: bool) -> anyhow::Result<()> {
    if !sweep.state.is_final() {
        let message =
            format!("{} makes no progress, because no process has its store open", sweep.name);
        let run = format!("to continue it: caviar run --resume --name {}{option}", sweep.name);
        let with = if sweep.spec.data.is_external() { "external clients" } else { "workers" };
        let mut hints = vec![
            format!("to continue it with {with}: caviar coordinator{option}"),
            format!(
                "to watch one of another coordinator: caviar watch {} --coordinator HOST:PORT",
                sweep.name
            ),
        ];
        if !sweep.spec.data.is_external() {
            hints.insert(0, run);
        }
        return Err(Failure::with_hints(message, hints).into());
    }
    let mut out = show::stdout();
    if json {
        show::json_line(&mut out, sweep)?;
    } else {
        show::sweep::status(&mut out, sweep, &[], View::on_stdout(Origin::Store))?;
    }
    Ok(out.flush()?)
}

async fn trials(args: &Trials) -> anyhow::Result<()> {
    let (sweep, mut trials) = sweep_and_trials(&args.source, &args.sweep).await?;
    // The coordinator can sort too, but a trial that ends between two of its pages may be missing.
    if args.sort == Sort::Objective || args.top.is_some() {
        sort_by_objective(&mut trials, sweep.spec.objective.goal);
    }
    if let Some(top) = args.top {
        trials.retain(TrialView::is_ranked);
        trials.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    }
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &trials)?;
    } else if args.csv {
        show::trials::csv(&mut out, &sweep, &trials)?;
    } else {
        show::trials::table(&mut out, &sweep, &trials, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn sweep_and_trials(
    source: &Source,
    sweep: &str,
) -> anyhow::Result<(SweepView, Vec<TrialView>)> {
    Reader::with(source, async |reader| {
        let view = reader.client.sweep(sweep).await?;
        Ok((view, reader.client.list_trials(sweep, &[]).await?))
    })
    .await
}

/// Sorts completed trials by their objective, the best first, and puts all others last.
fn sort_by_objective(trials: &mut [TrialView], goal: Goal) {
    trials.sort_by(|a, b| a.merit(goal).order(&b.merit(goal)));
}

async fn best(args: &Best) -> anyhow::Result<()> {
    let (sweep, origin) = Reader::with(&args.source, async |reader| {
        Ok((reader.client.sweep(&args.sweep).await?, reader.origin()))
    })
    .await?;
    let (state, _) = show::sweep::state(&sweep, origin);
    let Some(best) = &sweep.best else {
        return Err(no_best(&sweep, &args.source.option()).into());
    };
    let mut out = show::stdout();
    if args.json {
        show::best::json(&mut out, &sweep, state, best)?;
    } else if args.toml {
        show::best::toml(&mut out, &sweep, best)?;
    } else {
        show::best::text(&mut out, &sweep, best, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

fn no_best(sweep: &SweepView, option: &str) -> Failure {
    let name = &sweep.name;
    if sweep.state.is_final() {
        Failure::hinted(
            format!("sweep {name} is {} without a completed trial", sweep.state.name()),
            format!("to see how its trials ended: caviar trials {name}{option}"),
        )
    } else {
        Failure::hinted(
            format!("sweep {name} has no completed trial yet"),
            format!("to see its progress: caviar status {name}{option}"),
        )
    }
}

async fn importance(args: &Importance) -> anyhow::Result<()> {
    let (sweep, view) = Reader::with(&args.source, async |reader| {
        let sweep = reader.client.sweep(&args.sweep).await?;
        match reader.client.importance(&args.sweep).await {
            Err(error) if sweep.state.is_final() => Err(without_waiting(&error)),
            view => Ok((sweep, view?)),
        }
    })
    .await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &view)?;
    } else {
        show::importance::text(&mut out, &sweep, &view, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

/// The error without the hint to ask again later, because a sweep that has ended gets no more
/// results.
fn without_waiting(error: &Error) -> anyhow::Error {
    let mut failure = Failure::from(error);
    if let Failure::Hinted { hints, .. } = &mut failure {
        hints.retain(|hint| !hint.starts_with("ask again"));
    }
    failure.into()
}

async fn explain(args: &Explain) -> anyhow::Result<()> {
    let (sweep, trials) = sweep_and_trials(&args.source, &args.sweep).await?;
    let Some(trial) = trials.iter().find(|trial| trial.trial.0 == args.trial) else {
        let message = format!("sweep {} has no trial {}", sweep.name, args.trial);
        let numbers = match trials.last() {
            Some(last) => format!("its trials are numbered from 0 to {}", last.trial),
            None => "it has no trials yet".to_owned(),
        };
        return Err(Failure::hinted(message, numbers).into());
    };
    let explanation = Explanation::new(&sweep, trial, &trials);
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &explanation)?;
    } else {
        explanation.text(&mut out, &sweep, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn export(args: &Export) -> anyhow::Result<()> {
    Reader::with(&args.source, async |reader| write_export(args, reader).await).await
}

async fn write_export(args: &Export, reader: &Reader) -> anyhow::Result<()> {
    let sweep = reader.client.sweep(&args.sweep).await?;
    let mut incoming = reader.client.export_trials(&args.sweep).await?;
    let mut out = show::stdout();
    match args.format() {
        Format::Csv => {
            let mut csv = show::export::Csv::new(&mut out, &sweep)?;
            while let Some(trial) = incoming.next().await? {
                csv.trial(&trial)?;
            }
            csv.finish()?;
        }
        Format::Json => {
            let mut trials: Vec<TrialView> = Vec::new();
            while let Some(trial) = incoming.next().await? {
                trials.push(trial);
            }
            let (state, _) = show::sweep::state(&sweep, reader.origin());
            show::export::json(&mut out, &sweep, state, &trials)?;
        }
    }
    Ok(out.flush()?)
}

async fn resize(args: &Resize) -> anyhow::Result<()> {
    let change = &args.change;
    let (sweep, origin) = Reader::with(&change.source, async |reader| {
        let sweep = reader.client.resize_sweep(&change.sweep, args.parallelism).await?;
        Ok((sweep, reader.origin()))
    })
    .await?;
    let in_flight = show::text::count(sweep.parallelism.into(), "trial");
    let name = &sweep.name;
    talk(&match (origin, sweep.state) {
        (Origin::Coordinator, SweepState::Running) => {
            format!("sweep {name} keeps at most {in_flight} in flight from now on")
        }
        _ => format!("sweep {name} will keep at most {in_flight} in flight when it continues"),
    });
    write_if_json(&object(&sweep, origin)?, change.json)
}

async fn extend(args: &Extend) -> anyhow::Result<()> {
    let (change, request_id) = (&args.change, request_id());
    let (sweep, origin) = Reader::with(&change.source, async |reader| {
        let sweep = reader.client.extend_sweep(&change.sweep, &request_id, args.trials).await?;
        Ok((sweep, reader.origin()))
    })
    .await?;
    let (name, trials) = (&sweep.name, show::text::count(sweep.budget.into(), "trial"));
    let option = change.source.option();
    talk(&match (origin, sweep.state) {
        (Origin::Store, _) => {
            format!(
                "sweep {name} has {trials} now; to continue it: caviar run --resume --name \
                 {name}{option}"
            )
        }
        (Origin::Coordinator, SweepState::Paused) => {
            format!("sweep {name} has {trials} now; to continue it: caviar resume {name}{option}")
        }
        (Origin::Coordinator, _) => format!("sweep {name} has {trials} now"),
    });
    write_if_json(&object(&sweep, origin)?, change.json)
}

async fn delete(args: &Delete) -> anyhow::Result<()> {
    let sweep = Reader::with(&args.source, async |reader| {
        let sweep = reader.client.sweep(&args.sweep).await?;
        reader.client.delete_sweep(&args.sweep).await?;
        Ok(sweep)
    })
    .await?;
    talk(&format!("sweep {} is deleted", sweep.name));
    write_if_json(&sweep, args.json)
}

async fn release(args: &Release) -> anyhow::Result<()> {
    let (sweep, trial) = Reader::with(&args.source, async |reader| {
        let trial = reader.client.release_trial(&args.sweep, TrialNumber(args.trial)).await?;
        Ok((reader.client.sweep(&args.sweep).await?, trial))
    })
    .await?;
    let (number, state, name) = (trial.trial, trial.state.name(), &sweep.name);
    talk(&if trial.state == TrialState::Completed {
        format!("the scoring of trial {number} of sweep {name} is released; it will start again")
    } else {
        format!("trial {number} of sweep {name} is released; it is {state} now")
    });
    write_if_json(&trial, args.json)
}

async fn workers(args: &Workers) -> anyhow::Result<()> {
    let reader = Reader::open_for_workers(&args.source).await?;
    let workers = reader.client.list_workers().await?;
    reader.close().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &workers)?;
    } else {
        show::workers::table(&mut out, &workers, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn drain(args: &Drain) -> anyhow::Result<()> {
    let reader = Reader::open_for_workers(&args.source).await?;
    let worker = reader.client.drain_worker(&args.worker).await?;
    reader.close().await?;
    let held = show::text::count(u64::try_from(worker.trials.len())?, "trial");
    talk(&format!("worker {} finishes {held} and leaves", worker.worker));
    write_if_json(&worker, args.json)
}
