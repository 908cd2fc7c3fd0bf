//! What can be said about a cache before it is used.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use caviar_blob::{new_private, private_folder};

use super::space::{Space, space};

/// A cache that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheReport {
    /// What its files take now, in bytes.
    pub used_bytes: u64,
    /// What is free on its file system, in bytes.
    pub free_bytes: u64,
    /// What its files may take together, in bytes.
    pub limit_bytes: u64,
    /// The file system, if it is known to be on other hosts.
    pub network: Option<NetworkFileSystem>,
}

impl CacheReport {
    /// Makes the folder as a worker does, writes a file there and removes it.
    ///
    /// # Errors
    /// A worker cannot keep files there.
    pub fn of(folder: &Path) -> io::Result<Self> {
        private_folder(folder)?;
        write_and_remove(&folder.join(format!("write-test.{}", std::process::id())))?;
        let Space { used, free, limit } = space(folder)?;
        Ok(Self {
            used_bytes: used,
            free_bytes: free,
            limit_bytes: limit,
            network: network(folder),
        })
    }
}

fn write_and_remove(path: &Path) -> io::Result<()> {
    // A full disk accepts an empty file.
    let written = new_private(path).and_then(|mut file| file.write_all(&[0; 4_096]));
    let removed = std::fs::remove_file(path);
    written.and(removed)
}

/// A file system on other hosts, such as NFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkFileSystem(pub &'static str);

impl fmt::Display for NetworkFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Numbers of network file systems in the `f_type` of statfs(2), and their names.
#[cfg(any(target_os = "linux", test))]
const NETWORK: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00c3_6400, "Ceph"),
    (0xaad7_aaea, "PanFS"),
    (0x0102_1997, "9P"),
    (0x7375_7245, "Coda"),
];

#[cfg(target_os = "linux")]
fn network(folder: &Path) -> Option<NetworkFileSystem> {
    let number = nix::sys::statfs::statfs(folder).ok()?.filesystem_type().0;
    // The type of the number differs between platforms. Its value has 32 bits.
    named(u32::try_from(number & 0xffff_ffff).ok()?)
}

/// Elsewhere it is not known.
#[cfg(not(target_os = "linux"))]
const fn network(_folder: &Path) -> Option<NetworkFileSystem> {
    None
}

#[cfg(any(target_os = "linux", test))]
fn named(number: u32) -> Option<NetworkFileSystem> {
    let found = NETWORK.into_iter().find(|(known, _)| *known == number);
    found.map(|(_, name)| NetworkFileSystem(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("a/cache");
        let report = CacheReport::of(&cache).unwrap();
        assert_eq!(report.used_bytes, 0);
        assert!(report.limit_bytes <= report.free_bytes);
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(CacheReport::of(&file.join("cache")).is_err());
    }

    #[test]
    fn network_file_systems_are_named() {
        assert_eq!(named(0x6969).unwrap().to_string(), "NFS");
        assert_eq!(named(0xef53), None, "ext4");
    }
}
