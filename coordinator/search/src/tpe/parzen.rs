//! A Parzen estimator: a density over some coordinates of the unit cube, made of one kernel per
//! trial.
//!
//! The kernel of a trial is a product over the parameters. For a number it is a normal distribution
//! around the trial's coordinate, cut to the unit interval. For a choice it puts most of its weight
//! on the trial's value and spreads the rest. One more kernel, the wide one, covers the whole cube,
//! so that no point has density 0. With weights w and kernels k over the parameters j,
//!
//! ```text
//! density(x) = sum over i of w_i * product over j of k_ij(x_j)
//! ```
//!
//! The width of a normal kernel is the distance to the farther of its two neighbours (Bergstra et
//! al., 2011), but at least 1 / min(100, n + 2) for n trials and at most 1. Old trials weigh less,
//! as in Optuna (Watanabe, 2023).
//!
//! For a whole number, the kernels are integrated over the cell of the value, so the density is a
//! probability.
//!
//! Example: three trials at 0.2, 0.3 and 0.8 have kernels of width 0.2 (widened from 0.1 to the
//! least width 1 / (3 + 2)), 0.5 and 0.5. Together with the wide kernel each has the weight 1/4.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use caviar_common::assignment::Value;
use caviar_common::numbers::real;
use caviar_common::seed::Stream;
use caviar_common::space::{Domain, Space};

use crate::cube::{cell, centre};

/// This many of the newest trials have full weight. The weight of older ones falls to `1 / n`.
const FULL_WEIGHT: usize = 25;
/// No kernel is narrower than the unit interval divided by this, so that a cluster of trials does
/// not stop the search from looking elsewhere.
const NARROWEST_ONE_IN: usize = 100;
/// The centre and the width of the wide kernel.
const WIDE: (f64, f64) = (0.5, 1.0);
/// At least a third of every kernel lies inside the unit interval, so cutting a kernel raises the
/// logarithm of its density by at most this.
const LN_INSIDE: f64 = 1.1;
/// A kernel whose logarithm is this far below the greatest one does not change the rounded sum:
/// exp(-45) is less than half a unit in the last place of 1.
const NEGLIGIBLE: f64 = 45.0;
/// Attempts to draw from a kernel inside the unit interval. As a third of it lies inside, all of
/// them fail with a probability of less than (2/3)^64 = 5e-12.
const ATTEMPTS: usize = 64;

/// A density over the values of some parameters. It is a probability for whole numbers and choices.
pub(super) struct Density<'a> {
    /// One weight per trial, and that of the wide kernel last. They add up to 1.
    weights: Vec<f64>,
    ln_weights: Vec<f64>,
    axes: Vec<Axis<'a>>,
}

/// The kernels along one parameter: one per trial, and the wide one last.
struct Axis<'a> {
    domain: &'a Domain,
    kernels: Kernels,
}

enum Kernels {
    /// For numbers.
    Normals(Normals),
    /// For choices: the cell of each trial's value, and `None` for the wide kernel.
    Picks(Vec<Option<u64>>),
    /// The parameter has only one value.
    Constant,
}

/// Normal distributions cut to the unit interval. Each list has one item per kernel.
#[derive(Default)]
struct Normals {
    centres: Vec<f64>,
    widths: Vec<f64>,
    /// 1 / (√2 width): the distance to the centre is multiplied by it before it is squared and
    /// subtracted from `ln_peaks`.
    slopes: Vec<f64>,
    /// The share of the uncut distribution that lies in the unit interval.
    insides: Vec<f64>,
    /// The logarithm of the greatest density.
    ln_peaks: Vec<f64>,
}

impl Normals {
    fn push(&mut self, centre: f64, width: f64) {
        let inside = mass(centre, width, 0.0, 1.0);
        self.centres.push(centre);
        // Most kernels have the least width and lie inside, so they share one logarithm.
        let same = self.widths.last() == Some(&width) && self.insides.last() == Some(&inside);
        let known = self.ln_peaks.last().copied().filter(|_| same);
        self.ln_peaks.push(known.unwrap_or_else(|| -libm::log(width * inside * (2.0 * PI).sqrt())));
        self.widths.push(width);
        self.slopes.push(FRAC_1_SQRT_2 / width);
        self.insides.push(inside);
    }

    /// Adds the logarithm of each kernel at a coordinate to `logs`.
    fn add_densities(&self, unit: f64, logs: &mut [f64]) {
        let kernels = self.centres.iter().zip(&self.slopes).zip(&self.ln_peaks);
        for (log, ((centre, slope), ln_peak)) in logs.iter_mut().zip(kernels) {
            let z = (unit - centre) * slope;
            *log += ln_peak - z * z;
        }
    }

