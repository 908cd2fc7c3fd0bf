//! Several labels in NumPy files: equal to those of the text, or refused.

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

use caviar_blob::Source;
use caviar_common::data::{DataSpec, SplitSpec, TableSpec, Task};
use caviar_data::{
    BlockSource, Bytes, Dataset, ReadOptions, RowBatch, Schema, SchemaReader, Targets, load, split,
};
use labels::{NAN, ROWS, cells, check, code, csv, later, row, schema, spec, try_later};
use support::{Folder, Npy, npz};

fn npy_spec(folder: &Folder, labels: &str) -> DataSpec {
    folder.spec("x.npy", None, Some(labels))
}

/// A matrix of the labels, the same as two lists, and as files.
fn arrays() -> Folder {
    let list = |column: usize| Npy::floats("(60,)", &cells(0..ROWS, &[column]));
    let column = |column: usize| Npy::floats("(60, 1)", &cells(0..ROWS, &[column]));
    let inputs = || Npy::floats("(60, 2)", &cells(0..ROWS, &[0, 1]));
    let labels = || Npy::floats("(60, 2)", &cells(0..ROWS, &[2, 3]));
    Folder::with(&[
        ("matrix.csv", csv(["x1", "x2", "y1", "y2"])),
        ("lists.csv", csv(["x1", "x2", "near", "far"])),
        ("columns.csv", csv(["column1", "column2", "label1", "label2"])),
        ("matrix.npz", npz(&[("x", inputs()), ("y", labels())])),
        ("lists.npz", npz(&[("far", column(3)), ("x", inputs()), ("near", list(2))])),
        ("x.npy", inputs().file()),
        ("y.npy", labels().file()),
    ])
}

#[test]
fn a_matrix_and_a_list_of_arrays_are_equal_to_the_text() {
    let folder = arrays();
    let expected = spec(&folder, "matrix.csv", &["y1", "y2"]);
    check("matrix", &spec(&folder, "matrix.npz", &["y"]), &expected);
    let regression = |spec| DataSpec { task: Some(Task::Regression), ..spec };
    check("task", &regression(spec(&folder, "matrix.npz", &["y"])), &expected);
    let expected = spec(&folder, "lists.csv", &["near", "far"]);
    check("lists", &spec(&folder, "lists.npz", &["near", "far"]), &expected);
    let expected = spec(&folder, "lists.csv", &["far", "near"]);
    check("order", &spec(&folder, "lists.npz", &["far", " near "]), &expected);
    let expected = spec(&folder, "columns.csv", &["label1", "label2"]);
    check("npy", &npy_spec(&folder, "y.npy"), &expected);
}

#[test]
fn shapes_that_are_no_labels_are_refused() {
    let zeros = |shape, count| Npy::whole(shape, &vec![0; count]);
    let folder = Folder::with(&[
        (
            "a.npz",
            npz(&[
                ("x", zeros("(6, 2)", 12)),
                ("cube", zeros("(6, 2, 2)", 24)),
                ("none", zeros("(6, 0)", 0)),
                ("wide", zeros("(6, 65)", 390)),
                ("most", Npy::whole("(6, 64)", &(0..384).collect::<Vec<_>>())),
                ("matrix", zeros("(6, 2)", 12)),
                ("a", Npy::whole("(6,)", &[1, 2, 3, 4, 5, 7])),
                ("short", zeros("(5,)", 5)),
            ]),
        ),
        ("x.npy", zeros("(6,)", 6).file()),
        ("wide.npy", zeros("(6, 65)", 390).file()),
        ("short.npy", zeros("(5, 2)", 10).file()),
    ]);
    let error = |labels: &[&str]| folder.error(&spec(&folder, "a.npz", labels));
    let any = "expected one label for each row, a shape of [rows], or 1 to 64 numbers for each \
               row, a shape of [rows, numbers]";
    for (name, shape) in [("cube", "[6, 2, 2]"), ("none", "[6, 0]"), ("wide", "[6, 65]")] {
        let expected = format!("a.npz, array {name:?}: has the shape {shape}: {any}");
        assert_eq!(error(&[name]), ("data.label", expected));
    }
    let of_list = "a.npz, array \"matrix\": has the shape [6, 2]: expected one label for each row, \
                   a shape of [rows]";
    assert_eq!(error(&["a", "matrix"]), ("data.label", of_list.to_owned()));
    let rows = "a.npz: the array \"short\" has 5 rows: expected 6, as in \"a\"";
    assert_eq!(error(&["a", "short"]), ("data.label", rows.to_owned()));
    let classes =
        DataSpec { task: Some(Task::Classification), ..spec(&folder, "a.npz", &["matrix"]) };
    let expected = "a.npz, array \"matrix\": has the shape [6, 2]: expected one class for each \
                    row, a shape of [rows]; if the rows are one-hot, save y.argmax(axis=1)";
    assert_eq!(folder.error(&classes), ("data.label", expected.to_owned()));
    let data = load(&spec(&folder, "a.npz", &["most"])).unwrap();
    assert_eq!((data.labels().count(), data.labels().last()), (64, Some("most64")));

    let error = |labels| folder.error(&npy_spec(&folder, labels));
    let expected = format!("wide.npy: has the shape [6, 65]: {any}");
    assert_eq!(error("wide.npy"), ("data.labels", expected));
    let expected = "short.npy: has 5 labels: expected 6, one for each row of x.npy";
    assert_eq!(error("short.npy"), ("data.labels", expected.to_owned()));
}

