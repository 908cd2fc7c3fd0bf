//! Tables as people have them: detection, types, gaps, groups, times and given files.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use caviar_common::data::{ColumnType, DataSpec, NoteLevel, SplitSpec, TableSpec, Task};
use caviar_data::{DataError, Dataset, Examples, Splits, Targets, header, load, split, split_rows};
use proptest::prelude::*;

/// Files of one test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn spec(source: String) -> DataSpec {
    let label = Some("k".to_owned());
    DataSpec { source, label, validation: 0.25, test: 0.25, ..DataSpec::default() }
}

fn read(text: impl AsRef<[u8]>, table: TableSpec) -> Result<Dataset, DataError> {
    let files = Files::new();
    load(&DataSpec { table, ..spec(files.write("data.csv", text)) })
}

fn codes(data: &Dataset) -> Vec<(&str, NoteLevel)> {
    data.notes().iter().map(|note| (note.code.as_str(), note.level)).collect()
}

/// Rows `0..n` of a table that `row` writes, below `header`.
fn table(header: &str, n: usize, row: impl Fn(usize) -> String) -> String {
    let rows: String = (0..n).map(|n| row(n) + "\n").collect();
    format!("{header}\n{rows}")
}

const WORDS: [&str; 3] = ["red", "green", "blue"];

#[test]
fn a_category_a_gap_a_boolean_and_a_date_are_read_by_their_columns() {
    let text = table("word,x,flag,day,k", 40, |n| {
        let gap = if n.is_multiple_of(4) { "NA" } else { "1.5" };
        format!("{},{gap},{},0{}/02/2024,{}", WORDS[n % 3], n.is_multiple_of(2), 1 + n % 9, n % 2)
    });
    let data = read(text.replace("09/02", "29/02"), TableSpec::default()).unwrap();
    let types: Vec<ColumnType> = (0..4).filter_map(|index| data.column_type(index)).collect();
    use ColumnType::{Boolean, Category, Date, Number};
    assert_eq!(types, [Category, Number, Boolean, Date]);
    assert_eq!(data.categories(0), ["blue", "green", "red"]);
    assert_eq!(data.column(0)[..3], [2.0, 1.0, 0.0]);
    assert!(data.column(1)[0].is_nan() && data.column(1)[1] == 1.5);
    assert_eq!(data.column(2)[..2], [1.0, 0.0]);
    // 1 February 2024, 19,754 days after 1970-01-01.
    assert_eq!(data.column(3)[0], 19_754.0);
    assert_eq!(data.task(), Task::Classification);
}

#[test]
fn what_is_left_out_and_what_can_mislead_is_noted() {
    let text = table("id,name,same,none,twin,x,k", 60, |n| {
        let (x, k) = (n * n % 97, n / 30);
        format!("{},person {n},7,,{x},{x},{k}", n + 1)
    });
    let data = read(text, TableSpec::default()).unwrap();
    assert_eq!(data.column_names(), ["same", "twin", "x"]);
    use NoteLevel::{Info, Warning};
    assert_eq!(
        codes(&data),
        [
            ("numbers_rows", Warning),
            ("duplicate_column", Warning),
            ("free_text", Info),
            ("empty", Info),
            ("constant", Info)
        ]
    );
    assert_eq!(data.notes()[0].columns, ["id"]);
}

#[test]
fn a_column_that_is_asked_for_is_an_input_whatever_it_looks_like() {
    let text = || table("id,name,x,k", 30, |n| format!("{n},person {n},{},{}", n * n % 7, n % 2));
    let types = |name: &str, kind| [(name.to_owned(), kind)].into_iter().collect();
    let forced = TableSpec { types: types("id", ColumnType::Number), ..TableSpec::default() };
    assert_eq!(read(text(), forced).unwrap().column_names(), ["id", "x"]);
    let forced = TableSpec { types: types("name", ColumnType::Category), ..TableSpec::default() };
    assert_eq!(read(text(), forced).unwrap().column_names(), ["name", "x"]);
    let only = TableSpec { columns: vec!["x".to_owned()], ..TableSpec::default() };
    assert_eq!(read(text(), only).unwrap().column_names(), ["x"]);
    let without = TableSpec { ignore: vec!["x".to_owned()], ..TableSpec::default() };
    let error = read(text(), without).unwrap_err().to_string();
    assert!(error.contains("no column is left to predict from: "), "{error}");
    assert!(error.contains("\"id\" is only the number of the row"), "{error}");
    let unknown = TableSpec { ignore: vec!["X".to_owned()], ..TableSpec::default() };
    let error = read(text(), unknown).unwrap_err();
    assert_eq!(error.field(), "data.ignore");
    assert!(error.to_string().contains("did you mean \"x\"?"), "{error}");
}

