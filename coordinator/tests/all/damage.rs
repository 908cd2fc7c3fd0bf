//! Damaged files: a store is refused, or it shows what it showed before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_coordinator::driver::{self, Driver, SnapshotPolicy};
use caviar_coordinator::store::query::{TrialOrder, TrialQuery};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Store, StoreError};
use caviar_core::Replay;
use caviar_core::input::Config;

use rusqlite::Connection;

use crate::events::created;
use crate::replay::World;
use crate::support::{append, load_all, loaded};

/// The suffixes of the files of a store.
const FILES: [&str; 3] = ["", "-wal", "-lock"];

/// SplitMix64: the same numbers for the same seed everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// A store with several sweeps that workers and external clients have run, and deleted ones.
fn world(seed: u64) -> World {
    let mut random = Random(seed);
    let mut world = World::new();
    (0..3).for_each(|pick| world.act(0, pick));
    world.act(1, 0);
    for step in 0..400 {
        world.act(random.byte() % 28, random.byte());
        if step % 20 == 0 {
            world.write();
        }
        if step == 300 {
            world.take_snapshot();
        }
    }
    world.act(0, 77);
    world.write();
    world
}

fn file(store: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", store.display()).into()
}

/// Copies the files of a store, as a killed coordinator leaves them.
fn copy(from: &Path, directory: &Path) -> PathBuf {
    let to = directory.join("caviar.db");
    for suffix in FILES {
        if file(from, suffix).exists() {
            fs::copy(file(from, suffix), file(&to, suffix)).unwrap();
        }
    }
    to
}

/// Everything that clients can see of a store. With `is_quick` it is opened as a coordinator does:
/// from the snapshot, if that can be used. Otherwise every event is read.
fn shown(path: &Path, is_quick: bool) -> Result<String, StoreError> {
    let mut store = SqliteStore::open(path)?;
    let readers = store.readers().unwrap();
    let restored = if is_quick { store.restore() } else { None };
    let mut replay = match restored {
        Some(restored) => Replay::from_snapshot(Config::default(), store.id(), restored).0,
        None => Replay::new(Config::default(), store.id()),
    };
    let mut events = store.load_rest()?;
    for event in &mut events {
        replay.apply(&event?.1).expect("events whose checksums are right follow each other");
    }
    if let Some(damage) = events.damages().first() {
        return Err(damage.clone().into_error());
    }
    drop(events);
    let mut core = replay.finish(0);
    load_all(&mut core, &store)?;
    let mut text = String::new();
    let mut reader = readers.open()?;
    for (id, sweep) in core.record().sweeps() {
        text += &format!("{:?}\n{:?}\n", core.sweep(*id), sweep.history());
        let known = sweep.sampled();
        for order in [TrialOrder::Number, TrialOrder::Objective] {
            let all = TrialQuery::all(*id, sweep.spec().objective.goal);
            let max_values = Some(usize::MAX);
            let page = reader.trials(&TrialQuery { known, order, max_values, ..all })?;
            text += &format!("{:?}\n", page.trials);
        }
    }
    Ok(text)
}

/// Flips a bit of a file, or cuts its end off.
fn damage(file: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let place = random.below(bytes.len());
    let what = if random.below(10) == 0 {
        bytes.truncate(place);
        format!("{} cut at {place}", file.display())
    } else {
        let bit = random.byte() % 8;
        bytes[place] ^= 1 << bit;
        format!("{} with bit {bit} of byte {place} flipped", file.display())
    };
    fs::write(file, bytes).unwrap();
    what
}

