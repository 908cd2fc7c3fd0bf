//! Which rows are in the training, the validation and the test split.

use caviar_common::data::DataSpec;
use caviar_common::numbers::{floor_to_usize, index, real};
use caviar_common::seed::{Purpose, Seed};

use crate::cells::Cells;
use crate::dataset::Dataset;
use crate::error::{DataError, TEST, VALIDATION};
use crate::examples::Targets;
use crate::folds::{deal, groups_of};
use crate::table::{GIVEN_POOL, GIVEN_TEST, GIVEN_VALIDATION};

fn check_shares(validation: f64, test: f64) -> Result<(), DataError> {
    if !(validation > 0.0 && validation < 1.0) {
        return Err(DataError::Share {
            field: VALIDATION,
            value: validation,
            expected: "a number between 0 and 1, such as 0.2",
        });
    }
    if !(0.0..1.0).contains(&test) {
        return Err(DataError::Share {
            field: TEST,
            value: test,
            expected: "0 or a number between 0 and 1, such as 0.1",
        });
    }
    if validation + test >= 1.0 {
        return Err(DataError::SharesTooLarge { validation, test });
    }
    Ok(())
}

/// The rows of each split, ascending.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    pub(crate) train: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) test: Vec<usize>,
    /// The rows of each fold of a cross-validation, ascending; empty without. Together they are
    /// `train`, and `validation` is empty.
    pub(crate) folds: Vec<Vec<usize>>,
}

impl Rows {
    /// The rows that each model of a trial is trained and validated on: one pair for each fold, or
    /// the training and the validation split.
    pub(crate) fn parts(&self) -> Vec<(Vec<usize>, &[usize])> {
        if self.folds.is_empty() {
            return vec![(self.train.clone(), &self.validation)];
        }
        let others = |fold: &[usize]| {
            let others = self.train.iter().filter(|row| fold.binary_search(row).is_err());
            others.copied().collect()
        };
        self.folds.iter().map(|fold| (others(fold), fold.as_slice())).collect()
    }

    /// Draws the rows of each split by the shares in `spec` and the sweep's seed.
    ///
    /// The validation and test splits have the rounded share of all rows, and of every class its
    /// exact share rounded up or down, as far as each class keeps a row to train on. A class with
    /// one row is in the training split only. Regression is split at random.
    ///
    /// With groups or times, see [`by_group`] and [`by_time`]. A split that a file gives has its
    /// rows, and the shares are those of the other rows.
    ///
    /// A cross-validation has no validation split: [`crate::folds`] deals the rows that are not in
    /// the test split.
    ///
    /// # Errors
    /// A share out of range, a split or fold without a row, or a training split of fewer than 2
    /// rows.
    pub(crate) fn draw(
        dataset: &Dataset,
        spec: &DataSpec,
        sweep_seed: u64,
    ) -> Result<Self, DataError> {
        check_shares(spec.validation, spec.test)?;
        let rows = dataset.targets().len();
        let given = dataset.roles().given.as_ref();
        let of_file = |file: f64| {
            (0..rows).filter(move |&row| given.map_or(GIVEN_POOL, |cells| cells.get(row)) == file)
        };
        let pool: Vec<usize> = of_file(GIVEN_POOL).collect();
        let is_drawn = spec.split.validation_source.is_none() && spec.split.folds.is_none();
        let shares = Shares {
            validation: if is_drawn { spec.validation } else { 0.0 },
            test: if spec.split.test_source.is_some() { 0.0 } else { spec.test },
        };
        let mut parts = if let Some(time) = &dataset.roles().time {
            by_time(time, &pool, shares)?
        } else if let Some(groups) = &dataset.roles().group {
            by_group(groups, &pool, shares, sweep_seed)?
        } else {
            by_class(dataset, pool, shares, sweep_seed)?
        };
        parts.validation.extend(of_file(GIVEN_VALIDATION));
        parts.test.extend(of_file(GIVEN_TEST));
        for rows in [&mut parts.train, &mut parts.validation, &mut parts.test] {
            rows.sort_unstable();
        }
        if parts.train.len() < 2 {
            return Err(DataError::SmallTraining { rows, train: parts.train.len() });
        }
        if let Some(folds) = spec.split.folds {
            parts.folds = deal(dataset, &parts.train, folds, sweep_seed)?;
        }
        Ok(parts)
    }
}

/// The shares of the rows that are drawn; 0 for a split that is not drawn.
#[derive(Clone, Copy)]
struct Shares {
    validation: f64,
    test: f64,
}

impl Shares {
    /// The rounded number of rows of each split, which is at least 1 where the share is not 0.
    fn sizes(self, rows: usize) -> Result<(usize, usize), DataError> {
        Ok((size(rows, self.validation, VALIDATION)?, size(rows, self.test, TEST)?))
    }
}

fn size(rows: usize, share: f64, field: &'static str) -> Result<usize, DataError> {
    let size = floor_to_usize((share * real(rows)).round());
    if size > 0 || share == 0.0 {
        return Ok(size);
    }
    // Rounded up to the six digits of the message, so that the share it shows is accepted.
    let least = (0.5e6 / real(rows)).ceil() / 1e6;
    Err(DataError::EmptySplit { field, share, rows, least })
}

