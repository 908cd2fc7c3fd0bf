//! Checks how many texts the pages of two encodings state to have, before the reader believes it.
//!
//! `DELTA_LENGTH_BYTE_ARRAY` is a run of lengths and then the texts. `DELTA_BYTE_ARRAY` is a run of
//! how many bytes each text shares with the one before, a run of the lengths of the rest, and the
//! rests. A run states its count, and with differences of no bits it has hardly any bytes, so that
//! nothing but the values of the page limits the memory that it asks for.
//! [Specification](https://github.com/apache/parquet-format/blob/master/Encodings.md).

use std::io;

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescriptor;

use super::thrift::{Compact, damaged};

/// The numbers of the two encodings in the head of a page.
pub(super) const ENCODINGS: [i32; 2] = [6, 7];

/// Most values of a page. Writers make a group of rows, or fewer, into a page.
const MAX_PAGE_VALUES: u32 = 1 << 26;

/// Checks a page that is not compressed any more. Pages of other encodings pass.
pub(super) fn check(page: &Page, column: &ColumnDescriptor) -> Result<(), String> {
    let (Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. }) = page else {
        return Ok(());
    };
    let has_shared = *encoding == Encoding::DELTA_BYTE_ARRAY;
    if !has_shared && *encoding != Encoding::DELTA_LENGTH_BYTE_ARRAY {
        return Ok(());
    }
    if page.num_values() > MAX_PAGE_VALUES {
        return Err(format!("a page has more than {MAX_PAGE_VALUES} texts"));
    }
    let runs = if has_shared { 2 } else { 1 };
    let most = u64::from(page.num_values());
    let is_sound = values(page, column).is_some_and(|mut rest| {
        (0..runs).all(|_| match run(rest, most) {
            Ok(next) => {
                rest = next;
                true
            }
            Err(_) => false,
        })
    });
    match is_sound {
        true => Ok(()),
        false => Err("a page is damaged, or states more lengths than it has texts".to_owned()),
    }
}

/// The bytes of a page after its levels, which mark the rows without a value.
fn values<'a>(page: &'a Page, column: &ColumnDescriptor) -> Option<&'a [u8]> {
    let bytes: &[u8] = page.buffer();
    match page {
        Page::DataPage { num_values, def_level_encoding, rep_level_encoding, .. } => {
            let levels = [
                (column.max_rep_level(), *rep_level_encoding),
                (column.max_def_level(), *def_level_encoding),
            ];
            levels.into_iter().filter(|(most, _)| *most > 0).try_fold(bytes, |rest, level| {
                let (most, encoding) = level;
                if encoding == Encoding::RLE {
                    let (length, rest) = rest.split_first_chunk()?;
                    return rest.get(usize::try_from(u32::from_le_bytes(*length)).ok()?..);
                }
                // The only other encoding that the reader has: the levels side by side.
                let bits = u64::from(i16::BITS - most.leading_zeros());
                let bytes = (u64::from(*num_values) * bits).div_ceil(8);
                rest.get(usize::try_from(bytes).ok()?..)
            })
        }
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = def_levels_byte_len.checked_add(*rep_levels_byte_len)?;
            bytes.get(usize::try_from(levels).ok()?..)
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// Reads a run of at most `most` numbers, and returns the bytes after it.
fn run(bytes: &[u8], most: u64) -> io::Result<&[u8]> {
    let mut input = Compact::new(bytes);
    let (in_block, parts, count) = (input.varint()?, input.varint()?, input.varint()?);
    let _first = input.zigzag()?;
    let in_part = in_block.checked_div(parts).filter(|numbers| *numbers > 0);
    let in_part = in_part.filter(|_| count <= most).ok_or_else(damaged)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = input.zigzag()?;
        let widths = (0..parts).map(|_| input.byte()).collect::<io::Result<Vec<u8>>>()?;
        for width in widths {
            // After the last number, a width has no meaning.
            if left > 0 {
                input.skip_bytes(u64::from(width).saturating_mul(in_part) / 8)?;
            }
            left = left.saturating_sub(in_part);
        }
    }
    let read = usize::try_from(input.position()).map_err(|_| damaged())?;
    bytes.get(read..).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of blocks of 128 numbers in 4 parts.
    fn head(count: u8) -> Vec<u8> {
        vec![0x80, 0x01, 0x04, count, 0x00]
    }

    #[test]
    fn a_run_ends_after_the_parts_that_have_numbers() {
        let rest = &[7, 8, 9][..];
        assert_eq!(run(&[&head(0)[..], rest].concat(), 1).unwrap(), rest);
        assert_eq!(run(&[&head(1)[..], rest].concat(), 1).unwrap(), rest);
        // 34 numbers: the first one, a part of 32 with one bit each, and one in a part of two bits.
        // The other widths have no meaning.
        let block = [&[0x00, 1, 2, 99, 99][..], &[0; 4], &[0; 8]].concat();
        let bytes = [&head(34)[..], &block, rest].concat();
        assert_eq!(run(&bytes, 34).unwrap(), rest);
        assert!(run(&bytes, 33).is_err());
        for end in 0..bytes.len() - rest.len() {
            assert!(run(&bytes[..end], 34).is_err(), "{end}");
        }
    }

    #[test]
    fn a_run_with_parts_of_no_numbers_is_damaged() {
        assert!(run(&[0x80, 0x01, 0x00, 0x05, 0x00], 5).is_err());
        assert!(run(&[0x00, 0x04, 0x05, 0x00, 0x00, 0, 0, 0, 0], 5).is_err());
    }
}
