//! Thrift's compact protocol, as far as it takes to find numbers in the structs of a Parquet file.
//! Its specification is `doc/specs/thrift-compact-protocol.md` in the repository `apache/thrift`.

use std::io::{self, Read};

/// The types of fields. A boolean field has its value in its type.
pub(super) const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
pub(super) const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
pub(super) const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
pub(super) const STRUCT: u8 = 12;

/// Most structs and lists inside each other.
const MAX_DEPTH: u32 = 32;

/// The types that the fields 1, 2, 3 and so on of a struct must have.
pub(super) type Layout = [u8];

/// Reads values one after the other. Every error means that the input ends too early, or is no such
/// value.
pub(super) struct Compact<R> {
    input: R,
    read: u64,
}

/// The number and the type of a field.
pub(super) type Field = (i64, u8);

impl<R: Read> Compact<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, read: 0 }
    }

    /// The bytes that were read so far.
    pub(super) const fn position(&self) -> u64 {
        self.read
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.read += 1;
        Ok(u8::from_le_bytes(byte))
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    /// A number whose lowest bit is its sign.
    pub(super) fn zigzag(&mut self) -> io::Result<i64> {
        let number = self.varint()?;
        let half = i64::try_from(number >> 1).map_err(|_| damaged())?;
        Ok(if number & 1 == 0 { half } else { -half - 1 })
    }

    /// The value of a field of 32 bits.
    pub(super) fn number(&mut self) -> io::Result<i32> {
        i32::try_from(self.zigzag()?).map_err(|_| damaged())
    }

    /// The next field of a struct after the field with this number, 0 before the first; `None` at
    /// the end of the struct. A field of the layout must have its type.
    pub(super) fn next_field(&mut self, before: i64, layout: &Layout) -> io::Result<Option<Field>> {
        let byte = self.byte()?;
        let (step, kind) = (byte >> 4, byte & 0xf);
        if kind == 0 {
            return Ok(None);
        }
        let id = if step == 0 { self.zigzag()? } else { before.saturating_add(step.into()) };
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let expected = place.and_then(|place| layout.get(place));
        // Both values of a boolean are its type.
        let kind_of = |kind: u8| if kind == FALSE { TRUE } else { kind };
        match expected.is_none_or(|expected| *expected == kind_of(kind)) {
            true => Ok(Some((id, kind))),
            false => Err(damaged()),
        }
    }

    /// The type of the items of a list, and how many there are.
    pub(super) fn list(&mut self) -> io::Result<(u8, u64)> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 0xf { self.varint()? } else { u64::from(byte >> 4) };
        Ok((byte & 0xf, count))
    }

    /// Skips the value of a field.
    pub(super) fn skip(&mut self, kind: u8) -> io::Result<()> {
        self.skip_within(kind, MAX_DEPTH)
    }

    fn skip_within(&mut self, kind: u8, depth: u32) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(damaged)?;
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.skip_bytes(1),
            I16..=I64 => self.varint().map(drop),
            DOUBLE => self.skip_bytes(8),
            BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    match kind {
                        // In a list, a boolean is a byte.
                        TRUE | FALSE => self.skip_bytes(1)?,
                        _ => self.skip_within(kind, depth)?,
                    }
                }
                Ok(())
            }
            STRUCT => {
                while let Some((_, kind)) = self.next_field(0, &[])? {
                    self.skip_within(kind, depth)?;
                }
                Ok(())
            }
            // Maps and identifiers, which no struct of Parquet has.
            _ => Err(damaged()),
        }
    }

    /// Skips this many bytes.
    pub(super) fn skip_bytes(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.input).take(bytes), &mut io::sink())?;
        self.read += skipped;
        if skipped == bytes { Ok(()) } else { Err(damaged()) }
    }
}

pub(super) fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
