//! What an ask needs of the results: the box, and the model of those in and near it. A function of
//! the log alone.

use super::earlier::Earlier;
use super::gp::{Model, Theta};
use super::{NMAX, TOP};
use crate::coded::Coded;
use crate::ledger::{Ledger, Summary};
use crate::real;

/// Results of an earlier sweep are this much noisier.
const EARLIER_NOISE: f64 = 4.0;
/// How much the box may be stretched along a parameter that matters less than others.
const STRETCH: (f64, f64) = (0.3, 3.0);

/// All results that there are, earlier sweeps first.
#[derive(Debug)]
pub(super) struct Record<'a> {
    ledger: &'a Ledger,
    earlier: &'a Earlier,
    /// What the earlier results count as.
    before: Vec<f64>,
    summary: Summary,
    d: usize,
}

impl<'a> Record<'a> {
    pub(super) fn new(coded: &Coded, ledger: &'a Ledger, earlier: &'a Earlier) -> Self {
        let summary = ledger.summary();
        Self {
            ledger,
            earlier,
            before: earlier.transformed(ledger, &summary),
            summary,
            d: coded.dimensions(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.earlier.len() + self.ledger.len()
    }

    pub(super) const fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn point(&self, index: usize) -> &'a [f64] {
        let row = |points: &'a [f64], i: usize| {
            points.get(i * self.d..(i + 1) * self.d).unwrap_or_default()
        };
        match index.checked_sub(self.earlier.len()) {
            Some(place) => row(self.ledger.points(), place),
            None => row(self.earlier.points(), index),
        }
    }

    fn transformed(&self, index: usize) -> f64 {
        match index.checked_sub(self.earlier.len()) {
            Some(place) => {
                self.summary.transform(self.ledger.cost(place).unwrap_or(self.summary.worst))
            }
            None => self.before.get(index).copied().unwrap_or_default(),
        }
    }

    fn noise_factor(&self, index: usize) -> f64 {
        if index < self.earlier.len() { EARLIER_NOISE } else { 1.0 }
    }

    /// The best results of this sweep, and those of earlier ones that would be among them, best
    /// first.
    pub(super) fn best(&self, count: usize) -> Vec<usize> {
        let here = self
            .ledger
            .ranked()
            .take(count)
            .map(|(cost, place)| (self.summary.transform(cost), place + self.earlier.len()));
        let mut best: Vec<(f64, usize)> = here.collect();
        best.extend(self.before.iter().enumerate().map(|(i, t)| (*t, i)));
        // Stable: what is equal keeps its order, and this sweep stands in front.
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        best.into_iter().map(|(_, index)| index).take(count).collect()
    }

    /// The middle of the box: the best result, of this sweep if it has any.
    pub(super) fn centre(&self) -> usize {
        let here = self.ledger.ranked().next().map(|(_, place)| place + self.earlier.len());
        here.or_else(|| self.best(1).first().copied()).unwrap_or(0)
    }

    /// The trial whose result stands at `index`. The first trial of a sweep stands for the earlier
    /// best, which it repeats.
    fn trial(&self, index: usize) -> u32 {
        index.checked_sub(self.earlier.len()).map_or(0, |place| self.ledger.trial(place))
    }
}

/// What a model is made of.
#[derive(Debug)]
pub(super) struct Training {
    pub(super) points: Vec<f64>,
    /// Standardised.
    pub(super) y: Vec<f64>,
    pub(super) factors: Vec<f64>,
    mean: f64,
    deviation: f64,
}

impl Training {
    pub(super) fn new(record: &Record<'_>, chosen: &[usize]) -> Self {
        let mut y: Vec<f64> = chosen.iter().map(|i| record.transformed(*i)).collect();
        let n = real(y.len());
        let mean = y.iter().sum::<f64>() / n;
        let deviation = (y.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
        // Results that differ by rounding alone are equal.
        let scale = if deviation > 1e-9 { 1.0 / deviation } else { 0.0 };
        y.iter_mut().for_each(|v| *v = (*v - mean) * scale);
        let points = chosen.iter().flat_map(|i| record.point(*i)).copied().collect();
        Self {
            points,
            y,
            factors: chosen.iter().map(|i| record.noise_factor(*i)).collect(),
            mean,
            deviation,
        }
    }
}

/// The results that a model takes: all, or the best and the nearest to the best.
pub(super) fn chosen(record: &Record<'_>, nearest: impl FnOnce(usize) -> Vec<usize>) -> Vec<usize> {
    if record.len() <= NMAX {
        return (0..record.len()).collect();
    }
    let mut chosen = record.best(NMAX / 2);
    let mut taken = chosen.clone();
    taken.sort_unstable();
    let new = nearest(NMAX).into_iter().filter(|index| taken.binary_search(index).is_err());
    chosen.extend(new.take(NMAX / 2));
    chosen
}

/// The search's view of its results.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) theta: Theta,
    pub(super) side: f64,
    /// The trial in the middle.
    pub(super) centre: u32,
    pub(super) middle: Vec<f64>,
    /// Low and high end of the box.
    pub(super) sides: Vec<(f64, f64)>,
    /// Points of the best trials, row after row.
    pub(super) top: Vec<f64>,
    pub(super) model: Model,
    /// The least smoothed result.
    pub(super) least: f64,
    summary: Summary,
    mean: f64,
    deviation: f64,
}

