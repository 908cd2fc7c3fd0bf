//! The first bytes of files that are not text, so that an error can say what they are.

/// The first bytes of a kind of file.
pub(super) struct Signature {
    bytes: &'static [u8],
    /// Whether a text could start with these bytes. If so, they only count in a file with zero
    /// bytes: a table can have a column named `PAR1`.
    is_text: bool,
    /// What the file is, in words for the user.
    pub(super) what: &'static str,
    /// What the user can do.
    pub(super) remedy: &'static str,
}

pub(super) const SAVE_AS_CSV: &str = "save it as CSV";
const SAVE_AS_UTF8: &str = "save it as UTF-8";
const DECOMPRESS: &str = "decompress it, or compress it with gzip, zstd or zip instead";
const DECOMPRESS_ONCE: &str = "decompress it once and try again";

/// The last three only matter within a compressed file, because the container is known by then.
const SIGNATURES: [Signature; 15] = [
    binary(b"\x93NUMPY", "it is a NumPy array", SAVE_AS_CSV),
    binary(b"ARROW1\0\0", "it is an Arrow or Feather file", SAVE_AS_CSV),
    binary(b"SQLite format 3\0", "it is an SQLite database", SAVE_AS_CSV),
    binary(b"\x89HDF\r\n\x1a\n", "it is an HDF5 file", SAVE_AS_CSV),
    binary(b"%PDF-", "it is a PDF document", SAVE_AS_CSV),
    binary(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an old Excel or Word file", SAVE_AS_CSV),
    binary(b"\xff\xfe\0\0", "it is UTF-32 text", SAVE_AS_UTF8),
    binary(b"\0\0\xfe\xff", "it is UTF-32 text", SAVE_AS_UTF8),
    binary(b"\xfd7zXZ\0", "it is compressed with xz", DECOMPRESS),
    binary(b"BZh91AY&SY", "it is compressed with bzip2", DECOMPRESS),
    binary(b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive", DECOMPRESS),
    Signature { bytes: b"PAR1", is_text: true, what: "it is a Parquet file", remedy: SAVE_AS_CSV },
    binary(b"\x1f\x8b", "it is compressed twice", DECOMPRESS_ONCE),
    binary(b"\x28\xb5\x2f\xfd", "it is compressed twice", DECOMPRESS_ONCE),
    binary(b"PK\x03\x04", "it is compressed twice", DECOMPRESS_ONCE),
];

const fn binary(bytes: &'static [u8], what: &'static str, remedy: &'static str) -> Signature {
    Signature { bytes, is_text: false, what, remedy }
}

impl Signature {
    /// The kind of file that starts with `sample`; `None` if it can be text.
    pub(super) fn find(sample: &[u8]) -> Option<&'static Self> {
        SIGNATURES.iter().find(|signature| {
            sample.starts_with(signature.bytes) && (!signature.is_text || sample.contains(&0))
        })
    }
}
