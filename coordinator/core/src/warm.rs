//! Warm starts: a sweep that learns from an earlier one takes its results along, so that whatever
//! becomes of the earlier one changes nothing.

use std::collections::BTreeSet;

use caviar_common::assignment::Assignment;
use caviar_common::error::Problem;
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::spec::SweepSpec;
use caviar_search::results;

use crate::Coordinator;
use crate::event::EarlierResults;
use crate::state::Sweep;

impl Coordinator {
    /// The results that the spec asks to learn from.
    pub(crate) fn earlier_results(&self, spec: &SweepSpec) -> Result<EarlierResults, Problem> {
        let Some(name) = &spec.search.warm_start else { return Ok(EarlierResults::new()) };
        let wrong = |message: String| {
            Problem::with_value("search.warm_start", format!("{:?}", name.as_str()), message)
        };
        let Some(earlier) = self.durable.sweeps.values().find(|s| &s.spec.name == name) else {
            return Err(wrong(
                "this store has no such sweep: name one that caviar list shows, or leave it out"
                    .to_owned(),
            ));
        };
        let (wanted, found) = (&spec.objective, &earlier.spec.objective);
        if wanted != found {
            let (metric, goal) = (found.metric.name(), found.goal.name());
            let objective = format!("metric = \"{metric}\" and goal = \"{goal}\"");
            return Err(wrong(format!(
                "its objective is another: write {objective} in [objective], or name another sweep"
            )));
        }
        let results = results_of(earlier, spec);
        if results.iter().all(|(_, loss)| loss.is_none()) {
            return Err(wrong("it has no result yet: wait until one of its trials is completed, or name another sweep".to_owned()));
        }
        Ok(results)
    }
}

/// What is over of `earlier`, in the parameters of `later`: those that were not searched had their
/// fixed values.
fn results_of(earlier: &Sweep, later: &SweepSpec) -> EarlierResults {
    let over = results(&earlier.log).into_iter().filter(|result| result.is_over());
    let values = |assignment: &Assignment| -> Assignment {
        let names = later.space.parameters().iter().map(|p| &p.name);
        let value =
            |name: &String| assignment.get(name).or_else(|| earlier.spec.fixed.get(name)).cloned();
        names.filter_map(|name| Some((name.clone(), value(name)?))).collect()
    };
    some_of(over.map(|result| (values(&result.latest.assignment), result.cost)).collect())
}

/// Of more than [`MAX_EARLIER_RESULTS`] results the best half of so many, of which models are made, and as
/// many that lie evenly among the ranks of the others, down to the worst, so that the later search
/// knows where not to look.
fn some_of(results: EarlierResults) -> EarlierResults {
    let Some(others) = results
        .len()
        .checked_sub(MAX_EARLIER_RESULTS / 2)
        .filter(|_| results.len() > MAX_EARLIER_RESULTS)
    else {
        return results;
    };
    let mut ranked: Vec<usize> = (0..results.len()).collect();
    let loss = |i: &usize| results.get(*i).and_then(|(_, loss)| *loss).unwrap_or(f64::INFINITY);
    ranked.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    let spread = (0..MAX_EARLIER_RESULTS / 2)
        .map(|i| MAX_EARLIER_RESULTS / 2 + i * (others - 1) / (MAX_EARLIER_RESULTS / 2 - 1));
    let taken: BTreeSet<usize> = (0..MAX_EARLIER_RESULTS / 2)
        .chain(spread)
        .filter_map(|rank| ranked.get(rank).copied())
        .collect();
    let all = results.into_iter().enumerate();
    all.filter(|(i, _)| taken.contains(i)).map(|(_, result)| result).collect()
}
