//! The commands that ask a coordinator, or a store through a coordinator of their own.

use std::io::Write;

use caviar_common::outcome::TrialState;
use caviar_common::view::{SweepView, TrialView};
use serde::Serialize;

use crate::args::{
    Best, Command, Connection, Drain, Explain, Export, Format, Importance, List, Sort, Status,
    Submit, Trials, Watch, Workers,
};
use crate::client::Client;
use crate::embedded::Reader;
use crate::failure::Failure;
use crate::follow::follow;
use crate::progress::talk;
use crate::run;
use crate::show;
use crate::show::explain::Explanation;
use crate::show::page::Page;
use crate::show::sweep::{Origin, View};
use crate::sweep_file::{Checked, DataIs};

/// Carries out a command.
pub(crate) async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(&args).await,
        Command::Submit(args) => submit(&args).await,
        Command::List(args) => list(&args).await,
        Command::Status(args) if args.watch => {
            watch(&args.sweep, args.json, &args.source.connection).await
        }
        Command::Status(args) => status(&args).await,
        Command::Watch(Watch { sweep, json, connection }) => watch(&sweep, json, &connection).await,
        Command::Trials(args) => trials(&args).await,
        Command::Best(args) => best(&args).await,
        Command::Importance(args) => importance(&args).await,
        Command::Explain(args) => explain(&args).await,
        Command::Export(args) => export(&args).await,
        Command::Pause(args) => {
            tell(&connect(&args.connection).await?.pause(&args.sweep).await?, args.json)
        }
        Command::Resume(args) => {
            tell(&connect(&args.connection).await?.resume(&args.sweep).await?, args.json)
        }
        Command::Cancel(args) => {
            tell(&connect(&args.connection).await?.cancel(&args.sweep).await?, args.json)
        }
        Command::Delete(args) => {
            connect(&args.connection).await?.delete(&args.sweep).await?;
            talk(&format!("sweep {} is deleted", args.sweep));
            Ok(())
        }
        Command::Workers(args) => workers(&args).await,
        Command::Drain(args) => drain(&args).await,
    }
}

async fn connect(connection: &Connection) -> anyhow::Result<Client> {
    Client::connect(&connection.coordinator).await
}

/// Says what became of a sweep, and gives it to a program that asks for it.
fn tell(sweep: &SweepView, json: bool) -> anyhow::Result<()> {
    talk(&format!("sweep {} is {}", sweep.name, sweep.state.name()));
    object(sweep, json)
}

fn object(value: &impl Serialize, json: bool) -> anyhow::Result<()> {
    if json {
        let mut out = show::stdout();
        show::json(&mut out, value)?;
        out.flush()?;
    }
    Ok(())
}

async fn submit(args: &Submit) -> anyhow::Result<()> {
    let checked = Checked::read(&args.file, args.name.as_ref(), DataIs::Elsewhere)?;
    let mut client = connect(&args.connection).await?;
    let sweep = checked.create(&mut client, &["to begin another: --name NAME".to_owned()]).await?;
    tell(&sweep, args.json)?;
    talk(&format!("hint: caviar status {} --watch", sweep.name));
    Ok(())
}

async fn list(args: &List) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweeps: Vec<SweepView> =
        reader.client.list().await?.into_iter().map(|sweep| reader.seen(sweep)).collect();
    let origin = reader.origin();
    reader.close().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &sweeps)?;
    } else {
        show::sweeps::list(&mut out, &sweeps, View::on_stdout(origin))?;
    }
    Ok(out.flush()?)
}

async fn status(args: &Status) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    let (sweep, origin) = (reader.seen(sweep), reader.origin());
    let running = if args.json { Vec::new() } else { reader.client.running(&args.sweep).await? };
    reader.close().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &sweep)?;
    } else {
        show::sweep::status(&mut out, &sweep, &running, View::on_stdout(origin))?;
    }
    Ok(out.flush()?)
}

async fn watch(sweep: &str, json: bool, connection: &Connection) -> anyhow::Result<()> {
    let mut client = connect(connection).await?;
    let mut out = show::stdout();
    if json {
        let mut changes = client.watch(sweep).await?;
        while let Some(view) = changes.next().await? {
            show::json_line(&mut out, &view)?;
        }
        return Ok(());
    }
    let last = follow(&mut client, sweep, None).await?;
    show::sweep::status(&mut out, &last, &[], View::on_stdout(Origin::Coordinator))?;
    Ok(out.flush()?)
}

async fn trials(args: &Trials) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    let mut trials = reader.client.trials(&args.sweep, &[]).await?;
    reader.close().await?;
    if args.sort == Sort::Objective {
        // Not as pages in that order, in which trials that end meanwhile move from page to page.
        let goal = sweep.spec.objective.goal;
        let value = |t: &TrialView| {
            t.objective.filter(|v| v.is_finite() && t.state == TrialState::Completed)
        };
        let loss = |t: &TrialView| value(t).map_or(f64::INFINITY, |v| goal.as_cost(v));
        trials.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
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

async fn best(args: &Best) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    reader.close().await?;
    let Some(best) = &sweep.best else {
        return Err(no_best(&sweep).into());
    };
    let mut out = show::stdout();
    if args.json {
        show::best::json(&mut out, &sweep, best)?;
    } else if args.toml {
        show::best::toml(&mut out, &sweep, best)?;
    } else {
        show::best::text(&mut out, &sweep, best, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

fn no_best(sweep: &SweepView) -> Failure {
    let name = &sweep.name;
    if sweep.state.is_final() {
        Failure::hinted(
            format!("no trial of {name} was completed, and it is {}", sweep.state.name()),
            format!("caviar trials {name} shows what became of them"),
        )
    } else {
        Failure::hinted(
            format!("no trial of {name} is completed yet"),
            format!("caviar status {name} shows how it is going"),
        )
    }
}

async fn importance(args: &Importance) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    let view = reader.client.importance(&args.sweep).await?;
    reader.close().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &view)?;
    } else {
        show::importance::text(&mut out, &sweep, &view, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn explain(args: &Explain) -> anyhow::Result<()> {
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    let trials = reader.client.trials(&args.sweep, &[]).await?;
    reader.close().await?;
    let Some(trial) = trials.iter().find(|t| t.trial.0 == args.trial) else {
        let message = format!("sweep {} has no trial {}", sweep.name, args.trial);
        let numbers = match trials.last() {
            Some(last) => format!("its trials so far are 0 to {}", last.trial),
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
    let mut reader = Reader::open(&args.source).await?;
    let sweep = reader.client.sweep(&args.sweep).await?;
    let mut incoming = reader.client.export(&args.sweep).await?;
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
            show::export::json(&mut out, &sweep, &trials)?;
        }
    }
    drop(incoming);
    out.flush()?;
    reader.close().await
}

async fn workers(args: &Workers) -> anyhow::Result<()> {
    let workers = connect(&args.connection).await?.workers().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &workers)?;
    } else {
        show::workers::table(&mut out, &workers, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn drain(args: &Drain) -> anyhow::Result<()> {
    let worker = connect(&args.connection).await?.drain(&args.worker).await?;
    let held = show::text::count(u64::try_from(worker.trials.len())?, "trial");
    talk(&format!("worker {} finishes {held} and leaves", worker.worker));
    object(&worker, args.json)
}
