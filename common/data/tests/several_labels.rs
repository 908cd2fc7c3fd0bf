//! Tables with several columns to predict.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]
#![expect(clippy::panic, reason = "a test that cannot continue should panic")]

use std::fmt::Write;
use std::path::Path;

use caviar_blob::Source;
use caviar_common::data::{Baseline, ColumnType, DataSpec, SplitSpec, Task};
use caviar_data::{
    BlockSource, Bytes, Dataset, MemoryBudget, Numbers, ReadOptions, RowBatch, SchemaReader,
    Splits, Targets, Truth, inspect, load, split, split_within,
};

/// Two numbers to predict on very different scales, in another order than `label` names them.
fn table(folder: &Path, rows: u32) -> DataSpec {
    let mut text = "far,x,near,group\n".to_owned();
    for row in 0..rows {
        let x = f64::from(row * 37 % 101);
        let (far, near) = (5e6 + 300.0 * x, f64::from(row * 53 % 89) / 1e3);
        writeln!(text, "{far},{x},{near},{}", row % 7).unwrap();
    }
    let path = folder.join("table.csv");
    std::fs::write(&path, text).unwrap();
    DataSpec {
        source: path.to_str().unwrap().to_owned(),
        label: Some("near".to_owned()),
        more_labels: vec!["far".to_owned()],
        task: Some(Task::Regression),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    }
}

fn numbers<V: Clone>(targets: &Targets<V>) -> Numbers<V> {
    let Targets::Values(numbers) = targets else { panic!("they are numbers") };
    numbers.clone()
}

/// The table with one of its labels only.
fn with_label(spec: &DataSpec, label: &str) -> DataSpec {
    let other = if label == "near" { "far" } else { "near" };
    let mut spec = spec.clone();
    (spec.label, spec.more_labels) = (Some(label.to_owned()), Vec::new());
    spec.table.ignore = vec![other.to_owned()];
    spec
}

fn all_splits(splits: &Splits) -> Vec<Numbers> {
    let examples = [Some(&splits.train), Some(&splits.validation), splits.test.as_ref()];
    examples.into_iter().flatten().map(|it| numbers(&it.targets)).collect()
}

#[test]
fn each_label_is_standardised_as_if_it_were_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let spec = table(folder.path(), 200);
    let data = load(&spec).unwrap();
    assert_eq!(data.labels().collect::<Vec<_>>(), ["near", "far"]);
    assert_eq!(data.column_names(), ["x", "group"]);
    let read = numbers(data.targets());
    assert_eq!((read.rows(), read.outputs()), (200, 2));
    assert_eq!(read.row(1), [0.053, 5e6 + 300.0 * 37.0], "in the order of the spec");
    let both = split(&data, &spec, 3).unwrap();
    let schema = both.schema.as_ref().unwrap();
    assert_eq!((both.outputs, schema.outputs(), schema.task()), (2, 2, Task::Regression));
    let baseline = data.summary(&spec, 3).unwrap().baseline.unwrap();
    let mut losses = Vec::new();
    for (output, name) in ["near", "far"].into_iter().enumerate() {
        let spec = with_label(&spec, name);
        let data = load(&spec).unwrap();
        let one = split(&data, &spec, 3).unwrap();
        assert_eq!(one.train.features, both.train.features);
        for (one, both) in all_splits(&one).into_iter().zip(all_splits(&both)) {
            assert_eq!(one.all(), both.output(output).copied().collect::<Vec<_>>());
        }
        let standard = one.schema.as_ref().unwrap().label.standard;
        assert_eq!(standard, schema.labels().nth(output).unwrap().standard);
        losses.push(data.summary(&spec, 3).unwrap().baseline.unwrap());
    }
    let mean = |of: fn(&Baseline) -> f64| losses.iter().map(of).sum::<f64>() / 2.0;
    assert_eq!(baseline.validation.loss, mean(|it| it.validation.loss));
    assert_eq!(baseline.test.unwrap().loss, mean(|it| it.test.unwrap().loss));
}

/// What the build before several labels made of the table with the label `near`.
const DIGEST: &str = "0a7c54d8f6cd507b15dd115d15bca1ee72b53a781cf6567b0e3c6fd0211e455a";
const BLOCK: &str = "d2eea60c7f0b301f817f1758ce740d33a2632b6bb851498142bcd109cf9f93b3";

#[test]
fn a_single_label_has_the_digest_and_the_block_of_earlier_releases() {
    let folder = tempfile::tempdir().unwrap();
    let spec = with_label(&table(folder.path(), 60), "near");
    let data = load(&spec).unwrap();
    assert_eq!(data.digest(), DIGEST);
    let block = BlockSource::new(&data).unwrap();
    let bytes = block.chunk(0, usize::try_from(block.bytes()).unwrap()).unwrap();
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), BLOCK);
}

