//! The same data gives the same digest and the same splits in every format.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::io::Write;
use std::ops::Range;

use caviar_common::data::{DataSpec, SplitSpec, TableSpec};
use caviar_data::{Dataset, Splits, load, split};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use support::{Folder, Npy, npz, zip};

const ROWS: usize = 48;

/// A table with every type of column, and a label of text.
struct Table {
    /// With missing values.
    real: Vec<f64>,
    whole: Vec<i64>,
    /// With missing values, as empty texts.
    kind: Vec<&'static str>,
    flag: Vec<bool>,
    day: Vec<String>,
    label: Vec<&'static str>,
}

impl Table {
    fn new() -> Self {
        let number = |row: usize| u8::try_from(row * 29 % 97).unwrap();
        let real = |row: usize| {
            if row % 7 == 3 { f64::NAN } else { f64::from(number(row)) / 8.0 - 5.3 }
        };
        let day = |row: usize| format!("2024-0{}-{:02}", row % 9 + 1, row * 7 % 27 + 1);
        let rows = || 0..ROWS;
        Self {
            real: rows().map(real).collect(),
            whole: rows().map(|row| 1000 - i64::from(number(row)) * 37).collect(),
            kind: rows().map(|row| ["red", "green", "", "blue", "red"][row % 5]).collect(),
            flag: rows().map(|row| row % 3 == 1 || row % 7 == 2).collect(),
            day: rows().map(day).collect(),
            label: rows().map(|row| ["no", "yes", "maybe", "no"][row * 5 % 11 % 4]).collect(),
        }
    }

    fn cells(&self, row: usize) -> [String; 6] {
        let real = self.real[row];
        [
            if real.is_nan() { String::new() } else { real.to_string() },
            self.whole[row].to_string(),
            self.kind[row].to_owned(),
            self.flag[row].to_string(),
            self.day[row].clone(),
            self.label[row].to_owned(),
        ]
    }

    /// The table as text.
    fn text(&self, delimiter: &str) -> String {
        let mut text = ["real", "whole", "kind", "flag", "day", "label"].join(delimiter);
        for row in 0..self.label.len() {
            text.push('\n');
            text.push_str(&self.cells(row).join(delimiter));
        }
        text + "\n"
    }

    /// Some of the rows.
    fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            real: self.real[rows.clone()].to_vec(),
            whole: self.whole[rows.clone()].to_vec(),
            kind: self.kind[rows.clone()].to_vec(),
            flag: self.flag[rows.clone()].to_vec(),
            day: self.day[rows.clone()].to_vec(),
            label: self.label[rows].to_vec(),
        }
    }

    /// An archive of one array for each column.
    fn npz(&self) -> Vec<u8> {
        let list = format!("({},)", self.label.len());
        npz(&[
            ("real", Npy::floats(&list, &self.real)),
            ("whole", Npy::whole(&list, &self.whole)),
            ("kind", Npy::texts(&list, &self.kind)),
            ("flag", Npy::bools(&list, &self.flag)),
            ("day", Npy::texts(&list, &self.days())),
            ("label", Npy::texts(&list, &self.label)),
        ])
    }

    fn days(&self) -> Vec<&str> {
        self.day.iter().map(String::as_str).collect()
    }
}

/// The digest and the splits, which say everything that training depends on.
#[track_caller]
fn check(name: &str, spec: &DataSpec, expected: &Dataset) {
    let data = load(spec).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(data.digest(), expected.digest(), "{name}");
    let spec = DataSpec { test: 0.25, ..spec.clone() };
    for seed in [1, 2] {
        // The schema says how the cells of each file are written.
        let examples = |dataset| {
            let splits = split(dataset, &spec, seed);
            splits.map(|splits| Splits { schema: None, ..splits })
        };
        let (left, right) = (examples(&data), examples(expected));
        assert_eq!(left.unwrap(), right.unwrap(), "{name}, seed {seed}");
    }
}

fn csv() -> (Folder, Dataset) {
    let folder = Folder::with(&[("table.csv", Table::new().text(",").into_bytes())]);
    let data = folder.load("table.csv", Some("label"), None).unwrap();
    assert_eq!(data.column_names().len(), 5);
    (folder, data)
}

#[test]
fn texts_in_every_delimiter_encoding_and_compression_are_equal() {
    let (_, expected) = csv();
    let text = Table::new().text(",");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let utf16: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files = [
        ("table.tsv", Table::new().text("\t").into_bytes()),
        ("semicolon.csv", Table::new().text(";").into_bytes()),
        ("utf16.csv", utf16),
        ("crlf.csv", text.replace('\n', "\r\n").into_bytes()),
        ("table.csv.gz", gzip.finish().unwrap()),
        ("table.csv.zst", compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)),
        ("table.zip", zip(&[("table.csv", text.into_bytes())])),
    ];
    let folder = Folder::with(&files);
    for (name, _) in &files {
        check(name, &folder.spec(name, Some("label"), None), &expected);
    }
}

