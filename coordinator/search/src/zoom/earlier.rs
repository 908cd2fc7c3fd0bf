//! The results of earlier sweeps, which a sweep with `warm_start` puts in front of its own.
//!
//! The costs of an earlier sweep are not comparable with those of this one: it may have had other
//! data or more epochs. Their order is. So an earlier result gets the cost of the result that has
//! the same rank in this sweep:
//!
//! ```text
//! cost = c[⌊(rank + 0.5) / m * n⌋]
//! ```
//!
//! for the earlier rank from 0 among m results, and the n sorted costs c of this sweep. Before this
//! sweep has enough results, an earlier result keeps its value on its own sweep's scale
//! ([`Summary::transform`]). The rule is Caviar's own.
//!
//! Example: the best of 20 earlier results has the relative rank 0.5 / 20 = 0.025. With 100 results
//! in this sweep it gets the third best cost, `c[2]`.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::numbers::{floor_to_usize, real};
use caviar_common::scale::Scale;
use caviar_common::space::{Domain, Parameter};

use super::limits::LEAST_RESULTS;
use crate::cube::{Cube, INACTIVE, forward};
use crate::ledger::{Ledger, Summary};
use crate::sampler::WarmStart;

/// The coordinate of a choice that this sweep no longer has. It differs from every present choice.
const REMOVED_CHOICE: f64 = -1.0;

/// The results of earlier sweeps, as points of this sweep's space. They may lie outside the unit
/// cube, because the earlier ranges may have been wider.
#[derive(Debug, Default)]
pub(super) struct EarlierResults {
    /// In rows. Each sweep's results are in the order of their costs.
    points: Vec<f64>,
    /// The number of results up to the end of each sweep.
    ends: Vec<usize>,
    /// The rank of each result in its sweep, as a number between 0 and 1.
    ranks: Vec<f64>,
    /// The value of each result on its own sweep's scale.
    own_values: Vec<f64>,
    /// The best point of the first sweep that has a cost.
    best: Option<Vec<f64>>,
}

impl EarlierResults {
    pub(super) fn new(cube: &Cube, sweeps: &[WarmStart]) -> Self {
        let mut earlier = Self::default();
        for sweep in sweeps {
            earlier.add(cube, sweep);
        }
        earlier
    }

    fn add(&mut self, cube: &Cube, sweep: &WarmStart) {
        let finite = |cost: &Option<f64>| cost.filter(|cost| cost.is_finite());
        let mut sorted: Vec<(f64, &Assignment)> = sweep
            .results
            .iter()
            .map(|(assignment, cost)| (finite(cost).unwrap_or(f64::INFINITY), assignment))
            .collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let costs: Vec<f64> =
            sorted.iter().map(|(cost, _)| *cost).filter(|cost| cost.is_finite()).collect();
        let (Some(best), Some(worst)) = (costs.first().copied(), costs.last().copied()) else {
            return;
        };
        let median = sorted.get(sorted.len() / 2).map_or(worst, |(cost, _)| cost.min(worst));
        let summary = Summary { best, median, worst };
        for (rank, (cost, assignment)) in sorted.iter().enumerate() {
            let point = point(cube, assignment);
            self.best.get_or_insert_with(|| point.clone());
            self.points.extend(point);
            self.ranks.push((real(rank) + 0.5) / real(sorted.len()));
            self.own_values.push(summary.transform(cost.min(worst)));
        }
        self.ends.push(self.ranks.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// The points of all results, in rows.
    pub(super) fn points(&self) -> &[f64] {
        &self.points
    }

    /// The best result of the first sweep that has one, moved into this sweep's ranges.
    pub(super) fn best(&self, cube: &Cube) -> Option<Vec<f64>> {
        let mut best = self.best.clone()?;
        cube.snap(&mut best);
        Some(best)
    }

    /// The indices of the best `count` results of every sweep, in ascending order.
    pub(super) fn best_of_each(&self, count: usize) -> impl Iterator<Item = usize> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).flat_map(move |(start, end)| start..*end.min(&(start + count)))
    }

    /// The values of some results on this sweep's scale, each with its index, in any order.
    pub(super) fn values(&self, indices: &[usize], ledger: &Ledger) -> Vec<(usize, f64)> {
        if ledger.len() < LEAST_RESULTS {
            let own = |index: &usize| Some((*index, *self.own_values.get(*index)?));
            return indices.iter().filter_map(own).collect();
        }
        let place = |index: &usize| {
            let rank = self.ranks.get(*index)?;
            Some((floor_to_usize(rank * real(ledger.len())), *index))
        };
        let mut places: Vec<(usize, usize)> = indices.iter().filter_map(place).collect();
        places.sort_unstable();
        let ranks: Vec<usize> = places.iter().map(|(rank, _)| *rank).collect();
        let summary = ledger.summary();
        let costs = ledger.costs_at(&ranks).into_iter().map(|cost| summary.transform(cost));
        places.into_iter().map(|(_, index)| index).zip(costs).collect()
    }
}

/// The point of an earlier assignment. A parameter without a value is filled in as inactive.
fn point(cube: &Cube, assignment: &Assignment) -> Vec<f64> {
    let unit = |p: &Parameter| {
        assignment.get(&p.name).map_or(INACTIVE, |value| coordinate(&p.domain, value))
    };
    cube.space().parameters().iter().map(unit).collect()
}

/// The coordinate of a value that may lie outside the domain.
fn coordinate(domain: &Domain, value: &Value) -> f64 {
    match domain {
        Domain::Choice { .. } => domain.encode(value).unwrap_or(REMOVED_CHOICE),
        Domain::Float { scale, low, high } => {
            value.as_f64().map_or(INACTIVE, |v| on_scale(*scale, v, *low, *high))
        }
        Domain::Int { scale, low, high } => {
            let ends = (Value::Int(*low).as_f64(), Value::Int(*high).as_f64(), value.as_f64());
            if let (Some(low), Some(high), Some(v)) = ends {
                on_scale(*scale, v, low - 0.5, high + 0.5)
            } else {
                INACTIVE
            }
        }
    }
}

fn on_scale(scale: Scale, value: f64, low: f64, high: f64) -> f64 {
    let first = forward(scale, low);
    let unit = (forward(scale, value) - first) / (forward(scale, high) - first);
    if unit.is_finite() {
        // A point that is farther outside than the length of the range tells the model no more.
        unit.clamp(-1.0, 2.0)
    } else {
        // The value does not exist on this scale, or the range is empty: take the nearest end.
        scale.encode(value.clamp(low, high), low, high)
    }
}
