//! Opens the files that store columns or images.

use std::collections::HashMap;

use super::chunks::{ChunkTable, Chunker};
use super::images::ImageTable;
use super::places::{Places, check_table};
use super::{ReadOptions, Source};
use crate::arrays::{self, ArrayColumn, LabelArrays, LabelShape};
use crate::delimited::{hint, listed, numbered};
use crate::error::{DELIMITER, DataError, HEADER, LABELS, SOURCE, shown};
use crate::file_error::FileError;
use crate::format::Format;
use crate::idx::Items;
use crate::limits::MAX_FEATURES;
use crate::load;
use crate::numpy::{self, Array, Entry, list_npz, read_npy, read_npz};
use crate::schema::Schema;
use crate::schema_error::SchemaError;
use crate::sparse::{self, SparseColumn, Texts};
use crate::stored::Stored;
use crate::text::TextSource;

/// Opens a file that is not text.
pub(super) fn open<'s>(
    schema: &'s Schema,
    path: &str,
    options: &ReadOptions,
    format: Format,
) -> Result<Source<'s>, DataError> {
    refuse(path, options, format)?;
    let needs_label = options.needs_label;
    let labels = options.labels.as_deref().filter(|_| needs_label);
    match format {
        Format::Idx | Format::Npy if needs_label && labels.is_none() => {
            Err(DataError::LabelsNotGiven { path: path.to_owned() })
        }
        Format::Idx => {
            let images = Items::images(load::open(path, SOURCE)?, path)?;
            let labels = match labels {
                Some(path) => Some((Items::labels(load::open(path, LABELS)?, path)?, path)),
                None => None,
            };
            Ok(Source::Images(ImageTable::files(schema, path, images, labels)?))
        }
        Format::Npy => array(schema, path, labels),
        Format::Npz => archive(schema, path, needs_label),
        Format::Sparse => sparse_rows(schema, path, needs_label).map(Source::Chunks),
        #[cfg(feature = "arrow")]
        Format::Parquet | Format::Arrow => {
            super::columnar::open(schema, path, needs_label, format).map(Source::Chunks)
        }
        #[cfg(not(feature = "arrow"))]
        Format::Parquet | Format::Arrow => Err(load::not_built(path, format)),
        Format::Text => Err(DataError::UnknownFormat { path: path.to_owned() }),
    }
}

/// Refuses the options that do not apply to a format.
fn refuse(path: &str, options: &ReadOptions, format: Format) -> Result<(), DataError> {
    let refused = |field, remedy| {
        Err(SchemaError::Superfluous { field, path: path.to_owned(), remedy }.into())
    };
    if options.delimiter.is_some() {
        return refused(DELIMITER, "delimiter is for text tables such as CSV: remove it");
    }
    if options.header.is_some() {
        return refused(HEADER, "header is for text tables such as CSV: remove it");
    }
    if options.labels.is_some() && !matches!(format, Format::Idx | Format::Npy) {
        return refused(LABELS, "labels is for IDX and NPY files: remove it");
    }
    Ok(())
}

fn of_dyn(column: &impl Stored) -> &dyn Stored {
    column
}

fn one_chunk<'s>(
    chunker: &Chunker<'s>,
    rows: usize,
    columns: &[&dyn Stored],
    labels: &[&dyn Stored],
) -> Result<ChunkTable<'s>, DataError> {
    let chunk = chunker.chunk((0, rows), columns.iter().copied(), labels, None)?;
    Ok(ChunkTable::new(chunker.schema(), std::iter::once(Ok(chunk))))
}

fn array<'s>(
    schema: &'s Schema,
    path: &str,
    labels: Option<&str>,
) -> Result<Source<'s>, DataError> {
    let array = read_npy(path).map_err(|error| arrays::of_array(SOURCE, error))?;
    let rows = array.shape.first().copied().unwrap_or_default();
    let labels = match labels {
        Some(labels_path) => {
            let labels = read_npy(labels_path);
            let labels = labels.map_err(|error| arrays::of_array(LABELS, error))?;
            let shape = LabelShape::of_outputs(schema.labels().count());
            arrays::check_count(&labels, shape, (labels_path, path), &array)?;
            LabelArrays::of_rows(schema, labels)
        }
        None => LabelArrays::default(),
    };
    if arrays::is_images(&array) {
        return images(schema, path, array, &labels).map(Source::Images);
    }
    check_table(schema, path)?;
    let width = arrays::width(&array.shape);
    if width > MAX_FEATURES {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let places = Places::find((0..width).map(numbered).collect(), schema, false, path)?;
    let column = |&place: &usize| ArrayColumn::new(&array.items, place, width);
    let columns: Vec<ArrayColumn<'_>> = places.inputs.iter().map(column).collect();
    let columns: Vec<&dyn Stored> = columns.iter().map(of_dyn).collect();
    let labels = labels.columns();
    let labels: Vec<&dyn Stored> = labels.iter().map(|(_, column)| of_dyn(column)).collect();
    one_chunk(&Chunker::new(schema, path), rows, &columns, &labels).map(Source::Chunks)
}

