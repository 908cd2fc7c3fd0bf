//! CSV files, correct and faulty, and the bundled digits.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

use caviar_common::data::{DataSpec, Task};
use caviar_data::Targets;
use caviar_data::{DataError, Dataset, load, prepare};

fn spec(source: &str, label: Option<&str>, task: Task) -> DataSpec {
    DataSpec {
        source: source.to_owned(),
        label: label.map(str::to_owned),
        task: Some(task),
        validation: 0.25,
        ..DataSpec::default()
    }
}

/// Loads `text` as the file `data.csv` of an empty directory.
fn load_text(
    text: impl AsRef<[u8]>,
    label: Option<&str>,
    task: Task,
) -> Result<Dataset, DataError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.csv");
    std::fs::write(&path, text).unwrap();
    load(&spec(path.to_str().unwrap(), label, task))
}

/// The field and the text of the error, without the directory of the file.
fn error_of(text: impl AsRef<[u8]>, label: Option<&str>, task: Task) -> (String, String) {
    let error = load_text(text, label, task).unwrap_err();
    let message = error.to_string();
    let path = message.split(' ').find(|word| word.contains("data.csv")).unwrap_or_default();
    let directory = path.split("data.csv").next().unwrap_or_default();
    (error.field().to_owned(), message.replace(directory, ""))
}

#[track_caller]
fn rejects(text: impl AsRef<[u8]>, label: &str, field: &str, message: &str) {
    let (found, said) = error_of(text, Some(label), Task::Classification);
    assert_eq!((found.as_str(), said.as_str()), (field, message));
}

#[test]
fn numbers_and_text_labels_are_read() {
    let data = load_text(
        "x,kind,y\n1,b,2.5\n-3e1,a, 4 \n0,\"b\",.5\n\n7,a,8",
        Some("kind"),
        Task::Classification,
    )
    .unwrap();
    assert_eq!(data.column(0), [1.0, -30.0, 0.0, 7.0]);
    assert_eq!(data.column(1), [2.5, 4.0, 0.5, 8.0]);
    assert_eq!(data.targets(), &Targets::Classes(vec![1, 0, 1, 0]));
    assert_eq!(data.classes(), ["a", "b"]);
    assert_eq!(data.column_names(), ["x", "y"]);
}

#[test]
fn the_digest_depends_on_the_values_and_not_on_their_spelling() {
    let digest =
        |text: &str| load_text(text, Some("k"), Task::Classification).unwrap().digest().to_owned();
    let plain = digest("x,k\n1,a\n2,b\n3,a\n4,b\n");
    assert_eq!(plain, digest("\u{feff}x,k\r\n1.0,a\r\n\"2\" ,\"b\"\r\n\r\n3e0,a\r\n4,b"));
    assert_eq!(plain.len(), 64);
    assert_ne!(plain, digest("x,k\n1,a\n2,b\n3,a\n5,b\n"));
    assert_ne!(plain, digest("x,k\n1,a\n2,b\n3,b\n4,b\n"));
    assert_ne!(plain, digest("x,k\n1,a\n2,c\n3,a\n4,c\n"));
}

#[test]
fn regression_reads_labels_as_numbers() {
    let data = load_text("x,y\n1,2.5\n2,-1\n3,1e3\n", Some("y"), Task::Regression).unwrap();
    assert_eq!(data.targets(), &Targets::Values(vec![2.5, -1.0, 1000.0].into()));
    assert!(data.classes().is_empty());
    let (field, message) = error_of("x,y\n1,2.5\n2,high\n3,4\n", Some("y"), Task::Regression);
    assert_eq!(field, "data.label");
    assert_eq!(
        message,
        "data.csv, line 3, column \"y\": \"high\" is not a number: expected one such as 1.5 \
         or 2e-3; if it stands for a missing value, add it to missing"
    );
    assert_eq!(
        error_of("x,y\n1,5\n2,5\n3,5\n", Some("y"), Task::Regression).1,
        "data.csv: every row has the label \"5\": expected at least two different labels"
    );
}