#[test]
fn arrays_of_every_type_are_equal_to_the_text() {
    let (_, expected) = csv();
    let table = Table::new();
    let list = format!("({ROWS},)");
    let all: Vec<String> = (0..ROWS).flat_map(|row| table.cells(row).into_iter().take(5)).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let folder = Folder::with(&[
        ("table.npz", table.npz()),
        ("x.npy", Npy::texts(&format!("({ROWS}, 5)"), &all).file()),
        ("y.npy", Npy::texts(&list, &table.label).file()),
    ]);
    check("npz", &folder.spec("table.npz", Some("label"), None), &expected);
    check("npy", &folder.spec("x.npy", None, Some("y.npy")), &expected);
}

/// The groups of rows and their order in time do not depend on the format either.
#[test]
fn roles_of_columns_are_equal_to_those_of_the_text() {
    let table = Table::new();
    let arrays = table.npz();
    let folder =
        Folder::with(&[("table.csv", table.text(",").into_bytes()), ("table.npz", arrays)]);
    for (group, time) in
        [(Some("kind"), None), (Some("whole"), None), (None, Some("day")), (None, Some("whole"))]
    {
        let (group, time) = (group.map(str::to_owned), time.map(str::to_owned));
        let roles = SplitSpec { group, time, ..SplitSpec::default() };
        let spec = |name| {
            let ignore = vec!["kind".to_owned()];
            let table = TableSpec { ignore, ..TableSpec::default() };
            DataSpec { split: roles.clone(), table, ..folder.spec(name, Some("label"), None) }
        };
        let expected = load(&spec("table.csv")).unwrap();
        check(&format!("{roles:?}"), &spec("table.npz"), &expected);
    }
    let spec = |split| DataSpec { split, ..folder.spec("table.npz", Some("label"), None) };
    let time = |name: &str| SplitSpec { time: Some(name.to_owned()), ..SplitSpec::default() };
    assert_eq!(folder.error(&spec(time("kind"))).0, "data.time");
    let expected =
        "table.npz, row 3 (from 0): has no value in \"real\": expected a time in every row";
    assert_eq!(folder.error(&spec(time("real"))), ("data.time", expected.to_owned()));
    assert_eq!(folder.error(&spec(time("none"))).0, "data.time");
    let given = SplitSpec { test_source: Some("t.npz".to_owned()), ..SplitSpec::default() };
    assert_eq!(folder.error(&spec(given)).0, "data.test_source");
}

/// The files of a table that is given in three parts, whose names end in `ending`.
fn parts(ending: &str, file: impl Fn(&Table) -> Vec<u8>) -> Folder {
    let table = Table::new();
    let part = |rows| file(&table.rows(rows));
    let names = ["train", "validation", "test"].map(|name| format!("{name}.{ending}"));
    Folder::with(&[
        (&names[0], part(0..30)),
        (&names[1], part(30..38)),
        (&names[2], part(38..ROWS)),
    ])
}

fn parts_spec(folder: &Folder, ending: &str, label: Option<&str>) -> DataSpec {
    let path = |name| folder.path().join(format!("{name}.{ending}")).to_str().unwrap().to_owned();
    let split = SplitSpec {
        validation_source: Some(path("validation")),
        test_source: Some(path("test")),
        ..SplitSpec::default()
    };
    DataSpec { split, ..folder.spec(&format!("train.{ending}"), label, None) }
}

#[test]
fn files_with_given_splits_are_equal_to_those_of_text() {
    let folder = parts("csv", |table| table.text(",").into_bytes());
    let expected = load(&parts_spec(&folder, "csv", Some("label"))).unwrap();
    let arrays = parts("npz", Table::npz);
    check("npz", &parts_spec(&arrays, "npz", Some("label")), &expected);

    // The first column of a sparse file is 0 in the last part only.
    let sparse = |table: &Table| -> Vec<u8> {
        let first = if table.label.len() == ROWS - 38 { " 0:1" } else { "" };
        let row = |row: usize| format!("{}{first} 2:{}\n", table.label[row], table.whole[row]);
        (0..table.label.len()).map(row).collect::<String>().into_bytes()
    };
    let text = |table: &Table| -> Vec<u8> {
        let first = u8::from(table.label.len() == ROWS - 38);
        let row = |row: usize| format!("{first},0,{},{}\n", table.whole[row], table.label[row]);
        let rows: String = (0..table.label.len()).map(row).collect();
        format!("feature0,feature1,feature2,label\n{rows}").into_bytes()
    };
    let folder = parts("csv", text);
    let expected = load(&parts_spec(&folder, "csv", Some("label"))).unwrap();
    check("svm", &parts_spec(&parts("svm", sparse), "svm", None), &expected);
}