#[test]
fn a_row_that_lacks_one_of_its_labels_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = table(folder.path(), 60);
    let row = |row: u32| match row {
        3 => format!(",{row},0.5\n"),
        7 => format!("0.5,{row},NA\n"),
        _ => format!("{row},{},{}\n", row * 7 % 31, row * row % 29),
    };
    let rows: String = (0..30).map(row).collect();
    std::fs::write(&spec.source, format!("near,x,far\n{rows}")).unwrap();
    spec.table.types = [("x".to_owned(), ColumnType::Number)].into();
    let data = load(&spec).unwrap();
    assert_eq!(data.targets().len(), 28);
    let note = data.notes().iter().find(|note| note.code == "rows_without_label").unwrap();
    assert_eq!(note.text, "2 of 30 rows have no value in \"near\" or \"far\" and are left out");
    assert_eq!(note.columns, ["near", "far"]);
}

#[test]
fn a_block_has_all_labels() {
    let folder = tempfile::tempdir().unwrap();
    let spec = table(folder.path(), 60);
    let data = load(&spec).unwrap();
    let block = BlockSource::new(&data).unwrap();
    let bytes = block.chunk(0, usize::try_from(block.bytes()).unwrap()).unwrap().into_owned();
    let read = Dataset::from_block(Bytes::from(bytes.clone())).unwrap();
    assert_eq!(read, data);
    for cut in [bytes.len() - 8, bytes.len() - 1] {
        assert!(Dataset::from_block(Bytes::from(bytes[..cut].to_vec())).is_err());
    }
}

#[test]
fn inputs_in_files_have_the_targets_of_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let spec = table(folder.path(), 300);
    let data = load(&spec).unwrap();
    let memory = MemoryBudget { inputs_bytes: 64, ..MemoryBudget::DEFAULT };
    let streamed = split_within(&data, &spec, 3, memory).unwrap();
    let whole = split(&data, &spec, 3).unwrap();
    let rows = |splits: &Splits| {
        let features = splits.train.features.to_array().unwrap();
        let targets = numbers(&splits.train.targets);
        let mut rows: Vec<String> = features
            .outer_iter()
            .enumerate()
            .map(|(row, features)| format!("{features:?} {:?}", targets.row(row)))
            .collect();
        assert_eq!(targets.rows(), rows.len());
        rows.sort();
        rows
    };
    assert_eq!(rows(&streamed), rows(&whole));
    assert_eq!(streamed.validation.targets, whole.validation.targets);
}

#[test]
fn folds_and_groups_deal_rows_with_all_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = table(folder.path(), 140);
    spec.split =
        SplitSpec { folds: Some(5), group: Some("group".to_owned()), ..SplitSpec::default() };
    let data = load(&spec).unwrap();
    let splits = split(&data, &spec, 1).unwrap();
    assert_eq!(splits.folds.len(), 5);
    let validated: usize = splits.folds.iter().map(|fold| fold.validation.targets.len()).sum();
    assert_eq!(validated, splits.train.targets.len());
    assert!(splits.folds.iter().all(|fold| numbers(&fold.validation.targets).outputs() == 2));
    assert!(data.summary(&spec, 1).unwrap().baseline.unwrap().validation.loss.is_finite());
}

#[test]
fn an_inspection_describes_each_label() {
    let folder = tempfile::tempdir().unwrap();
    let inspection = inspect(&table(folder.path(), 60)).unwrap();
    assert_eq!(inspection.label.name, "near");
    assert_eq!(inspection.label.range.unwrap()[0], 0.0);
    let more: Vec<_> = inspection.more_labels.iter().map(|it| (&*it.name, it.range)).collect();
    assert_eq!(more[0].0, "far");
    assert_eq!(more[0].1.unwrap()[0], 5e6);
    assert!(!inspection.columns.iter().any(|column| column.name == "far"));
}

