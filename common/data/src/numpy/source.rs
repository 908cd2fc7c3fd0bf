//! The bytes of one array, from a file or from an entry of an archive.

use std::io::{self, ErrorKind, Read};

use caviar_common::numbers::to_u64;

use super::error::ArrayError;

/// A reader that counts its bytes and knows the place that errors name.
pub(super) struct Source<R> {
    reader: R,
    place: String,
    /// How many bytes were read so far, after decompression.
    read: u64,
}

impl<R: Read> Source<R> {
    /// `place` is the path of the file, and for an entry of an archive also its name.
    pub(super) fn new(reader: R, place: String) -> Self {
        Self { reader, place, read: 0 }
    }

    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.read
    }

    /// Reads until the buffer is full. If the source ends before, the error says that `expected`
    /// bytes were promised in all.
    pub(super) fn fill(&mut self, buffer: &mut [u8], expected: u64) -> Result<(), ArrayError> {
        if self.fill_some(buffer)? == buffer.len() {
            return Ok(());
        }
        Err(ArrayError::Truncated { place: self.place(), found: self.read, expected })
    }

    /// Reads until the buffer is full or the source ends, and returns the number of bytes read.
    pub(super) fn fill_some(&mut self, buffer: &mut [u8]) -> Result<usize, ArrayError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let at = self.read + to_u64(filled);
                    return Err(ArrayError::Read { place: self.place(), at, source });
                }
            }
        }
        self.read += to_u64(filled);
        Ok(filled)
    }

    /// Makes sure that no byte follows. An archive verifies the checksum of an entry only when the
    /// end is read, and the length that it states for the entry can be wrong.
    pub(super) fn end(&mut self) -> Result<(), ArrayError> {
        if self.fill_some(&mut [0])? == 0 {
            return Ok(());
        }
        Err(ArrayError::Read {
            place: self.place(),
            at: self.read,
            source: io::Error::new(
                ErrorKind::InvalidData,
                "more bytes follow than the archive or the file system states",
            ),
        })
    }
}