    /// Adds the logarithm of each kernel's share of a cell to those `logs` that are above `floor`.
    /// Those that cannot stay above it become minus infinity.
    fn add_shares(&self, cell: (f64, f64), floor: f64, logs: &mut [f64]) {
        let kernels = self.centres.iter().zip(&self.widths).zip(&self.slopes).zip(&self.insides);
        for (log, (((centre, width), slope), inside)) in
            logs.iter_mut().zip(kernels).filter(|(log, _)| **log > floor)
        {
            // The share of a normal distribution beyond a distance is less than
            // exp(-distance² / (2 width²)) = exp(-z²), so most kernels need no error function.
            let z = (cell.0 - centre).max(centre - cell.1).max(0.0) * slope;
            let may_count = *log - z * z + LN_INSIDE > floor;
            *log = if may_count {
                *log + ln_share(*centre, *width, *inside, cell)
            } else {
                f64::NEG_INFINITY
            };
        }
    }

    /// Draws from one kernel.
    fn sample(&self, kernel: usize, stream: &mut Stream) -> f64 {
        let (Some(centre), Some(width)) = (self.centres.get(kernel), self.widths.get(kernel))
        else {
            return 0.5;
        };
        let mut draws = (0..ATTEMPTS).map(|_| centre + width * stream.normal());
        draws.find(|unit| (0.0..=1.0).contains(unit)).unwrap_or(*centre)
    }
}

impl<'a> Density<'a> {
    /// The density over the parameters with these indices. `points` are those of the trials, oldest
    /// first.
    pub(super) fn new(space: &'a Space, parameters: &[usize], points: &[&[f64]]) -> Self {
        let axis = |j: &usize| {
            let units: Vec<f64> =
                points.iter().filter_map(|point| point.get(*j).copied()).collect();
            Some(Axis::new(&space.parameters().get(*j)?.domain, &units))
        };
        let weights = weights(points.len());
        Self {
            ln_weights: weights.iter().map(|w| libm::log(*w)).collect(),
            weights,
            axes: parameters.iter().filter_map(axis).collect(),
        }
    }

    /// Draws a coordinate for each parameter of the density.
    pub(super) fn sample(&self, stream: &mut Stream) -> Vec<f64> {
        let mut left = stream.uniform();
        let wide = self.weights.len().saturating_sub(1);
        let is_drawn = |weight: &f64| {
            left -= weight;
            left < 0.0
        };
        let kernel = self.weights.iter().position(is_drawn).unwrap_or(wide);
        self.axes.iter().map(|axis| axis.sample(kernel, self.weights.len(), stream)).collect()
    }

    /// The logarithm of the density at a point, with one coordinate for each parameter.
    pub(super) fn ln_at(&self, point: &[f64]) -> f64 {
        let mut logs = self.ln_weights.clone();
        let axes = || self.axes.iter().zip(point);
        axes().for_each(|(axis, unit)| axis.add_densities(*unit, &mut logs));
        // A share of a cell is expensive to compute and at most 1. So a kernel that is far below
        // the wide one before its shares are added is negligible.
        let cells: Vec<(&Normals, (f64, f64))> =
            axes().filter_map(|(axis, unit)| axis.cell(*unit)).collect();
        if let Some((wide, others)) = logs.split_last_mut() {
            let inside = mass(WIDE.0, WIDE.1, 0.0, 1.0);
            let share = |(_, cell): &(_, (f64, f64))| ln_share(WIDE.0, WIDE.1, inside, *cell);
            *wide += cells.iter().map(share).sum::<f64>();
            for (normals, cell) in &cells {
                normals.add_shares(*cell, *wide - NEGLIGIBLE, others);
            }
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let terms = logs.iter().map(|log| log - most).filter(|log| *log > -NEGLIGIBLE);
        most + libm::log(terms.map(libm::exp).sum())
    }
}

impl<'a> Axis<'a> {
    fn new(domain: &'a Domain, units: &[f64]) -> Self {
        let kernels = match domain {
            _ if domain.cardinality() == Some(1) => Kernels::Constant,
            Domain::Choice { .. } => Kernels::Picks(
                units.iter().map(|unit| Some(cell(domain, *unit))).chain([None]).collect(),
            ),
            Domain::Float { .. } | Domain::Int { .. } => {
                let mut normals = Normals::default();
                for (unit, width) in units.iter().zip(widths(units)) {
                    normals.push(*unit, width);
                }
                normals.push(WIDE.0, WIDE.1);
                Kernels::Normals(normals)
            }
        };
        Self { domain, kernels }
    }

