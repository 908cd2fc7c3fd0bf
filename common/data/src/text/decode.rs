//! Finds out the encoding of a text, and converts it to UTF-8.

use std::io::{self, Read};
use std::ops::Range;
use std::str;

use caviar_common::numbers::to_u64;
use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::input::{CHUNK_BYTES, read_chunk};

/// The encoding of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// windows-1252, which has all printable characters of Latin-1. Every byte is a character, so
    /// no text is invalid.
    Latin1,
}

/// How the encoding of a text was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The file has a byte order mark.
    Mark,
    /// Half of the bytes are zero, as in UTF-16.
    ZeroBytes,
    /// All bytes are valid UTF-8.
    Content,
    /// The byte at this offset is the first that is not valid UTF-8.
    InvalidUtf8 { at: u64 },
}

impl Evidence {
    /// The length of the byte order mark that the text starts with.
    pub(super) fn mark_bytes(self, encoding: Encoding) -> usize {
        match (self, encoding) {
            (Self::Mark, Encoding::Utf8) => 3,
            (Self::Mark, Encoding::Utf16Le | Encoding::Utf16Be) => 2,
            (Self::Mark, Encoding::Latin1)
            | (Self::ZeroBytes | Self::Content | Self::InvalidUtf8 { .. }, _) => 0,
        }
    }

    /// The encoding and the evidence in words for the user; `None` for plain UTF-8.
    pub(super) fn remark(self, encoding: Encoding) -> Option<String> {
        let encoding = match encoding {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16Le => "UTF-16 (little-endian)",
            Encoding::Utf16Be => "UTF-16 (big-endian)",
            Encoding::Latin1 => "windows-1252 (Latin-1)",
        };
        match self {
            Self::Content => None,
            Self::Mark => Some(format!("{encoding}, by its byte order mark")),
            Self::ZeroBytes => Some(format!("{encoding}, by its zero bytes")),
            Self::InvalidUtf8 { at } => Some(format!("{encoding}, because byte {at} is not UTF-8")),
        }
    }
}

/// The encoding of a text by its first bytes. UTF-8 without a mark is only a guess: the text can
/// turn out to be windows-1252 or binary.
pub(super) fn guess(sample: &[u8]) -> (Encoding, Evidence) {
    match sample {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, Evidence::Mark),
        [0xff, 0xfe, ..] => (Encoding::Utf16Le, Evidence::Mark),
        [0xfe, 0xff, ..] => (Encoding::Utf16Be, Evidence::Mark),
        _ => match utf16_by_zero_bytes(sample) {
            Some(encoding) => (encoding, Evidence::ZeroBytes),
            None => (Encoding::Utf8, Evidence::Content),
        },
    }
}

/// Tells UTF-16 by the upper halves of its units, which are zero for ASCII and Latin-1.
///
/// A table has numbers and separators even if its words are in another script, so three quarters
/// of zeros are enough. A character such as U+0100 has a lower half of zero, hence the tolerance of
/// 1 in 32. Binary data that passes nevertheless fails later, at its first character U+0000.
fn utf16_by_zero_bytes(sample: &[u8]) -> Option<Encoding> {
    let (units, _) = sample.as_chunks::<2>();
    let first = units.iter().filter(|[first, _]| *first == 0).count();
    let second = units.iter().filter(|[_, second]| *second == 0).count();
    let (most, few) = (units.len() - units.len() / 4, units.len() / 32);
    match (first, second) {
        _ if units.is_empty() => None,
        (first, second) if second >= most && first <= few => Some(Encoding::Utf16Le),
        (first, second) if first >= most && second <= few => Some(Encoding::Utf16Be),
        (_, _) => None,
    }
}

/// Converts a text to UTF-8 while it is read.
pub(super) struct Decoding<R> {
    input: R,
    decoder: Decoder,
    raw: Vec<u8>,
    /// The part of `raw` that is still to be decoded.
    undecoded: Range<usize>,
    text: Vec<u8>,
    /// The part of `text` that is still to be returned.
    unread: Range<usize>,
    /// The offset of `undecoded` in the file, after decompression. After an error in the encoding,
    /// the offset of the malformed bytes.
    at: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The input has ended, but the decoder can still have text or find an error.
    AtEnd,
    Finished,
    Malformed,
}

impl<R: Read> Decoding<R> {
    /// Decodes `input`, which has no byte order mark any more. `at` is the offset of its first
    /// byte in the file.
    pub(super) fn new(input: R, encoding: Encoding, at: u64) -> Self {
        let encoding = match encoding {
            Encoding::Utf8 => encoding_rs::UTF_8,
            Encoding::Utf16Le => UTF_16LE,
            Encoding::Utf16Be => UTF_16BE,
            Encoding::Latin1 => WINDOWS_1252,
        };
        Self {
            input,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; CHUNK_BYTES],
            undecoded: 0..0,
            text: vec![0; CHUNK_BYTES],
            unread: 0..0,
            at,
            state: State::Reading,
        }
    }

    /// How many bytes of the file were decoded. After an error in the encoding, the offset of the
    /// malformed bytes.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Decodes once what was read. Reads more first, if everything read is decoded.
    fn advance(&mut self) -> io::Result<()> {
        if self.undecoded.is_empty() && self.state == State::Reading {
            let got = read_chunk(&mut self.input, &mut self.raw)?;
            self.undecoded = 0..got;
            if got == 0 {
                self.state = State::AtEnd;
            }
        }
        let is_at_end = self.state == State::AtEnd;
        let raw = self.raw.get(self.undecoded.clone()).unwrap_or_default();
        let (result, used, written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, is_at_end);
        self.at = self.at.saturating_add(to_u64(used));
        self.undecoded.start = self.undecoded.start.saturating_add(used);
        self.unread = 0..written;
        match result {
            DecoderResult::InputEmpty if is_at_end => self.state = State::Finished,
            DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
            DecoderResult::Malformed(malformed, after) => {
                self.at = self.at.saturating_sub(u64::from(malformed) + u64::from(after));
                self.state = State::Malformed;
            }
        }
        Ok(())
    }

    fn malformed(&self) -> io::Error {
        let at = self.at;
        let text = format!(
            "the text is not valid UTF-16 at byte {at}: half of a surrogate pair or of a unit is \
             missing"
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() && !buffer.is_empty() {
            match self.state {
                State::Reading | State::AtEnd => self.advance()?,
                State::Finished => return Ok(0),
                State::Malformed => return Err(self.malformed()),
            }
        }
        let mut unread = self.text.get(self.unread.clone()).unwrap_or_default();
        let got = unread.read(buffer)?;
        self.unread.start = self.unread.start.saturating_add(got);
        Ok(got)
    }
}