/// Images of an array of unsigned bytes, in which several channels are next to each other.
fn images<'s>(
    schema: &'s Schema,
    path: &str,
    array: Array,
    labels: &LabelArrays,
) -> Result<ImageTable<'s>, DataError> {
    let ([_, height, rest @ ..], numpy::Items::U8(pixels)) = (array.shape.as_slice(), array.items)
    else {
        return Err(DataError::NoFeatures { path: path.to_owned() });
    };
    let columns = labels.columns();
    let columns: Vec<&dyn Stored> = columns.iter().map(|(_, column)| of_dyn(column)).collect();
    let labels = match columns.as_slice() {
        [] => None,
        columns => Some(Chunker::new(schema, path).labels(columns, 0)?),
    };
    ImageTable::memory(schema, path, [*height, rest.iter().product()], pixels, labels)
}

fn archive<'s>(schema: &'s Schema, path: &str, needs_label: bool) -> Result<Source<'s>, DataError> {
    let entries = list_npz(path).map_err(|error| arrays::of_array(SOURCE, error))?;
    let read = |name: &str| read_npz(path, name).map_err(|error| arrays::of_array(SOURCE, error));
    let labels =
        if needs_label { archive_labels(schema, path, &entries)? } else { LabelArrays::default() };
    let inputs: Vec<&Entry> =
        entries.iter().filter(|entry| !has_labels_only(entry, &entries, schema)).collect();
    if schema.pixels.is_some() {
        let mut found = inputs.iter().filter(|entry| arrays::is_image_shape(&entry.shape));
        let (Some(only), None) = (found.next(), found.next()) else {
            let arrays = arrays::described(entries.iter());
            let what = format!("{path}: expected one array of images: it has {arrays}");
            return Err(FileError::Content { field: SOURCE, what }.into());
        };
        let array = read(&only.name)?;
        let rows = array.shape.first().copied().unwrap_or_default();
        check_label_rows(path, &labels, rows)?;
        return images(schema, path, array, &labels).map(Source::Images);
    }
    columns_of(schema, path, &inputs, &labels)
}

/// Finds the labels of a model in an archive: each is an array, or a column of a matrix.
fn archive_labels(
    schema: &Schema,
    path: &str,
    entries: &[Entry],
) -> Result<LabelArrays, DataError> {
    let (mut labels, mut known) = (LabelArrays::default(), HashMap::new());
    for name in schema.labels().map(|label| label.name.as_str()) {
        let array = entries.iter().find(|entry| entry.name == name).map(|entry| (entry, None));
        let column = |entry| Some((entry, Some(column_of(entry, name)?)));
        let Some((entry, column)) = array.or_else(|| entries.iter().find_map(column)) else {
            let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
            let (path, hint) = (path.to_owned(), hint(&names, name));
            return Err(SchemaError::MissingLabel { path, label: shown(name), hint }.into());
        };
        let index = match known.get(entry.name.as_str()) {
            Some(index) => *index,
            None => {
                let array = read_npz(path, &entry.name);
                let array = array.map_err(|error| arrays::of_array(SOURCE, error))?;
                let place = format!("{path}, array {:?}", entry.name);
                if column.is_none() {
                    LabelShape::List.check(&array, SOURCE, &place)?;
                }
                let index = labels.push(array);
                known.insert(entry.name.as_str(), index);
                index
            }
        };
        labels.push_column(name, index, column.unwrap_or_default());
    }
    Ok(labels)
}

/// The place of a column in a matrix whose columns are numbered from 1.
fn column_of(entry: &Entry, name: &str) -> Option<usize> {
    let digits = name.strip_prefix(entry.name.as_str())?;
    let number: usize =
        digits.parse().ok().filter(|number: &usize| number.to_string() == digits)?;
    let [_, width] = entry.shape.as_slice() else { return None };
    number.checked_sub(1).filter(|column| column < width)
}

