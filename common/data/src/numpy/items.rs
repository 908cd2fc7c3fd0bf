//! The items of an array.

use std::io::Read;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::Items;
use super::dtype::{Dtype, Kind};
use super::error::{ArrayError, ItemFault};
use super::source::Source;

/// The bytes that are read at a time: a multiple of the bytes of every number.
const BUFFER_BYTES: usize = 1 << 14;

/// How the items of the file are arranged.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) shape: &'a [usize],
    /// Whether the first index changes fastest in the file.
    pub(super) is_fortran: bool,
    /// The length of the header and the items, in bytes.
    pub(super) expected: u64,
}

/// Reads `count` items, and arranges them in C order. The caller has checked the count and the
/// width of the items against the limits.
pub(super) fn read(
    source: &mut Source<impl Read>,
    dtype: Dtype,
    count: usize,
    layout: Layout<'_>,
) -> Result<Items, ArrayError> {
    let mut reader = Reader { source, is_big_endian: dtype.is_big_endian, count, layout };
    Ok(match dtype.kind {
        Kind::Bool => Items::Bool(reader.bools()?),
        Kind::UInt8 => Items::U8(reader.numbers(u8::from_le_bytes)?),
        Kind::Int8 => Items::Int(reader.numbers(|item| i64::from(i8::from_le_bytes(item)))?),
        Kind::Int16 => Items::Int(reader.numbers(|item| i64::from(i16::from_le_bytes(item)))?),
        Kind::Int32 => Items::Int(reader.numbers(|item| i64::from(i32::from_le_bytes(item)))?),
        Kind::Int64 => Items::Int(reader.numbers(i64::from_le_bytes)?),
        Kind::UInt16 => Items::Int(reader.numbers(|item| i64::from(u16::from_le_bytes(item)))?),
        Kind::UInt32 => Items::Int(reader.numbers(|item| i64::from(u32::from_le_bytes(item)))?),
        Kind::UInt64 => Items::UInt(reader.numbers(u64::from_le_bytes)?),
        Kind::Float16 => {
            Items::F32(reader.numbers(|item| single_from_half(u16::from_le_bytes(item)))?)
        }
        Kind::Float32 => Items::F32(reader.numbers(f32::from_le_bytes)?),
        Kind::Float64 => Items::F64(reader.numbers(f64::from_le_bytes)?),
        Kind::Bytes(_) => Items::Text(reader.texts(dtype.item_bytes(), |item, _| utf8(item))?),
        Kind::Chars(_) => Items::Text(reader.texts(dtype.item_bytes(), utf32)?),
    })
}

struct Reader<'a, R> {
    source: &'a mut Source<R>,
    is_big_endian: bool,
    count: usize,
    layout: Layout<'a>,
}

