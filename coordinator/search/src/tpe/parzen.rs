//! A Parzen estimator on the unit cube: a mixture of one product of kernels per trial, and one wide
//! product for what is not known yet.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use caviar_common::assignment::Value;
use caviar_common::seed::Stream;
use caviar_common::space::{Domain, Space};

use crate::coded::{level, number};
use crate::real;

/// So many of the newest trials count in full; the weight of those before falls to `1 / n` at the
/// oldest.
const FRESH: usize = 25;
/// No kernel is narrower than the unit interval over this, so that a cluster of trials does not end
/// the search there.
const NARROWEST_ONE_IN: usize = 100;
/// Centre and width of the wide kernel.
const WIDE: (f64, f64) = (0.5, 1.0);
/// A third of a kernel at least lies inside the unit interval: its density there grows by no more
/// than this logarithm.
const LN_INSIDE: f64 = 1.1;
/// A kernel whose logarithm is so far below another's adds nothing to their sum that a number could
/// hold.
const NOTHING: f64 = 45.0;

/// A density over the values of some parameters: for whole numbers and choices a probability.
pub(super) struct Density<'a> {
    /// One per trial, the wide one last; they add up to 1.
    weights: Vec<f64>,
    ln_weights: Vec<f64>,
    axes: Vec<Axis<'a>>,
}

/// The kernels along one parameter, one per trial and the wide one.
struct Axis<'a> {
    domain: &'a Domain,
    kernels: Kernels,
}

enum Kernels {
    /// Normal distributions cut to the unit interval.
    Bells(Bells),
    /// The chosen values; none for the wide kernel.
    Picks(Vec<Option<u64>>),
    /// The parameter has one value.
    One,
}

/// One after the other in every list.
#[derive(Default)]
struct Bells {
    centres: Vec<f64>,
    widths: Vec<f64>,
    /// What the distance from the centre is multiplied by before it is squared and taken from
    /// `ln_peaks`.
    slopes: Vec<f64>,
    /// How much of each lies in the unit interval.
    insides: Vec<f64>,
    /// The logarithm of its greatest density.
    ln_peaks: Vec<f64>,
}

impl Bells {
    fn push(&mut self, centre: f64, width: f64) {
        let inside = mass(centre, width, 0.0, 1.0);
        self.centres.push(centre);
        // Most are as narrow as may be, and lie inside: one logarithm serves them all.
        let same = self.widths.last() == Some(&width) && self.insides.last() == Some(&inside);
        let known = self.ln_peaks.last().copied().filter(|_| same);
        self.ln_peaks.push(known.unwrap_or_else(|| -libm::log(width * inside * (2.0 * PI).sqrt())));
        self.widths.push(width);
        self.slopes.push(FRAC_1_SQRT_2 / width);
        self.insides.push(inside);
    }

    fn add_at(&self, unit: f64, logs: &mut [f64]) {
        let bells = self.centres.iter().zip(&self.slopes).zip(&self.ln_peaks);
        for (log, ((centre, slope), ln_peak)) in logs.iter_mut().zip(bells) {
            let z = (unit - centre) * slope;
            *log += ln_peak - z * z;
        }
    }

    /// Adds the logarithms of their shares of a cell to those that are above `floor`. What cannot
    /// stay above it becomes nothing.
    fn add_of(&self, cell: (f64, f64), floor: f64, logs: &mut [f64]) {
        let bells = self.centres.iter().zip(&self.widths).zip(&self.slopes).zip(&self.insides);
        for (log, (((centre, width), slope), inside)) in
            logs.iter_mut().zip(bells).filter(|(log, _)| **log > floor)
        {
            // The share beyond z widths is less than exp(-z z / 2): most kernels need no error
            // function.
            let z = (cell.0 - centre).max(centre - cell.1).max(0.0) * slope;
            let may_count = *log - z * z + LN_INSIDE > floor;
            *log = if may_count {
                *log + ln_share(*centre, *width, *inside, cell)
            } else {
                f64::NEG_INFINITY
            };
        }
    }

