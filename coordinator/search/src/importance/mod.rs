//! Which hyperparameters mattered: functional analysis of variance of a random forest (Hutter, Hoos
//! and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", 2014).
//!
//! A forest is fitted to the trials. Each of its trees cuts the space into boxes of one value each,
//! so the mean over all parameters but one is exact, and so is the variance that this one parameter
//! makes in it: its share of the tree's variance is how much it mattered. A pair's share is what
//! both make together beyond what each makes alone. What is left after all of them takes three or
//! more.

mod anova;
mod forest;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::error::ErrorClass;
use caviar_common::seed::{Purpose, Seed};
use caviar_common::space::{Domain, Parameter, Space};

use crate::real;
use anova::Partition;
use forest::{Axis, Rows};

/// As in the paper, and in Optuna.
const TREES: u32 = 64;
/// Of no more trials than these, four times as many trees halve what a share changes with the seed.
/// More trials change it less by themselves.
const MANY_TRIALS: usize = 1000;
/// Of fewer trials a forest says nothing.
const LEAST_TRIALS: usize = 10;
/// A cost this many times the distance between the quartiles above the upper one is an accident,
/// not a result.
const FAR: f64 = 10.0;
/// A share below this is rounding.
const LEAST_SHARE: f64 = 1e-9;

/// What all values of a parameter weigh when a mean over the space is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// As the search draws them, uniform on their scales: every decade of a learning rate weighs
    /// the same.
    Scales,
    /// Uniform as numbers, a whole number at an end of its range half, as Optuna has it: the
    /// learning rates from 0.1 to 1 weigh nine tenths of those from 0.0001 to 1.
    Values,
}

/// Which hyperparameters mattered.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// How many trials were told.
    pub trials: usize,
    /// Every parameter of the space, the most important first.
    pub parameters: Vec<Share>,
    /// The pairs that matter beyond what their parameters do alone, the strongest first.
    pub pairs: Vec<PairShare>,
}

/// What one parameter makes alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The parameter.
    pub name: String,
    /// Of the variance of the cost over the space, from 0 to 1.
    pub share: f64,
}

/// What two parameters make together and neither makes alone.
#[derive(Clone, Debug, PartialEq)]
pub struct PairShare {
    /// The parameters, in the order of the space.
    pub names: [String; 2],
    /// Of the variance of the cost over the space, from 0 to 1.
    pub share: f64,
}

/// Why there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLittle {
    /// Too few trials have a cost.
    #[error("importance needs {LEAST_TRIALS} trials with a result, there are {0}")]
    Trials(usize),
    /// Nothing varies.
    #[error("all {0} trials have the same result, so no parameter made a difference")]
    Difference(usize),
}

impl TooLittle {
    /// What a caller can do: ask again when more trials are in.
    pub const fn class(self) -> ErrorClass {
        ErrorClass::Refused
    }
}

/// The share of every parameter and pair in the variance of the costs; those that are not finite
/// are left out.
///
/// The costs are taken as they are: call [`cap`] before if they have no bound. A parameter that is
/// inactive in a trial counts as in the middle of its range there.
///
/// # Errors
/// Where fewer than ten trials have a finite cost, or all have the same.
pub fn importance(
    space: &Space,
    results: &[(Assignment, f64)],
    measure: Measure,
    seed: u64,
) -> Result<Importance, TooLittle> {
    let axes: Vec<Axis> = space.parameters().iter().map(|p| axis(&p.domain)).collect();
    let finite: Vec<&(Assignment, f64)> =
        results.iter().filter(|(_, cost)| cost.is_finite()).collect();
    if finite.len() < LEAST_TRIALS {
        return Err(TooLittle::Trials(finite.len()));
    }
    let point = |assignment: &Assignment| {
        space.parameters().iter().map(|p| coordinate(p, assignment, measure)).collect()
    };
    let points = finite.iter().map(|(assignment, _)| point(assignment)).collect();
    let rows =
        Rows::new(points, standardised(&finite)).ok_or(TooLittle::Difference(finite.len()))?;

    let dimensions = axes.len();
    let (mut single, mut pairs) = (vec![0.0; dimensions], vec![0.0; dimensions * dimensions]);
    let mut trees = 0;
    let most = if finite.len() > MANY_TRIALS { TREES } else { 4 * TREES };
    for tree in 0..most {
        let mut stream = Seed::derive(seed, u64::from(tree), Purpose::Forest).stream(0);
        let partition = Partition::new(&axes, forest::grow(&axes, &rows, &mut stream));
        // A tree of a few trials that are all alike has nothing to share.
        if partition.variance() > 0.0 {
            trees += 1;
            add_shares(&partition, &mut single, &mut pairs);
        }
    }
    Ok(ranked(space, finite.len(), &single, &pairs, f64::from(trees.max(1))))
}

