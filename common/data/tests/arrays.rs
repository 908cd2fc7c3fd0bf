//! NPY, NPZ and LIBSVM files, correct and faulty.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use caviar_common::data::{ColumnType, DataSpec, TableSpec, Task};
use caviar_data::{Targets, header, inspect, split};
use support::{Folder, Npy, npz};

const NAN: f64 = f64::NAN;

fn codes(data: &caviar_data::Dataset) -> Vec<&str> {
    data.notes().iter().map(|note| note.code.as_str()).collect()
}

#[test]
fn a_matrix_becomes_columns() {
    let folder = Folder::with(&[
        ("x.npy", Npy::floats("(4, 2)", &[1.5, 2.0, NAN, 4.0, -0.0, 6.0, 7.0, 8.0]).file()),
        ("y.npy", Npy::whole("(4,)", &[1, 0, 1, 10]).file()),
        ("column.npy", Npy::whole("(4, 1)", &[1, 0, 1, 10]).file()),
        ("list.npy", Npy::bools("(4,)", &[true, false, false, true]).file()),
    ]);
    let spec = |labels| DataSpec {
        task: Some(Task::Regression),
        ..folder.spec("x.npy", None, Some(labels))
    };
    let data = caviar_data::load(&spec("y.npy")).unwrap();
    assert_eq!(data.column_names(), ["column1", "column2"]);
    assert!(data.column(0)[1].is_nan());
    assert!(data.column(0)[2].is_sign_positive());
    assert_eq!(data.column(1), [2.0, 4.0, 6.0, 8.0]);
    assert_eq!(data.targets(), &Targets::Values(vec![1.0, 0.0, 1.0, 10.0].into()));
    assert_eq!(caviar_data::load(&spec("column.npy")).unwrap(), data);
    let error = folder.load("x.npy", None, Some("absent.npy")).unwrap_err();
    assert_eq!(error.field(), "data.labels");
    let flags = folder.load("list.npy", None, Some("list.npy")).unwrap();
    assert_eq!(flags.column_type(0), Some(ColumnType::Boolean));
    assert_eq!(flags.classes(), ["false", "true"]);
    assert_eq!(flags.column(0), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn images_are_the_same_as_in_an_idx_file() {
    let pixels: Vec<u8> = (0..60).collect();
    let idx = |start: &[u8], content: &[u8]| [start, content].concat();
    let labels = [3_u8, 5, 3, 5, 3];
    let folder = Folder::with(&[
        ("i.idx", idx(&[0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 4], &pixels)),
        ("l.idx", idx(&[0, 0, 8, 1, 0, 0, 0, 5], &labels)),
        ("i.npy", Npy::bytes("(5, 3, 4)", &pixels).file()),
        ("channels.npy", Npy::bytes("(5, 3, 2, 2)", &pixels).file()),
        ("l.npy", Npy::bytes("(5,)", &labels).file()),
        ("l2.npy", Npy::floats("(5,)", &[3.0, NAN, 3.0, 5.0, 5.0]).file()),
        (
            "both.npz",
            npz(&[
                ("x", Npy::bytes("(5, 3, 4)", &pixels)),
                ("y", Npy::whole("(5,)", &[3, 5, 3, 5, 3])),
                ("test", Npy::bytes("(2, 3, 4)", &pixels[..24])),
            ]),
        ),
    ]);
    let idx = folder.load("i.idx", None, Some("l.idx")).unwrap();
    assert_eq!(idx.column_names()[4], "pixel_1_0");
    assert_eq!(folder.load("i.npy", None, Some("l.npy")).unwrap(), idx);
    assert_eq!(folder.load("channels.npy", None, Some("l.npy")).unwrap(), idx);
    assert_eq!(folder.load("both.npz", Some("y"), None).unwrap().digest(), idx.digest());
    let fewer = folder.load("i.npy", None, Some("l2.npy")).unwrap();
    assert_eq!(fewer.column(0), [0.0, 24.0, 36.0, 48.0], "the row without a label is left out");
    assert_eq!(codes(&fewer), ["rows_without_label"]);
    let table = TableSpec { ignore: vec!["a".to_owned()], ..TableSpec::default() };
    let spec = DataSpec { table, ..folder.spec("i.npy", None, Some("l.npy")) };
    assert_eq!(folder.error(&spec).0, "data.ignore");
    assert!(inspect(&folder.spec("i.idx", None, Some("l.idx"))).is_err());
}

#[test]
fn other_arrays_of_more_dimensions_are_flattened() {
    let folder = Folder::with(&[
        (
            "x.npy",
            Npy::floats(
                "(4, 2, 2)",
                &[1.0, 2.0, 9.0, 4.0, 5.0, 1.0, 7.0, 8.0, 4.0, 0.0, 0.0, 1.0, 3.0, 3.0, 3.0, 3.0],
            )
            .file(),
        ),
        ("y.npy", Npy::texts("(4,)", &["a", "b", "a", "b"]).file()),
    ]);
    let data = folder.load("x.npy", None, Some("y.npy")).unwrap();
    assert_eq!(data.column_names(), ["column1", "column2", "column3", "column4"]);
    assert_eq!(data.column(2), [9.0, 7.0, 0.0, 3.0]);
    assert_eq!(data.classes(), ["a", "b"]);
}

#[test]
fn the_task_follows_from_the_labels() {
    let rows: Vec<f64> = (0..40).map(|row| f64::from(row * 7 % 40)).collect();
    let whole: Vec<i64> = (0..40).map(|row| row * 3 % 40).collect();
    let few: Vec<i64> = (0..40).map(|row| row * 3 % 20).collect();
    let halves: Vec<f64> = (0..40).map(|row| f64::from(row % 3) / 2.0).collect();
    let texts: Vec<String> = whole.iter().map(i64::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let folder = Folder::with(&[
        ("x.npy", Npy::floats("(40,)", &rows).file()),
        ("whole.npy", Npy::whole("(40,)", &whole).file()),
        ("few.npy", Npy::whole("(40,)", &few).file()),
        ("halves.npy", Npy::floats("(40,)", &halves).file()),
        ("texts.npy", Npy::texts("(40,)", &texts).file()),
    ]);
    let task = |labels| folder.load("x.npy", None, Some(labels)).unwrap().task();
    assert_eq!(task("whole.npy"), Task::Regression);
    assert_eq!(task("texts.npy"), Task::Regression, "text of numbers, as in a text file");
    assert_eq!(task("few.npy"), Task::Classification);
    assert_eq!(task("halves.npy"), Task::Regression);
    let spec = folder.spec("x.npy", None, Some("halves.npy"));
    let spec = DataSpec { task: Some(Task::Classification), ..spec };
    let data = caviar_data::load(&spec).unwrap();
    assert_eq!(data.classes(), ["0", "0.5", "1"]);
    assert!(codes(&data).contains(&"label_is_a_number"));
}

#[test]
fn long_whole_numbers_are_exact_as_classes_and_noted_as_inputs() {
    let long = 2_023_552_585_717_889_801_i64;
    let folder = Folder::with(&[
        ("x.npy", Npy::whole("(4, 2)", &[long, 4, long + 1, 3, 5, 9, 7, 9]).file()),
        ("y.npy", Npy::whole("(4,)", &[long, long + 1, long, long + 1]).file()),
    ]);
    let spec = folder.spec("x.npy", None, Some("y.npy"));
    let data = caviar_data::load(&spec).unwrap();
    assert_eq!(data.classes(), [long.to_string(), (long + 1).to_string()]);
    let note = data.notes().iter().find(|note| note.code == "rounded_numbers").unwrap();
    assert_eq!(note.columns, ["column1"]);
}

#[test]
fn a_value_that_is_no_number_names_its_row_and_column() {
    let labels = ("y.npy", Npy::whole("(4,)", &[1, 0, 1, 0]).file());
    let folder = Folder::with(&[
        labels,
        ("inf.npy", Npy::floats("(2, 2)", &[1.0, 2.0, f64::INFINITY, 4.0]).file()),
        ("big.npy", Npy::floats("(4, 2)", &[1.0, 2.0, 3.0, 4.0, 5.0, -1e101, 7.0, 8.0]).file()),
        ("y2.npy", Npy::floats("(2,)", &[1.0, f64::NEG_INFINITY]).file()),
        ("cube.npy", Npy::whole("(4, 2, 1)", &[0; 8]).file()),
        ("x.npy", Npy::whole("(4,)", &[1, 2, 3, 4]).file()),
        ("words.npy", Npy::texts("(4,)", &["1", "2", "x", "4"]).file()),
    ]);
    let error = |source, labels, task| {
        folder.error(&DataSpec { task, ..folder.spec(source, None, Some(labels)) })
    };
    let expected = "inf.npy, row 1 (from 0), column \"column1\": \"inf\" does not fit its column: \
                    expected a finite number, or NaN for a missing value";
    let two = Npy::whole("(2,)", &[0, 1]).file();
    std::fs::write(folder.path().join("y3.npy"), two).unwrap();
    assert_eq!(error("inf.npy", "y3.npy", None), ("data.source", expected.to_owned()));
    let (field, text) = error("big.npy", "y.npy", None);
    assert_eq!(field, "data.source");
    assert!(text.contains("row 2 (from 0), column \"column2\"") && text.contains("too large"));
    for task in [None, Some(Task::Classification), Some(Task::Regression)] {
        let (field, text) = error("y3.npy", "y2.npy", task);
        assert_eq!(field, "data.labels");
        assert!(text.starts_with("y2.npy, row 1 (from 0), column \"label\": \"-inf\""), "{text}");
    }
    let shape = "cube.npy: has the shape [4, 2, 1]: expected one label for each row, a shape of \
                 [rows], or 1 to 64 numbers for each row, a shape of [rows, numbers]";
    assert_eq!(error("x.npy", "cube.npy", None), ("data.labels", shape.to_owned()));
    let count = "y3.npy: has 2 labels: expected 4, one for each row of x.npy";
    assert_eq!(error("x.npy", "y3.npy", None), ("data.labels", count.to_owned()));
    let (field, text) = error("x.npy", "words.npy", Some(Task::Regression));
    assert_eq!(field, "data.labels");
    assert!(text.contains("row 2 (from 0), column \"label\": \"x\" does not fit"), "{text}");
}

fn archive() -> Folder {
    let ids: Vec<i64> = (0..4).map(|row| row * 5 % 7).collect();
    Folder::with(&[(
        "data.npz",
        npz(&[
            ("x", Npy::floats("(4, 2)", &[1.0, 2.0, 3.0, 4.0, 6.0, 5.0, 7.0, 8.0])),
            ("age", Npy::whole("(4,)", &ids)),
            ("flag", Npy::bools("(4,)", &[true, false, true, true])),
            ("day", Npy::texts("(4,)", &["2024-05-01", "2023-01-02", "", "2024-01-01"])),
            ("kind", Npy::texts("(4, 1)", &["b", "a", "nan", "b"])),
            ("y", Npy::texts("(4,)", &["no", "yes", "no", "yes"])),
            ("other", Npy::whole("(3,)", &[1, 2, 3])),
        ]),
    )])
}

#[test]
fn the_other_arrays_of_an_archive_are_inputs() {
    let folder = archive();
    let data = folder.load("data.npz", Some("y"), None).unwrap();
    assert_eq!(data.column_names(), ["x1", "x2", "age", "flag", "day", "kind1"]);
    let types: Vec<ColumnType> = (0..6).filter_map(|index| data.column_type(index)).collect();
    let (number, boolean) = (ColumnType::Number, ColumnType::Boolean);
    assert_eq!(types, [number, number, number, boolean, ColumnType::Date, ColumnType::Category]);
    assert_eq!(data.column(4)[1], 19_359.0);
    assert!(data.column(4)[2].is_nan() && data.column(5)[2].is_nan());
    assert_eq!(data.categories(5), ["a", "b"]);
    assert_eq!(data.label(), "y");
    let note = data.notes().iter().find(|note| note.code == "arrays_left_out").unwrap();
    assert!(note.text.contains("\"other\" (3) <i8"), "{}", note.text);

    let names = header(&folder.spec("data.npz", None, None)).unwrap().names;
    assert_eq!(names, ["x", "age", "flag", "day", "kind", "y", "other"]);
    let inspection = inspect(&folder.spec("data.npz", Some("y"), None)).unwrap();
    assert_eq!(inspection.columns.len(), 6);
    assert!(inspection.columns.iter().all(|column| column.is_input));
}

#[test]
fn the_lists_of_columns_apply_to_arrays_and_their_columns() {
    let folder = archive();
    let names = |table: TableSpec| {
        let spec = DataSpec { table, ..folder.spec("data.npz", Some("y"), None) };
        caviar_data::load(&spec).map(|data| data.column_names())
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let ignore = list(&["x1", "kind", "other"]);
    let table = TableSpec { ignore, ..TableSpec::default() };
    assert_eq!(names(table).unwrap(), ["x2", "age", "flag", "day"]);
    let table = TableSpec { columns: list(&["x", "age"]), ..TableSpec::default() };
    assert_eq!(names(table).unwrap(), ["x1", "x2", "age"]);
    let table = TableSpec { columns: list(&["z"]), ..TableSpec::default() };
    let error = names(table).unwrap_err();
    assert_eq!(error.field(), "data.columns");
    let types = [("age".to_owned(), ColumnType::Category), ("flag".to_owned(), ColumnType::Number)];
    let table = TableSpec { types: types.into(), ..TableSpec::default() };
    let spec = DataSpec { table, ..folder.spec("data.npz", Some("y"), None) };
    let data = caviar_data::load(&spec).unwrap();
    assert_eq!(data.categories(2), ["0", "1", "3", "5"]);
    assert_eq!(data.column_type(3), Some(ColumnType::Number));
    let types = [("age".to_owned(), ColumnType::Date)];
    let table = TableSpec { types: types.into(), ..TableSpec::default() };
    let spec = DataSpec { table, ..folder.spec("data.npz", Some("y"), None) };
    let (field, text) = folder.error(&spec);
    assert_eq!(field, "data.types");
    assert!(text.starts_with("data.npz, row 0 (from 0), column \"age\": \"0\" "), "{text}");
    for (table, field) in [
        (TableSpec { delimiter: Some(';'), ..TableSpec::default() }, "data.delimiter"),
        (TableSpec { header: Some(true), ..TableSpec::default() }, "data.header"),
        (TableSpec { missing: list(&["-9"]), ..TableSpec::default() }, "data.missing"),
    ] {
        assert_eq!(names(table).unwrap_err().field(), field);
    }
}

#[test]
fn a_faulty_archive_says_what_it_has() {
    let folder = archive();
    let arrays = "\"x\" (4, 2) <f8, \"age\" (4) <i8, \"flag\" (4) |b1, \"day\" (4) <U24, \
                  \"kind\" (4, 1) <U24, \"y\" (4) <U24, \"other\" (3) <i8";
    let error = |label| folder.error(&folder.spec("data.npz", label, None));
    let missing = format!(
        "missing: expected the name of the array with the labels in data.npz, which has {arrays}"
    );
    assert_eq!(error(None), ("data.label", missing));
    let unknown = format!("data.npz: has no array \"z\": it has {arrays}");
    assert_eq!(error(Some("z")), ("data.label", unknown));
    let short =
        format!("data.npz: no array has 3 rows like the labels in \"other\": it has {arrays}");
    assert_eq!(error(Some("other")), ("data.label", short));
    let classes =
        DataSpec { task: Some(Task::Classification), ..folder.spec("data.npz", Some("x"), None) };
    let (field, text) = folder.error(&classes);
    assert_eq!(field, "data.label");
    assert!(text.starts_with("data.npz, array \"x\": has the shape [4, 2]"), "{text}");
    let (field, _) = folder.error(&folder.spec("data.npz", Some("y"), Some("y.npy")));
    assert_eq!(field, "data.labels");
}

const SPARSE: &str = "+1 1:0.5 3:2 # first\n-1 2:1\n+1 1:-1 3:1e-3\n-1\n+1 1:4 2:2 3:9\n";

#[test]
fn the_indices_of_a_sparse_file_become_columns() {
    let zero_based = SPARSE.replace("1:", "0:");
    let folder =
        Folder::with(&[("a.svm", SPARSE.into()), ("zero.libsvm", zero_based.into_bytes())]);
    for label in [None, Some("label")] {
        let data = folder.load("a.svm", label, None).unwrap();
        assert_eq!(data.column_names(), ["feature1", "feature2", "feature3"]);
        assert_eq!(data.column(0), [0.5, 0.0, -1.0, 0.0, 4.0]);
        assert_eq!(data.column(2), [2.0, 0.0, 1e-3, 0.0, 9.0]);
        assert_eq!(data.classes(), ["-1", "+1"]);
        assert_eq!(data.targets(), &Targets::Classes(vec![1, 0, 1, 0, 1]));
    }
    let data = folder.load("zero.libsvm", None, None).unwrap();
    assert_eq!(data.column_names()[0], "feature0");
    assert!(codes(&data).contains(&"zero_based"));
    let error = |label, labels| folder.error(&folder.spec("a.svm", label, labels)).0;
    assert_eq!(error(Some("y"), None), "data.label");
    assert_eq!(error(None, Some("y.npy")), "data.labels");
    let names = header(&folder.spec("a.svm", None, None)).unwrap().names;
    assert_eq!(names, ["label", "feature1", "feature2", "feature3"]);
    assert_eq!(inspect(&folder.spec("a.svm", Some("label"), None)).unwrap().rows, 5);
}

#[test]
fn the_error_of_a_damaged_file_names_it() {
    let good = Npy::floats("(3,)", &[1.0, 2.0, 3.0]).file();
    let archive = npz(&[("y", Npy::whole("(3,)", &[1, 0, 1]))]);
    let folder = Folder::with(&[
        ("y.npy", good.clone()),
        ("empty.npy", Vec::new()),
        ("short.npy", good[..good.len() - 1].to_vec()),
        ("text.npy", b"x,y\n1,2\n".to_vec()),
        ("huge.npy", Npy::floats("(99999999999, 9)", &[]).file()),
        ("short.npz", archive[..archive.len() / 2].to_vec()),
        ("bad.svm", b"1 2:3\n1 2:x\n".to_vec()),
        ("empty.svm", Vec::new()),
    ]);
    for (name, label, labels, expected) in [
        ("empty.npy", None, Some("y.npy"), "empty.npy: is empty"),
        ("short.npy", None, Some("y.npy"), "short.npy: ends after"),
        ("text.npy", None, Some("y.npy"), "text.npy: is text, and not a file of NumPy: give it a "),
        ("huge.npy", None, Some("y.npy"), "huge.npy: has the shape [99999999999, 9]"),
        ("short.npz", Some("y"), None, "short.npz: is not an archive"),
        ("bad.svm", None, None, "bad.svm, line 2: \"2:x\" has no number after the colon"),
        ("empty.svm", None, None, "empty.svm: has no rows"),
    ] {
        let (field, text) = folder.error(&folder.spec(name, label, labels));
        assert_eq!(field, "data.source", "{text}");
        assert!(text.starts_with(expected), "{text}");
    }
    let (field, text) = folder.error(&folder.spec("y.npy", None, Some("short.npy")));
    assert_eq!(field, "data.labels");
    assert!(text.starts_with("short.npy: ends after"), "{text}");
    let (field, text) = folder.error(&folder.spec("y.npy", None, Some("bad.svm")));
    assert_eq!(field, "data.labels");
    assert!(text.starts_with("bad.svm: expected an NPY file with the labels of y.npy"), "{text}");
}

#[test]
fn splits_can_be_drawn_from_arrays() {
    let folder = archive();
    let spec = folder.spec("data.npz", Some("y"), None);
    let data = caviar_data::load(&spec).unwrap();
    let splits = split(&data, &spec, 3).unwrap();
    assert_eq!(splits.train.features.nrows() + splits.validation.features.nrows(), 4);
}