/// Damages copies of a store in many ways. Returns how many were refused.
fn refused(store: &Path, suffixes: &[&str], seeds: std::ops::Range<u64>) -> usize {
    let place = tempfile::tempdir().unwrap();
    let path = copy(store, place.path());
    let expected = shown(&path, true).unwrap();
    assert_eq!(shown(&path, false).unwrap(), expected);
    assert!(expected.len() > 10_000, "there is something to damage");
    let mut refused = 0;
    for seed in seeds {
        let mut random = Random(seed);
        let place = tempfile::tempdir().unwrap();
        let path = copy(store, place.path());
        let suffix = suffixes[random.below(suffixes.len())];
        let what = damage(&file(&path, suffix), &mut random);
        match shown(&path, seed % 2 == 0) {
            Ok(text) => assert!(text == expected, "{seed}: {what}: another figure"),
            Err(
                StoreError::Corrupt { .. }
                | StoreError::LostCommits { .. }
                | StoreError::Foreign(_)
                | StoreError::Newer { .. },
            ) => refused += 1,
            Err(other) => panic!("{seed}: {what}: not a clear error: {other}"),
        }
    }
    refused
}

#[tokio::test]
async fn a_snapshot_that_was_not_wholly_written_is_not_used_and_leaves_nothing() {
    let mut world = world(3);
    let path = world.directory.path().join("caviar.db");
    world.begin_snapshot();
    let mut steps = 0;
    loop {
        let place = tempfile::tempdir().unwrap();
        let killed = copy(&path, place.path());
        let expected = shown(&killed, false).unwrap();
        assert!(shown(&killed, true).unwrap() == expected, "killed after {steps} steps");
        let store = Box::new(SqliteStore::open(&killed).unwrap());
        let policy = SnapshotPolicy { every: 1, at_end: 0 };
        let Driver { handle, mut ended } =
            driver::start_with(Config::default(), store, policy).unwrap();
        handle.stop().await.unwrap();
        ended.wait().await.unwrap();
        assert!(shown(&killed, true).unwrap() == expected, "killed after {steps} steps");
        let twice = "SELECT count(*) FROM (SELECT 1 FROM snapshot_parts GROUP BY sweep, kind, \
                     number HAVING count(*) > 1)";
        let connection = Connection::open(&killed).unwrap();
        let twice: u32 = connection.query_row(twice, [], |row| row.get(0)).unwrap();
        assert_eq!(twice, 0, "killed after {steps} steps");
        if !world.store.save_some().unwrap() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 2, "{steps} steps");
}

#[test]
fn damage_of_a_store_that_was_closed_never_changes_a_figure() {
    let World { store, directory, .. } = world(1);
    drop(store);
    let count = refused(&directory.path().join("caviar.db"), &[""], 0..150);
    assert!((20..150).contains(&count), "{count} were refused");
}

#[test]
fn damage_of_a_store_whose_coordinator_was_killed_never_changes_a_figure() {
    let world = world(2);
    let path = world.directory.path().join("caviar.db");
    let count = refused(&path, &["", "-wal", "-wal"], 1_000..1_150);
    assert!((20..150).contains(&count), "{count} were refused");
}

/// A store with a few sweeps, each created by its own commit.
fn killed(directory: &Path) -> (PathBuf, SqliteStore) {
    let path = directory.join("killed.db");
    let mut store = SqliteStore::open(&path).unwrap();
    for sweep in 1..=5 {
        append(&mut store, &[created(sweep, &format!("s{sweep}"))]).unwrap();
    }
    (path, store)
}

fn sweeps(store: &mut SqliteStore) -> usize {
    loaded(store).len()
}

#[test]
fn a_store_without_its_log_is_refused_unless_it_was_closed_in_order() {
    for with_lock in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = killed(directory.path());
        let place = tempfile::tempdir().unwrap();
        let left = copy(&path, place.path());
        drop(store);
        assert!(!file(&path, "-wal").exists(), "a store that is closed is one file");
        assert!(!file(&path, "-lock").exists(), "a store that is closed is one file");
        assert_eq!(sweeps(&mut SqliteStore::open(&path).unwrap()), 5);

        if !with_lock {
            fs::remove_file(file(&left, "-lock")).unwrap();
        }
        for is_empty in [false, true] {
            fs::remove_file(file(&left, "-wal")).unwrap_or_default();
            if is_empty {
                fs::write(file(&left, "-wal"), "").unwrap();
            }
            let error = SqliteStore::open(&left).unwrap_err().to_string();
            let expected = "has lost commits: it was not closed in order, and ";
            assert!(error.contains(expected), "{error}");
            assert!(error.ends_with("hint: caviar-coordinator check STORE says what can be saved"));
        }
    }
}

