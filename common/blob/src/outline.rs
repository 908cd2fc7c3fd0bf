//! The hashes of the chunks of a blob.
//!
//! Let n be the number of chunks. For n = 1 the only hash is the name itself. Otherwise the hash of
//! a chunk is the chaining value of its subtree in BLAKE3, and the name follows from the list: the
//! left subtree has the largest power of two below n chunks, the right one the rest, and so on
//! (BLAKE3 paper, section 2.4). This holds because a chunk of [`CHUNK_BYTES`] has a power of two of
//! BLAKE3's own chunks of 1 KiB.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use caviar_common::blob::{Blob, BlobName};
use caviar_common::limits::{CHUNK_BYTES, MAX_BLOB_BYTES};
use caviar_common::numbers::{to_u64, to_usize};

use crate::error::BlobError;
use crate::source::Source;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// The hashes of the chunks of a blob, which give its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    blob: Blob,
    hashes: Vec<ChainingValue>,
}

impl Outline {
    /// Reads a blob once, chunk by chunk.
    ///
    /// # Errors
    /// The blob cannot be read, is empty or is too large.
    pub fn of(source: &(impl Source + ?Sized)) -> Result<Self, BlobError> {
        let bytes = source.bytes();
        check_size(bytes)?;
        let mut hashes = Vec::with_capacity(to_usize(chunks(bytes)));
        for (offset, length) in spans(bytes, 0) {
            hashes.push(hash(bytes, offset, &source.chunk(offset, length)?));
        }
        let name = name_of(&hashes);
        Ok(Self { blob: Blob { name, bytes }, hashes })
    }

    /// Reads the hashes of the chunks as a peer sent them, and checks them against the name.
    ///
    /// # Errors
    /// They are not those of the blob, or the size is out of range.
    pub fn from_bytes(blob: Blob, bytes: &[u8]) -> Result<Self, BlobError> {
        check_size(blob.bytes)?;
        let expected = to_usize(chunks(blob.bytes)) * HASH_BYTES;
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        if bytes.len() != expected || !rest.is_empty() {
            return Err(BlobError::OutlineLength { found: bytes.len(), expected });
        }
        let found = name_of(hashes);
        if found != blob.name {
            return Err(BlobError::OutlineHash { found, expected: blob.name });
        }
        Ok(Self { blob, hashes: hashes.to_vec() })
    }

    /// The hashes, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }

    /// The name and the size of the blob.
    pub const fn blob(&self) -> Blob {
        self.blob
    }

    /// The offset and the length of each chunk that begins at `offset` or after it.
    pub fn chunks_from(&self, offset: u64) -> impl Iterator<Item = (u64, usize)> + use<> {
        spans(self.blob.bytes, offset)
    }

    /// Checks the bytes of the chunk at `offset`.
    ///
    /// # Errors
    /// They are not those of the blob, or no chunk begins there.
    pub fn verify(&self, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let expected = self.hashes.get(to_usize(offset / CHUNK_BYTES));
        let length = self.chunks_from(offset).next().filter(|(start, _)| *start == offset);
        let is_whole = length.is_some_and(|(_, length)| length == bytes.len());
        if is_whole && expected == Some(&hash(self.blob.bytes, offset, bytes)) {
            return Ok(());
        }
        Err(BlobError::Damaged { name: self.blob.name, offset })
    }
}

const fn check_size(bytes: u64) -> Result<(), BlobError> {
    if bytes == 0 || bytes > MAX_BLOB_BYTES { Err(BlobError::Size { bytes }) } else { Ok(()) }
}

const fn chunks(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES)
}

/// The chunks of a blob of `bytes` from the first one that begins at `offset` or after it.
fn spans(bytes: u64, offset: u64) -> impl Iterator<Item = (u64, usize)> {
    let first = offset.div_ceil(CHUNK_BYTES);
    (first..chunks(bytes)).map(move |chunk| {
        let start = chunk * CHUNK_BYTES;
        (start, to_usize((bytes - start).min(CHUNK_BYTES)))
    })
}

