//! Resizes at a place of a sweep's record, so that runs with other workers and faults have the same
//! one.

use caviar_common::ids::SweepId;
use caviar_core::input::{Decided, Input};

use super::Simulation;
use super::faults::Source;

/// A change of the number of trials in flight at a place of a sweep's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    sweep: SweepId,
    /// How many rungs and ends are decided before.
    decisions: usize,
    parallelism: u32,
}

impl Simulation {
    /// Resizes the sweep to `parallelism` trials in flight once so many rungs and ends of it are
    /// decided.
    pub fn plan_resize(&mut self, sweep: SweepId, decisions: usize, parallelism: u32) {
        self.plans.push(Plan { sweep, decisions, parallelism });
    }

    /// Takes some of the possible decisions, and the resizes that are planned among them.
    pub(super) fn decide(&mut self) -> Decided {
        let chance = self.streams.of(Source::Decisions);
        if self.plans.is_empty() {
            let decided = self.core.decide(&mut || chance.below(4) > 0);
            return decided.expect("no invariant is broken");
        }
        let mut all =
            Decided { events: Vec::new(), effects: Vec::new(), jobs: Vec::new(), is_all: false };
        loop {
            let decided = self.core.decide(&mut || false).expect("no invariant is broken");
            all.events.extend(decided.events);
            all.effects.extend(decided.effects);
            all.jobs.extend(decided.jobs);
            let record = self.core.record();
            let decisions = |plan: &Plan| record.sweep(plan.sweep).map(|it| it.history().len());
            let due = self.plans.iter().position(|plan| decisions(plan) == Some(plan.decisions));
            if let Some(due) = due {
                let Plan { sweep, parallelism, .. } = self.plans.remove(due);
                let input = Input::ResizeSweep(sweep, parallelism);
                let step = self.core.hear(self.now, input).expect("no invariant is broken");
                step.reply.expect("the sweep can be resized");
                all.events.extend(step.events);
                all.effects.extend(step.effects);
            } else if decided.is_all || self.streams.of(Source::Decisions).below(4) == 0 {
                return all;
            }
        }
    }
}