    /// A third of it at least lies inside, so that a few attempts are enough.
    fn sample(&self, kernel: usize, stream: &mut Stream) -> f64 {
        let (Some(centre), Some(width)) = (self.centres.get(kernel), self.widths.get(kernel))
        else {
            return 0.5;
        };
        let inside =
            (0..64).map(|_| centre + width * stream.normal()).find(|u| (0.0..=1.0).contains(u));
        inside.unwrap_or(*centre)
    }
}

impl<'a> Density<'a> {
    /// Over the parameters of these numbers, of trials given as points of the space, oldest first.
    pub(super) fn new(space: &'a Space, numbers: &[usize], points: &[&[f64]]) -> Self {
        let axis = |j: &usize| {
            let units: Vec<f64> =
                points.iter().filter_map(|point| point.get(*j).copied()).collect();
            Some(Axis::new(&space.parameters().get(*j)?.domain, &units))
        };
        let weights = weights(points.len());
        Self {
            ln_weights: weights.iter().map(|w| libm::log(*w)).collect(),
            weights,
            axes: numbers.iter().filter_map(axis).collect(),
        }
    }

    /// A point of the unit cube.
    pub(super) fn sample(&self, stream: &mut Stream) -> Vec<f64> {
        let mut left = stream.uniform();
        let wide = self.weights.len().saturating_sub(1);
        let below = |weight: &f64| {
            left -= weight;
            left < 0.0
        };
        let kernel = self.weights.iter().position(below).unwrap_or(wide);
        self.axes.iter().map(|axis| axis.sample(kernel, self.weights.len(), stream)).collect()
    }

    /// The logarithm of the density at a point.
    pub(super) fn ln_at(&self, point: &[f64]) -> f64 {
        let mut logs = self.ln_weights.clone();
        let axes = || self.axes.iter().zip(point);
        axes().for_each(|(axis, unit)| axis.add(*unit, &mut logs));
        // Shares of cells are dear, and at most 1: what is far below the wide kernel, its shares
        // included, stays there.
        let cells: Vec<(&Bells, (f64, f64))> =
            axes().filter_map(|(axis, unit)| axis.cell(*unit)).collect();
        if let Some((wide, others)) = logs.split_last_mut() {
            *wide += cells
                .iter()
                .map(|(_, cell)| ln_share(WIDE.0, WIDE.1, mass(WIDE.0, WIDE.1, 0.0, 1.0), *cell))
                .sum::<f64>();
            for (bells, cell) in &cells {
                bells.add_of(*cell, *wide - NOTHING, others);
            }
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let terms = logs.iter().map(|log| log - most).filter(|log| *log > -NOTHING);
        most + libm::log(terms.map(libm::exp).sum())
    }
}

impl<'a> Axis<'a> {
    fn new(domain: &'a Domain, units: &[f64]) -> Self {
        let kernels = match domain {
            _ if domain.cardinality() == Some(1) => Kernels::One,
            Domain::Choice { .. } => Kernels::Picks(
                units.iter().map(|unit| Some(number(domain, *unit))).chain([None]).collect(),
            ),
            Domain::Float { .. } | Domain::Int { .. } => {
                let mut bells = Bells::default();
                units.iter().zip(widths(units)).for_each(|(unit, width)| bells.push(*unit, width));
                bells.push(WIDE.0, WIDE.1);
                Kernels::Bells(bells)
            }
        };
        Self { domain, kernels }
    }

    fn sample(&self, kernel: usize, kernels: usize, stream: &mut Stream) -> f64 {
        match &self.kernels {
            Kernels::Bells(bells) => bells.sample(kernel, stream),
            Kernels::Picks(picks) => {
                let picked = picks
                    .get(kernel)
                    .copied()
                    .flatten()
                    .filter(|_| stream.uniform() < self.kept(kernels));
                picked.map_or_else(|| stream.uniform(), |index| level(self.domain, index))
            }
            Kernels::One => 0.5,
        }
    }

    /// The kernels of a whole number, and its cell.
    fn cell(&self, unit: f64) -> Option<(&Bells, (f64, f64))> {
        match (&self.kernels, self.domain) {
            (Kernels::Bells(bells), Domain::Int { .. }) => Some((bells, cell(self.domain, unit))),
            (Kernels::Bells(_) | Kernels::Picks(_) | Kernels::One, _) => None,
        }
    }

