//! Splits: which rows they have, how they are drawn, and how they are standardised.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

use std::collections::BTreeMap;

use caviar_common::data::{DataSpec, SplitSpec, Task};
use caviar_data::{Dataset, load, split, split_rows};
use caviar_data::{Examples, Splits, Targets};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::prop_assume;
use proptest::test_runner::TestCaseError;

/// The features are three times the number of the row, which identifies it after the split, and a
/// constant. (The number of the row itself would be left out.)
fn dataset(labels: &[String], task: Task) -> Dataset {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.csv");
    let rows: String = labels
        .iter()
        .enumerate()
        .map(|(row, label)| format!("{},0.1,{label}\n", 3 * row))
        .collect();
    std::fs::write(&path, format!("number,same,label\n{rows}")).unwrap();
    load(&DataSpec {
        source: path.to_str().unwrap().to_owned(),
        label: Some("label".to_owned()),
        ..shares(task, 0.5, 0.0)
    })
    .unwrap()
}

fn shares(task: Task, validation: f64, test: f64) -> DataSpec {
    DataSpec { task: Some(task), validation, test, ..DataSpec::default() }
}

fn of_classes(sizes: &[usize]) -> Dataset {
    let labels: Vec<String> = sizes
        .iter()
        .enumerate()
        .flat_map(|(class, &size)| vec![format!("c{class}"); size])
        .collect();
    dataset(&labels, Task::Classification)
}

fn parts(splits: &Splits) -> impl Iterator<Item = &Examples> {
    [&splits.train, &splits.validation].into_iter().chain(&splits.test)
}

/// The numbers of the rows of each split. Standardisation keeps the order of the first feature, so
/// the rank of its value among all rows is the number of the row.
fn ranks(splits: &Splits) -> Vec<Vec<usize>> {
    let mut all: Vec<(f32, usize, usize)> = Vec::new();
    for (part, examples) in parts(splits).enumerate() {
        all.extend(
            examples
                .features
                .in_memory()
                .unwrap()
                .column(0)
                .iter()
                .enumerate()
                .map(|(place, &value)| (value, part, place)),
        );
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![Vec::new(); parts(splits).count()];
    for (rank, (_, part, _)) in all.into_iter().enumerate() {
        ranks[part].push(rank);
    }
    ranks
}

fn classes(examples: &Examples) -> &[u32] {
    let Targets::Classes(classes) = &examples.targets else { panic!("classes were asked for") };
    classes
}

fn counts(examples: &Examples) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &class in classes(examples) {
        *counts.entry(class).or_default() += 1;
    }
    counts
}

fn near(count: usize, size: usize, share: f64) -> bool {
    let (count, size) = (u32::try_from(count).unwrap(), u32::try_from(size).unwrap());
    (f64::from(count) - share * f64::from(size)).abs() < 1.0
}

fn check_split(
    sizes: &[usize],
    validation: f64,
    test: f64,
    seed: u64,
) -> Result<(), TestCaseError> {
    let data = of_classes(sizes);
    let spec = shares(Task::Classification, validation, test);
    let splits = split(&data, &spec, seed).unwrap();
    let rows: usize = sizes.iter().sum();

    // Each row is in one split and keeps its label. Rows are sorted by class, so the number of a
    // row determines its class.
    let ranks = ranks(&splits);
    prop_assert_eq!(ranks.iter().map(Vec::len).sum::<usize>(), rows);
    let Targets::Classes(all) = data.targets() else { panic!("classes were asked for") };
    for (ranks, examples) in ranks.iter().zip(parts(&splits)) {
        let labels: Vec<u32> = ranks.iter().map(|&row| all[row]).collect();
        prop_assert_eq!(&labels, classes(examples));
    }

    let (of_validation, of_test) =
        (counts(&splits.validation), splits.test.as_ref().map(counts).unwrap_or_default());
    for (class, &size) in sizes.iter().enumerate() {
        let class = u32::try_from(class).unwrap();
        let count = |counts: &BTreeMap<u32, usize>| counts.get(&class).copied().unwrap_or_default();
        prop_assert!(near(count(&of_validation), size, validation));
        prop_assert!(near(count(&of_test), size, test));
        prop_assert!(count(&counts(&splits.train)) > 0);
    }
    prop_assert!(near(classes(&splits.validation).len(), rows, validation));
    prop_assert!(near(of_test.values().sum(), rows, test));

    prop_assert_eq!(&splits, &split(&data, &spec, seed).unwrap());
    let other = split(&data, &spec, seed.wrapping_add(1)).unwrap();
    prop_assert!(self::ranks(&other) != ranks);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_row_is_in_one_split_and_every_class_has_its_share(
        sizes in proptest::collection::vec(10usize..60, 2..8),
        validation in 0.05..0.45,
        test in (0.0..0.45).prop_map(|test| if test < 0.05 { 0.0 } else { test }),
        seed in any::<u64>(),
    ) {
        // Validation and test may each round up, and the smallest class still needs a row to train.
        let smallest = sizes.iter().min().copied().unwrap_or_default();
        let smallest = f64::from(u32::try_from(smallest).unwrap());
        prop_assume!(smallest * (1.0 - validation - test) >= 3.0);
        check_split(&sizes, validation, test, seed)?;
    }
}

