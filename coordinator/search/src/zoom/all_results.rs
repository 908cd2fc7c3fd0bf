//! All results that zoom learns from, and the choice of those that a model is made of.
//!
//! A result has an index: first come the results of earlier sweeps, then the trials of this sweep
//! in the order in which they entered the log. A model takes at most 80 results. If there are more,
//! it takes the 40 best ones, and of the 80 nearest to the best one the first 40 that are not among
//! them.

use std::collections::BTreeMap;

use caviar_common::numbers::real;

use super::earlier::EarlierResults;
use super::gp::Sample;
use super::limits::MOST_RESULTS;
use crate::cube::Cube;
use crate::ledger::{Ledger, Summary};

/// The factor by which the noise of an earlier sweep's result is greater.
const EARLIER_NOISE: f64 = 4.0;
/// Transformed results with a smaller deviation than this differ only by rounding.
const LEAST_DEVIATION: f64 = 1e-9;

/// The results of this sweep and of earlier ones.
#[derive(Debug)]
pub(super) struct AllResults<'a> {
    ledger: &'a Ledger,
    earlier: &'a EarlierResults,
    summary: Summary,
    dimensions: usize,
}

impl<'a> AllResults<'a> {
    pub(super) fn new(cube: &Cube, ledger: &'a Ledger, earlier: &'a EarlierResults) -> Self {
        Self { ledger, earlier, summary: ledger.summary(), dimensions: cube.dimensions() }
    }

    pub(super) fn len(&self) -> usize {
        self.earlier.len() + self.ledger.len()
    }

    /// Of this sweep only.
    pub(super) const fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn point(&self, index: usize) -> &'a [f64] {
        match index.checked_sub(self.earlier.len()) {
            Some(place) => self.ledger.point(place),
            None => {
                let row = index * self.dimensions..(index + 1) * self.dimensions;
                self.earlier.points().get(row).unwrap_or_default()
            }
        }
    }

    /// The points of the results from an index on.
    pub(super) fn points_from(&self, index: usize) -> impl Iterator<Item = &[f64]> {
        let earlier = (index..self.earlier.len()).map(|index| self.point(index));
        earlier.chain(self.ledger.points_from(index.saturating_sub(self.earlier.len())))
    }

    /// The points of some results, in rows.
    pub(super) fn points(&self, indices: &[usize]) -> Vec<f64> {
        indices.iter().flat_map(|index| self.point(*index)).copied().collect()
    }

    /// The values of some results on this sweep's scale. A trial that failed has that of the worst.
    fn values(&self, indices: &[usize]) -> Vec<f64> {
        let is_earlier = |index: &usize| *index < self.earlier.len();
        let earlier: Vec<usize> = indices.iter().copied().filter(is_earlier).collect();
        let earlier: BTreeMap<usize, f64> =
            self.earlier.values(&earlier, self.ledger).into_iter().collect();
        let value = |index: &usize| match index.checked_sub(self.earlier.len()) {
            Some(place) => {
                self.summary.transform(self.ledger.cost(place).unwrap_or(self.summary.worst))
            }
            None => earlier.get(index).copied().unwrap_or_default(),
        };
        indices.iter().map(value).collect()
    }

    fn noise_factor(&self, index: usize) -> f64 {
        if index < self.earlier.len() { EARLIER_NOISE } else { 1.0 }
    }

    /// The indices of the best `count` results, best first.
    pub(super) fn best(&self, count: usize) -> Vec<usize> {
        let own = self
            .ledger
            .ranked()
            .take(count)
            .map(|(cost, place)| (self.summary.transform(cost), place + self.earlier.len()));
        let mut best: Vec<(f64, usize)> = own.collect();
        // Of each earlier sweep, no more than these can be among the best.
        let earlier: Vec<usize> = self.earlier.best_of_each(count).collect();
        best.extend(self.values(&earlier).into_iter().zip(earlier));
        // The sort is stable, so of equal values those of this sweep come first.
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        best.into_iter().map(|(_, index)| index).take(count).collect()
    }

    /// The index of the result in the centre of the box: the best one of this sweep, or of earlier
    /// sweeps if this one has none.
    pub(super) fn centre(&self) -> usize {
        let own = self.ledger.ranked().next().map(|(_, place)| place + self.earlier.len());
        own.or_else(|| self.best(1).first().copied()).unwrap_or(0)
    }

    /// The number of the trial with this result. For an earlier result it is 0, because the first
    /// trial of a sweep repeats the best earlier one.
    pub(super) fn trial(&self, index: usize) -> u32 {
        index.checked_sub(self.earlier.len()).map_or(0, |place| self.ledger.trial(place))
    }

    /// The indices of the results that a model is made of. `nearest` returns the [`MOST_RESULTS`]
    /// results nearest to the centre of the box.
    pub(super) fn choose(&self, nearest: impl FnOnce() -> Vec<usize>) -> Vec<usize> {
        if self.len() <= MOST_RESULTS {
            return (0..self.len()).collect();
        }
        let mut chosen = self.best(MOST_RESULTS / 2);
        let mut taken = chosen.clone();
        taken.sort_unstable();
        let new = nearest().into_iter().filter(|index| taken.binary_search(index).is_err());
        chosen.extend(new.take(MOST_RESULTS / 2));
        chosen
    }
}

/// The results that a model is made of, standardised to mean 0 and deviation 1.
#[derive(Debug)]
pub(super) struct TrainingSet {
    points: Vec<f64>,
    values: Vec<f64>,
    noise_factors: Vec<f64>,
    /// Mean and deviation before the standardisation.
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

impl TrainingSet {
    pub(super) fn new(results: &AllResults<'_>, chosen: &[usize]) -> Self {
        let mut values = results.values(chosen);
        let count = real(values.len());
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
        let deviation = variance.sqrt();
        let scale = if deviation > LEAST_DEVIATION { 1.0 / deviation } else { 0.0 };
        values.iter_mut().for_each(|v| *v = (*v - mean) * scale);
        Self {
            points: results.points(chosen),
            values,
            noise_factors: chosen.iter().map(|i| results.noise_factor(*i)).collect(),
            mean,
            deviation,
        }
    }

    pub(super) fn sample<'a>(&'a self, cube: &'a Cube) -> Sample<'a> {
        Sample {
            is_choice: cube.is_choice(),
            points: &self.points,
            values: &self.values,
            noise_factors: &self.noise_factors,
        }
    }
}

/// The squared distance of two points on the model's scale.
pub(super) fn squared_distance(
    a: &[f64],
    b: &[f64],
    inverse_scales: &[f64],
    is_choice: &[bool],
) -> f64 {
    let difference = |((a, b), is_choice): ((&f64, &f64), &bool)| {
        if *is_choice { f64::from(u8::from(a != b)) } else { a - b }
    };
    let differences = a.iter().zip(b).zip(is_choice).map(difference).zip(inverse_scales);
    differences.map(|(difference, inverse)| (difference * inverse) * (difference * inverse)).sum()
}
