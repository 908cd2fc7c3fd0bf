//! Later tables are read as the training read its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::fmt::Write;

use caviar_common::data::{DataSpec, TableSpec};
use caviar_data::{
    Dataset, ReadOptions, RowBatch, Schema, SchemaReader, Splits, Targets, Truth, load, split,
    split_rows,
};
use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use support::{Folder, Npy, npz};

/// All rows of a file, with what a model of the schema needs.
#[derive(Debug, Default, PartialEq)]
struct Read {
    features: Vec<f32>,
    classes: Vec<Option<u32>>,
    values: Vec<f64>,
    records: Vec<String>,
}

fn read_all(
    schema: &Schema,
    path: &str,
    options: &ReadOptions,
    rows: usize,
) -> Result<(Read, caviar_data::ReadCounts), String> {
    let mut reader = SchemaReader::open(schema, path, options).map_err(|e| e.to_string())?;
    let (mut batch, mut read) = (RowBatch::default(), Read::default());
    while reader.read(&mut batch, rows).map_err(|error| error.to_string())? > 0 {
        assert!(batch.rows() <= rows);
        assert_eq!(batch.matrix().unwrap().dim(), (batch.rows(), schema.width()));
        read.features.extend_from_slice(batch.features());
        match batch.truth() {
            Some(Truth::Classes(classes)) => read.classes.extend(classes),
            Some(Truth::Values(values)) => read.values.extend(values),
            None => {}
        }
        let records = (0..batch.rows()).filter_map(|row| batch.record(row));
        read.records.extend(records.map(|text| String::from_utf8(text.to_vec()).unwrap()));
        assert_eq!(batch.record(batch.rows()), None);
    }
    assert_eq!(reader.read(&mut batch, rows).map_err(|error| error.to_string()), Ok(0));
    Ok((read, reader.counts().clone()))
}

fn labelled() -> ReadOptions {
    ReadOptions { needs_label: true, ..ReadOptions::default() }
}

fn train(spec: &DataSpec) -> (Splits, Schema) {
    of_dataset(&load(spec).unwrap(), spec, 7)
}

fn of_dataset(dataset: &Dataset, spec: &DataSpec, seed: u64) -> (Splits, Schema) {
    let splits = split(dataset, spec, seed).unwrap();
    let schema = Schema::clone(splits.schema.as_ref().unwrap());
    (splits, schema)
}

/// A file in a folder of its own, and the spec that trains on it.
fn file(name: &str, text: impl AsRef<[u8]>) -> (Folder, DataSpec) {
    let folder = Folder::with(&[(name, text.as_ref().to_vec())]);
    let spec = folder.spec(name, Some("k"), None);
    (folder, spec)
}

