//! Parquet and Arrow files: their types, the columns that are left out, and faulty files.

#![cfg(feature = "arrow")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date64Array, Decimal128Array, DictionaryArray,
    DurationSecondArray, Float32Array, Int16Array, Int64Array, LargeStringArray, ListArray,
    NullArray, RecordBatch, StringArray, StringViewArray, Time32SecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use caviar_common::data::{ColumnType, DataSpec, TableSpec, Task};
use caviar_data::{Dataset, ReadOptions, RowBatch, SchemaReader, Truth, header, inspect, split};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use support::Folder;

const ROWS: usize = 5;

fn strings(texts: [&str; ROWS]) -> StringArray {
    StringArray::from(texts.to_vec())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let label: ArrayRef = Arc::new(strings(["a", "b", "a", "b", "a"]));
    let columns = columns.into_iter().chain([("label", label)]);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

fn stream(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

fn files(batch: &RecordBatch) -> Folder {
    let (file, stream) = (arrow(batch).unwrap(), stream(batch).unwrap());
    Folder::with(&[("t.parquet", parquet(batch)), ("t.arrow", file), ("t.arrows", stream)])
}

/// Loads a table from all formats, which must agree.
fn load(columns: Vec<(&str, ArrayRef)>, change: impl Fn(DataSpec) -> DataSpec) -> Dataset {
    let folder = files(&batch(columns));
    let load = |name| caviar_data::load(&change(folder.spec(name, Some("label"), None))).unwrap();
    let data = load("t.parquet");
    assert_eq!(load("t.arrow"), data);
    assert_eq!(load("t.arrows"), data);
    data
}

fn same(spec: DataSpec) -> DataSpec {
    spec
}

/// The first column, without its missing values, and its type.
fn first(column: impl arrow_array::Array + 'static) -> (Vec<f64>, Option<ColumnType>) {
    let data = load(vec![("x", Arc::new(column))], same);
    let values = data.column(0).into_iter().filter(|value| !value.is_nan()).collect();
    (values, data.column_type(0))
}

#[test]
fn every_type_has_its_values() {
    let number = Some(ColumnType::Number);
    assert_eq!(
        first(Int16Array::from(vec![Some(-3), None, Some(7), Some(2), Some(9)])),
        (vec![-3.0, 7.0, 2.0, 9.0], number)
    );
    assert_eq!(
        first(Float32Array::from(vec![0.5, f32::NAN, 3.0, 1.5, -2.0])),
        (vec![0.5, 3.0, 1.5, -2.0], number)
    );
    let decimals = Decimal128Array::from(vec![Some(150), None, Some(-7), Some(10), Some(1)]);
    let decimals = decimals.with_precision_and_scale(10, 2).unwrap();
    assert_eq!(first(decimals), (vec![1.5, -0.07, 0.1, 0.01], number));
    let durations = DurationSecondArray::from(vec![60, 1, 5, 3, 9]);
    let (values, kind) = first(durations);
    assert_eq!((values, kind), (vec![60.0, 1.0, 5.0, 3.0, 9.0], number));

    let date = Some(ColumnType::Date);
    let days = [19_723_i64, 3, -1, 5, 9];
    let instants = days.map(|day| day * 86_400_000_000_000 + 43_200_000_000_000);
    let expected = days.map(|day| f64::from(i32::try_from(day).unwrap()) + 0.5).to_vec();
    assert_eq!(first(TimestampNanosecondArray::from(instants.to_vec())), (expected, date));
    let zoned = TimestampNanosecondArray::from(instants.to_vec()).with_timezone("+02:00");
    assert_eq!(first(zoned).0[0], 19_723.5, "instants are in UTC");
    let ms = days.map(|day| day * 86_400_000).to_vec();
    assert_eq!(first(Date64Array::from(ms)).0, [19_723.0, 3.0, -1.0, 5.0, 9.0]);
    let times = Time32SecondArray::from(vec![43_200, 0, 21_600, 64_800, 86_399]);
    let (values, kind) = first(times);
    assert_eq!((&values[..4], kind), (&[0.5, 0.0, 0.25, 0.75][..], date));
}

#[test]
fn texts_of_every_type_are_categories() {
    let texts = [Some("10"), Some("9"), None, Some("10"), Some(" NA ")];
    let dictionary: DictionaryArray<Int8Type> = texts.into_iter().collect();
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(dictionary),
    ];
    for column in columns {
        let data = load(vec![("x", column)], same);
        assert_eq!(data.column_type(0), Some(ColumnType::Category));
        assert_eq!(data.categories(0), ["10", "9", "NA"], "digits and NA are texts");
        assert_eq!(data.column(0)[..2], [0.0, 1.0]);
        assert!(data.column(0)[2].is_nan());
    }
    let typed = |spec: DataSpec| {
        let types = [("x".to_owned(), ColumnType::Number)].into();
        DataSpec { table: TableSpec { types, ..TableSpec::default() }, ..spec }
    };
    let digits: ArrayRef = Arc::new(strings(["10", "9", "8.5", "1e3", ""]));
    let data = load(vec![("x", digits)], typed);
    assert_eq!(data.column(0)[..4], [10.0, 9.0, 8.5, 1000.0]);
}

#[test]
fn dictionaries_of_numbers_are_numbers() {
    let keys = arrow_array::Int8Array::from(vec![Some(1), Some(0), None, Some(1), Some(2)]);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(40), Some(50), None]));
    let column: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::try_new(keys, values).unwrap());
    let batch = batch(vec![("x", column)]);
    let folder = Folder::with(&[("t.arrow", arrow(&batch).unwrap())]);
    let data = folder.load("t.arrow", Some("label"), None).unwrap();
    assert_eq!(data.column(0)[..2], [50.0, 40.0]);
    assert_eq!(data.column(0).iter().filter(|value| value.is_nan()).count(), 2);
}