/// Whether an array is a label, or has no column that is not one. A label that is an array itself
/// is no column of another.
fn has_labels_only(entry: &Entry, entries: &[Entry], schema: &Schema) -> bool {
    let labels = || schema.labels().map(|label| label.name.as_str());
    let is_array = |name: &str| entries.iter().any(|entry| entry.name == name);
    let is_column = |name: &&str| !is_array(name) && column_of(entry, name).is_some();
    let columns = labels().filter(is_column).count();
    labels().any(|name| name == entry.name)
        || columns > 0 && entry.shape.get(1..) == Some(&[columns])
}

fn check_label_rows(path: &str, labels: &LabelArrays, expected: usize) -> Result<(), DataError> {
    labels.rows().try_for_each(|(name, found)| check_rows(path, name, found, expected))
}

fn check_rows(path: &str, name: &str, found: usize, expected: usize) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    let (path, name) = (path.to_owned(), shown(name));
    Err(SchemaError::OtherRows { path, name, found, expected }.into())
}

/// The columns of the arrays of an archive.
fn columns_of<'s>(
    schema: &'s Schema,
    path: &str,
    inputs: &[&Entry],
    labels: &LabelArrays,
) -> Result<Source<'s>, DataError> {
    let width = inputs.iter().map(|entry| arrays::width(&entry.shape));
    if width.fold(0, usize::saturating_add) > MAX_FEATURES {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let (mut names, mut owners) = (Vec::new(), Vec::new());
    for (owner, entry) in inputs.iter().enumerate() {
        let of_entry = arrays::names(&entry.name, &entry.shape, entry.shape.len() > 1);
        owners.extend((0..of_entry.len()).map(|column| (owner, column, of_entry.len())));
        names.extend(of_entry);
    }
    let places = Places::find(names, schema, false, path)?;
    let used: Vec<(usize, usize, usize)> =
        places.inputs.iter().filter_map(|&place| owners.get(place).copied()).collect();
    let mut arrays: HashMap<usize, Array> = HashMap::new();
    let mut rows = None;
    for (owner, _, _) in &used {
        if let (Some(entry), false) = (inputs.get(*owner), arrays.contains_key(owner)) {
            let array = read_npz(path, &entry.name);
            let array = array.map_err(|error| arrays::of_array(SOURCE, error))?;
            let found = array.shape.first().copied().unwrap_or_default();
            check_rows(path, &entry.name, found, *rows.get_or_insert(found))?;
            arrays.insert(*owner, array);
        }
    }
    let rows = rows.unwrap_or_default();
    check_label_rows(path, labels, rows)?;
    let column = |&(owner, column, width): &(usize, usize, usize)| {
        arrays.get(&owner).map(|array| ArrayColumn::new(&array.items, column, width))
    };
    let columns: Vec<ArrayColumn<'_>> = used.iter().filter_map(column).collect();
    let columns: Vec<&dyn Stored> = columns.iter().map(of_dyn).collect();
    let labels = labels.columns();
    let labels: Vec<&dyn Stored> = labels.iter().map(|(_, column)| of_dyn(column)).collect();
    one_chunk(&Chunker::new(schema, path), rows, &columns, &labels).map(Source::Chunks)
}

/// The rows of a LIBSVM file. A feature beyond the highest index of the file is 0, as are all that
/// a line does not have.
fn sparse_rows<'s>(
    schema: &'s Schema,
    path: &str,
    needs_label: bool,
) -> Result<ChunkTable<'s>, DataError> {
    check_table(schema, path)?;
    let mut sparse = sparse::rows(&TextSource::detect(path)?, path)?;
    let first = usize::from(!sparse.is_zero_based);
    let place = |name: &str| name.strip_prefix("feature")?.parse::<usize>().ok();
    let places: Option<Vec<usize>> =
        schema.columns.iter().map(|column| place(&column.name)).collect();
    let Some(places) = places else {
        let names: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
        let what = format!(
            "{path}: the columns of a LIBSVM file are called feature1, feature2 and so on, and the \
             model reads {}: save the table as CSV",
            listed(&names)
        );
        return Err(FileError::Content { field: SOURCE, what }.into());
    };
    let labels = Texts(std::mem::take(&mut sparse.labels));
    let rows = labels.0.len();
    let columns = sparse.into_columns();
    let column = |&place: &usize| {
        let index = place.checked_sub(first).unwrap_or(usize::MAX - 1);
        SparseColumn { columns: &columns, index }
    };
    let columns: Vec<SparseColumn<'_>> = places.iter().map(column).collect();
    let columns: Vec<&dyn Stored> = columns.iter().map(of_dyn).collect();
    let labels: &[&dyn Stored] = if needs_label { &[&labels] } else { &[] };
    one_chunk(&Chunker::new(schema, path), rows, &columns, labels)
}
