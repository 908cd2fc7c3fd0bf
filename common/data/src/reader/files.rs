//! Opens the files that store columns or images.

use std::collections::HashMap;

use super::chunks::{ChunkTable, Chunker};
use super::images::ImageTable;
use super::places::{Places, check_table};
use super::{ReadOptions, Source};
use crate::arrays::{self, ArrayColumn};
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
    label: Option<&dyn Stored>,
) -> Result<ChunkTable<'s>, DataError> {
    let chunk = chunker.chunk((0, rows), columns.iter().copied(), label, None)?;
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
            arrays::check_labels(&labels, LABELS, labels_path)?;
            if labels.items.len() != rows {
                let (path, source_path) = (labels_path.to_owned(), path.to_owned());
                let labels = labels.items.len();
                return Err(FileError::LabelCount { path, labels, rows, source_path }.into());
            }
            Some(labels)
        }
        None => None,
    };
    if arrays::is_images(&array) {
        return images(schema, path, array, labels.as_ref()).map(Source::Images);
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
    let label = labels.as_ref().map(|labels| ArrayColumn::all(&labels.items));
    let label = label.as_ref().map(of_dyn);
    one_chunk(&Chunker::new(schema, path), rows, &columns, label).map(Source::Chunks)
}

/// Images of an array of unsigned bytes, in which several channels are next to each other.
fn images<'s>(
    schema: &'s Schema,
    path: &str,
    array: Array,
    labels: Option<&Array>,
) -> Result<ImageTable<'s>, DataError> {
    let ([_, height, rest @ ..], numpy::Items::U8(pixels)) = (array.shape.as_slice(), array.items)
    else {
        return Err(DataError::NoFeatures { path: path.to_owned() });
    };
    let labels = match labels {
        Some(labels) => {
            let column = ArrayColumn::all(&labels.items);
            Some(Chunker::new(schema, path).labels(&column, 0)?)
        }
        None => None,
    };
    ImageTable::memory(schema, path, [*height, rest.iter().product()], pixels, labels)
}

fn archive<'s>(schema: &'s Schema, path: &str, needs_label: bool) -> Result<Source<'s>, DataError> {
    let entries = list_npz(path).map_err(|error| arrays::of_array(SOURCE, error))?;
    let read = |name: &str| read_npz(path, name).map_err(|error| arrays::of_array(SOURCE, error));
    let label = schema.label.name.as_str();
    let labels = if !needs_label {
        None
    } else if entries.iter().any(|entry| entry.name == label) {
        let labels = read(label)?;
        arrays::check_labels(&labels, SOURCE, &format!("{path}, array {label:?}"))?;
        Some(labels)
    } else {
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        let (path, hint) = (path.to_owned(), hint(&names, label));
        return Err(SchemaError::MissingLabel { path, label: shown(label), hint }.into());
    };
    let inputs: Vec<&Entry> = entries.iter().filter(|entry| entry.name != label).collect();
    if schema.pixels.is_some() {
        let mut found = inputs.iter().filter(|entry| arrays::is_image_shape(&entry.shape));
        let (Some(only), None) = (found.next(), found.next()) else {
            let arrays = arrays::described(entries.iter());
            let what = format!("{path}: expected one array of images: it has {arrays}");
            return Err(FileError::Content { field: SOURCE, what }.into());
        };
        let array = read(&only.name)?;
        let rows = array.shape.first().copied().unwrap_or_default();
        check_rows(path, label, labels.as_ref(), rows)?;
        return images(schema, path, array, labels.as_ref()).map(Source::Images);
    }
    columns_of(schema, path, &inputs, labels.as_ref())
}

fn check_rows(
    path: &str,
    name: &str,
    array: Option<&Array>,
    expected: usize,
) -> Result<(), DataError> {
    match array.map(|array| array.shape.first().copied().unwrap_or_default()) {
        Some(found) if found != expected => {
            let (path, name) = (path.to_owned(), shown(name));
            Err(SchemaError::OtherRows { path, name, found, expected }.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// The columns of the arrays of an archive.
fn columns_of<'s>(
    schema: &'s Schema,
    path: &str,
    inputs: &[&Entry],
    labels: Option<&Array>,
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
            let expected = array.shape.first().copied().unwrap_or_default();
            check_rows(path, &entry.name, Some(&array), *rows.get_or_insert(expected))?;
            arrays.insert(*owner, array);
        }
    }
    let rows = rows.unwrap_or_default();
    check_rows(path, &schema.label.name, labels, rows)?;
    let column = |&(owner, column, width): &(usize, usize, usize)| {
        arrays.get(&owner).map(|array| ArrayColumn::new(&array.items, column, width))
    };
    let columns: Vec<ArrayColumn<'_>> = used.iter().filter_map(column).collect();
    let columns: Vec<&dyn Stored> = columns.iter().map(of_dyn).collect();
    let label = labels.map(|labels| ArrayColumn::all(&labels.items));
    let label = label.as_ref().map(of_dyn);
    one_chunk(&Chunker::new(schema, path), rows, &columns, label).map(Source::Chunks)
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
    let label: Option<&dyn Stored> = if needs_label { Some(&labels) } else { None };
    one_chunk(&Chunker::new(schema, path), rows, &columns, label)
}
