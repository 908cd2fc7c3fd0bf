//! The audit log: one line of JSON for every change and for refused attempts. Who, what, when.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::tokens::{TokenView, now_ms, utc};

/// The file in the trust folder, and the one before it.
const FILE: &str = "audit.jsonl";
const EARLIER: &str = "audit.1.jsonl";
/// Bytes of a file after which the next one begins.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    /// When, in UTC.
    at: String,
    /// The token; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// The name of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The method, such as `SweepService/CancelSweep`.
    pub(crate) call: &'a str,
    /// What it is about, such as the name of a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'a str>,
    /// `ok`, or why it failed.
    result: &'a str,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        token: Option<&'a TokenView>,
        from: Option<SocketAddr>,
        call: &'a str,
        result: &'a str,
    ) -> Self {
        Self {
            at: utc(now_ms()),
            token: token.map(|token| token.id.0.as_str()),
            name: token.map(|token| token.name.as_str()),
            role: token.map(|token| token.role.name()),
            from: from.map(|from| from.to_string()),
            call,
            on: None,
            result,
        }
    }

    pub(crate) fn on(self, subject: Option<&'a str>) -> Self {
        Self { on: subject, ..self }
    }
}

/// Writes the log.
#[derive(Debug)]
pub(crate) struct Audit(Option<Arc<Mutex<LogFile>>>);

#[derive(Debug)]
struct LogFile {
    folder: PathBuf,
    file: File,
    bytes: u64,
}

impl Audit {
    /// Appends to the log in a folder. Without a folder, only the program's log has the lines.
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let open =
            |folder: &Path| LogFile::open(folder.to_owned()).map(|file| Arc::new(Mutex::new(file)));
        folder.map(open).transpose().map(Self)
    }

    /// Writes a line, on a thread that may wait for the disk. A disk that is full does not stop the
    /// coordinator: the program's log says so.
    pub(crate) async fn write(&self, entry: Entry<'_>) {
        let Entry { call, on, result, name, .. } = &entry;
        let (on, name) = (on.unwrap_or_default(), name.unwrap_or("-"));
        tracing::info!(target: "caviar_coordinator::audit", by = name, "{call} {on}: {result}");
        let Some(file) = self.0.clone() else { return };
        let line = line(&entry);
        let append = move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&line?);
        // It fails to join only if the program stops or `append` panics.
        let written = tokio::task::spawn_blocking(append).await.map_err(io::Error::other);
        if let Err(error) = written.flatten() {
            tracing::error!("cannot write the audit log: {error}");
        }
    }
}

impl LogFile {
    fn open(folder: PathBuf) -> io::Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { folder, file, bytes })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes >= MAX_FILE_BYTES {
            fs::rename(self.folder.join(FILE), self.folder.join(EARLIER))?;
            *self = Self::open(self.folder.clone())?;
        }
        self.file.write_all(line)?;
        self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn line(entry: &Entry<'_>) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_continues_in_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(folder.path().to_owned()).unwrap();
        let entry = Entry::new(None, None, "SweepService/CancelSweep", "ok").on(Some("digits"));
        let line = line(&entry).unwrap();
        log.append(&line).unwrap();
        log.bytes = MAX_FILE_BYTES;
        log.append(&line).unwrap();
        for name in [FILE, EARLIER] {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(text.lines().count(), 1, "{name}");
            assert!(text.contains("\"on\":\"digits\",\"result\":\"ok\""), "{text}");
        }
    }
}
