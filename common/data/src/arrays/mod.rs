//! Data in NumPy's files: arrays become columns or images.
//!
//! In NPY files the inputs are one file and the labels another one. In an NPZ archive `label` names
//! the array of the labels, and the inputs are all other arrays with as many rows. An array `x` of
//! one dimension is a column `x`, and one of more dimensions the columns `x1`, `x2` and so on.
//! Unsigned bytes of 3 or 4 dimensions are images.

mod column;

use caviar_common::data::DataSpec;

pub(crate) use self::column::ArrayColumn;
use crate::cells::Section;
use crate::content::Content;
use crate::dataset::Parts;
use crate::delimited::numbered;
use crate::error::{
    COLUMNS, DataError, GROUP, IGNORE, LABEL, LABELS, SOURCE, TIME, TYPES, WEIGHT, shown,
};
use crate::file_error::FileError;
use crate::format::Format;
use crate::given::Given;
use crate::inputs::Inputs;
use crate::limits::MAX_FEATURES;
use crate::numpy::{Array, ArrayError, Entry, Items, list_npz, read_npy, read_npz};
use crate::pixels::Pixels;
use crate::stored::{Builder, Label, Place, is_left_out, of_columns, read_label};
use crate::table::{Roles, info};

/// What the labels of an NPY file are called.
const LABEL_NAME: &str = "label";
/// Most arrays that an error or a note lists.
const LISTED: usize = 20;

/// Reads the array at `data.source` and its labels at `data.labels`.
pub(crate) fn read_files(spec: &DataSpec) -> Result<Content, DataError> {
    let path = spec.source.as_str();
    let Some(labels_path) = &spec.labels else {
        return Err(DataError::LabelsNotGiven { path: path.to_owned() });
    };
    if Format::of(labels_path) != Some(Format::Npy) {
        let (path, source_path) = (labels_path.clone(), path.to_owned());
        return Err(FileError::LabelFormat { path, source_path }.into());
    }
    let array = read_npy(path).map_err(|error| of_array(SOURCE, error))?;
    let labels = read_npy(labels_path).map_err(|error| of_array(LABELS, error))?;
    let rows = array.shape.first().copied().unwrap_or_default();
    let place = Place { field: LABELS, path: labels_path, column: LABEL_NAME };
    check_labels(&labels, LABELS, labels_path)?;
    if labels.items.len() != rows {
        let (path, source_path) = (labels_path.clone(), path.to_owned());
        let (labels, rows) = (labels.items.len(), rows);
        return Err(FileError::LabelCount { path, labels, rows, source_path }.into());
    }
    let label = read_label(&ArrayColumn::all(&labels.items), place, spec.task)?;
    drop(labels);
    if is_images(&array) {
        return images(array, label, Roles::default(), spec);
    }
    let names: Vec<String> = (0..width(&array.shape)).map(numbered).collect();
    if names.is_empty() {
        return Err(DataError::NoFeatures { path: path.to_owned() });
    }
    let files = Given::of(spec, Format::Npy)?;
    let mut builder = Builder::new(spec, names.clone(), &[], label, files)?;
    add(&mut builder, spec, &names, None, &array)?;
    Ok(Content::Table(builder.finish()))
}

