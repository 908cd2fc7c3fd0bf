//! Checks the sizes that a Parquet file states, before the reader believes them.
//!
//! The reader allocates what the file states: the children of a column, a page after decompression,
//! the values of a dictionary. So one changed byte can ask for more memory than any machine has,
//! and end the process. The footer and the head of each page are structs in Thrift's compact
//! protocol. [Specification](https://github.com/apache/parquet-format).

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::SerializedPageReader;

use super::delta;
use super::thrift::{BINARY, Compact, I32, LIST, Layout, STRUCT, TRUE, damaged};

/// The last bytes of a file: the length of the footer in four bytes, and these.
const MAGIC: &[u8; 4] = b"PAR1";
const TRAILER_BYTES: u64 = 8;
/// Most groups of columns inside each other. The reader calls itself for each.
const MAX_NESTING: usize = 64;
/// Most bytes of a page after decompression. Writers begin a new one after about 1 MiB.
const MAX_PAGE_BYTES: u64 = 1 << 30;

/// The structs, and the fields that are read. A page begins with the number of its values. The
/// encoding is the second number of a page with data, and the fourth in version 2 of such pages.
const FILE: &Layout = &[I32, LIST];
const SCHEMA: i64 = 2;
const COLUMN: &Layout = &[I32, I32, I32, BINARY, I32, I32, I32, I32, I32, STRUCT];
const CHILDREN: i64 = 5;
const HEAD: &Layout = &[I32, I32, I32, I32, STRUCT, STRUCT, STRUCT, STRUCT];
const UNCOMPRESSED_SIZE: i64 = 2;
const COMPRESSED_SIZE: i64 = 3;
const DATA_PAGE: i64 = 5;
const DICTIONARY_PAGE: i64 = 7;
const DATA_PAGE_V2: i64 = 8;
const DATA: &Layout = &[I32, I32, I32, I32, STRUCT];
const DICTIONARY: &Layout = &[I32, I32, TRUE];
const DATA_V2: &Layout = &[I32, I32, I32, I32, I32, I32, TRUE, STRUCT];

/// Checks how the columns are nested. A file without a footer passes: the reader refuses it.
pub(super) fn check_nesting(file: &mut (impl Read + Seek)) -> Result<(), String> {
    let Some(footer) = footer(file).map_err(|error| error.to_string())? else { return Ok(()) };
    nesting(&mut Compact::new(footer.as_slice()))
        .map_err(|_| "its footer is damaged, or its columns are nested too deeply".to_owned())
}

/// The struct at the end of the file. `None` for a file that does not end as one of Parquet.
fn footer(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(end) = length.checked_sub(TRAILER_BYTES) else { return Ok(None) };
    file.seek(SeekFrom::Start(end))?;
    let mut trailer = Vec::new();
    file.by_ref().take(TRAILER_BYTES).read_to_end(&mut trailer)?;
    let size = trailer.strip_suffix(MAGIC).and_then(<[u8]>::first_chunk);
    let Some(size) = size.map(|size| u32::from_le_bytes(*size).into()) else { return Ok(None) };
    let Some(start) = end.checked_sub(size) else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    let mut footer = Vec::new();
    file.by_ref().take(size).read_to_end(&mut footer)?;
    Ok(Some(footer))
}

/// Reads the whole footer. Its columns are a list in which each is followed by its children.
fn nesting(input: &mut Compact<&[u8]>) -> io::Result<()> {
    let mut id = 0;
    while let Some((next, kind)) = input.next_field(id, FILE)? {
        id = next;
        if id != SCHEMA {
            input.skip(kind)?;
            continue;
        }
        let (kind, count) = input.list()?;
        if kind != STRUCT && count > 0 {
            return Err(damaged());
        }
        // Of each group that is not complete, how many children follow.
        let mut open: Vec<u64> = Vec::new();
        for place in 0..count {
            let children = children(input)?;
            if children > count - place {
                return Err(damaged());
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            open.push(children);
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > MAX_NESTING {
                return Err(damaged());
            }
        }
    }
    Ok(())
}

/// How many children a column has.
fn children(input: &mut Compact<&[u8]>) -> io::Result<u64> {
    let (mut id, mut children) = (0, 0);
    while let Some((next, kind)) = input.next_field(id, COLUMN)? {
        id = next;
        if id == CHILDREN {
            children = u64::try_from(input.number()?).map_err(|_| damaged())?;
        } else {
            input.skip(kind)?;
        }
    }
    Ok(children)
}

/// Checks the pages of the columns at these indices, which ascend. Returns the most bytes that the
/// texts of a row can have: each can be a whole page. Only columns whose texts the reader copies
/// count; `is_copied` says which.
pub(super) fn check_pages(
    file: File,
    metadata: &ParquetMetaData,
    columns: &[usize],
    is_copied: &dyn Fn(&usize) -> bool,
) -> Result<u64, String> {
    let file = Arc::new(file);
    let schema = metadata.file_metadata().schema_descr();
    let mut row_bytes = 0_u64;
    for leaf in 0..schema.num_columns() {
        let column = schema.get_column_root_idx(leaf);
        if columns.binary_search(&column).is_err() {
            continue;
        }
        let mut most = 0;
        for group in metadata.row_groups() {
            let chunk = group.columns().get(leaf).ok_or("a group of rows lacks a column")?;
            let checked = check_chunk(&file, chunk)?;
            if checked.has_delta {
                check_delta(&file, chunk, group)?;
            }
            most = most.max(checked.text_bytes);
        }
        if is_copied(&column) {
            row_bytes = row_bytes.saturating_add(most);
        }
    }
    Ok(row_bytes)
}

/// Decompresses the pages of a column in one group of rows, to check what is in them.
fn check_delta(
    file: &Arc<File>,
    chunk: &ColumnChunkMetaData,
    group: &RowGroupMetaData,
) -> Result<(), String> {
    let rows = usize::try_from(group.num_rows()).map_err(|error| error.to_string())?;
    let pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, None);
    for page in pages.map_err(|error| error.to_string())? {
        delta::check(&page.map_err(|error| error.to_string())?, chunk.column_descr())?;
    }
    Ok(())
}

