//! A Parzen estimator on the unit cube: a mixture of one product of kernels per trial, and one wide product for what is not known yet.

use std::f64::consts::{PI, SQRT_2};

use caviar_common::assignment::Value;
use caviar_common::seed::Stream;
use caviar_common::space::{Domain, Parameter};

use crate::real;

/// So many of the newest trials count in full; the weight of those before falls to `1 / n` at the oldest.
const FRESH: usize = 25;
/// No kernel is narrower than the unit interval over this, so that a cluster of trials does not end the search there.
const NARROWEST_ONE_IN: usize = 100;

/// A density over the values of some parameters: for whole numbers and choices a probability.
pub(super) struct Density<'a> {
    /// One per trial, the wide one last; they add up to 1.
    weights: Vec<f64>,
    axes: Vec<Axis<'a>>,
}

/// The kernels along one parameter, one per trial and the wide one.
struct Axis<'a> {
    domain: &'a Domain,
    kernels: Kernels,
}

enum Kernels {
    /// Normal distributions cut to the unit interval.
    Bells(Vec<Bell>),
    /// The chosen values; none for the wide kernel.
    Picks(Vec<Option<usize>>),
    /// The parameter has one value.
    One,
}

#[derive(Clone, Copy)]
struct Bell {
    centre: f64,
    width: f64,
    /// How much of it lies in the unit interval.
    inside: f64,
    /// The logarithm of its greatest density.
    ln_peak: f64,
}

impl Bell {
    fn new(centre: f64, width: f64) -> Self {
        let inside = mass(centre, width, 0.0, 1.0);
        Self { centre, width, inside, ln_peak: -libm::log(width * inside * (2.0 * PI).sqrt()) }
    }

    fn ln_at(&self, unit: f64) -> f64 {
        let z = (unit - self.centre) / self.width;
        self.ln_peak - 0.5 * z * z
    }

    /// The logarithm of its share of a cell. The least positive number stands for a share too small to tell.
    fn ln_of(&self, (low, high): (f64, f64)) -> f64 {
        libm::log((mass(self.centre, self.width, low, high) / self.inside).max(f64::MIN_POSITIVE))
    }

    /// A third of it at least lies inside, so that a few attempts are enough.
    fn sample(&self, stream: &mut Stream) -> f64 {
        let inside = (0..64).map(|_| self.centre + self.width * stream.normal()).find(|u| (0.0..=1.0).contains(u));
        inside.unwrap_or(self.centre)
    }
}

/// The share of a normal distribution between two points.
fn mass(centre: f64, width: f64, low: f64, high: f64) -> f64 {
    let below = |u: f64| libm::erf((u - centre) / (width * SQRT_2));
    0.5 * (below(high) - below(low))
}

