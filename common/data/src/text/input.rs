//! The bytes of a file: where they are, and how they are decompressed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::archive::{self, Entry, Input};
use super::failure::TextError;
use super::zstd::ZstdDecoder;

/// How much of a file is read at once, in bytes.
pub(super) const CHUNK_BYTES: usize = 1 << 16;
/// How much of the start of a file decides whether it is UTF-16 without a byte order mark, in
/// bytes.
pub(super) const SAMPLE_BYTES: u64 = 1 << 16;

/// The compression of a file.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// The file is not compressed.
    None,
    /// One or more gzip members.
    Gzip,
    /// One or more Zstandard frames.
    Zstd,
    /// A zip archive with one file.
    Zip,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(super) enum Origin {
    /// The path of a file.
    File(String),
    /// A file that is part of the program.
    Embedded { name: String, bytes: &'static [u8] },
}

impl Origin {
    /// The name of the file in errors.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File(name) | Self::Embedded { name, .. } => name,
        }
    }

    /// The compressed bytes, from the first.
    pub(super) fn open(&self) -> Result<Box<dyn Input>, TextError> {
        match self {
            Self::File(path) => open_file(path).map_err(|source| TextError::open(path, source)),
            Self::Embedded { bytes, .. } => Ok(Box::new(Cursor::new(*bytes))),
        }
    }
}

fn open_file(path: &str) -> io::Result<Box<dyn Input>> {
    // Checked before opening: opening a pipe without a writer would block indefinitely.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a directory, a pipe or a device: expected a regular file",
        ));
    }
    Ok(Box::new(File::open(path)?))
}

/// The compression of a file, with what is needed to decompress it.
#[derive(Debug)]
pub(super) enum Container {
    Plain,
    Gzip,
    Zstd,
    Zip(Entry),
}

impl Container {
    /// Finds out the compression by the first bytes of the file, and the file in a zip archive.
    pub(super) fn detect(origin: &Origin) -> Result<Self, TextError> {
        let mut input = origin.open()?;
        let mut magic = Vec::with_capacity(4);
        if let Err(source) = input.by_ref().take(4).read_to_end(&mut magic) {
            return Err(TextError::read(origin.name(), 0, source));
        }
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // The second is a skippable frame. Seekable and parallel formats start with one.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            // The second is an archive without files.
            [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => {
                Self::Zip(archive::find(input.as_mut(), origin.name())?)
            }
            _ => Self::Plain,
        })
    }

    /// The decompressed bytes of the file, from the first.
    pub(super) fn open(&self, origin: &Origin) -> Result<Box<dyn Read>, TextError> {
        let input = BufReader::with_capacity(CHUNK_BYTES, origin.open()?);
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(ZstdDecoder::new(input)),
            Self::Zip(entry) => {
                entry.open(input).map_err(|source| TextError::read(origin.name(), 0, source))?
            }
        })
    }

    #[cfg(test)]
    pub(super) fn compression(&self) -> Compression {
        match self {
            Self::Plain => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
            Self::Zip(_) => Compression::Zip,
        }
    }

    /// How the file is compressed, in words for the user.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("compressed with gzip".to_owned()),
            Self::Zstd => Some("compressed with zstd".to_owned()),
            Self::Zip(entry) => Some(format!("a zip archive with the file {:?}", entry.name())),
        }
    }
}

/// Reads once into `buffer`. Returns 0 only at the end of the input.
pub(crate) fn read_chunk(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
