//! Whether one column predicts the label almost without the others.
//!
//! For classes, the rows are put into groups by the value of the column, numbers into groups of
//! equal size, and each group gets its most frequent class. A number is predicted from its
//! neighbours in the order of the column: the mean of the label before and the label after it. If
//! that is nearly right everywhere, the column is a suspect: perhaps it was made from the label.

use std::collections::BTreeMap;

use caviar_common::data::ColumnType;
use caviar_common::numbers::real;

use crate::examples::Targets;
use crate::table::Column;

/// Most rows that are looked at, evenly from the whole table.
const MOST_ROWS: usize = 5_000;
/// Fewest rows, and fewest in a group on average, for which agreement is not a coincidence.
const FEWEST_ROWS: usize = 50;
const FEWEST_IN_GROUP: usize = 20;
/// Most groups of a number.
const MOST_GROUPS: usize = 50;
/// Largest share of the rows that the groups get wrong.
const MOST_ERRORS: f64 = 0.01;
/// The same, as a share of what the most frequent class gets wrong: in iris, which has no leak, the
/// width of the petals gets 0.06 of it wrong.
const MOST_OF_BASELINE: f64 = 0.05;
/// Largest share of the variance of a label that the neighbours leave.
const MOST_VARIANCE: f64 = 0.01;

pub(crate) fn predicts_label(column: &Column, targets: &Targets<f64>) -> bool {
    let rows = targets.len();
    let step = rows.div_ceil(MOST_ROWS).max(1);
    let sample: Vec<usize> = (0..rows).step_by(step).collect();
    if sample.len() < FEWEST_ROWS {
        return false;
    }
    match targets {
        Targets::Classes(classes) => {
            let groups = groups(column, &sample);
            let count = groups.iter().max().map_or(0, |last| last + 1);
            if count < 2 || count * FEWEST_IN_GROUP > sample.len() {
                return false;
            }
            let labels = sample.iter().filter_map(|&row| classes.get(row).copied());
            let labels: Vec<u32> = labels.collect();
            let all = vec![0; labels.len()];
            let (baseline, errors) = (errors(&all, &labels), errors(&groups, &labels));
            errors <= MOST_ERRORS * real(labels.len()) && errors <= MOST_OF_BASELINE * baseline
        }
        Targets::Values(numbers) => {
            let value = |row: &usize| column.cells.get(*row);
            let mut order: Vec<usize> =
                sample.iter().copied().filter(|row| !value(row).is_nan()).collect();
            order.sort_by(|a, b| value(a).total_cmp(&value(b)));
            let predicts = |output| {
                let of_row = |&row: &usize| numbers.row(row).get(output).copied();
                let labels: Vec<f64> = order.iter().filter_map(of_row).collect();
                labels.len() >= FEWEST_ROWS && left_by_neighbours(&labels) <= MOST_VARIANCE
            };
            (0..numbers.outputs()).any(predicts)
        }
    }
}

/// The share of the variance that is left if each number is predicted as the mean of the one before
/// and the one after it.
fn left_by_neighbours(labels: &[f64]) -> f64 {
    let count = real(labels.len());
    let mean = labels.iter().sum::<f64>() / count;
    let variance = labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / count;
    let squares: f64 = labels
        .windows(3)
        .filter_map(|three| match three {
            [before, label, after] => Some((label - (before + after) / 2.0).powi(2)),
            _ => None,
        })
        .sum();
    squares / (count - 2.0) / variance
}

/// The group of each row of the sample, from 0.
fn groups(column: &Column, sample: &[usize]) -> Vec<usize> {
    let values: Vec<f64> = sample.iter().map(|&row| column.cells.get(row)).collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    let value = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    // Missing values are last, in a group of their own.
    order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    let size = match column.kind {
        ColumnType::Number | ColumnType::Date => {
            FEWEST_IN_GROUP.max(values.len().div_ceil(MOST_GROUPS))
        }
        // Every value is a group.
        ColumnType::Boolean | ColumnType::Category => 1,
    };
    let (mut groups, mut group, mut in_group) = (vec![0; values.len()], 0, 0);
    let mut before = order.first().map_or(f64::NAN, |&place| value(place));
    for place in order {
        let is_same = value(place) == before || value(place).is_nan() && before.is_nan();
        if !is_same && (in_group >= size || value(place).is_nan()) {
            group += 1;
            in_group = 0;
        }
        before = value(place);
        in_group += 1;
        if let Some(slot) = groups.get_mut(place) {
            *slot = group;
        }
    }
    groups
}

/// Rows that do not have the most frequent class of their group.
fn errors(groups: &[usize], labels: &[u32]) -> f64 {
    let mut counts: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    for (&group, &label) in groups.iter().zip(labels) {
        *counts.entry((group, label)).or_default() += 1;
    }
    let mut most: BTreeMap<usize, usize> = BTreeMap::new();
    for ((group, _), count) in counts {
        let best = most.entry(group).or_default();
        *best = count.max(*best);
    }
    real(labels.len().saturating_sub(most.values().sum()))
}
