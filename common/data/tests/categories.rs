//! Categories with many values: the number of a value as the only input.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

use caviar_common::data::{DataSpec, SplitSpec, Task};
use caviar_data::{
    Embedded, Encoder, Encoding, ReadOptions, RowBatch, Schema, SchemaReader, load, split, whole,
};
use tempfile::TempDir;

/// A table of texts and their labels, in which each text is in as many rows as stated.
fn table(texts: &[(String, usize)]) -> String {
    let rows = texts.iter().flat_map(|(text, count)| std::iter::repeat_n(text, *count));
    let lines = rows.enumerate().map(|(row, text)| format!("{},{text},{}\n", row % 7, row % 2));
    format!("x,text,k\n{}", lines.collect::<String>())
}

fn values(count: usize, rows: usize) -> Vec<(String, usize)> {
    (0..count).map(|value| (format!("v{value:02}"), rows)).collect()
}

fn write(folder: &TempDir, name: &str, text: String) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn file(texts: &[(String, usize)]) -> (TempDir, DataSpec) {
    let folder = tempfile::tempdir().unwrap();
    let source = write(&folder, "data.csv", table(texts));
    let label = Some("k".to_owned());
    let task = Some(Task::Classification);
    let spec = DataSpec { source, label, task, validation: 0.2, ..DataSpec::default() };
    (folder, spec)
}

/// The schema if all rows are in the training split.
fn schema_of_all(spec: &DataSpec) -> Schema {
    let splits = whole(&load(spec).unwrap(), spec, 1).unwrap();
    let schema = Schema::clone(splits.schema.as_ref().unwrap());
    // As a program reads it from the file of a model.
    let stored: Schema = serde_json::from_str(&serde_json::to_string(&schema).unwrap()).unwrap();
    assert_eq!(stored, schema);
    stored.check().unwrap();
    stored
}

fn embedded(schema: &Schema) -> &Embedded {
    let [_, Encoding::Embedded(embedded)] = schema.encodings() else { panic!("{schema:?}") };
    embedded
}

/// The numbers of texts that a model reads.
fn numbers(schema: &Schema, folder: &TempDir, texts: &[&str]) -> Vec<f32> {
    let rows: String = texts.iter().map(|text| format!("1,{text}\n")).collect();
    let path = write(folder, "later.csv", format!("x,text\n{rows}"));
    let mut reader = SchemaReader::open(schema, &path, &ReadOptions::default()).unwrap();
    let mut batch = RowBatch::default();
    assert_eq!(reader.read(&mut batch, 100).unwrap(), texts.len());
    batch.features().chunks(schema.width()).map(|row| row[1]).collect()
}

#[test]
fn up_to_64_values_have_an_input_each_and_more_have_numbers() {
    let (_folder, spec) = file(&values(64, 3));
    let schema = schema_of_all(&spec);
    assert!(matches!(&schema.encodings()[1], Encoding::OneHot(it) if it.width == 64));
    assert_eq!((schema.width(), schema.encoder.categories()), (65, vec![]));
    let (folder, spec) = file(&values(65, 3));
    let schema = schema_of_all(&spec);
    let all: Vec<u32> = (1..=65).collect();
    assert_eq!(embedded(&schema).numbers, all);
    assert_eq!((schema.width(), schema.encoder.numbers()), (2, vec![0]));
    let categories = schema.encoder.categories();
    assert_eq!((categories.len(), categories[0].place, categories[0].values), (1, 1, 65));
    // No value is rare, so an unknown one has no vector.
    let found = numbers(&schema, &folder, &["v00", "v64", "nowhere", ""]);
    assert_eq!(found, [1.0, 65.0, 0.0, 0.0]);
}

#[test]
fn a_missing_value_is_not_one_of_the_64() {
    let mut texts = values(64, 3);
    texts.push((String::new(), 3));
    let (_folder, spec) = file(&texts);
    assert!(matches!(&schema_of_all(&spec).encodings()[1], Encoding::OneHot(it) if it.width == 65));
}

#[test]
fn rare_missing_and_unknown_values_are_numbered() {
    let mut texts = values(65, 3);
    texts.extend((0..10).map(|number| (format!("rare{number}"), 1)));
    texts.push((String::new(), 10));
    let (folder, spec) = file(&texts);
    let schema = schema_of_all(&spec);
    let found = numbers(&schema, &folder, &["v00", "v64", "", "rare1", "rare2", "NA", "nowhere"]);
    assert_eq!(found, [1.0, 65.0, 66.0, 67.0, 67.0, 66.0, 67.0]);
    assert_eq!(embedded(&schema).values, 67);
}

#[test]
fn a_few_rare_and_missing_values_do_not_speak_for_unknown_ones() {
    let mut texts = values(65, 3);
    texts.extend([("rare".to_owned(), 1), (String::new(), 8)]);
    let (folder, spec) = file(&texts);
    let schema = schema_of_all(&spec);
    assert_eq!(numbers(&schema, &folder, &["v64", "", "rare", "nowhere"]), [65.0, 0.0, 0.0, 0.0]);
    assert_eq!(embedded(&schema).values, 65);
}

#[test]
fn only_the_training_split_counts() {
    let (folder, spec) = file(&values(70, 2));
    let later = [("v03".to_owned(), 2), ("later".to_owned(), 5), (String::new(), 5)];
    let later = write(&folder, "later.csv", table(&later));
    let validation = SplitSpec { validation_source: Some(later), ..SplitSpec::default() };
    let spec = DataSpec { split: validation, ..spec };
    let dataset = load(&spec).unwrap();
    let splits = split(&dataset, &spec, 1).unwrap();
    let schema = splits.schema.as_ref().unwrap();
    assert_eq!((embedded(schema).values, embedded(schema).missing), (70, 0));
    let features = splits.validation.features.to_array().unwrap();
    let mut found: Vec<f32> = features.column(1).to_vec();
    found.sort_by(f32::total_cmp);
    assert_eq!(found, [[0.0; 10].as_slice(), &[4.0; 2]].concat());
    let summary = dataset.summary(&spec, 1).unwrap();
    assert_eq!((summary.features, summary.numbers), (2, 1));
    assert_eq!((summary.categories, summary.category_values), (1, 70));
}

#[test]
fn a_schema_with_numbers_that_do_not_fit_is_refused() {
    let (_folder, spec) = file(&values(65, 3));
    let schema = schema_of_all(&spec);
    let fault = |change: fn(&mut Embedded)| {
        let mut schema = schema.clone();
        let Encoder::Columns(encodings) = &mut schema.encoder else { panic!("columns") };
        let Encoding::Embedded(embedded) = &mut encodings[1] else { panic!("embedded") };
        change(embedded);
        schema.check().unwrap_err().to_string()
    };
    let says = |text: String, what: &str| assert!(text.contains(what), "{text}");
    says(fault(|it| it.numbers[3] = 66), "names one that it does not have");
    says(fault(|it| it.missing = 66), "names one that it does not have");
    says(fault(|it| it.unknown = 66), "names one that it does not have");
    says(fault(|it| it.values = 0), "encoding has no values");
    says(fault(|it| it.values = 65_538), "values are more than the limit");
    says(fault(|it| it.numbers.truncate(64)), "another number of categories");
}
