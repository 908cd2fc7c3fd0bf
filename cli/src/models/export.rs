//! `caviar model`: the model of a sweep as a folder.

use std::io::Write;
use std::path::PathBuf;

use caviar_client::Client;
use caviar_client::caviar_blob::{Blob, Intake};
use caviar_common::numbers::to_u64;
use caviar_common::outcome::SweepState;
use caviar_common::view::{ModelView, SweepView};
use caviar_metrics::Report;
use caviar_model::Kept;

use super::figures;
use super::folder::{Contents, write};
use super::selection::Selected;
use crate::args::models::ModelArguments;
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
    writeln!(out)?;
    let single_reports = if chosen.is_some() { best.reports() } else { Vec::new() };
    figures::table(&columns(&reports, &single_reports)).write(&mut out, page)?;
    Ok(out.flush()?)
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

async fn download(client: &Client, blob: Blob) -> anyhow::Result<Vec<u8>> {
    let artifacts = client.artifacts();
    let mut download = artifacts.download(blob, 0).await?;
    let mut intake = Intake::new(download.outline().clone(), Vec::new());
    while let Some((offset, chunk)) = download.next().await? {
        intake.push(offset, &chunk)?;
    }
    Ok(intake.finish()?)
}

/// What the model is: a trial, or the members of an ensemble.
fn described(selected: &Selected) -> String {
    let members = selected.model.members();
    let parameters: usize = members.iter().map(caviar_model::Member::parameters).sum();
    let size = text::count(to_u64(parameters), "parameter");
    match members {
        [only] => {
            format!(
                "the model of trial {} after epoch {}, {size}",
                only.about.trial, only.about.epoch
            )
        }
        several => {
            let trials = several
                .iter()
                .map(|member| format!("{} ({:.0} %)", member.about.trial, 100.0 * member.weight));
            let trials = trials.collect::<Vec<_>>().join(", ");
            format!(
                "an average of the trials {trials}, {size}: as many times the work of one model"
            )
        }
    }
}

/// The reports of the written model, and of the best single one if it is another.
fn columns<'a>(
    reports: &'a [(String, Report)],
    single: &'a [(String, Report)],
) -> Vec<(&'a str, &'a Report)> {
    let mut columns: Vec<_> =
        reports.iter().map(|(name, report)| (name.as_str(), report)).collect();
    columns.extend(single.iter().map(|(name, report)| {
        (if name == "test" { "best alone, test" } else { "best alone, validation" }, report)
    }));
    columns
}
