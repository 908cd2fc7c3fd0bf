//! What can be wrong with an array file.

use std::io;

use zip::result::ZipError;

use super::limits::{
    MAX_DIMENSIONS, MAX_ENTRIES, MAX_HEADER_BYTES, MAX_TEXT_BYTES, MAX_TEXT_ITEM_BYTES,
};
use crate::limits::{MAX_FEATURES, MAX_VALUES};

/// Why an array cannot be read. The text names the file, the array of an archive (both in `place`)
/// and the value, and says what is expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrayError {
    /// The file cannot be opened.
    #[error("{path}: cannot be opened: {source}")]
    Open {
        /// The path as given.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file cannot be read to its end: the disk fails, or an entry of the archive is damaged.
    #[error("{place}: cannot be read after byte {at}: {source}")]
    Read {
        /// The file, and the array of an archive.
        place: String,
        /// How many bytes were read before the error, after decompression.
        at: u64,
        /// The error of the operating system or the decompressor.
        source: io::Error,
    },
    /// The file has no content.
    #[error("{place}: is empty: expected an array, as np.save writes it")]
    Empty {
        /// The file, and the array of an archive.
        place: String,
    },
    /// The file does not begin with the magic number of NPY.
    #[error(
        "{place}: is not an array of NumPy: expected the first bytes 93 4E 55 4D 50 59, as np.save \
         writes them"
    )]
    Magic {
        /// The file, and the array of an archive.
        place: String,
    },
    /// A version of the format that NumPy does not write yet.
    #[error("{place}: has version {major}.{minor} of the NPY format: expected 1.0, 2.0 or 3.0")]
    Version {
        /// The file, and the array of an archive.
        place: String,
        /// The major version in the file.
        major: u8,
        /// The minor version in the file.
        minor: u8,
    },
    /// The header is longer than that of any array of numbers or of text.
    #[error("{place}: has a header of {bytes} bytes: expected at most {MAX_HEADER_BYTES}")]
    LongHeader {
        /// The file, and the array of an archive.
        place: String,
        /// The length that the file states.
        bytes: u32,
    },
    /// The header is not the dictionary that the format asks for.
    #[error(
        "{place}, byte {at}: the header {}: expected {expected}",
        if .found.is_empty() { "ends".to_owned() } else { format!("has {found:?}") }
    )]
    Header {
        /// The file, and the array of an archive.
        place: String,
        /// The offset in the file, from 0.
        at: u64,
        /// The text at this offset, at most 20 bytes; empty at the end of the header.
        found: String,
        /// What the format asks for at this offset.
        expected: &'static str,
    },
    /// A type of items that is not a number or text.
    #[error("{place}: has items of the type {dtype:?}: {remedy}")]
    Dtype {
        /// The file, and the array of an archive.
        place: String,
        /// The type as the header states it, at most 40 characters of it.
        dtype: String,
        /// Why it cannot be read, and what to do.
        remedy: &'static str,
    },
    /// An array without dimensions, or with too many.
    #[error("{place}: has {found} dimensions: expected 1 to {MAX_DIMENSIONS}, and the rows first")]
    Dimensions {
        /// The file, and the array of an archive.
        place: String,
        /// The number of dimensions.
        found: usize,
    },
    /// More items than the limit for data in memory.
    #[error(
        "{place}: has the shape {shape:?}, which is too large: expected at most {MAX_FEATURES} \
         features (the product of all dimensions but the first) and {MAX_VALUES} numbers"
    )]
    TooLarge {
        /// The file, and the array of an archive.
        place: String,
        /// The size of each dimension.
        shape: Vec<usize>,
    },
    /// Items of a text array that are wider than any name of a class.
    #[error(
        "{place}: has text items of {item_bytes} bytes: expected at most {MAX_TEXT_ITEM_BYTES}; \
         is this the column of the labels?"
    )]
    LongText {
        /// The file, and the array of an archive.
        place: String,
        /// The bytes of each item.
        item_bytes: usize,
    },
    /// More text than the limit for data in memory.
    #[error(
        "{place}: has {count} text items of {item_bytes} bytes, which is too much: expected at \
         most {MAX_TEXT_BYTES} bytes of memory, where each item takes at least {}",
        size_of::<String>()
    )]
    MuchText {
        /// The file, and the array of an archive.
        place: String,
        /// The number of items.
        count: usize,
        /// The bytes of each item.
        item_bytes: usize,
    },
    /// The file ends before the items that the header promises.
    #[error("{place}: ends after {found} bytes: expected {expected}, as its header says")]
    Truncated {
        /// The file, and the array of an archive.
        place: String,
        /// The length of the file or of the entry, after decompression.
        found: u64,
        /// The length that the header says.
        expected: u64,
    },
    /// The file continues after the items that the header promises.
    #[error(
        "{place}: has {found} bytes: expected {expected}, as its header says; does it hold a \
         second array?"
    )]
    Trailing {
        /// The file, and the array of an archive.
        place: String,
        /// The length of the file or of the entry, after decompression.
        found: u64,
        /// The length that the header says.
        expected: u64,
    },
    /// An item that is not a value of its type.
    #[error("{place}: item {item} of the file (from 0) {fault}")]
    Item {
        /// The file, and the array of an archive.
        place: String,
        /// The index of the item in the order of the file.
        item: usize,
        /// What is wrong, and what is expected.
        fault: ItemFault,
    },
    /// The operating system does not have the memory for the items.
    #[error("{place}: needs {bytes} bytes of memory, which this machine does not have free")]
    Memory {
        /// The file, and the array of an archive.
        place: String,
        /// The memory for all items.
        bytes: usize,
    },
    /// The number of items does not fit the shape. The reader is wrong, not the file.
    #[error("{place}: the items do not fill the shape, which is a bug in Caviar: {source}")]
    Shape {
        /// The file, and the array of an archive.
        place: String,
        /// How the sizes differ.
        source: ndarray::ShapeError,
    },
    /// The file is not a zip archive, or its entries cannot be decompressed.
    #[error("{place}: is not an archive as np.savez writes it: {source}")]
    Archive {
        /// The file, and the entry of the archive.
        place: String,
        /// The error of the zip reader.
        source: ZipError,
    },
    /// An entry of an archive is compressed by a method that NumPy does not use.
    #[error(
        "{place}: is compressed by the method {method}: expected an archive as np.savez or \
         np.savez_compressed writes it"
    )]
    Compression {
        /// The file, and the array of the archive.
        place: String,
        /// The name of the method.
        method: String,
    },
    /// Two arrays of an archive have the same name, so the name does not say which one to read.
    #[error("{path}: has two arrays of the same name: expected a different name for each array")]
    NameTwice {
        /// The path of the archive.
        path: String,
    },
    /// More arrays than the limit for the entries of an archive.
    #[error(
        "{path}: has {found} entries: expected at most {MAX_ENTRIES}; put all rows into one array"
    )]
    ManyArrays {
        /// The path of the archive.
        path: String,
        /// The number of entries.
        found: usize,
    },
    /// The archive has no array of this name.
    #[error("{path}: has no array {name:?}: expected one of {names}")]
    NoSuchArray {
        /// The path of the archive.
        path: String,
        /// The name that was asked for.
        name: String,
        /// The names of its arrays, at most 20.
        names: String,
    },
}

/// Why the bytes of an item are not a value of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemFault {
    /// A truth value that is stored as another byte than 0 and 1.
    #[error("is the byte {byte}: expected 0 or 1 in an array of bool")]
    NotBool {
        /// The byte in the file.
        byte: u8,
    },
    /// A number that Unicode does not assign to characters, such as half of a surrogate pair.
    #[error("has the code point {code:#x}: expected Unicode text")]
    NotUnicode {
        /// The number in the file.
        code: u32,
    },
    /// Bytes (dtype `S`) in another encoding than UTF-8.
    #[error("is not UTF-8: decode the array with np.char.decode before np.save")]
    NotUtf8,
}
