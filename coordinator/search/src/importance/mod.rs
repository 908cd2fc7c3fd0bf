//! Which hyperparameters mattered: the functional analysis of variance of a random forest.
//!
//! A forest of regression trees is fitted to the trials. A tree is constant on boxes, so the mean
//! of its function over all parameters but one is known exactly. The share of parameter j is the
//! variance V_j of that mean, as a part of the variance V of the function over the space. The share
//! of a pair is what both parameters do together beyond what each of them does by itself:
//!
//! ```text
//! share of j = V_j / V            share of (j, k) = (V_jk - V_j - V_k) / V
//! ```
//!
//! Each share is the mean over the trees. What is missing to 1 is due to three or more parameters
//! together (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
//! Importance", 2014). docs/decisions/0009-importance.md compares the shares with Optuna's.
//!
//! Example: the cost is 0 for x < 1/4, and elsewhere 4 for y < 1/2 and 8 for y >= 1/2. Its mean is
//! 4.5 and its variance V = 9.75. The mean over y is 0 or 6, so V_x = 6.75; the mean over x is 3 or
//! 6, so V_y = 2.25. The shares are x 69 %, y 23 % and the pair (x, y) 8 %.
//!
//! [`cap`] lowers the costs of trials that nearly diverged, which would otherwise determine every
//! share.

mod anova;
mod forest;

use caviar_common::assignment::Value;
use caviar_common::error::ErrorClass;
use caviar_common::numbers::real;
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::{Domain, Space};

use crate::history::History;

use anova::Partition;
use forest::{Axis, Rows};

/// The number of trees for many trials, as in the paper and in Optuna.
const TREES: u32 = 64;
/// Up to this many trials there are four times as many trees, which halves how much a share differs
/// between seeds. With more trials it differs less anyway. docs/internals/search.md has the
/// comparison over ten seeds, and the time that the trees take.
const MANY_TRIALS: usize = 1000;
/// The least number of trials with a cost.
const LEAST_TRIALS: usize = 10;
/// A cost that is more than this many interquartile ranges above the upper quartile is capped
/// (docs/decisions/0009-importance.md).
const FAR: f64 = 10.0;
/// A pair whose share is below this is left out: the share is only rounding.
const LEAST_SHARE: f64 = 1e-9;
/// Costs whose relative differences are below this are equal up to rounding.
const LEAST_SPREAD: f64 = 1e-13;

/// How the values of a parameter are weighted in a mean over the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Uniform on the parameters' scales, from which the search draws: each decade of a learning
    /// rate has the same weight.
    Scales,
    /// Uniform as numbers, which is Optuna's measure: of the learning rates from 0.0001 to 1, those
    /// above 0.1 have nine tenths of the weight. Whole numbers at an end of their range have half
    /// the weight of the others.
    Values,
}

/// The shares of the parameters and of their pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// How many trials were used.
    pub trials: usize,
    /// The share of every parameter of the space, in descending order.
    pub parameters: Vec<Share>,
    /// The shares of the pairs, in descending order. Pairs without an effect of their own are left
    /// out.
    pub pairs: Vec<PairShare>,
}

/// The effect of one parameter by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The parameter's name.
    pub name: String,
    /// Its part of the variance of the cost over the space, from 0 to 1.
    pub share: f64,
}

/// The joint effect of two parameters, without the effects of each by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PairShare {
    /// The parameters' names, in the order of the space.
    pub names: [String; 2],
    /// The pair's part of the variance of the cost over the space, from 0 to 1.
    pub share: f64,
}

/// Why the importance cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLittle {
    /// This number of trials have a cost, which is too few.
    #[error("importance needs {LEAST_TRIALS} trials with a result, there are {0}")]
    Trials(usize),
    /// This number of trials have a cost, and all costs are equal.
    #[error("all {0} trials have the same result, so no parameter made a difference")]
    Difference(usize),
}

impl TooLittle {
    /// The request was refused: it may succeed when more trials are finished.
    pub const fn class(self) -> ErrorClass {
        ErrorClass::Refused
    }
}