#[test]
fn an_error_in_a_file_with_a_given_split_names_that_file() {
    let table = Table::new();
    let mut broken = table.rows(38..ROWS);
    broken.real[4] = f64::INFINITY;
    let folder = parts("npz", Table::npz);
    std::fs::write(folder.path().join("test.npz"), broken.npz()).unwrap();
    let spec = parts_spec(&folder, "npz", Some("label"));
    let (field, text) = folder.error(&spec);
    assert_eq!(field, "data.test_source");
    assert!(text.starts_with("test.npz, row 4 (from 0), column \"real\": \"inf\" "), "{text}");

    let other = npz(&[("label", Npy::texts("(1,)", &["no"])), ("real", Npy::whole("(1,)", &[1]))]);
    std::fs::write(folder.path().join("validation.npz"), other).unwrap();
    let (field, text) = folder.error(&spec);
    assert_eq!(field, "data.source", "{text}");
    assert!(text.contains("array \"real\": has rows of int [] in one of the files"), "{text}");

    let split = SplitSpec { test_source: Some("t.csv".to_owned()), ..SplitSpec::default() };
    let (field, text) = folder.error(&DataSpec { split: split.clone(), ..spec.clone() });
    assert_eq!(field, "data.test_source");
    assert_eq!(text, "t.csv: expected a file of the same format as train.npz");

    let folder = Folder::with(&[("x.npy", Vec::new())]);
    let spec = DataSpec { split, ..folder.spec("x.npy", None, Some("y.npy")) };
    let (field, text) = folder.error(&spec);
    assert_eq!(field, "data.test_source");
    assert!(text.contains("save the arrays as NPZ files"), "{text}");
}

/// A sparse file has numbers only, and none that is missing.
#[test]
fn numbers_are_equal_in_a_sparse_file_and_in_an_array() {
    let table = Table::new();
    let real = |row: usize| if row.is_multiple_of(5) { 0.0 } else { table.real[row] };
    let (mut text, mut sparse, mut numbers) = ("a,b,label\n".to_owned(), String::new(), Vec::new());
    for row in 0..ROWS {
        let (a, b) = (if real(row).is_nan() { 0.25 } else { real(row) }, table.whole[row]);
        text.push_str(&format!("{a},{b},{}\n", table.label[row]));
        let first = if a == 0.0 { String::new() } else { format!(" 1:{a}") };
        sparse.push_str(&format!("{}{first} 2:{b}\n", table.label[row]));
        numbers.extend([a, f64::from(i32::try_from(b).unwrap())]);
    }
    let labels = Npy::texts(&format!("({ROWS},)"), &table.label).file();
    let folder = Folder::with(&[
        ("table.csv", text.into_bytes()),
        ("table.svm", sparse.into_bytes()),
        ("x.npy", Npy::floats(&format!("({ROWS}, 2)"), &numbers).file()),
        ("y.npy", labels),
    ]);
    let expected = folder.load("table.csv", Some("label"), None).unwrap();
    check("libsvm", &folder.spec("table.svm", None, None), &expected);
    check("npy", &folder.spec("x.npy", None, Some("y.npy")), &expected);
}

/// Without the feature, the error says how to get it.
#[cfg(not(feature = "arrow"))]
#[test]
fn columnar_files_need_a_feature() {
    for (name, format) in [("table.parquet", "Parquet"), ("table.feather", "Arrow")] {
        let folder = Folder::with(&[(name, b"PAR1".to_vec())]);
        let (field, text) = folder.error(&folder.spec(name, Some("label"), None));
        assert_eq!(field, "data.source");
        let expected = format!(
            "{name}: this build of caviar does not read {format} files: install it with cargo \
             install --path cli --features arrow, or save the table as CSV"
        );
        assert_eq!(text, expected);
    }
}

#[cfg(feature = "arrow")]
mod columnar {
    use arrow_array::types::Int8Type;
    use arrow_array::{
        ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array,
        RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray,
    };
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    use super::{Folder, ROWS, Table, check, csv, load, parts, parts_spec};

    /// `is_plain` has the usual types, and otherwise there are others for the same values.
    fn batch(is_plain: bool) -> RecordBatch {
        batch_of(Table::new(), is_plain)
    }

