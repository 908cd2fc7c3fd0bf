//! Opens the text file of a table, whatever its compression and encoding, as UTF-8 with line
//! feeds.
//!
//! [`TextSource::detect`] reads the whole file once. It needs to see every byte, because a byte
//! that is not UTF-8 or the only line feed can be at the very end. [`TextSource::open`] then
//! starts again from the first byte, as often as it is called.
//!
//! Both need the same memory for every file: a few buffers of 64 KiB, the window of the
//! decompressor (32 KiB for gzip and zip, at most 128 MiB for zstd), and the directory of a zip
//! archive, whose size is limited.

mod archive;
mod decode;
mod failure;
mod input;
mod signature;
mod survey;
mod zstd;

use std::io::{self, Read};

use caviar_common::numbers::to_u64;

pub(crate) use failure::TextError;
pub(crate) use input::read_chunk;

use decode::{Decoding, Encoding, Evidence};
use input::{Container, Origin, SAMPLE_BYTES};
use signature::Signature;
use survey::Survey;

/// What was found out about a file before its rows are read.
#[derive(Debug)]
pub(crate) struct TextSource {
    origin: Origin,
    container: Container,
    encoding: Encoding,
    evidence: Evidence,
    line_ends: LineEnds,
}

/// How the lines of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnds {
    /// Lines end in a line feed, with or without a carriage return before it. A file of one line
    /// without any line end also has this value.
    LineFeed,
    /// The file has carriage returns and no line feed.
    CarriageReturn,
}

impl TextSource {
    /// Reads the file to its end, and finds out its compression, its encoding and its line ends.
    ///
    /// # Errors
    /// The path does not name a regular file, the file cannot be read or decompressed, it is not
    /// text, or it is a zip archive that does not have exactly one file. UTF-16 with a lone
    /// surrogate or an odd last byte is a read error.
    pub(crate) fn detect(path: &str) -> Result<Self, TextError> {
        Self::examine(Origin::File(path.to_owned()))
    }

    /// Examines a file that is embedded in the program as [`Self::detect`] does. Errors call it
    /// `name`.
    pub(crate) fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self, TextError> {
        Self::examine(Origin::Embedded { name: name.to_owned(), bytes })
    }

    fn examine(origin: Origin) -> Result<Self, TextError> {
        let container = Container::detect(&origin)?;
        let mut input = container.open(&origin)?;
        let mut sample = Vec::new();
        if let Err(source) = input.by_ref().take(SAMPLE_BYTES).read_to_end(&mut sample) {
            return Err(TextError::read(origin.name(), to_u64(sample.len()), source));
        }
        if let Some(Signature { what, remedy, .. }) = Signature::find(&sample) {
            return Err(TextError::not_text(origin.name(), (*what).to_owned(), remedy));
        }
        let (encoding, evidence) = decode::guess(&sample);
        let mark = evidence.mark_bytes(encoding);
        let text = sample.get(mark..).unwrap_or_default().chain(input);
        let survey = match encoding {
            Encoding::Utf8 | Encoding::Latin1 => Survey::of_bytes(text, mark),
            Encoding::Utf16Le | Encoding::Utf16Be => Survey::of_utf16(text, encoding, mark),
        };
        let survey = survey.map_err(|(at, source)| TextError::read(origin.name(), at, source))?;
        let (encoding, evidence) = survey.conclude(encoding, evidence, origin.name())?;
        let line_ends = survey.line_ends();
        Ok(Self { origin, container, encoding, evidence, line_ends })
    }

    /// A new reader from the start of the file. It returns UTF-8 without a byte order mark. If the
    /// lines of the file end in a carriage return only, it returns line feeds in their place.
    ///
    /// The reader checks neither UTF-8 nor the line ends again, because [`Self::detect`] has. A
    /// file that has changed since then can therefore yield other bytes.
    ///
    /// # Errors
    /// The file cannot be opened any more. Reading fails if the compressed data is damaged or
    /// UTF-16 is malformed.
    pub(crate) fn open(&self) -> Result<Box<dyn Read>, TextError> {
        let mut input = self.container.open(&self.origin)?;
        let mark = self.evidence.mark_bytes(self.encoding);
        io::copy(&mut input.by_ref().take(to_u64(mark)), &mut io::sink())
            .map_err(|source| TextError::read(self.origin.name(), 0, source))?;
        let text: Box<dyn Read> = match self.encoding {
            Encoding::Utf8 => input,
            Encoding::Utf16Le | Encoding::Utf16Be | Encoding::Latin1 => {
                Box::new(Decoding::new(input, self.encoding, to_u64(mark)))
            }
        };
        Ok(match self.line_ends {
            LineEnds::LineFeed => text,
            LineEnds::CarriageReturn => Box::new(LineFeeds { input: text }),
        })
    }

    /// The encoding of the file itself, before [`Self::open`] converts it.
    #[cfg(test)]
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The compression that the first bytes of the file show, whatever its name.
    #[cfg(test)]
    fn compression(&self) -> input::Compression {
        self.container.compression()
    }

    /// One phrase for each way in which the file is not plain UTF-8 with line feeds. A report can
    /// list them after the name of the file. Byte offsets count from 0, after decompression.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let carriage_returns = match self.line_ends {
            LineEnds::LineFeed => None,
            LineEnds::CarriageReturn => Some("lines that end in a carriage return only".to_owned()),
        };
        let encoding = self.evidence.remark(self.encoding);
        [self.container.remark(), encoding, carriage_returns].into_iter().flatten().collect()
    }
}

/// Replaces every carriage return by a line feed. It is only for text without line feeds, where no
/// carriage return is the first half of a line end.
struct LineFeeds<R> {
    input: R,
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        for byte in buffer.iter_mut().take(got).filter(|byte| **byte == b'\r') {
            *byte = b'\n';
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests;
