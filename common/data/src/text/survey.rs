//! Reads a text once, to find out what can only be known at its end.

use std::io::{self, Read};

use caviar_common::numbers::to_u64;

use super::LineEnds;
use super::decode::{Decoding, Encoding, Evidence, Utf8Check};
use super::failure::TextError;
use super::input::{CHUNK_BYTES, read_chunk};
use super::signature::SAVE_AS_CSV;

/// What a text contains. Offsets count from the start of the file, after decompression.
pub(super) struct Survey {
    utf8: Utf8Check,
    /// The offset of the first zero byte, at which the survey stops. In UTF-16, it counts the bytes
    /// of the text as UTF-8.
    zero_at: Option<u64>,
    has_line_feed: bool,
    has_carriage_return: bool,
}

/// A failure to read, and the offset at which it happened.
type Failure = (u64, io::Error);

impl Survey {
    /// Reads text that is not UTF-16. `start` is the offset of its first byte.
    pub(super) fn of_bytes(mut text: impl Read, start: usize) -> Result<Self, Failure> {
        let mut survey = Self::new(start);
        let result = survey.run(&mut text);
        let at = survey.utf8.at();
        result.map(|()| survey).map_err(|error| (at, error))
    }

    /// Reads text in one of the encodings of UTF-16. `start` is the offset of its first byte.
    pub(super) fn of_utf16(
        text: impl Read,
        encoding: Encoding,
        start: usize,
    ) -> Result<Self, Failure> {
        let mut survey = Self::new(start);
        let mut text = Decoding::new(text, encoding, to_u64(start));
        let result = survey.run(&mut text);
        result.map(|()| survey).map_err(|error| (text.at(), error))
    }

    fn new(start: usize) -> Self {
        let utf8 = Utf8Check::new(to_u64(start));
        Self { utf8, zero_at: None, has_line_feed: false, has_carriage_return: false }
    }

    fn run(&mut self, text: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.zero_at.is_none() {
            let got = read_chunk(text, &mut buffer)?;
            if got == 0 {
                break;
            }
            self.push(buffer.get(..got).unwrap_or_default());
        }
        self.utf8.finish();
        Ok(())
    }

    fn push(&mut self, chunk: &[u8]) {
        // `contains` on bytes searches a word at a time, `position` does not.
        if chunk.contains(&0) {
            let before = chunk.iter().take_while(|byte| **byte != 0).count();
            self.zero_at = Some(self.utf8.at().saturating_add(to_u64(before)));
        }
        self.has_line_feed = self.has_line_feed || chunk.contains(&b'\n');
        self.has_carriage_return = self.has_carriage_return || chunk.contains(&b'\r');
        self.utf8.push(chunk);
    }

    /// The encoding of the text and how it was found, after a first guess.
    ///
    /// # Errors
    /// The file is not text, or it is not in the encoding of its byte order mark.
    pub(super) fn conclude(
        &self,
        guess: Encoding,
        evidence: Evidence,
        path: &str,
    ) -> Result<(Encoding, Evidence), TextError> {
        if let Some(at) = self.zero_at {
            let place = match guess {
                Encoding::Utf8 | Encoding::Latin1 => format!("byte {at} is zero"),
                Encoding::Utf16Le | Encoding::Utf16Be => "a character is zero".to_owned(),
            };
            let what = format!("it is a binary file, not text ({place})");
            return Err(TextError::not_text(path, what, SAVE_AS_CSV));
        }
        match (self.utf8.invalid_at(), evidence) {
            (None, _) => Ok((guess, evidence)),
            (Some(at), Evidence::Mark) => {
                let what = format!(
                    "it starts with the byte order mark of UTF-8, but byte {at} is not UTF-8"
                );
                Err(TextError::not_text(path, what, "save it as UTF-8"))
            }
            (Some(at), Evidence::Content | Evidence::ZeroBytes | Evidence::InvalidUtf8 { .. }) => {
                Ok((Encoding::Latin1, Evidence::InvalidUtf8 { at }))
            }
        }
    }

    pub(super) fn line_ends(&self) -> LineEnds {
        if self.has_carriage_return && !self.has_line_feed {
            LineEnds::CarriageReturn
        } else {
            LineEnds::LineFeed
        }
    }
}
