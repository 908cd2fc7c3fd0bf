//! The strategy `grid`: every combination of a few values per parameter.
//!
//! Parameters with `points` in the sweep file have that number of values. The others share the
//! largest number p for which the grid fits into the budget of trials. The values are equally
//! spaced on each parameter's scale. The strategy exists for comparison: random search covers the
//! same space better with the same number of trials.
//!
//! Example: for two float parameters without `points` and a budget of 10 trials, p = 3, because
//! 3 * 3 = 9 fits and 4 * 4 = 16 does not. The tenth trial finds the grid exhausted.

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::grid::{axis, point_count};
use caviar_common::numbers::index;
use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Parameter, Space};

use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};

/// The sampler of `strategy = "grid"`. Trial i is point i, and the last parameter varies fastest.
/// Points that differ only in inactive parameters are one point.
#[derive(Debug)]
pub(crate) struct Grid {
    points: Vec<Assignment>,
}

impl Grid {
    /// A grid of at most `budget` points.
    pub(crate) fn new(space: Space, budget: u32) -> Self {
        let points_each = points_each(&space, u64::from(budget));
        let axes: Vec<Vec<Value>> =
            space.parameters().iter().map(|p| axis(p, points_each)).collect();
        let mut points = vec![Assignment::default()];
        for (parameter, values) in space.parameters().iter().zip(&axes) {
            points =
                points.iter().flat_map(|point| extend(&space, parameter, point, values)).collect();
        }
        let mut seen = BTreeSet::new();
        points.retain(|point| {
            seen.insert(point.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>())
        });
        points.truncate(index(budget));
        Self { points }
    }
}

impl Sampler for Grid {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        match self.points.get(index(question.trial)) {
            Some(assignment) => SamplerReply::Suggest(Suggestion {
                assignment: assignment.clone(),
                reason: Reason::from_source(Source::Grid),
            }),
            None => SamplerReply::Exhausted,
        }
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        true
    }
}

/// A point with each value of the next parameter, or the point itself if the parameter is inactive.
fn extend(
    space: &Space,
    parameter: &Parameter,
    point: &Assignment,
    values: &[Value],
) -> Vec<Assignment> {
    if !space.is_active(parameter, point) {
        return vec![point.clone()];
    }
    let with = |value: &Value| {
        let mut longer = point.clone();
        longer.insert(parameter.name.clone(), value.clone());
        longer
    };
    values.iter().map(with).collect()
}

/// The number of values of each parameter that has no `points` of its own: the largest for which
/// the grid has at most `budget` points, and at least 1.
fn points_each(space: &Space, budget: u64) -> u64 {
    let mut points = 1;
    while points < budget && point_count(space, points + 1) <= budget {
        points += 1;
    }
    points
}
