//! Checks the sizes that the pages of a Parquet file state, before the reader believes them.
//!
//! The values of a column lie in pages, each with a head, a struct in Thrift's compact protocol. The
//! reader allocates what the head states: the page after decompression, and the values of a
//! dictionary. One changed byte can so ask for more memory than any machine has, which would end the
//! process. [Specification](https://github.com/apache/parquet-format).

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use caviar_common::numbers::to_u64;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Most structs and lists inside each other in a head.
const MAX_DEPTH: u32 = 8;
/// The numbers of the fields of a head, and of the head of a dictionary inside it.
const UNCOMPRESSED_SIZE: i64 = 2;
const COMPRESSED_SIZE: i64 = 3;
const DICTIONARY: i64 = 7;
const DICTIONARY_VALUES: i64 = 1;

/// What the head of a page states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    /// The bytes after decompression.
    uncompressed: i64,
    /// The bytes in the file.
    compressed: i64,
    /// The values of a dictionary; 0 for other pages.
    dictionary_values: i64,
}

/// Checks the pages of the columns at these indices, which ascend. `budget` is the most memory that
/// all pages may take after decompression, in bytes.
pub(super) fn check_pages(
    file: &mut (impl Read + Seek),
    metadata: &ParquetMetaData,
    columns: &[usize],
    budget: usize,
) -> Result<(), String> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let schema = metadata.file_metadata().schema_descr();
    let mut left = to_u64(budget);
    for group in metadata.row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if columns.binary_search(&schema.get_column_root_idx(leaf)).is_ok() {
                left = check_chunk(file, length, chunk, left)?;
            }
        }
    }
    Ok(())
}

/// Checks the pages of a column in one group of rows, and returns what they leave of the budget.
fn check_chunk(
    file: &mut (impl Read + Seek),
    length: u64,
    chunk: &ColumnChunkMetaData,
    mut left: u64,
) -> Result<u64, String> {
    let (mut at, size) = chunk.byte_range();
    let end = at.checked_add(size).filter(|end| *end <= length);
    let end = end.ok_or("a column is longer than the file")?;
    while at < end {
        file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        // Most heads have fewer bytes than that. What cannot be read as a head is none for the
        // reader of the values either.
        let mut input = Counted { read: 0, input: BufReader::with_capacity(128, &mut *file) };
        let Ok(head) = head(&mut input, end - at) else { break };
        let uncompressed = unsigned(head.uncompressed)?;
        let compressed = unsigned(head.compressed)?;
        let most = compressed.saturating_mul(most_expansion(chunk.compression()));
        if uncompressed > most {
            return Err("a page states more bytes than its compression can have saved".to_owned());
        }
        let of_values = unsigned(head.dictionary_values)?.saturating_mul(least_width(chunk));
        if of_values > uncompressed {
            return Err("a dictionary states more values than it has bytes for".to_owned());
        }
        left = left
            .checked_sub(uncompressed)
            .ok_or("its columns are too large after decompression")?;
        at = at.saturating_add(input.read).saturating_add(compressed);
    }
    Ok(left)
}

/// How many times as many bytes a page can have after decompression, at most. The second version of
/// pages has levels that are never compressed, which only makes it less.
const fn most_expansion(compression: Compression) -> u64 {
    match compression {
        Compression::UNCOMPRESSED => 1,
        // Copies of up to 64 bytes take three bytes.
        Compression::SNAPPY => 64,
        // A byte lengthens a match by at most 255 bytes.
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        // Deflate has at most 258 bytes for two bits. The others are decompressed bit by bit, and
        // the budget limits what they give.
        Compression::GZIP(_) => 1100,
        Compression::BROTLI(_) | Compression::ZSTD(_) | Compression::LZO => u64::MAX,
    }
}

/// The fewest bytes of a value in a dictionary.
fn least_width(chunk: &ColumnChunkMetaData) -> u64 {
    match chunk.column_type() {
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        // Texts begin with their length.
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::FIXED_LEN_BYTE_ARRAY => {
            u64::try_from(chunk.column_descr().type_length()).map_or(1, |width| width.max(1))
        }
        Type::BOOLEAN => 1,
    }
}

fn unsigned(number: i64) -> Result<u64, String> {
    u64::try_from(number).map_err(|_| "a page states a negative size".to_owned())
}

/// An input that counts what was read.
struct Counted<R> {
    read: u64,
    input: R,
}