#[test]
fn a_faulty_header_is_refused() {
    rejects("", "k", "data.source", "data.csv: the file is empty");
    rejects("\n\r\n", "k", "data.source", "data.csv: the file is empty");
    let missing = "data.csv, line 1: no column is called";
    rejects(
        "x,Kind\n",
        "kind",
        "data.label",
        &format!("{missing} \"kind\": expected one of \"x\", \"Kind\"; did you mean \"Kind\"?"),
    );
    rejects(
        "x,k\n",
        "target",
        "data.label",
        &format!("{missing} \"target\": expected one of \"x\", \"k\"; the last column is \"k\""),
    );
    rejects(
        "x:k\n",
        "k",
        "data.label",
        &format!(
            "{missing} \"k\": expected one of \"x:k\"; if another character than a comma \
             separates the columns, set delimiter"
        ),
    );
    let twice = "data.csv, line 1: column 3 is called \"x\" like an earlier one: \
                 expected a different name for each column";
    rejects("x,k,x\n", "k", "data.source", twice);
    rejects("k,k,x\n", "k", "data.source", &twice.replace("3", "2").replace("\"x\"", "\"k\""));
    rejects(
        "k\na\n",
        "k",
        "data.source",
        "data.csv: has no features: expected a table with at least one column in addition to the \
         label, or images of at least one pixel; if a character other than a comma separates the \
         columns, set delimiter",
    );
    let (field, message) = error_of("x,k\n1,a\n", None, Task::Classification);
    assert_eq!(
        (field.as_str(), message.as_str()),
        (
            "data.label",
            "missing: expected the name of the column of data.csv to predict, one of \"x\", \"k\""
        )
    );
}

#[test]
fn a_faulty_row_is_refused() {
    let row = "data.csv, line 3";
    rejects(
        "x,k\n1,a\n2\n",
        "k",
        "data.source",
        &format!("{row}: has 1 cell: expected 2, as in the header"),
    );
    rejects(
        "x,k\r\n1,a\r\n2,b,c\r\n",
        "k",
        "data.source",
        &format!("{row}: has 3 cells: expected 2, as in the header"),
    );
    let number = "is not a number: expected one such as 1.5 or 2e-3; if it stands for a missing \
                  value, add it to missing";
    let rows = "1,a\n2,b\n".repeat(10);
    rejects(
        format!("x,k\n1,a\nred,b\n{rows}"),
        "k",
        "data.source",
        &format!("{row}, column \"x\": \"red\" {number}"),
    );
    rejects(
        format!("x,k\n1,a\nred,b\n{rows}blue,a\n"),
        "k",
        "data.source",
        &format!("{row}, column \"x\": \"red\" {number} (and 1 more bad cell)"),
    );
    rejects(
        format!("x,k\n1,a\n-inf,b\n{rows}"),
        "k",
        "data.source",
        &format!(
            "{row}, column \"x\": \"-inf\" is not finite: give a number, or add it to missing"
        ),
    );
    for large in ["1e101", "-1e999"] {
        rejects(
            format!("x,k\n1,a\n{large},b\n{rows}"),
            "k",
            "data.source",
            &format!(
                "{row}, column \"x\": \"{large}\" is too large: expected a number from -1e100 to \
                 1e100"
            ),
        );
    }
}

#[test]
fn a_file_without_enough_rows_or_labels_is_refused() {
    rejects(
        "x,k\n",
        "k",
        "data.source",
        "data.csv: has 0 rows: expected at least 3, 2 to train on and 1 to validate on",
    );
    rejects(
        "x,k\n1,a\n",
        "k",
        "data.source",
        "data.csv: has 1 row: expected at least 3, 2 to train on and 1 to validate on",
    );
    rejects(
        "x,k\n1,a\n2,a\n3,a\n",
        "k",
        "data.label",
        "data.csv: every row has the label \"a\": expected at least two different labels",
    );
    let many = "data.csv: 3 classes in 4 rows are too many to learn: set task = \"regression\" \
                to predict a number, or choose another label";
    rejects("x,k\n1,1.5\n2,2.5\n3,3.5\n4,2.5\n", "k", "data.label", many);
}

#[test]
fn a_stray_quote_is_an_error_and_hides_no_rows() {
    let rows = |from: usize, to: usize| {
        (from..=to)
            .map(|row| format!("{row},{}\n", if row % 2 == 0 { "a" } else { "b" }))
            .collect::<String>()
    };
    let open = "a quote is opened here and never closed";
    let stray = format!("x,k\n{}80,\"a\n{}", rows(1, 79), rows(81, 100));
    rejects(&stray, "k", "data.source", &format!("data.csv, line 81: {open}"));
    rejects(format!("\n\n{stray}"), "k", "data.source", &format!("data.csv, line 83: {open}"));
    rejects(
        format!("x,k\n{}100,\"b\n", rows(1, 99)),
        "k",
        "data.source",
        &format!("data.csv, line 101: {open}"),
    );
    rejects(
        format!("x,k\r\n{}100,\"b", rows(1, 99)),
        "k",
        "data.source",
        &format!("data.csv, line 101: {open}"),
    );
    rejects("x,\"k\n1,a\n2,b\n", "k", "data.source", &format!("data.csv, line 1: {open}"));
    let broken = "a quote is opened here and closed on another line, and the lines between look \
                  like rows: is a quote missing or superfluous?";
    rejects(
        format!("x,k\n{}80,\"a\n81,b\n82,\"a\"\n", rows(1, 79)),
        "k",
        "data.source",
        &format!("data.csv, line 81: {broken}"),
    );
    rejects(
        format!("x,y,k\n1,\"2,a\n3,4,b\n5,6\",a\n{}", "1,2,a\n".repeat(20)),
        "k",
        "data.source",
        &format!("data.csv, line 2: {broken}"),
    );
}

