//! Checksums of rows: 8 bytes of BLAKE3 over the content of a row.
//!
//! A checksum covers the table's name and every value with its type and length, so no two rows that
//! differ have the same input. [`Cell`] is a value as SQLite holds it; the same cells are written,
//! read and checked.

use rusqlite::types::{ToSqlOutput, ValueRef};

/// A value of a row, as SQLite holds it.
pub(super) type Cell<'a> = ValueRef<'a>;

/// The cells as parameters of a statement.
pub(super) fn bind<'a>(
    cells: &'a [Cell<'a>],
) -> rusqlite::ParamsFromIter<impl Iterator<Item = ToSqlOutput<'a>>> {
    rusqlite::params_from_iter(cells.iter().map(|cell| ToSqlOutput::Borrowed(*cell)))
}

/// The checksum of a row of `table` with these values, in the order of the columns.
pub(super) fn checksum<'a>(table: &str, cells: impl IntoIterator<Item = Cell<'a>>) -> i64 {
    let mut input = Vec::with_capacity(256);
    push(&mut input, 0, table.as_bytes());
    for cell in cells {
        match cell {
            ValueRef::Null => input.push(1),
            ValueRef::Integer(number) => push_number(&mut input, 2, number),
            ValueRef::Real(number) => {
                push_number(&mut input, 3, number.to_bits().cast_signed());
            }
            ValueRef::Text(text) => push(&mut input, 4, text),
            ValueRef::Blob(bytes) => push(&mut input, 5, bytes),
        }
    }
    let hash = blake3::hash(&input);
    hash.as_bytes().first_chunk().map_or(0, |first| i64::from_le_bytes(*first))
}

fn push_number(input: &mut Vec<u8>, kind: u8, number: i64) {
    input.push(kind);
    input.extend_from_slice(&number.to_le_bytes());
}

fn push(input: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    input.push(kind);
    input.extend_from_slice(&caviar_common::numbers::to_u64(bytes.len()).to_le_bytes());
    input.extend_from_slice(bytes);
}

/// A number as SQLite holds it. Numbers above the largest `i64` become negative, and
/// [`i64::cast_unsigned`] reads them back.
pub(super) const fn int(number: u64) -> Cell<'static> {
    ValueRef::Integer(number.cast_signed())
}

/// A count or an epoch, which SQLite holds as a number.
pub(super) fn small(number: u32) -> Cell<'static> {
    ValueRef::Integer(i64::from(number))
}

/// A text as SQLite holds it.
pub(super) const fn text(text: &str) -> Cell<'_> {
    ValueRef::Text(text.as_bytes())
}

/// A number that may be NaN, for which SQLite has no value: it is written as a text.
pub(super) const fn real(number: f64) -> Cell<'static> {
    if number.is_nan() { text("NaN") } else { ValueRef::Real(number) }
}

/// NULL for `None`.
pub(super) fn optional<'a, T>(value: Option<T>, cell: impl FnOnce(T) -> Cell<'a>) -> Cell<'a> {
    value.map_or(ValueRef::Null, cell)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_that_differ_have_different_checksums() {
        let rows: [(&str, Vec<Cell<'_>>); 9] = [
            ("a", vec![]),
            ("b", vec![]),
            ("a", vec![ValueRef::Null]),
            ("a", vec![small(0)]),
            ("a", vec![real(0.0)]),
            ("a", vec![real(-0.0)]),
            ("a", vec![text("ab"), text("")]),
            ("a", vec![text("a"), text("b")]),
            ("a", vec![ValueRef::Blob(b"ab"), text("")]),
        ];
        let count = rows.len();
        let sums: BTreeSet<i64> =
            rows.into_iter().map(|(table, cells)| checksum(table, cells)).collect();
        assert_eq!(sums.len(), count);
    }

    #[test]
    fn a_checksum_does_not_depend_on_the_machine_or_the_release() {
        let row = [small(7), real(0.5), real(f64::NAN), text("ü"), ValueRef::Null];
        assert_eq!(checksum("trials", row), checksum("trials", row));
        assert_eq!(checksum("trials", row), KNOWN);
    }

    /// What the first release with checksums computed.
    const KNOWN: i64 = 6_344_361_784_368_338_366;
}
