//! Tests of archives.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::archive::Archive;
use super::super::limits::MAX_ENTRIES;
use super::*;

/// An archive with these entries.
pub(super) fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn list(bytes: &[u8]) -> Result<Vec<Entry>, ArrayError> {
    Archive::new(Cursor::new(bytes), "a.npz")?.list()
}

fn read_one(bytes: &[u8], name: &str) -> Result<Array, ArrayError> {
    Archive::new(Cursor::new(bytes), "a.npz")?.read(name)
}

fn entry(name: &str, shape: &[usize], dtype: &str) -> Entry {
    Entry { name: name.to_owned(), shape: shape.to_vec(), dtype: dtype.to_owned() }
}

#[test]
fn an_archive_lists_and_reads_its_arrays() {
    let images = npy("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]);
    let labels = npy("<U1", "(2,)", &[65, 0, 0, 0, 66, 0, 0, 0]);
    let objects = npy("|O", "(1,)", b"\x80\x04N.");
    let entries: [(&str, &[u8]); 5] = [
        ("images.npy", &images),
        ("notes.txt", b"not an array"),
        ("part/labels.npy", &labels),
        ("objects.npy", &objects),
        (".npy", &labels),
    ];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let bytes = archive(&entries, method);
        assert_eq!(
            list(&bytes).unwrap(),
            [
                entry("images", &[2, 3], "|u1"),
                entry("part/labels", &[2], "<U1"),
                entry("objects", &[1], "|O"),
                entry("", &[2], "<U1"),
            ]
        );
        let array = read_one(&bytes, "images").unwrap();
        assert_eq!(array, Array { shape: vec![2, 3], items: Items::U8(vec![1, 2, 3, 4, 5, 6]) });
        let array = read_one(&bytes, "part/labels").unwrap();
        assert_eq!(array.items, Items::Text(vec!["A".to_owned(), "B".to_owned()]));
        let found = read_one(&bytes, "objects").unwrap_err().to_string();
        assert!(found.starts_with("a.npz, array \"objects\": has items of the type \"|O\""));
        assert_eq!(
            read_one(&bytes, "notes.txt").unwrap_err().to_string(),
            "a.npz: has no array \"notes.txt\": expected one of \"images\", \"part/labels\", \
             \"objects\", \"\""
        );
    }
}

#[test]
fn an_error_lists_at_most_20_names() {
    let array = npy("|u1", "(1,)", &[1]);
    let names: Vec<String> = (0..23).map(|i| format!("{i}.npy")).collect();
    let entries: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), array.as_slice())).collect();
    let bytes = archive(&entries, CompressionMethod::Stored);
    let found = read_one(&bytes, "x").unwrap_err().to_string();
    assert!(found.ends_with("\"19\" and 3 more"), "{found}");
}

#[test]
fn the_number_of_entries_is_limited() {
    let names: Vec<String> = (0..=MAX_ENTRIES).map(|i| format!("{i}.npy")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_eq!(
        list(&archive(&entries, CompressionMethod::Stored)).unwrap_err().to_string(),
        "a.npz: has 1025 entries: expected at most 1024; put all rows into one array"
    );
}

#[test]
fn what_is_not_an_archive_is_refused() {
    for bytes in [&b""[..], b"PK", &npy("|u1", "(1,)", &[1])] {
        let found = list(bytes).unwrap_err().to_string();
        assert!(found.starts_with("a.npz: is not an archive as np.savez writes it"), "{found}");
    }
    let bytes = archive(&[("x.npy", b"text")], CompressionMethod::Stored);
    let found = list(&bytes).unwrap_err().to_string();
    assert!(found.starts_with("a.npz, array \"x\": is not an array of NumPy"), "{found}");
}

#[test]
fn arrays_of_the_same_name_are_refused() {
    let array = npy("|u1", "(1,)", &[1]);
    let mut bytes = archive(&[("x.npy", &array), ("y.npy", &array)], CompressionMethod::Stored);
    replace(&mut bytes, b"y.npy", b"x.npy", usize::MAX);
    assert_eq!(
        list(&bytes).unwrap_err().to_string(),
        "a.npz: has two arrays of the same name: expected a different name for each array"
    );
}

/// 64 MiB of zeros after an array of 3 bytes, which take 64 KiB in the archive.
#[test]
fn an_entry_that_is_longer_than_its_header_says_is_not_decompressed() {
    let mut content = npy("|u1", "(3,)", &[1, 2, 3]);
    let length = content.len();
    content.resize(1 << 26, 0);
    let mut bytes = archive(&[("x.npy", &content)], CompressionMethod::Deflated);
    assert!(bytes.len() < 1 << 17);
    assert_eq!(
        read_one(&bytes, "x").unwrap_err().to_string(),
        format!(
            "a.npz, array \"x\": has 67108864 bytes: expected {length}, as its header says; does \
             it hold a second array?"
        )
    );
    assert_eq!(list(&bytes).unwrap(), [entry("x", &[3], "|u1")]);

    // The archive can also state a wrong length.
    let stated = u32::try_from(length).unwrap().to_le_bytes();
    replace(&mut bytes, &(1_u32 << 26).to_le_bytes(), &stated, 2);
    let found = read_one(&bytes, "x").unwrap_err().to_string();
    assert!(found.starts_with("a.npz, array \"x\": cannot be read after byte "), "{found}");
}

#[test]
fn an_entry_that_is_shorter_than_its_header_says_is_refused() {
    let content = npy("<f8", "(512, 1048576)", &[0; 5]);
    let bytes = archive(&[("x.npy", &content)], CompressionMethod::Deflated);
    let found = read_one(&bytes, "x").unwrap_err();
    let expected = to_u64(content.len()) - 5 + (1 << 32);
    assert!(
        matches!(&found, ArrayError::Truncated { found, expected: wanted, .. }
            if *found == to_u64(content.len()) && *wanted == expected),
        "{found}"
    );
}

#[test]
fn damage_is_found_by_the_checksum() {
    let content = npy("|u1", "(3,)", &[71, 72, 73]);
    let mut bytes = archive(&[("x.npy", &content)], CompressionMethod::Stored);
    replace(&mut bytes, &[71, 72, 73], &[71, 72, 74], 1);
    let found = read_one(&bytes, "x").unwrap_err().to_string();
    assert!(found.to_lowercase().contains("checksum"), "{found}");
}

#[test]
fn a_method_of_compression_that_numpy_does_not_use_is_refused() {
    let content = npy("|u1", "(3,)", &[71, 72, 73]);
    let mut bytes = archive(&[("x.npy", &content)], CompressionMethod::Stored);
    // The method follows the version and the flags, in the directory at the end.
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[directory + 10] = 14;
    let found = read_one(&bytes, "x").unwrap_err().to_string();
    assert!(found.starts_with("a.npz, array \"x\": is compressed by the method "), "{found}");
}

/// Replaces the first `count` places that have `old`.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8], count: usize) {
    let mut replaced = 0;
    for start in 0..=bytes.len() - old.len() {
        if replaced < count && bytes[start..].starts_with(old) {
            bytes[start..start + new.len()].copy_from_slice(new);
            replaced += 1;
        }
    }
    assert!(replaced > 0);
}
