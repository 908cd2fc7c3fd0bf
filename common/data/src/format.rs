//! Which reader a file is for, by its name.

use std::fs::{self, File};
use std::io::Read;

use crate::error::DataError;
use crate::file_error::FileError;

/// The kinds of files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Rows of cells with a delimiter between them.
    Text,
    /// Images, with their labels in a second file.
    Idx,
    /// One array of NumPy, with its labels in a second file.
    Npy,
    /// Several arrays of NumPy; one of them has the labels.
    Npz,
    /// Rows of `label index:value …`.
    Sparse,
    Parquet,
    /// Arrow's format for files and streams, which is also that of Feather since version 2.
    Arrow,
}

/// The endings of the names of each kind, after that of a compression. `.data` is common in the UCI
/// repository.
const ENDINGS: [(&[&str], Format); 6] = [
    (&[".csv", ".tsv", ".tab", ".txt", ".dat", ".data"], Format::Text),
    (&[".npy"], Format::Npy),
    (&[".npz"], Format::Npz),
    (&[".svm", ".libsvm", ".svmlight"], Format::Sparse),
    (&[".parquet", ".parq", ".pq"], Format::Parquet),
    (&[".arrow", ".arrows", ".feather", ".ipc"], Format::Arrow),
];
/// The endings of compressed files. `.zip` can also replace the ending of a text file.
const COMPRESSED_ENDINGS: [&str; 4] = [".gz", ".zst", ".zip", ".bgz"];

/// Bytes at the beginning of a file that tell whether it is text.
const SNIFFED_BYTES: u64 = 512;

impl Format {
    /// The kind that the name of a file states. `field` of the sweep file names the file.
    ///
    /// # Errors
    /// No kind has such names, or a kind that is not text, and the file is text.
    pub(crate) fn of_file(path: &str, field: &'static str) -> Result<Self, DataError> {
        let Some(format) = Self::of(path) else {
            return Err(DataError::UnknownFormat { path: path.to_owned() });
        };
        let name = match format {
            Self::Text | Self::Sparse => return Ok(format),
            Self::Idx => "an IDX file",
            Self::Npy | Self::Npz => "a file of NumPy",
            Self::Parquet => "a Parquet file",
            Self::Arrow => "an Arrow file",
        };
        if is_text(path) {
            let what = format!("{path}: is text, and not {name}: give it a name that ends in .csv");
            return Err(FileError::Content { field, what }.into());
        }
        Ok(format)
    }

    /// The kind that the name of a file states; `None` if no kind has such names.
    ///
    /// A compressed file has the kind that its name has without the ending of the compression, if
    /// files of that kind are decompressed.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.to_lowercase();
        let plain = COMPRESSED_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
        let found = Self::of_plain(plain.unwrap_or(&name));
        match (found, plain) {
            (Some(format), Some(_)) if !format.is_decompressed() => None,
            (None, Some(_)) if name.ends_with(".zip") => Some(Self::Text),
            _ => found,
        }
    }

    /// Common names of IDX files are `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and
    /// `train.idx`.
    fn of_plain(name: &str) -> Option<Self> {
        let has_idx = name.rsplit_once('.').is_some_and(|(_, last)| last.starts_with("idx"));
        if has_idx || name.ends_with("ubyte") {
            return Some(Self::Idx);
        }
        let fits = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        ENDINGS.iter().find(|(endings, _)| fits(endings)).map(|(_, format)| *format)
    }

    /// Whether files of this kind can also be compressed as a whole. The others have a compression
    /// of their own, or are read at any place.
    const fn is_decompressed(self) -> bool {
        match self {
            Self::Text | Self::Idx | Self::Sparse => true,
            Self::Npy | Self::Npz | Self::Parquet | Self::Arrow => false,
        }
    }
}

/// Whether a file begins with printable text. Each kind of file that is not text begins with other
/// bytes. A file that cannot be read is left to its reader.
fn is_text(path: &str) -> bool {
    // Opening a pipe without a writer would block indefinitely.
    let Ok(true) = fs::metadata(path).map(|data| data.is_file()) else { return false };
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SNIFFED_BYTES).read_to_end(&mut start));
    let is_printed = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r') || *byte >= b' ';
    // The last character can be cut off.
    let is_whole = match std::str::from_utf8(&start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    read.is_ok() && start.contains(&b'\n') && is_whole && start.iter().all(is_printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_states_the_format() {
        for (names, format) in [
            (
                &["a.csv", "A.CSV", "b/iris.data", "a.tsv.gz", "a.txt.zst", "a.zip"][..],
                Format::Text,
            ),
            (&["train-images-idx3-ubyte", "t.idx", "t.idx3-ubyte.gz", "a.idx.zst"], Format::Idx),
            (&["x.npy"], Format::Npy),
            (&["mnist.npz"], Format::Npz),
            (&["a.svm", "a.libsvm.gz", "a.svmlight", "a.svm.zip"], Format::Sparse),
            (&["a.parquet", "a.pq"], Format::Parquet),
            (&["a.arrow", "a.feather", "a.ipc"], Format::Arrow),
        ] {
            for name in names {
                assert_eq!(Format::of(name), Some(format), "{name}");
            }
        }
        for name in ["a", "a.xlsx", "a.csv.xz", "a.npy.gz", "a.parquet.zip", "csv"] {
            assert_eq!(Format::of(name), None, "{name}");
        }
    }
}
