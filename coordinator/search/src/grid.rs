//! Every combination of a few points per parameter: what random search is compared with.

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::grid::{axis, count};
use caviar_common::reason::{Reason, Source};
use caviar_common::space::{Parameter, Space};

use crate::{Question, Sampler, SamplerReply, Suggestion};

/// The points of a grid in order, the last parameter fastest. Points that differ in inactive
/// parameters alone are one point.
#[derive(Debug)]
pub(crate) struct Grid {
    points: Vec<Assignment>,
}

impl Grid {
    /// A grid of at most `budget` points. Parameters without `points` get the same number each, the
    /// largest that fits.
    pub(crate) fn new(space: Space, budget: u32) -> Self {
        let free = free(&space, u64::from(budget));
        let axes: Vec<Vec<Value>> = space.parameters().iter().map(|p| axis(p, free)).collect();
        let mut points = vec![Assignment::default()];
        for (parameter, values) in space.parameters().iter().zip(&axes) {
            points =
                points.iter().flat_map(|point| extend(&space, parameter, point, values)).collect();
        }
        let mut seen = BTreeSet::new();
        points.retain(|point| {
            seen.insert(point.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>())
        });
        points.truncate(usize::try_from(budget).unwrap_or(usize::MAX));
        Self { points }
    }
}

impl Sampler for Grid {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        match usize::try_from(question.trial).ok().and_then(|i| self.points.get(i)) {
            Some(assignment) => SamplerReply::Suggest(Suggestion {
                assignment: assignment.clone(),
                reason: Reason::from_source(Source::Grid),
            }),
            None => SamplerReply::Exhausted,
        }
    }
}

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

/// How many points each parameter gets that has no number of its own: as many as the budget allows.
fn free(space: &Space, budget: u64) -> u64 {
    let mut free = 1;
    while free < budget && count(space, free + 1) <= budget {
        free += 1;
    }
    free
}
