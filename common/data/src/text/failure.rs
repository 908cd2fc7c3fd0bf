//! Why the text of a file cannot be read.

use std::io;

use crate::error::{DataError, SOURCE};

/// Why a file cannot be read as text. The text names the file and says what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    /// The path does not name a regular file, or the system refuses to open it.
    #[error("{path}: cannot be opened: {source}")]
    Open {
        /// The file that was asked for.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The disk fails, the compressed data is damaged or cut off, or UTF-16 is malformed.
    #[error("{path}: cannot be read after byte {at}: {source}")]
    Read {
        /// The file that was being read.
        path: String,
        /// How many bytes were read before the error, after decompression. If the directory of a
        /// zip archive cannot be read, the length of the archive.
        at: u64,
        /// The error of the operating system, the decompressor or the decoder.
        source: io::Error,
    },
    /// The bytes are those of another kind of file.
    #[error("{path}: {what}: {remedy}")]
    NotText {
        /// The file that is not text.
        path: String,
        /// What the file is, or which byte shows that it is not text.
        what: String,
        /// What the user can do.
        remedy: &'static str,
    },
    /// A zip archive without files, with several files, or with a file that needs a password or
    /// another decompressor.
    #[error("{path}: {what}")]
    Archive {
        /// The zip archive.
        path: String,
        /// What is wrong with it, and what the user can do.
        what: String,
    },
}

impl TextError {
    pub(super) fn open(path: &str, source: io::Error) -> Self {
        Self::Open { path: path.to_owned(), source }
    }

    pub(super) fn read(path: &str, at: u64, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), at, source }
    }

    pub(super) fn not_text(path: &str, what: String, remedy: &'static str) -> Self {
        Self::NotText { path: path.to_owned(), what, remedy }
    }

    pub(super) fn archive(path: &str, what: String) -> Self {
        Self::Archive { path: path.to_owned(), what }
    }
}

impl From<TextError> for DataError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Open { path, source } => Self::Open { field: SOURCE, path, source },
            TextError::Read { path, at, source } => Self::Read { field: SOURCE, path, at, source },
            TextError::NotText { path, what, remedy } => {
                Self::NotText { path, what: format!("{what}: {remedy}") }
            }
            TextError::Archive { path, what } => Self::NotText { path, what },
        }
    }
}