impl Local {
    pub(super) fn new(
        coded: &Coded,
        record: &Record<'_>,
        theta: Theta,
        chosen: &[usize],
        side: f64,
    ) -> Self {
        let training = Training::new(record, chosen);
        let model =
            Model::new(&theta, coded.choices(), &training.points, &training.y, &training.factors);
        let centre = record.centre();
        let middle = record.point(centre).to_vec();
        Self {
            side,
            centre: record.trial(centre),
            sides: sides(coded, &middle, side, &theta.scales),
            middle,
            top: record.best(TOP).into_iter().flat_map(|i| record.point(i)).copied().collect(),
            least: model.least(&training.y, &training.factors),
            model,
            theta,
            summary: *record.summary(),
            mean: training.mean,
            deviation: training.deviation,
        }
    }

    /// The cost that stands behind a value of the model.
    pub(super) fn cost(&self, value: f64) -> f64 {
        self.summary.restore(value * self.deviation + self.mean)
    }
}

fn sides(coded: &Coded, middle: &[f64], side: f64, scales: &[f64]) -> Vec<(f64, f64)> {
    let mean = libm::exp(scales.iter().map(|s| libm::log(*s)).sum::<f64>() / real(scales.len()));
    let side = |((unit, scale), choice): ((&f64, &f64), &bool)| {
        let half = side / 2.0 * (scale / mean).clamp(STRETCH.0, STRETCH.1);
        if *choice {
            (0.0, 1.0)
        } else {
            ((unit - half).clamp(0.0, 1.0), (unit + half).clamp(0.0, 1.0))
        }
    };
    middle.iter().zip(scales).zip(coded.choices()).map(side).collect()
}

/// The results nearest to the middle of the box, kept while that stays where it is.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    middle: usize,
    inverse: Vec<f64>,
    seen: usize,
    /// Squared distances and indices, sorted.
    nearest: Vec<(f64, usize)>,
}

impl Nearest {
    /// The nearest `count` results to that at `middle`, itself included, by the length scales.
    pub(super) fn of(
        &mut self,
        coded: &Coded,
        record: &Record<'_>,
        middle: usize,
        scales: &[f64],
        count: usize,
    ) -> Vec<usize> {
        let inverse: Vec<f64> = scales.iter().map(|s| 1.0 / s).collect();
        if self.middle != middle || self.inverse != inverse || self.seen > record.len() {
            *self = Self { middle, inverse, seen: 0, nearest: Vec::new() };
        }
        let centre = record.point(middle);
        for index in self.seen..record.len() {
            let distance = squared(centre, record.point(index), &self.inverse, coded.choices());
            let full = self.nearest.len() >= count;
            if full && self.nearest.last().is_some_and(|last| last.0 <= distance) {
                continue;
            }
            let at = self.nearest.partition_point(|near| near.0 <= distance);
            self.nearest.insert(at, (distance, index));
            self.nearest.truncate(count);
        }
        self.seen = record.len();
        self.nearest.iter().map(|(_, index)| *index).collect()
    }
}

/// The squared distance on the model's scale.
pub(super) fn squared(a: &[f64], b: &[f64], inverse: &[f64], choices: &[bool]) -> f64 {
    let difference = |((a, b), choice): ((&f64, &f64), &bool)| {
        if *choice { f64::from(u8::from(a != b)) } else { a - b }
    };
    let differences = a.iter().zip(b).zip(choices).map(difference).zip(inverse);
    differences.map(|(difference, inverse)| (difference * inverse) * (difference * inverse)).sum()
}