/// Checks that chunks are UTF-8 when they are put together. A sequence can start in one chunk and
/// end in the next.
pub(super) struct Utf8Check {
    /// The start of a sequence at the end of the last chunk, at most 3 bytes.
    incomplete: Vec<u8>,
    /// The offset after the last chunk.
    at: u64,
    invalid_at: Option<u64>,
}

impl Utf8Check {
    /// `at` is the offset of the first byte in the file.
    pub(super) fn new(at: u64) -> Self {
        Self { incomplete: Vec::with_capacity(4), at, invalid_at: None }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The offset of the first byte that is not part of a valid sequence.
    pub(super) fn invalid_at(&self) -> Option<u64> {
        self.invalid_at
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let start = self.at;
        self.at = start.saturating_add(to_u64(chunk.len()));
        if self.invalid_at.is_some() {
            return;
        }
        let sequence_at = start.saturating_sub(to_u64(self.incomplete.len()));
        let mut bytes = chunk.iter();
        while !self.incomplete.is_empty() {
            let Some(next) = bytes.next() else { return };
            self.incomplete.push(*next);
            match str::from_utf8(&self.incomplete) {
                Ok(_) => self.incomplete.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    self.invalid_at = Some(sequence_at);
                    return;
                }
            }
        }
        let rest = bytes.as_slice();
        let rest_at = self.at.saturating_sub(to_u64(rest.len()));
        if let Err(error) = str::from_utf8(rest) {
            let valid = error.valid_up_to();
            match error.error_len() {
                Some(_) => self.invalid_at = Some(rest_at.saturating_add(to_u64(valid))),
                None => self.incomplete.extend(rest.iter().skip(valid)),
            }
        }
    }

    /// Ends the text. A sequence that is still incomplete is invalid.
    pub(super) fn finish(&mut self) {
        if self.invalid_at.is_none() && !self.incomplete.is_empty() {
            self.invalid_at = Some(self.at.saturating_sub(to_u64(self.incomplete.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::survey::Survey;
    use crate::text::tests::{TABLE, error_of, utf16};

    #[test]
    fn malformed_utf16_is_an_error_with_its_offset() {
        let units = |before: usize, unit: u16| {
            let start = [vec![0xfeff], vec![u16::from(b'1'); before], vec![unit]].concat();
            [start, vec![u16::from(b'2'); 5]].concat().into_iter().flat_map(u16::to_be_bytes)
        };
        // A lone low half, and a lone high half, also at the border of a chunk.
        for before in [0, 7, 32_765, 32_766, 32_767, 32_768, 40_000] {
            for unit in [0xdc00, 0xd800] {
                let bytes: Vec<u8> = units(before, unit).collect();
                let at = 2 + 2 * before;
                assert_eq!(
                    error_of(bytes),
                    format!(
                        "table: cannot be read after byte {at}: the text is not valid UTF-16 at \
                         byte {at}: half of a surrogate pair or of a unit is missing"
                    )
                );
            }
        }
        let error = error_of(b"\xff\xfea\0,\0b");
        assert!(error.contains("not valid UTF-16 at byte 6"), "{error}");
        let error = error_of(b"\xff\xfea\0\0\xd8");
        assert!(error.contains("not valid UTF-16 at byte 4"), "{error}");
    }

    /// A reader that returns few bytes at a time and is interrupted in between.
    struct Slow<'a> {
        bytes: &'a [u8],
        calls: usize,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = buffer.len().min(1 + self.calls % 3);
            self.bytes.read(&mut buffer[..size])
        }
    }

    #[test]
    fn an_interrupted_read_is_repeated() {
        let text = TABLE.repeat(9);
        let bytes = utf16(&text, u16::to_be_bytes);
        let mut decoding = Decoding::new(Slow { bytes: &bytes, calls: 0 }, Encoding::Utf16Be, 0);
        let mut decoded = String::new();
        decoding.read_to_string(&mut decoded).unwrap();
        assert_eq!(decoded, text);
        let survey = Survey::of_bytes(Slow { bytes: text.as_bytes(), calls: 0 }, 0).unwrap();
        let plain = (Encoding::Utf8, Evidence::Content);
        assert_eq!(survey.conclude(plain.0, plain.1, "table").unwrap(), plain);
    }

    proptest! {
        #[test]
        fn utf8_is_checked_as_by_the_standard_library(
            parts in prop::collection::vec(prop_oneof![
                "\\PC{0,6}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..4),
            ], 0..6),
        ) {
            let whole = parts.concat();
            let mut check = Utf8Check::new(10);
            for part in &parts {
                check.push(part);
            }
            check.finish();
            let expected = std::str::from_utf8(&whole).err().map(|e| to_u64(e.valid_up_to()) + 10);
            prop_assert_eq!(check.invalid_at(), expected);
        }

    }
}
