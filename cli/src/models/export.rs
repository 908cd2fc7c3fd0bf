//! `caviar model`: the model of a sweep as a folder.

use std::io::Write;
use std::path::PathBuf;

use caviar_client::Client;
use caviar_common::data::Task;
use caviar_common::numbers::to_u64;
use caviar_common::outcome::SweepState;
use caviar_common::view::{ModelView, SweepView};
use caviar_metrics::Report;
use caviar_model::{About, Kept, Member};

use super::figures;
use super::folder::{Contents, write};
use super::selection::Selected;
use crate::args::models::ModelArguments;
use crate::blobs::download;
use crate::embedded::Reader;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::sweep_toml;
use crate::show::text;

/// Writes the folder of a model and shows how good the model is.
pub(crate) async fn model(args: &ModelArguments) -> anyhow::Result<()> {
    let (sweep, kept) = Reader::with(&args.source, async |reader| {
        let sweep = reader.client.sweep(&args.sweep).await?;
        let mut kept = Vec::new();
        for wanted in wanted(&sweep, args)? {
            kept.push(fetch(&reader.client, wanted).await?);
        }
        Ok((sweep, kept))
    })
    .await?;
    if !matches!(sweep.state, SweepState::Completed | SweepState::Cancelled) {
        talk(&format!("note: {} is not completed: a better model may follow", sweep.name));
    }
    if args.calibrate && kept.iter().any(|kept| !can_be_calibrated(kept)) {
        let hint = "only models of classes can be, if their validation split is not too large";
        return Err(Failure::hinted("the model cannot be calibrated", hint).in_input().into());
    }
    let singles = kept.iter().map(|kept| prepared(Selected::single(kept), args));
    let singles = singles.collect::<anyhow::Result<Vec<_>>>()?;
    let chosen = if args.ensemble { Some(Selected::ensemble(&singles)?) } else { None };
    let best = singles.first().ok_or_else(|| none_kept(&sweep))?;
    let selected = chosen.as_ref().unwrap_or(best);
    let reports = selected.reports();
    let folder =
        args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}-model", sweep.name)));
    let contents = Contents {
        model: &selected.model,
        formats: &args.format,
        folds: args.fold_batch_norm,
        reports: &reports,
        sweep: sweep_toml::text(&sweep.spec),
    };
    let files = write(&folder, &contents)?;
    let mut out = show::stdout();
    let page = Page::of_stdout();
    let headline = format!("{}: {}", folder.display(), files.join(", "));
    page.write(&mut out, Tone::Strong, 2, &headline)?;
    page.write(&mut out, Tone::Plain, 2, &described(selected))?;
    let alone = if chosen.is_some() { best.reports() } else { Vec::new() };
    show_figures(&mut out, &reports, &alone, page)?;
    Ok(out.flush()?)
}

fn can_be_calibrated(kept: &Kept) -> bool {
    kept.model.schema().task() == Task::Classification && kept.validation.is_some()
}

fn prepared(selected: Selected, args: &ModelArguments) -> anyhow::Result<Selected> {
    if args.calibrate { selected.calibrated() } else { Ok(selected) }
}

/// The models that are needed, the best first.
fn wanted(sweep: &SweepView, args: &ModelArguments) -> anyhow::Result<Vec<ModelView>> {
    let models = &sweep.models;
    let first = models.first().ok_or_else(|| none_kept(sweep))?;
    let Some(trial) = args.trial else {
        return Ok(if args.ensemble { models.clone() } else { vec![*first] });
    };
    let found = models.iter().find(|model| model.trial.0 == trial);
    let found = found.ok_or_else(|| {
        let kept: Vec<String> = models.iter().map(|model| model.trial.to_string()).collect();
        let hint = format!(
            "the sweep keeps the models of the trials {}; [keep] models in the sweep file says how \
             many",
            kept.join(", ")
        );
        Failure::hinted(format!("the model of trial {trial} is not kept"), hint).in_input()
    })?;
    Ok(vec![*found])
}

fn none_kept(sweep: &SweepView) -> Failure {
    let name = &sweep.name;
    let hint = if sweep.spec.data.is_external() {
        "external programs keep their models themselves"
    } else if sweep.spec.keep.models == 0 {
        "its file has [keep] models = 0, or it is of an earlier release: run it again"
    } else {
        "models are there as soon as a trial is completed and no rung can stop it any more"
    };
    Failure::hinted(format!("{name} has no model"), hint)
}

/// Downloads a model and checks it.
async fn fetch(client: &Client, model: ModelView) -> anyhow::Result<Kept> {
    let bytes = download(client, model.blob).await?;
    Ok(Kept::from_bytes(&bytes).map_err(|error| {
        Failure::from_text(&format!("the model of trial {}: {error}", model.trial))
    })?)
}

/// What the model is: a trial, or the members of an ensemble.
fn described(selected: &Selected) -> String {
    let members = selected.model.members();
    let parameters: usize = members.iter().map(Member::parameters).sum();
    let size = text::count(to_u64(parameters), "parameter");
    match members {
        [only] => {
            let About { trial, epoch, .. } = only.about;
            format!("the model of trial {trial} after epoch {epoch}, {size}")
        }
        several => {
            let share = |member: &Member| {
                format!("{} ({:.0} %)", member.about.trial, 100.0 * member.weight)
            };
            let trials = several.iter().map(share).collect::<Vec<_>>().join(", ");
            format!(
                "an average of the models of the trials {trials}, {size}; a prediction takes the \
                 work of {} networks",
                several.len()
            )
        }
    }
}

/// Shows the measures on each split. Those of an ensemble are next to those of the best model.
fn show_figures(
    out: &mut impl Write,
    reports: &[(String, Report)],
    alone: &[(String, Report)],
    page: Page,
) -> std::io::Result<()> {
    if alone.is_empty() {
        let columns = reports.iter().map(|(split, report)| (split.as_str(), report));
        writeln!(out)?;
        return figures::table(&columns.collect::<Vec<_>>()).write(out, page);
    }
    for ((split, ensemble), (_, alone)) in reports.iter().zip(alone) {
        writeln!(out)?;
        page.write(out, Tone::Plain, 2, &format!("{split} split"))?;
        figures::table(&[("ensemble", ensemble), ("best alone", alone)]).write(out, page)?;
    }
    Ok(())
}
