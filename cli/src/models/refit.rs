//! `caviar refit`: the model of a sweep, trained again on all rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{available_parallelism, scope};

use caviar_common::hyper::train_spec;
use caviar_common::ids::TrialNumber;
use caviar_common::numbers::real;
use caviar_common::train::TrainSpec;
use caviar_common::view::SweepView;
use caviar_data::{Splits, whole};
use caviar_model::{About, Member, Model};
use caviar_nn::refit as train;

use super::export::{chosen, described, none_kept, show_figures, warnings};
use super::folder::{Contents, check_free, write};
use super::selection::Selected;
use crate::args::models::RefitArguments;
use crate::embedded::Reader;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::{sweep_toml, text};
use crate::split::dataset;

const NO_SCHEMA: &str = "the data has no schema, which is a bug in Caviar";

/// One network of the model, before it is trained again.
struct Planned {
    spec: TrainSpec,
    /// How many epochs it is trained: as many as it was before.
    epochs: u32,
    trial: u64,
    /// Its number among the networks of the trial.
    part: u32,
    weight: f64,
}

/// Trains the networks of a model on all rows and writes the folder.
pub(crate) async fn refit(args: &RefitArguments) -> anyhow::Result<()> {
    let (sweep, selected, planned, dataset) = Reader::with(&args.source, async |reader| {
        let (sweep, kept) = chosen(&reader.client, &args.choice).await?;
        check_free(&args.folder.folder(&folder_name(&sweep)))?;
        let singles: Vec<Selected> = kept.iter().map(Selected::single).collect();
        let selected = if args.choice.ensemble {
            Selected::ensemble(&singles)?
        } else {
            singles.into_iter().next().ok_or_else(|| none_kept(&sweep))?
        };
        let mut planned = Vec::new();
        for (trial, (weight, epochs)) in by_trial(&selected.model) {
            let view = reader.client.trial(&args.choice.sweep, TrialNumber(trial)).await?;
            let spec = train_spec(&sweep.spec.fixed, &view.assignment)
                .map_err(|problem| Failure::from_text(&problem.to_string()))?;
            // What its random numbers are derived from.
            let replayed = view.reason.replays.or(sweep.spec.search.replays);
            let trial = u64::from(replayed.map_or(trial, |replayed| replayed.0));
            let repeats = sweep.spec.objective.repeats;
            let weight = weight / f64::from(repeats);
            let part = |part| Planned { spec: spec.clone(), epochs, trial, part, weight };
            planned.extend((0..repeats).map(part));
        }
        let dataset = dataset(&reader.client, &sweep).await?;
        Ok((sweep, selected, planned, dataset))
    })
    .await?;
    let data = Arc::new(whole(&dataset, &sweep.spec.data, sweep.spec.seed)?);
    let rows = text::count(u64::try_from(data.train.targets.len())?, "row");
    let networks = text::count(u64::try_from(planned.len())?, "network");
    talk(&format!("training {networks} on all {rows}"));
    let members = train_all(&planned, &data, &sweep)?;
    let schema = data.schema.as_deref().ok_or_else(|| Failure::from_text(NO_SCHEMA))?;
    let model = Model::new(schema.clone(), members)?;
    let reports = selected.reports();
    let contents = Contents {
        model: &model,
        arguments: &args.folder,
        reports: &reports,
        is_refit: true,
        sweep: sweep_toml::text(&sweep.spec),
        warnings: warnings(&sweep),
    };
    let written = write(&folder_name(&sweep), &contents)?;
    let mut out = show::stdout();
    let page = Page::of_stdout();
    page.write(&mut out, Tone::Strong, 2, &written)?;
    page.write(&mut out, Tone::Plain, 2, &described(&model))?;
    page.write(&mut out, Tone::Plain, 2, "before, trained without the rows that measure it:")?;
    contents.warnings.iter().for_each(|warning| talk(&format!("warning: {warning}")));
    show_figures(&mut out, &reports, &[], page)?;
    Ok(std::io::Write::flush(&mut out)?)
}

fn folder_name(sweep: &SweepView) -> String {
    format!("{}-refit", sweep.name)
}

/// The weight and the epochs of each trial of a model. A trial with folds or repeats has several
/// networks, all of the same epoch.
fn by_trial(model: &Model) -> BTreeMap<u32, (f64, u32)> {
    let mut trials = BTreeMap::new();
    for Member { weight, about: About { trial, epoch, .. }, .. } in model.members() {
        trials.entry(*trial).or_insert((0.0, *epoch)).0 += weight;
    }
    trials
}

/// Trains the networks on all cores. The result does not depend on how many there are.
fn train_all(
    planned: &[Planned],
    data: &Arc<Splits>,
    sweep: &SweepView,
) -> anyhow::Result<Vec<Member>> {
    let next = AtomicUsize::new(0);
    let trained = Mutex::new(BTreeMap::new());
    let threads = available_parallelism().map_or(1, usize::from).min(planned.len());
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(plan) = planned.get(number) else { break };
                    let data = (Arc::clone(data), sweep.data.digest.as_str());
                    let seeds = (sweep.spec.seed, plan.trial, plan.part);
                    let member = train(&plan.spec, data, seeds, plan.epochs, sweep.name.as_str());
                    let member = member.map(|member| Member { weight: plan.weight, ..member });
                    trained.lock().unwrap_or_else(PoisonError::into_inner).insert(number, member);
                }
            });
        }
    });
    let trained = trained.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut members = trained.into_values().collect::<Result<Vec<_>, _>>()?;
    // Rounding must not take the sum away from 1.
    let sum: f64 = members.iter().map(|member| member.weight).sum();
    let count = real(members.len());
    let is_off = (sum - 1.0).abs() > f64::EPSILON * count;
    members.iter_mut().filter(|_| is_off).for_each(|member| member.weight /= sum);
    Ok(members)
}