#[test]
fn a_quoted_cell_can_extend_over_lines() {
    let text = "x,note,k\n1,\"one,\ntwo\",a\n2,\"b\n\",b\n3,\"one,\ntwo\",a\n4,b,b\n";
    let data = load_text(text, Some("k"), Task::Classification).unwrap();
    assert_eq!(data.categories(1), ["b", "one,\ntwo"]);
    assert_eq!(data.column(1), [1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn an_open_quote_is_an_error_at_the_limit_of_a_row() {
    let mut text = "x,k\n1,a\n\"2,b\n".to_owned();
    text.push_str(&"3,a\n".repeat(17_000_000));
    rejects(
        text,
        "k",
        "data.source",
        "data.csv, line 3: the row that starts here is too long: expected at most 67108864 \
         bytes; is a quote left open?",
    );
}

#[test]
fn a_source_that_cannot_be_read_is_refused() {
    let fails = |spec: DataSpec| {
        let error = load(&spec).unwrap_err();
        (error.field(), error.to_string())
    };
    let file = |name: &str| fails(spec(name, Some("k"), Task::Classification));
    assert_eq!(
        file("builtin:mnist").1,
        "there is no built-in data set \"mnist\": expected \"builtin:digits\""
    );
    assert!(
        file("a/b.xlsx")
            .1
            .starts_with("a/b.xlsx: unknown format: expected a text table (its name ends in"),
        "{:?}",
        file("a/b.xlsx")
    );
    assert!(
        file("none/such.csv").1.starts_with("none/such.csv: cannot be opened: "),
        "{:?}",
        file("none/such.csv")
    );
    assert_eq!(
        file("builtin:digits"),
        (
            "data.label",
            "the label column of builtin:digits is called \"label\": expected that, or remove label"
                .to_owned()
        )
    );
    let labels =
        DataSpec { labels: Some("l".to_owned()), ..spec("a.csv", Some("k"), Task::Classification) };
    assert_eq!(fails(labels).0, "data.labels");
}

#[test]
fn the_bundled_digits_are_those_of_scikit_learn() {
    let data = load(&spec("builtin:digits", None, Task::Classification)).unwrap();
    assert_eq!((data.targets().len(), data.column_names().len()), (1797, 64));
    let sum: f64 = (0..64).map(|pixel| data.column(pixel).iter().sum::<f64>()).sum();
    assert_eq!(sum, 561_718.0);
    let first = [
        0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0,
        0, 8, 8, 0, //
        0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13,
        10, 0, 0, 0,
    ];
    for (pixel, value) in first.into_iter().enumerate() {
        assert_eq!(data.column(pixel)[0], f64::from(value));
    }
    let Targets::Classes(classes) = data.targets() else { panic!("digits are classes") };
    let mut counts = [0; 10];
    for &class in classes {
        counts[usize::try_from(class).unwrap()] += 1;
    }
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(data.classes(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(classes.first(), Some(&0));
    assert_eq!(classes.last(), Some(&8));
    // Stored sweeps have this digest. If it changed, those that run could not be resumed.
    assert_eq!(data.digest(), "db57df9e86b04771101718ab95dc3b878a22c057484e77b589fe16bc70fe9814");
}

#[test]
fn the_letters_data_set_is_read_where_it_exists() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/letter.csv");
    if !std::path::Path::new(path).exists() {
        eprintln!("skipped: {path} does not exist");
        return;
    }
    let (splits, summary) = prepare(&spec(path, Some("Letter"), Task::Classification), 7).unwrap();
    assert_eq!((summary.train, summary.validation, summary.test), (15_000, 5000, 0));
    assert_eq!((summary.features, summary.outputs, splits.test), (16, 26, None));
}
