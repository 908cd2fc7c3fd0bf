//! What earlier sweeps leave behind: results that stand in front of the log.
//!
//! Their costs are not comparable with those of this sweep (other data, other epochs), their order
//! is: each takes the value that the result of the same rank has here.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::scale::Scale;
use caviar_common::space::Domain;

use super::NMIN;
use crate::coded::{Coded, PARKED};
use crate::ledger::{Ledger, Summary};
use crate::{WarmStart, real};

/// A choice that is there no more lies here, and so apart from all that are.
const ELSEWHERE: f64 = -1.0;

/// The results of earlier sweeps, as points of this sweep's space. They may lie outside the unit
/// cube: ranges can differ.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    points: Vec<f64>,
    /// Of each result, its rank in its sweep as a number between 0 and 1.
    ranks: Vec<f64>,
    /// Of each result, its cost, transformed by what its own sweep found.
    own: Vec<f64>,
    best: Option<Vec<f64>>,
}

impl Earlier {
    pub(super) fn new(coded: &Coded, sweeps: &[WarmStart]) -> Self {
        let mut earlier = Self::default();
        for sweep in sweeps {
            earlier.add(coded, sweep);
        }
        earlier
    }

    fn add(&mut self, coded: &Coded, sweep: &WarmStart) {
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
            let point = point(coded, assignment);
            self.best.get_or_insert_with(|| point.clone());
            self.points.extend(point);
            self.ranks.push((real(rank) + 0.5) / real(sorted.len()));
            self.own.push(summary.transform(cost.min(worst)));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    pub(super) fn points(&self) -> &[f64] {
        &self.points
    }

    /// The best result of the first sweep that has one, clipped to this sweep's ranges.
    pub(super) fn best(&self, coded: &Coded) -> Option<Vec<f64>> {
        let mut best = self.best.clone()?;
        coded.snap(&mut best);
        Some(best)
    }

    /// What each result counts as beside this sweep's. Before there are enough of those, what it
    /// was worth in its own.
    pub(super) fn transformed(&self, ledger: &Ledger, summary: &Summary) -> Vec<f64> {
        if self.ranks.is_empty() || ledger.len() < NMIN {
            return self.own.clone();
        }
        let costs: Vec<f64> = ledger.ranked().map(|(cost, _)| cost).collect();
        let at = |rank: &f64| {
            costs.get(floor(rank * real(ledger.len()))).copied().unwrap_or(summary.worst)
        };
        self.ranks.iter().map(|rank| summary.transform(at(rank))).collect()
    }
}

#[expect(clippy::as_conversions, reason = "truncation is meant; the conversion saturates")]
fn floor(v: f64) -> usize {
    v as usize
}

/// Parameters that the earlier sweep lacks are parked.
fn point(coded: &Coded, assignment: &Assignment) -> Vec<f64> {
    let unit = |p: &caviar_common::space::Parameter| {
        assignment.get(&p.name).map_or(PARKED, |value| unit(&p.domain, value))
    };
    coded.space().parameters().iter().map(unit).collect()
}

/// Where a value lies on the scale of a domain that need not contain it.
fn unit(domain: &Domain, value: &Value) -> f64 {
    match domain {
        Domain::Choice { .. } => domain.encode(value).unwrap_or(ELSEWHERE),
        Domain::Float { scale, low, high } => {
            value.as_f64().map_or(PARKED, |v| on_scale(*scale, v, *low, *high))
        }
        Domain::Int { scale, low, high } => {
            let ends = (Value::Int(*low).as_f64(), Value::Int(*high).as_f64(), value.as_f64());
            if let (Some(low), Some(high), Some(v)) = ends {
                on_scale(*scale, v, low - 0.5, high + 0.5)
            } else {
                PARKED
            }
        }
    }
}

fn on_scale(scale: Scale, value: f64, low: f64, high: f64) -> f64 {
    let forward = |v: f64| match scale {
        Scale::Linear => v,
        Scale::Log => libm::log(v),
        Scale::OneMinusLog => -libm::log(1.0 - v),
    };
    let unit = (forward(value) - forward(low)) / (forward(high) - forward(low));
    // No such number on this scale, or an empty range: the nearest end says as much as there is to
    // say. A point far outside says nothing more than one that is a whole range away.
    if unit.is_finite() {
        unit.clamp(-1.0, 2.0)
    } else {
        scale.encode(value.clamp(low, high), low, high)
    }
}
