//! The tables of trials that people and queries read, in memory.
//!
//! The state machine keeps little of a trial that is not in flight any more. What it was is in the
//! rows that [`take_rows`](crate::Coordinator::take_rows) returns, and its curve in the events. A
//! store writes both into tables. [`Tables`] does the same in memory, for tests, for simulations,
//! and as the specification of what a store shows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::numbers::index;
use caviar_common::outcome::TrialState;
use caviar_common::spec::Goal;
use caviar_common::view::TrialView;

use crate::curve::CurveChange;
use crate::event::{Event, Payload};
use crate::input::Rows;

/// The order of a list of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialOrder {
    /// By trial number, ascending.
    #[default]
    Number,
    /// Best first: by objective, then by the validation loss of the epoch that counts, then by
    /// number. Trials without a value are last. A trial that is not completed has none.
    Objective,
}

/// Which trials to list.
#[derive(Clone, Debug, Default)]
pub struct TrialFilter {
    /// Only trials in these states; empty for all states.
    pub states: Vec<TrialState>,
    /// The order of the list.
    pub order: TrialOrder,
    /// Only the trials after this one, in `order`; `None` begins with the first.
    pub after: Option<TrialNumber>,
    /// At most this many trials.
    pub limit: usize,
    /// True if each view includes the trial's curve.
    pub with_curves: bool,
}

/// The rows of all trials, with their curves.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    sweeps: BTreeMap<SweepId, Table>,
}

#[derive(Clone, Debug)]
struct Table {
    goal: Goal,
    trials: BTreeMap<TrialNumber, TrialView>,
}

impl Tables {
    /// Adds the events of one or more steps, and the rows after them.
    pub fn update(&mut self, events: &[Event], rows: Rows) {
        for event in events {
            self.take_event(event);
        }
        for (sweep, view) in rows.trials {
            if let Some(table) = self.sweeps.get_mut(&sweep) {
                let curve =
                    table.trials.get_mut(&view.trial).map(|row| std::mem::take(&mut row.curve));
                let curve = curve.unwrap_or_default();
                table.trials.insert(view.trial, TrialView { curve, ..view });
            }
        }
        // The curve may have been recorded before the row existed.
        for event in events {
            self.take_points(event);
        }
    }

    fn take_event(&mut self, event: &Event) {
        if let Payload::SweepCreated(created) = &event.payload {
            let goal = created.spec.objective.goal;
            self.sweeps.insert(event.sweep, Table { goal, trials: BTreeMap::new() });
        } else if matches!(event.payload, Payload::SweepDeleted(_)) {
            self.sweeps.remove(&event.sweep);
        }
    }

    fn take_points(&mut self, event: &Event) {
        let Some(table) = self.sweeps.get_mut(&event.sweep) else { return };
        for CurveChange { trial, keep, add } in event.curve_changes() {
            if let Some(row) = table.trials.get_mut(&trial) {
                row.curve.truncate(index(keep));
                row.curve.extend_from_slice(add);
            }
        }
    }

    /// The row of a trial; `None` if it does not exist.
    pub fn trial(&self, sweep: SweepId, trial: TrialNumber, with_curve: bool) -> Option<TrialView> {
        let row = self.sweeps.get(&sweep)?.trials.get(&trial)?;
        Some(shown(row, with_curve))
    }

    /// The rows of the trials that `filter` selects; `None` if the sweep does not exist.
    pub fn trials(&self, sweep: SweepId, filter: &TrialFilter) -> Option<Vec<TrialView>> {
        let table = self.sweeps.get(&sweep)?;
        let compare = |a: &TrialView, b: &TrialView| match filter.order {
            TrialOrder::Objective => a.merit(table.goal).order(&b.merit(table.goal)),
            TrialOrder::Number => a.trial.cmp(&b.trial),
        };
        // The trial itself may have left the wanted states; its place in the order stays.
        let after = filter.after.and_then(|number| table.trials.get(&number));
        let is_wanted = |row: &&TrialView| {
            (filter.states.is_empty() || filter.states.contains(&row.state))
                && after.is_none_or(|after| compare(row, after) == Ordering::Greater)
        };
        let mut rows: Vec<&TrialView> = table.trials.values().filter(is_wanted).collect();
        rows.sort_by(|a, b| compare(a, b));
        let page = rows.into_iter().take(filter.limit);
        Some(page.map(|row| shown(row, filter.with_curves)).collect())
    }
}

fn shown(row: &TrialView, with_curve: bool) -> TrialView {
    if with_curve { row.clone() } else { TrialView { curve: Vec::new(), ..row.clone() } }
}
