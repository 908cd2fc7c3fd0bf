//! Files with secrets, which are read only if nobody else can read them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest file with a join string, in bytes.
const MAX_FILE_BYTES: u64 = 16_384;
/// The permission bits of a file's group and of all other users.
const OTHERS: u32 = 0o077;

/// Why a file with a secret is not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file that holds the secret.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// Other users could have read it.
    #[error(
        "{path} has mode {mode:04o}: other users can read the secret in it; \
         hint: chmod 600 {path}, and make a new token with caviar tokens rotate if others have \
         access to this machine"
    )]
    Readable {
        /// The file that holds the secret.
        path: PathBuf,
        /// Its permission bits, such as 0o644.
        mode: u32,
    },
    /// Another user made it.
    #[error("{path} belongs to another user (uid {owner}); hint: copy it to a file of your own")]
    Foreign {
        /// The file that holds the secret.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// It is too long to be what was expected.
    #[error("{0} is too long for a join string")]
    TooLong(PathBuf),
}

impl SecretFileError {
    /// True if the file does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Readable { .. } | Self::Foreign { .. } | Self::TooLong(_) => false,
        }
    }
}

/// Reads a file with a secret. Like ssh, it refuses a file that other users can read, or that
/// belongs to another user than this one and root.
///
/// # Errors
/// The file cannot be read, is too long, or others can read or own it.
pub fn read_secret_file(path: &Path) -> Result<String, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check_access(path, &metadata)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(SecretFileError::TooLong(path.to_owned()));
    }
    Ok(text)
}

fn check_access(path: &Path, metadata: &Metadata) -> Result<(), SecretFileError> {
    // A pipe, such as <(command), is not a file that others could read later.
    if !metadata.is_file() {
        return Ok(());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let (owner, user) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if mode & OTHERS != 0 {
        return Err(SecretFileError::Readable { path: path.to_owned(), mode });
    }
    if owner != user && owner != 0 && user != 0 {
        return Err(SecretFileError::Foreign { path: path.to_owned(), owner });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn only_a_file_that_its_owner_alone_can_read_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.join");
        fs::write(&path, "text").unwrap();
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret_file(&path).unwrap(), "text", "{mode:o}");
        }
        for mode in [0o644, 0o640, 0o604, 0o620, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read_secret_file(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("has mode {mode:04o}")), "{error}");
            assert!(error.contains("hint: chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_missing_or_long_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.join");
        let error = read_secret_file(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
        fs::write(&path, "x".repeat(20_000)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_secret_file(&path), Err(SecretFileError::TooLong(_))));
    }
}
