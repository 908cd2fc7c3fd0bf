//! Later tables are read as the training read its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::fmt::Write;

use caviar_common::data::{DataSpec, TableSpec, Task};
use caviar_data::{
    ReadOptions, RowBatch, Schema, SchemaReader, Splits, Targets, Truth, load, split_rows,
    split_with_schema,
};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::select;
use support::Folder;

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
    split_with_schema(&load(spec).unwrap(), spec, 7).unwrap()
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
        let (splits, schema) = split_with_schema(&dataset, &spec, 3).unwrap();
        let (read, counts) = read_all(&stored(&schema), &spec.source, &labelled(), at_once).unwrap();
        let drawn = split_rows(&dataset, &spec, 3).unwrap();
        let width = schema.width();
        let parts = [(&drawn.train, &splits.train), (&drawn.validation, &splits.validation)];
        let test = splits.test.as_ref().unwrap();
        for (rows, examples) in parts.into_iter().chain([(&drawn.test, test)]) {
            for (place, row) in examples.features.rows().into_iter().zip(rows) {
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
            Targets::Values(values) => prop_assert_eq!(&read.values, values),
        }
        prop_assert_eq!(counts.unknown_categories.iter().sum::<u64>(), 0);
        let labelled = text.lines().skip(1).filter(|line| !line.ends_with(delimiter));
        prop_assert_eq!(&read.records, &labelled.map(str::to_owned).collect::<Vec<_>>());
        prop_assert_eq!(usize::try_from(counts.unlabelled + counts.rows).unwrap(), rows);
    }
}