impl<R: BufRead> Counted<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.read += 1;
        Ok(u8::from_le_bytes(byte))
    }

    /// A number in groups of seven bits, the lowest first.
    fn varint(&mut self) -> io::Result<u64> {
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
    fn zigzag(&mut self) -> io::Result<i64> {
        let number = self.varint()?;
        let half = i64::try_from(number >> 1).map_err(|_| damaged())?;
        Ok(if number & 1 == 0 { half } else { -half - 1 })
    }

    fn skip(&mut self, bytes: u64, most: u64) -> io::Result<()> {
        if bytes > most {
            return Err(damaged());
        }
        let skipped = io::copy(&mut (&mut self.input).take(bytes), &mut io::sink())?;
        self.read += skipped;
        if skipped == bytes { Ok(()) } else { Err(damaged()) }
    }
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The types of Thrift's compact protocol. A boolean field has its value in its type.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

/// Reads the head of a page, of which `most` bytes can be in the file.
fn head<R: BufRead>(input: &mut Counted<R>, most: u64) -> io::Result<Head> {
    let mut head = Head::default();
    let mut id = 0;
    while let Some(kind) = next_field(input, &mut id)? {
        match (id, kind) {
            (UNCOMPRESSED_SIZE, I16..=I64) => head.uncompressed = input.zigzag()?,
            (COMPRESSED_SIZE, I16..=I64) => head.compressed = input.zigzag()?,
            (DICTIONARY, STRUCT) => {
                let mut id = 0;
                while let Some(kind) = next_field(input, &mut id)? {
                    match (id, kind) {
                        (DICTIONARY_VALUES, I16..=I64) => {
                            head.dictionary_values = input.zigzag()?;
                        }
                        _ => skip_value(input, kind, most, MAX_DEPTH)?,
                    }
                }
            }
            _ => skip_value(input, kind, most, MAX_DEPTH)?,
        }
    }
    Ok(head)
}

/// The type of the next field, whose number replaces `id`; `None` at the end of the struct.
fn next_field<R: BufRead>(input: &mut Counted<R>, id: &mut i64) -> io::Result<Option<u8>> {
    let byte = input.byte()?;
    let (step, kind) = (byte >> 4, byte & 0xf);
    if byte == 0 {
        return Ok(None);
    }
    *id = if step == 0 { input.zigzag()? } else { id.saturating_add(i64::from(step)) };
    Ok(Some(kind))
}

fn skip_value<R: BufRead>(
    input: &mut Counted<R>,
    kind: u8,
    most: u64,
    depth: u32,
) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(damaged)?;
    match kind {
        TRUE | FALSE => Ok(()),
        BYTE => input.skip(1, most),
        I16..=I64 => input.varint().map(drop),
        DOUBLE => input.skip(8, most),
        BINARY => {
            let length = input.varint()?;
            input.skip(length, most)
        }
        LIST | SET => {
            let byte = input.byte()?;
            let count = if byte >> 4 == 0xf { input.varint()? } else { u64::from(byte >> 4) };
            for _ in 0..count {
                match byte & 0xf {
                    // In a list, a boolean is a byte.
                    TRUE | FALSE => input.skip(1, most)?,
                    kind => skip_value(input, kind, most, depth)?,
                }
            }
            Ok(())
        }
        STRUCT => {
            let mut id = 0;
            while let Some(kind) = next_field(input, &mut id)? {
                skip_value(input, kind, most, depth)?;
            }
            Ok(())
        }
        // Maps, which no head has.
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<(Head, u64)> {
        let mut input = Counted { read: 0, input: bytes };
        let head = head(&mut input, to_u64(bytes.len())).ok()?;
        Some((head, input.read))
    }

    #[test]
    fn a_head_is_read_up_to_its_end() {
        // type = 2, sizes 300 and 200, crc = 1, dictionary head { 5 values, encoding 2, sorted },
        // and an unknown field 9 with a list of two texts.
        let bytes = [
            0x15, 0x04, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x15, 0x02, 0x3c, 0x15, 0x0a, 0x15,
            0x04, 0x11, 0x00, 0x29, 0x28, 0x01, 0x61, 0x02, 0x62, 0x63, 0x00, 0xff,
        ];
        let head = Head { uncompressed: 300, compressed: 200, dictionary_values: 5 };
        assert_eq!(read(&bytes), Some((head, 25)));
        for end in 0..25 {
            assert_eq!(read(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_damaged_head_is_none() {
        // A text that is longer than the file, a number without an end, structs without an end.
        assert_eq!(read(&[0x18, 0xff, 0xff, 0xff, 0x7f, 0x00]), None);
        assert_eq!(read(&[0x25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[0x1c; 100]), None);
    }
}