    fn batch_of(table: Table, is_plain: bool) -> RecordBatch {
        let real = table.real.iter().map(|value| (!value.is_nan()).then_some(*value));
        let real = if is_plain { real.collect() } else { Float64Array::from(table.real.clone()) };
        let kind = || table.kind.iter().map(|text| (!text.is_empty()).then_some(*text));
        let kind: ArrayRef = if is_plain {
            Arc::new(kind().collect::<StringArray>())
        } else {
            Arc::new(kind().collect::<DictionaryArray<Int8Type>>())
        };
        let first = days_of(&table.day);
        let day: ArrayRef = if is_plain {
            Arc::new(Date32Array::from(first))
        } else {
            let ms = first.into_iter().map(|day| i64::from(day) * 86_400_000);
            Arc::new(TimestampMillisecondArray::from_iter_values(ms))
        };
        let label: ArrayRef = if is_plain {
            Arc::new(StringArray::from(table.label.clone()))
        } else {
            Arc::new(StringViewArray::from(table.label.clone()))
        };
        let columns: [(&str, ArrayRef); 6] = [
            ("real", Arc::new(real)),
            ("whole", Arc::new(Int64Array::from(table.whole))),
            ("kind", kind),
            ("flag", Arc::new(BooleanArray::from(table.flag))),
            ("day", day),
            ("label", label),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// The days from 1970-01-01 to the dates, all in 2024.
    fn days_of(dates: &[String]) -> Vec<i32> {
        const BEFORE: [i32; 9] = [0, 31, 60, 91, 121, 152, 182, 213, 244];
        let day = |date: &String| {
            let month: usize = date[5..7].parse().unwrap();
            let day: i32 = date[8..].parse().unwrap();
            19_723 + BEFORE[month - 1] + day - 1
        };
        dates.iter().map(day).collect()
    }

    fn parquet(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROWS / 3))
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn file(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer =
            FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch.slice(0, 10)).unwrap();
        writer.write(&batch.slice(10, ROWS - 10)).unwrap();
        writer.into_inner().unwrap()
    }

    fn stream(batch: &RecordBatch) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn columnar_files_are_equal_to_the_text() {
        let (_, expected) = csv();
        let (plain, other) = (batch(true), batch(false));
        let gzip = Compression::GZIP(GzipLevel::default());
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let files = [
            ("plain.parquet", parquet(&plain, Compression::UNCOMPRESSED)),
            ("snappy.parquet", parquet(&plain, Compression::SNAPPY)),
            ("gzip.parquet", parquet(&other, gzip)),
            ("zstd.parquet", parquet(&other, zstd)),
            ("lz4.parquet", parquet(&other, Compression::LZ4_RAW)),
            ("plain.arrow", file(&plain, None)),
            ("lz4.feather", file(&plain, Some(CompressionType::LZ4_FRAME))),
            ("zstd.feather", file(&plain, Some(CompressionType::ZSTD))),
            ("plain.arrows", stream(&plain)),
            ("other.arrows", stream(&other)),
        ];
        let folder = Folder::with(&files);
        for (name, _) in &files {
            check(name, &folder.spec(name, Some("label"), None), &expected);
        }
    }

    #[test]
    fn files_with_given_splits_are_equal_to_those_of_text() {
        let folder = parts("csv", |table| table.text(",").into_bytes());
        let expected = load(&parts_spec(&folder, "csv", Some("label"))).unwrap();
        let all = |table: &Table| batch_of(table.rows(0..table.label.len()), true);
        let gzip = Compression::GZIP(GzipLevel::default());
        let folder = parts("parquet", |table| parquet(&all(table), gzip));
        check("parquet", &parts_spec(&folder, "parquet", Some("label")), &expected);
        let folder = parts("arrows", |table| stream(&all(table)));
        check("arrow", &parts_spec(&folder, "arrows", Some("label")), &expected);

        let other = |table: &Table| batch_of(table.rows(0..table.label.len()), false);
        let folder = parts("arrows", |table| {
            stream(&if table.label.len() == 8 { other(table) } else { all(table) })
        });
        let (field, text) = folder.error(&parts_spec(&folder, "arrows", Some("label")));
        assert_eq!(field, "data.validation_source");
        let start = "validation.arrows: its column \"kind\" has the type Dictionary";
        assert!(text.starts_with(start), "{text}");
    }
}

#[test]
fn another_value_gives_another_digest() {
    let (_, expected) = csv();
    let text = Table::new().text(",").replacen("green", "grey", 1);
    let folder = Folder::with(&[("table.csv", text.into_bytes())]);
    let data = folder.load("table.csv", Some("label"), None).unwrap();
    assert_ne!(data.digest(), expected.digest());
    let table = TableSpec { ignore: vec!["flag".to_owned()], ..TableSpec::default() };
    let (folder, _) = csv();
    let spec = DataSpec { table, ..folder.spec("table.csv", Some("label"), None) };
    assert_ne!(load(&spec).unwrap().digest(), expected.digest());
}
