//! `caviar predict`: a table with the predictions of a model.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_common::numbers::single;
use caviar_data::{RowBatch, Schema};
use caviar_nn::Predictor;

use super::rows::{BATCH, in_input, open, tell};
use crate::args::models::Predict;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// Writes the columns of the data with the predictions after them.
pub(crate) fn predict(args: &Predict) -> anyhow::Result<()> {
    let model = super::load(&args.model)?;
    match &args.output {
        None => {
            let mut out = BufWriter::with_capacity(BUFFER, show::stdout());
            write(args, &model, &mut out)?;
            Ok(out.flush()?)
        }
        Some(path) => {
            let temporary = Temporary::create(path)?;
            let mut out = BufWriter::with_capacity(BUFFER, &temporary.file);
            write(args, &model, &mut out)?;
            out.flush().with_context(|| format!("writing {}", path.display()))?;
            drop(out);
            temporary.keep()
        }
    }
}

fn write(args: &Predict, model: &caviar_model::Model, out: &mut impl Write) -> anyhow::Result<()> {
    let schema = model.schema();
    let mut reader = open(schema, &args.rows, None, false)?;
    let mut predictor = Predictor::new(model)?;
    let delimiter = reader.delimiter();
    let writer = RowWriter { schema, delimiter };
    let names = writer.names(reader.names().unwrap_or_default());
    match reader.header() {
        Some(header) => {
            out.write_all(header)?;
            out.write_all(&[delimiter])?;
            writer.header(out, &names)?;
        }
        // A table without a header gets none.
        None if reader.names().is_none() && !schema.columns.is_empty() => {}
        None => writer.header(out, &names)?,
    }
    let mut batch = RowBatch::default();
    let (mut predicted, mut line, mut is_empty) = (Vec::new(), Vec::new(), true);
    loop {
        let rows = reader.read(&mut batch, BATCH).map_err(|error| in_input(&error))?;
        if rows == 0 {
            break;
        }
        is_empty = false;
        predictor.predict(batch.features(), &mut predicted)?;
        for (row, outputs) in predicted.chunks(predictor.outputs()).enumerate() {
            line.clear();
            if let Some(record) = batch.record(row) {
                line.extend_from_slice(record);
                line.push(delimiter);
            }
            writer.row(&mut line, outputs)?;
            out.write_all(&line)?;
        }
    }
    if is_empty {
        talk(&format!("note: {} has no rows", args.rows.data.display()));
    }
    tell(schema, reader.counts());
    Ok(())
}

/// Writes predictions as cells.
struct RowWriter<'s> {
    schema: &'s Schema,
    delimiter: u8,
}

impl RowWriter<'_> {
    /// The names of the new columns: `prediction`, with several labels one for each, and one for
    /// each class. Each that the table has already, or that is new already, gets an underscore.
    fn names(&self, existing: &[String]) -> Vec<String> {
        let schema = self.schema;
        let predictions: Vec<String> = if schema.more_labels.is_empty() {
            vec!["prediction".to_owned()]
        } else {
            schema.labels().map(|label| format!("prediction_{}", label.name)).collect()
        };
        let classes = schema.label.classes.iter().map(|class| format!("p_{class}"));
        let mut taken: HashSet<String> = existing.iter().cloned().collect();
        let names = predictions.into_iter().chain(classes);
        names
            .map(|mut name| {
                while !taken.insert(name.clone()) {
                    name.push('_');
                }
                name
            })
            .collect()
    }

    fn header(&self, out: &mut impl Write, names: &[String]) -> io::Result<()> {
        let mut line = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                line.push(self.delimiter);
            }
            self.cell(&mut line, name);
        }
        line.push(b'\n');
        out.write_all(&line)
    }

    fn row(&self, line: &mut Vec<u8>, outputs: &[f64]) -> io::Result<()> {
        match self.schema.label.classes.as_slice() {
            [] => {
                for (place, value) in outputs.iter().enumerate() {
                    if place > 0 {
                        line.push(self.delimiter);
                    }
                    number(line, *value)?;
                }
            }
            classes => {
                let class = largest(outputs).and_then(|index| classes.get(index));
                self.cell(line, class.map_or("", String::as_str));
                for probability in outputs {
                    line.push(self.delimiter);
                    number(line, single(*probability))?;
                }
            }
        }
        line.push(b'\n');
        Ok(())
    }

    /// Adds a text as a cell, with quotes where it needs them.
    fn cell(&self, line: &mut Vec<u8>, text: &str) {
        let is_special = |byte: &u8| *byte == self.delimiter || b"\"\r\n".contains(byte);
        if !text.as_bytes().iter().any(is_special) {
            line.extend_from_slice(text.as_bytes());
            return;
        }
        line.push(b'"');
        line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        line.push(b'"');
    }
}

/// The shortest text of a number; nothing for NaN.
fn number(line: &mut Vec<u8>, value: impl Into<f64> + serde::Serialize + Copy) -> io::Result<()> {
    if value.into().is_finite() {
        serde_json::to_writer(line, &value)?;
    }
    Ok(())
}

/// The class with the largest probability, and of equal ones the first; `None` if one is NaN.
fn largest(outputs: &[f64]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, &output) in outputs.iter().enumerate() {
        if output.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, most)| output > most) {
            best = Some((index, output));
        }
    }
    best.map(|(index, _)| index)
}

/// A file that takes the place of another one when it is complete.
struct Temporary {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    is_kept: bool,
}

impl Temporary {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|error| {
            let hint = "expected a path in a folder that exists and can be written";
            Failure::hinted(format!("{} cannot be written: {error}", path.display()), hint)
                .in_input()
        })?;
        Ok(Self { path: path.to_owned(), partial, file, is_kept: false })
    }

    fn keep(mut self) -> anyhow::Result<()> {
        std::fs::rename(&self.partial, &self.path)
            .with_context(|| format!("writing {}", self.path.display()))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            let _gone = std::fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_is_predicted_and_nan_predicts_nothing() {
        assert_eq!(largest(&[0.25, 0.5, 0.25]), Some(1));
        assert_eq!(largest(&[0.5, 0.5]), Some(0));
        assert_eq!(largest(&[0.5, f64::NAN]), None);
        assert_eq!(largest(&[]), None);
    }

    #[test]
    fn numbers_have_the_shortest_text() {
        let mut line = Vec::new();
        number(&mut line, 0.1_f32).unwrap();
        line.push(b' ');
        number(&mut line, 1e-30_f64).unwrap();
        number(&mut line, f64::NAN).unwrap();
        assert_eq!(line, b"0.1 1e-30");
    }
}
