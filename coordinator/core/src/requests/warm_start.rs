//! Warm starts: a sweep that learns from an earlier one keeps a copy of its results, so that later
//! changes of the earlier sweep have no effect.

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::{DataSpec, DataSummary};
use caviar_common::error::Problem;
use caviar_common::ids::Name;
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::numbers::to_u32;
use caviar_common::space::{Domain, Parameter, Space};
use caviar_common::spec::SweepSpec;
use caviar_search::stopping::rungs;
use caviar_search::{TotalF64, each_result};

use crate::Coordinator;
use crate::record::event::{Cost, EarlierResults, EarlierTrials, EarlierWinner};
use crate::record::state::Sweep;

impl Coordinator {
    /// The earlier sweep that `spec` names; `None` if it names none.
    pub(crate) fn earlier_sweep(&self, spec: &SweepSpec) -> Result<Option<&Sweep>, Problem> {
        let Some(name) = &spec.search.warm_start else { return Ok(None) };
        let problem = |message| problem(name, message);
        let earlier = self.record.sweep_named(name).ok_or_else(|| {
            problem(
                "this store has no such sweep: name one that caviar list shows, or leave it out"
                    .to_owned(),
            )
        })?;
        let found = &earlier.spec().objective;
        if spec.objective != *found {
            let (metric, goal) = (found.metric.name(), found.goal.name());
            return Err(problem(format!(
                "that sweep has another objective: write metric = \"{metric}\" and \
                 goal = \"{goal}\" in [objective], or name another sweep"
            )));
        }
        Ok(Some(earlier))
    }

    /// The results of the earlier sweep that `spec` names; empty if it names none.
    pub(super) fn earlier_results(&self, spec: &SweepSpec) -> Result<EarlierResults, Problem> {
        let Some(earlier) = self.earlier_sweep(spec)? else { return Ok(EarlierResults::new()) };
        let results = results_of(earlier, spec);
        if results.iter().all(|(_, cost)| cost.is_none()) {
            return Err(problem(
                &earlier.spec().name,
                "that sweep has no result yet: wait until one of its trials is completed, or name \
                 another sweep"
                    .to_owned(),
            ));
        }
        Ok(results)
    }

    /// The best trial of the earlier sweep that `spec` names, and the costs at its rungs. `None` if
    /// it names none.
    pub(super) fn earlier_trials(
        &self,
        spec: &SweepSpec,
        data: &DataSummary,
    ) -> Option<EarlierTrials> {
        let earlier = self.earlier_sweep(spec).ok().flatten()?;
        let rung_costs = match has_comparable_costs(earlier, spec, data) {
            true => {
                (0..to_u32(earlier.rungs().len())).map(|rung| costs_at(earlier, rung)).collect()
            }
            false => Vec::new(),
        };
        Some(EarlierTrials { winner: winner_of(earlier, spec), rung_costs })
    }
}

/// The best trial of `earlier`, if its hyperparameters are in the space of `later`.
fn winner_of(earlier: &Sweep, later: &SweepSpec) -> Option<EarlierWinner> {
    let best = earlier.best()?;
    let assignment = fitted(&later.space, &in_parameters(earlier, later, best.assignment()));
    // The first one may have been a repetition too.
    let replayed = best.reason().replays.or(earlier.spec().search.replays);
    let is_repeatable = earlier.spec().seed == later.seed && !later.data.is_external();
    let replays = is_repeatable.then(|| replayed.unwrap_or_else(|| best.number()));
    later.space.contains(&assignment).then_some(EarlierWinner { assignment, replays })
}

/// An assignment as a space has it: without the parameters whose conditions do not hold, and with
/// numbers of the kind of their parameters.
fn fitted(space: &Space, assignment: &Assignment) -> Assignment {
    let value = |parameter: &Parameter| {
        let value = assignment.get(&parameter.name)?;
        let fitted = match &parameter.domain {
            Domain::Float { .. } => value.as_f64().map(Value::Float),
            Domain::Int { .. } => value.as_i64().map(Value::Int),
            Domain::Choice { .. } => None,
        };
        Some((parameter.name.clone(), fitted.unwrap_or_else(|| value.clone())))
    };
    let active = space.parameters().iter().filter(|it| space.is_active(it, assignment));
    active.filter_map(value).collect()
}

