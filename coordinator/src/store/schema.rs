//! The tables, and the marks by which a Caviar store differs from any other SQLite file.

/// `application_id` of the file: "CVIA" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x4356_4941;
/// `user_version` of the file. It is raised with every change of the tables or of the events' JSON
/// that an older release cannot read. An older store is upgraded when it is opened for writing.
pub(super) const FORMAT: i64 = 3;

/// Upgrades the tables from format 1 to format 2.
pub(super) const ADD_NAMED: &str = "ALTER TABLE metrics ADD COLUMN named TEXT";
/// Returns 1 if the tables have the column of format 2; some stores of format 1 have it too.
pub(super) const HAS_NAMED: &str =
    "SELECT count(*) FROM pragma_table_info('metrics') WHERE name = 'named'";

/// The row of `store` has the store's number. `events` is the truth. The other tables are for
/// people to read, and are written in the same transactions.
///
/// A loss that is NaN is NULL in these tables, because SQLite has no NaN; the event has the exact
/// value. `named` holds the metrics of an external client as a JSON object; the other metrics are
/// NULL then.
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