#[test]
fn later_rows_are_read_with_all_labels() {
    let folder = tempfile::tempdir().unwrap();
    let spec = table(folder.path(), 60);
    let data = load(&spec).unwrap();
    let splits = split(&data, &spec, 1).unwrap();
    let schema = splits.schema.as_deref().unwrap();
    schema.check().unwrap();
    let options = ReadOptions { needs_label: true, ..ReadOptions::default() };
    let mut reader = SchemaReader::open(schema, &spec.source, &options).unwrap();
    let mut batch = RowBatch::default();
    assert_eq!(reader.read(&mut batch, 100).unwrap(), 60);
    let Some(Truth::Values(values)) = batch.truth() else { panic!("labels were asked for") };
    assert_eq!(values, numbers(data.targets()).all());
    // Predictions need no label.
    let rows = folder.path().join("rows.csv");
    std::fs::write(&rows, "group,x\n1,2\n").unwrap();
    let path = rows.to_str().unwrap();
    let mut reader = SchemaReader::open(schema, path, &ReadOptions::default()).unwrap();
    assert_eq!(reader.read(&mut batch, 100).unwrap(), 1);
    let error = SchemaReader::open(schema, path, &options).err().unwrap().to_string();
    assert!(error.contains("lacks \"near\", the column that the model predicts"), "{error}");
}

#[test]
fn what_cannot_have_several_labels_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let several = DataSpec {
        label: Some("a".to_owned()),
        more_labels: vec!["b".to_owned()],
        ..DataSpec::default()
    };
    for (source, label, expected) in [
        ("data.svm", Some("a"), "a LIBSVM file has one label in each line: remove label"),
        ("data.svm", Some("label"), "remove label, or write the table as CSV"),
        ("data.idx", Some("a"), "use labels for the path of the label file of an IDX or NPY file"),
        ("data.npy", Some("a"), "use labels for the path of the label file of an IDX or NPY file"),
        ("data.npy", None, "use labels for the path of the label file of an IDX or NPY file"),
        ("builtin:digits", None, "builtin:digits has one label: remove label"),
    ] {
        let (source, label) = (source.to_owned(), label.map(str::to_owned));
        let error = load(&DataSpec { source, label, ..several.clone() }).unwrap_err();
        assert_eq!(error.field(), "data.label");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut spec = table(folder.path(), 60);
    spec.more_labels = vec!["farther".to_owned()];
    let error = load(&spec).unwrap_err().to_string();
    assert!(error.contains("no column is called \"farther\""), "{error}");
    spec.more_labels = vec!["constant".to_owned()];
    let rows: String = (0..30).map(|row| format!("{row},{},3\n", row * 7 % 11)).collect();
    std::fs::write(&spec.source, format!("near,x,constant\n{rows}")).unwrap();
    let error = load(&spec).unwrap_err().to_string();
    assert!(error.contains("every row has the label \"constant = 3\""), "{error}");
}

#[test]
fn a_label_that_is_constant_in_the_training_split_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = table(folder.path(), 60);
    // The second label begins to vary in the latest rows, which are not in the training split.
    let row = |row: u32| format!("{},{row},{},{}\n", row.max(50), row * 7 % 31, row % 4);
    let rows: String = (0..60).map(row).collect();
    std::fs::write(&spec.source, format!("far,x,near,day\n{rows}")).unwrap();
    spec.split = SplitSpec { time: Some("x".to_owned()), ..SplitSpec::default() };
    let data = load(&spec).unwrap();
    let expected = "the label \"far\" is 50 in every row of the training split: expected a label \
                    that varies there, or another split";
    let errors = [
        split(&data, &spec, 3).map(|_| ()).unwrap_err(),
        data.summary(&spec, 3).map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.field(), error.to_string().as_str()), ("data.label", expected));
    }
    let random = DataSpec { split: SplitSpec::default(), ..spec };
    let varies = split(&load(&random).unwrap(), &random, 3);
    assert!(varies.is_ok(), "its rows vary in a random split");
}

#[test]
fn a_label_has_no_other_role() {
    let folder = tempfile::tempdir().unwrap();
    let spec = table(folder.path(), 60);
    let error = |change: fn(&mut DataSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        let error = load(&spec).unwrap_err();
        (error.field(), error.to_string())
    };
    let other = "\"far\" is the label: expected another column, or another data.label";
    assert_eq!(error(|it| it.split.group = Some("far".to_owned())), ("data.group", other.into()));
    assert_eq!(error(|it| it.split.time = Some("far".to_owned())), ("data.time", other.into()));
    let (field, typed) = error(|it| {
        it.table.types.insert("near".to_owned(), ColumnType::Category);
    });
    let expected = "\"near\" is the label: remove it; data.task says how the label is read";
    assert_eq!((field, typed.as_str()), ("data.types", expected));
    // A list of all columns that can be labels stays as it is while they are tried in turn.
    let mut ignored = spec.clone();
    ignored.table.ignore = vec!["far".to_owned(), "near".to_owned()];
    assert_eq!(load(&ignored).unwrap().column_names(), ["x", "group"]);
}