#[test]
fn data_is_standardised_by_the_training_split_only() {
    let labels: Vec<String> = (0..40).map(|row| format!("{}", row * row)).collect();
    let data = dataset(&labels, Task::Regression);
    let splits = split(&data, &shares(Task::Regression, 0.3, 0.2), 3).unwrap();
    let values = |examples: &Examples| {
        let Targets::Values(values) = &examples.targets else { panic!("numbers were asked for") };
        values.all().to_vec()
    };
    let moments = |values: &[f32]| {
        let n = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        (mean, values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n)
    };
    let standard =
        |(mean, variance): (f64, f64)| mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6;
    assert!(standard(moments(&splits.train.features.in_memory().unwrap().column(0).to_vec())));
    assert!(standard(moments(&values(&splits.train))));
    assert!(!standard(moments(
        &splits.validation.features.in_memory().unwrap().column(0).to_vec()
    )));
    assert!(!standard(moments(&values(&splits.validation))));

    // The same linear function maps the raw numbers to the standardised ones in every split.
    let ranks = ranks(&splits);
    let train_rows: Vec<f32> =
        ranks[0].iter().map(|&row| f32::from(u8::try_from(row).unwrap())).collect();
    let (mean, variance) = moments(&train_rows);
    for (rows, examples) in ranks.iter().zip(parts(&splits)) {
        for (&row, &value) in rows.iter().zip(examples.features.in_memory().unwrap().column(0)) {
            let expected = (f64::from(u32::try_from(row).unwrap()) - mean) / variance.sqrt();
            assert!((expected - f64::from(value)).abs() < 1e-6);
        }
        assert!(
            examples.features.in_memory().unwrap().column(1).iter().all(|&value| value == 0.0),
            "a constant column is 0"
        );
    }
    assert_eq!(
        (
            splits.outputs,
            splits.validation.targets.len(),
            splits.test.map(|test| test.targets.len())
        ),
        (1, 12, Some(8))
    );
}

#[test]
fn the_split_of_a_seed_never_changes() {
    let splits = split(&of_classes(&[8, 4]), &shares(Task::Classification, 0.25, 0.25), 1).unwrap();
    assert_eq!(ranks(&splits), [vec![0, 1, 3, 7, 8, 9], vec![4, 6, 10], vec![2, 5, 11]]);
}

#[test]
fn rare_classes_stay_in_training() {
    let splits = split(&of_classes(&[1, 19]), &shares(Task::Classification, 0.5, 0.0), 1).unwrap();
    assert_eq!(counts(&splits.train), BTreeMap::from([(0, 1), (1, 9)]));
    // The large classes give what the ten classes of one row cannot spare.
    let sizes = [20, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    for (validation, test) in [(0.2, 0.1), (0.1, 0.05), (0.4, 0.3)] {
        let spec = shares(Task::Classification, validation, test);
        let splits = split(&of_classes(&sizes), &spec, 1).unwrap();
        assert_eq!(counts(&splits.train).len(), sizes.len());
        assert!(near(classes(&splits.validation).len(), 50, validation));
        assert!(near(splits.test.map_or(0, |test| classes(&test).len()), 50, test));
    }
}

#[test]
fn a_share_that_leaves_a_split_empty_is_refused() {
    let data = of_classes(&[2, 10]);
    let fails = |validation, test| {
        let error = split(&data, &shares(Task::Classification, validation, test), 1).unwrap_err();
        (error.field(), error.to_string())
    };
    for validation in [0.0, 1.0, -0.1, f64::NAN] {
        let message =
            format!("{validation} is out of range: expected a number between 0 and 1, such as 0.2");
        assert_eq!(fails(validation, 0.0), ("data.validation", message));
    }
    for test in [1.0, -0.1, f64::INFINITY] {
        let message =
            format!("{test} is out of range: expected 0 or a number between 0 and 1, such as 0.1");
        assert_eq!(fails(0.2, test), ("data.test", message));
    }
    let nothing =
        "validation = 0.5 and test = 0.5 leave no rows to train on: expected a sum below 1";
    assert_eq!(fails(0.5, 0.5), ("data.validation", nothing.to_owned()));
    let empty = "0.01 of 12 rows is less than one row: expected at least 0.041667";
    assert_eq!(fails(0.01, 0.2), ("data.validation", empty.to_owned()));
    assert_eq!(fails(0.2, 0.01), ("data.test", empty.to_owned()));
    let data = of_classes(&[2, 2]);
    let error = split(&data, &shares(Task::Classification, 0.5, 0.4), 1).unwrap_err();
    let nothing = "0.4 leaves the split empty: every class needs a row to train on, and none has \
                   another; add rows, or lower validation or test";
    assert_eq!((error.field(), error.to_string()), ("data.test", nothing.to_owned()));

    let values: Vec<String> = ["1", "2", "3"].map(str::to_owned).into();
    let error = split(&dataset(&values, Task::Regression), &shares(Task::Regression, 0.5, 0.0), 1)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 3 rows is left to train on: expected at least 2; lower validation or test"
    );
}