/// The latest rows are the test split, those before them the validation split, and the earliest are
/// the training split. Rows of the same time stay together, in the earlier split.
fn by_time(time: &Cells, pool: &[usize], shares: Shares) -> Result<Rows, DataError> {
    let (validation, test) = shares.sizes(pool.len())?;
    let mut order = pool.to_vec();
    order.sort_by(|&a, &b| time.get(a).total_cmp(&time.get(b)).then(a.cmp(&b)));
    let cut = |before: &[usize], size: usize| {
        let mut start = before.len() - size.min(before.len());
        let at = |place: usize| before.get(place).map(|&row| time.get(row));
        while start > 0 && start < before.len() && at(start) == at(start - 1) {
            start += 1;
        }
        start
    };
    let test_start = cut(&order, test);
    let test_rows = order.split_off(test_start);
    let validation_start = cut(&order, validation);
    let validation_rows = order.split_off(validation_start);
    for (rows, share, field) in
        [(&validation_rows, shares.validation, VALIDATION), (&test_rows, shares.test, TEST)]
    {
        if rows.is_empty() && share > 0.0 {
            return Err(DataError::OneTime { field, share });
        }
    }
    let (validation, test) = (validation_rows, test_rows);
    Ok(Rows { train: order, validation, test, folds: Vec::new() })
}

/// Assigns whole groups in random order: each to validation, or else to test, if more than half of
/// the group's rows have a place there.
fn by_group(
    groups: &Cells,
    pool: &[usize],
    shares: Shares,
    sweep_seed: u64,
) -> Result<Rows, DataError> {
    let (validation, test) = shares.sizes(pool.len())?;
    let mut drawn = groups_of(groups, pool);
    let count = drawn.len();
    Seed::derive(sweep_seed, 0, Purpose::Split).stream(0).shuffle(&mut drawn);
    let mut parts = Rows::default();
    let has_place =
        |rows: &[usize], size: usize, group: &[usize]| 2 * rows.len() + group.len() < 2 * size;
    for group in drawn {
        if has_place(&parts.validation, validation, &group) {
            parts.validation.extend(group);
        } else if has_place(&parts.test, test, &group) {
            parts.test.extend(group);
        } else {
            parts.train.extend(group);
        }
    }
    for (rows, size, field) in
        [(&parts.validation, validation, VALIDATION), (&parts.test, test, TEST)]
    {
        if rows.is_empty() && size > 0 {
            return Err(DataError::FewGroups { field, groups: count, size });
        }
    }
    Ok(parts)
}

/// Assigns the rows in random order: each to validation while its class has a place there, then to
/// test, then to training.
fn by_class(
    dataset: &Dataset,
    pool: Vec<usize>,
    shares: Shares,
    sweep_seed: u64,
) -> Result<Rows, DataError> {
    let class_of = |row: usize| match dataset.targets() {
        Targets::Classes(classes) => classes.get(row).map(|&class| index(class)),
        // For regression all rows are in one class.
        Targets::Values(_) => Some(0),
    };
    let mut sizes = vec![0; dataset.classes().len().max(1)];
    for class in pool.iter().filter_map(|&row| class_of(row)) {
        if let Some(size) = sizes.get_mut(class) {
            *size += 1;
        }
    }
    // Every class keeps a row to train on.
    let mut spare: Vec<usize> = sizes.iter().map(|size: &usize| size.saturating_sub(1)).collect();
    let mut take = |share: f64, field| -> Result<Vec<usize>, DataError> {
        if share == 0.0 {
            return Ok(vec![0; sizes.len()]);
        }
        let places = places(&sizes, &spare, share, field)?;
        spare.iter_mut().zip(&places).for_each(|(spare, taken)| *spare -= taken);
        Ok(places)
    };
    let mut validation = take(shares.validation, VALIDATION)?;
    let mut test = take(shares.test, TEST)?;

    let mut rows = pool;
    Seed::derive(sweep_seed, 0, Purpose::Split).stream(0).shuffle(&mut rows);
    let mut parts = Rows::default();
    for row in rows {
        let class = class_of(row).unwrap_or_default();
        if take_place(&mut validation, class) {
            parts.validation.push(row);
        } else if take_place(&mut test, class) {
            parts.test.push(row);
        } else {
            parts.train.push(row);
        }
    }
    Ok(parts)
}

/// How many rows of each class go into a split with this share of all rows, by the method of
/// largest remainders. No class gives more than its `spare` rows.
///
/// The places add up to the rounded share of all rows, and each class has its exact share rounded
/// up or down. Of equal remainders the larger class gives a row first, because it has more. What
/// small classes cannot spare, the others give, the largest first.
fn places(
    sizes: &[usize],
    spare: &[usize],
    share: f64,
    field: &'static str,
) -> Result<Vec<usize>, DataError> {
    let total = size(sizes.iter().sum(), share, field)?;
    let exact = sizes.iter().zip(spare);
    let mut places: Vec<usize> =
        exact.map(|(&size, &spare)| floor_to_usize(share * real(size)).min(spare)).collect();
    let mut order: Vec<(f64, usize, usize)> = sizes
        .iter()
        .enumerate()
        .map(|(class, &size)| ((share * real(size)).fract(), size, class))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    let mut missing = total.saturating_sub(places.iter().sum());
    let mut by_size: Vec<(usize, usize)> = sizes.iter().copied().zip(0..).collect();
    by_size.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let by_remainder = order.into_iter().map(|(_, _, class)| class);
    let mut next: Vec<usize> = by_remainder.collect();
    while missing > 0 {
        let before = missing;
        for class in next {
            let spare = spare.get(class).copied().unwrap_or_default();
            let place = places.get_mut(class).filter(|place| **place < spare && missing > 0);
            if let Some(place) = place {
                *place += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break;
        }
        next = by_size.iter().map(|(_, class)| *class).collect();
    }
    if places.iter().all(|&place| place == 0) {
        return Err(DataError::NothingToSpare { field, share });
    }
    Ok(places)
}

/// Takes a place of the class; false if none is left.
fn take_place(places: &mut [usize], class: usize) -> bool {
    let Some(left) = places.get_mut(class).filter(|left| **left > 0) else { return false };
    *left -= 1;
    true
}