/// The hash of one chunk. `offset` is a multiple of the length of a chunk, and the chunk is not
/// longer and not empty.
fn hash(blob_bytes: u64, offset: u64, chunk: &[u8]) -> ChainingValue {
    if blob_bytes <= CHUNK_BYTES {
        return *blake3::hash(chunk).as_bytes();
    }
    let is_legal = offset.is_multiple_of(CHUNK_BYTES)
        && !chunk.is_empty()
        && to_u64(chunk.len()) <= CHUNK_BYTES;
    if !is_legal {
        // BLAKE3 would panic. No chunk has this value.
        return [0; HASH_BYTES];
    }
    Hasher::new().set_input_offset(offset).update(chunk).finalize_non_root()
}

fn name_of(hashes: &[ChainingValue]) -> BlobName {
    if let [only] = hashes {
        return BlobName::from_hash(*only);
    }
    let (left, right) = hashes.split_at(left_len(hashes.len()));
    let root = merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash);
    BlobName::from_hash(*root.as_bytes())
}

fn subtree(hashes: &[ChainingValue]) -> ChainingValue {
    match hashes {
        [] => [0; HASH_BYTES],
        [only] => *only,
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The largest power of two below `len`; 0 for less than two.
const fn left_len(len: usize) -> usize {
    if len < 2 { 0 } else { 1 << (len - 1).ilog2() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that differ from chunk to chunk.
    fn blob(len: usize) -> Vec<u8> {
        (0..len).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
    }

    #[test]
    fn the_name_is_the_hash_of_the_bytes_for_any_number_of_chunks() {
        let chunk = to_usize(CHUNK_BYTES);
        let sizes = [1, 1023, 1024, 1025, chunk - 1, chunk, chunk + 1, 2 * chunk];
        for len in sizes.into_iter().chain((3..12).map(|chunks| chunks * chunk - 5)) {
            let blob = blob(len);
            let outline = Outline::of(&blob).unwrap();
            assert_eq!(outline.blob().name.hash(), blake3::hash(&blob).as_bytes(), "{len}");
            let again = Outline::from_bytes(outline.blob(), &outline.to_bytes()).unwrap();
            assert_eq!(again, outline);
        }
        assert!(matches!(Outline::of(&Vec::new()), Err(BlobError::Size { bytes: 0 })));
    }

    #[test]
    fn every_damaged_chunk_and_every_damaged_hash_is_noticed() {
        let blob = blob(5 * to_usize(CHUNK_BYTES) + 77);
        let outline = Outline::of(&blob).unwrap();
        for (offset, length) in outline.chunks_from(0) {
            let mut chunk = blob.chunk(offset, length).unwrap().into_owned();
            outline.verify(offset, &chunk).unwrap();
            assert!(outline.verify(offset + 1, &chunk).is_err());
            chunk[length / 2] ^= 1;
            assert!(outline.verify(offset, &chunk).unwrap_err().is_damage());
            assert!(outline.verify(offset, &chunk[1..]).is_err());
        }
        let hashes = outline.to_bytes();
        for at in [0, 31, 32, hashes.len() - 1] {
            let mut damaged = hashes.clone();
            damaged[at] ^= 0x80;
            assert!(Outline::from_bytes(outline.blob(), &damaged).unwrap_err().is_damage());
        }
        for wrong in [&hashes[32..], &hashes[1..], &[]] {
            let error = Outline::from_bytes(outline.blob(), wrong).unwrap_err();
            assert!(matches!(error, BlobError::OutlineLength { .. }), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_from_an_offset_cover_the_rest(bytes in 1u64..40 << 20, from in 0u64..50 << 20) {
            let spans: Vec<_> = spans(bytes, from).collect();
            let first = from.div_ceil(CHUNK_BYTES) * CHUNK_BYTES;
            let covered: u64 = spans.iter().map(|(_, length)| to_u64(*length)).sum();
            prop_assert_eq!(covered, bytes.saturating_sub(first));
            let is_legal = |(start, length): &(u64, usize)| {
                start.is_multiple_of(CHUNK_BYTES) && *length > 0
            };
            prop_assert!(spans.iter().all(is_legal));
        }
    }
}
