//! Weights of rows and of classes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests with made-up data"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use caviar_blob::{Outline, Source};
use caviar_common::data::{ClassWeights, DataSpec, SplitSpec, Task, WeightSpec};
use caviar_common::measure::Measure;
use caviar_data::{BlockSource, Bytes, Dataset, RowWeight, Targets, load, split};

/// Twelve rows: nine of the class a and three of the class b. The weight of a row is its number.
fn table() -> String {
    let row = |row: usize| {
        format!("{},{},{row}\n", row * 5 % 7, ["b", "a"][usize::from(!row.is_multiple_of(4))])
    };
    format!("x,kind,n\n{}", (0..12).map(row).collect::<String>())
}

fn spec(folder: &Path, text: &str, weights: WeightSpec) -> DataSpec {
    let path = folder.join("table.csv");
    std::fs::write(&path, text).unwrap();
    DataSpec {
        source: path.to_str().unwrap().to_owned(),
        label: Some("kind".to_owned()),
        validation: 0.25,
        test: 0.25,
        weights,
        ..DataSpec::default()
    }
}

fn by_column() -> WeightSpec {
    WeightSpec { classes: None, column: Some("n".to_owned()) }
}

#[test]
fn a_column_of_weights_is_no_input_and_goes_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), &table(), by_column());
    let data = load(&spec).unwrap();
    assert_eq!(data.column_names(), ["x"]);
    let rows = caviar_data::split_rows(&data, &spec, 5).unwrap();
    let splits = split(&data, &spec, 5).unwrap();
    let test = splits.test.as_ref().unwrap();
    for (examples, rows) in
        [(&splits.train, &rows.train), (&splits.validation, &rows.validation), (test, &rows.test)]
    {
        let weight = |row: &usize| {
            let weight = f32::from(u8::try_from(*row).unwrap());
            RowWeight { loss: weight, measures: weight }
        };
        assert_eq!(examples.weights, Some(rows.iter().map(weight).collect()));
    }
}

#[test]
fn weights_of_classes_are_factors_in_the_training_split() {
    let folder = tempfile::tempdir().unwrap();
    let given = ClassWeights::Given(BTreeMap::from([("b".to_owned(), 2.5)]));
    for (classes, expected) in [(ClassWeights::Balanced, None), (given, Some([1.0, 2.5]))] {
        let weights = WeightSpec { classes: Some(classes), column: None };
        let spec = spec(folder.path(), &table(), weights);
        let splits = split(&load(&spec).unwrap(), &spec, 5).unwrap();
        assert_eq!(splits.validation.weights, None);
        let Targets::Classes(classes) = &splits.train.targets else { panic!("no classes") };
        let count = |class| classes.iter().filter(|it| **it == class).count() as f32;
        let balanced = [0, 1].map(|class| classes.len() as f32 / (2.0 * count(class)));
        let expected = expected.unwrap_or(balanced);
        let found = splits.train.weights.unwrap();
        for (weight, class) in found.iter().zip(classes) {
            assert_eq!((weight.loss, weight.measures), (expected[*class as usize], 1.0));
        }
    }
}

#[test]
fn both_weights_are_multiplied_in_the_training_loss() {
    let folder = tempfile::tempdir().unwrap();
    let classes = ClassWeights::Given(BTreeMap::from([("a".to_owned(), 0.5)]));
    let weights = WeightSpec { classes: Some(classes), ..by_column() };
    let spec = spec(folder.path(), &table(), weights);
    let splits = split(&load(&spec).unwrap(), &spec, 5).unwrap();
    let Targets::Classes(classes) = &splits.train.targets else { panic!("no classes") };
    for (weight, class) in splits.train.weights.unwrap().iter().zip(classes) {
        assert_eq!(weight.loss, weight.measures * [0.5, 1.0][*class as usize]);
    }
    assert!(splits.validation.weights.unwrap().iter().all(|it| it.loss == it.measures));
}

#[test]
fn a_block_keeps_the_weights_and_without_them_its_version() {
    let folder = tempfile::tempdir().unwrap();
    for (weights, version) in [(by_column(), 3), (WeightSpec::default(), 2)] {
        let spec = spec(folder.path(), &table(), weights);
        let data = load(&spec).unwrap();
        let source = BlockSource::new(&data).unwrap();
        let outline = Outline::of(&source).unwrap();
        let chunks = outline.chunks_from(0).map(|(at, n)| source.chunk(at, n).unwrap().to_vec());
        let bytes: Vec<u8> = chunks.flatten().collect();
        assert_eq!(bytes[8], version);
        let path = folder.path().join("block");
        std::fs::write(&path, bytes).unwrap();
        let bytes = Bytes::of_blob(&File::open(&path).unwrap(), folder.path()).unwrap();
        let again = Dataset::from_block(bytes).unwrap();
        assert_eq!(again.digest(), data.digest());
        assert_eq!(split(&again, &spec, 5).unwrap(), split(&data, &spec, 5).unwrap());
    }
}

#[test]
fn the_baseline_counts_rows_by_their_weights() {
    let folder = tempfile::tempdir().unwrap();
    // The rare class has most of the weight.
    let text = table().replace(",a,", ",a,0").replace(",b,", ",b,1");
    let weighted = spec(folder.path(), &text, by_column());
    let plain = DataSpec { weights: WeightSpec::default(), ..weighted.clone() };
    let baseline = |spec: &DataSpec| {
        let data = load(spec).unwrap();
        data.summary(spec, 5).unwrap().baseline.unwrap().validation.accuracy.unwrap()
    };
    assert!(baseline(&weighted) > 0.5 && baseline(&weighted) < 1.0);
    assert_ne!(baseline(&weighted), baseline(&plain));
}