impl<'a> Density<'a> {
    /// Over `parameters`, of trials given as points of their unit cube, oldest first.
    pub(super) fn new(parameters: &[&'a Parameter], points: &[Vec<f64>]) -> Self {
        let along = |axis: usize| points.iter().filter_map(|point| point.get(axis).copied()).collect::<Vec<f64>>();
        let axes = parameters.iter().enumerate().map(|(i, p)| Axis::new(&p.domain, &along(i))).collect();
        Self { weights: weights(points.len()), axes }
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
        let mut logs: Vec<f64> = self.weights.iter().map(|w| libm::log(*w)).collect();
        for (axis, unit) in self.axes.iter().zip(point) {
            axis.add(*unit, &mut logs);
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + libm::log(logs.iter().map(|log| libm::exp(log - most)).sum())
    }
}

impl<'a> Axis<'a> {
    fn new(domain: &'a Domain, units: &[f64]) -> Self {
        let kernels = match domain {
            _ if domain.cardinality() == Some(1) => Kernels::One,
            Domain::Choice { .. } => Kernels::Picks(units.iter().map(|u| pick(domain, *u)).chain([None]).collect()),
            Domain::Float { .. } | Domain::Int { .. } => {
                let bells = units.iter().zip(widths(units)).map(|(unit, width)| Bell::new(*unit, width));
                Kernels::Bells(bells.chain([Bell::new(0.5, 1.0)]).collect())
            }
        };
        Self { domain, kernels }
    }

    fn sample(&self, kernel: usize, kernels: usize, stream: &mut Stream) -> f64 {
        match &self.kernels {
            Kernels::Bells(bells) => bells.get(kernel).map_or(0.5, |bell| bell.sample(stream)),
            Kernels::Picks(picks) => {
                let picked = picks.get(kernel).copied().flatten().filter(|_| stream.uniform() < self.kept(kernels));
                picked.map_or_else(|| stream.uniform(), |index| (real(index) + 0.5) / self.choices())
            }
            Kernels::One => 0.5,
        }
    }

    /// Adds the logarithm of every kernel at a point.
    fn add(&self, unit: f64, logs: &mut [f64]) {
        match (&self.kernels, self.domain) {
            (Kernels::Bells(bells), Domain::Int { .. }) => {
                let cell = cell(self.domain, unit);
                logs.iter_mut().zip(bells).for_each(|(log, bell)| *log += bell.ln_of(cell));
            }
            (Kernels::Bells(bells), Domain::Float { .. } | Domain::Choice { .. }) => {
                logs.iter_mut().zip(bells).for_each(|(log, bell)| *log += bell.ln_at(unit));
            }
            (Kernels::Picks(picks), _) => {
                let (at, kept) = (pick(self.domain, unit), self.kept(picks.len()));
                let any = libm::log(1.0 / self.choices());
                let (same, other) = (libm::log(kept + (1.0 - kept) / self.choices()), any + libm::log(1.0 - kept));
                for (log, pick) in logs.iter_mut().zip(picks) {
                    *log += pick.map_or(any, |pick| if Some(pick) == at { same } else { other });
                }
            }
            (Kernels::One, _) => {}
        }
    }

    /// The share of a choice's kernel that stays on its value; the rest is spread over all values alike. With few trials little stays:
    /// one among `n` kernels weighs 1 on its own value beside `1 / n` on each.
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

/// The number of the choice at a point.
fn pick(domain: &Domain, unit: f64) -> Option<usize> {
    match domain {
        Domain::Choice { values } => {
            let value = domain.decode(unit);
            values.iter().position(|v| *v == value)
        }
        Domain::Float { .. } | Domain::Int { .. } => None,
    }
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
    let faded = |i: usize| if old > 1 { (1.0 + real(i) * (real(n) - 1.0) / (real(old) - 1.0)) / real(n) } else { 1.0 / real(n) };
    let raw: Vec<f64> = (0..old).map(faded).chain(std::iter::repeat_n(1.0, n - old + 1)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / sum).collect()
}

/// The width of each trial's kernel: the distance to the farther of its two neighbours (Bergstra 2011).
fn widths(units: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = units.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let narrowest = 1.0 / real(NARROWEST_ONE_IN.min(units.len() + 2));
    let at = |place: Option<usize>| place.and_then(|p| order.get(p)).map(|(unit, _)| *unit);
    let mut widths: Vec<(usize, f64)> = Vec::with_capacity(units.len());
    for (place, (unit, index)) in order.iter().enumerate() {
        // The ends of the interval are no neighbours: a kernel there would be wide for no reason but its place.
        let gap = match (at(place.checked_sub(1)), at(Some(place + 1))) {
            (Some(before), Some(after)) => (unit - before).max(after - unit),
            (Some(before), None) => unit - before,
            (None, Some(after)) => after - unit,
            (None, None) => unit.max(1.0 - unit),
        };
        widths.push((*index, gap.clamp(narrowest, 1.0)));
    }
    widths.sort_by_key(|(index, _)| *index);
    widths.into_iter().map(|(_, width)| width).collect()
}
