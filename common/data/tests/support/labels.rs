//! A table with two numbers to predict, and what must be equal in all formats.

use std::fmt::Write;

use caviar_blob::Source;
use caviar_common::data::DataSpec;
use caviar_data::{
    BlockSource, Bytes, Dataset, ReadOptions, RowBatch, Schema, SchemaReader, Splits, Truth,
    inspect, load, split,
};

use crate::support::Folder;

pub(crate) const ROWS: usize = 60;
pub(crate) const NAN: f64 = f64::NAN;

/// Two inputs and two numbers to predict, some of them missing.
pub(crate) fn row(row: usize) -> [f64; 4] {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap());
    let (x, z) = (number(row * 37 % 101), number(row * row % 29) / 8.0);
    let near = if row == 7 { NAN } else { number(row * 53 % 89) / 1e3 };
    let far = if row % 20 == 11 { NAN } else { 5e6 - 300.0 * x };
    [x, z, near, far]
}

/// Some of the columns, row by row.
pub(crate) fn cells(rows: std::ops::Range<usize>, columns: &[usize]) -> Vec<f64> {
    rows.flat_map(|at| columns.iter().map(move |&column| row(at)[column])).collect()
}

pub(crate) fn csv(names: [&str; 4]) -> Vec<u8> {
    let mut text = names.join(",") + "\n";
    for at in 0..ROWS {
        let cells = row(at).map(|v| if v.is_nan() { String::new() } else { v.to_string() });
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text.into_bytes()
}

/// A spec of one or several labels.
pub(crate) fn spec(folder: &Folder, source: &str, labels: &[&str]) -> DataSpec {
    let more_labels = labels.iter().skip(1).map(|&name| name.to_owned()).collect();
    DataSpec { more_labels, ..folder.spec(source, labels.first().copied(), None) }
}

pub(crate) fn code<'a>(data: &'a Dataset, code: &str) -> Option<&'a str> {
    data.notes().iter().find(|note| note.code == code).map(|note| note.text.as_str())
}

/// The digest, the names, the notes and the splits, which say everything that training depends on.
#[track_caller]
pub(crate) fn check(name: &str, spec: &DataSpec, expected: &DataSpec) {
    let data = load(spec).unwrap_or_else(|error| panic!("{name}: {error}"));
    let of_text = load(expected).unwrap();
    assert_eq!(of_text.targets().len(), ROWS - 4);
    assert_eq!(data.digest(), of_text.digest(), "{name}");
    assert_eq!(data.targets(), of_text.targets(), "{name}");
    assert_eq!(data.labels().collect::<Vec<_>>(), of_text.labels().collect::<Vec<_>>());
    assert_eq!(code(&data, "rows_without_label"), code(&of_text, "rows_without_label"));
    let examples = |dataset: &Dataset| {
        let splits = split(dataset, &DataSpec { test: 0.2, ..spec.clone() }, 5).unwrap();
        Splits { schema: None, ..splits }
    };
    assert_eq!(examples(&data), examples(&of_text), "{name}");
    let (profile, of_text) = (inspect(spec).unwrap(), inspect(expected).unwrap());
    assert_eq!(profile.label, of_text.label, "{name}");
    assert_eq!(profile.more_labels, of_text.more_labels, "{name}");
    let inputs = |inspection: &caviar_data::Inspection| -> Vec<String> {
        inspection.columns.iter().map(|column| column.name.clone()).collect()
    };
    assert_eq!(inputs(&profile), inputs(&of_text), "{name}");
    let source = BlockSource::new(&data).unwrap();
    let bytes = source.chunk(0, usize::try_from(source.bytes()).unwrap()).unwrap();
    assert_eq!(Dataset::from_block(Bytes::from(bytes.into_owned())).unwrap(), data, "{name}");
}

/// The rows of a file that has the labels of a model.
#[derive(Debug, PartialEq)]
pub(crate) struct Later {
    pub(crate) inputs: Vec<f32>,
    pub(crate) numbers: Vec<f64>,
    pub(crate) unlabelled: u64,
}

pub(crate) fn later(schema: &Schema, folder: &Folder, name: &str, labels: Option<&str>) -> Later {
    try_later(schema, folder, name, labels).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a few rows at a time. An error is returned without the path of the folder.
pub(crate) fn try_later(
    schema: &Schema,
    folder: &Folder,
    name: &str,
    labels: Option<&str>,
) -> Result<Later, String> {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let options =
        ReadOptions { needs_label: true, labels: labels.map(path), ..ReadOptions::default() };
    let read = || {
        let mut reader = SchemaReader::open(schema, &path(name), &options)?;
        let (mut inputs, mut numbers) = (Vec::new(), Vec::new());
        let mut batch = RowBatch::default();
        while reader.read(&mut batch, 7)? > 0 {
            inputs.extend_from_slice(batch.features());
            let Some(Truth::Values(values)) = batch.truth() else { panic!("they are numbers") };
            assert_eq!(values.len(), 2 * batch.rows());
            numbers.extend_from_slice(values);
        }
        Ok(Later { inputs, numbers, unlabelled: reader.counts().unlabelled })
    };
    let in_folder = format!("{}/", folder.path().display());
    read().map_err(|error: caviar_data::DataError| error.to_string().replace(&in_folder, ""))
}

pub(crate) fn schema(spec: &DataSpec) -> Schema {
    let schema = split(&load(spec).unwrap(), spec, 1).unwrap().schema.unwrap();
    schema.check().unwrap();
    schema.as_ref().clone()
}
