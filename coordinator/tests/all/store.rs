//! The store: what it loads, what its tables show, and what it refuses.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use caviar_common::error::ErrorClass;
use caviar_common::ids::{LeaseId, StoreId, SweepId, TrialNumber};
use caviar_common::measure::Measure;
use caviar_common::metric::{EpochMetrics, Metric, Point};
use caviar_common::outcome::{Job, TrialState};
use caviar_common::spec::Goal;
use caviar_coordinator::store::query::{TrialOrder, TrialQuery};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Batch, Position, Rows, Store, StoreError};
use caviar_core::event::{Event, Payload, SweepDeleted};
use rusqlite::Connection;

use crate::events::{
    KINDS, completed, created, events_of_two_sweeps, every_kind, granted, recorded, sampled,
};
use crate::support::{append, append_with, loaded, metrics, rows};

pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    (directory, path)
}

/// Writes events to a store and closes it.
fn written(path: &Path, events: &[Event]) {
    append(&mut SqliteStore::open(path).unwrap(), events).unwrap();
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
    append(&mut store, &events[..7]).unwrap();
    append(&mut store, &[]).unwrap();
    append(&mut store, &events[7..]).unwrap();
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
fn only_its_user_can_read_the_files_of_a_new_store() {
    let (directory, path) = place();
    let modes = || -> Vec<(String, u32)> {
        let entries = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        let mode = |entry: &fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o777;
        let mut modes: Vec<_> =
            entries.map(|it| (it.file_name().into_string().unwrap(), mode(&it))).collect();
        modes.sort();
        modes
    };
    let store = SqliteStore::open(&path).unwrap();
    let names = ["caviar.db", "caviar.db-lock", "caviar.db-shm", "caviar.db-wal"];
    assert_eq!(modes(), names.map(|name| (name.to_owned(), 0o600)));
    drop(store);
    // Its user can let others read it.
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(modes(), names.map(|name| (name.to_owned(), 0o640)));
    drop(store);
    assert_eq!(modes(), [("caviar.db".to_owned(), 0o640)]);
}

#[test]
fn a_lock_that_cannot_be_opened_counts_as_held() {
    let (directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let lock = directory.path().join("caviar.db-lock");
    std::os::unix::fs::symlink(directory.path().join("missing/lock"), &lock).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    let expected = format!("{} cannot be opened (No such file or directory", lock.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn the_tables_show_what_happened() {
    let (_directory, path) = place();
    written(&path, &events_of_two_sweeps());
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
         2 0 cancelled python - 0.5\n2 1 stopped w 0.5 0.5"
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
    let expected = "1 1 1\n1 2 2\n1 3 3\n1 4 4\n1 5 5\n1 6 6";
    assert_eq!(metrics, expected, "a stopped trial ends at its rung");
    let named = text(
        &path,
        "SELECT named ->> '$.\"train.loss\"', named ->> 'f1' FROM metrics \
         WHERE sweep = 2 AND trial = 0",
    );
    assert_eq!(named, "NaN 0.30000000000000004");
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
    written(&path, &events_of_two_sweeps());
    written(&path, std::slice::from_ref(&deleted));
    let left = loaded(&mut SqliteStore::open(&path).unwrap());
    let of_it: Vec<&Event> = left.iter().filter(|e| e.sweep == SweepId(1)).collect();
    assert_eq!(of_it, [&deleted]);
    assert!(left.iter().any(|e| e.sweep == SweepId(2)), "others stay");
    assert_eq!(text(&path, "SELECT count(*) FROM sweeps WHERE id = 1"), "0");
}

#[test]
fn events_are_appended_all_or_none() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    append(&mut store, &[created(1, "digits")]).unwrap();
    // The second sweep 1 breaks a key, after two good events of the same group.
    let events =
        [sampled(1, 0), Event::new(SweepId(1), Payload::SweepPaused), created(1, "digits")];
    let error = append_with(&mut store, &events, Rows::default()).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    assert_eq!(loaded(&mut store), [created(1, "digits")]);
    append(&mut store, &[sampled(1, 0)]).unwrap();
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
        error.to_string().contains("has format 99, and this release reads up to format 4"),
        "{error}"
    );
}

#[test]
fn a_store_of_a_build_between_releases_is_refused_and_stays() {
    let (_directory, path) = place();
    written(&path, &[]);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("has format 3, which no release has"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "not a byte changed");
}

#[test]
fn a_directory_and_a_missing_directory_are_named_in_the_error() {
    let (directory, _) = place();
    let error = SqliteStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("is a directory; hint: name a file"), "{error}");
    let error = SqliteStore::open(&directory.path().join("nowhere/caviar.db")).unwrap_err();
    assert!(error.to_string().contains("there is no directory"), "{error}");
}

/// The tables of format 2. Format 1 did not have the column `named`.
const OLD_TABLES: &str = "
CREATE TABLE store (id INTEGER NOT NULL);
INSERT INTO store (id) VALUES (77);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    sweep INTEGER NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_of_sweep ON events (sweep);
CREATE TABLE sweeps (id INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE trials (sweep INTEGER, trial INTEGER, PRIMARY KEY (sweep, trial)) WITHOUT ROWID;
CREATE TABLE metrics (sweep INTEGER, trial INTEGER, epoch INTEGER, named TEXT,
                      PRIMARY KEY (sweep, trial, epoch)) WITHOUT ROWID;
PRAGMA application_id = 0x43564941;
";

/// Writes a store of an older format with these events.
pub(crate) fn old_store(path: &Path, format: i64, events: &[Event]) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch(OLD_TABLES).unwrap();
    connection.pragma_update(None, "user_version", format).unwrap();
    if format == 1 {
        connection.execute("ALTER TABLE metrics DROP COLUMN named", []).unwrap();
    }
    for (number, event) in (1..).zip(events) {
        // Memory was counted later than the first stores were written.
        let mut body = serde_json::to_value(event).unwrap();
        body.as_object_mut().unwrap().remove("memory_bytes");
        let at = format!("2026-05-04T10:11:12.{number:03}Z");
        // Numbers with gaps, which a deleted sweep leaves.
        let sweep = event.sweep.0.cast_signed();
        let values = (number * 10, at, sweep, event.name(), body.to_string());
        let sql = "INSERT INTO events (id, at, sweep, event, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.execute(sql, values).unwrap();
    }
}

#[test]
fn a_store_of_an_older_format_is_upgraded() {
    for format in [1, 2] {
        let (_directory, path) = place();
        old_store(&path, format, &events_of_two_sweeps());
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.id(), StoreId(77));
        let mut expected = events_of_two_sweeps();
        for event in &mut expected {
            if let Payload::TrialFinished(end) = &mut event.payload {
                end.memory_bytes = None;
            }
        }
        assert_eq!(format!("{:?}", loaded(&mut store)), format!("{expected:?}"));
        let mut reader = store.readers().unwrap().open().unwrap();
        let trial = reader.trial(SweepId(1), TrialNumber(0)).unwrap().unwrap();
        assert_eq!((trial.state, trial.curve.len()), (TrialState::Diverged, 3));
        let measure = |point: &Point| point.get(&Metric::Measure(Measure::RocAuc));
        assert_eq!(trial.curve.first().and_then(measure), None);
        assert!(trial.curve.get(1).and_then(measure).unwrap().is_nan());
        assert_eq!(trial.times.started_at.as_deref(), Some("2026-05-04T10:11:12.006Z"));
        assert_eq!(trial.times.ended_at.as_deref(), Some("2026-05-04T10:11:12.010Z"));
        append(&mut store, &[created(4, "more")]).unwrap();
        drop((reader, store));
        assert_eq!(text(&path, "PRAGMA user_version"), "4");
        assert_eq!(text(&path, "PRAGMA integrity_check"), "ok");
        // Two epochs of networks have a measure, and one is of an external client.
        let named = "SELECT count(*) FROM metrics WHERE named";
        assert_eq!(text(&path, &format!("{named} LIKE '{{\"validation\":{{\"roc_auc\":%'")), "2");
        assert_eq!(text(&path, &format!("{named} IS NOT NULL")), "3", "format {format}");
        let again = loaded(&mut SqliteStore::open(&path).unwrap());
        assert_eq!(again.len(), expected.len() + 1);
    }
}