/// What was seen of a column in one group of rows.
#[derive(Clone, Copy, Debug, Default)]
struct Checked {
    /// The bytes of the largest page of texts.
    text_bytes: u64,
    has_delta: bool,
}

/// Checks the heads of the pages of a column in one group of rows.
fn check_chunk(file: &File, chunk: &ColumnChunkMetaData) -> Result<Checked, String> {
    let mut file = file;
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let (mut at, size) = chunk.byte_range();
    let end = at.checked_add(size).filter(|end| *end <= length);
    let end = end.ok_or("a column is longer than the file")?;
    let mut checked = Checked::default();
    while at < end {
        file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        // Most heads have fewer bytes than that.
        let mut input = Compact::new(BufReader::with_capacity(128, file.take(end - at)));
        let head = head(&mut input).map_err(|_| "the head of a page is damaged")?;
        at = at.saturating_add(input.position());
        if head.compressed > end - at {
            return Err("a page is longer than its column".to_owned());
        }
        let bytes = head.check(chunk)?;
        if chunk.column_type() == Type::BYTE_ARRAY {
            checked.text_bytes = checked.text_bytes.max(bytes);
        }
        checked.has_delta |= head.has_delta;
        at = at.saturating_add(head.compressed);
    }
    Ok(checked)
}

/// What the head of a page states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    /// The bytes after decompression.
    uncompressed: u64,
    /// The bytes in the file.
    compressed: u64,
    /// The values of a dictionary; 0 for other pages.
    dictionary_values: u64,
    /// True for one of the encodings that [`delta`] is about.
    has_delta: bool,
}

impl Head {
    /// Returns the bytes of the page after decompression.
    fn check(&self, chunk: &ColumnChunkMetaData) -> Result<u64, String> {
        // What is stated is not used where nothing is compressed.
        let is_plain = chunk.compression() == Compression::UNCOMPRESSED;
        let bytes = if is_plain { self.compressed } else { self.uncompressed };
        let most = self.compressed.saturating_mul(most_expansion(chunk.compression()));
        if bytes > most {
            return Err("a page states more bytes than its compression can have saved".to_owned());
        }
        if bytes > MAX_PAGE_BYTES {
            return Err(format!("a page has more than {MAX_PAGE_BYTES} bytes"));
        }
        if self.dictionary_values.saturating_mul(least_width(chunk)) > bytes {
            return Err("a dictionary states more values than it has bytes for".to_owned());
        }
        Ok(bytes)
    }
}