/// Reads the archive at `data.source`.
pub(crate) fn read_archive(spec: &DataSpec) -> Result<Content, DataError> {
    let path = spec.source.as_str();
    let entries = list_npz(path).map_err(|error| of_array(SOURCE, error))?;
    let wanted = wanted_label(spec, &entries)?;
    let mut given = Given::of(spec, Format::Npz)?;
    let (labels, rows) = labels_of_files(&wanted, &mut given)?;
    let place = Place { field: LABEL, path, column: &wanted };
    let label = read_label(&ArrayColumn::all(&labels.items), place, spec.task);
    let label = label.map_err(|error| given.locate(error))?;
    drop(labels);

    let others = || entries.iter().filter(|entry| entry.name != wanted);
    let (inputs, left_out): (Vec<&Entry>, Vec<&Entry>) =
        others().partition(|entry| entry.shape.first() == Some(&rows));
    let used: Vec<&Entry> =
        inputs.iter().copied().filter(|entry| !spec.table.ignore.contains(&entry.name)).collect();
    if used.is_empty() {
        let (path, arrays) = (path.to_owned(), described(entries.iter()));
        return Err(FileError::NoInputArrays { path, label: wanted, rows, arrays }.into());
    }
    let read = |entry: &Entry| of_files(spec, &entry.name);
    if let [only] = used.as_slice()
        && is_image_shape(&only.shape)
    {
        let array = read(only)?;
        if is_images(&array) {
            let roles = Roles { given: given.parts(label.is_labelled()), ..Roles::default() };
            return images(array, label, roles, spec);
        }
    }
    let width: usize =
        inputs.iter().map(|entry| width(&entry.shape)).fold(0, usize::saturating_add);
    if width > MAX_FEATURES {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let names_of = |entry: &Entry| names(&entry.name, &entry.shape, entry.shape.len() > 1);
    let all: Vec<String> = inputs.iter().flat_map(|entry| names_of(entry)).collect();
    let groups: Vec<String> = others().map(|entry| entry.name.clone()).collect();
    if width == 0 {
        return Err(DataError::NoFeatures { path: path.to_owned() });
    }
    let mut builder = Builder::new(spec, all, &groups, label, given)?;
    for entry in inputs {
        let names = names_of(entry);
        if names.iter().all(|name| is_left_out(spec, name, Some(&entry.name))) {
            names.iter().for_each(|name| builder.skip(name));
        } else {
            add(&mut builder, spec, &names, Some(&entry.name), &read(entry)?)?;
        }
    }
    if !left_out.is_empty() {
        let text = format!(
            "arrays that do not have {rows} rows are no inputs: {}",
            described(left_out.iter().copied())
        );
        let names: Vec<String> = left_out.iter().map(|entry| entry.name.clone()).collect();
        builder.note(of_columns(info, "arrays_left_out", &names, text));
    }
    Ok(Content::Table(builder.finish()))
}

/// The labels of all files, one after the other, and how many the first file has.
fn labels_of_files(name: &str, given: &mut Given<'_>) -> Result<(Array, usize), DataError> {
    let labels = given.read(|file| {
        let array = read_npz(file.path, name).map_err(|error| of_array(LABEL, error))?;
        check_labels(&array, LABEL, &format!("{}, array {name:?}", file.path))?;
        let rows = array.items.len();
        Ok((array, rows))
    })?;
    let rows = labels.first().map_or(0, |array| array.items.len());
    Ok((chained(labels, &format!("array {name:?}"))?, rows))
}

/// The array of that name in all files of the data, one after the other.
fn of_files(spec: &DataSpec, name: &str) -> Result<Array, DataError> {
    let arrays = Given::of(spec, Format::Npz)?.read(|file| {
        let array = read_npz(file.path, name).map_err(|error| of_array(SOURCE, error))?;
        let rows = array.shape.first().copied().unwrap_or_default();
        Ok((array, rows))
    })?;
    chained(arrays, &format!("array {name:?}"))
}

/// The rows of several arrays, one array after the other.
fn chained(arrays: Vec<Array>, name: &str) -> Result<Array, DataError> {
    let mut arrays = arrays.into_iter();
    let mut all = arrays.next().unwrap_or(Array { shape: vec![0], items: Items::U8(Vec::new()) });
    for array in arrays {
        all.append(array).map_err(|[found, expected]| {
            let what = format!(
                "{name}: has rows of {found} in one of the files with given splits: expected \
                 {expected}, as in source"
            );
            FileError::Content { field: SOURCE, what }
        })?;
    }
    Ok(all)
}

/// The names of the arrays of an archive.
pub(crate) fn array_names(path: &str) -> Result<Vec<String>, DataError> {
    let entries = list_npz(path).map_err(|error| of_array(SOURCE, error))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

fn wanted_label(spec: &DataSpec, entries: &[Entry]) -> Result<String, DataError> {
    let (path, arrays) = (spec.source.clone(), described(entries.iter()));
    match spec.label.as_deref().map(str::trim) {
        None => Err(FileError::ArrayNotGiven { path, arrays }.into()),
        Some(wanted) if entries.iter().any(|entry| entry.name == wanted) => Ok(wanted.to_owned()),
        Some(wanted) => Err(FileError::NoSuchArray { path, name: shown(wanted), arrays }.into()),
    }
}

/// The arrays with their shapes and types, at most 20: `"x" (150, 4) <f8`.
pub(crate) fn described<'a>(entries: impl ExactSizeIterator<Item = &'a Entry> + Clone) -> String {
    let more = entries.len().saturating_sub(LISTED);
    let describe = |entry: &Entry| {
        let sizes: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
        let (name, dtype) = (shown(&entry.name), shown(&entry.dtype));
        format!("{name:?} ({}) {dtype}", sizes.join(", "))
    };
    let mut texts: Vec<String> = entries.take(LISTED).map(describe).collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    if texts.is_empty() { "no arrays".to_owned() } else { texts.join(", ") }
}

/// Labels are a list, or a column of a list.
pub(crate) fn check_labels(
    labels: &Array,
    field: &'static str,
    place: &str,
) -> Result<(), DataError> {
    match labels.shape.as_slice() {
        [_] | [_, 1] => Ok(()),
        shape => {
            let (place, shape) = (place.to_owned(), shape.to_vec());
            Err(FileError::LabelShape { field, place, shape }.into())
        }
    }
}

pub(crate) fn is_image_shape(shape: &[usize]) -> bool {
    matches!(shape, [_, _, _] | [_, _, _, _])
}

pub(crate) fn is_images(array: &Array) -> bool {
    is_image_shape(&array.shape) && matches!(array.items, Items::U8(_))
}

/// Images without the rows that lack a label. Several channels are next to each other in a line.
fn images(array: Array, label: Label, roles: Roles, spec: &DataSpec) -> Result<Content, DataError> {
    refuse_columns(spec)?;
    let ([_, height, rest @ ..], Items::U8(mut bytes)) = (array.shape.as_slice(), array.items)
    else {
        return Err(DataError::NoFeatures { path: spec.source.clone() });
    };
    let line: usize = rest.iter().product();
    if line.saturating_mul(*height) == 0 {
        return Err(DataError::NoFeatures { path: spec.source.clone() });
    }
    label.retain_rows(&mut bytes, line * height);
    let pixels = Pixels::new(*height, line, Section::Owned(bytes));
    let (labels, label, notes) = label.into_parts();
    let (targets, classes) = labels.finish();
    let inputs = Inputs::Pixels(pixels);
    let (label_form, more_labels) = (None, Vec::new());
    Ok(Content::Images(Parts {
        inputs,
        targets,
        classes,
        label,
        label_form,
        more_labels,
        roles,
        notes,
    }))
}

/// Refuses the fields that are about columns, for a file of images.
pub(crate) fn refuse_columns(spec: &DataSpec) -> Result<(), DataError> {
    let refused = |field, remedy| Err(DataError::Superfluous { field, remedy });
    let (table, split) = (&spec.table, &spec.split);
    if !table.columns.is_empty() {
        return refused(COLUMNS, "columns is for tables: images have no columns, so remove it");
    }
    if !table.ignore.is_empty() {
        return refused(IGNORE, "ignore is for tables: images have no columns, so remove it");
    }
    if !table.types.is_empty() {
        return refused(TYPES, "types is for tables: images have no columns, so remove it");
    }
    if split.group.is_some() {
        return refused(GROUP, "group is for tables: images have no columns, so remove it");
    }
    if split.time.is_some() {
        return refused(TIME, "time is for tables: images have no columns, so remove it");
    }
    if spec.weights.column.is_some() {
        return refused(WEIGHT, "weight is for tables: images have no columns, so remove it");
    }
    Ok(())
}

/// The number of columns of an array; `usize::MAX` if it is larger.
pub(crate) fn width(shape: &[usize]) -> usize {
    let row = shape.get(1..).unwrap_or_default();
    if row.contains(&0) {
        return 0;
    }
    row.iter().fold(1, |product, size| product.saturating_mul(*size))
}

/// The names of the columns of an array, with numbers from 1 if they are `numbered`.
pub(crate) fn names(name: &str, shape: &[usize], is_numbered: bool) -> Vec<String> {
    let number = |index: usize| format!("{name}{}", index + 1);
    if is_numbered { (0..width(shape)).map(number).collect() } else { vec![name.to_owned()] }
}

/// Adds the columns of an array.
fn add(
    builder: &mut Builder<'_>,
    spec: &DataSpec,
    names: &[String],
    group: Option<&str>,
    array: &Array,
) -> Result<(), DataError> {
    for (index, name) in names.iter().enumerate() {
        if is_left_out(spec, name, group) {
            builder.skip(name);
        } else {
            builder.add(name, &ArrayColumn::new(&array.items, index, names.len()))?;
        }
    }
    Ok(())
}

/// The error of a reader, for the field that names the file.
pub(crate) fn of_array(field: &'static str, error: ArrayError) -> DataError {
    if let ArrayError::Open { path, source } = error {
        return DataError::Open { field, path, source };
    }
    if let ArrayError::Read { place, at, source } = error {
        return DataError::Read { field, path: place, at, source };
    }
    FileError::Content { field, what: error.to_string() }.into()
}
