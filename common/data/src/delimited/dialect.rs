//! What stands between the cells of a text file, found in its first part.

use std::collections::BTreeMap;
use std::io::{self, Read};

use caviar_common::data::{DataNote, TableSpec};
use caviar_common::numbers::real;
use csv::{ByteRecord, ReaderBuilder, Terminator};

use crate::table::info;

/// Bytes of the file that are looked at.
const SAMPLE_BYTES: u64 = 1 << 16;
/// Records of the sample that are looked at.
const SAMPLE_RECORDS: usize = 200;
/// The delimiters that are detected, in the order in which they win a tie. A comma is often part of
/// a number or a text, so it comes after those that are not.
const DELIMITERS: [u8; 4] = [b'\t', b';', b'|', b','];
/// The share of the records that have as many cells as most before a delimiter is believed.
const FEWEST_EQUAL: f64 = 0.8;
/// The start of a comment line.
const COMMENT: u8 = b'#';

/// How the records of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// The first byte of lines that are no records; `None` if there are no such lines.
    pub(super) comment: Option<u8>,
}

impl Dialect {
    /// Looks at the start of `input`, which is UTF-8.
    pub(super) fn detect(input: impl Read, table: &TableSpec) -> io::Result<Self> {
        let mut sample = Vec::new();
        input.take(SAMPLE_BYTES).read_to_end(&mut sample)?;
        let given = table.delimiter.and_then(|delimiter| u8::try_from(delimiter).ok());
        let delimiter = given.unwrap_or_else(|| delimiter_of(&sample));
        let comment = has_comments(&sample, delimiter).then_some(COMMENT);
        Ok(Self { delimiter, comment })
    }

    /// Whether several delimiters in a row are one, as blanks between aligned columns are.
    pub(super) const fn joins_delimiters(self) -> bool {
        self.delimiter == b' '
    }

    /// What the user should know of it. A comma needs no word.
    pub(super) fn notes(self, table: &TableSpec) -> Vec<DataNote> {
        let mut notes = Vec::new();
        if self.delimiter != b',' && table.delimiter.is_none() {
            let name = match self.delimiter {
                b'\t' => "a tab".to_owned(),
                b' ' => "blanks".to_owned(),
                other => format!("{:?}", char::from(other)),
            };
            notes.push(info("delimiter", &[], format!("the cells are separated by {name}")));
        }
        if self.comment.is_some() {
            let text = "lines that begin with # are taken for comments".to_owned();
            notes.push(info("comments", &[], text));
        }
        notes
    }
}

/// The delimiter with which most records have the same number of cells, and more than one.
fn delimiter_of(sample: &[u8]) -> u8 {
    let rated = DELIMITERS.into_iter().map(|delimiter| (regularity(sample, delimiter), delimiter));
    let mut best = (0.0, b',');
    for (share, delimiter) in rated {
        if share > best.0 {
            best = (share, delimiter);
        }
    }
    // Many texts have blanks, so blanks count only if no other delimiter does.
    if best.0 < FEWEST_EQUAL && regularity(sample, b' ') >= FEWEST_EQUAL.max(best.0) {
        return b' ';
    }
    best.1
}

/// The share of the records that have the most frequent number of cells; 0 if that is one.
fn regularity(sample: &[u8], delimiter: u8) -> f64 {
    let widths = widths(sample, delimiter);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (width, _) in &widths {
        *counts.entry(*width).or_default() += 1;
    }
    match counts.into_iter().max_by_key(|(_, count)| *count) {
        Some((width, count)) if width > 1 => real(count) / real(widths.len()),
        Some(_) | None => 0.0,
    }
}

/// The number of cells of each record that is not blank, and whether it begins like a comment.
/// Comments are left out where other records follow them.
fn widths(sample: &[u8], delimiter: u8) -> Vec<(usize, bool)> {
    let all = records(sample, delimiter);
    let is_only_comments = all.iter().all(|(_, is_comment)| *is_comment);
    all.into_iter().filter(|(_, is_comment)| is_only_comments || !is_comment).collect()
}

fn records(sample: &[u8], delimiter: u8) -> Vec<(usize, bool)> {
    // The last line of a long file is cut off.
    let is_cut = u64::try_from(sample.len()).is_ok_and(|bytes| bytes >= SAMPLE_BYTES);
    let end = if is_cut { sample.iter().rposition(|&byte| byte == b'\n') } else { None };
    let whole = sample.get(..end.unwrap_or(sample.len())).unwrap_or_default();
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter);
    let mut reader = builder.terminator(Terminator::Any(b'\n')).from_reader(whole);
    let mut record = ByteRecord::new();
    let mut records = Vec::new();
    while records.len() < SAMPLE_RECORDS && reader.read_byte_record(&mut record).unwrap_or(false) {
        record.trim();
        let is_blank = record.iter().all(<[u8]>::is_empty);
        let cells = if delimiter == b' ' {
            record.iter().filter(|cell| !cell.is_empty()).count()
        } else {
            record.len()
        };
        if !is_blank {
            let is_comment = record.get(0).is_some_and(|cell| cell.first() == Some(&COMMENT));
            records.push((cells, is_comment));
        }
    }
    records
}

/// Whether lines begin like comments and have another number of cells than the records. One line
/// with the same number is the header.
fn has_comments(sample: &[u8], delimiter: u8) -> bool {
    let all = records(sample, delimiter);
    let width = widths(sample, delimiter).first().map(|(width, _)| *width);
    all.iter().any(|(cells, is_comment)| *is_comment && Some(*cells) != width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(text: &str) -> (char, bool) {
        let dialect = Dialect::detect(text.as_bytes(), &TableSpec::default()).unwrap();
        (char::from(dialect.delimiter), dialect.comment.is_some())
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_rows_of_equal_length() {
        assert_eq!(detect("a,b\n1,2\n3,4\n"), (',', false));
        assert_eq!(detect("a;b;c\n1,5;2,5;3\n2,5;3;4\n"), (';', false), "decimal commas");
        assert_eq!(detect("a\tb\n1,000\tx\n2,000\ty\n"), ('\t', false));
        assert_eq!(detect("a|b\n1|x, y\n2|z\n"), ('|', false));
        assert_eq!(detect("8.0   cyl 3\n15.0  cyl 4\n"), (' ', false));
        assert_eq!(detect("a,text\n1,one; two\n2,three\n"), (',', false));
        assert_eq!(detect("name,text\n1,\"a;b\nc;d\"\n2,\"e;f\"\n"), (',', false));
        assert_eq!(detect("only\n1\n2\n"), (',', false));
        assert_eq!(detect(""), (',', false));
    }

    #[test]
    fn comments_are_lines_with_another_number_of_cells() {
        assert_eq!(detect("# made by hand\n# two lines\na,b\n1,2\n"), (',', true));
        assert_eq!(detect("a,b\n1,2\n# a remark, in, the middle\n3,4\n"), (',', true));
        assert_eq!(detect("#id,b\n1,2\n3,4\n"), (',', false), "a header");
        assert_eq!(detect("a,b\n#1,x\n#2,y\n"), (',', false), "cells");
    }
}
