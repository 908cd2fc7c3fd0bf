//! Checking a store, and saving what can be saved of a damaged one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use caviar_common::ids::SweepId;
use caviar_coordinator::store::check::{Report, check, repair};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Rows, StoreError};
use caviar_core::event::{Event, Payload};
use rusqlite::Connection;

use crate::events::{created, events_of_two_sweeps, sampled};
use crate::store::old_store;
use crate::support::{append, append_with, loaded};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    (directory, path)
}

fn written(path: &Path) {
    append(&mut SqliteStore::open(path).unwrap(), &events_of_two_sweeps()).unwrap();
}

fn change(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The lines of a report after the first, without their indentation.
fn lines(report: &Report) -> Vec<String> {
    report.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_intact_store_is_said_to_be_intact_and_is_not_changed() {
    let (directory, path) = place();
    written(&path);
    let before = fs::read(&path).unwrap();
    let report = check(&path).unwrap();
    assert!(report.is_intact());
    assert_eq!(
        report.to_string(),
        format!(
            "{}: format 4, intact\n  sweep 1 digits: 21 events are intact\n  \
             sweep 2 letters: 16 events are intact\n",
            path.display()
        )
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");
}

#[test]
fn a_store_in_use_and_other_files_are_not_checked() {
    let (directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(check(&path), Err(StoreError::InUse(_))));
    drop(store);
    let other = directory.path().join("notes.txt");
    assert!(matches!(check(&other), Err(StoreError::Missing(_))));
    fs::write(&other, "dear diary, ".repeat(200)).unwrap();
    assert!(matches!(check(&other), Err(StoreError::Foreign(_))));
    assert!(matches!(repair(&path, &other), Err(StoreError::Exists(_))));
}

#[test]
fn a_damaged_event_ends_what_can_be_saved_of_its_sweep_only() {
    let (directory, path) = place();
    written(&path);
    change(&path, "UPDATE events SET body = replace(body, '0.25', '0.75') WHERE id = 14");
    let report = check(&path).unwrap();
    assert!(!report.is_intact());
    let expected = [
        "sweep 1 digits: row 14 of events: its checksum is wrong; 13 of 21 events can be saved, \
         up to row 13",
        "sweep 2 letters: 16 events are intact",
    ];
    assert_eq!(lines(&report), expected);
    let new = directory.path().join("new.db");
    let report = repair(&path, &new).unwrap();
    assert_eq!(report.repaired, Some(new.clone()));
    let saved = loaded(&mut SqliteStore::open(&new).unwrap());
    let mut kept: Vec<Event> = events_of_two_sweeps();
    kept.drain(13..21);
    assert_eq!(format!("{saved:?}"), format!("{kept:?}"));
    assert!(check(&new).unwrap().is_intact());
}

#[test]
fn events_that_do_not_follow_each_other_are_found() {
    let (directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    append(&mut store, &[created(1, "digits"), sampled(1, 0), created(2, "letters")]).unwrap();
    let scored =
        events_of_two_sweeps().into_iter().find(|event| event.name() == "winner_scored").unwrap();
    let events = [scored, Event::new(SweepId(1), Payload::SweepPaused)];
    append_with(&mut store, &events, Rows::default()).unwrap();
    drop(store);
    let report = check(&path).unwrap();
    let lines = lines(&report);
    assert!(lines[0].starts_with("sweep 1 digits: row 4 of events: "), "{lines:?}");
    assert!(lines[0].ends_with("; 2 of 4 events can be saved, up to row 2"), "{lines:?}");
    assert_eq!(lines[1], "sweep 2 letters: 1 events are intact");
    let new = directory.path().join("new.db");
    repair(&path, &new).unwrap();
    assert_eq!(loaded(&mut SqliteStore::open(&new).unwrap()).len(), 3);
}

#[test]
fn what_is_wrong_with_tables_heads_and_the_end_of_a_sweep_is_said() {
    let cases = [
        (
            "UPDATE trial_states SET attempts = 9 WHERE sweep = 1 AND trial = 1",
            "sweep 1 digits: 21 events are intact, the table trial_states does not agree: row 2 \
             differs",
        ),
        (
            "DELETE FROM metrics WHERE sweep = 1 AND trial = 1",
            "sweep 1 digits: 21 events are intact, the table metrics does not agree: row 4 is \
             missing",
        ),
        (
            "DELETE FROM events WHERE id = 21",
            "sweep 1 digits: 20 of 21 events are there; 20 of 21 events can be saved, up to row 20",
        ),
        (
            "UPDATE heads SET events = 22 WHERE sweep = 1",
            "sweep 1 digits: its row of heads is damaged or missing; 21 events can be saved, up to \
             row 21",
        ),
        (
            "DELETE FROM heads WHERE sweep = 1",
            "the table heads: 2 heads of sweeps differ from \
         the 3 known",
        ),
        ("UPDATE store SET term = 7", "row 1 of store: its checksum is wrong"),
        (
            "DROP TABLE trial_samples",
            "sweep 1 digits: 21 events are intact, the table \
         trial_samples does not agree: no such table: trial_samples",
        ),
    ];
    for (sql, expected) in cases {
        let (directory, path) = place();
        written(&path);
        change(&path, sql);
        let report = check(&path).unwrap();
        assert!(!report.is_intact(), "{sql}");
        let lines = lines(&report);
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{sql}: {lines:#?}");
        let new = directory.path().join("new.db");
        repair(&path, &new).unwrap();
        assert!(check(&new).unwrap().is_intact(), "{sql}");
    }
}

#[test]
fn a_store_without_its_log_and_an_old_store_are_checked() {
    let (directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    append(&mut store, &[created(1, "digits")]).unwrap();
    let left = directory.path().join("left.db");
    fs::copy(&path, &left).unwrap();
    let problems = check(&left).unwrap().problems;
    assert_eq!(problems, ["it was not closed in order, and its log is missing"]);
    let old = directory.path().join("old.db");
    old_store(&old, 2, &events_of_two_sweeps());
    let report = check(&old).unwrap();
    assert_eq!((report.format, report.is_intact(), report.sweeps.len()), (2, true, 2));
    assert!(report.to_string().contains("rows of this format have no checksums"));
    let new = directory.path().join("new.db");
    repair(&old, &new).unwrap();
    assert_eq!(loaded(&mut SqliteStore::open(&new).unwrap()).len(), events_of_two_sweeps().len());
}

#[test]
fn a_part_that_the_database_cannot_read_is_skipped() {
    let (directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    for sweep in 1..=40 {
        append(&mut store, &[created(sweep, &format!("s{sweep}")), sampled(sweep, 0)]).unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    // A page that was split may still have the text where nothing is stored any more.
    let has_text = |page: &&mut [u8]| page.windows(8).any(|text| text == b"\"s20\",\"s");
    bytes.chunks_mut(4096).filter(has_text).for_each(|page| page[..64].fill(0xff));
    fs::write(&path, bytes).unwrap();
    let report = check(&path).unwrap();
    assert!(!report.problems.is_empty());
    let new = directory.path().join("new.db");
    repair(&path, &new).unwrap();
    let saved = loaded(&mut SqliteStore::open(&new).unwrap()).len();
    assert!((60..80).contains(&saved), "{saved} events");
}

#[test]
fn the_program_prints_a_report_and_fails_for_a_damaged_store() {
    let (_directory, path) = place();
    written(&path);
    let run = |json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caviar-coordinator"));
        command.arg("check").arg(&path).args(json.then_some("--json"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(false);
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}");
    change(&path, "DELETE FROM events WHERE id = 3");
    let (code, text) = run(true);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(json["sweeps"][0]["intact"], 2, "{json}");
    assert_eq!(json["sweeps"][1]["damage"], serde_json::Value::Null);
}
