//! Snapshots: a restart reads them and the events after them, and never needs them.

use std::path::Path;

use caviar_common::ids::SweepId;
use caviar_coordinator::driver::{self, Driver, SnapshotPolicy};
use caviar_coordinator::store::Store;
use caviar_coordinator::store::check::check;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_core::Replay;
use caviar_core::input::{Config, Input};
use rusqlite::Connection;

use crate::support::{loaded, name, spec, summary};

/// A snapshot after every batch that can have one.
const OFTEN: SnapshotPolicy = SnapshotPolicy { every: 1, at_end: 0 };
const NEVER: SnapshotPolicy = SnapshotPolicy { every: u64::MAX, at_end: u64::MAX };

fn open(path: &Path, policy: SnapshotPolicy) -> Driver {
    let store = SqliteStore::open(path).unwrap();
    driver::start_with(Config::default(), Box::new(store), policy).unwrap()
}

async fn end(Driver { handle, mut ended }: Driver) {
    handle.stop().await.unwrap();
    ended.wait().await.unwrap();
}

async fn create(driver: &Driver, sweep: u32) {
    let spec = Box::new(spec(&format!("s{sweep}"), 3, 3));
    let request_id = name(&format!("r{sweep}"));
    let input = Input::CreateSweep { request_id, spec, data: summary() };
    driver.handle.apply(input).await.unwrap().unwrap();
}

/// What the record of the store is: from its snapshot, or from all events. Returns how many events
/// were read too.
fn record(path: &Path, from_snapshot: bool) -> Option<(String, usize)> {
    let mut store = SqliteStore::open(path).unwrap();
    let mut replay = if from_snapshot {
        Replay::from_snapshot(Config::default(), store.id(), store.restore()?).0
    } else {
        Replay::new(Config::default(), store.id())
    };
    let mut count = 0;
    for event in store.load_rest().unwrap() {
        replay.apply(&event.unwrap().1).unwrap();
        count += 1;
    }
    Some((format!("{:#?}", replay.record()), count))
}

#[tokio::test]
async fn a_restart_needs_only_the_events_after_the_last_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    for sweep in 1..=4 {
        create(&driver, sweep).await;
    }
    driver.handle.apply(Input::CancelSweep(SweepId(2))).await.unwrap().unwrap();
    driver.handle.apply(Input::DeleteSweep(SweepId(2))).await.unwrap().unwrap();
    end(driver).await;
    let (all, events) = record(&path, false).unwrap();
    assert_eq!(record(&path, true).unwrap(), (all, 0), "the last one is from the end");
    assert!(events > 4);

    let driver = open(&path, NEVER);
    create(&driver, 5).await;
    driver.handle.apply(Input::CancelSweep(SweepId(1))).await.unwrap().unwrap();
    driver.handle.apply(Input::DeleteSweep(SweepId(1))).await.unwrap().unwrap();
    end(driver).await;
    let (all, events) = record(&path, false).unwrap();
    let (restored, rest) = record(&path, true).unwrap();
    assert_eq!(restored, all);
    assert!((1..events).contains(&rest), "{rest} of {events} events");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_is_not_used_and_is_written_again() {
    for damage in [
        "UPDATE snapshot_parts SET bytes = zeroblob(9) WHERE sweep = 2 AND kind = 4",
        "UPDATE snapshot_parts SET number = 7 WHERE sweep = 2 AND kind = 4",
        "DELETE FROM snapshot_parts WHERE sweep = 1 AND kind = 2",
        "DELETE FROM snapshot_heads WHERE sweep = 1",
        "UPDATE snapshot_heads SET chain = chain + 1",
        "UPDATE snapshot SET last_event = last_event - 1",
        "UPDATE snapshot SET record = zeroblob(3)",
        "DELETE FROM snapshot",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("caviar.db");
        let driver = open(&path, OFTEN);
        create(&driver, 1).await;
        create(&driver, 2).await;
        end(driver).await;
        let (before, _) = record(&path, true).unwrap();
        Connection::open(&path).unwrap().execute(damage, []).unwrap();
        assert_eq!(record(&path, true), None, "{damage}");
        let report = check(&path).unwrap();
        let problems = usize::from(damage != "DELETE FROM snapshot");
        assert_eq!(report.problems.len(), problems, "{damage}: {report}");
        assert!(report.sweeps.iter().all(|sweep| sweep.damage.is_none()), "{report}");

        let driver = open(&path, OFTEN);
        let known = driver.handle.read(|core| format!("{:#?}", core.record())).await.unwrap();
        assert_eq!(known, before, "{damage}: all events are read instead");
        create(&driver, 3).await;
        end(driver).await;
        assert_eq!(record(&path, true).unwrap(), (record(&path, false).unwrap().0, 0), "{damage}");
    }
}

#[tokio::test]
async fn the_parts_of_a_deleted_sweep_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    create(&driver, 1).await;
    create(&driver, 2).await;
    end(driver).await;
    let driver = open(&path, OFTEN);
    driver.handle.apply(Input::CancelSweep(SweepId(1))).await.unwrap().unwrap();
    driver.handle.apply(Input::DeleteSweep(SweepId(1))).await.unwrap().unwrap();
    end(driver).await;
    // The rows of deleted sweeps are removed while the coordinator has nothing else to do.
    let mut store = SqliteStore::open(&path).unwrap();
    while store.tidy().unwrap() {}
    drop(store);
    let connection = Connection::open(&path).unwrap();
    for table in ["snapshot_heads", "snapshot_parts"] {
        let sql = format!("SELECT group_concat(DISTINCT sweep) FROM {table}");
        let sweeps: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(sweeps, "2", "{table}");
    }
    drop(connection);
    assert!(record(&path, true).is_some());
}

#[tokio::test]
async fn a_quarantined_sweep_keeps_the_last_sound_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    create(&driver, 1).await;
    end(driver).await;
    let driver = open(&path, NEVER);
    create(&driver, 2).await;
    end(driver).await;
    let sound = record(&path, true).unwrap();
    let last = loaded(&mut SqliteStore::open(&path).unwrap()).len();
    let damage = "UPDATE events SET body = replace(body, 's2', 'xx') WHERE id = \
                  (SELECT min(id) FROM events WHERE sweep = 2)";
    Connection::open(&path).unwrap().execute(damage, []).unwrap();

    let driver = open(&path, OFTEN);
    create(&driver, 3).await;
    end(driver).await;
    let sql = "SELECT last_event FROM snapshot";
    let connection = Connection::open(&path).unwrap();
    let kept: u32 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(
        usize::try_from(kept).unwrap(),
        last - sound.1,
        "no snapshot was taken of a state that events do not make"
    );
}
