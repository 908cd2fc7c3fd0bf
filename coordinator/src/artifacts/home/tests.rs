//! What every home does, and what the others rely on.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};

use caviar_blob::new_private;
use caviar_common::numbers::{to_u64, to_usize};
use proptest::prelude::*;

use super::*;
use crate::artifacts::folder::Folder;

/// A home, and the folder that it uses.
struct Kept {
    home: Box<dyn Home>,
    folder: tempfile::TempDir,
}

fn homes() -> Vec<(&'static str, Kept)> {
    let folder = tempfile::tempdir().unwrap();
    let home = Box::new(Folder::new(folder.path().join("artifacts")));
    vec![
        ("folder", Kept { home, folder }),
        #[cfg(feature = "object-store")]
        ("bucket", bucket::in_memory()),
    ]
}

impl Kept {
    /// A complete upload.
    fn uploaded(&self, bytes: &[u8]) -> (Outline, PathBuf) {
        let outline = Outline::of(&bytes.to_vec()).unwrap();
        let path = self.home.partial().unwrap().join(format!("{}.1", outline.blob().name));
        let mut file = new_private(&path).unwrap();
        file.write_all(bytes).unwrap();
        (outline, path)
    }

    fn stored(&self, bytes: &[u8]) -> Outline {
        let (outline, path) = self.uploaded(bytes);
        self.home.accept(&outline, &path).unwrap();
        // As an upload does: a home may have left the file.
        let _gone = fs::remove_file(path);
        outline
    }

    fn listed(&self) -> Vec<Blob> {
        let mut blobs = Vec::new();
        for (blob, age) in self.home.list().unwrap() {
            assert!(age < Duration::from_secs(600), "{age:?}");
            blobs.push(blob);
        }
        blobs.sort_by_key(|blob| blob.name);
        blobs
    }

    fn read(&self, name: &BlobName) -> Vec<u8> {
        let source = self.home.open(name).unwrap();
        let length = usize::try_from(source.bytes()).unwrap();
        source.chunk(0, length).unwrap().into_owned()
    }

    fn mapped(&self, name: &BlobName) -> Vec<u8> {
        self.home.data(name).unwrap().get().to_vec()
    }
}

fn bytes(length: usize) -> Vec<u8> {
    let byte = |i: usize| u8::try_from((i * 31 + i / 251) % 256).unwrap();
    (0..length).map(byte).collect()
}

#[test]
fn of_many_that_claim_a_place_at_once_one_has_it_and_all_are_told_which() {
    for round in 0..100 {
        for (name, kept) in homes() {
            let claim = |store: usize| kept.home.claim(&store.to_string()).unwrap();
            let owners: BTreeSet<String> = std::thread::scope(|threads| {
                let claims = [1, 2, 3, 4].map(|store| threads.spawn(move || claim(store)));
                claims.into_iter().map(|claim| claim.join().unwrap()).collect()
            });
            assert_eq!(owners.len(), 1, "{name}, round {round}: {owners:?}");
        }
    }
}

#[test]
fn a_place_is_claimed_once() {
    for (name, kept) in homes() {
        assert_eq!(kept.home.claim("1").unwrap(), "1", "{name}");
        assert_eq!(kept.home.claim("2").unwrap(), "1", "{name}");
        assert_eq!(kept.home.claim("1").unwrap(), "1", "{name}");
        assert_eq!(kept.listed(), [], "{name}");
    }
}

#[test]
fn an_accepted_blob_is_there_with_its_outline_and_size_until_it_is_removed() {
    for (kind, kept) in homes() {
        assert_eq!(kept.listed(), [], "{kind}");
        let (one, two) = (kept.stored(b"one"), kept.stored(&bytes(3_000_000)));
        let mut expected = [one.blob(), two.blob()];
        expected.sort_by_key(|blob| blob.name);
        assert_eq!(kept.listed(), expected, "{kind}");
        let name = two.blob().name;
        assert!(kept.read(&name) == bytes(3_000_000), "{kind}");
        assert!(kept.mapped(&name) == bytes(3_000_000), "{kind}");
        assert_eq!(kept.mapped(&one.blob().name), b"one", "{kind}: not stored last");
        assert_eq!(kept.home.outline(&name).unwrap(), Some(two.to_bytes()), "{kind}");

        // Twice is the same as once.
        kept.stored(b"one");
        for _ in 0..2 {
            kept.home.remove(&name).unwrap();
        }
        assert_eq!(kept.listed(), [one.blob()], "{kind}");
        assert_eq!(kept.home.outline(&name).unwrap(), None, "{kind}");
    }
}

#[test]
fn a_blob_that_is_missing_or_was_removed_is_not_found() {
    for (kind, kept) in homes() {
        let name = kept.stored(b"gone").blob().name;
        kept.home.remove(&name).unwrap();
        assert_eq!(kept.home.open(&name).map(drop).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            kept.home.data(&name).map(drop).unwrap_err().kind(),
            ErrorKind::NotFound,
            "{kind}"
        );
        assert_eq!(kept.home.outline(&name).unwrap(), None, "{kind}");
    }
}

#[test]
fn only_files_of_uploads_are_cleaned() {
    for (kind, kept) in homes() {
        let name = kept.stored(b"whole").blob().name;
        let (_, partial) = kept.uploaded(b"interrupted");
        assert!(partial.starts_with(kept.folder.path()));
        kept.home.clean().unwrap();
        assert!(!partial.exists(), "{kind}");
        assert_eq!(kept.read(&name), b"whole", "{kind}");
    }
}

#[test]
fn a_file_can_be_read_after_the_blob_is_removed_and_leaves_nothing() {
    for (kind, kept) in homes() {
        let (first, second) = (kept.stored(b"first"), kept.stored(b"second"));
        let files = [first, second].map(|blob| {
            let name = blob.blob().name;
            (kept.home.data(&name).unwrap(), kept.home.remove(&name).unwrap())
        });
        for ((data, ()), expected) in files.into_iter().zip(["first", "second"]) {
            assert_eq!(data.get(), expected.as_bytes(), "{kind}");
        }
        assert_eq!(fs::read_dir(kept.home.partial().unwrap()).unwrap().count(), 0, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    /// Any ranges, in any order, of blobs smaller and larger than what is read or sent at once.
    #[test]
    fn every_range_has_the_bytes_of_the_blob(
        length in prop_oneof![1..5_000_usize, 8_388_600..8_388_620_usize, Just(17_012_345)],
        ranges in prop::collection::vec((0.0..1.1f64, 0.0..1.1f64), 1..8),
    ) {
        let expected = bytes(length);
        for (kind, kept) in homes() {
            let source = kept.home.open(&kept.stored(&expected).blob().name).unwrap();
            prop_assert_eq!(to_usize(source.bytes()), length, "{}", kind);
            for (from, part) in &ranges {
                let (from, part) = (share(*from, length), share(*part, length.min(2_000_000)));
                let read = source.chunk(to_u64(from), part);
                match expected.get(from..from + part) {
                    Some(wanted) => prop_assert!(*read.unwrap() == *wanted, "{}", kind),
                    None => prop_assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof),
                }
            }
            for (from, wanted) in (0..).step_by(1 << 20).zip(expected.chunks(1 << 20)) {
                let read = source.chunk(from, wanted.len()).unwrap();
                prop_assert!(*read == *wanted, "{} at {}", kind, from);
            }
        }
    }
}

#[expect(clippy::as_conversions, reason = "a test's sizes are small")]
fn share(part: f64, of: usize) -> usize {
    (part * of as f64) as usize
}

#[cfg(feature = "object-store")]
mod bucket;