#[test]
fn a_column_that_gives_the_label_away_is_suspected() {
    let leak = |n: usize| {
        format!(
            "{},{},{}",
            n * 7919 % 101,
            if n.is_multiple_of(3) { "won" } else { "lost" },
            u8::from(n.is_multiple_of(3))
        )
    };
    let data = read(table("x,outcome,k", 120, leak), TableSpec::default()).unwrap();
    let suspects: Vec<&str> = data
        .notes()
        .iter()
        .filter(|note| note.code == "predicts_label")
        .flat_map(|note| note.columns.iter().map(String::as_str))
        .collect();
    assert_eq!(suspects, ["outcome"]);
    let price = |n: usize| format!("{},{},{}", n * 7919 % 101, n * n, 3 * n * n + 1);
    let data = read(table("x,area,k", 120, price), TableSpec::default()).unwrap();
    assert_eq!(data.task(), Task::Regression);
    assert!(codes(&data).contains(&("predicts_label", NoteLevel::Warning)), "{:?}", data.notes());
}

#[test]
fn rows_without_a_label_are_left_out_and_nan_is_not_a_class() {
    let label = |n: usize| ["a", "b", "NaN", "?", ""][n % 5];
    let text = table("x,k", 50, |n| format!("{},{}", n * n % 31, label(n)));
    let data = read(text, TableSpec::default()).unwrap();
    assert_eq!((data.classes(), data.targets().len()), (&["a".to_owned(), "b".to_owned()][..], 20));
    assert!(codes(&data).contains(&("rows_without_label", NoteLevel::Warning)));
}

#[test]
fn own_texts_for_missing_values_count_as_written() {
    let text = table("x,word,k", 40, |n| {
        format!(
            "{},{},{}",
            if n.is_multiple_of(5) { "-9" } else { "3" },
            ["None", "wood"][n % 2],
            n % 2
        )
    });
    let missing = TableSpec { missing: vec!["-9".to_owned()], ..TableSpec::default() };
    let data = read(&text, missing).unwrap();
    assert!(data.column(0)[0].is_nan());
    assert_eq!(data.categories(1), ["None", "wood"], "None is a text among texts");
    assert_eq!(read(&text, TableSpec::default()).unwrap().column(0)[0], -9.0);
}

#[test]
fn a_first_row_that_looks_like_data_is_neither_dropped_nor_taken_for_a_header() {
    let rows = table("5.1,3.5,setosa", 30, |n| {
        format!("5.{n},3.{},{}", n % 7, ["setosa", "virginica"][n % 2])
    });
    let files = Files::new();
    let source = files.write("iris.csv", &rows);
    let named = |label: &str, header| DataSpec {
        label: Some(label.to_owned()),
        table: TableSpec { header, ..TableSpec::default() },
        ..spec(source.clone())
    };
    let error = load(&named("setosa", None)).unwrap_err();
    assert_eq!(error.field(), "data.header");
    assert!(error.to_string().contains("header = false"), "{error}");
    assert_eq!(load(&named("column3", Some(false))).unwrap().targets().len(), 31);
    assert_eq!(load(&named("setosa", Some(true))).unwrap().targets().len(), 30);
    assert!(!header(&named("column3", None)).unwrap().is_first_row);
    for (names, row, has_names) in [
        // Whole numbers that count up are names, as those of pixels and years are.
        ("k,1,2,3", "a,5,6,7", true),
        ("k,2001,2002,2003", "a,5,6,7", true),
        ("1,2,3", "5,6,7", true),
        ("2,2,3", "5,6,7", false),
        ("2,9,3", "5,6,7", false),
        ("a,9,3", "a,6,7", false),
        ("x,9,3", "a,6,7", true),
        ("x,y,z", "a,6,7", true),
        ("a,b", "a,b", false),
    ] {
        let source = files.write("other.csv", table(names, 9, |_| row.to_owned()));
        assert_eq!(header(&spec(source)).unwrap().is_first_row, has_names, "{names} above {row}");
    }
}

