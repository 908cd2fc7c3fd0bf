//! The reader of NumPy's array files: NPY (one array, by `np.save`) and NPZ (a zip archive of
//! arrays, by `np.savez` and `np.savez_compressed`).
//!
//! An NPY file is a magic number, the version of the format, the length of the header, the header
//! (a Python dictionary with the type, the order and the shape), and then the items. The format is
//! described in `numpy/lib/_format_impl.py`. The crates that read it, npyz and ndarray-npy, parse
//! the header with the crate py_literal, whose build needs a parser generator and assembler code.
//! Neither limits the length of the header.
//!
//! Every size is checked against its limit and against the length of the file before the memory for
//! the items is allocated. NaN and infinities are read as they are.

mod archive;
mod dtype;
mod error;
mod header;
mod items;
mod limits;
mod source;

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};

use caviar_common::numbers::to_u64;

use crate::limits::{MAX_FEATURES, MAX_VALUES};

pub(crate) use archive::{Entry, list_npz, read_npz};
pub(crate) use error::ArrayError;

use dtype::Dtype;
use header::Header;
use limits::{MAX_DIMENSIONS, MAX_TEXT_BYTES, MAX_TEXT_ITEM_BYTES};
use source::Source;

/// An array of 1 to 4 dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// The size of each dimension. Any of them can be 0.
    pub(crate) shape: Vec<usize>,
    /// The items in C order (the last index changes fastest), whatever the order in the file.
    pub(crate) items: Items,
}

/// The items of an array. Each variant names the NumPy types that become it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Items {
    /// `uint8`, which stays as it is because images have this type.
    U8(Vec<u8>),
    /// `bool`.
    Bool(Vec<bool>),
    /// `int8` to `int64`, `uint16` and `uint32`.
    Int(Vec<i64>),
    /// `uint64`.
    UInt(Vec<u64>),
    /// `float16` (exact) and `float32`.
    F32(Vec<f32>),
    /// `float64`.
    F64(Vec<f64>),
    /// Text of fixed width: `U` (Unicode) and `S` (bytes, which must be UTF-8), without the NUL
    /// characters that fill the width.
    Text(Vec<String>),
}

impl Array {
    /// Adds the rows of an array of the same type, whose rows have the same shape. Otherwise
    /// returns what the rows of `other` and of this array are, such as `float64 [2, 3]`.
    pub(crate) fn append(&mut self, other: Self) -> Result<(), [String; 2]> {
        let rows = other.shape.first().copied().unwrap_or_default();
        let described = |array: &Self| {
            format!("{} {:?}", array.items.name(), array.shape.get(1..).unwrap_or_default())
        };
        let (found, expected) = (described(&other), described(self));
        let is_appended = found == expected && self.items.append(other.items);
        match self.shape.first_mut().filter(|_| is_appended) {
            Some(all) => {
                *all += rows;
                Ok(())
            }
            None => Err([found, expected]),
        }
    }
}

impl Items {
    const fn name(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
            Self::Text(_) => "text",
        }
    }

    /// Adds items of the same type; false if they are of another type.
    fn append(&mut self, other: Self) -> bool {
        match (self, other) {
            (Self::U8(items), Self::U8(more)) => items.extend(more),
            (Self::Bool(items), Self::Bool(more)) => items.extend(more),
            (Self::Int(items), Self::Int(more)) => items.extend(more),
            (Self::UInt(items), Self::UInt(more)) => items.extend(more),
            (Self::F32(items), Self::F32(more)) => items.extend(more),
            (Self::F64(items), Self::F64(more)) => items.extend(more),
            (Self::Text(items), Self::Text(more)) => items.extend(more),
            (
                Self::U8(_)
                | Self::Bool(_)
                | Self::Int(_)
                | Self::UInt(_)
                | Self::F32(_)
                | Self::F64(_)
                | Self::Text(_),
                _,
            ) => return false,
        }
        true
    }
}

/// Reads the array of an NPY file.
///
/// # Errors
/// What is wrong with the file; see [`ArrayError`].
pub(crate) fn read_npy(path: &str) -> Result<Array, ArrayError> {
    let (file, metadata) = open(path)?;
    let mut source = Source::new(BufReader::new(file), path.to_owned());
    read(&mut source, metadata.len())
}

/// Opens a regular file. Opening a pipe without a writer would block indefinitely.
fn open(path: &str) -> Result<(File, Metadata), ArrayError> {
    let failed = |source| ArrayError::Open { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a directory, a pipe or a device: expected a regular file",
        )));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    Ok((file, metadata))
}

/// Reads an array from a source that promises to have `found` bytes.
fn read(source: &mut Source<impl Read>, found: u64) -> Result<Array, ArrayError> {
    let header = header::read(source)?;
    let dtype = Dtype::parse(&header.descr).map_err(|refused| ArrayError::Dtype {
        place: source.place(),
        dtype: refused.dtype,
        remedy: refused.remedy,
    })?;
    let count = count(&header, &source.place())?;
    check_text(dtype, count, &source.place())?;

    // The product is at most MAX_VALUES numbers of 8 bytes, or MAX_TEXT_BYTES.
    let expected = header.bytes + to_u64(count.saturating_mul(dtype.item_bytes()));
    let place = source.place();
    if found < expected {
        return Err(ArrayError::Truncated { place, found, expected });
    }
    if found > expected {
        return Err(ArrayError::Trailing { place, found, expected });
    }
    let layout = items::Layout { shape: &header.shape, is_fortran: header.is_fortran, expected };
    let items = items::read(source, dtype, count, layout)?;
    source.end()?;
    Ok(Array { shape: header.shape, items })
}

/// The number of items, if it and the dimensions are within the limits.
fn count(header: &Header, place: &str) -> Result<usize, ArrayError> {
    let shape = &header.shape;
    let product = |sizes: &[usize]| {
        // A zero makes the product 0 even if the others overflow.
        if sizes.contains(&0) {
            return Some(0);
        }
        sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))
    };
    let Some((_, row)) = shape.split_first().filter(|_| shape.len() <= MAX_DIMENSIONS) else {
        return Err(ArrayError::Dimensions { place: place.to_owned(), found: shape.len() });
    };
    product(row)
        .filter(|&features| features <= MAX_FEATURES)
        .and_then(|_| product(shape))
        .filter(|&values| values <= MAX_VALUES)
        .ok_or_else(|| ArrayError::TooLarge { place: place.to_owned(), shape: shape.clone() })
}

/// Limits the memory of text. A text takes the memory of a `String` even if it is empty.
fn check_text(dtype: Dtype, count: usize, place: &str) -> Result<(), ArrayError> {
    if !dtype.is_text() {
        return Ok(());
    }
    let item_bytes = dtype.item_bytes();
    if item_bytes > MAX_TEXT_ITEM_BYTES {
        return Err(ArrayError::LongText { place: place.to_owned(), item_bytes });
    }
    match count.checked_mul(item_bytes.max(size_of::<String>())) {
        Some(bytes) if bytes <= MAX_TEXT_BYTES => Ok(()),
        _ => Err(ArrayError::MuchText { place: place.to_owned(), count, item_bytes }),
    }
}

#[cfg(test)]
mod tests;
