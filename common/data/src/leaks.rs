//! How well one column predicts the label without the others.
//!
//! The rows are put into groups by the value of the column, numbers into groups of equal size. A
//! row is predicted from the others of its group: the shares of their classes, or their mean; where
//! that is better, a number from its neighbours in the order of the column. The part of the
//! baseline's squared error that this saves is what the column gives alone. Every row counts once.
//!
//! A column that is nearly right everywhere is a suspect: perhaps it was made from the label. For
//! that, each group gets its most frequent class, and a number is predicted from its neighbours in
//! the order of the column, the mean of the label before and the label after it.

use caviar_common::data::ColumnType;
use caviar_common::numbers::real;

use crate::examples::{Numbers, Targets};
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
    let Some(sample) = sample(targets.len()) else { return false };
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
            let order = order(column, &sample);
            let predicts = |output| {
                let labels = labels(numbers, output, &order);
                labels.len() >= FEWEST_ROWS && left_by_neighbours(&labels) <= MOST_VARIANCE
            };
            (0..numbers.outputs()).any(predicts)
        }
    }
}

/// The part of the baseline's error that the column saves without the others, from 0 to 1: of the
/// Brier score of classes, or of the squared error; of several labels, for the one that it predicts
/// best. `None` if there are too few rows, or the sample has one label only.
pub(crate) fn part_alone(column: &Column, targets: &Targets<f64>) -> Option<f64> {
    let sample = sample(targets.len())?;
    let groups = groups(column, &sample);
    let left = match targets {
        Targets::Classes(classes) => {
            let labels: Vec<u32> =
                sample.iter().filter_map(|&row| classes.get(row).copied()).collect();
            left_of_brier(&groups, &labels)
        }
        Targets::Values(numbers) => {
            let order = order(column, &sample);
            let is_number = matches!(column.kind, ColumnType::Number | ColumnType::Date);
            let of_output = |output| {
                let left = left_by_others(&groups, &labels(numbers, output, &sample));
                // Groups of numbers are coarse. In a column with gaps, some rows lack neighbours.
                if is_number && order.len() == sample.len() && !left.is_nan() {
                    left.min(left_by_neighbours(&labels(numbers, output, &order)))
                } else {
                    left
                }
            };
            (0..numbers.outputs()).map(of_output).fold(f64::NAN, f64::min)
        }
    };
    let part = 1.0 - left;
    part.is_finite().then_some(part.clamp(0.0, 1.0))
}

/// The labels of one output, in the order of these rows.
fn labels(numbers: &Numbers<f64>, output: usize, rows: &[usize]) -> Vec<f64> {
    rows.iter().filter_map(|&row| numbers.row(row).get(output).copied()).collect()
}

/// The rows in the order of the column, without those that lack its value.
fn order(column: &Column, sample: &[usize]) -> Vec<usize> {
    let value = |row: &usize| column.cells.get(*row);
    let mut order: Vec<usize> = sample.iter().copied().filter(|row| !value(row).is_nan()).collect();
    order.sort_by(|a, b| value(a).total_cmp(&value(b)));
    order
}

/// The rows that are looked at; `None` if there are too few.
fn sample(rows: usize) -> Option<Vec<usize>> {
    let step = rows.div_ceil(MOST_ROWS).max(1);
    let sample: Vec<usize> = (0..rows).step_by(step).collect();
    (sample.len() >= FEWEST_ROWS).then_some(sample)
}

/// The share of the variance that is left if each number is predicted as the mean of the others of
/// its group. A row alone in its group gets the mean of all. NaN if all numbers are equal.
fn left_by_others(groups: &[usize], labels: &[f64]) -> f64 {
    if labels.windows(2).all(|two| two.first() == two.last()) {
        return f64::NAN;
    }
    let mean = labels.iter().sum::<f64>() / real(labels.len());
    let count = groups.iter().max().map_or(0, |last| last + 1);
    let mut sums = vec![(0.0, 0.0); count];
    for (&group, label) in groups.iter().zip(labels) {
        if let Some((rows, sum)) = sums.get_mut(group) {
            *rows += 1.0;
            *sum += label - mean;
        }
    }
    let (mut left, mut all) = (0.0, 0.0);
    for (&group, label) in groups.iter().zip(labels) {
        let (rows, sum) = sums.get(group).copied().unwrap_or_default();
        let label = label - mean;
        let others = if rows > 1.0 { (sum - label) / (rows - 1.0) } else { 0.0 };
        left += (label - others).powi(2);
        all += label.powi(2);
    }
    left / all
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
    let most = |rows: &Vec<usize>| rows.iter().max().copied().unwrap_or(0);
    real(labels.len().saturating_sub(classes_of_groups(groups, labels).iter().map(most).sum()))
}

/// The share of the Brier score that is left if each row gets the shares of the classes among the
/// others of its group. A row alone in its group gets those of all rows, and saves nothing. NaN if
/// all labels are equal.
fn left_of_brier(groups: &[usize], labels: &[u32]) -> f64 {
    let all = vec![0; labels.len()];
    let whole: f64 = classes_of_groups(&all, labels).iter().map(|rows| brier(rows)).sum();
    let of_single = whole / real(labels.len());
    let of_group = |rows: &Vec<usize>| match rows.as_slice() {
        [1] => of_single,
        rows => brier(rows),
    };
    classes_of_groups(groups, labels).iter().map(of_group).sum::<f64>() / whole
}

