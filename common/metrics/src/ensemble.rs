//! Ensembles: which models to average, and with which weights.
//!
//! Greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble
//! selection from libraries of models") starts with an empty bag. Each round adds the member with
//! which the average over the bag is best. A member can be added several times, which is how it
//! gets a larger weight. Of all bags on the way, the best one is the result. The first bag is the
//! best single member, so the ensemble is never worse than that on the rows it was selected on.
//!
//! For example, the rounds add the members 2, 0, 2 and 1. If the bag after three rounds is the best
//! one, member 0 has the weight 1/3 and member 2 the weight 2/3.

use caviar_common::error::ErrorClass;
use caviar_common::measure::Measure;
use caviar_common::numbers::real;
use caviar_common::spec::Goal;

use crate::predictions::Predictions;

/// Why there is no ensemble. Members count from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// There is nothing to choose from, or every weight is 0.
    #[error("the ensemble has no members")]
    Empty,
    /// Members that predict different rows cannot be averaged.
    #[error("member {member} has another truth, or other weights of rows, than member 0")]
    OtherRows {
        /// The first such member.
        member: usize,
    },
    /// A weight for a member that does not exist.
    #[error("member {member} does not exist: expected a number below {members}")]
    UnknownMember {
        /// The member as given.
        member: usize,
        /// The number of members.
        members: usize,
    },
    /// A weight that is negative, infinite or NaN.
    #[error("member {member} has the weight {weight}: expected a finite number of at least 0")]
    BadWeight {
        /// The member with this weight.
        member: usize,
        /// Its weight as given.
        weight: f64,
    },
    /// The measure is undefined, infinite or NaN for every member.
    #[error("no member has a finite {}", .measure.name())]
    NothingMeasured {
        /// The measure that was asked for.
        measure: Measure,
    },
}

impl EnsembleError {
    /// What a caller can do: select from other members, or with another measure.
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Selects members by a measure of their average. Returns the chosen members in ascending order,
/// each with its weight; the weights have the sum 1.
///
/// At most `most` different members are chosen, and at least one. At least one round is made. Of
/// equal candidates the one with the lowest number is added, and of
/// equal bags the smallest is the result. O(rounds x members) measures.
///
/// # Errors
/// There are no members, they do not predict the same rows, or the measure is finite for none.
pub fn select(
    members: &[Predictions],
    measure: Measure,
    rounds: usize,
    most: usize,
) -> Result<Vec<(usize, f64)>, EnsembleError> {
    let first = check_rows(members)?;
    let mut sums = vec![0.0; first.rows() * first.width()];
    let mut counts = vec![0; members.len()];
    let (mut best, mut best_cost) = (Vec::new(), f64::INFINITY);
    for round in 1..=rounds.max(1) {
        let (mut added, mut least) = (0, f64::INFINITY);
        let is_full = counts.iter().filter(|count| **count > 0).count() >= most.max(1);
        for ((number, member), count) in members.iter().enumerate().zip(&counts) {
            if is_full && *count == 0 {
                continue;
            }
            let mut candidate = sums.clone();
            member.add_to(&mut candidate, 1.0);
            let average = candidate.into_iter().map(|sum| sum / real(round));
            let cost = cost(measure, &first.with_numbers(average));
            if cost < least {
                (added, least) = (number, cost);
            }
        }
        if let (Some(member), Some(count)) = (members.get(added), counts.get_mut(added)) {
            member.add_to(&mut sums, 1.0);
            *count += 1;
        }
        // The order of the additions rounds the sums. The weights are judged as they will be used.
        let weights = shares(&counts, round);
        let cost = cost(measure, &blend(members, first, &weights));
        if cost < best_cost {
            (best, best_cost) = (weights, cost);
        }
    }
    if best.is_empty() { Err(EnsembleError::NothingMeasured { measure }) } else { Ok(best) }
}

/// The weighted average of the predictions of some members. The weights need not have the sum 1. A
/// member of weight 0 has no influence, even if its predictions are NaN.
///
/// # Errors
/// There are no members, they do not predict the same rows, a weight belongs to no member, a weight
/// is negative or not finite, or all weights are 0.
pub fn average(
    members: &[Predictions],
    weights: &[(usize, f64)],
) -> Result<Predictions, EnsembleError> {
    let first = check_rows(members)?;
    for &(member, weight) in weights {
        if member >= members.len() {
            return Err(EnsembleError::UnknownMember { member, members: members.len() });
        }
        if !weight.is_finite() || weight < 0.0 {
            return Err(EnsembleError::BadWeight { member, weight });
        }
    }
    if weights.iter().all(|(_, weight)| *weight == 0.0) {
        return Err(EnsembleError::Empty);
    }
    Ok(blend(members, first, weights))
}

/// The average after the checks.
fn blend(members: &[Predictions], first: &Predictions, weights: &[(usize, f64)]) -> Predictions {
    let mut sums = vec![0.0; first.rows() * first.width()];
    let mut total = 0.0;
    for (member, weight) in weights.iter().filter(|(_, weight)| *weight > 0.0) {
        if let Some(member) = members.get(*member) {
            member.add_to(&mut sums, *weight);
            total += weight;
        }
    }
    first.with_numbers(sums.into_iter().map(|sum| sum / total))
}

/// The weights of the members that were added in this number of rounds.
fn shares(counts: &[usize], rounds: usize) -> Vec<(usize, f64)> {
    let shares = counts.iter().map(|count| real(*count) / real(rounds));
    shares.enumerate().filter(|(_, share)| *share > 0.0).collect()
}

/// The cost of predictions; infinite if the measure is undefined or NaN.
fn cost(measure: Measure, predictions: &Predictions) -> f64 {
    let value = predictions.measure(measure).filter(|value| value.is_finite());
    value.map_or(f64::INFINITY, |value| Goal::of(measure).as_cost(value))
}

/// Checks that all members predict the same rows, and returns the first one.
fn check_rows(members: &[Predictions]) -> Result<&Predictions, EnsembleError> {
    let first = members.first().ok_or(EnsembleError::Empty)?;
    match members.iter().position(|member| !member.is_about_the_same_rows(first)) {
        Some(member) => Err(EnsembleError::OtherRows { member }),
        None => Ok(first),
    }
}