/// The same schema, as a program reads it from the file of a model.
fn stored(schema: &Schema) -> Schema {
    let text = serde_json::to_string(schema).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A cell of each kind of column, by a number.
fn cell(kind: usize, n: usize, delimiter: char) -> String {
    let (day, month, year) = (1 + n % 28, 1 + n / 3 % 12, 1990 + n % 60);
    let comma = if delimiter == ',' { '.' } else { ',' };
    match kind {
        0 => format!("{}", n * 7919 % 1000),
        1 => format!("-{}.{:03}e-{}", n % 10, n * 37 % 1000, n % 4),
        2 => format!("{}{comma}{}", n * 31 % 5000, n % 100),
        3 => format!("{}.5%", n * 13 % 100),
        4 => ["true", "False"][n * 5 / 3 % 2].to_owned(),
        5 => ["yes", "no"][n / 2 % 2].to_owned(),
        6 => ["red", "green", "dark blue", "\u{e9}t\u{e9}"][n * n % 4].to_owned(),
        7 => format!("c{}", n * n % 90),
        8 => format!("{year}-{month:02}-{day:02}"),
        9 => format!("{day}/{month}/{year} {:02}:{:02}", n % 24, n * 7 % 60),
        10 => ["left", "right"][n * 7 % 5 % 2].to_owned(),
        _ => format!("{day:02}.{month:02}.{year}"),
    }
}

const KINDS: usize = 12;

/// A table with a column of every kind, with gaps in some of them.
fn table(rows: usize, delimiter: char, gaps: &[usize], is_number: bool, seed: usize) -> String {
    let names: Vec<String> =
        (0..KINDS).map(|kind| format!("x{kind}")).chain(["k".into()]).collect();
    let quoted = |cell: String, n: usize| {
        if cell.contains(delimiter) || n.is_multiple_of(5) { format!("\"{cell}\"") } else { cell }
    };
    let mut text = names.join(&delimiter.to_string()) + "\n";
    for n in 0..rows {
        let n = n * 17 + seed % 1000;
        let missing = ["NA", "", "?", "gone", "nan", "None"];
        for kind in 0..KINDS {
            let is_missing = gaps.contains(&kind) && (n + kind) % 4 == 1;
            let word = missing[(n / 4 + kind) % 6];
            let cell = if is_missing { word.to_owned() } else { cell(kind, n, delimiter) };
            write!(text, "{}{delimiter}", quoted(cell, n + kind)).unwrap();
        }
        let label = if n % 11 == 3 {
            String::new()
        } else if is_number {
            format!("{}.25", n * n % 977)
        } else {
            ["one", "two", "three"][n * n % 7 % 3].to_owned()
        };
        text += &format!("{label}\n");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_inputs_are_those_of_the_training(
        delimiter in select(vec![',', ';', '\t', '|']),
        gaps in proptest::sample::subsequence((0..KINDS).collect::<Vec<_>>(), 0..KINDS),
        rows in 40_usize..400,
        at_once in prop_oneof![Just(1_usize), Just(64), Just(1000)],
        is_number in any::<bool>(),
        seed in any::<usize>(),
    ) {
        let text = table(rows, delimiter, &gaps, is_number, seed);
        let (_folder, mut spec) = file("data.csv", &text);
        spec.table.missing = vec!["gone".to_owned()];
        spec.test = 0.2;
        let dataset = load(&spec).unwrap();
        let (splits, schema) = of_dataset(&dataset, &spec, 3);
        let schema = stored(&schema);
        let (read, counts) = read_all(&schema, &spec.source, &labelled(), at_once).unwrap();
        let drawn = split_rows(&dataset, &spec, 3).unwrap();
        let width = schema.width();
        let parts = [(&drawn.train, &splits.train), (&drawn.validation, &splits.validation)];
        let test = splits.test.as_ref().unwrap();
        for (rows, examples) in parts.into_iter().chain([(&drawn.test, test)]) {
            let features = examples.features.in_memory().unwrap();
            for (place, row) in features.rows().into_iter().zip(rows) {
                let bits = |values: &[f32]| -> Vec<u32> {
                    values.iter().map(|value| value.to_bits()).collect()
                };
                let found = &read.features[row * width..][..width];
                prop_assert_eq!(bits(found), bits(place.as_slice().unwrap()));
            }
        }
        match dataset.targets() {
            Targets::Classes(classes) => {
                let found: Option<Vec<u32>> = read.classes.iter().copied().collect();
                prop_assert_eq!(found.as_ref(), Some(classes));
            }
            Targets::Values(values) => prop_assert_eq!(&read.values, values.all()),
        }
        prop_assert_eq!(counts.unknown_categories.iter().sum::<u64>(), 0);
        let labelled = text.lines().skip(1).filter(|line| !line.ends_with(delimiter));
        prop_assert_eq!(&read.records, &labelled.map(str::to_owned).collect::<Vec<_>>());
        prop_assert_eq!(usize::try_from(counts.unlabelled + counts.rows).unwrap(), rows);
    }
}

/// The inputs of one row for a model.
fn inputs(schema: &Schema, folder: &Folder, name: &str, text: &str) -> Vec<f32> {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    read_all(schema, path.to_str().unwrap(), &ReadOptions::default(), 10).unwrap().0.features
}

fn error(
    schema: &Schema,
    folder: &Folder,
    text: impl AsRef<[u8]>,
    options: &ReadOptions,
) -> String {
    let path = folder.path().join("later.csv");
    std::fs::write(&path, text).unwrap();
    let error = read_all(schema, path.to_str().unwrap(), options, 10).unwrap_err();
    error.replace(&format!("{}/", folder.path().display()), "")
}

/// A table with a number, a category of three texts, one of two, and a date.
fn small() -> (Folder, Schema) {
    let rows: String = (0..40)
        .map(|n| {
            let word = ["red", "green", "blue"][n * n % 7 % 3];
            let side = ["left", "right"][n % 2];
            let (day, k) = (1 + n * 5 % 28, ["no", "yes"][n / 3 % 2]);
            format!("{},{word},{side},{day:02}/02/2024,{k}\n", n * 37 % 100)
        })
        .collect();
    let (folder, spec) = file("data.csv", format!("Size,word,side,day,k\n{rows}"));
    let (_, schema) = train(&spec);
    (folder, stored(&schema))
}

#[test]
fn columns_are_found_by_their_names_in_any_order_and_others_are_kept() {
    let (folder, schema) = small();
    let plain = inputs(&schema, &folder, "a.csv", "Size,word,side,day\n7,red,left,03/02/2024\n");
    assert_eq!(plain.len(), schema.width());
    let path = folder.path().join("b.csv");
    let text = "\u{feff}day;note;Size;side;word\r\n# a comment\r\n\
                03/02/2024;\"a;b\r\nc\";7;left;red\r\n\r\n";
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let mut reader = SchemaReader::open(&schema, path, &ReadOptions::default()).unwrap();
    assert_eq!(reader.names().unwrap(), ["day", "note", "Size", "side", "word"]);
    assert_eq!(reader.header().unwrap(), b"day;note;Size;side;word");
    assert_eq!(reader.delimiter(), b';');
    let mut batch = RowBatch::default();
    assert_eq!(reader.read(&mut batch, 9).unwrap(), 1);
    assert_eq!(batch.features(), plain);
    assert_eq!(batch.record(0).unwrap(), b"03/02/2024;\"a;b\r\nc\";7;left;red");
    assert_eq!(batch.truth(), None);
}

#[test]
fn every_encoding_and_compression_of_the_training_is_read() {
    let (folder, schema) = small();
    let text = "Size,word,side,day,note\n7,red,left,03/02/2024,caf\u{e9}\n";
    let plain = inputs(&schema, &folder, "a.csv", text);
    let utf16: Vec<u8> = "\u{feff}"
        .chars()
        .chain(text.chars())
        .flat_map(|c| u16::try_from(u32::from(c)).unwrap().to_le_bytes())
        .collect();
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let zipped = support::zip(&[("a.csv", text.as_bytes().to_vec())]);
    let files = [("utf16.csv", utf16), ("latin1.csv", latin1), ("a.zip", zipped)];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let options = ReadOptions::default();
        let (read, _) = read_all(&schema, path.to_str().unwrap(), &options, 10).unwrap();
        assert_eq!(read.features, plain, "{name}");
        assert_eq!(read.records, ["7,red,left,03/02/2024,caf\u{e9}"], "{name}");
    }
}

#[test]
fn an_unknown_category_is_0_in_all_inputs_and_counted() {
    let (folder, schema) = small();
    let path = folder.path().join("later.csv");
    std::fs::write(&path, "Size,word,side,day\n7,pink,up,03/02/2024\n7,,?,03/02/2024\n").unwrap();
    let options = ReadOptions::default();
    let (read, counts) = read_all(&schema, path.to_str().unwrap(), &options, 10).unwrap();
    let width = schema.width();
    assert_eq!(read.features[1..5], [0.0; 4]);
    // A missing category is not an unknown one, but the training had no gaps.
    assert_eq!(read.features[width + 1..width + 5], [0.0; 4]);
    assert_eq!(counts.unknown_categories, [0, 1, 1, 0]);
    assert_eq!((counts.rows, counts.unlabelled), (2, 0));
}

#[test]
fn all_missing_columns_are_named_in_one_error() {
    let (folder, schema) = small();
    let options = ReadOptions::default();
    assert_eq!(
        error(&schema, &folder, "size,word,weekday\n1,red,2\n", &options),
        "later.csv: lacks the columns \"Size\" (did you mean \"size\"?), \"side\" and \"day\", \
         which the model reads: the file has \"size\", \"word\", \"weekday\""
    );
    assert_eq!(
        error(&schema, &folder, "7,red,left,03/02/2024\n8,red,left,03/02/2024\n", &options),
        "later.csv: lacks the columns \"Size\", \"word\", \"side\" and \"day\", which the model \
         reads: the file has \"7\", \"red\", \"left\", \"03/02/2024\"; if its first row is data, \
         add a first line with the names"
    );
    let headerless = ReadOptions { header: Some(false), ..ReadOptions::default() };
    assert_eq!(
        error(&schema, &folder, "7,red,left,03/02/2024\n", &headerless),
        "later.csv: has no header, and the model finds its columns by their names: add a first \
         line with the names, such as \"Size\", \"word\", \"side\", \"day\""
    );
    assert_eq!(
        error(&schema, &folder, "Size,word,side,day,K\n7,red,left,03/02/2024,no\n", &labelled()),
        "later.csv: lacks \"k\", the column that the model predicts: did you mean \"K\"?"
    );
    assert_eq!(
        error(&schema, &folder, "Size,word,side,day,word\n", &options),
        "later.csv, line 1: column 5 is called \"word\" like an earlier one: expected a different \
         name for each column"
    );
}

#[test]
fn a_cell_that_does_not_fit_is_shown_with_its_place() {
    let (folder, schema) = small();
    let options = ReadOptions::default();
    let header = "Size,word,side,day\n7,red,left,03/02/2024\n";
    assert_eq!(
        error(&schema, &folder, format!("{header}8 kg,red,left,03/02/2024\n"), &options),
        "later.csv, line 3, column \"Size\": \"8 kg\" is not a number: expected one such as 1.5 \
         or 2e-3; if it stands for a missing value, add it to missing"
    );
    assert_eq!(
        error(&schema, &folder, format!("{header}8,red,left,2024-02-03\n"), &options),
        "later.csv, line 3, column \"day\": \"2024-02-03\" does not fit its column: expected \
         dates such as 31/12/2024 (day first)"
    );
    assert_eq!(
        error(&schema, &folder, format!("{header}8,red,left\n"), &options),
        "later.csv, line 3: has 3 cells: expected 4, as in the header"
    );
    assert_eq!(error(&schema, &folder, "", &options), "later.csv: the file is empty");
    let bad = ReadOptions { delimiter: Some('\u{e9}'), ..ReadOptions::default() };
    assert!(error(&schema, &folder, header, &bad).starts_with("delimiter '\u{e9}': expected one"));
}

#[test]
fn labels_are_read_if_they_are_asked_for() {
    let (folder, schema) = small();
    let path = folder.path().join("later.csv");
    let row = |k: &str| format!("7,red,left,03/02/2024,{k}\n");
    let rows = ["yes", "NA", "maybe", "no", ""].map(row).concat();
    std::fs::write(&path, format!("Size,word,side,day,k\n{rows}")).unwrap();
    let path = path.to_str().unwrap();
    let (read, counts) = read_all(&schema, path, &labelled(), 1).unwrap();
    assert_eq!(schema.label.classes, ["no", "yes"]);
    assert_eq!(read.classes, [Some(1), None, Some(0)]);
    assert_eq!((counts.rows, counts.unlabelled, counts.unknown_classes), (3, 2, 1));
    assert_eq!(read.records[1], "7,red,left,03/02/2024,maybe");
    assert_eq!(read_all(&schema, path, &ReadOptions::default(), 3).unwrap().1.rows, 5);
}

#[test]
fn a_file_without_a_header_is_read_by_the_places_of_its_columns() {
    let row = |n: usize| format!("{},{},{}\n", n * 37 % 100, ["a", "b"][n % 2], n * n % 71);
    let rows: String = (0..40).map(row).collect();
    let folder = Folder::with(&[("data.csv", rows.into_bytes())]);
    for label in ["column2", "column3"] {
        let mut spec = folder.spec("data.csv", Some(label), None);
        spec.table = TableSpec { header: Some(false), ..TableSpec::default() };
        let (_, schema) = train(&spec);
        let later = folder.path().join("later.csv");
        std::fs::write(&later, "10,a,5\n20,b,6\n").unwrap();
        for header in [None, Some(false)] {
            let options = ReadOptions { header, ..ReadOptions::default() };
            let (read, _) = read_all(&schema, later.to_str().unwrap(), &options, 10).unwrap();
            assert_eq!(read.records, ["10,a,5", "20,b,6"]);
        }
        let reader = SchemaReader::open(&schema, later.to_str().unwrap(), &ReadOptions::default());
        assert!(reader.unwrap().header().is_none());
        let without = "10,a\n20,b\n";
        if label == "column3" {
            assert_eq!(inputs(&schema, &folder, "b.csv", without).len(), 2 * schema.width());
        } else {
            let error = error(&schema, &folder, without, &ReadOptions::default());
            assert_eq!(
                error,
                "later.csv: has 2 columns and no header, so the model finds its columns by their \
                 places: it needs 3, and column 2 is the label; a file without labels must keep \
                 such a column, with empty cells, unless it is the last one"
            );
        }
    }
}

#[test]
fn images_are_read_with_and_without_their_labels() {
    let pixels: Vec<u8> = (0..400_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
    let idx = |sizes: &[u8], bytes: &[u8]| {
        let dimensions = u8::try_from(sizes.len()).unwrap();
        let sizes = sizes.iter().flat_map(|&size| [0, 0, 0, size]);
        [0, 0, 8, dimensions].into_iter().chain(sizes).chain(bytes.to_vec()).collect::<Vec<u8>>()
    };
    let labels: Vec<u8> = (0..100).map(|n| n / 2 * 5 % 3).collect();
    let folder = Folder::with(&[
        ("x.idx", idx(&[100, 2, 2], &pixels)),
        ("y.idx", idx(&[100], &labels)),
        ("short.idx", idx(&[100, 2, 2], &pixels[1..])),
        ("wide.idx", idx(&[100, 1, 4], &pixels)),
        ("x.npy", Npy::bytes("(100, 2, 2)", &pixels).file()),
        ("y.npy", Npy::bytes("(100,)", &labels).file()),
        (
            "x.npz",
            npz(&[
                ("a", Npy::bytes("(100, 2, 2)", &pixels)),
                ("label", Npy::bytes("(100,)", &labels)),
            ]),
        ),
    ]);
    let spec = folder.spec("x.idx", None, Some("y.idx"));
    let (splits, schema) = train(&spec);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (read, _) = read_all(&schema, &path("x.idx"), &ReadOptions::default(), 33).unwrap();
    let rows = split_rows(&load(&spec).unwrap(), &spec, 7).unwrap();
    for (features, row) in
        splits.validation.features.in_memory().unwrap().rows().into_iter().zip(&rows.validation)
    {
        assert_eq!(features.as_slice().unwrap(), &read.features[row * 4..][..4]);
    }
    assert!(read.records.is_empty());
    for (x, y) in [("x.idx", Some("y.idx")), ("x.npy", Some("y.npy")), ("x.npz", None)] {
        let options = ReadOptions { labels: y.map(path), ..labelled() };
        let (found, counts) = read_all(&schema, &path(x), &options, 33).unwrap();
        assert_eq!(found.features, read.features, "{x}");
        let expected: Vec<Option<u32>> = labels.iter().map(|&label| Some(label.into())).collect();
        assert_eq!((found.classes, counts.rows), (expected, 100), "{x}");
    }
    let error = |name: &str, options: &ReadOptions| {
        let error = read_all(&schema, &path(name), options, 33).unwrap_err();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    let unlabelled = ReadOptions::default();
    assert!(error("short.idx", &unlabelled).starts_with("short.idx: ends after 415 bytes"));
    assert_eq!(
        error("wide.idx", &unlabelled),
        "wide.idx: has images of 1 by 4 pixels: the model was trained on images of 2 by 2"
    );
    assert!(error("x.idx", &labelled()).contains("expected the path of the label file of x.idx"));
    std::fs::write(path("a.csv"), "x,k\n1,2\n").unwrap();
    assert_eq!(error("a.csv", &unlabelled), "a.csv: is a table: the model was trained on images");
}

#[test]
fn arrays_and_sparse_rows_give_the_inputs_of_the_same_table_as_text() {
    let value = |n: usize| [n * 37 % 100, n * n % 71].map(|n| f64::from(u32::try_from(n).unwrap()));
    let rows = || (0..60).map(value);
    let label = |n: usize| ["a", "b", "c"][n * n % 7 % 3];
    let labels: Vec<&str> = (0..60).map(label).collect();
    let csv: String =
        rows().enumerate().map(|(n, [a, b])| format!("{a},{b},{}\n", label(n))).collect();
    let svm: String =
        rows().enumerate().map(|(n, [a, b])| format!("{} 1:{a} 2:{b}\n", label(n))).collect();
    let flat: Vec<f64> = rows().flatten().collect();
    let folder = Folder::with(&[
        ("numbered.csv", format!("column1,column2,k\n{csv}").into_bytes()),
        ("arrays.csv", format!("x1,x2,k\n{csv}").into_bytes()),
        ("sparse.csv", format!("feature1,feature2,label\n{csv}").into_bytes()),
        ("x.npy", Npy::floats("(60, 2)", &flat).file()),
        ("k.npy", Npy::texts("(60,)", &labels).file()),
        (
            "x.npz",
            npz(&[("x", Npy::floats("(60, 2)", &flat)), ("k", Npy::texts("(60,)", &labels))]),
        ),
        ("x.svm", svm.into_bytes()),
        ("short.svm", b"a 1:10\n".to_vec()),
        ("short.csv", b"feature1,feature2\n10,0\n".to_vec()),
    ]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let options = ReadOptions::default();
    for (text, k, file, labels) in [
        ("numbered.csv", "k", "x.npy", Some("k.npy")),
        ("arrays.csv", "k", "x.npz", None),
        ("sparse.csv", "label", "x.svm", None),
    ] {
        let (_, schema) = train(&folder.spec(text, Some(k), None));
        let (of_text, _) = read_all(&schema, &path(text), &labelled(), 7).unwrap();
        let (mut of_file, _) = read_all(&schema, &path(file), &options, 7).unwrap();
        assert_eq!(of_file.features, of_text.features, "{file}");
        let with_labels = ReadOptions { labels: labels.map(path), ..labelled() };
        of_file = read_all(&schema, &path(file), &with_labels, 9).unwrap().0;
        assert_eq!(of_file.features, of_text.features, "{file}");
        assert_eq!(of_file.classes, of_text.classes, "{file}");
        if text == "sparse.csv" {
            let [svm, csv] = ["short.svm", "short.csv"]
                .map(|name| read_all(&schema, &path(name), &options, 7).unwrap().0.features);
            assert_eq!(svm, csv, "a feature that no line has is 0");
        }
        let given = ReadOptions { header: Some(true), ..options.clone() };
        let error = read_all(&schema, &path(file), &given, 7).unwrap_err();
        assert!(error.ends_with("header is for text tables such as CSV: remove it"), "{error}");
    }
}

#[test]
fn the_text_of_arrays_is_read_in_the_form_of_the_training() {
    let days = ["03/04/2024", "25/12/2023", "1/2/2024", "14/7/2024"];
    let dates: Vec<&str> = (0..40_usize).map(|n| days[n * n % 7 % 4]).collect();
    let labels: Vec<i64> = (0..40).map(|n| n % 2).collect();
    let data = npz(&[("day", Npy::texts("(40,)", &dates)), ("k", Npy::whole("(40,)", &labels))]);
    let folder = Folder::with(&[("data.npz", data)]);
    let (_, schema) = train(&folder.spec("data.npz", Some("k"), None));
    let text = inputs(&schema, &folder, "a.csv", "day\n03/04/2024\n25/12/2023\n");
    assert_eq!(text.len(), 2 * schema.width());
    let path = folder.path().join("data.npz");
    let options = ReadOptions::default();
    let (all, _) = read_all(&schema, path.to_str().unwrap(), &options, 100).unwrap();
    assert_eq!(all.features[..schema.width()], text[..schema.width()]);
}

proptest! {
    #[test]
    fn any_bytes_give_rows_or_an_error(
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[0-9a-z,;\"\n\r# \u{e9}]{0,80}",
        has_header in any::<bool>(),
        name in select(vec!["later.csv", "later.csv.gz", "x.npy", "x.npz", "x.svm", "x.idx"]),
        needs_label in any::<bool>(),
    ) {
        let (folder, schema) = small();
        let good = "Size,word,side,day,k\n7,red,left,03/02/2024,no\n";
        let header = if has_header { good } else { "" };
        let path = folder.path().join(name);
        let path = path.to_str().unwrap();
        let options = ReadOptions { needs_label, ..ReadOptions::default() };
        for bytes in [[header.as_bytes(), &tail].concat(), [header, &text].concat().into_bytes()] {
            std::fs::write(path, bytes).unwrap();
            if let Err(error) = read_all(&schema, path, &options, 2) {
                proptest::prop_assert!(error.contains(path), "{}", error);
            }
        }
    }
}