/// Computes the share of every parameter and of every pair of parameters in the variance of the
/// costs, which are given with the numbers of their trials. Trials without a finite cost are
/// ignored.
///
/// If the costs have no upper bound, call [`cap`] first. A parameter that is inactive in a trial is
/// filled in at the middle of its range.
///
/// # Errors
/// If fewer than ten trials have a finite cost, or if all costs are equal.
pub fn importance(
    history: &History,
    costs: &[(u32, f64)],
    measure: Measure,
    seed: u64,
) -> Result<Importance, TooLittle> {
    let space = history.space();
    let axes: Vec<Axis> = space.parameters().iter().map(|p| axis(&p.domain)).collect();
    let finite = costs.iter().copied().filter(|(_, cost)| cost.is_finite());
    let (trials, mut values): (Vec<u32>, Vec<f64>) = finite.unzip();
    if trials.len() < LEAST_TRIALS {
        return Err(TooLittle::Trials(trials.len()));
    }
    standardise(&mut values);
    if values.iter().all(|value| *value == 0.0) {
        return Err(TooLittle::Difference(trials.len()));
    }
    let (rows, samples) = draw_rows(history, &trials, &values, measure, seed);

    let dimensions = axes.len();
    let (mut single, mut pairs) = (vec![0.0; dimensions], vec![0.0; dimensions * dimensions]);
    let mut trees = 0;
    for (sample, mut stream) in samples {
        let partition = Partition::new(&axes, forest::grow(&axes, &rows, sample, &mut stream));
        // All trials drawn for a tree may have the same cost. Such a tree has no variance to share.
        if partition.variance() > 0.0 {
            trees += 1;
            add_shares(&partition, &mut single, &mut pairs);
        }
    }
    Ok(ranked(space, trials.len(), &single, &pairs, f64::from(trees.max(1))))
}

/// The rows of a tree, and the stream that its further draws come from.
type TreeSample = (Vec<usize>, Stream);

/// Draws the trials of each tree. Only trials that are drawn become rows, so the time and the
/// memory do not grow with a long history.
fn draw_rows(
    history: &History,
    trials: &[u32],
    values: &[f64],
    measure: Measure,
    seed: u64,
) -> (Rows, Vec<TreeSample>) {
    let trees = if trials.len() > MANY_TRIALS { TREES } else { 4 * TREES };
    let draw = |tree: u32| {
        let mut stream = Seed::derive(seed, u64::from(tree), Purpose::Forest).stream(0);
        (forest::sample(trials.len(), &mut stream), stream)
    };
    let mut samples: Vec<TreeSample> = (0..trees).map(draw).collect();
    let mut drawn: Vec<usize> = samples.iter().flat_map(|(sample, _)| sample).copied().collect();
    drawn.sort_unstable();
    drawn.dedup();
    let to_row = |trial: &usize| drawn.partition_point(|other| other < trial);
    for (sample, _) in &mut samples {
        *sample = sample.iter().map(to_row).collect();
    }
    let domains = || history.space().parameters().iter().map(|p| &p.domain).enumerate();
    let point = |trial: &u32| {
        let trial = *trial;
        domains().map(move |(j, domain)| coordinate(domain, history.value(trial, j), measure))
    };
    let points = drawn.iter().filter_map(|i| trials.get(*i)).flat_map(point).collect();
    let costs = drawn.iter().filter_map(|i| values.get(*i)).copied().collect();
    (Rows::new(points, costs), samples)
}

/// Lowers every cost that is far above the others to the greatest cost that is not far. Returns how
/// many costs were lowered.
///
/// A few trials that nearly diverged would otherwise determine almost all of the variance, and the
/// importance would describe what makes a network diverge. A cost is far if it is more than ten
/// interquartile ranges above the upper quartile.
pub fn cap(results: &mut [(u32, f64)]) -> usize {
    let mut costs: Vec<f64> =
        results.iter().map(|(_, cost)| *cost).filter(|cost| cost.is_finite()).collect();
    let (lower, upper) = (costs.len() / 4, costs.len() * 3 / 4);
    if costs.is_empty() {
        return 0;
    }
    let (below, upper, _) = costs.select_nth_unstable_by(upper, f64::total_cmp);
    let upper = *upper;
    // With fewer than two costs, both quartiles are the same.
    let lower = if lower < below.len() {
        *below.select_nth_unstable_by(lower, f64::total_cmp).1
    } else {
        upper
    };
    let most = upper + FAR * (upper - lower);
    let mut capped = 0;
    for (_, cost) in
        results.iter_mut().filter(|(_, cost)| cost.is_finite() && *cost > most && upper > lower)
    {
        *cost = most;
        capped += 1;
    }
    capped
}