/// How many times as many bytes a page can have after decompression, at most. The second version of
/// pages has levels that are never compressed, which only makes it less.
const fn most_expansion(compression: Compression) -> u64 {
    match compression {
        Compression::UNCOMPRESSED => 1,
        // Copies of up to 64 bytes take two bytes or more.
        Compression::SNAPPY => 64,
        // A byte lengthens a match by at most 255 bytes.
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        // Deflate has at most 258 bytes for two bits.
        Compression::GZIP(_) => 1100,
        // A block of up to 128 KiB of the same byte takes four bytes.
        Compression::ZSTD(_) => 1 << 15,
        // The reader has neither.
        Compression::BROTLI(_) | Compression::LZO => 1,
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

/// Reads the head of a page.
fn head<R: Read>(input: &mut Compact<R>) -> io::Result<Head> {
    let (mut head, mut id) = (Head::default(), 0);
    let (mut uncompressed, mut compressed) = (None, None);
    while let Some((next, kind)) = input.next_field(id, HEAD)? {
        id = next;
        match id {
            UNCOMPRESSED_SIZE => uncompressed = u64::try_from(input.number()?).ok(),
            COMPRESSED_SIZE => compressed = u64::try_from(input.number()?).ok(),
            DATA_PAGE => {
                let [_, encoding, ..] = numbers(input, DATA)?;
                head.has_delta |= delta::ENCODINGS.contains(&encoding);
            }
            DATA_PAGE_V2 => {
                let [_, _, _, encoding] = numbers(input, DATA_V2)?;
                head.has_delta |= delta::ENCODINGS.contains(&encoding);
            }
            DICTIONARY_PAGE => {
                let [values, ..] = numbers(input, DICTIONARY)?;
                head.dictionary_values = u64::try_from(values).map_err(|_| damaged())?;
            }
            _ => input.skip(kind)?,
        }
    }
    let (uncompressed, compressed) = uncompressed.zip(compressed).ok_or_else(damaged)?;
    Ok(Head { uncompressed, compressed, ..head })
}

/// Reads a struct, and returns its first four fields if they are numbers; 0 for a field that is
/// not there.
fn numbers<R: Read>(input: &mut Compact<R>, layout: &Layout) -> io::Result<[i32; 4]> {
    let (mut id, mut numbers) = (0, [0; 4]);
    while let Some((next, kind)) = input.next_field(id, layout)? {
        id = next;
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        match place.and_then(|place| numbers.get_mut(place)).filter(|_| kind == I32) {
            Some(number) => *number = input.number()?,
            None => input.skip(kind)?,
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<(Head, u64)> {
        let mut input = Compact::new(bytes);
        let head = head(&mut input).ok()?;
        Some((head, input.position()))
    }

    #[test]
    fn a_head_is_read_up_to_its_end() {
        // type = 2, sizes 300 and 200, crc = 1, dictionary head { 5 values, encoding 2, sorted },
        // and an unknown field 9 with a list of two texts.
        let bytes = [
            0x15, 0x04, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x15, 0x02, 0x3c, 0x15, 0x0a, 0x15,
            0x04, 0x11, 0x00, 0x29, 0x28, 0x01, 0x61, 0x02, 0x62, 0x63, 0x00, 0xff,
        ];
        let head =
            Head { uncompressed: 300, compressed: 200, dictionary_values: 5, has_delta: false };
        assert_eq!(read(&bytes), Some((head, 25)));
        for end in 0..25 {
            assert_eq!(read(&bytes[..end]), None, "{end}");
        }
        // Any byte whose lower half is 0 ends a struct.
        let mut ended = bytes;
        ended[24] = 0x50;
        assert_eq!(read(&ended), Some((head, 25)));
    }

    #[test]
    fn a_damaged_head_is_none() {
        let sizes = [0x15, 0x04, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03];
        assert!(read(&[&sizes[..], &[0x00]].concat()).is_some());
        // A text that is longer than the file, a number without an end, structs without an end.
        for end in [&[0x58, 0xff, 0xff, 0x7f, 0x00][..], &[0x55, 0xff, 0xff], &[0x5c; 100]] {
            assert_eq!(read(&[&sizes[..], end].concat()), None);
        }
        // Without sizes, with a size of another type, with a negative one, and with one of 33 bits.
        for bytes in [
            &[0x00][..],
            &[0x15, 0x04, 0x18, 0x01, 0x61, 0x15, 0x90, 0x03, 0x00],
            &[0x15, 0x04, 0x15, 0xd7, 0x04, 0x15, 0x90, 0x03, 0x00],
            &[0x15, 0x04, 0x15, 0xd8, 0x04, 0x15, 0x80, 0x80, 0x80, 0x80, 0x20, 0x00],
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn columns_are_nested_as_deep_as_they_can_be_read() {
        // The version, and a list of columns: each has the name "a", and children.
        let is_read = |children: &[u8]| {
            let count = u8::try_from(children.len()).unwrap();
            let mut bytes = vec![0x15, 0x02, 0x19, 0xfc, count];
            for count in children {
                bytes.extend([0x48, 0x01, 0x61, 0x15, 2 * count, 0x00]);
            }
            bytes.push(0x00);
            nesting(&mut Compact::new(bytes.as_slice())).is_ok()
        };
        assert!(is_read(&[2, 0, 1, 0]));
        assert!(!is_read(&[2, 0, 5, 0]), "more children than columns");
        let deep = |groups: usize| [vec![1; groups], vec![0]].concat();
        assert!(is_read(&deep(MAX_NESTING)) && !is_read(&deep(MAX_NESTING + 1)));
    }
}
