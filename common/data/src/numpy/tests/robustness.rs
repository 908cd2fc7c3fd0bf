//! Files that are damaged or made to do harm.

use std::io::Cursor;

use proptest::prelude::*;
use zip::CompressionMethod;

use super::super::archive::Archive;
use super::archives::archive;
use super::*;

/// Reads an archive as a user would: lists it, and reads the first array.
fn explore(bytes: &[u8]) {
    let open = || Archive::new(Cursor::new(bytes), "a.npz");
    let Ok(entries) = open().and_then(Archive::list) else { return };
    if let Some(entry) = entries.first() {
        let _ = open().and_then(|archive| archive.read(&entry.name));
    }
}

fn samples() -> Vec<Vec<u8>> {
    let fortran = file(&header("<f4", "True", "(2, 2)"), &[0; 16]);
    let fields = "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }";
    vec![
        npy("|b1", "(3,)", &[0, 1, 1]),
        npy(">U2", "(2,)", &[0; 16]),
        npy("|S3", "(2, 1)", b"abcdef"),
        fortran,
        file(fields, &[0; 4]),
    ]
}

/// Up to 4 changes of a byte, at a share of the length, and a new length.
fn damaged(mut bytes: Vec<u8>, changes: &[(f64, u8)], kept: f64) -> Vec<u8> {
    let at = |share: f64, length: usize| {
        caviar_common::numbers::floor_to_usize(share * caviar_common::numbers::real(length))
    };
    for (share, byte) in changes {
        let place = at(*share, bytes.len());
        bytes[place] = *byte;
    }
    let length = if kept < 0.5 { bytes.len() } else { at(kept, bytes.len()) };
    bytes.truncate(length);
    bytes
}

/// What the text of a header is made of.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    ",",
    "'",
    "\"",
    "\\",
    " ",
    "\n",
    "\u{e9}",
    "0",
    "8L",
    "(0,)",
    "True",
    "False",
    "'<f8'",
    "'|S3'",
    "'descr':",
    "'shape':",
    "'fortran_order':",
];

fn changes() -> impl Strategy<Value = Vec<(f64, u8)>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"0123456789<>|=OUSVfiu'\"()[]{}, \\".to_vec())
    ];
    prop::collection::vec((0.0..1.0f64, byte), 0..5)
}

proptest! {
    #[test]
    fn headers_of_arbitrary_tokens_do_not_panic(
        start in prop::sample::select(vec!["", "{'descr':", "{'shape':", "{'fortran_order':"]),
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..12),
    ) {
        let text = format!("{start}{}", tokens.concat());
        let _ = parse(&file(&text, &[]));
        let _ = parse(&file(&text, &[0; 8]));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse(&bytes);
        explore(&bytes);
    }

    #[test]
    fn damaged_arrays_do_not_panic(
        sample in prop::sample::select(samples()),
        changes in changes(),
        kept in 0.0..1.0f64,
    ) {
        let bytes = damaged(sample, &changes, kept);
        if let Ok(array) = parse(&bytes) {
            let count: usize = array.shape.iter().product();
            let found = match array.items {
                Items::U8(items) => items.len(),
                Items::Bool(items) => items.len(),
                Items::Int(items) => items.len(),
                Items::UInt(items) => items.len(),
                Items::F32(items) => items.len(),
                Items::F64(items) => items.len(),
                Items::Text(items) => items.len(),
            };
            prop_assert_eq!(count, found);
        }
    }

    #[test]
    fn damaged_archives_do_not_panic(
        sample in prop::sample::select(samples()),
        changes in changes(),
        kept in 0.0..1.0f64,
        is_compressed: bool,
    ) {
        let method =
            if is_compressed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let entries: [(&str, &[u8]); 2] = [("x.npy", &sample), ("y.npy", &sample)];
        explore(&damaged(archive(&entries, method), &changes, kept));
    }
}