/// The spec of a cross-validation.
fn folded(folds: u32, task: Task, test: f64) -> DataSpec {
    DataSpec {
        split: SplitSpec { folds: Some(folds), ..SplitSpec::default() },
        ..shares(task, 0.2, test)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_row_is_in_the_test_split_or_in_one_fold_and_the_folds_have_the_same_classes(
        sizes in proptest::collection::vec(1usize..60, 2..8),
        folds in 2u32..=20,
        test in 0.0..0.4,
        seed in any::<u64>(),
    ) {
        let rows: usize = sizes.iter().sum();
        prop_assume!(rows >= 60 && (test == 0.0 || test > 0.05));
        let data = of_classes(&sizes);
        let spec = folded(folds, Task::Classification, test);
        let drawn = split_rows(&data, &spec, seed).unwrap();
        let mut all: Vec<usize> = drawn.folds.concat();
        all.sort_unstable();
        prop_assert_eq!(&all, &drawn.train);
        all.extend(&drawn.test);
        all.sort_unstable();
        prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
        prop_assert!(drawn.validation.is_empty());
        let Targets::Classes(labels) = data.targets() else { panic!("classes were asked for") };
        for class in 0..u32::try_from(sizes.len()).unwrap() {
            let of_class =
                |fold: &Vec<usize>| fold.iter().filter(|&&row| labels[row] == class).count();
            let counts: Vec<usize> = drawn.folds.iter().map(of_class).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
        let counts: Vec<usize> = drawn.folds.iter().map(Vec::len).collect();
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);

        // The examples are those rows.
        let splits = split(&data, &spec, seed).unwrap();
        for (fold, rows) in splits.folds.iter().zip(&drawn.folds) {
            let targets: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
            prop_assert_eq!(&targets, classes(&fold.validation));
            let row = |&place: &u32| drawn.train[usize::try_from(place).unwrap()];
            let others: Vec<usize> = fold.train.iter().map(row).collect();
            let expected: Vec<usize> =
                drawn.train.iter().copied().filter(|row| !rows.contains(row)).collect();
            prop_assert_eq!(others, expected);
        }
        prop_assert!(split_rows(&data, &spec, seed.wrapping_add(1)).unwrap() != drawn);
    }
}

#[test]
fn the_baseline_of_a_cross_validation_is_the_mean_over_its_folds() {
    let numbers: Vec<String> = (0..60).map(|row| format!("{}", row * row % 31)).collect();
    let data = dataset(&numbers, Task::Regression);
    let spec = folded(5, Task::Regression, 0.0);
    let summary = data.summary(&spec, 4).unwrap();
    assert_eq!((summary.train, summary.validation, summary.folds), (60, 60, 5));
    let drawn = split_rows(&data, &spec, 4).unwrap();
    let Targets::Values(values) = data.targets() else { panic!("values were asked for") };
    let values = values.all();
    let mean = |rows: &[usize]| {
        rows.iter().map(|&row| values[row]).sum::<f64>()
            / f64::from(u32::try_from(rows.len()).unwrap())
    };
    let center = mean(&drawn.train);
    let squares = |rows: &[usize], at: f64| {
        let sum: f64 = rows.iter().map(|&row| (values[row] - at).powi(2)).sum();
        sum / f64::from(u32::try_from(rows.len()).unwrap())
    };
    let variance = squares(&drawn.train, center);
    let of_fold = |fold: &Vec<usize>| {
        let others: Vec<usize> =
            drawn.train.iter().copied().filter(|row| !fold.contains(row)).collect();
        squares(fold, mean(&others)) / variance
    };
    let expected = drawn.folds.iter().map(of_fold).sum::<f64>() / 5.0;
    let found = summary.baseline.unwrap().validation.loss;
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
}

#[test]
fn folds_without_rows_are_refused() {
    let data = of_classes(&[6, 6]);
    let error = split(&data, &folded(13, Task::Classification, 0.0), 1).unwrap_err();
    assert_eq!(error.field(), "data.folds");
    assert_eq!(
        error.to_string(),
        "13 folds of 12 rows leave one empty, or too few rows to train on: expected fewer folds"
    );
    assert_eq!(split(&data, &folded(12, Task::Classification, 0.0), 1).unwrap().parts(), 12);
}
