//! The tables, and the marks that tell a Caviar store from any other SQLite file.

/// `application_id` of the file: "CVIA".
pub(super) const APPLICATION_ID: i64 = 0x4356_4941;
/// `user_version` of the file: raised with every change of the tables, or of the events' JSON
/// that an older release cannot read. What is older is brought to it when it is opened.
pub(super) const FORMAT: i64 = 2;

/// What brings the tables of format 1 to format 2, and whether it was done: some stores of format 1
/// have the column.
pub(super) const ADD_NAMED: &str = "ALTER TABLE metrics ADD COLUMN named TEXT";
pub(super) const HAS_NAMED: &str =
    "SELECT count(*) FROM pragma_table_info('metrics') WHERE name = 'named'";

/// `store` has one row: which store this is. `events` is the truth. The others are there for
/// people, and are written in the same transactions.
///
/// A loss that is NaN is NULL here (SQLite has no NaN); the event has it in full. `named` holds
/// what a program measured that ran a trial by itself, as a JSON object; the other metrics are NULL
/// then.
pub(super) const TABLES: &str = "
CREATE TABLE store (
    id INTEGER NOT NULL
);
INSERT INTO store (id) VALUES (random());
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    sweep INTEGER NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_of_sweep ON events (sweep);
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    request_id TEXT NOT NULL,
    metric TEXT NOT NULL,
    goal TEXT NOT NULL,
    spec TEXT NOT NULL,
    data TEXT NOT NULL,
    winner INTEGER,
    test_loss REAL,
    test_accuracy REAL,
    reproduced INTEGER,
    message TEXT
);
CREATE TABLE trials (
    sweep INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    state TEXT NOT NULL,
    assignment TEXT NOT NULL,
    reason TEXT NOT NULL,
    epochs INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    objective REAL,
    seconds REAL,
    message TEXT,
    PRIMARY KEY (sweep, trial)
) WITHOUT ROWID;
CREATE TABLE metrics (
    sweep INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    train_loss REAL,
    train_accuracy REAL,
    validation_loss REAL,
    validation_accuracy REAL,
    named TEXT,
    PRIMARY KEY (sweep, trial, epoch)
) WITHOUT ROWID;
";
