//! Data in NumPy's files: arrays become columns or images.
//!
//! In NPY files the inputs are one file and the labels another one. In an NPZ archive `label` names
//! the arrays of the labels, and the inputs are all other arrays with as many rows. An array `x` of
//! one dimension is a column `x`, and one of more dimensions the columns `x1`, `x2` and so on.
//! Unsigned bytes of 3 or 4 dimensions are images.
//!
//! Several numbers are predicted if the labels are a matrix `y`, whose columns are `y1`, `y2` and
//! so on, or if `label` is a list of arrays of one dimension.

mod column;
mod labels;

use caviar_common::data::DataSpec;

pub(crate) use self::column::ArrayColumn;
pub(crate) use self::labels::{LabelArrays, LabelShape};
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
use crate::stored::{Builder, Label, is_left_out, of_columns};
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
    Format::of_file(labels_path, LABELS)?;
    let array = read_npy(path).map_err(|error| of_array(SOURCE, error))?;
    let labels = read_npy(labels_path).map_err(|error| of_array(LABELS, error))?;
    check_count(&labels, LabelShape::of_task(spec.task), (labels_path, path), &array)?;
    let labels = LabelArrays::of_array(LABEL_NAME, labels);
    let label = labels.read((LABELS, labels_path), spec.task)?;
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
    let wanted = wanted_labels(spec, &entries)?;
    let mut given = Given::of(spec, Format::Npz)?;
    let (labels, rows) = labels_of_files(spec, &wanted, &mut given)?;
    let label = labels.read((LABEL, path), spec.task);
    let label = label.map_err(|error| given.locate(error))?;
    let several: Vec<String> = labels.several().into_iter().map(str::to_owned).collect();
    drop(labels);

    let others = || entries.iter().filter(|entry| !wanted.contains(&entry.name.as_str()));
    let (inputs, left_out): (Vec<&Entry>, Vec<&Entry>) =
        others().partition(|entry| entry.shape.first() == Some(&rows));
    let used: Vec<&Entry> =
        inputs.iter().copied().filter(|entry| !spec.table.ignore.contains(&entry.name)).collect();
    if used.is_empty() {
        let (path, arrays) = (path.to_owned(), described(entries.iter()));
        let label = wanted.join(", ");
        return Err(FileError::NoInputArrays { path, label, rows, arrays }.into());
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
    if let Some(name) = all.iter().find(|name| several.contains(name)) {
        let (path, name) = (path.to_owned(), shown(name));
        return Err(FileError::NameTwice { path, name }.into());
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

/// The labels of all files, one after the other, and how many rows the first file has.
fn labels_of_files(
    spec: &DataSpec,
    wanted: &[&str],
    given: &mut Given<'_>,
) -> Result<(LabelArrays, usize), DataError> {
    let shape = if wanted.len() > 1 { LabelShape::List } else { LabelShape::of_task(spec.task) };
    let (mut all, mut first_rows) = (LabelArrays::default(), 0);
    for (place, &name) in wanted.iter().enumerate() {
        let parts = given.read(|file| {
            let array = read_npz(file.path, name).map_err(|error| of_array(LABEL, error))?;
            let rows = shape.check(&array, LABEL, &format!("{}, array {name:?}", file.path))?;
            match wanted.first().filter(|_| place > 0 && rows != file.rows()) {
                Some(other) => {
                    let (path, found, expected) = (file.path.to_owned(), rows, file.rows());
                    let (name, other) = (shown(name), shown(other));
                    Err(FileError::LabelRows { path, name, found, expected, other }.into())
                }
                None => Ok((array, rows)),
            }
        })?;
        first_rows = parts.first().and_then(|array| array.shape.first()).copied().unwrap_or(0);
        let array = chained(parts, &format!("array {name:?}"))?;
        if wanted.len() == 1 {
            return Ok((LabelArrays::of_array(name, array), first_rows));
        }
        let index = all.push(array);
        all.push_column(name, index, 0);
    }
    Ok((all, first_rows))
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

/// The names of the arrays with the labels.
fn wanted_labels<'a>(spec: &'a DataSpec, entries: &[Entry]) -> Result<Vec<&'a str>, DataError> {
    let wanted: Vec<&str> = spec.label_names().map(str::trim).collect();
    let is_unknown = |wanted: &&&str| entries.iter().all(|entry| entry.name != **wanted);
    let (path, arrays) = (spec.source.clone(), described(entries.iter()));
    if wanted.is_empty() {
        return Err(FileError::ArrayNotGiven { path, arrays }.into());
    }
    match wanted.iter().find(is_unknown) {
        Some(unknown) => Err(FileError::NoSuchArray { path, name: shown(unknown), arrays }.into()),
        None => Ok(wanted),
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

/// Checks that the labels of a file have one of the shapes, and as many rows as the inputs.
pub(crate) fn check_count(
    labels: &Array,
    shape: LabelShape,
    (path, source_path): (&str, &str),
    inputs: &Array,
) -> Result<(), DataError> {
    let labels = shape.check(labels, LABELS, path)?;
    let rows = inputs.shape.first().copied().unwrap_or_default();
    if labels != rows {
        let (path, source_path) = (path.to_owned(), source_path.to_owned());
        return Err(FileError::LabelCount { path, labels, rows, source_path }.into());
    }
    Ok(())
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
    let Label { name, more, labels, notes, .. } = label;
    let (targets, classes) = labels.finish();
    Ok(Content::Images(Parts {
        inputs: Inputs::Pixels(pixels),
        targets,
        classes,
        label: name,
        label_form: None,
        more_labels: more,
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
