//! The audit log: one line of JSON for every change and for refused attempts. Who, what, when.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

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

/// Lines that may wait for the disk. A request whose line finds no room waits too.
const QUEUED: usize = 1_024;

/// Writes the log, on a thread that may wait for the disk. Lines are in the order in which they
/// were given to it. Dropping it writes those that wait.
#[derive(Debug)]
pub(crate) struct Audit(Option<Writer>);

#[derive(Debug)]
struct Writer {
    /// `None` while it is dropped.
    lines: Option<mpsc::Sender<Line>>,
    thread: Option<JoinHandle<()>>,
}

/// A line, and who waits until it is written.
type Line = (Vec<u8>, oneshot::Sender<()>);

#[derive(Debug)]
struct LogFile {
    folder: PathBuf,
    file: File,
    bytes: u64,
}

impl Audit {
    /// Appends to the log in a folder. Without a folder, only the program's log has the lines.
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let open = |folder: &Path| Writer::start(LogFile::open(folder.to_owned())?);
        folder.map(open).transpose().map(Self)
    }

    /// Writes a line, and waits until it is written. A disk that is full does not stop the
    /// coordinator: the program's log says so.
    pub(crate) async fn write(&self, entry: Entry<'_>) {
        let Entry { call, on, result, name, .. } = &entry;
        let (on, name) = (on.unwrap_or_default(), name.unwrap_or("-"));
        tracing::info!(target: "caviar_coordinator::audit", by = name, "{call} {on}: {result}");
        let Some(lines) = self.0.as_ref().and_then(|writer| writer.lines.as_ref()) else { return };
        let line = match line(&entry) {
            Ok(line) => line,
            Err(error) => return tracing::error!("cannot write the audit log: {error}"),
        };
        let (written, is_written) = oneshot::channel();
        if lines.send((line, written)).await.is_ok() {
            // It fails only if the thread has panicked.
            let _written = is_written.await;
        }
    }
}

impl Writer {
    fn start(mut file: LogFile) -> io::Result<Self> {
        let (lines, mut waiting) = mpsc::channel::<Line>(QUEUED);
        let write = move || {
            while let Some((line, written)) = waiting.blocking_recv() {
                if let Err(error) = file.append(&line) {
                    tracing::error!("cannot write the audit log: {error}");
                }
                // The request may be gone.
                let _unheard = written.send(());
            }
        };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines = None;
        // It ends when it has written what waits.
        let _ended = self.thread.take().map(JoinHandle::join);
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