#[test]
fn types_without_a_place_in_a_network_are_left_out_with_a_note() {
    let lists = (0..5).map(|row| Some(vec![Some(row), Some(2)]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("vectors", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"x"; ROWS]))),
        ("x", Arc::new(Int64Array::from(vec![5, 3, 8, 1, 2]))),
        ("nothing", Arc::new(NullArray::new(ROWS))),
    ];
    let data = load(columns.clone(), same);
    assert_eq!(data.column_names(), ["x"]);
    let note = data.notes().iter().find(|note| note.code == "types_left_out").unwrap();
    assert_eq!(note.columns, ["vectors", "bytes"]);
    assert!(note.text.contains("\"bytes\" (Binary)"), "{}", note.text);
    let folder = files(&batch(columns));
    let (field, text) = folder.error(&folder.spec("t.parquet", Some("vectors"), None));
    assert_eq!(field, "data.label");
    assert!(text.contains("\"vectors\" has the type List"), "{text}");
}

#[test]
fn labels_are_found_by_name_and_decide_the_task() {
    let whole: Vec<u64> = vec![u64::MAX, u64::MAX - 1, u64::MAX, u64::MAX - 1, u64::MAX];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(Int64Array::from(vec![5, 3, 8, 1, 2]))),
        ("id", Arc::new(UInt64Array::from(whole))),
        (
            "y",
            Arc::new(Float32Array::from(vec![Some(0.5), None, Some(1.5), Some(2.5), Some(0.25)])),
        ),
    ];
    let folder = files(&batch(columns));
    let data = folder.load("t.arrow", Some("id"), None).unwrap();
    assert_eq!(data.classes(), [(u64::MAX - 1).to_string(), u64::MAX.to_string()]);
    let data = folder.load("t.parquet", Some("y"), None).unwrap();
    assert_eq!((data.task(), data.targets().len()), (Task::Regression, 4));
    assert!(data.notes().iter().any(|note| note.code == "rows_without_label"));
    assert!(data.notes().iter().any(|note| note.code == "rounded_numbers"));
    let error = |label| folder.error(&folder.spec("t.arrow", label, None));
    let (field, text) = error(None);
    assert_eq!(field, "data.label");
    assert!(text.contains("one of \"x\", \"id\", \"y\", \"label\""), "{text}");
    let expected = "t.arrow has no column \"Y\": expected one of \"x\", \"id\", \"y\", \"label\"; \
                    did you mean \"y\"?";
    assert_eq!(error(Some("Y")), ("data.label", expected.to_owned()));
    let names = header(&folder.spec("t.parquet", None, None)).unwrap().names;
    assert_eq!(names, ["x", "id", "y", "label"]);
    let inspection = inspect(&folder.spec("t.parquet", Some("y"), None)).unwrap();
    assert_eq!((inspection.rows, inspection.columns.len()), (4, 3));
}

