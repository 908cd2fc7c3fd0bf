//! Archives of arrays: zip files with an NPY file for each array.

use std::io::{BufReader, Read, Seek};

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::error::ArrayError;
use super::header::{self, Descr};
use super::limits::MAX_ENTRIES;
use super::source::Source;
use super::{Array, open, read};

/// Most names that an error lists.
const LISTED_NAMES: usize = 20;

/// What the name of each array ends with in the archive.
const EXTENSION: &str = ".npy";

/// What the header of an array states. Neither the type nor the sizes have been checked, so that
/// an archive can have arrays that Caviar does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name, without ".npy".
    pub(crate) name: String,
    /// The size of each dimension.
    pub(crate) shape: Vec<usize>,
    /// The type of the items as NumPy writes it: `<f4` is a `float32` in little-endian order, `|u1`
    /// a `uint8`, `|O` an object, and `[('x', '<f4')]` a type with fields.
    pub(crate) dtype: String,
}

/// Lists the arrays of an NPZ file in the order of the archive. Reads only their headers.
///
/// Entries whose name does not end in ".npy" are not arrays, and are left out.
///
/// # Errors
/// What is wrong with the archive or with a header; see [`ArrayError`].
pub(crate) fn list_npz(path: &str) -> Result<Vec<Entry>, ArrayError> {
    let (file, _) = open(path)?;
    Archive::new(BufReader::new(file), path)?.list()
}

/// Reads the array `name` (without ".npy") of an NPZ file.
///
/// # Errors
/// What is wrong with the archive or with the array; see [`ArrayError`].
pub(crate) fn read_npz(path: &str, name: &str) -> Result<Array, ArrayError> {
    let (file, _) = open(path)?;
    Archive::new(BufReader::new(file), path)?.read(name)
}

/// An open archive, and the path that errors show.
pub(super) struct Archive<'a, R> {
    archive: ZipArchive<R>,
    path: &'a str,
}

impl<'a, R: Read + Seek> Archive<'a, R> {
    pub(super) fn new(reader: R, path: &'a str) -> Result<Self, ArrayError> {
        let archive = ZipArchive::new(reader)
            .map_err(|source| ArrayError::Archive { place: path.to_owned(), source })?;
        let (path_text, found) = (path.to_owned(), archive.len());
        if archive.has_duplicate_names() {
            return Err(ArrayError::NameTwice { path: path_text });
        }
        if found > MAX_ENTRIES {
            return Err(ArrayError::ManyArrays { path: path_text, found });
        }
        Ok(Self { archive, path })
    }

    pub(super) fn list(mut self) -> Result<Vec<Entry>, ArrayError> {
        let mut entries = Vec::new();
        for (index, name) in self.names()? {
            let (mut source, _) = self.entry(index, &name)?;
            let header = header::read(&mut source)?;
            let (Descr::Simple(dtype) | Descr::Compound(dtype)) = header.descr;
            entries.push(Entry { name, shape: header.shape, dtype });
        }
        Ok(entries)
    }

    pub(super) fn read(mut self, name: &str) -> Result<Array, ArrayError> {
        let names = self.names()?;
        let Some((index, _)) = names.iter().find(|(_, found)| found == name) else {
            let (path, name) = (self.path.to_owned(), name.to_owned());
            return Err(ArrayError::NoSuchArray { path, name, names: listed(&names) });
        };
        let (mut source, bytes) = self.entry(*index, name)?;
        read(&mut source, bytes)
    }

    /// The index and the name of each array.
    fn names(&self) -> Result<Vec<(usize, String)>, ArrayError> {
        let mut names = Vec::new();
        for (index, name) in self.archive.file_names().enumerate() {
            let name = name.map_err(|source| self.failed(source))?;
            if let Some(name) = name.strip_suffix(EXTENSION) {
                names.push((index, name.to_owned()));
            }
        }
        Ok(names)
    }

    /// An entry, and the length that the archive states for it after decompression, in bytes.
    fn entry(
        &mut self,
        index: usize,
        name: &str,
    ) -> Result<(Source<ZipFile<'_, R>>, u64), ArrayError> {
        let place = format!("{}, array {name:?}", self.path);
        match self.archive.by_index(index) {
            Ok(entry) => {
                let (method, bytes) = (entry.compression(), entry.size());
                if method == CompressionMethod::Stored || method == CompressionMethod::Deflated {
                    return Ok((Source::new(entry, place), bytes));
                }
                Err(ArrayError::Compression { place, method: method.to_string() })
            }
            Err(source) => Err(ArrayError::Archive { place, source }),
        }
    }

    fn failed(&self, source: ZipError) -> ArrayError {
        ArrayError::Archive { place: self.path.to_owned(), source }
    }
}

fn listed(names: &[(usize, String)]) -> String {
    let shown: Vec<String> =
        names.iter().take(LISTED_NAMES).map(|(_, name)| format!("{name:?}")).collect();
    match names.len().saturating_sub(LISTED_NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
