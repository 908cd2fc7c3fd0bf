//! `caviar model`: the model of a sweep as a folder.

use std::io::Write;

use caviar_client::Client;
use caviar_common::data::{NoteLevel, Task};
use caviar_common::numbers::to_u64;
use caviar_common::outcome::SweepState;
use caviar_common::view::{ModelView, SweepView};
use caviar_metrics::Report;
use caviar_model::{About, Kept, Member, Model};

use super::figures;
use super::folder::{Contents, write};
use super::selection::Selected;
use crate::args::models::{Choice, ModelArguments};
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
    let (sweep, kept) =
        Reader::with(&args.source, async |reader| chosen(&reader.client, &args.choice).await)
            .await?;
    if args.calibrate && kept.iter().any(|kept| !can_be_calibrated(kept)) {
        let hint = "only a single network for classes can be, if its validation split is not too \
                    large";
        return Err(Failure::hinted("the model cannot be calibrated", hint).in_input().into());
    }
    let singles = kept.iter().map(|kept| prepared(Selected::single(kept), args));
    let singles = singles.collect::<anyhow::Result<Vec<_>>>()?;
    let chosen = if args.choice.ensemble { Some(Selected::ensemble(&singles)?) } else { None };
    let best = singles.first().ok_or_else(|| none_kept(&sweep))?;
    let selected = chosen.as_ref().unwrap_or(best);
    let reports = selected.reports();
    let contents = Contents {
        model: &selected.model,
        arguments: &args.folder,
        reports: &reports,
        is_refit: false,
        sweep: sweep_toml::text(&sweep.spec),
        warnings: warnings(&sweep),
    };
    let written = write(&format!("{}-model", sweep.name), &contents)?;
    let mut out = show::stdout();
    let page = Page::of_stdout();
    page.write(&mut out, Tone::Strong, 2, &written)?;
    page.write(&mut out, Tone::Plain, 2, &described(&selected.model))?;
    let alone = if chosen.is_some() { best.reports() } else { Vec::new() };
    contents.warnings.iter().for_each(|warning| talk(&format!("warning: {warning}")));
    show_figures(&mut out, &reports, &alone, page)?;
    Ok(out.flush()?)
}

/// The sweep, and the models that are needed, the best first.
pub(super) async fn chosen(
    client: &Client,
    choice: &Choice,
) -> anyhow::Result<(SweepView, Vec<Kept>)> {
    let sweep = client.sweep(&choice.sweep).await?;
    let mut kept = Vec::new();
    for wanted in wanted(&sweep, choice)? {
        kept.push(fetch(client, wanted).await?);
    }
    if !matches!(sweep.state, SweepState::Completed | SweepState::Cancelled) {
        talk(&format!("note: {} is not completed: a better model may follow", sweep.name));
    }
    Ok((sweep, kept))
}

/// What can mislead in the data of the sweep.
pub(super) fn warnings(sweep: &SweepView) -> Vec<String> {
    let warnings = sweep.data.notes.iter().filter(|note| note.level == NoteLevel::Warning);
    warnings.map(|note| note.text.clone()).collect()
}

fn can_be_calibrated(kept: &Kept) -> bool {
    let is_of_classes = kept.model.schema().task() == Task::Classification;
    is_of_classes && kept.validation.is_some() && !kept.model.is_ensemble()
}

fn prepared(selected: Selected, args: &ModelArguments) -> anyhow::Result<Selected> {
    if args.calibrate { selected.calibrated() } else { Ok(selected) }
}

/// The models that are needed, the best first.
fn wanted(sweep: &SweepView, choice: &Choice) -> anyhow::Result<Vec<ModelView>> {
    let models = &sweep.models;
    let first = models.first().ok_or_else(|| none_kept(sweep))?;
    let Some(trial) = choice.trial else {
        return Ok(if choice.ensemble { models.clone() } else { vec![*first] });
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

pub(super) fn none_kept(sweep: &SweepView) -> Failure {
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
pub(super) fn described(model: &Model) -> String {
    let members = model.members();
    let parameters: usize = members.iter().map(Member::parameters).sum();
    let size = text::count(to_u64(parameters), "parameter");
    match members {
        [only] => {
            let About { trial, epoch, .. } = only.about;
            format!("the model of trial {trial} after epoch {epoch}, {size}")
        }
        several => {
            let networks = several.len();
            let work = format!("a prediction takes the work of {networks} networks");
            match shares(several).as_slice() {
                [(trial, _)] => {
                    let epoch = several.first().map_or(0, |member| member.about.epoch);
                    format!(
                        "the model of trial {trial} after epoch {epoch}, the average of its \
                         trainings, {size}; {work}"
                    )
                }
                shares => {
                    let share =
                        |(trial, share): &(u32, f64)| format!("{trial} ({:.0} %)", 100.0 * share);
                    let trials = shares.iter().map(share).collect::<Vec<_>>().join(", ");
                    format!("an average of the models of the trials {trials}, {size}; {work}")
                }
            }
        }
    }
}

/// The trials of an ensemble in its order, each with the weight of all its networks.
fn shares(members: &[Member]) -> Vec<(u32, f64)> {
    let mut shares: Vec<(u32, f64)> = Vec::new();
    for Member { weight, about, .. } in members {
        match shares.iter_mut().find(|(trial, _)| *trial == about.trial) {
            Some((_, share)) => *share += weight,
            None => shares.push((about.trial, *weight)),
        }
    }
    shares
}

/// Shows the measures on each split. Those of an ensemble are next to those of the best model.
pub(super) fn show_figures(
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
