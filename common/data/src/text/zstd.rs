//! Decompresses a Zstandard file: frames one after the other, and skippable frames between them.
//!
//! The crate `ruzstd` decodes one frame. It does not compare the checksum or the size of the frame
//! with the content, so this module does.

use std::error::Error;
use std::io::{self, BufRead, Read};

use caviar_common::numbers::to_u64;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// A reader of the content of all frames. Its memory is bounded by `ruzstd`, which refuses a frame
/// with a window of more than 128 MiB, as the zstd program does by default.
pub(super) struct ZstdDecoder<R> {
    input: Counted<R>,
    decoder: FrameDecoder,
    state: State,
}

enum State {
    BetweenFrames,
    /// `length` is how many bytes of the frame's content were returned.
    InFrame {
        length: u64,
    },
    /// After an error, the state of the decoder means nothing.
    Failed,
}

impl<R: BufRead> ZstdDecoder<R> {
    pub(super) fn new(input: R) -> Self {
        let input = Counted { input, at: 0 };
        Self { input, decoder: FrameDecoder::new(), state: State::BetweenFrames }
    }

    /// Reads until there is content to return or the frame ends, and puts content into `buffer`.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        match self.state {
            State::Failed => Err(self.damaged("it was damaged before")),
            State::BetweenFrames => {
                if !self.start_frame()? {
                    return Ok(Progress::Content(0));
                }
                self.state = State::InFrame { length: 0 };
                Ok(Progress::NoContent)
            }
            State::InFrame { length } if self.decoder.can_collect() > 0 => {
                let got = self.decoder.read(buffer)?;
                self.state = State::InFrame { length: length.saturating_add(to_u64(got)) };
                Ok(Progress::Content(got))
            }
            State::InFrame { length } if self.decoder.is_finished() => {
                self.check_frame(length)?;
                self.state = State::BetweenFrames;
                Ok(Progress::NoContent)
            }
            State::InFrame { .. } => {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                match self.decoder.decode_blocks(&mut self.input, one) {
                    Ok(_) => Ok(Progress::NoContent),
                    Err(error) => Err(self.failed(&error)),
                }
            }
        }
    }

    /// Reads the header of the next frame with content. False at the end of the file.
    fn start_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = self.input.by_ref().take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                        return Err(self.cut_off());
                    }
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(false)
    }

    /// Compares the frame that has just ended with its checksum and its size, if it states them.
    fn check_frame(&self, length: u64) -> io::Result<()> {
        let stated = self.decoder.get_checksum_from_data();
        if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
            return Err(self.damaged("its checksum is wrong"));
        }
        // The decoder also returns 0 for a frame that does not state its size.
        let size = self.decoder.content_size();
        if size != 0 && size != length {
            return Err(self.damaged(&format!("it has {length} bytes: expected {size}")));
        }
        Ok(())
    }

    /// The I/O error that made the decoder fail, or an error with the decoder's reason.
    fn failed(&self, error: &FrameDecoderError) -> io::Error {
        let mut reason: &(dyn Error + 'static) = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        match reason.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => self.cut_off(),
            Some(kind) => io::Error::new(kind, reason.to_string()),
            None => self.damaged(&reason.to_string()),
        }
    }

    fn cut_off(&self) -> io::Error {
        let text =
            format!("the zstd data ends within a frame, at byte {} of the file", self.input.at);
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }

    fn damaged(&self, why: &str) -> io::Error {
        let text = format!("the zstd data before byte {} is damaged: {why}", self.input.at);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

/// What one step of the decoder has produced.
enum Progress {
    /// The number of bytes for the caller; 0 at the end of the file.
    Content(usize),
    NoContent,
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.advance(buffer) {
                Ok(Progress::Content(got)) => return Ok(got),
                Ok(Progress::NoContent) => {}
                Err(error) => {
                    self.state = State::Failed;
                    return Err(error);
                }
            }
        }
    }
}

/// Counts the bytes that were read, so that an error can name the place in the compressed file.
struct Counted<R> {
    input: R,
    at: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.at = self.at.saturating_add(to_u64(got));
        Ok(got)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(to_u64(count));
        self.input.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use crate::text::tests::{error_of, noise, skippable_frame, zstd};

    #[test]
    fn errors_of_damaged_zstd_data_name_the_place_in_the_file() {
        let content = noise(1000);
        let whole = zstd(&content);
        assert_eq!(
            error_of(&whole[..100]),
            "table: cannot be read after byte 0: the zstd data ends within a frame, at byte 100 of \
             the file"
        );
        let mut garbage = whole.clone();
        garbage.extend(b"garbage");
        let error = error_of(garbage);
        let start = "table: cannot be read after byte 1000: the zstd data before byte ";
        assert!(error.starts_with(start), "{error}");
        let frame = [&whole[..], &skippable_frame(&[1; 9])[..12]].concat();
        let error = error_of(frame);
        assert!(error.contains("cannot be read after byte 1000: the zstd data ends"), "{error}");

        let mut wrong = whole;
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        let error = error_of(wrong);
        assert!(error.ends_with("is damaged: its checksum is wrong"), "{error}");

        // One raw block of 3 bytes, in a frame that states 4 bytes.
        let short = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 0x19, 0, 0, b'a', b'b', b'c'];
        let error = error_of(short);
        assert!(error.ends_with("is damaged: it has 3 bytes: expected 4"), "{error}");
        // The window of 256 MiB is refused before anything is allocated.
        let error = error_of([0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 0x19, 0, 0, b'a', b'b', b'c']);
        assert!(error.contains("268435456"), "{error}");
    }
}
