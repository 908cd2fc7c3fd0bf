//! Several labels in Parquet and Arrow files: equal to those of the text, or refused.

#![cfg(feature = "arrow")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

#[allow(dead_code, reason = "each file of tests uses a part")]
#[path = "support/labels.rs"]
mod labels;

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use caviar_common::data::{DataSpec, SplitSpec, TableSpec};
use caviar_data::{load, split};
use labels::{NAN, ROWS, cells, check, csv, later, row, schema, spec, try_later};
use support::Folder;

const NAMES: [&str; 4] = ["x1", "x2", "near", "far"];
const FILES: [&str; 3] = ["a.parquet", "a.arrow", "a.arrows"];

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Float64Array>())
}

fn column(rows: std::ops::Range<usize>, column: usize) -> ArrayRef {
    floats(&cells(rows, &[column]))
}

/// The files of a table in all formats, in row groups and batches of some rows.
fn files(columns: Vec<(&str, ArrayRef)>) -> Vec<(&'static str, Vec<u8>)> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(ROWS / 3)).build();
    let mut parquet = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(groups)).unwrap();
    parquet.write(&batch).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    let first = batch.num_rows() / 2;
    for part in [batch.slice(0, first), batch.slice(first, batch.num_rows() - first)] {
        file.write(&part).unwrap();
        stream.write(&part).unwrap();
    }
    let bytes =
        [parquet.into_inner().unwrap(), file.into_inner().unwrap(), stream.into_inner().unwrap()];
    FILES.into_iter().zip(bytes).collect()
}

fn all() -> Vec<(&'static str, ArrayRef)> {
    NAMES.into_iter().zip((0..4).map(|index| column(0..ROWS, index))).collect()
}

fn folder(columns: Vec<(&str, ArrayRef)>) -> Folder {
    let mut files = files(columns);
    files.push(("a.csv", csv(NAMES)));
    Folder::with(&files)
}

#[test]
fn columnar_labels_are_equal_to_those_of_the_text() {
    let folder = folder(all());
    for labels in [["near", "far"], ["far", " near "]] {
        let expected = spec(&folder, "a.csv", &labels);
        for name in FILES {
            check(name, &spec(&folder, name, &labels), &expected);
        }
    }
    // Text that is written as numbers, and whole numbers.
    let texts = cells(0..ROWS, &[2]).into_iter().map(|v| (!v.is_nan()).then(|| v.to_string()));
    let whole = cells(0..ROWS, &[3]).into_iter().map(|v| {
        let digits = v.to_string();
        digits.parse::<i64>().ok()
    });
    let mut columns = all();
    columns[2].1 = Arc::new(texts.collect::<StringArray>());
    columns[3].1 = Arc::new(whole.collect::<Int64Array>());
    let folder = crate::folder(columns);
    let expected = spec(&folder, "a.csv", &["near", "far"]);
    for name in FILES {
        check(name, &spec(&folder, name, &["near", "far"]), &expected);
    }
}

#[test]
fn a_model_reads_the_labels_of_columnar_files_as_it_reads_text() {
    let folder = folder(all());
    let of_parquet = schema(&spec(&folder, "a.parquet", &["near", "far"]));
    let expected = later(&of_parquet, &folder, "a.csv", None);
    assert_eq!((expected.numbers.len(), expected.unlabelled), (2 * (ROWS - 4), 4));
    assert_eq!(expected.numbers[2..4], row(1)[2..]);
    let of_text = schema(&spec(&folder, "a.csv", &["near", "far"]));
    for name in FILES {
        assert_eq!(later(&of_parquet, &folder, name, None), expected, "{name}");
        assert_eq!(later(&of_text, &folder, name, None), expected, "{name}");
    }
    let mut columns = all();
    columns[3].1 = Arc::new(BooleanArray::from(vec![true; ROWS]));
    let folder = crate::folder(columns.clone());
    for name in FILES {
        let error = try_later(&of_text, &folder, name, None).unwrap_err();
        let expected = format!("{name}, column \"far\": has booleans: expected numbers");
        assert!(error.starts_with(&expected), "{error}");
    }
    columns.pop();
    let folder = crate::folder(columns);
    let error = try_later(&of_text, &folder, "a.arrow", None).unwrap_err();
    assert!(error.starts_with("a.arrow: lacks \"far\", the column that the model predicts"));
}

