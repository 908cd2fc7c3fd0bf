//! Stores that can only be read: their file or their directory is not writable.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use caviar_coordinator::driver::{self, Driver};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Rows, Store, StoreError};
use caviar_core::input::{Config, Input, Refusal};

use crate::events::{created, sampled};
use crate::store::old_store;
use crate::support::{append, append_with, loaded};

/// The path of the store, for the tests that run in a process of another user.
const STORE_VARIABLE: &str = "CAVIAR_TEST_READ_ONLY_STORE";
/// The error that those tests expect, where they expect one.
const ERROR_VARIABLE: &str = "CAVIAR_TEST_READ_ONLY_ERROR";

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    // A space and a question mark, which mean something in a URI.
    let path = directory.path().join("is it read?.db");
    (directory, path)
}

/// The names and contents of all files of a directory.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Copies the store and its log, as a killed coordinator leaves them.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    let entries = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|path| path.is_file()) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Makes the files of a directory, and the directory, writable or not.
fn set_writable(directory: &Path, is_writable: bool) {
    let (file_mode, mode) = if is_writable { (0o644, 0o755) } else { (0o444, 0o555) };
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(file_mode)).unwrap();
    }
    fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_user_who_may_not_write_can_read_and_is_told_why_nothing_can_be_written() {
    for with_log in [false, true] {
        let (directory, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        append(&mut store, &[created(1, "digits"), sampled(1, 0)]).unwrap();
        // Closing the store removes its log.
        let store = with_log.then_some(store);
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("copy");
        copy_files(directory.path(), &copy);
        drop(store);
        let before = contents(&copy);
        assert_eq!(before.iter().any(|(path, _)| is_log(path)), with_log);
        fs::set_permissions(copies.path(), Permissions::from_mode(0o755)).unwrap();
        set_writable(&copy, false);
        let path = copy.join(path.file_name().unwrap());
        let failure = as_other_user("a_read_only_store_is_read_and_not_written", &path, "");
        set_writable(&copy, true);
        assert_eq!(failure, "", "with a log: {with_log}");
        assert!(contents(&copy) == before, "with a log: {with_log}: a byte changed");
    }
}

fn is_log(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-wal")
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn a_read_only_store_is_read_and_not_written() {
    let path = PathBuf::from(std::env::var_os(STORE_VARIABLE).unwrap());
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    let expected = format!("{} cannot be written (", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let mut store = SqliteStore::open_for_reading(&path).unwrap();
    assert_eq!(store.read_only_path(), Some(path.as_path()));
    let events = loaded(&mut store);
    assert_eq!(events, [created(1, "digits"), sampled(1, 0)]);
    let error = append_with(&mut store, &events, Rows::default()).unwrap_err();
    assert!(error.to_string().contains("was opened for reading only; hint: "), "{error}");
    let Driver { handle, .. } = driver::start(Config::default(), Box::new(store)).unwrap();
    let sweep = handle.read(|core| core.find("digits")).await.unwrap().unwrap();
    let refusal = handle.apply(Input::PauseSweep(sweep)).await.unwrap().unwrap_err();
    assert!(matches!(refusal, Refusal::ReadOnlyStore(_)), "{refusal}");
    assert!(refusal.to_string().contains("is it read?.db cannot be written; hint: "), "{refusal}");
    assert!(handle.open_session(8).await.unwrap().is_none(), "no worker can connect");
    assert!(handle.read(|core| core.find("digits")).await.unwrap().is_some(), "it continues");
}

#[test]
fn a_store_in_use_or_of_another_program_is_not_read() {
    let (directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let prose = directory.path().join("notes.txt");
    fs::write(&prose, "dear diary, ".repeat(200)).unwrap();
    let old = directory.path().join("old.db");
    old_store(&old, 2, &[created(1, "digits")]);
    set_writable(directory.path(), false);
    let cannot_upgrade = "has format 2 and cannot be written, so it cannot be upgraded";
    let cases =
        [("is in use by", &path), ("is not a Caviar store", &prose), (cannot_upgrade, &old)];
    let failures =
        cases.map(|(text, path)| as_other_user("a_store_that_cannot_be_read_says_why", path, text));
    set_writable(directory.path(), true);
    assert_eq!(failures, ["", "", ""]);
    drop(store);
}

#[test]
#[ignore = "runs in a process of its own"]
fn a_store_that_cannot_be_read_says_why() {
    let path = PathBuf::from(std::env::var_os(STORE_VARIABLE).unwrap());
    let expected = std::env::var(ERROR_VARIABLE).unwrap();
    let error = SqliteStore::open_for_reading(&path).unwrap_err();
    assert!(error.to_string().contains(&expected), "{error}");
}

/// Runs an ignored test of this module on `path` in another process, and returns its output if it
/// failed. If this process is root's, which may write everything, the other one is not.
fn as_other_user(test: &str, path: &Path, error: &str) -> String {
    // The other user may not reach the build directory, but the link leads past it. A copy of the
    // program could not be started while a process of another test, just forked, still has it open.
    let mut command = Command::new("/proc/self/exe");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // The user and group "nobody".
        command.uid(65_534).gid(65_534).current_dir("/");
    }
    let name = format!("read_only::{test}");
    command.args(["--exact", &name, "--ignored"]).env(STORE_VARIABLE, path);
    command.env(ERROR_VARIABLE, error);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && text.contains("1 passed") { String::new() } else { text }
}