#[test]
fn the_lists_of_columns_apply() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(Int64Array::from(vec![5, 3, 8, 1, 2]))),
        ("z", Arc::new(Int64Array::from(vec![1, 0, 1, 1, 0]))),
    ];
    let ignoring = |spec: DataSpec| {
        let types = [("z".to_owned(), ColumnType::Boolean)].into();
        let ignore = vec!["x".to_owned()];
        DataSpec { table: TableSpec { types, ignore, ..TableSpec::default() }, ..spec }
    };
    let data = load(columns.clone(), ignoring);
    assert_eq!(data.column_names(), ["z"]);
    assert_eq!(data.column_type(0), Some(ColumnType::Boolean));
    let folder = files(&batch(columns));
    let types = [("x".to_owned(), ColumnType::Boolean)].into();
    let table = TableSpec { types, ..TableSpec::default() };
    let spec = DataSpec { table, ..folder.spec("t.arrow", Some("label"), None) };
    let expected =
        "t.arrow, row 0 (from 0), column \"x\": \"5\" does not fit its column: expected 0 or 1";
    assert_eq!(folder.error(&spec), ("data.types", expected.to_owned()));
}

#[test]
fn a_date_beyond_the_calendar_is_refused() {
    let column: ArrayRef = Arc::new(Date64Array::from(vec![0, 1, i64::MAX, 3, 4]));
    let folder = Folder::with(&[("t.arrow", arrow(&batch(vec![("day", column)])).unwrap())]);
    let (field, text) = folder.error(&folder.spec("t.arrow", Some("label"), None));
    assert_eq!(field, "data.source");
    assert!(text.contains("row 2 (from 0), column \"day\""), "{text}");
}

/// Without the check, the reader asks for the memory, and the process ends.
#[test]
fn a_size_that_no_machine_has_is_refused_before_it_is_allocated() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..600).map(|row| row % 3)));
    let batch = RecordBatch::try_from_iter([("x", Arc::clone(&values)), ("k", values)]).unwrap();
    let options = IpcWriteOptions::default();
    let options = options.try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let mut file =
        FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options.clone()).unwrap();
    file.write(&batch).unwrap();
    let mut stream =
        StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    stream.write(&batch).unwrap();
    // The length of the column before compression, and the first bytes of LZ4.
    let start = [&4800_i64.to_le_bytes()[..], &[0x04, 0x22, 0x4d, 0x18]].concat();
    let files = [file.into_inner().unwrap(), stream.into_inner().unwrap()];
    for (mut bytes, name) in files.into_iter().zip(["t.arrow", "t.arrows"]) {
        let folder = Folder::with(&[(name, bytes.clone())]);
        assert!(folder.load(name, Some("k"), None).is_ok());
        let place = bytes.windows(start.len()).position(|window| window == start).unwrap();
        bytes[place..place + 8].copy_from_slice(&(i64::MAX / 2).to_le_bytes());
        let folder = Folder::with(&[(name, bytes)]);
        let (field, text) = folder.error(&folder.spec(name, Some("k"), None));
        assert_eq!(field, "data.source");
        assert!(text.ends_with("its columns are too large after decompression"), "{text}");
    }
}

/// The limits on what pages state are those of the formats, so no correct file exceeds them.
#[test]
fn columns_that_compress_well_are_read_in_every_compression() {
    let rows = 100_000;
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row % 2)));
    let same: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row / 50_000)));
    let columns = [("x", same), ("label", values)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::try_new(9).unwrap()),
        Compression::ZSTD(ZstdLevel::try_new(19).unwrap()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for has_dictionary in [false, true] {
                let properties = WriterProperties::builder()
                    .set_compression(compression)
                    .set_writer_version(version)
                    .set_dictionary_enabled(has_dictionary)
                    .build();
                let mut writer =
                    ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
                writer.write(&batch).unwrap();
                let folder = Folder::with(&[("t.parquet", writer.into_inner().unwrap())]);
                let data = folder.load("t.parquet", Some("label"), None).unwrap();
                assert_eq!(data.column(0).iter().sum::<f64>(), 50_000.0, "{compression:?}");
            }
        }
    }
}