    /// Draws from one of the `kernels` kernels.
    fn sample(&self, kernel: usize, kernels: usize, stream: &mut Stream) -> f64 {
        match &self.kernels {
            Kernels::Normals(normals) => normals.sample(kernel, stream),
            Kernels::Picks(picks) => {
                let picked = picks.get(kernel).copied().flatten();
                let kept = picked.filter(|_| stream.uniform() < self.kept(kernels));
                kept.map_or_else(|| stream.uniform(), |picked| centre(self.domain, picked))
            }
            Kernels::Constant => 0.5,
        }
    }

    /// For a whole number, its kernels and the ends of the cell at a coordinate.
    fn cell(&self, unit: f64) -> Option<(&Normals, (f64, f64))> {
        match (&self.kernels, self.domain) {
            (Kernels::Normals(normals), Domain::Int { .. }) => {
                Some((normals, cell_ends(self.domain, unit)))
            }
            (Kernels::Normals(_) | Kernels::Picks(_) | Kernels::Constant, _) => None,
        }
    }

    /// Adds the logarithm of each kernel at a coordinate to `logs`, except for whole numbers.
    fn add_densities(&self, unit: f64, logs: &mut [f64]) {
        match (&self.kernels, self.domain) {
            (Kernels::Normals(normals), Domain::Float { .. } | Domain::Choice { .. }) => {
                normals.add_densities(unit, logs);
            }
            (Kernels::Picks(picks), _) => {
                let (at, kept) = (cell(self.domain, unit), self.kept(picks.len()));
                let any = libm::log(1.0 / self.choices());
                let same = libm::log(kept + (1.0 - kept) / self.choices());
                let other = any + libm::log(1.0 - kept);
                for (log, pick) in logs.iter_mut().zip(picks) {
                    *log += pick.map_or(any, |pick| if pick == at { same } else { other });
                }
            }
            (Kernels::Normals(_), Domain::Int { .. }) | (Kernels::Constant, _) => {}
        }
    }

    /// The share of a choice's kernel that stays on the trial's value: n / (n + c) for n kernels
    /// and c values. The rest is spread equally over all values. With few trials little stays.
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

/// The share of a normal distribution between two coordinates.
fn mass(centre: f64, width: f64, low: f64, high: f64) -> f64 {
    let below = |unit: f64| libm::erf((unit - centre) / (width * SQRT_2));
    0.5 * (below(high) - below(low))
}

/// The logarithm of a cut kernel's share of a cell. A share that rounds to 0 counts as the least
/// positive number.
fn ln_share(centre: f64, width: f64, inside: f64, (low, high): (f64, f64)) -> f64 {
    libm::log((mass(centre, width, low, high) / inside).max(f64::MIN_POSITIVE))
}

/// The ends of the cell of the whole number at a coordinate.
fn cell_ends(domain: &Domain, unit: f64) -> (f64, f64) {
    match (domain, domain.decode(unit).as_f64()) {
        (Domain::Int { scale, low, high }, Some(value)) => {
            let end = |bound: i64| Value::Int(bound).as_f64().unwrap_or_default();
            let at = |border: f64| scale.encode(border, end(*low) - 0.5, end(*high) + 0.5);
            (at(value - 0.5), at(value + 0.5))
        }
        (Domain::Int { .. } | Domain::Float { .. } | Domain::Choice { .. }, _) => (unit, unit),
    }
}

/// The weights of `n` trials, oldest first, and of the wide kernel, which counts as a new trial.
fn weights(n: usize) -> Vec<f64> {
    let old = n.saturating_sub(FULL_WEIGHT);
    let faded = |i: usize| {
        if old > 1 {
            (1.0 + real(i) * (real(n) - 1.0) / (real(old) - 1.0)) / real(n)
        } else {
            1.0 / real(n)
        }
    };
    let full = std::iter::repeat_n(1.0, n - old + 1);
    let raw: Vec<f64> = (0..old).map(faded).chain(full).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / sum).collect()
}

/// The width of each trial's kernel. See the module's description.
fn widths(units: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = units.iter().copied().zip(0..).collect();
    // Numbers that are not negative sort like their bits.
    order.sort_unstable_by_key(|(unit, index)| (unit.to_bits(), *index));
    let narrowest = 1.0 / real(NARROWEST_ONE_IN.min(units.len() + 2));
    let at = |place: Option<usize>| place.and_then(|p| order.get(p)).map(|(unit, _)| *unit);
    let mut widths = vec![0.0; units.len()];
    for (place, (unit, index)) in order.iter().enumerate() {
        // The ends of the interval do not count as neighbours. Otherwise a kernel near an end would
        // be wide only because of its place.
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