#[test]
fn an_old_store_that_is_damaged_stays_as_it_was() {
    let (_directory, path) = place();
    old_store(&path, 2, &[created(1, "digits"), sampled(1, 0)]);
    let damage = "UPDATE events SET body = substr(body, 1, 40) WHERE id = 20";
    Connection::open(&path).unwrap().execute(damage, []).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("damaged: row 20 of events: "), "{error}");
    assert_eq!(text(&path, "PRAGMA user_version"), "2");
    assert_eq!(text(&path, "SELECT count(*) FROM events"), "2");
}

#[test]
fn a_batch_that_does_not_follow_the_last_one_is_refused() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let Position { term, sequence } = store.position();
    assert_eq!((term, sequence), (1, 0));
    let batch = |term, sequence| Batch { term, sequence, ..Batch::default() };
    for (term, sequence) in [(0, 1), (2, 1), (1, 0), (1, 2)] {
        let error = store.append(&batch(term, sequence)).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
    }
    store.append(&batch(1, 1)).unwrap();
    let error = store.append(&batch(1, 1)).unwrap_err();
    assert!(matches!(error, StoreError::OutOfOrder { .. }), "a batch is written once: {error}");
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.position(), Position { term: 2, sequence: 1 });
}

/// The damages that a load finds, as text.
fn damages(path: &Path) -> Vec<String> {
    let mut store = SqliteStore::open(path).unwrap();
    let mut events = store.load().unwrap();
    assert!(events.by_ref().all(|event| event.is_ok()));
    events.damages().iter().map(|damage| damage.clone().into_error().to_string()).collect()
}

