//! The names of blobs: data sets, checkpoints and models that the coordinator keeps as files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::limits::MAX_BLOB_BYTES;
use crate::text::quoted;

/// The name of a blob: the BLAKE3 hash of its bytes, in text as 64 lower-case hexadecimal digits.
///
/// ```
/// use caviar_common::blob::BlobName;
///
/// let name: BlobName = "ab".repeat(32).parse()?;
/// assert_eq!(name.hash(), &[0xab; 32]);
/// assert!("AF".parse::<BlobName>().is_err());
/// # Ok::<(), caviar_common::blob::BadBlobName>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobName([u8; 32]);

/// The text is not the name of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a BLAKE3 hash: 64 lower-case hexadecimal digits")]
pub struct BadBlobName;

impl BlobName {
    /// The name of the bytes with this hash.
    pub const fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a name. `field` is the path that the error names.
    ///
    /// # Errors
    /// The text is not 64 lower-case hexadecimal digits.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        text.parse().map_err(|error: BadBlobName| {
            Problem::with_value(field, quoted(text), error.to_string())
        })
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobName {
    type Err = BadBlobName;

    fn from_str(text: &str) -> Result<Self, BadBlobName> {
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; 32];
        if digits.len() != hash.len() || !rest.is_empty() {
            return Err(BadBlobName);
        }
        for (byte, [high, low]) in hash.iter_mut().zip(digits) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(hash))
    }
}

const fn digit(character: u8) -> Result<u8, BadBlobName> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(BadBlobName),
    }
}

impl TryFrom<String> for BlobName {
    type Error = BadBlobName;

    fn try_from(text: String) -> Result<Self, BadBlobName> {
        text.parse()
    }
}

impl From<BlobName> for String {
    fn from(name: BlobName) -> Self {
        name.to_string()
    }
}

/// A blob by its name and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// The hash of its bytes.
    pub name: BlobName,
    /// Its size, from 1 to [`MAX_BLOB_BYTES`].
    pub bytes: u64,
}

impl Blob {
    /// Checks a name and a size as a peer sent them.
    ///
    /// # Errors
    /// The name is not a hash, or the size is out of range.
    pub fn parse(name: &str, bytes: u64) -> Result<Self, Problem> {
        let name = BlobName::parse("name", name)?;
        if (1..=MAX_BLOB_BYTES).contains(&bytes) {
            return Ok(Self { name, bytes });
        }
        let message = format!("expected a number from 1 to {MAX_BLOB_BYTES}");
        Err(Problem::with_value("bytes", bytes, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_64_lower_case_digits() {
        let text = "0123456789abcdef".repeat(4);
        let name: BlobName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<BlobName>(&format!("\"{text}\"")).unwrap(), name);
        for wrong in ["", "0", &text[1..], &format!("{text}00"), &text.to_uppercase(), "\u{e9}"] {
            assert_eq!(wrong.parse::<BlobName>(), Err(BadBlobName), "{wrong:?}");
        }
        let problem = BlobName::parse("block.name", "x/../y").unwrap_err();
        assert_eq!(
            problem.to_string(),
            "block.name = \"x/../y\": expected a BLAKE3 hash: 64 lower-case hexadecimal digits"
        );
    }

    #[test]
    fn a_blob_has_a_byte_at_least() {
        let name = "00".repeat(32);
        assert_eq!(Blob::parse(&name, 1).unwrap().bytes, 1);
        for wrong in [0, MAX_BLOB_BYTES + 1] {
            assert_eq!(Blob::parse(&name, wrong).unwrap_err().field, "bytes");
        }
    }
}
