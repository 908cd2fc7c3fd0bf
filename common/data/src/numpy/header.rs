//! The header of an NPY file: a Python dictionary with the keys `descr`, `fortran_order` and
//! `shape`, such as `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.

use std::io::Read;

use caviar_common::numbers::{index, to_u64};

use super::error::ArrayError;
use super::limits::MAX_HEADER_BYTES;
use super::source::Source;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Most bytes of the header that an error shows.
const SHOWN_BYTES: usize = 20;

/// What the header states. Only its form has been checked, not the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) descr: Descr,
    /// Whether the first index changes fastest in the file.
    pub(super) is_fortran: bool,
    pub(super) shape: Vec<usize>,
    /// The offset of the first item.
    pub(super) bytes: u64,
}

/// The type of the items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Descr {
    /// The text in the quotes, such as `<f8`.
    Simple(String),
    /// The Python expression for a type with fields or with subarrays.
    Compound(String),
}

/// Reads everything before the items.
pub(super) fn read(source: &mut Source<impl Read>) -> Result<Header, ArrayError> {
    let mut magic = [0; MAGIC.len()];
    match source.fill_some(&mut magic)? {
        0 => return Err(ArrayError::Empty { place: source.place() }),
        _ if magic != *MAGIC => return Err(ArrayError::Magic { place: source.place() }),
        _ => {}
    }
    let mut version = [0; 2];
    source.fill(&mut version, 10)?;
    let bytes = match version {
        [1, 0] => {
            let mut length = [0; 2];
            source.fill(&mut length, 10)?;
            u32::from(u16::from_le_bytes(length))
        }
        // Version 3 has the same form. It says that the text is UTF-8 instead of Latin-1, and both
        // agree in all that is read here.
        [2 | 3, 0] => {
            let mut length = [0; 4];
            source.fill(&mut length, 12)?;
            u32::from_le_bytes(length)
        }
        [major, minor] => {
            return Err(ArrayError::Version { place: source.place(), major, minor });
        }
    };
    if bytes > MAX_HEADER_BYTES {
        return Err(ArrayError::LongHeader { place: source.place(), bytes });
    }
    let start = source.at();
    let mut text = vec![0; index(bytes)];
    source.fill(&mut text, start + u64::from(bytes))?;
    let mut parser = Parser { text: &text, at: 0 };
    parser.header(start + u64::from(bytes)).map_err(|expected| ArrayError::Header {
        place: source.place(),
        at: start + to_u64(parser.at),
        found: parser.shown(),
        expected,
    })
}

/// What the parser expected at its position.
type Expected = &'static str;

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    /// Parses the whole text. `bytes` is the offset of its end in the file.
    fn header(&mut self, bytes: u64) -> Result<Header, Expected> {
        const KEY: Expected = "one of 'descr', 'fortran_order' and 'shape', each once";
        let (mut descr, mut is_fortran, mut shape) = (None, None, None);
        self.demand(b'{', "a dictionary, which begins with {")?;
        while !self.eat(b'}') {
            let start = self.at;
            let key = self.string(KEY)?;
            let is_expected = match key.as_str() {
                "descr" => descr.is_none(),
                "fortran_order" => is_fortran.is_none(),
                "shape" => shape.is_none(),
                _ => false,
            };
            if !is_expected {
                self.at = start;
                return Err(KEY);
            }
            self.demand(b':', "a colon after the key")?;
            match key.as_str() {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => is_fortran = Some(self.boolean()?),
                _ => shape = Some(self.sizes()?),
            }
            if !self.eat(b',') {
                self.demand(b'}', "a comma or } after the value")?;
                break;
            }
        }
        self.skip_blanks();
        if self.at < self.text.len() {
            return Err("only blanks after the dictionary");
        }
        match (descr, is_fortran, shape) {
            (Some(descr), Some(is_fortran), Some(shape)) => {
                Ok(Header { descr, is_fortran, shape, bytes })
            }
            _ => Err("the keys 'descr', 'fortran_order' and 'shape'"),
        }
    }

    fn descr(&mut self) -> Result<Descr, Expected> {
        self.skip_blanks();
        if matches!(self.peek(), Some(b'\'' | b'"')) {
            return Ok(Descr::Simple(self.string("a type in quotes")?));
        }
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'\'' | b'"' => {
                    self.string("a closing quote")?;
                    continue;
                }
                b'(' | b'[' => depth += 1,
                b')' | b']' if depth > 0 => depth -= 1,
                b',' | b'}' | b')' | b']' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        match self.text.get(start..self.at) {
            Some(span) if !span.is_empty() => {
                Ok(Descr::Compound(String::from_utf8_lossy(span).into_owned()))
            }
            _ => Err("a type, such as '<f8'"),
        }
    }

    fn boolean(&mut self) -> Result<bool, Expected> {
        self.skip_blanks();
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in [("True", true), ("False", false)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err("True or False")
    }

    fn sizes(&mut self) -> Result<Vec<usize>, Expected> {
        self.demand(b'(', "a tuple of sizes, such as (3, 4)")?;
        let mut sizes = Vec::new();
        while !self.eat(b')') {
            sizes.push(self.size()?);
            if !self.eat(b',') {
                self.demand(b')', "a comma or ) after the size")?;
                break;
            }
        }
        Ok(sizes)
    }

    /// A whole number. Python 2 wrote an `L` after some.
    fn size(&mut self) -> Result<usize, Expected> {
        const SIZE: Expected = "a whole number from 0 to 2^64 - 1";
        self.skip_blanks();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let size = rest
            .get(..digits)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .ok_or(SIZE)?;
        self.at += digits;
        if self.peek() == Some(b'L') {
            self.at += 1;
        }
        Ok(size)
    }

    /// A text in quotes. An escape only hides a quote, because no text that is used has one.
    fn string(&mut self, expected: Expected) -> Result<String, Expected> {
        self.skip_blanks();
        let Some(quote) = self.peek().filter(|byte| matches!(byte, b'\'' | b'"')) else {
            return Err(expected);
        };
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let mut is_escaped = false;
        let length = rest.iter().position(|&byte| {
            let is_end = byte == quote && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let content = length.and_then(|length| rest.get(..length)).ok_or("a closing quote")?;
        self.at += content.len() + 2;
        Ok(String::from_utf8_lossy(content).into_owned())
    }

    /// Moves past the next byte that is not blank, which must be `byte`.
    fn demand(&mut self, byte: u8, expected: Expected) -> Result<(), Expected> {
        if self.eat(byte) { Ok(()) } else { Err(expected) }
    }

    /// Moves past blanks, and past `byte` if it follows them.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The text at the position, for an error.
    fn shown(&self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        String::from_utf8_lossy(rest.get(..SHOWN_BYTES).unwrap_or(rest)).into_owned()
    }
}
