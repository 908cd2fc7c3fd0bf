//! Quantiles, and the function from a number to a standard normal one.
//!
//! A number with the share p of the training split below it becomes the z with Phi(z) = p, where
//! Phi is the standard normal distribution function, as scikit-learn's `QuantileTransformer` does
//! with `output_distribution="normal"`. p is linear between the quantiles at [`QUANTILES`] evenly
//! spaced shares. The function is stored as knots, between which z is linear. More knots are added
//! until z differs by at most [`TOLERANCE`] from that of scikit-learn half way between two knots.
//!
//! Of a value that is several quantiles at once, p is the mean of their shares, and below and above
//! it the function begins at the lowest and the highest of them. For example, the quantiles
//! 0, 0, 0, 1 at the shares 0, 1/3, 2/3, 1 make p = 0 at 0, 2/3 just above it, and 5/6 at 0.5. The
//! value has a plateau of its own ([`PLATEAU`]), so that a program that encodes a cell with another
//! last digit computes the same.

use std::f64::consts::{PI, SQRT_2};

use caviar_common::numbers::{floor_to_usize, real, single};
use caviar_model::Knots;

/// Most quantiles that are known of a number; with fewer examples, one for each.
const QUANTILES: usize = 256;
/// How far z may be from that of linear shares.
const TOLERANCE: f64 = 0.005;
/// The shares of the lowest and, subtracted from 1, of the highest number: those of scikit-learn,
/// whose z is 5.2.
const LEAST_SHARE: f64 = 1e-7 - f64::EPSILON;
/// Half the width of the plateau of a value that is several quantiles, relative to the value, and
/// absolute below 1. The function reaches its neighbours at twice the distance.
const PLATEAU: f32 = 1e-6;

/// The quantile at a share of ascending values, at least one, as NumPy computes it.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * real(sorted.len().saturating_sub(1));
    let below = floor_to_usize(place);
    let at = |place: usize| sorted.get(place).or(sorted.last()).copied().unwrap_or_default();
    let (low, high) = (at(below), at(below + 1));
    low + (high - low) * (place - real(below))
}

/// The function from a number to a normal one; without knots for a constant.
pub(crate) fn knots(sorted: &[f64]) -> Knots {
    let points = points(sorted);
    let mut all = Vec::new();
    for (point, next) in points.iter().zip(points.iter().skip(1)) {
        all.push(*point);
        refine(*point, *next, &mut all);
    }
    all.extend(points.last());
    let mut knots = Knots::default();
    for Point { place, share } in all {
        if knots.places.last().is_none_or(|last| *last < place) {
            knots.places.push(place);
            knots.values.push(single(normal(share)));
        }
    }
    if knots.places.len() < 2 { Knots::default() } else { knots }
}

/// A number and the share of the training split below it.
#[derive(Clone, Copy)]
struct Point {
    place: f32,
    share: f64,
}

/// The quantiles with their shares. A value that is several quantiles becomes up to four points.
fn points(sorted: &[f64]) -> Vec<Point> {
    let count = QUANTILES.min(sorted.len()).max(2);
    // A value with the lowest and the highest of its shares.
    let mut groups: Vec<(f32, [f64; 2])> = Vec::new();
    for number in 0..count {
        let share = real(number) / real(count - 1);
        let place = single(quantile(sorted, share));
        match groups.last_mut() {
            Some((last, shares)) if place <= *last => shares[1] = share,
            Some(_) | None => groups.push((place, [share; 2])),
        }
    }
    let last = groups.len().saturating_sub(1);
    let mut points = Vec::with_capacity(3 * groups.len());
    for (number, (place, [low, high])) in groups.into_iter().enumerate() {
        let share = if number == 0 {
            0.0
        } else if number == last {
            1.0
        } else {
            f64::midpoint(low, high)
        };
        if high <= low {
            points.push(Point { place, share });
            continue;
        }
        let step = PLATEAU * place.abs().max(1.0);
        if number > 0 {
            points.push(Point { place: place - 2.0 * step, share: low });
            points.push(Point { place: place - step, share });
        }
        if number < last {
            points.push(Point { place: place + step, share });
            points.push(Point { place: place + 2.0 * step, share: high });
        }
    }
    points
}

