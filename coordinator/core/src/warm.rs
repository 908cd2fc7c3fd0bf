//! Warm starts: a sweep that learns from an earlier one takes its results along, so that whatever becomes of the earlier one changes nothing.

use caviar_common::assignment::Assignment;
use caviar_common::error::Problem;
use caviar_common::spec::SweepSpec;
use caviar_search::results;

use crate::Coordinator;
use crate::event::EarlierResults;
use crate::state::Sweep;

impl Coordinator {
    /// The results that the spec asks to learn from.
    pub(crate) fn earlier_results(&self, spec: &SweepSpec) -> Result<EarlierResults, Problem> {
        let Some(name) = &spec.search.warm_start else { return Ok(EarlierResults::new()) };
        let wrong = |message: String| Problem::with_value("search.warm_start", format!("{:?}", name.as_str()), message);
        let Some(earlier) = self.durable.sweeps.values().find(|s| &s.spec.name == name) else {
            return Err(wrong("this store has no such sweep: name one that caviar list shows, or leave it out".to_owned()));
        };
        let (wanted, found) = (&spec.objective, &earlier.spec.objective);
        if wanted != found {
            let (metric, goal) = (found.metric.name(), found.goal.name());
            let objective = format!("metric = \"{metric}\" and goal = \"{goal}\"");
            return Err(wrong(format!("its objective is another: write {objective} in [objective], or name another sweep")));
        }
        let results = results_of(earlier, spec);
        if results.iter().all(|(_, loss)| loss.is_none()) {
            return Err(wrong("it has no result yet: wait until one of its trials is completed, or name another sweep".to_owned()));
        }
        Ok(results)
    }
}

/// What is over of `earlier`, in the parameters of `later`: those that were not searched had their fixed values.
fn results_of(earlier: &Sweep, later: &SweepSpec) -> EarlierResults {
    let over = results(&earlier.log).into_iter().filter(|result| result.is_over());
    let values = |assignment: &Assignment| -> Assignment {
        let names = later.space.parameters().iter().map(|p| &p.name);
        let value = |name: &String| assignment.get(name).or_else(|| earlier.spec.fixed.get(name)).cloned();
        names.filter_map(|name| Some((name.clone(), value(name)?))).collect()
    };
    over.map(|result| (values(&result.latest.assignment), result.loss)).collect()
}