/// Makes every cost that is far above the others as high as a cost may be without being far, and
/// says how many there were.
///
/// A few trials that nearly diverged would otherwise make all of the variance of a cost, and
/// importance would tell what makes a network diverge and not what makes it good. Far is ten times
/// the distance between the quartiles above the upper one.
pub fn cap(results: &mut [(Assignment, f64)]) -> usize {
    let mut costs: Vec<f64> =
        results.iter().map(|(_, cost)| *cost).filter(|cost| cost.is_finite()).collect();
    costs.sort_by(f64::total_cmp);
    let (Some(lower), Some(upper)) = (costs.get(costs.len() / 4), costs.get(costs.len() * 3 / 4))
    else {
        return 0;
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

/// Where an assignment lies along one axis: a point of the unit interval, or the number of a
/// choice.
fn coordinate(parameter: &Parameter, assignment: &Assignment, measure: Measure) -> f64 {
    let value = assignment.get(&parameter.name);
    let linear =
        |value: &Value, low: f64, high: f64| value.as_f64().map(|v| (v - low) / (high - low));
    let found = match (&parameter.domain, measure) {
        (Domain::Choice { values }, _) => {
            return value
                .and_then(|v| values.iter().position(|one| one == v))
                .map_or_else(|| real(values.len() / 2), real);
        }
        (Domain::Float { low, high, .. }, Measure::Values) => {
            value.and_then(|v| linear(v, *low, *high))
        }
        (Domain::Int { low, high, .. }, Measure::Values) => {
            let end = |v: i64| Value::Int(v).as_f64().unwrap_or_default();
            value.and_then(|v| linear(v, end(*low), end(*high)))
        }
        (domain @ (Domain::Float { .. } | Domain::Int { .. }), Measure::Scales) => {
            value.and_then(|v| domain.encode(v))
        }
    };
    found.filter(|unit| unit.is_finite()).map_or(0.5, |unit| unit.clamp(0.0, 1.0))
}

/// The costs with mean 0 and of at most about 1 in size, which keeps their squares finite and
/// changes no share.
fn standardised(results: &[&(Assignment, f64)]) -> Vec<f64> {
    let most = results.iter().map(|(_, cost)| cost.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let scaled: Vec<f64> = results.iter().map(|(_, cost)| cost / most).collect();
    let mean = scaled.iter().sum::<f64>() / real(scaled.len());
    let centred: Vec<f64> = scaled.iter().map(|cost| cost - mean).collect();
    let spread = centred.iter().map(|cost| cost.abs()).fold(0.0, f64::max);
    // What rounding alone can make of equal costs is no difference.
    let spread = if spread > 1e-13 { spread } else { f64::INFINITY };
    centred.into_iter().map(|cost| cost / spread).collect()
}

fn add_shares(partition: &Partition, single: &mut [f64], pairs: &mut [f64]) {
    let (total, dimensions) = (partition.variance(), single.len());
    let alone: Vec<f64> = (0..dimensions).map(|i| partition.variance_of(i)).collect();
    for (sum, variance) in single.iter_mut().zip(&alone) {
        *sum += variance / total;
    }
    for (first, (sums, variance)) in pairs.chunks_mut(dimensions.max(1)).zip(&alone).enumerate() {
        for (second, (sum, other)) in sums.iter_mut().zip(&alone).enumerate().skip(first + 1) {
            *sum += (partition.variance_of_pair(first, second) - variance - other).max(0.0) / total;
        }
    }
}

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