/// The places of the commits in a log: the numbers of their last frames, and the bytes of a frame.
fn commits(log: &[u8]) -> (Vec<usize>, usize) {
    let bytes = 24 + usize::try_from(u32::from_be_bytes(log[8..12].try_into().unwrap())).unwrap();
    let frames = log[32..].chunks_exact(bytes).enumerate();
    let is_current = |frame: &[u8]| frame[8..16] == log[16..24];
    let commits = frames.filter(|(_, frame)| is_current(frame) && frame[4..8] != [0; 4]);
    (commits.map(|(number, _)| number).collect(), bytes)
}

#[test]
fn a_log_that_is_damaged_before_its_last_transaction_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _store) = killed(directory.path());
    let log = fs::read(file(&path, "-wal")).unwrap();
    let (commits, bytes) = commits(&log);
    assert_eq!(commits.len(), 5, "one for each sweep");
    let last = commits[4];
    for frame in 0..=last {
        let mut damaged = log.clone();
        damaged[32 + bytes * frame + bytes / 2] ^= 4;
        let place = tempfile::tempdir().unwrap();
        let left = copy(&path, place.path());
        fs::write(file(&left, "-wal"), damaged).unwrap();
        // With the note of the last commit, even the damage of that one is noticed.
        let error = SqliteStore::open(&left).unwrap_err();
        assert!(matches!(error, StoreError::LostCommits { .. }), "frame {frame}: {error}");
        fs::remove_file(file(&left, "-lock")).unwrap();
        match SqliteStore::open(&left) {
            Err(error) => {
                assert!(matches!(error, StoreError::LostCommits { .. }), "frame {frame}: {error}");
                assert!(frame <= commits[3], "a crash may have torn the last transaction");
            }
            Ok(mut store) => {
                assert!(frame > commits[3], "frame {frame} of {last}");
                assert_eq!(sweeps(&mut store), 4);
            }
        }
    }
}

#[test]
fn an_older_copy_next_to_the_note_of_later_commits_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut store) = killed(directory.path());
    let place = tempfile::tempdir().unwrap();
    let left = copy(&path, place.path());
    append(&mut store, &[created(6, "s6")]).unwrap();
    fs::copy(file(&path, "-lock"), file(&left, "-lock")).unwrap();
    let error = SqliteStore::open(&left).unwrap_err().to_string();
    assert!(error.contains("batch 6 was committed, and the last one in it is 5 (if"), "{error}");
    fs::remove_file(file(&left, "-lock")).unwrap();
    assert_eq!(sweeps(&mut SqliteStore::open(&left).unwrap()), 5);
}

#[test]
fn a_store_that_is_deleted_or_replaced_while_it_is_open_acknowledges_nothing_more() {
    let moves: [fn(&Path); 5] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::remove_file(file(path, "-wal")).unwrap(),
        |path| fs::remove_file(file(path, "-lock")).unwrap(),
        |path| fs::rename(path, file(path, ".old")).unwrap(),
        |path| {
            fs::copy(path, file(path, ".new")).unwrap();
            fs::rename(file(path, ".new"), path).unwrap();
        },
    ];
    for (number, change) in moves.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut store) = killed(directory.path());
        change(&path);
        let error = append(&mut store, &[created(6, "s6")]).unwrap_err();
        assert!(matches!(error, StoreError::Gone(_)), "{number}: {error}");
        let expected = "was deleted or replaced while it was in use; nothing was acknowledged";
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_older_release_and_this_one_do_not_open_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = killed(directory.path());
    let older = || {
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
        let locked = connection.execute_batch("BEGIN EXCLUSIVE; PRAGMA user_version = 3; COMMIT");
        (connection, locked)
    };
    let (connection, locked) = older();
    let code = locked.unwrap_err().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::DatabaseBusy), "this release has it");
    drop((connection, store));
    let (_connection, locked) = older();
    locked.unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "the older release has it: {error}");
}