#[test]
fn the_baseline_has_the_measure_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let measured = |spec: &DataSpec, measure| {
        let summary = load(spec).unwrap().summary_with(spec, 5, Some(measure)).unwrap();
        let validation = summary.baseline.unwrap().validation;
        assert_eq!(validation.measured.map(|it| it.measure), Some(measure));
        (validation.measured.unwrap().value, validation)
    };
    let row = |row: usize| format!("{},{},{}\n", row * 5 % 7, ["b", "a"][row % 2], row % 9 + 1);
    let text = format!("x,kind,n\n{}", (0..60).map(row).collect::<String>());
    let weighted = spec(folder.path(), &text, by_column());
    let (loss, score) = measured(&weighted, Measure::LogLoss);
    assert!((loss - score.loss).abs() < 1e-6, "{loss} {}", score.loss);
    assert_eq!(measured(&weighted, Measure::RocAuc).0, 0.5);
    let folds = SplitSpec { folds: Some(3), ..SplitSpec::default() };
    let folds = DataSpec { split: folds, ..weighted.clone() };
    let (balanced, _) = measured(&folds, Measure::BalancedAccuracy);
    assert!((balanced - 0.5).abs() < 1e-9, "two classes in every fold: {balanced}");
    // The number of a row as the label, in its own unit.
    let rows: String = (0..100).map(|row| format!("{},{}\n", row % 7, 1_000 + row)).collect();
    let path = folder.path().join("numbers.csv");
    std::fs::write(&path, format!("x,y\n{rows}")).unwrap();
    let task = Some(Task::Regression);
    let source = path.to_str().unwrap().to_owned();
    let label = Some("y".to_owned());
    let numbers = DataSpec { source, label, task, weights: WeightSpec::default(), ..weighted };
    let (rmse, score) = measured(&numbers, Measure::Rmse);
    assert!((rmse / score.loss.sqrt() - 28.9).abs() < 2.0, "the deviation is 28.9: {rmse}");
    let r2 = measured(&numbers, Measure::R2).0;
    assert!((-1.0..0.01).contains(&r2), "{r2}");
}

#[test]
fn what_is_wrong_with_weights_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let error = |text: &str, weights: WeightSpec| {
        let spec = spec(folder.path(), text, weights);
        let error = load(&spec).and_then(|data| split(&data, &spec, 5)).unwrap_err();
        let text = error.to_string();
        let text = text.rsplit('/').next().unwrap().to_owned();
        (error.field(), text)
    };
    let changed = |cell: &str| table().replace(",b,4\n", &format!(",b,{cell}\n"));
    for cell in ["-1", "", "NA", "2e9", "many"] {
        let expected = format!(
            "table.csv, line 6: the weight in \"n\" is {cell:?}: expected a number from 0 to \
             1000000000"
        );
        assert_eq!(error(&changed(cell), by_column()), ("data.weight", expected));
    }
    let other = WeightSpec { column: Some("m".to_owned()), ..WeightSpec::default() };
    let (field, text) = error(&table(), other);
    assert!(field == "data.weight" && text.contains("has no column \"m\""), "{text}");
    let classes = ClassWeights::Given(BTreeMap::from([("c".to_owned(), 2.0)]));
    let (field, text) = error(&table(), WeightSpec { classes: Some(classes), column: None });
    assert_eq!(field, "data.class_weights");
    assert!(text.starts_with("no row has the class \"c\": expected one of \"a\", \"b\""), "{text}");
    let zeros: String = table()
        .lines()
        .map(|line| match line.rsplit_once(',') {
            Some((rest, "n")) => format!("{rest},n\n"),
            Some((rest, _)) => format!("{rest},0\n"),
            None => String::new(),
        })
        .collect();
    let (field, text) = error(&zeros, by_column());
    assert_eq!(field, "data.weight");
    assert!(text.starts_with("every row of the training split has the weight 0"), "{text}");
}

#[test]
fn rows_of_one_class_to_validate_on_are_noted_for_each_fold_and_by_weight() {
    let folder = tempfile::tempdir().unwrap();
    // Of the class b only the rows from the sixtieth on have a weight.
    let row = |row: u32| {
        let class = if row.is_multiple_of(2) { "a" } else { "b" };
        let weight = u32::from(class == "a" || row >= 60);
        format!("{},{class},{weight},{},{row}\n", row * 7 % 31, row / 10)
    };
    let rows: String = (0..100).map(row).collect();
    let text = format!("x,y,n,g,t\n{rows}");
    let note = |weights: WeightSpec, folds: Option<u32>| {
        let mut spec = spec(folder.path(), &text, weights);
        spec.label = Some("y".to_owned());
        spec.split.time = folds.is_none().then(|| "t".to_owned());
        spec.split.group = folds.map(|_| "g".to_owned());
        spec.split.folds = folds;
        (spec.validation, spec.test) = (0.5, 0.0);
        let summary = load(&spec).unwrap().summary(&spec, 5).unwrap();
        let note = summary.notes.into_iter().find(|note| note.code == "one_class");
        note.map(|note| note.text)
    };
    assert_eq!(note(WeightSpec::default(), Some(10)), None);
    let of_fold = note(by_column(), Some(10)).unwrap();
    assert!(of_fold.starts_with("every row of fold "), "{of_fold}");
    assert!(of_fold.ends_with(" has the class \"a\""), "{of_fold}");
    assert_eq!(note(by_column(), None), None);
}