impl<R: Read> Reader<'_, R> {
    /// Reads numbers of `N` bytes. `convert` takes the least significant byte first.
    fn numbers<T, const N: usize>(
        &mut self,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, ArrayError> {
        let mut items = self.allocate()?;
        self.pieces(|numbers| {
            items.extend(numbers.iter().map(|number| convert(*number)));
            Ok(())
        })?;
        self.in_c_order(items)
    }

    fn bools(&mut self) -> Result<Vec<bool>, ArrayError> {
        let mut items = self.allocate()?;
        let place = self.source.place();
        self.pieces(|bytes: &[[u8; 1]]| {
            for &[byte] in bytes {
                if byte > 1 {
                    let (place, fault) = (place.clone(), ItemFault::NotBool { byte });
                    return Err(ArrayError::Item { place, item: items.len(), fault });
                }
                items.push(byte == 1);
            }
            Ok(())
        })?;
        self.in_c_order(items)
    }

    /// Passes all items of `N` bytes to `keep`, in pieces, with the least significant byte first.
    fn pieces<const N: usize>(
        &mut self,
        mut keep: impl FnMut(&[[u8; N]]) -> Result<(), ArrayError>,
    ) -> Result<(), ArrayError> {
        let mut buffer = [0; BUFFER_BYTES];
        let mut left = self.count.saturating_mul(N);
        while left > 0 {
            let size = left.min(BUFFER_BYTES);
            let part = buffer.get_mut(..size).unwrap_or_default();
            self.source.fill(part, self.layout.expected)?;
            let (items, _) = part.as_chunks_mut::<N>();
            if self.is_big_endian {
                items.iter_mut().for_each(|item| item.reverse());
            }
            keep(items)?;
            left -= size;
        }
        Ok(())
    }

    /// Reads texts of `width` bytes.
    fn texts(
        &mut self,
        width: usize,
        decode: impl Fn(&[u8], bool) -> Result<String, ItemFault>,
    ) -> Result<Vec<String>, ArrayError> {
        let mut items = self.allocate()?;
        let mut buffer = vec![0; width];
        for item in 0..self.count {
            self.source.fill(&mut buffer, self.layout.expected)?;
            let text = decode(&buffer, self.is_big_endian).map_err(|fault| ArrayError::Item {
                place: self.source.place(),
                item,
                fault,
            })?;
            items.push(text);
        }
        self.in_c_order(items)
    }

    /// A vector with room for all items, or an error where `Vec` would end the process.
    fn allocate<T>(&self) -> Result<Vec<T>, ArrayError> {
        let mut items = Vec::new();
        items.try_reserve_exact(self.count).map_err(|_| ArrayError::Memory {
            place: self.source.place(),
            bytes: self.count.saturating_mul(size_of::<T>()),
        })?;
        Ok(items)
    }

    /// Arranges the items so that the last index changes fastest.
    fn in_c_order<T>(&self, items: Vec<T>) -> Result<Vec<T>, ArrayError> {
        // The sizes of an empty array can overflow the product that ndarray computes.
        if !self.layout.is_fortran || self.layout.shape.len() < 2 || items.is_empty() {
            return Ok(items);
        }
        let mut ordered = self.allocate()?;
        let array = ArrayD::from_shape_vec(IxDyn(self.layout.shape).f(), items)
            .map_err(|source| ArrayError::Shape { place: self.source.place(), source })?;
        ordered.extend(array);
        Ok(ordered)
    }
}

/// The text before the NUL bytes that fill the width.
fn utf8(item: &[u8]) -> Result<String, ItemFault> {
    let end = item.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = item.get(..end).unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| ItemFault::NotUtf8)
}

/// The text before the NUL characters that fill the width. Each character has 4 bytes.
fn utf32(item: &[u8], is_big_endian: bool) -> Result<String, ItemFault> {
    let (codes, _) = item.as_chunks::<4>();
    let code = |bytes: &[u8; 4]| match is_big_endian {
        true => u32::from_be_bytes(*bytes),
        false => u32::from_le_bytes(*bytes),
    };
    let end = codes.iter().rposition(|bytes| code(bytes) != 0).map_or(0, |last| last + 1);
    let character = |code| char::from_u32(code).ok_or(ItemFault::NotUnicode { code });
    codes.iter().take(end).map(code).map(character).collect()
}

/// The value of a 16-bit float, which an f32 holds exactly.
///
/// It has a sign s, 5 bits of exponent e and 10 bits of fraction f (IEEE 754 binary16). Its value
/// is (-1)^s 2^(e - 15) (1 + f / 2^10), and (-1)^s 2^-14 f / 2^10 if e is 0. An e of 31 means an
/// infinity if f is 0, and otherwise NaN. Example: 0x3E00 has e = 15 and f = 2^9, so it is 1.5.
fn single_from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half & 0x3ff) << 13;
    let magnitude = match exponent {
        0 => (f32::from(half & 0x3ff) * 2_f32.powi(-24)).to_bits(),
        31 => 0x7f80_0000 | fraction,
        // The exponent of an f32 has an offset of 127 instead of 15.
        _ => (exponent + 127 - 15) << 23 | fraction,
    };
    f32::from_bits(sign | magnitude)
}