/// Without the check, the reader asks for the memory of the values, and the process ends.
#[test]
fn a_parquet_page_that_states_a_size_beyond_its_bytes_is_refused() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/parquet");
    let error = |file: &str| {
        let bytes = std::fs::read(corpus.join(file)).unwrap();
        let folder = Folder::with(&[("t.parquet", bytes)]);
        folder.error(&folder.spec("t.parquet", Some("k"), None)).1
    };
    let text = error("oom_dictionary_values");
    assert!(text.ends_with("a dictionary states more values than it has bytes for"), "{text}");
    // The uncompressed size of the first page of a correct file, raised to 2 GiB.
    let mut bytes = std::fs::read(corpus.join("seed_snappy")).unwrap();
    let head = [0x15, 0x04, 0x15];
    assert_eq!(bytes[4..7], head, "the head of the first page: the type 2, and then the size");
    let length = bytes[7..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    bytes.splice(7..7 + length, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
    let folder = Folder::with(&[("t.parquet", bytes)]);
    let (_, text) = folder.error(&folder.spec("t.parquet", Some("k"), None));
    assert!(text.ends_with("more bytes than its compression can have saved"), "{text}");
}

/// Without the check, the reader asks for the memory of the lengths, and the process ends.
#[test]
fn a_page_of_texts_that_states_more_lengths_than_texts_is_refused() {
    let texts = StringArray::from(vec![Some("ab"), None, Some("abc"), Some("b"), Some("b"), None]);
    let labels = BooleanArray::from(vec![true, false, true, false, true, false]);
    let columns: [(&str, ArrayRef); 2] = [("x", Arc::new(texts)), ("k", Arc::new(labels))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for (encoding, runs) in
        [(Encoding::DELTA_LENGTH_BYTE_ARRAY, 1), (Encoding::DELTA_BYTE_ARRAY, 2)]
    {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_dictionary_enabled(false)
                .set_column_encoding("x".into(), encoding)
                .build();
            let mut writer =
                ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            let bytes = writer.into_inner().unwrap();
            let folder = Folder::with(&[("t.parquet", bytes.clone())]);
            let data = folder.load("t.parquet", Some("k"), None).unwrap();
            assert_eq!(data.categories(0), ["ab", "abc", "b"], "{encoding}");
            // A run of four lengths begins with its blocks of 128 in four parts.
            let is_start = |place: &usize| bytes[*place..].starts_with(&[0x80, 0x01, 4, 4]);
            let starts: Vec<usize> = (0..bytes.len()).filter(is_start).collect();
            assert_eq!(starts.len(), runs, "{encoding}");
            for start in starts {
                let mut damaged = bytes.clone();
                damaged[start + 3..start + 9].copy_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]);
                let folder = Folder::with(&[("t.parquet", damaged)]);
                let (_, text) = folder.error(&folder.spec("t.parquet", Some("k"), None));
                assert!(text.ends_with("states more lengths than it has texts"), "{text}");
            }
        }
    }
}

