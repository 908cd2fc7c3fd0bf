//! The store: what it loads, what its tables show, and what it refuses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use caviar_common::ids::{LeaseId, SweepId};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Store, StoreError};
use caviar_core::event::{Event, Payload, SweepDeleted};
use rusqlite::Connection;

use crate::events::{KINDS, created, every_kind, sampled};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    (directory, path)
}

/// Writes events to a store and closes it.
fn written(path: &Path, events: &[Event]) {
    SqliteStore::open(path).unwrap().append(events).unwrap();
}

fn text(path: &Path, sql: &str) -> String {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let cell = |row: &rusqlite::Row<'_>, i| match row.get::<_, rusqlite::types::Value>(i).unwrap() {
        rusqlite::types::Value::Null => "-".to_owned(),
        rusqlite::types::Value::Integer(v) => v.to_string(),
        rusqlite::types::Value::Real(v) => v.to_string(),
        rusqlite::types::Value::Text(v) => v,
        rusqlite::types::Value::Blob(_) => "blob".to_owned(),
    };
    let line = |row: &rusqlite::Row<'_>| {
        Ok((0..columns).map(|i| cell(row, i)).collect::<Vec<_>>().join(" "))
    };
    let lines: Vec<String> = statement.query_map([], line).unwrap().map(Result::unwrap).collect();
    lines.join("\n")
}

fn loaded(store: &mut SqliteStore) -> Vec<Event> {
    store.load().unwrap().into_iter().map(|(_, event)| event).collect()
}

#[test]
fn every_kind_of_event_is_loaded_as_it_was_written() {
    let (_directory, path) = place();
    let events = every_kind();
    assert_eq!(
        events.iter().map(Event::name).collect::<BTreeSet<_>>().len(),
        KINDS,
        "one of every kind"
    );
    let mut store = SqliteStore::open(&path).unwrap();
    store.append(&events[..7]).unwrap();
    store.append(&[]).unwrap();
    store.append(&events[7..]).unwrap();
    // As text, because NaN is not equal to itself.
    assert_eq!(format!("{:?}", loaded(&mut store)), format!("{events:?}"));
    drop(store);
    let again = loaded(&mut SqliteStore::open(&path).unwrap());
    assert_eq!(format!("{again:?}"), format!("{events:?}"));
    let names: Vec<&str> = events.iter().map(Event::name).collect();
    assert_eq!(
        text(&path, "SELECT event FROM events ORDER BY id"),
        names.join("\n"),
        "the column repeats the name in the body"
    );
}

#[test]
fn a_store_keeps_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&directory.path().join(name)).unwrap().id();
    let first = open("a.db");
    assert_eq!(open("a.db"), first);
    assert_ne!(open("b.db"), first);
}

#[test]
fn the_tables_show_what_happened() {
    let (_directory, path) = place();
    written(&path, &every_kind());
    let sweeps = text(
        &path,
        "SELECT id, name, state, winner, test_loss, test_accuracy, reproduced FROM sweeps \
         ORDER BY id",
    );
    assert_eq!(sweeps, "1 digits completed 1 0.5 - 1\n2 letters cancelled - - - -");
    let trials = text(
        &path,
        "SELECT sweep, trial, state, worker, objective, seconds FROM trials \
         ORDER BY sweep, trial",
    );
    assert_eq!(
        trials,
        "1 0 diverged w 0.5 1.5\n1 1 completed w 0.5 1.5\n\
         2 0 cancelled python - -\n2 1 stopped w 0.5 -"
    );
    let metrics = text(
        &path,
        "SELECT trial, epoch, lease, train_loss FROM metrics WHERE sweep = 1 \
         ORDER BY trial, epoch",
    );
    assert_eq!(metrics, "0 1 1 0.3333333333333333\n0 2 1 -\n0 3 1 inf\n1 1 3 0.25");
    let metrics = text(
        &path,
        "SELECT trial, epoch, train_loss FROM metrics WHERE sweep = 2 AND trial = 1 \
         ORDER BY epoch",
    );
    assert_eq!(metrics, "1 1 1\n1 2 2", "a stopped trial ends at its rung");
    let named = text(
        &path,
        "SELECT named ->> '$.\"train.loss\"', named ->> 'f1' FROM metrics \
         WHERE sweep = 2 AND trial = 0",
    );
    assert_eq!(named, "- 0.30000000000000004");
    let at = text(
        &path,
        "SELECT DISTINCT at GLOB '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:*Z' \
         FROM events",
    );
    assert_eq!(at, "1");
}

