//! The right to fetch a blob into a cache.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use caviar_blob::{BlobName, new_private};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, gethostname};

/// How often an owner touches its claim.
const TOUCH_EVERY: Duration = Duration::from_secs(2);
/// How long a claim must be unchanged before another worker takes over.
const STALE_AFTER: Duration = Duration::from_secs(20);

/// The right to fetch a blob, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    folder: PathBuf,
    name: BlobName,
    number: u64,
    file: File,
    touched: Cell<Instant>,
}

impl Claim {
    /// Creates the claim with this number; `None` if there is one.
    fn take(folder: &Path, name: BlobName, number: u64) -> io::Result<Option<Self>> {
        let mut file = match new_private(&path(folder, name, number)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            file => file?,
        };
        // The text is best-effort: without it, others wait until the claim is stale.
        let _full = writeln!(file, "{} {}", host(), std::process::id());
        let (folder, touched) = (folder.to_owned(), Cell::new(Instant::now()));
        Ok(Some(Self { folder, name, number, file, touched }))
    }

    /// The folder of the cache.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that the owner writes.
    pub(super) fn part(&self) -> PathBuf {
        self.folder.join(format!("{}.part.{}", self.name, self.number))
    }

    /// Shows that the owner is alive. Cheap enough to be called for every chunk.
    pub(super) fn touch(&self) {
        if self.touched.get().elapsed() < TOUCH_EVERY {
            return;
        }
        self.touched.set(Instant::now());
        // If this fails, another worker may fetch the blob as well.
        let _lost = self.file.set_modified(SystemTime::now());
        let part = File::options().append(true).open(self.part());
        let _gone = part.and_then(|part| part.set_modified(SystemTime::now()));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Earlier claims first: the highest number says who is the owner.
        for number in 1..=self.number {
            let _gone = fs::remove_file(path(&self.folder, self.name, number));
        }
    }
}

fn path(folder: &Path, name: BlobName, number: u64) -> PathBuf {
    folder.join(format!("{name}.claim.{number}"))
}

/// Watches the claims on a blob until this worker can have one.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    name: BlobName,
    /// The latest claim as it was last seen to change, and when that was.
    seen: Option<(Latest, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Latest {
    number: u64,
    touched: SystemTime,
}

impl Watch {
    pub(super) fn new(folder: &Path, name: BlobName) -> Self {
        Self { folder: folder.to_owned(), name, seen: None }
    }

    /// A claim, if nobody else has one. Does not wait.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn claim(&mut self) -> io::Result<Option<Claim>> {
        let (latest, last_number) = self.latest()?;
        let next = last_number.saturating_add(1);
        let Some(latest) = latest else {
            return Claim::take(&self.folder, self.name, next);
        };
        let since = match self.seen {
            Some((seen, since)) if seen == latest => since,
            Some(_) | None => {
                let now = Instant::now();
                self.seen = Some((latest, now));
                now
            }
        };
        if since.elapsed() < STALE_AFTER && !self.has_died(latest.number) {
            return Ok(None);
        }
        let claim = Claim::take(&self.folder, self.name, next)?;
        if claim.is_some() {
            tracing::warn!("the process that fetched the data is gone; this one takes over");
        }
        Ok(claim)
    }

    /// The latest claim, and the highest number of any claim or part. A part that was left behind
    /// has a number that no owner can use.
    fn latest(&self) -> io::Result<(Option<Latest>, u64)> {
        let prefix = |kind: &str| format!("{}.{kind}.", self.name);
        let (claim, part) = (prefix("claim"), prefix("part"));
        let (mut latest, mut last_number): (Option<Latest>, u64) = (None, 0);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = |prefix: &str| name.to_str()?.strip_prefix(prefix)?.parse().ok();
            last_number = last_number.max(number(&part).unwrap_or(0));
            // A claim that vanishes has ended.
            let (Some(number), Ok(data)) = (number(&claim), entry.metadata()) else { continue };
            last_number = last_number.max(number);
            if latest.is_none_or(|latest| latest.number < number) {
                latest = Some(Latest { number, touched: data.modified()? });
            }
        }
        Ok((latest, last_number))
    }

    /// Whether the owner was a process of this host and is gone.
    fn has_died(&self, number: u64) -> bool {
        let text = fs::read_to_string(path(&self.folder, self.name, number)).unwrap_or_default();
        let owner = text.trim_end().rsplit_once(' ');
        let Some((owner_host, pid)) = owner else { return false };
        let pid = pid.parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw);
        owner_host == host() && pid.is_some_and(|pid| kill(pid, None) == Err(Errno::ESRCH))
    }
}

fn host() -> String {
    gethostname().map(|host| host.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> BlobName {
        BlobName::from_hash([7; 32])
    }

    #[test]
    fn one_of_many_gets_the_claim_and_the_next_one_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut watches: Vec<Watch> = (0..8).map(|_| Watch::new(folder.path(), name())).collect();
        let mut claims: Vec<Claim> =
            watches.iter_mut().filter_map(|watch| watch.claim().unwrap()).collect();
        assert_eq!(claims.len(), 1);
        claims.clear();
        assert!(watches[5].claim().unwrap().is_some());
    }

    #[test]
    fn the_claim_of_a_dead_process_is_taken_over_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        fs::write(path(folder.path(), name(), 4), format!("{} {pid}\n", host())).unwrap();
        let mut watches: Vec<Watch> = (0..8).map(|_| Watch::new(folder.path(), name())).collect();
        let mut claims: Vec<Claim> =
            watches.iter_mut().filter_map(|watch| watch.claim().unwrap()).collect();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].number, 5);
        claims.clear();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no claim is left");
    }

    #[test]
    fn the_claim_of_another_host_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["elsewhere 1\n", "", "garbage"] {
            fs::write(path(folder.path(), name(), 1), text).unwrap();
            assert!(Watch::new(folder.path(), name()).claim().unwrap().is_none(), "{text:?}");
        }
        let mut watch = Watch::new(folder.path(), name());
        assert!(watch.claim().unwrap().is_none());
        // As if it had been unchanged for a long time.
        if let Some((_, since)) = &mut watch.seen {
            *since = since.checked_sub(STALE_AFTER).unwrap();
        }
        assert_eq!(watch.claim().unwrap().unwrap().number, 2);
    }
}