#[test]
fn the_error_of_a_damaged_file_names_it() {
    let good = batch(vec![("x", Arc::new(Int64Array::from(vec![5, 3, 8, 1, 2])))]);
    let (parquet, arrow) = (parquet(&good), arrow(&good).unwrap());
    let twice = Schema::new(vec![
        Field::new("x", DataType::Int64, false),
        Field::new("x", DataType::Int64, false),
        Field::new("label", DataType::Utf8, false),
    ]);
    let columns = [0, 0, 1].map(|index| Arc::clone(good.column(index))).to_vec();
    let twice = RecordBatch::try_new(Arc::new(twice), columns).unwrap();
    let folder = Folder::with(&[
        ("empty.parquet", Vec::new()),
        ("short.parquet", parquet[..parquet.len() / 2].to_vec()),
        ("text.parquet", b"x,label\n1,a\n".to_vec()),
        ("empty.arrow", Vec::new()),
        ("short.arrow", arrow[..arrow.len() / 2].to_vec()),
        ("text.arrow", b"x,label\n1,a\n2,b\n".to_vec()),
        ("old.feather", b"FEA1\0\0\0\0".to_vec()),
        ("twice.arrow", self::arrow(&twice).unwrap()),
    ]);
    for (name, expected) in [
        ("empty.parquet", "empty.parquet: is not a Parquet file, or is damaged: "),
        ("short.parquet", "short.parquet: is not a Parquet file, or is damaged: "),
        ("text.parquet", "text.parquet: is text, and not a Parquet file: give it a name that "),
        ("empty.arrow", "empty.arrow: the file is empty"),
        ("short.arrow", "short.arrow: is not an Arrow file, or is damaged: "),
        (
            "text.arrow",
            "text.arrow: is text, and not an Arrow file: give it a name that ends in .csv",
        ),
        ("old.feather", "old.feather: is not an Arrow file, or is damaged: it has version 1"),
        ("twice.arrow", "twice.arrow: two columns are called \"x\""),
    ] {
        let (field, text) = folder.error(&folder.spec(name, Some("label"), None));
        assert_eq!(field, "data.source", "{text}");
        assert!(text.starts_with(expected), "{text}");
    }
}

/// The inputs, the labels and the records of a file for a model, and the header of the file.
fn later(
    schema: &caviar_data::Schema,
    path: &str,
) -> (Vec<f32>, Vec<Option<u32>>, Vec<String>, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let options = ReadOptions { needs_label: true, ..ReadOptions::default() };
    let mut reader = SchemaReader::open(schema, path, &options).unwrap();
    let (mut inputs, mut labels, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut batch = RowBatch::default();
    while reader.read(&mut batch, 999).unwrap() > 0 {
        inputs.extend_from_slice(batch.features());
        if let Some(Truth::Classes(classes)) = batch.truth() {
            labels.extend_from_slice(classes);
        }
        records.extend((0..batch.rows()).filter_map(|row| batch.record(row)).map(text));
    }
    (inputs, labels, records, text(reader.header().unwrap()))
}

#[test]
fn a_model_reads_columnar_files_as_it_reads_text() {
    const ALL: i64 = 10_000;
    let word = |n: i64| ["dark, red", "green", "say \"x\""].into_iter().nth(usize::from(n % 7 > 2));
    let number = |n: i64| (n % 5 != 1).then_some(n * 37 % 100);
    let label = |n: i64| (n % 11 != 3).then_some(if n * n % 7 > 2 { "a" } else { "b" });
    let day = |n: i64| n * 31 % 900;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "note",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                (0..ALL).map(|_| Some(vec![Some(1)])),
            )),
        ),
        ("x", Arc::new(Int64Array::from_iter((0..ALL).map(number)))),
        ("word", Arc::new(StringArray::from_iter((0..ALL).map(word)))),
        (
            "day",
            Arc::new(arrow_array::Date32Array::from_iter_values(
                (0..ALL).map(|n| i32::try_from(day(n)).unwrap()),
            )),
        ),
        ("k", Arc::new(StringArray::from_iter((0..ALL).map(label)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let folder = files(&batch);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let spec = folder.spec("t.parquet", Some("k"), None);
    let splits = split(&caviar_data::load(&spec).unwrap(), &spec, 5).unwrap();
    let schema = splits.schema.unwrap();
    let of_parquet = later(&schema, &path("t.parquet"));
    let (inputs, labels, records, header) = &of_parquet;
    let expected: Vec<Option<u32>> =
        (0..ALL).filter_map(label).map(|k| Some(u32::from(k == "b"))).collect();
    assert_eq!((labels.len(), labels), (expected.len(), &expected));
    assert_eq!(inputs.len(), labels.len() * schema.width());
    assert_eq!(header, "x,word,day,k");
    assert_eq!(records[0], "0,\"dark, red\",1970-01-01,b");
    assert_eq!(records[1], ",\"dark, red\",1970-02-01,b");
    assert_eq!(later(&schema, &path("t.arrow")), of_parquet);
    assert_eq!(later(&schema, &path("t.arrows")), of_parquet);
    // The records are a text file with the same inputs.
    std::fs::write(path("t.csv"), format!("{header}\n{}\n", records.join("\n"))).unwrap();
    assert_eq!(later(&schema, &path("t.csv")), of_parquet);
}