/// Whether the costs at the rungs of both sweeps mean the same: the objective is the same, and so
/// are the data, their split and the epochs. Of external trials only the epochs are known.
fn has_comparable_costs(earlier: &Sweep, later: &SweepSpec, data: &DataSummary) -> bool {
    let spec = earlier.spec();
    let read = |data: &DataSpec| DataSpec { source: String::new(), ..data.clone() };
    let has_same_epochs = spec.max_epochs() == later.max_epochs()
        && earlier.rungs() == rungs(later.stopping, later.max_epochs());
    let has_same_rows = spec.seed == later.seed
        && earlier.data().digest == data.digest
        && read(&spec.data) == read(&later.data);
    let is_external = spec.data.is_external() && later.data.is_external();
    has_same_epochs && (has_same_rows || is_external)
}

/// The costs at a rung of a sweep, and of the sweep that it learnt from, if those count there too.
fn costs_at(sweep: &Sweep, rung: u32) -> Vec<Cost> {
    let mut costs: Vec<f64> = sweep.earlier_costs_at(rung).chain(sweep.costs_at(rung)).collect();
    costs.sort_unstable_by(f64::total_cmp);
    let last = costs.len().saturating_sub(1);
    let spread = |i| costs.get(i * last / (MAX_EARLIER_RESULTS - 1)).copied();
    match costs.len() > MAX_EARLIER_RESULTS {
        true => (0..MAX_EARLIER_RESULTS).filter_map(spread).map(Cost).collect(),
        false => costs.into_iter().map(Cost).collect(),
    }
}

fn problem(earlier: &Name, message: String) -> Problem {
    Problem::with_value("search.warm_start", format!("{:?}", earlier.as_str()), message)
}

/// An assignment of `earlier` in the parameters of `later`. A parameter that `earlier` did not
/// search has its fixed value.
fn in_parameters(earlier: &Sweep, later: &SweepSpec, assignment: &Assignment) -> Assignment {
    let fixed = &earlier.spec().fixed;
    let names = later.space.parameters().iter().map(|parameter| &parameter.name);
    let value = |name: &String| assignment.get(name).or_else(|| fixed.get(name)).cloned();
    names.filter_map(|name| Some((name.clone(), value(name)?))).collect()
}

/// The final results of `earlier`, in the parameters of `later`.
fn results_of(earlier: &Sweep, later: &SweepSpec) -> EarlierResults {
    let values = |assignment: &Assignment| in_parameters(earlier, later, assignment);
    let results = each_result(earlier.history()).filter(|result| result.is_over());
    let kept = limit(results.map(|result| (result.latest.trial, result.cost)).collect());
    let assignment = |trial| earlier.history().assignment(trial).unwrap_or_default();
    kept.into_iter().map(|(trial, cost)| (values(&assignment(trial)), cost)).collect()
}

/// At most [`MAX_EARLIER_RESULTS`] of the results, which are trials and costs, in their order. The
/// better half of that number is kept for the models. As many are spread evenly over the ranks of
/// the rest, down to the worst, so that the later search knows which regions to avoid.
fn limit(results: Vec<(u32, Option<f64>)>) -> Vec<(u32, Option<f64>)> {
    const HALF: usize = MAX_EARLIER_RESULTS / 2;
    if results.len() <= MAX_EARLIER_RESULTS {
        return results;
    }
    let rest = results.len() - HALF;
    let key =
        |(i, (_, cost)): (usize, &(u32, Option<f64>))| (TotalF64(cost.unwrap_or(f64::INFINITY)), i);
    let mut ranked: Vec<(TotalF64, usize)> = results.iter().enumerate().map(key).collect();
    ranked.sort_unstable();
    let spread = (0..HALF).map(|i| HALF + i * (rest - 1) / (HALF - 1));
    let kept: BTreeSet<usize> =
        (0..HALF).chain(spread).filter_map(|rank| Some(ranked.get(rank)?.1)).collect();
    kept.into_iter().filter_map(|i| results.get(i).copied()).collect()
}
