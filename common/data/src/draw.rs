//! Which rows are in the training, the validation and the test split.

use caviar_common::data::DataSpec;
use caviar_common::numbers::{floor_to_usize, index, real};
use caviar_common::seed::{Purpose, Seed};

use crate::dataset::Dataset;
use crate::error::{DataError, TEST, VALIDATION};
use crate::examples::Targets;

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
pub(crate) struct Rows {
    pub(crate) train: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) test: Vec<usize>,
}

impl Rows {
    /// Draws the rows of each split by the shares in `spec` and the sweep's seed.
    ///
    /// The validation and test splits have the rounded share of all rows, and of every class its
    /// exact share rounded up or down, as far as each class keeps a row to train on. A class with
    /// one row is in the training split only. Regression is split at random.
    ///
    /// # Errors
    /// A share out of range, a split without a row, or a training split of fewer than 2 rows.
    pub(crate) fn draw(
        dataset: &Dataset,
        spec: &DataSpec,
        sweep_seed: u64,
    ) -> Result<Self, DataError> {
        check_shares(spec.validation, spec.test)?;
        let rows = draw(dataset, spec, sweep_seed)?;
        if rows.train.len() < 2 {
            return Err(DataError::SmallTraining {
                rows: dataset.targets().len(),
                train: rows.train.len(),
            });
        }
        Ok(rows)
    }
}

/// Assigns the rows in random order: each to validation while its class has a place there, then to
/// test, then to training.
fn draw(dataset: &Dataset, spec: &DataSpec, sweep_seed: u64) -> Result<Rows, DataError> {
    let classes = class_of_rows(dataset.targets());
    let mut sizes = vec![0; dataset.classes().len().max(1)];
    for &class in &classes {
        if let Some(size) = sizes.get_mut(class) {
            *size += 1;
        }
    }
    // Every class keeps a row to train on.
    let spare: Vec<usize> = sizes.iter().map(|size: &usize| size.saturating_sub(1)).collect();
    let mut validation = places(&sizes, &spare, spec.validation, VALIDATION)?;
    let spare = spare.iter().zip(&validation).map(|(spare, taken)| spare - taken);
    let spare: Vec<usize> = spare.collect();
    let mut test = if spec.test > 0.0 {
        places(&sizes, &spare, spec.test, TEST)?
    } else {
        vec![0; sizes.len()]
    };

    let mut rows: Vec<(usize, usize)> = classes.into_iter().enumerate().collect();
    Seed::derive(sweep_seed, 0, Purpose::Split).stream(0).shuffle(&mut rows);
    let mut parts = Rows { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
    for (row, class) in rows {
        if take_place(&mut validation, class) {
            parts.validation.push(row);
        } else if take_place(&mut test, class) {
            parts.test.push(row);
        } else {
            parts.train.push(row);
        }
    }
    for rows in [&mut parts.train, &mut parts.validation, &mut parts.test] {
        rows.sort_unstable();
    }
    Ok(parts)
}

/// The class of each row. For regression all rows are in one class.
fn class_of_rows(targets: &Targets<f64>) -> Vec<usize> {
    match targets {
        Targets::Classes(classes) => classes.iter().map(|&class| index(class)).collect(),
        Targets::Values(values) => vec![0; values.len()],
    }
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
    let rows: usize = sizes.iter().sum();
    let total = floor_to_usize((share * real(rows)).round());
    if total == 0 {
        // Rounded up to the six digits of the message, so that the share it shows is accepted.
        let least = (0.5e6 / real(rows)).ceil() / 1e6;
        return Err(DataError::EmptySplit { field, share, rows, least });
    }
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