#[test]
fn labels_that_are_no_numbers_are_refused() {
    let x = || Npy::whole("(3,)", &[4, 1, 9]);
    let folder = Folder::with(&[(
        "a.npz",
        npz(&[
            ("x", x()),
            ("a", Npy::floats("(3,)", &[1.5, NAN, 2.0])),
            ("flag", Npy::bools("(3,)", &[true, false, true])),
            ("flags", Npy::bools("(3, 2)", &[true, false, true, true, false, true])),
            ("text", Npy::texts("(3,)", &["1", "2", "lots"])),
            ("inf", Npy::floats("(3, 2)", &[1.0, 2.0, 3.0, NAN, 4.0, f64::INFINITY])),
            ("huge", Npy::floats("(3, 2)", &[1.0, 2.0, -1e101, 7.0, 4.0, 3.0])),
        ]),
    )]);
    let error = |labels: &[&str]| folder.error(&spec(&folder, "a.npz", labels));
    let kind = "has booleans: expected numbers, because several labels are predicted as numbers";
    for (labels, expected) in [
        (&["a", "flag"][..], format!("a.npz, column \"flag\": {kind}")),
        (&["flags"], format!("a.npz, column \"flags1\": {kind}")),
        (
            &["a", "text"],
            "a.npz, row 2 (from 0), column \"text\": \"lots\" does not fit its column: expected \
             numbers such as 1.5 or 2e-3"
                .to_owned(),
        ),
        (
            &["inf"],
            "a.npz, row 2 (from 0), column \"inf2\": \"inf\" does not fit its column: expected a \
             finite number, or NaN for a missing value"
                .to_owned(),
        ),
        (&["huge"], "a.npz, row 1 (from 0), column \"huge1\": \"-1000".to_owned()),
    ] {
        let (field, text) = error(labels);
        assert_eq!(field, "data.label", "{text}");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn an_archive_without_a_label_or_with_one_that_is_constant_says_so() {
    let rows: Vec<f64> = (0..12).map(f64::from).collect();
    let constant: Vec<f64> = (0..12).flat_map(|row| [f64::from(row), 3.0]).collect();
    let folder = Folder::with(&[(
        "a.npz",
        npz(&[
            ("x", Npy::floats("(12,)", &rows)),
            ("y", Npy::floats("(12, 2)", &constant)),
            ("y1", Npy::floats("(12,)", &rows)),
        ]),
    )]);
    let ignoring = |name: &str, labels: &[&str]| {
        let table = TableSpec { ignore: vec![name.to_owned()], ..TableSpec::default() };
        folder.error(&DataSpec { table, ..spec(&folder, "a.npz", labels) })
    };
    let error = |labels: &[&str]| folder.error(&spec(&folder, "a.npz", labels));
    let arrays = "\"x\" (12) <f8, \"y\" (12, 2) <f8, \"y1\" (12) <f8";
    let expected = format!("a.npz: has no array \"z\": it has {arrays}");
    assert_eq!(error(&["x", "z"]), ("data.label", expected));
    let twice = "a.npz: two columns are called \"y1\": expected a different name for each column";
    assert_eq!(error(&["y"]), ("data.source", twice.to_owned()));
    let expected = "a.npz: every row has the label \"y2 = 3\": expected at least two different \
                    labels";
    std::fs::write(
        folder.path().join("a.npz"),
        npz(&[("x", Npy::floats("(12,)", &rows)), ("y", Npy::floats("(12, 2)", &constant))]),
    )
    .unwrap();
    assert_eq!(error(&["y"]), ("data.label", expected.to_owned()));
    let (field, text) = ignoring("x", &["y"]);
    assert_eq!(field, "data.label");
    assert!(text.starts_with("a.npz: no array has 12 rows like the labels in \"y\""), "{text}");
}

#[test]
fn one_hot_rows_are_numbers_with_a_warning() {
    let rows: Vec<i64> = (0..12).collect();
    let one_hot: Vec<i64> = (0..36).map(|n| i64::from(n % 3 == n / 3 % 3)).collect();
    let mut not_quite = one_hot.clone();
    not_quite[1] = 1;
    let folder = Folder::with(&[(
        "a.npz",
        npz(&[
            ("x", Npy::whole("(12,)", &rows)),
            ("y", Npy::whole("(12, 3)", &one_hot)),
            ("z", Npy::whole("(12, 3)", &not_quite)),
        ]),
    )]);
    let data = load(&spec(&folder, "a.npz", &["y"])).unwrap();
    assert_eq!((data.task(), data.labels().count()), (Task::Regression, 3));
    let note = data.notes().iter().find(|note| note.code == "one_hot_labels").unwrap();
    assert!(note.text.ends_with("to predict classes, save y.argmax(axis=1) instead"));
    assert_eq!(note.columns, ["y1", "y2", "y3"]);
    let data = load(&spec(&folder, "a.npz", &["z"])).unwrap();
    assert_eq!(code(&data, "one_hot_labels"), None);
}

#[test]
fn a_model_reads_the_labels_of_arrays_as_it_reads_text() {
    let folder = arrays();
    let of_matrix = schema(&spec(&folder, "matrix.npz", &["y"]));
    let expected = later(&of_matrix, &folder, "matrix.csv", None);
    assert_eq!((expected.numbers.len(), expected.unlabelled), (2 * (ROWS - 4), 4));
    assert_eq!(expected.numbers[2..4], row(1)[2..]);
    assert_eq!(later(&of_matrix, &folder, "matrix.npz", None), expected);
    // The labels of a model can be any columns of a matrix.
    let swapped: Vec<f64> =
        cells(0..ROWS, &[3, 2]).chunks(2).flat_map(|row| [row[0], 0.0, row[1]]).collect();
    let lists = Npy::floats("(60, 2)", &cells(0..ROWS, &[0, 1]));
    let archive = npz(&[("x", lists), ("y", Npy::floats("(60, 3)", &swapped))]);
    std::fs::write(folder.path().join("wide.npz"), archive).unwrap();
    let swapped = spec(&folder, "swapped.csv", &["y3", "y1"]);
    std::fs::write(&swapped.source, csv(["x1", "x2", "y3", "y1"])).unwrap();
    assert_eq!(later(&schema(&swapped), &folder, "wide.npz", None), expected);

    let of_lists = schema(&spec(&folder, "lists.npz", &["near", "far"]));
    assert_eq!(later(&of_lists, &folder, "lists.csv", None), expected);
    assert_eq!(later(&of_lists, &folder, "lists.npz", None), expected);
    let of_files = schema(&npy_spec(&folder, "y.npy"));
    assert_eq!(later(&of_files, &folder, "columns.csv", None), expected);
    assert_eq!(later(&of_files, &folder, "x.npy", Some("y.npy")), expected);
    // Predictions need no labels.
    let path = folder.path().join("matrix.npz");
    let open = |schema: &Schema| {
        let mut reader =
            SchemaReader::open(schema, path.to_str().unwrap(), &ReadOptions::default()).unwrap();
        let mut batch = RowBatch::default();
        assert_eq!(reader.read(&mut batch, 100).unwrap(), ROWS);
        assert_eq!(batch.truth(), None);
    };
    open(&of_matrix);
    open(&of_lists);
}

#[test]
fn later_arrays_that_do_not_have_the_labels_of_a_model_say_so() {
    let folder = arrays();
    let of_lists = schema(&spec(&folder, "lists.npz", &["near", "far"]));
    let of_files = schema(&npy_spec(&folder, "y.npy"));
    let x = || Npy::floats("(3, 2)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let near = || Npy::floats("(3,)", &[1.0, 2.0, 3.0]);
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes);
    for (far, expected) in [
        (None, "a.npz: lacks \"far\", the column that the model predicts: "),
        (
            Some(Npy::floats("(2,)", &[1.0, 2.0])),
            "a.npz: the array \"far\" has 2 rows: expected 3, as in the others",
        ),
        (
            Some(Npy::floats("(3, 2)", &[0.0; 6])),
            "a.npz, array \"far\": has the shape [3, 2]: expected one label for each row, a shape \
             of [rows]",
        ),
        (
            Some(Npy::bools("(3,)", &[true, false, true])),
            "a.npz, column \"far\": has booleans: expected numbers, because several labels are \
             predicted as numbers",
        ),
        (
            Some(Npy::floats("(3,)", &[1.0, f64::NEG_INFINITY, 2.0])),
            "a.npz, row 1 (from 0), column \"far\": \"-inf\" does not fit its column: expected a \
             finite number, or NaN for a missing value",
        ),
        (
            Some(Npy::texts("(3,)", &["1", "2", "x"])),
            "a.npz, row 2 (from 0), column \"far\": \"x\" is not a number: ",
        ),
    ] {
        let labels = far.map(|far| ("far", far));
        let all: Vec<_> = [("x", x()), ("near", near())].into_iter().chain(labels).collect();
        write("a.npz", npz(&all)).unwrap();
        let error = try_later(&of_lists, &folder, "a.npz", None).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    // A row that lacks one label is left out before the other one is looked at.
    let far = Npy::floats("(3,)", &[1.0, f64::INFINITY, 2.0]);
    let near = Npy::floats("(3,)", &[1.0, NAN, 2.0]);
    write("a.npz", npz(&[("x", x()), ("near", near), ("far", far)])).unwrap();
    let read = later(&of_lists, &folder, "a.npz", None);
    assert_eq!((read.numbers, read.unlabelled), (vec![1.0, 1.0, 2.0, 2.0], 1));

    write("short.npy", Npy::floats("(3, 2)", &[0.0; 6]).file()).unwrap();
    write("wide.npy", Npy::floats("(60, 3)", &[0.0; 180]).file()).unwrap();
    let error = |labels| try_later(&of_files, &folder, "x.npy", Some(labels)).unwrap_err();
    let expected = "short.npy: has 3 labels: expected 60, one for each row of x.npy";
    assert_eq!(error("short.npy"), expected);
    let expected = "wide.npy: has the shape [60, 3]: expected a number for each of the 2 labels of \
                    the model in each row, a shape of [rows, 2]";
    assert_eq!(error("wide.npy"), expected);
    let of_one = schema(&spec(&folder, "lists.csv", &["near"]));
    let one = folder.path().join("matrix.npz");
    std::fs::write(&one, npz(&[("x", x()), ("near", Npy::floats("(3, 2)", &[0.0; 6]))])).unwrap();
    let options = ReadOptions { needs_label: true, ..ReadOptions::default() };
    let error = SchemaReader::open(&of_one, one.to_str().unwrap(), &options).err().unwrap();
    assert!(error.to_string().ends_with("expected one label for each row, a shape of [rows]"));
    write("a.svm", b"1 1:2\n".to_vec()).unwrap();
    let error = try_later(&of_lists, &folder, "a.svm", None).unwrap_err();
    assert!(error.starts_with("a.svm: has one label for each row, and the model predicts several"));
}

#[test]
fn images_can_have_several_labels() {
    let pixels: Vec<u8> = (0..120_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
    let labels: Vec<f64> = (0..60).map(|n| if n == 9 { NAN } else { f64::from(n * n) }).collect();
    let (x, y) = (|| Npy::bytes("(30, 2, 2)", &pixels), || Npy::floats("(30, 2)", &labels));
    let folder = Folder::with(&[
        ("a.npz", npz(&[("x", x()), ("y", y())])),
        ("x.npy", x().file()),
        ("y.npy", y().file()),
    ]);
    let archive = spec(&folder, "a.npz", &["y"]);
    let (data, files) = (load(&archive).unwrap(), load(&npy_spec(&folder, "y.npy")).unwrap());
    assert_eq!(data.digest(), files.digest());
    assert_eq!(data.labels().collect::<Vec<_>>(), ["y1", "y2"]);
    let Targets::Values(numbers) = data.targets() else { panic!("they are numbers") };
    assert_eq!((numbers.rows(), numbers.row(4)), (29, &[100.0, 121.0][..]));
    let source = BlockSource::new(&data).unwrap();
    let bytes = source.chunk(0, usize::try_from(source.bytes()).unwrap()).unwrap();
    assert_eq!(Dataset::from_block(Bytes::from(bytes.into_owned())).unwrap(), data);
    let schema = schema(&archive);
    let read = later(&schema, &folder, "a.npz", None);
    assert_eq!((&read.numbers, read.inputs.len()), (&numbers.all().to_vec(), 29 * 4));
    assert_eq!(later(&schema, &folder, "x.npy", Some("y.npy")), read);
    std::fs::write(folder.path().join("y.npy"), Npy::whole("(29, 2)", &[0; 58]).file()).unwrap();
    let error = try_later(&schema, &folder, "x.npy", Some("y.npy")).unwrap_err();
    assert_eq!(error, "y.npy: has 29 labels: expected 30, one for each row of x.npy");
}

/// The archives of a table that is given in two parts.
fn given(labels: fn(std::ops::Range<usize>, &str, &str) -> Vec<u8>) -> Folder {
    Folder::with(&[
        ("a.npz", labels(0..40, "(40, 2)", "(40,)")),
        ("b.npz", labels(40..60, "(20, 2)", "(20,)")),
    ])
}

fn given_spec(folder: &Folder, labels: &[&str]) -> DataSpec {
    let path = folder.path().join("b.npz").to_str().unwrap().to_owned();
    let split = SplitSpec { validation_source: Some(path), ..SplitSpec::default() };
    DataSpec { split, ..spec(folder, "a.npz", labels) }
}

#[test]
fn files_with_given_splits_have_all_labels() {
    let matrix = |rows: std::ops::Range<usize>, shape: &str, _: &str| {
        let inputs = cells(rows.clone(), &[0, 1]);
        let labels = cells(rows, &[2, 3]);
        npz(&[("x", Npy::floats(shape, &inputs)), ("y", Npy::floats(shape, &labels))])
    };
    let lists = |rows: std::ops::Range<usize>, shape: &str, list: &str| {
        let of = |columns: &[usize]| cells(rows.clone(), columns);
        npz(&[
            ("x", Npy::floats(shape, &of(&[0, 1]))),
            ("near", Npy::floats(list, &of(&[2]))),
            ("far", Npy::floats(list, &of(&[3]))),
        ])
    };
    let (matrix, lists) = (given(matrix), given(lists));
    let (one, two) = (given_spec(&matrix, &["y"]), given_spec(&lists, &["near", "far"]));
    let validation = |spec: &DataSpec| {
        let data = load(spec).unwrap();
        (data.digest().to_owned(), split(&data, spec, 1).unwrap().validation.targets)
    };
    let (digest, targets) = validation(&one);
    assert_eq!(targets.len(), 19, "row 51 has no label");
    assert_eq!(validation(&two), (digest, targets));
    let write = |folder: &Folder, bytes| std::fs::write(folder.path().join("b.npz"), bytes);
    let x = || Npy::floats("(2, 2)", &[1.0; 4]);
    write(&matrix, npz(&[("x", x()), ("y", Npy::floats("(2, 3)", &[1.0; 6]))])).unwrap();
    let (_, text) = matrix.error(&one);
    let expected = "array \"y\": has rows of float64 [3] in one of the files with given splits";
    assert!(text.starts_with(expected), "{text}");
    let (near, far) = (Npy::floats("(2,)", &[1.0; 2]), Npy::floats("(1,)", &[1.0]));
    write(&lists, npz(&[("x", x()), ("near", near), ("far", far)])).unwrap();
    let expected = "b.npz: the array \"far\" has 1 row: expected 2, as in \"near\"";
    assert_eq!(lists.error(&two), ("data.label", expected.to_owned()));
    let (near, far) = (Npy::floats("(2,)", &[1.0; 2]), Npy::floats("(2,)", &[1.0, f64::INFINITY]));
    write(&lists, npz(&[("x", x()), ("near", near), ("far", far)])).unwrap();
    let (_, text) = lists.error(&two);
    assert!(text.starts_with("b.npz, row 1 (from 0), column \"far\": \"inf\""), "{text}");
}
