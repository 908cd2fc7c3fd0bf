//! What a script starts on this machine for a test: a Slurm, or several hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The exit code of a script for a machine that cannot have what it starts.
const CANNOT: i32 = 3;

/// What `tests/NAME/up.sh` has started in a temporary folder. It is stopped when it is dropped. One
/// exists at a time.
#[derive(Debug)]
pub struct Scripted {
    script: PathBuf,
    folder: tempfile::TempDir,
    /// The standard output of the start.
    pub said: String,
    _only: MutexGuard<'static, ()>,
}

impl Scripted {
    /// Starts it. `None`, with a message, if this machine cannot have it.
    pub fn start(name: &str) -> Option<Self> {
        static ONLY: Mutex<()> = Mutex::new(());
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("up.sh");
        // munged wants a folder whose parents only root can write; /tmp is one with its sticky bit.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let Output { status, stdout, stderr } = call(&script, "start", folder.path());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match status.code() {
            Some(0) => Some(Self { script, folder, said: text(&stdout), _only: only }),
            Some(CANNOT) => {
                eprintln!("skipped: {}", text(&stderr));
                None
            }
            _ => panic!("{name} does not start: {}", text(&stderr)),
        }
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        call(&self.script, "stop", self.folder.path());
    }
}

fn call(script: &Path, action: &str, folder: &Path) -> Output {
    Command::new(script).arg(action).arg(folder).output().expect("bash runs")
}