#[test]
fn columnar_labels_are_checked_like_those_of_text() {
    let lists = (0..4).map(|row| Some(vec![Some(row)]));
    let folder = folder(vec![
        ("x", floats(&[4.0, 1.0, 9.0, 3.0])),
        ("a", floats(&[1.0, NAN, 3.0, 4.0])),
        ("inf", floats(&[1.0, f64::INFINITY, f64::NEG_INFINITY, 4.0])),
        ("same", floats(&[2.0, 1.0, 2.0, 2.0])),
        ("text", Arc::new(StringArray::from(vec!["1", "many", "3", "?"]))),
        ("flag", Arc::new(BooleanArray::from(vec![true, false, true, false]))),
        ("day", Arc::new(Date32Array::from(vec![1, 2, 3, 4]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
    ]);
    let kind = "expected numbers, because several labels are predicted as numbers";
    let columns = "expected one of \"x\", \"a\", \"inf\", \"same\", \"text\", \"flag\", \
                   \"day\", \"list\"";
    for name in FILES {
        for (labels, expected) in [
            (&["a", "flag"][..], format!("{name}, column \"flag\": has booleans: {kind}")),
            (&["day", "a"], format!("{name}, column \"day\": has dates or times: {kind}")),
            (
                &["a", "inf"],
                format!("{name}, row 2 (from 0), column \"inf\": \"-inf\" does not fit its"),
            ),
            (
                &["a", "text"],
                format!("{name}, row 3 (from 0), column \"text\": \"?\" does not fit its"),
            ),
            (&["a", "A"], format!("{name} has no column \"A\": {columns}; did you mean \"a\"")),
            (
                &["a", "same"],
                format!(
                    "{name}: every row has the label \"same = 2\": expected at least two \
                     different labels"
                ),
            ),
        ] {
            // As an input, the infinite number would be refused too.
            let table = TableSpec { ignore: vec!["inf".to_owned()], ..TableSpec::default() };
            let spec = DataSpec { table, ..spec(&folder, name, labels) };
            let (field, text) = folder.error(&spec);
            assert_eq!(field, "data.label", "{text}");
            assert!(text.starts_with(&expected), "{text}");
        }
        let (field, text) = folder.error(&spec(&folder, name, &["a", "list"]));
        assert_eq!(field, "data.label");
        let start = format!("{name}: the column \"list\" has the type List");
        let end = "which cannot be predicted: expected numbers";
        assert!(text.starts_with(&start) && text.ends_with(end), "{text}");
        let labels = ["x", "a", "inf", "same", "text", "flag", "day", "list"];
        let text = folder.error(&spec(&folder, name, &labels[..7])).1;
        assert!(text.starts_with(&format!("{name}, column \"flag\"")), "{text}");
    }
    let folder = crate::folder(all());
    let (field, text) = folder.error(&spec(&folder, "a.parquet", &NAMES));
    assert_eq!(field, "data.source");
    assert!(text.starts_with("a.parquet: has no features"), "{text}");
}

#[test]
fn columnar_files_with_given_splits_have_all_labels() {
    let part = |rows: std::ops::Range<usize>| {
        let columns = (0..4).map(move |index| column(rows.clone(), index));
        files(NAMES.into_iter().zip(columns).collect())
    };
    let (first, second) = (part(0..40), part(40..ROWS));
    for ((name, bytes), (_, more)) in first.into_iter().zip(second) {
        let other = name.replace("a.", "b.");
        let folder = Folder::with(&[(name, bytes), (&other, more)]);
        let path = folder.path().join(&other).to_str().unwrap().to_owned();
        let given = SplitSpec { validation_source: Some(path), ..SplitSpec::default() };
        let spec = DataSpec { split: given, ..spec(&folder, name, &["near", "far"]) };
        let data = load(&spec).unwrap();
        assert_eq!(data.targets().len(), ROWS - 4);
        assert_eq!(split(&data, &spec, 1).unwrap().validation.targets.len(), 19, "{name}");
    }
}