fn axis(domain: &Domain) -> Axis {
    match domain {
        Domain::Choice { values } => Axis::Choices(values.len()),
        Domain::Float { .. } | Domain::Int { .. } => Axis::Line,
    }
}

/// The coordinate of a value along one axis: a number in the unit interval, or the index of a
/// choice. An inactive parameter has no value.
fn coordinate(domain: &Domain, value: Option<Value>, measure: Measure) -> f64 {
    let linear =
        |value: &Value, low: f64, high: f64| value.as_f64().map(|v| (v - low) / (high - low));
    let found = match (domain, measure) {
        (Domain::Choice { values }, _) => {
            return value
                .and_then(|v| values.iter().position(|one| *one == v))
                .map_or_else(|| real(values.len() / 2), real);
        }
        (Domain::Float { low, high, .. }, Measure::Values) => {
            value.and_then(|v| linear(&v, *low, *high))
        }
        (Domain::Int { low, high, .. }, Measure::Values) => {
            let end = |v: i64| Value::Int(v).as_f64().unwrap_or_default();
            value.and_then(|v| linear(&v, end(*low), end(*high)))
        }
        (domain @ (Domain::Float { .. } | Domain::Int { .. }), Measure::Scales) => {
            value.and_then(|v| domain.encode(&v))
        }
    };
    found.filter(|unit| unit.is_finite()).map_or(0.5, |unit| unit.clamp(0.0, 1.0))
}

/// Shifts costs to mean 0 and scales them to absolute values of at most 1. This changes no share
/// and keeps their squares finite. Costs that are equal up to rounding all become 0.
fn standardise(costs: &mut [f64]) {
    let most = costs.iter().map(|cost| cost.abs()).fold(f64::MIN_POSITIVE, f64::max);
    costs.iter_mut().for_each(|cost| *cost /= most);
    let mean = costs.iter().sum::<f64>() / real(costs.len());
    costs.iter_mut().for_each(|cost| *cost -= mean);
    let spread = costs.iter().map(|cost| cost.abs()).fold(0.0, f64::max);
    let spread = if spread > LEAST_SPREAD { spread } else { f64::INFINITY };
    costs.iter_mut().for_each(|cost| *cost /= spread);
}

/// Adds the shares of one tree to the sums over the trees.
fn add_shares(partition: &Partition, single: &mut [f64], pairs: &mut [f64]) {
    let (total, dimensions) = (partition.variance(), single.len());
    let variances: Vec<f64> = (0..dimensions).map(|i| partition.variance_of(i)).collect();
    for (sum, variance) in single.iter_mut().zip(&variances) {
        // Rounding can make the variance of a marginal greater than the total.
        *sum += (variance / total).min(1.0);
    }
    let rows = pairs.chunks_mut(dimensions.max(1)).zip(&variances).enumerate();
    for (first, (sums, variance)) in rows {
        for (second, (sum, other)) in sums.iter_mut().zip(&variances).enumerate().skip(first + 1) {
            let joint = partition.variance_of_pair(first, second) - variance - other;
            *sum += (joint.max(0.0) / total).min(1.0);
        }
    }
}

/// Divides the sums by the number of trees, and sorts the shares.
fn ranked(space: &Space, trials: usize, single: &[f64], pairs: &[f64], trees: f64) -> Importance {
    let names: Vec<&String> = space.parameters().iter().map(|p| &p.name).collect();
    let share = |(name, sum): (&&String, &f64)| Share { name: (*name).clone(), share: sum / trees };
    let mut parameters: Vec<Share> = names.iter().zip(single).map(share).collect();
    parameters.sort_by(|a, b| b.share.total_cmp(&a.share));
    let couples = names.iter().flat_map(|first| names.iter().map(move |second| (*first, *second)));
    let named = |((first, second), sum): ((&String, &String), &f64)| PairShare {
        names: [first.clone(), second.clone()],
        share: sum / trees,
    };
    let mut pairs: Vec<PairShare> =
        couples.zip(pairs).filter(|(_, sum)| **sum > LEAST_SHARE * trees).map(named).collect();
    pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
    Importance { trials, parameters, pairs }
}

#[cfg(test)]
mod tests;