/// Adds the points between two points that make the function close enough.
fn refine(from: Point, to: Point, points: &mut Vec<Point>) {
    let share = f64::midpoint(from.share, to.share);
    let place = single(f64::midpoint(f64::from(from.place), f64::from(to.place)));
    let linear = f64::midpoint(normal(from.share), normal(to.share));
    let is_between = from.place < place && place < to.place;
    if !is_between || (normal(share) - linear).abs() <= TOLERANCE {
        return;
    }
    let between = Point { place, share };
    refine(from, between, points);
    points.push(between);
    refine(between, to, points);
}

/// The z with Phi(z) = share, for a share from [`LEAST_SHARE`] to 1 - [`LEAST_SHARE`]; the nearest
/// of these stands for others.
///
/// The first approximation is formula 26.2.23 of Abramowitz and Stegun 1964, with an error below
/// 4.5e-4. Two steps of Newton's method square it twice.
fn normal(share: f64) -> f64 {
    let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
    let tail = share.min(1.0 - share);
    let t = (-2.0 * libm::log(tail)).sqrt();
    let above = (0.010_328 * t + 0.802_853) * t + 2.515_517;
    let below = ((0.001_308 * t + 0.189_269) * t + 1.432_788) * t + 1.0;
    let mut z = t - above / below;
    for _ in 0..2 {
        // The tail above z, and its slope.
        let error = 0.5 * libm::erfc(z / SQRT_2) - tail;
        z += error * (2.0 * PI).sqrt() * libm::exp(0.5 * z * z);
    }
    if share < 0.5 { -z } else { z }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(count: u32) -> Vec<f64> {
        // Sines; many are cut to one value.
        let value = |row: u32| single(libm::sin(f64::from(row * row)).max(-0.4));
        let mut values: Vec<f64> = (0..count).map(|row| f64::from(value(row))).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn normal_quantiles_are_those_of_scipy() {
        // scipy.stats.norm.ppf, of scipy 1.16.
        for (share, z) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.1, -1.281_551_565_544_600_4),
            (1e-5, -4.264_890_793_922_602),
        ] {
            assert!((normal(share) - z).abs() < 1e-9, "{share}: {}", normal(share));
        }
        assert!((normal(0.0) + 5.199_337_582_605_575).abs() < 1e-9, "{}", normal(0.0));
        assert!((normal(1.0) - 5.199_337_582_605_575).abs() < 1e-7, "{}", normal(1.0));
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0];
        let quantiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(&values, share));
        assert_eq!(quantiles, [1.0, 1.75, 3.0, 5.0, 8.0]);
        assert_eq!(quantile(&[3.0], 0.7), 3.0);
    }

    #[test]
    fn repeated_quantiles_have_a_jump() {
        let knots = knots(&[0.0, 0.0, 0.0, 1.0]);
        assert!((knots.apply(0.5) - single(normal(5.0 / 6.0))).abs() < 0.006);
        assert!((knots.apply(1e-5) - single(normal(2.0 / 3.0))).abs() < 0.006);
        assert!(
            knots.apply(0.0) < -5.0
                && knots.apply(1e-6) < -5.0
                && knots.apply(-7.0) < -5.0
                && knots.apply(1.0) > 5.0
        );
    }

    #[test]
    fn a_constant_becomes_0() {
        let knots = knots(&[0.5; 9]);
        assert_eq!((knots.apply(0.5), knots.apply(9.0)), (0.0, 0.0));
    }

    #[test]
    fn knots_ascend_and_values_do_not_descend() {
        for count in [2, 3, 10, 300, 2_000] {
            let knots = knots(&made(count));
            assert!(knots.places.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
            assert!(knots.values.windows(2).all(|pair| pair[0] <= pair[1]), "{count}");
            assert!(knots.places.len() < 700, "{count}: {}", knots.places.len());
        }
    }
}