#[test]
fn a_damaged_row_is_named_and_other_sweeps_are_intact() {
    let changes = [
        ("UPDATE events SET body = replace(body, '9', '8') WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET body = substr(body, 1, 40) WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET body = x'00' WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET sweep = 7 WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET at = '2026' WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET event = 'trial_decided' WHERE id = 2", "row 2 of events"),
        ("UPDATE events SET chain = chain + 1 WHERE id = 2", "row 2 of events"),
        ("DELETE FROM events WHERE id = 2", "row 3 of events"),
        ("UPDATE events SET id = 9 WHERE id = 2", "row 3 of events"),
        ("DELETE FROM events WHERE id = 3", "the events of sweep 1"),
        ("UPDATE heads SET last = 2 WHERE sweep = 1", "the events of sweep 1"),
    ];
    for (sql, place_of_damage) in changes {
        let (_directory, path) = place();
        let paused = Event::new(SweepId(1), Payload::SweepPaused);
        written(&path, &[created(1, "digits"), sampled(1, 0), paused, created(2, "letters")]);
        assert_eq!(damages(&path), Vec::<String>::new());
        Connection::open(&path).unwrap().execute(sql, []).unwrap();
        let found = damages(&path);
        let expected = format!("the store is damaged: {place_of_damage}: ");
        assert!(found.iter().any(|damage| damage.starts_with(&expected)), "{sql}: {found:?}");
        assert!(found[0].ends_with("hint: caviar-coordinator check STORE says what can be saved"));
        assert!(!found.iter().any(|damage| damage.contains("sweep 2")), "{sql}: {found:?}");
    }
}

#[test]
fn missing_heads_and_a_changed_ledger_are_noticed() {
    let changes = [
        "DELETE FROM heads WHERE sweep = 2",
        "UPDATE store SET sequence = sequence - 1",
        "UPDATE store SET last_event = last_event + 1",
        "DELETE FROM store",
        "INSERT INTO store SELECT * FROM store",
        "DROP TABLE heads",
        "PRAGMA user_version = 2",
    ];
    for sql in changes {
        let (_directory, path) = place();
        written(&path, &[created(1, "digits"), created(2, "letters")]);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{sql}: {error}");
    }
}

#[test]
fn a_damaged_row_of_a_reading_table_is_never_shown() {
    let changes = [
        "UPDATE trial_states SET objective = 0.75 WHERE sweep = 1 AND trial = 1",
        "UPDATE trial_states SET state = 'failed' WHERE sweep = 1 AND trial = 1",
        "UPDATE trial_states SET last_epoch = 2 WHERE sweep = 1 AND trial = 1",
        "UPDATE trial_states SET counting_epoch = 2 WHERE sweep = 1 AND trial = 1",
        "UPDATE trial_samples SET epochs = 3 WHERE sweep = 1 AND trial = 1",
        "UPDATE metrics SET train_loss = 0.5 WHERE sweep = 1 AND trial = 1",
        "UPDATE metrics SET validation_accuracy = NULL WHERE sweep = 1 AND trial = 1",
        "DELETE FROM metrics WHERE sweep = 1 AND trial = 1",
        "DELETE FROM trial_states WHERE sweep = 1 AND trial = 1",
        "DELETE FROM trial_samples WHERE sweep = 1 AND trial = 1",
        "DROP TABLE metrics",
    ];
    for sql in changes {
        let (_directory, path) = place();
        written(&path, &events_of_two_sweeps());
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let store = SqliteStore::open(&path).unwrap();
        let mut reader = store.readers().unwrap().open().unwrap();
        let all = TrialQuery { known: 2, ..TrialQuery::all(SweepId(1), Goal::Maximize) };
        for order in [TrialOrder::Number, TrialOrder::Objective] {
            let error = reader.trials(&TrialQuery { order, ..all.clone() }).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{sql}: {error}");
        }
    }
}

/// Sweep 1, which minimises the training loss.
pub(crate) fn created_for_loss() -> Event {
    let mut event = created(1, "digits");
    if let Payload::SweepCreated(created) = &mut event.payload {
        created.spec.objective.metric = Metric::TrainLoss;
        created.spec.objective.goal = Goal::Minimize;
    }
    event
}