    /// Adds the logarithm of every kernel at a point, but for those of whole numbers.
    fn add(&self, unit: f64, logs: &mut [f64]) {
        match (&self.kernels, self.domain) {
            (Kernels::Bells(bells), Domain::Float { .. } | Domain::Choice { .. }) => {
                bells.add_at(unit, logs)
            }
            (Kernels::Picks(picks), _) => {
                let (at, kept) = (number(self.domain, unit), self.kept(picks.len()));
                let any = libm::log(1.0 / self.choices());
                let (same, other) =
                    (libm::log(kept + (1.0 - kept) / self.choices()), any + libm::log(1.0 - kept));
                for (log, pick) in logs.iter_mut().zip(picks) {
                    *log += pick.map_or(any, |pick| if pick == at { same } else { other });
                }
            }
            (Kernels::Bells(_), Domain::Int { .. }) | (Kernels::One, _) => {}
        }
    }

    /// The share of a choice's kernel that stays on its value; the rest is spread over all values
    /// alike. With few trials little stays: one among `n` kernels weighs 1 on its own value beside
    /// `1 / n` on each.
    fn kept(&self, kernels: usize) -> f64 {
        real(kernels) / (real(kernels) + self.choices())
    }

    fn choices(&self) -> f64 {
        match self.domain {
            Domain::Choice { values } => real(values.len()),
            Domain::Float { .. } | Domain::Int { .. } => 1.0,
        }
    }
}

/// The share of a normal distribution between two points.
fn mass(centre: f64, width: f64, low: f64, high: f64) -> f64 {
    let below = |u: f64| libm::erf((u - centre) / (width * SQRT_2));
    0.5 * (below(high) - below(low))
}

/// The logarithm of a bell's share of a cell. The least positive number stands for a share too
/// small to tell.
fn ln_share(centre: f64, width: f64, inside: f64, (low, high): (f64, f64)) -> f64 {
    libm::log((mass(centre, width, low, high) / inside).max(f64::MIN_POSITIVE))
}

/// The part of the unit interval that belongs to the whole number at a point.
fn cell(domain: &Domain, unit: f64) -> (f64, f64) {
    match (domain, domain.decode(unit).as_f64()) {
        (Domain::Int { scale, low, high }, Some(value)) => {
            let end = |v: i64| Value::Int(v).as_f64().unwrap_or_default();
            let at = |border: f64| scale.encode(border, end(*low) - 0.5, end(*high) + 0.5);
            (at(value - 0.5), at(value + 0.5))
        }
        (Domain::Int { .. } | Domain::Float { .. } | Domain::Choice { .. }, _) => (unit, unit),
    }
}

/// The weights of `n` trials, oldest first, and of the wide kernel, which counts as one.
fn weights(n: usize) -> Vec<f64> {
    let old = n.saturating_sub(FRESH);
    let faded = |i: usize| {
        if old > 1 {
            (1.0 + real(i) * (real(n) - 1.0) / (real(old) - 1.0)) / real(n)
        } else {
            1.0 / real(n)
        }
    };
    let raw: Vec<f64> = (0..old).map(faded).chain(std::iter::repeat_n(1.0, n - old + 1)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / sum).collect()
}

/// The width of each trial's kernel: the distance to the farther of its two neighbours (Bergstra
/// 2011).
fn widths(units: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = units.iter().copied().zip(0..).collect();
    // The bits of numbers that are not negative are in their order.
    order.sort_unstable_by_key(|(unit, index)| (unit.to_bits(), *index));
    let narrowest = 1.0 / real(NARROWEST_ONE_IN.min(units.len() + 2));
    let at = |place: Option<usize>| place.and_then(|p| order.get(p)).map(|(unit, _)| *unit);
    let mut widths = vec![0.0; units.len()];
    for (place, (unit, index)) in order.iter().enumerate() {
        // The ends of the interval are no neighbours: a kernel there would be wide for no reason
        // but its place.
        let gap = match (at(place.checked_sub(1)), at(Some(place + 1))) {
            (Some(before), Some(after)) => (unit - before).max(after - unit),
            (Some(before), None) => unit - before,
            (None, Some(after)) => after - unit,
            (None, None) => unit.max(1.0 - unit),
        };
        if let Some(width) = widths.get_mut(*index) {
            *width = gap.clamp(narrowest, 1.0);
        }
    }
    widths
}
