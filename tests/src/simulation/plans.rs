//! Changes by a person at a place of a sweep's record, so that runs with other workers and faults
//! have the same ones.

use caviar_common::ids::{Name, SweepId};
use caviar_core::input::{Decided, Input};

use super::Simulation;
use super::faults::Source;

/// A change of a sweep.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Another number of trials in flight.
    Resize(u32),
    /// More trials.
    Extend(u32),
}

/// A change at a place of a sweep's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    sweep: SweepId,
    /// How many rungs and ends are decided before.
    decisions: usize,
    change: Change,
}

impl Simulation {
    /// Changes the sweep once this many rungs and ends of it are decided.
    pub fn plan(&mut self, sweep: SweepId, decisions: usize, change: Change) {
        self.plans.push(Plan { sweep, decisions, change });
    }

    /// Takes some of the possible decisions, and the changes that are planned among them.
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
                let Plan { sweep, decisions, change } = self.plans.remove(due);
                let input = match change {
                    Change::Resize(parallelism) => Input::ResizeSweep(sweep, parallelism),
                    Change::Extend(added) => {
                        let text = format!("extend-{sweep}-{decisions}");
                        let request_id = Name::parse("name", &text).expect("it is a name");
                        Input::ExtendSweep { sweep, request_id, added }
                    }
                };
                let step = self.core.hear(self.now, input).expect("no invariant is broken");
                step.reply.expect("the sweep can be changed");
                all.events.extend(step.events);
                all.effects.extend(step.effects);
            } else if decided.is_all || self.streams.of(Source::Decisions).below(4) == 0 {
                return all;
            }
        }
    }
}