#[test]
fn the_same_table_in_any_form_is_the_same_data() {
    let row = |n: usize, delimiter: char, point: char| {
        let number = format!("{}{point}5", n * n % 13);
        [number, WORDS[n % 3].to_owned(), (n % 2).to_string()].join(&delimiter.to_string())
    };
    let text = |delimiter: char, point: char| {
        let names = ["x", "word", "k"].join(&delimiter.to_string());
        table(&names, 60, |n| row(n, delimiter, point))
    };
    let digest = |text: &[u8]| read(text, TableSpec::default()).unwrap().digest().to_owned();
    let plain = digest(text(',', '.').as_bytes());
    for delimiter in [';', '\t', '|', ' '] {
        assert_eq!(digest(text(delimiter, '.').as_bytes()), plain, "{delimiter:?}");
    }
    assert_eq!(digest(text(';', ',').as_bytes()), plain, "decimal commas");
    let comma = text(',', '.');
    assert_eq!(digest(comma.replace('\n', "\r\n").as_bytes()), plain);
    assert_eq!(digest(comma.replace('\n', "\r").as_bytes()), plain);
    assert_eq!(digest(format!("\u{feff}{comma}").as_bytes()), plain);
    assert_eq!(digest(format!("# by hand\n{comma}").as_bytes()), plain);
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(comma.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(digest(&utf16), plain);
    let quoted = comma.replace("red", "\"red\"");
    assert_eq!(digest(quoted.as_bytes()), plain);
}

#[test]
fn what_varies_below_the_precision_of_an_f32_is_learnt_and_predicted() {
    let start = 1_700_000_000_000_000_u64;
    let text = table("t,k", 40, |n| {
        format!("{},{}", start + 1_000 * u64::try_from(n * n % 41).unwrap(), n % 2)
    });
    let files = Files::new();
    let data = spec(files.write("data.csv", text));
    let splits = split(&load(&data).unwrap(), &data, 1).unwrap();
    let mut values: Vec<u32> =
        splits.train.features.in_memory().unwrap().iter().map(|value| value.to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    assert!(values.len() > 10, "{values:?}");
    let text = table("x,k", 40, |n| format!("{},{}", n * n % 41, 1_000_000_000 + n % 21));
    let data = read(text, TableSpec::default()).unwrap();
    assert_eq!(data.task(), Task::Regression, "labels of 1e9 and a few are not all equal");
}

fn rows_of(examples: &Examples, column: usize) -> Vec<f32> {
    examples.features.in_memory().unwrap().column(column).to_vec()
}

#[test]
fn columns_become_inputs_by_what_the_training_split_has() {
    let files = Files::new();
    let train = table("word,x,flag,k", 40, |n| {
        let gap = if n.is_multiple_of(8) { "" } else { ["1", "3"][n / 2 % 2] };
        format!("{},{gap},{},{}", WORDS[n % 3], ["yes", "no"][n % 2], n / 20)
    });
    let other = "word,x,flag,k\npurple,,no,1\n,3,,0\nred,1,yes,1\n";
    let split_spec = SplitSpec {
        validation_source: Some(files.write("validation.csv", other)),
        ..SplitSpec::default()
    };
    let source = files.write("train.csv", train);
    let data = DataSpec { test: 0.0, split: split_spec, ..spec(source) };
    let splits = split(&load(&data).unwrap(), &data, 1).unwrap();
    // blue, green, red; x and whether it is missing; flag.
    assert_eq!((splits.train.features.dim(), splits.test), ((40, 6), None));
    let validation = splits.validation.features.in_memory().unwrap();
    let words = |row: usize| validation.row(row).to_vec()[..3].to_vec();
    assert_eq!(words(0), [0.0, 0.0, 0.0], "a value that training does not know");
    assert_eq!(words(1), [0.0, 0.0, 0.0], "missing, but not in training");
    assert_eq!(words(2), [0.0, 0.0, 1.0]);
    let x = |row: usize| (validation[[row, 3]], validation[[row, 4]]);
    assert_eq!((x(0).1, x(1).1), (1.0, 0.0));
    assert!(x(1).0 > 0.5 && x(2).0 < -0.5, "{:?} {:?}", x(1), x(2));
    assert_eq!(x(0).0, x(1).0, "the median of 15 ones and 20 threes");
    assert_eq!([0, 1, 2].map(|row| validation[[row, 5]]), [-1.0, 0.0, 1.0]);
}

#[test]
fn all_rows_of_a_group_are_in_one_split() {
    let files = Files::new();
    let text = table("patient,x,k", 300, |n| format!("p{},{n}.5,{}", n * 7919 % 60, n % 2));
    let group = SplitSpec { group: Some("patient".to_owned()), ..SplitSpec::default() };
    let data = DataSpec { split: group, ..spec(files.write("data.csv", text)) };
    let read = load(&data).unwrap();
    assert_eq!(read.column_names(), ["x"], "the group is no input");
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let splits = split(&read, &data, seed).unwrap();
        let sizes = check_groups(&splits);
        assert!(sizes.iter().all(|size| *size >= 60), "{sizes:?}");
        seen.insert(format!("{:?}", rows_of(&splits.validation, 0)));
    }
    assert!(seen.len() > 10, "the seed decides");
}

/// Checks that no group of `n * 7919 % 60` is in two splits, and returns the sizes of the splits.
fn check_groups(splits: &Splits) -> Vec<usize> {
    let parts: Vec<&Examples> =
        [&splits.train, &splits.validation].into_iter().chain(&splits.test).collect();
    // Standardisation keeps the order, so the rank of x is the number of the row.
    let mut all: Vec<(f32, usize)> = Vec::new();
    for (part, examples) in parts.iter().enumerate() {
        all.extend(rows_of(examples, 0).into_iter().map(|x| (x, part)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut part_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (row, (_, part)) in all.iter().enumerate() {
        assert_eq!(part_of.entry(row * 7919 % 60).or_insert(*part), part, "row {row}");
    }
    parts.iter().map(|examples| examples.targets.len()).collect()
}

#[test]
fn groups_that_are_too_large_are_refused() {
    let files = Files::new();
    let text = table("patient,x,k", 40, |n| format!("p{},{}.5,{}", n % 2, n * n % 37, n % 2));
    let group = SplitSpec { group: Some("patient".to_owned()), ..SplitSpec::default() };
    let data = DataSpec { split: group, ..spec(files.write("data.csv", text)) };
    let error = split(&load(&data).unwrap(), &data, 1).unwrap_err();
    assert_eq!(error.field(), "data.validation");
    assert!(
        error.to_string().starts_with("none of the 2 groups fits into a split of 10"),
        "{error}"
    );
}

#[test]
fn the_latest_rows_are_the_test_split() {
    let files = Files::new();
    // The days count down the file, and every day has two rows.
    let text = table("day,x,k", 80, |n| {
        format!("2024-{:02}-{:02},{n}.5,{}", 1 + (39 - n / 2) / 20, 1 + (39 - n / 2) % 20, n % 3)
    });
    let time = SplitSpec { time: Some("day".to_owned()), ..SplitSpec::default() };
    let shares = DataSpec { split: time, ..spec(files.write("data.csv", text)) };
    let data = DataSpec { validation: 0.25, test: 0.1875, ..shares };
    let read = load(&data).unwrap();
    assert!(codes(&read).iter().all(|(code, _)| *code != "sorted_by_time"), "{:?}", read.notes());
    let splits = split(&read, &data, 5).unwrap();
    assert_eq!(split(&read, &data, 6).unwrap(), splits, "the seed has no effect");
    // 15 rows would cut a day in two, so 14 are the test split.
    let test = splits.test.unwrap();
    assert_eq!((test.targets.len(), splits.validation.targets.len()), (14, 20));
    let last = |examples: &Examples| {
        let x = read.column_names().iter().position(|name| name == "x").unwrap();
        let width = examples.features.ncols();
        rows_of(examples, width - (read.column_names().len() - x))
            .into_iter()
            .fold(f32::MIN, f32::max)
    };
    assert!(
        last(&test) < last(&splits.validation) && last(&splits.validation) < last(&splits.train)
    );
    // The days themselves are no input: those of the test split lie beyond the training split.
    assert_eq!(splits.train.features.ncols(), 5, "sine and cosine of year and week, and x");
}

#[test]
fn a_row_without_a_time_is_refused_with_its_line() {
    let files = Files::new();
    let text = table("day,x,k", 20, |n| {
        format!(
            "{},{}.5,{}",
            if n == 7 { String::new() } else { format!("{n}.25") },
            n * n % 17,
            n % 2
        )
    });
    let time = SplitSpec { time: Some("day".to_owned()), ..SplitSpec::default() };
    let error = load(&DataSpec { split: time, ..spec(files.write("data.csv", text)) }).unwrap_err();
    assert_eq!(error.field(), "data.time");
    assert!(
        error
            .to_string()
            .ends_with("line 9: has no value in \"day\": expected a time in every row")
    );
}

#[test]
fn the_folds_of_groups_have_whole_groups_of_about_the_same_size() {
    let files = Files::new();
    let source = files.write(
        "groups.csv",
        table("g,x,k", 97, |i| format!("p{},{}.5,{}", i * i % 17, i * 7 % 41, i % 2)),
    );
    let roles = SplitSpec { group: Some("g".to_owned()), folds: Some(4), ..SplitSpec::default() };
    let data = DataSpec { split: roles, ..spec(source) };
    let read = load(&data).unwrap();
    let drawn = split_rows(&read, &data, 3).unwrap();
    let group = |row: usize| row * row % 17;
    for (number, fold) in drawn.folds.iter().enumerate() {
        for other in drawn.folds.iter().skip(number + 1) {
            assert!(!fold.iter().any(|&a| other.iter().any(|&b| group(a) == group(b))));
        }
    }
    let sizes: Vec<usize> = drawn.folds.iter().map(Vec::len).collect();
    // The largest group has 12 rows.
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 12, "{sizes:?}");
    let many = SplitSpec { folds: Some(20), ..data.split.clone() };
    let error = split(&read, &DataSpec { split: many, ..data }, 3).unwrap_err();
    assert!(error.to_string().starts_with("20 folds of "), "{error}");
    assert!(error.to_string().contains(" rows in "), "{error}");
}

#[test]
fn given_files_are_the_splits_and_must_have_the_same_columns() {
    let files = Files::new();
    let part =
        |from: usize, n: usize| table("x,k", n, |i| format!("{}.5,{}", from + i * i % 23, i % 2));
    let source = files.write("train.csv", part(0, 40));
    let split_spec = SplitSpec {
        validation_source: Some(files.write("validation.csv", part(100, 12))),
        test_source: Some(files.write("test.csv", part(200, 9))),
        ..SplitSpec::default()
    };
    let data = DataSpec { split: split_spec.clone(), ..spec(source) };
    let read = load(&data).unwrap();
    let splits = split(&read, &data, 1).unwrap();
    let sizes =
        [&splits.train, &splits.validation, splits.test.as_ref().unwrap()].map(|e| e.targets.len());
    assert_eq!(sizes, [40, 12, 9]);
    assert_eq!(read.summary(&data, 1).unwrap().test, 9);
    let only_test = SplitSpec { validation_source: None, ..split_spec };
    let data = DataSpec { split: only_test.clone(), ..data };
    let splits = split(&load(&data).unwrap(), &data, 1).unwrap();
    assert_eq!((splits.train.targets.len(), splits.validation.targets.len()), (30, 10));
    files.write("test.csv", "x,y\n1,2\n");
    let error = load(&data).unwrap_err();
    assert_eq!(error.field(), "data.test_source");
    assert!(error.to_string().contains("its column 2 is called \"y\": expected \"k\""), "{error}");
    std::fs::remove_file(only_test.test_source.unwrap()).unwrap();
    assert_eq!(load(&data).unwrap_err().field(), "data.test_source");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The order of the rows changes neither the types of the columns nor the set of rows.
    #[test]
    fn types_do_not_depend_on_the_order_of_the_rows(
        cells in prop::collection::vec(
            ("[0-9]{1,3}|[0-9],[0-9]|NA|red|blue|yes|2024-01-0[1-9]|-|", 0..3usize),
            12..60,
        ),
        seed in any::<u64>(),
    ) {
        let row = |(cell, class): &(String, usize)| format!("\"{cell}\";c{class};{class}7");
        let types = |cells: &[(String, usize)]| {
            let text = table("x;k;z", cells.len(), |n| row(&cells[n]));
            let read = read(text, TableSpec::default()).ok()?;
            let sorted = |index: usize| {
                let values = read.column(index);
                let mut values: Vec<String> = values.iter().map(f64::to_string).collect();
                values.sort();
                values
            };
            let columns = read.column_names().len();
            let types: Vec<_> = (0..columns).map(|index| read.column_type(index)).collect();
            Some((types, (0..columns).map(sorted).collect::<Vec<_>>()))
        };
        let mut shuffled = cells.clone();
        caviar_common::seed::Seed::derive(seed, 0, caviar_common::seed::Purpose::Split)
            .stream(0)
            .shuffle(&mut shuffled);
        prop_assert_eq!(types(&cells), types(&shuffled));
    }
}

#[test]
fn regression_is_chosen_for_many_numbers_and_said_so() {
    let text = |n: usize| format!("{},{}", n * n % 31, 10 + n);
    let data = read(table("x,k", 60, text), TableSpec::default()).unwrap();
    assert!(matches!(data.targets(), Targets::Values(values) if values.all()[3] == 13.0));
    assert_eq!(codes(&data).first(), Some(&("task", NoteLevel::Info)));
    let files = Files::new();
    let forced = DataSpec {
        task: Some(Task::Classification),
        ..spec(files.write("data.csv", table("x,k", 80, |n| format!("{},{}", n * n % 31, n % 25))))
    };
    let data = load(&forced).unwrap();
    assert!(codes(&data).contains(&("label_is_a_number", NoteLevel::Warning)));
}