#[test]
fn a_trial_is_shown_with_the_epoch_of_its_objective_and_the_last_one() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let sweep = created_for_loss();
    append(&mut store, &[sweep, sampled(1, 0), granted(1, 0, 1, Job::Train)]).unwrap();
    let mut reader = store.readers().unwrap().open().unwrap();
    let mut shown = |max_values| {
        let all = TrialQuery::all(SweepId(1), Goal::Minimize);
        let page = reader.trials(&TrialQuery { known: 1, max_values, ..all }).unwrap();
        let trial = page.trials.into_iter().next().unwrap();
        (trial.counting, trial.last)
    };
    assert_eq!(shown(None), (None, None), "no epoch has ended");
    for (epoch, loss, counting) in [(1, 0.5, 1), (2, 0.75, 1), (3, 0.25, 3), (4, 1.0, 3)] {
        let spread = (epoch == 3).then_some(0.1 + 0.2);
        let point = EpochMetrics { spread, ..metrics(epoch, loss) };
        append(&mut store, &[recorded(1, 0, 1, point)]).unwrap();
        for curves in [None, Some(1000)] {
            let (best, last) = shown(curves);
            let epochs = (best.as_ref().map(Point::epoch), last.as_ref().map(Point::epoch));
            assert_eq!(epochs, (Some(counting), Some(epoch)), "with curves: {curves:?}");
        }
    }
    let best = EpochMetrics { spread: Some(0.1 + 0.2), ..metrics(3, 0.25) };
    assert_eq!(shown(None).0, Some(best.into()));
}

#[test]
fn the_rows_of_a_deleted_sweep_are_removed_a_few_at_a_time() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let mut events = vec![created(1, "digits")];
    events.extend((0..2_500).map(|trial| sampled(1, trial)));
    append(&mut store, &events).unwrap();
    append(&mut store, &[created(2, "letters"), sampled(2, 0)]).unwrap();
    assert!(!store.tidy().unwrap());
    let deleted = Event::new(SweepId(1), SweepDeleted { next_lease: LeaseId(1) });
    append(&mut store, std::slice::from_ref(&deleted)).unwrap();
    assert!(store.tidy().unwrap());
    // As after a crash.
    drop(store);
    let left = |table: &str| text(&path, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(left("trial_states WHERE sweep = 1"), "500");
    let mut store = SqliteStore::open(&path).unwrap();
    let expected = [created(2, "letters"), sampled(2, 0), deleted];
    assert_eq!(loaded(&mut store), expected);
    let mut slices = 0;
    while store.tidy().unwrap() {
        slices += 1;
        append(&mut store, &[sampled(2, slices)]).unwrap();
    }
    assert!(slices > 3, "{slices}");
    assert!(!store.tidy().unwrap(), "nothing is left to do");
    drop(store);
    for table in ["trial_states", "trial_samples", "metrics", "events"] {
        let count = left(&format!("{table} WHERE sweep = 1"));
        assert_eq!(count, if table == "events" { "1" } else { "0" }, "{table}");
    }
    let left = loaded(&mut SqliteStore::open(&path).unwrap()).len();
    assert_eq!(left, 3 + usize::try_from(slices).unwrap());
}

#[test]
fn reads_while_the_store_is_written_are_of_one_commit() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let mut all = vec![created(1, "digits")];
    append(&mut store, &all).unwrap();
    let known = AtomicU32::new(0);
    let readers = store.readers().unwrap();
    let read = |order: TrialOrder| {
        let mut reader = readers.open().unwrap();
        let mut reads = 0_u32;
        while known.load(Ordering::Acquire) < 60 {
            let least = known.load(Ordering::Acquire);
            let (goal, max_values) = (Goal::Maximize, Some(usize::MAX));
            let all = TrialQuery::all(SweepId(1), goal);
            let page = reader.trials(&TrialQuery { known: least, order, max_values, ..all });
            let page = page.unwrap().trials;
            assert!(page.len() >= usize::try_from(least).unwrap(), "it reads what was committed");
            for trial in &page {
                let epochs = u32::from(trial.state == TrialState::Completed);
                assert_eq!(trial.curve.len(), usize::try_from(epochs).unwrap());
            }
            reads += 1;
        }
        reads
    };
    let reads: Vec<u32> = std::thread::scope(|scope| {
        let orders = [TrialOrder::Number, TrialOrder::Objective];
        let read = &read;
        let threads = orders.map(|order| scope.spawn(move || read(order)));
        for trial in 0..60 {
            for events in
                [vec![sampled(1, trial)], completed(1, trial, u64::from(trial) + 1, 0.5).into()]
            {
                all.extend_from_slice(&events);
                let mut changed = rows(&all, &events);
                changed.trials.retain(|(_, view)| view.trial.0 == trial);
                append_with(&mut store, &events, changed).unwrap();
            }
            known.store(trial + 1, Ordering::Release);
        }
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert!(reads.iter().all(|count| *count > 3), "{reads:?}");
}
