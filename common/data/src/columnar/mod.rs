//! Data in Parquet and Arrow files, read by the crates of Apache Arrow.
//!
//! The whole table is read into memory in Arrow's form first, without the columns that are not
//! inputs. Nested and binary columns have no place in a network, and are left out with a note.

mod column;
mod delta;
mod envelope;
mod file;
mod guard;
mod pages;
mod thrift;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use caviar_common::data::DataSpec;
use caviar_common::text::shortened;

pub(crate) use self::column::{Batches, is_read};
pub(crate) use self::file::{File, Stream};

use crate::delimited::{listed, numbered};
use crate::error::{DataError, LABEL, SOURCE, shown};
use crate::file_error::FileError;
use crate::format::Format;
use crate::given::Given;
use crate::limits::MAX_VALUES;
use crate::stored::{Builder, is_left_out, of_columns, read_labels, unknown_column};
use crate::table::{Table, info};

/// Longest name of a type that a message shows, in characters.
const SHOWN_TYPE_CHARS: usize = 60;
/// Most columns whose types a note shows.
const LISTED_TYPES: usize = 10;

/// Reads a table. `data.label` names the columns to predict.
pub(crate) fn read(spec: &DataSpec, format: Format) -> Result<Table, DataError> {
    let file = File::open(&spec.source, format)?;
    let schema = file.schema();
    let names = names(&schema);
    let labels = label_columns(spec, &schema, &names)?;
    if names.len() <= labels.len() {
        return Err(DataError::NoFeatures { path: spec.source.clone() });
    }
    let inputs = || {
        let columns = names.iter().zip(schema.fields()).enumerate();
        columns.filter(|(index, _)| labels.iter().all(|(_, label)| label != index))
    };
    let is_input = |name: &str, field: &arrow_schema::Field| {
        is_read(field.data_type()) && !is_left_out(spec, name, None)
    };
    let mut used: Vec<usize> = inputs()
        .filter(|(_, (name, field))| is_input(name, field))
        .map(|(index, _)| index)
        .collect();
    used.extend(labels.iter().map(|(_, index)| *index));
    used.sort_unstable();
    used.dedup();
    let mut given = Given::of(spec, format)?;
    let batches = read_files(file, format, &used, &mut given)?;

    let column = |index: usize| Batches::new(&batches, used.binary_search(&index).unwrap_or(0));
    let columns: Vec<(&str, Batches<'_>)> =
        labels.iter().map(|(name, index)| (*name, column(*index))).collect();
    let label = read_labels(&columns, (LABEL, &spec.source), spec.task);
    let label = label.map_err(|error| given.locate(error))?;
    let mut builder = Builder::new(spec, names.clone(), &[], label, given)?;
    let mut left_out = Vec::new();
    for (index, (name, field)) in inputs() {
        if is_input(name, field) {
            builder.add(name, &column(index))?;
            continue;
        }
        builder.skip(name);
        if !is_read(field.data_type()) && !is_left_out(spec, name, None) {
            let kind = shortened(&field.data_type().to_string(), SHOWN_TYPE_CHARS);
            left_out.push((name.clone(), kind));
        }
    }
    note_types(&mut builder, &left_out);
    Ok(builder.finish())
}

/// The columns to predict with their places, in the order of the spec.
fn label_columns<'a>(
    spec: &'a DataSpec,
    schema: &SchemaRef,
    names: &[String],
) -> Result<Vec<(&'a str, usize)>, DataError> {
    let mut labels = Vec::new();
    for wanted in spec.label_names().map(str::trim) {
        let Some(index) = names.iter().position(|name| name == wanted) else {
            return Err(unknown_column(spec, LABEL, names, wanted));
        };
        let field = schema.fields().get(index).filter(|field| !is_read(field.data_type()));
        if let Some(field) = field {
            let kind = shortened(&field.data_type().to_string(), SHOWN_TYPE_CHARS);
            let (path, name) = (&spec.source, shown(wanted));
            let has_several = !spec.more_labels.is_empty();
            let expected = if has_several { "numbers" } else { "numbers, booleans or text" };
            let what = format!(
                "{path}: the column {name:?} has the type {kind}, which cannot be predicted: \
                 expected {expected}"
            );
            return Err(FileError::Content { field: LABEL, what }.into());
        }
        labels.push((wanted, index));
    }
    if labels.is_empty() {
        let (path, columns) = (spec.source.clone(), listed(names));
        return Err(DataError::LabelNotGiven { path, columns });
    }
    Ok(labels)
}

/// Reads columns of `first`, which is open, and then of the files with given splits.
fn read_files(
    first: File,
    format: Format,
    used: &[usize],
    given: &mut Given<'_>,
) -> Result<Vec<RecordBatch>, DataError> {
    let (columns, path) = (typed(&first.schema()), first.path().to_owned());
    let mut first = Some(first);
    let parts = given.read(|other| {
        let file = match first.take() {
            Some(file) => file,
            None => {
                let file = File::open(other.path, format)?;
                other.check_columns(&typed(&file.schema()), &columns, &path)?;
                file
            }
        };
        let batches = file.read(used)?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Ok((batches, rows))
    })?;
    let batches = parts.concat();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows.saturating_mul(used.len()) > MAX_VALUES {
        return Err(DataError::TooLarge { path });
    }
    Ok(batches)
}

/// The names of the columns.
pub(crate) fn column_names(spec: &DataSpec, format: Format) -> Result<Vec<String>, DataError> {
    Ok(names(&File::open(&spec.source, format)?.schema()))
}

/// The names of the columns. An unnamed one is called by its number.
pub(crate) fn names(schema: &SchemaRef) -> Vec<String> {
    let name = |(index, field): (usize, &arrow_schema::FieldRef)| {
        let name = field.name().trim();
        if name.is_empty() { numbered(index) } else { name.to_owned() }
    };
    schema.fields().iter().enumerate().map(name).collect()
}

/// The columns with their types.
fn typed(schema: &SchemaRef) -> Vec<(String, String)> {
    let kinds = schema.fields().iter().map(|field| field.data_type().to_string());
    names(schema).into_iter().zip(kinds).collect()
}

/// Notes the columns whose types are not read.
fn note_types(builder: &mut Builder<'_>, left_out: &[(String, String)]) {
    if left_out.is_empty() {
        return;
    }
    let describe = |(name, kind): &(String, String)| format!("{:?} ({kind})", shown(name));
    let mut texts: Vec<String> = left_out.iter().take(LISTED_TYPES).map(describe).collect();
    if left_out.len() > LISTED_TYPES {
        texts.push(format!("and {} more", left_out.len() - LISTED_TYPES));
    }
    let names: Vec<String> = left_out.iter().map(|(name, _)| name.clone()).collect();
    let text = format!("columns of a type that no network reads: {}", texts.join(", "));
    builder.note(of_columns(info, "types_left_out", &names, text));
}

/// The error of a file that one of the crates cannot read.
fn damaged(path: &str, format: Format, error: &str) -> DataError {
    let name = if format == Format::Parquet { "a Parquet" } else { "an Arrow" };
    let what = format!("{path}: is not {name} file, or is damaged: {error}");
    FileError::Content { field: SOURCE, what }.into()
}
