//! Receiving a blob chunk by chunk.

use std::io::Write;

use caviar_common::blob::Blob;
use caviar_common::numbers::to_u64;

use crate::error::BlobError;
use crate::outline::Outline;

/// A blob that arrives. Every chunk is verified before it is written, so what was written is right
/// whatever happens later, and a broken transfer continues at [`Intake::offset`].
#[derive(Debug)]
pub struct Intake<W> {
    outline: Outline,
    out: W,
    offset: u64,
}

impl<W: Write> Intake<W> {
    /// Nothing has arrived yet.
    pub const fn new(outline: Outline, out: W) -> Self {
        Self { outline, out, offset: 0 }
    }

    /// The name and the size of the blob.
    pub const fn blob(&self) -> Blob {
        self.outline.blob()
    }

    /// How many bytes have arrived, which is where the next chunk begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the last chunk has arrived.
    pub const fn is_complete(&self) -> bool {
        self.offset == self.blob().bytes
    }

    /// Verifies the next chunk and writes it.
    ///
    /// # Errors
    /// It is not the next chunk, it is damaged, or it cannot be written. Nothing was accepted then.
    pub fn push(&mut self, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let (expected, length) =
            self.outline.chunks_from(self.offset).next().unwrap_or((self.offset, 0));
        if offset != expected || bytes.len() != length {
            return Err(BlobError::Order {
                name: self.blob().name,
                found: offset,
                found_length: bytes.len(),
                expected,
                length,
            });
        }
        self.outline.verify(offset, bytes)?;
        self.out.write_all(bytes)?;
        self.offset += to_u64(bytes.len());
        Ok(())
    }

    /// Where the blob was written, once it is complete.
    ///
    /// # Errors
    /// Chunks are missing.
    pub fn finish(self) -> Result<W, BlobError> {
        let Blob { name, bytes } = self.blob();
        if self.is_complete() {
            return Ok(self.out);
        }
        Err(BlobError::Short { name, found: self.offset, expected: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn chunks_arrive_in_order_and_a_wrong_one_changes_nothing() {
        let blob: Vec<u8> = (0..3_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
        let outline = Outline::of(&blob).unwrap();
        let mut intake = Intake::new(outline.clone(), Vec::new());
        let chunks: Vec<_> = outline.chunks_from(0).collect();
        let (second, length) = chunks[1];
        let error = intake.push(second, &blob.chunk(second, length).unwrap()).unwrap_err();
        assert!(matches!(error, BlobError::Order { expected: 0, .. }), "{error}");
        let error = intake.push(0, &vec![0; chunks[0].1]).unwrap_err();
        assert!(error.is_damage(), "{error}");
        assert_eq!(intake.offset(), 0);
        for (offset, length) in chunks {
            intake.push(offset, &blob.chunk(offset, length).unwrap()).unwrap();
        }
        assert!(intake.push(intake.offset(), &[1]).is_err());
        assert_eq!(intake.finish().unwrap(), blob);
        let none = Intake::new(outline, Vec::new()).finish().unwrap_err();
        assert!(none.to_string().ends_with("ends after 0 of 3000000 bytes"), "{none}");
    }
}
