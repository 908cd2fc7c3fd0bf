//! The types of the items.

use caviar_common::text::shortened;

use super::header::Descr;

/// Longest type that an error shows, in characters.
const SHOWN_CHARS: usize = 40;

/// The type of the items in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    pub(super) kind: Kind,
    /// Whether the most significant byte is first. False for items of one byte.
    pub(super) is_big_endian: bool,
}

/// What the items are, without the order of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    /// Text of this many bytes, filled with NUL.
    Bytes(usize),
    /// Text of this many characters of 4 bytes, filled with NUL.
    Chars(usize),
}

/// A type that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The type as the header states it, at most 40 characters of it.
    pub(super) dtype: String,
    /// Why it cannot be read, and what to do.
    pub(super) remedy: &'static str,
}

impl Dtype {
    /// Understands the type of a header.
    pub(super) fn parse(descr: &Descr) -> Result<Self, Refused> {
        let refused = |text: &str, remedy| Refused { dtype: shortened(text, SHOWN_CHARS), remedy };
        let text = match descr {
            Descr::Simple(text) => text.as_str(),
            Descr::Compound(text) => return Err(refused(text, FIELDS)),
        };
        let (order, name) = match text.chars().next() {
            Some(order @ ('<' | '>' | '|' | '=')) => (Some(order), text.get(1..).unwrap_or("")),
            _ => (None, text),
        };
        let kind = Kind::parse(name).ok_or_else(|| refused(text, remedy(name)))?;
        match order {
            Some('<') => Ok(Self { kind, is_big_endian: false }),
            Some('>') => Ok(Self { kind, is_big_endian: !kind.has_single_bytes() }),
            _ if kind.has_single_bytes() => Ok(Self { kind, is_big_endian: false }),
            _ => Err(refused(text, ORDER)),
        }
    }

    /// The bytes of one item in the file. Can be 0 for text.
    pub(super) fn item_bytes(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::Int8 | Kind::UInt8 => 1,
            Kind::Int16 | Kind::UInt16 | Kind::Float16 => 2,
            Kind::Int32 | Kind::UInt32 | Kind::Float32 => 4,
            Kind::Int64 | Kind::UInt64 | Kind::Float64 => 8,
            Kind::Bytes(bytes) => bytes,
            Kind::Chars(chars) => chars.saturating_mul(4),
        }
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self.kind, Kind::Bytes(_) | Kind::Chars(_))
    }
}

impl Kind {
    /// Understands a type without its byte order, such as `f8`.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "b1" => Self::Bool,
            "i1" => Self::Int8,
            "i2" => Self::Int16,
            "i4" => Self::Int32,
            "i8" => Self::Int64,
            "u1" => Self::UInt8,
            "u2" => Self::UInt16,
            "u4" => Self::UInt32,
            "u8" => Self::UInt64,
            "f2" => Self::Float16,
            "f4" => Self::Float32,
            "f8" => Self::Float64,
            _ => match name.strip_prefix('U') {
                Some(chars) => Self::Chars(width(chars)?),
                None => Self::Bytes(width(name.strip_prefix(['S', 'a'])?)?),
            },
        })
    }

    /// Whether the order of bytes has no meaning.
    fn has_single_bytes(self) -> bool {
        matches!(self, Self::Bool | Self::Int8 | Self::UInt8 | Self::Bytes(_))
    }
}

/// The width of a text. Unlike `str::parse`, it takes no sign.
fn width(digits: &str) -> Option<usize> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

const FIELDS: &str =
    "expected numbers or text; np.save the fields as separate arrays, such as array['field']";
const ORDER: &str = "expected the byte order, < or >, before the type";

/// What to do about a type that is not read.
fn remedy(name: &str) -> &'static str {
    match name.chars().next() {
        Some('O') => {
            "pickled Python objects are not read; np.save an array of numbers or of text, such as \
             array.astype(float) or array.astype(str)"
        }
        Some('c') => {
            "complex numbers are not read; np.save array.real and array.imag as separate columns"
        }
        Some('V') => FIELDS,
        Some('M' | 'm') => {
            "dates and times are not read; np.save a number such as array.astype('int64')"
        }
        Some('f') => "expected 16, 32 or 64 bits; np.save array.astype('float64')",
        Some('T') => "expected text of fixed width; np.save array.astype('U')",
        _ => {
            "expected bool, int8 to int64, uint8 to uint64, float16 to float64, or text of fixed \
             width (U or S)"
        }
    }
}
