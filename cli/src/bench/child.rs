//! The coordinator that is measured: a process of its own, started from this program.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use caviar_client::Client;
use caviar_common::address::address_file;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::folder::Folder;
use super::route::{Encryption, Route};
use crate::failure::Failure;

/// How long the coordinator may take to listen. It recovers its store before.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// How long it may take to stop in order before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often its state is looked at.
const POLL: Duration = Duration::from_millis(2);
/// Bytes of its log that are kept for an error.
const LOG_TAIL: usize = 2_000;
/// How long the log collects before it is read. A pipe that is read for every line would take
/// processor time from the coordinator.
const LOG_PAUSE: Duration = Duration::from_millis(5);

/// A running coordinator. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    route: Route,
}

impl Child {
    /// Starts a coordinator on a store and waits until it listens. It logs as any coordinator does,
    /// into a pipe that is read.
    pub(crate) async fn start(folder: &Folder, encryption: Encryption) -> anyhow::Result<Self> {
        let store = folder.store();
        // A coordinator that was killed leaves the file behind.
        let _missing = std::fs::remove_file(address_file(store));
        let program = std::env::current_exe().context("finding the program itself")?;
        let mut process = Process::start(
            Command::new(program)
                .args(["coordinator", "--listen", "127.0.0.1:0", "--store"])
                .arg(store)
                .args((encryption == Encryption::Off).then_some("--insecure"))
                // The user's other commands do not look for this coordinator.
                .env("CAVIAR_HOME", folder.home()),
        )?;
        let address = process.listening(store).await?;
        let route = match encryption {
            Encryption::On => Route::trusted(address, store)?,
            Encryption::Off => Route::plain(address)?,
        };
        Ok(Self { process, route })
    }

    /// Connects a client to the coordinator.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.route.dialer()).await?)
    }

    /// How the coordinator is reached.
    pub(crate) const fn route(&self) -> &Route {
        &self.route
    }

    /// When the process was started.
    pub(crate) const fn started(&self) -> Instant {
        self.process.started
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Fails if the process has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }

    /// The error of a coordinator, with the end of its log.
    pub(crate) fn failed(&self, what: &str) -> Failure {
        self.process.failed(what)
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { mut process, route: _ } = self;
        kill(Pid::from_raw(i32::try_from(process.child.id())?), Signal::SIGTERM)?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if let Some(status) = process.child.try_wait()? {
                let is_ended = status.success();
                return if is_ended { Ok(()) } else { Err(process.failed("did not stop").into()) };
            }
            tokio::time::sleep(POLL).await;
        }
        let after = STOP_TIMEOUT.as_secs();
        Err(process.failed(&format!("does not stop within {after} s")).into())
    }
}

/// The process of a coordinator, which may not listen yet. Dropping it kills the process.
#[derive(Debug)]
struct Process {
    child: std::process::Child,
    log: Log,
    started: Instant,
}

impl Process {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let started = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the coordinator")?;
        let log = child.stderr.take().map(Log::read).transpose()?.unwrap_or_default();
        Ok(Self { child, log, started })
    }

    /// Waits for the file with its address.
    async fn listening(&mut self, store: &Path) -> anyhow::Result<SocketAddr> {
        let file = address_file(store);
        loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                let (_, address) = text.trim().split_once("://").unwrap_or_default();
                return address.parse().with_context(|| format!("reading {}", file.display()));
            }
            self.check()?;
            if self.started.elapsed() > START_TIMEOUT {
                let after = START_TIMEOUT.as_secs();
                return Err(self.failed(&format!("does not listen after {after} s")).into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("looking at the coordinator")? {
            Some(status) => Err(self.failed(&format!("ended: {status}")).into()),
            None => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> Failure {
        let log = self.log.tail();
        let lines = log.lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>();
        let hints = lines.into_iter().rev().map(|line| format!("its log ends with: {line}"));
        Failure::with_hints(format!("the coordinator {what}"), hints.collect())
    }

    fn kill(&mut self) {
        // It may have ended on its own.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of the log of a process.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<VecDeque<u8>>>);

impl Log {
    /// Reads a log on a thread until the process closes it.
    fn read(mut pipe: ChildStderr) -> anyhow::Result<Self> {
        let log = Self::default();
        let kept = log.clone();
        let mut buffer = vec![0; 1 << 16];
        let read = move || {
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                kept.keep(buffer.get(..count).unwrap_or_default());
                thread::sleep(LOG_PAUSE);
            }
        };
        thread::Builder::new().name("coordinator-log".to_owned()).spawn(read)?;
        Ok(log)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = bytes.len().saturating_sub(LOG_TAIL);
        kept.extend(bytes.get(recent..).unwrap_or_default());
        let surplus = kept.len().saturating_sub(LOG_TAIL);
        kept.drain(..surplus);
    }

    fn tail(&self) -> String {
        // What was written last may still be in the pipe.
        thread::sleep(LOG_PAUSE * 4);
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept.iter().copied().collect::<Vec<_>>()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_kept() {
        let log = Log::default();
        (0..1_000).for_each(|line| log.keep(format!("line {line}\n").as_bytes()));
        let tail = log.tail();
        assert_eq!(tail.len(), LOG_TAIL);
        assert!(tail.ends_with("line 998\nline 999\n"), "{tail}");
    }
}
