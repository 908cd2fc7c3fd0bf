//! The folds of a cross-validation.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use caviar_common::numbers::{floor_to_usize, index, to_u64};
use caviar_common::seed::{Purpose, Seed};

use crate::cells::Cells;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::examples::Targets;

/// Deals the rows of `pool` to `folds` folds by the sweep's seed. The rows of a fold are ascending.
///
/// The folds are stratified: of all rows and of every class, any two folds have the same number or
/// one more or less. With groups in the data, whole groups are dealt instead, the largest first,
/// each to the fold that has the fewest rows so far.
///
/// # Errors
/// A fold without a row, or one that leaves fewer than 2 rows to train on.
pub(crate) fn deal(
    dataset: &Dataset,
    pool: &[usize],
    folds: u32,
    sweep_seed: u64,
) -> Result<Vec<Vec<usize>>, DataError> {
    // The splits are drawn from stream 0, and rows of a file are shuffled with stream 1.
    let mut draws = Seed::derive(sweep_seed, 0, Purpose::Split).stream(2);
    let mut dealt = vec![Vec::new(); index(folds)];
    let groups = dataset.roles().group.as_ref();
    let group_count = match groups {
        Some(groups) => Some(deal_groups(groups, pool, &mut dealt, |it| draws.shuffle(it))),
        None => {
            let class = |row: usize| match dataset.targets() {
                Targets::Classes(classes) => classes.get(row).copied().unwrap_or_default(),
                // For regression all rows are in one class.
                Targets::Values(_) => 0,
            };
            let mut rows: Vec<(u32, usize)> = pool.iter().map(|&row| (class(row), row)).collect();
            draws.shuffle(&mut rows);
            // Stable: the rows of a class stay in random order.
            rows.sort_by_key(|(class, _)| *class);
            let places = (0..dealt.len()).cycle();
            for ((_, row), place) in rows.into_iter().zip(places) {
                if let Some(fold) = dealt.get_mut(place) {
                    fold.push(row);
                }
            }
            None
        }
    };
    let is_wrong = |fold: &Vec<usize>| fold.is_empty() || pool.len() - fold.len() < 2;
    if dealt.iter().any(is_wrong) {
        return Err(DataError::ManyFolds { folds, rows: pool.len(), groups: group_count });
    }
    dealt.iter_mut().for_each(|fold| fold.sort_unstable());
    Ok(dealt)
}

/// Returns the number of groups.
fn deal_groups(
    groups: &Cells,
    pool: &[usize],
    dealt: &mut [Vec<usize>],
    shuffle: impl FnOnce(&mut [Vec<usize>]),
) -> usize {
    let mut groups = groups_of(groups, pool);
    let count = groups.len();
    shuffle(&mut groups);
    groups.sort_by_key(|group| Reverse(group.len()));
    for group in groups {
        // The first of the smallest.
        if let Some(fold) = dealt.iter_mut().min_by_key(|fold| fold.len()) {
            fold.extend(group);
        }
    }
    count
}

/// The rows of each group, in the order of the groups.
pub(crate) fn groups_of(groups: &Cells, pool: &[usize]) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &row in pool {
        let code = groups.get(row);
        // A row without a group comes after all groups, in one of its own.
        let key = if code.is_nan() { u64::MAX - to_u64(row) } else { to_u64(floor_to_usize(code)) };
        members.entry(key).or_default().push(row);
    }
    members.into_values().collect()
}