/// The sum of the Brier scores of some rows, if each gets the shares of the classes among the
/// others. `rows` has how many there are of each class.
fn brier(rows: &[usize]) -> f64 {
    let others = real(rows.iter().sum::<usize>().saturating_sub(1));
    let squares: f64 = rows.iter().map(|&rows| (real(rows) / others).powi(2)).sum();
    let of_class = |&rows: &usize| {
        let (share, left) = (real(rows) / others, (real(rows) - 1.0) / others);
        // Of its own class, a row sees one row less.
        real(rows) * (squares - share.powi(2) + (1.0 - left).powi(2))
    };
    rows.iter().map(of_class).sum()
}

/// Of each group, how many rows it has of each of its classes.
fn classes_of_groups(groups: &[usize], labels: &[u32]) -> Vec<Vec<usize>> {
    let mut pairs: Vec<(usize, u32)> = groups.iter().copied().zip(labels.iter().copied()).collect();
    pairs.sort_unstable();
    let of_group = |group: &[(usize, u32)]| group.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    pairs.chunk_by(|a, b| a.0 == b.0).map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;

    fn column(kind: ColumnType, values: impl Iterator<Item = f64>) -> Column {
        let cells = Cells::pack(&values.collect::<Vec<f64>>());
        Column { name: "x".to_owned(), kind, cells, categories: Vec::new(), form: None }
    }

    /// Numbers from 0 to 1 that have nothing to do with their place.
    fn shuffled(row: usize) -> f64 {
        real(row * 7919 % 1000) / 1000.0
    }

    fn near(part: Option<f64>, expected: f64) -> bool {
        part.is_some_and(|part| (part - expected).abs() < 0.01)
    }

    #[test]
    fn a_column_alone_gives_its_part_of_the_label() {
        // Classes of 400, 200 and 400 rows. The column tells the first from the others.
        let class =
            |row: usize| if row % 10 < 4 { 0 } else { 2 - u32::from(row.is_multiple_of(3)) };
        let classes: Targets<f64> = Targets::Classes((0..1000).map(class).collect());
        let tells_first = (0..1000).map(|row| f64::from(u8::from(class(row) == 0)));
        let column_of_two = column(ColumnType::Boolean, tells_first);
        // 1 - (0.4^2 + 0.2^2 + 0.4^2) = 0.64, and in the group of 600 rows 1 - (1/9 + 4/9).
        assert!(near(part_alone(&column_of_two, &classes), 1.0 - 0.6 * (4.0 / 9.0) / 0.64));
        // Rare classes count although the most frequent one stays so. 90 of 1000 rows are
        // rare, and 45 of them are among the 60 that the column names.
        let rare = |row: usize| row < 45 || (60..105).contains(&row);
        let classes: Targets<f64> =
            Targets::Classes((0..1000).map(|row| u32::from(rare(row))).collect());
        let names = column(ColumnType::Boolean, (0..1000).map(|row| f64::from(u8::from(row < 60))));
        let left = 60.0 * 0.75 * 0.25 + 940.0 * (45.0 / 940.0) * (895.0 / 940.0);
        assert!(near(part_alone(&names, &classes), 1.0 - left / (1000.0 * 0.09 * 0.91)));

        // The label is the column and as much again that the column does not know.
        let x = |row: usize| real(row % 20);
        let label = |row: usize| x(row) + 20.0 * shuffled(row);
        let labels = Numbers::from_rows(1, (0..1000).map(label).collect()).unwrap();
        let number = column(ColumnType::Category, (0..1000).map(x));
        let part = part_alone(&number, &Targets::Values(labels));
        assert!(part.is_some_and(|part| (0.4..0.6).contains(&part)), "{part:?}");
    }

    #[test]
    fn a_column_that_is_the_label_gives_all_of_it() {
        for label in [|row: usize| real(row % 60), |row: usize| (real(row % 997) / 90.0).exp()] {
            let labels = Numbers::from_rows(1, (0..1000).map(label).collect()).unwrap();
            let column = column(ColumnType::Number, (0..1000).map(label));
            let part = part_alone(&column, &Targets::Values(labels));
            assert!(part.is_some_and(|part| part > 0.99), "{part:?}");
        }
        let constant = Numbers::from_rows(1, vec![0.1; 1000]).unwrap();
        let column = column(ColumnType::Number, (0..1000).map(real));
        assert_eq!(part_alone(&column, &Targets::Values(constant)), None);
    }

    #[test]
    fn a_column_without_the_label_gives_nothing_however_many_values_it_has() {
        let labels = Numbers::from_rows(1, (0..1000).map(shuffled).collect()).unwrap();
        let classes: Targets<f64> =
            Targets::Classes((0..1000).map(|row| u32::from(shuffled(row) < 0.5)).collect());
        for values in [2, 10, 300, 1000] {
            let column = column(ColumnType::Category, (0..1000).map(|row| real(row % values)));
            for targets in [&classes, &Targets::Values(labels.clone())] {
                let part = part_alone(&column, targets);
                assert!(part.is_some_and(|part| part < 0.1), "{values}: {part:?}");
            }
        }
        // Ten classes, and a column that names the row.
        let ten: Targets<f64> =
            Targets::Classes((0..1000).map(|row| row * 7919 % 1000 / 100).collect());
        let column_of_names = column(ColumnType::Category, (0..1000).map(real));
        assert!(near(part_alone(&column_of_names, &ten), 0.0));
        let few: Targets<f64> = Targets::Classes((0..49).map(|row| row % 2).collect());
        let column = column(ColumnType::Number, (0..49).map(|row| f64::from(row % 2)));
        assert_eq!(part_alone(&column, &few), None);
    }
}