#[test]
fn a_deleted_sweep_leaves_only_the_event_that_says_so() {
    let (_directory, path) = place();
    let deleted = Event::new(SweepId(1), SweepDeleted { next_lease: LeaseId(5) });
    written(&path, &every_kind());
    written(&path, std::slice::from_ref(&deleted));
    let left = loaded(&mut SqliteStore::open(&path).unwrap());
    let of_it: Vec<&Event> = left.iter().filter(|e| e.sweep == SweepId(1)).collect();
    assert_eq!(of_it, [&deleted]);
    assert!(left.iter().any(|e| e.sweep == SweepId(2)), "others stay");
    for table in ["sweeps WHERE id = 1", "trials WHERE sweep = 1", "metrics WHERE sweep = 1"] {
        assert_eq!(text(&path, &format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
}

#[test]
fn events_are_appended_all_or_none() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    store.append(&[created(1, "digits")]).unwrap();
    // The second trial 0 breaks a key, after two good events of the same group.
    let error = store
        .append(&[sampled(1, 0), Event::new(SweepId(1), Payload::SweepPaused), sampled(1, 0)])
        .unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    assert_eq!(loaded(&mut store), [created(1, "digits")]);
    store.append(&[sampled(1, 0)]).unwrap();
    assert_eq!(loaded(&mut store).len(), 2, "the store continues");
}

#[test]
fn a_store_has_one_owner() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    let expected = format!(
        "{} is in use by another coordinator; hint: to give that one a sweep: caviar submit \
         FILE --coordinator ADDRESS",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    drop(store);
    SqliteStore::open(&path).unwrap();
}

#[test]
fn files_of_other_programs_are_not_changed() {
    let (directory, path) = place();
    let prose = directory.path().join("notes.txt");
    std::fs::write(&prose, "dear diary, ".repeat(200)).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE bills (amount REAL)").unwrap();
    for path in [&prose, &path] {
        let before = std::fs::read(path).unwrap();
        let error = SqliteStore::open(path).unwrap_err();
        assert!(matches!(error, StoreError::Foreign(_)), "{error}");
        assert_eq!(std::fs::read(path).unwrap(), before, "not a byte changed");
    }
}

#[test]
fn a_newer_store_is_refused() {
    let (_directory, path) = place();
    written(&path, &[]);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("has format 99, and this release reads up to format 3"),
        "{error}"
    );
}

#[test]
fn a_directory_and_a_missing_directory_are_named_in_the_error() {
    let (directory, _) = place();
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("is a directory; hint: name a file"), "{error}");
    let error = SqliteStore::open(&directory.path().join("nowhere/caviar.db")).unwrap_err();
    assert!(error.to_string().contains("there is no directory"), "{error}");
}

#[test]
fn a_store_from_before_memory_was_counted_is_read() {
    let (_directory, path) = place();
    written(&path, &every_kind());
    let forget = "UPDATE events SET body = json_remove(body, '$.memory_bytes')";
    Connection::open(&path).unwrap().execute(forget, []).unwrap();
    let read = loaded(&mut SqliteStore::open(&path).unwrap());
    let counted = read
        .iter()
        .filter(|event| {
            matches!(&event.payload, Payload::TrialFinished(end) if end.memory_bytes.is_some())
        })
        .count();
    assert_eq!((read.len(), counted), (every_kind().len(), 0));
}

#[test]
fn a_store_from_before_external_clients_is_upgraded() {
    for (from, drops) in [(1, true), (1, false), (2, false)] {
        let (_directory, path) = place();
        written(&path, &[created(1, "digits"), sampled(1, 0)]);
        let connection = Connection::open(&path).unwrap();
        if drops {
            connection.execute("ALTER TABLE metrics DROP COLUMN named", []).unwrap();
        }
        connection.pragma_update(None, "user_version", from).unwrap();
        drop(connection);
        let measured = every_kind()
            .into_iter()
            .filter(|event| matches!(event.payload, Payload::EpochsRecorded(_)));
        let measured: Vec<Event> = measured.collect();
        written(&path, &measured);
        written(&path, &[]);
        assert_eq!(
            text(&path, "SELECT count(*) FROM metrics WHERE named IS NOT NULL"),
            "1",
            "{from} {drops}"
        );
        assert_eq!(
            (
                text(&path, "PRAGMA user_version").as_str(),
                loaded(&mut SqliteStore::open(&path).unwrap()).len()
            ),
            ("3", 2 + measured.len())
        );
    }
}

#[test]
fn a_damaged_row_is_named() {
    let damages = [
        "body = '{\"event\":\"sweep_vanished\",\"sweep\":1}'",
        "body = substr(body, 1, 40)",
        "body = x'00'",
        "sweep = 7",
    ];
    for damage in damages {
        let (_directory, path) = place();
        written(
            &path,
            &[created(1, "digits"), sampled(1, 0), Event::new(SweepId(1), Payload::SweepPaused)],
        );
        Connection::open(&path)
            .unwrap()
            .execute(&format!("UPDATE events SET {damage} WHERE id = 2"), [])
            .unwrap();
        let error = SqliteStore::open(&path).unwrap().load().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { row: 2, .. }), "{damage}: {error}");
    }
}
