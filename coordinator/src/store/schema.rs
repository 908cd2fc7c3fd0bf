//! The tables, and the marks by which a Caviar store differs from any other SQLite file.

/// `application_id` of the file: "CVIA" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x4356_4941;
/// `user_version` of the file. It is raised with every change of the tables or of the events' JSON
/// that an older release cannot read. An older store is upgraded when it is opened for writing.
pub(super) const FORMAT: i64 = 4;
/// The format of the first stores whose rows have checksums.
pub(super) const FIRST_CHECKED: i64 = 4;
/// A format that no release wrote. Builds between releases changed its tables.
pub(super) const UNRELEASED: i64 = 3;

/// `events` is the truth. `store` and `heads` say how far it goes: `store` has one row, and `heads`
/// one for each sweep that ever existed. The other tables are for reading, and are written in the
/// same transactions.
///
/// Every row has a checksum over its other columns. That of an event, `chain`, covers the `chain`
/// of the event before it in its sweep too. Values of metrics have columns without a type, because
/// SQLite would store some of them as whole numbers otherwise.
pub(super) const TABLES: &str = "
CREATE TABLE store (
    id INTEGER NOT NULL,
    term INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    heads INTEGER NOT NULL,
    heads_sum INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    sweep INTEGER NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    chain INTEGER NOT NULL
);
CREATE INDEX events_of_sweep ON events (sweep);
CREATE TABLE heads (
    sweep INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    events INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
";

/// The tables for reading. `sweeps.checksum` covers what may change, `sweeps.fixed_checksum` the
/// rest; `trial_samples` has what never changes of a trial.
///
/// A loss of a network that is NaN is NULL in `metrics`, and elsewhere the text `NaN`. `named`
/// holds the metrics of an external client as they are in the event; the other metrics are NULL
/// then. For a network whose objective is a measure, `named` is `{"validation":{"roc_auc":0.9}}`,
/// and with several trainings it also has `spread`.
pub(super) const READING_TABLES: &str = "
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    metric TEXT NOT NULL,
    goal TEXT NOT NULL,
    spec TEXT NOT NULL,
    data TEXT NOT NULL,
    fixed_checksum INTEGER NOT NULL,
    state TEXT NOT NULL,
    winner INTEGER,
    test_loss,
    test_accuracy,
    reproduced INTEGER,
    message TEXT,
    checksum INTEGER NOT NULL
);
CREATE TABLE trial_samples (
    sweep INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    assignment TEXT NOT NULL,
    reason TEXT NOT NULL,
    epochs INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (sweep, trial)
) WITHOUT ROWID;
CREATE TABLE trial_states (
    sweep INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    worker TEXT,
    objective,
    seconds,
    memory_bytes INTEGER,
    message TEXT,
    stopped_epoch INTEGER,
    stopped_rank INTEGER,
    stopped_of INTEGER,
    started_at TEXT,
    ended_at TEXT,
    last_epoch INTEGER NOT NULL,
    counting_epoch INTEGER,
    counting_loss,
    retrained_epochs INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (sweep, trial)
) WITHOUT ROWID;
CREATE VIEW trials AS
    SELECT sweep, trial, state, assignment, reason, epochs, attempts, worker, objective, seconds,
           memory_bytes, message, stopped_epoch, stopped_rank, stopped_of, started_at, ended_at,
           counting_epoch, retrained_epochs
    FROM trial_states JOIN trial_samples USING (sweep, trial);
CREATE TABLE metrics (
    sweep INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    train_loss,
    train_accuracy,
    validation_loss,
    validation_accuracy,
    named TEXT,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (sweep, trial, epoch)
) WITHOUT ROWID;
";

/// The tables of snapshots. Their content can be made again from the events. The bytes of parts are
/// last, so that the columns before them can be read alone.
pub(super) const SNAPSHOT_TABLES: [(&str, &str); 3] = [
    (
        "snapshot",
        "CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    record BLOB NOT NULL,
    heads INTEGER NOT NULL,
    heads_sum INTEGER NOT NULL,
    checksum INTEGER NOT NULL
)",
    ),
    (
        "snapshot_heads",
        "CREATE TABLE snapshot_heads (
    sweep INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    events INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    parts_sum INTEGER NOT NULL,
    checksum INTEGER NOT NULL
)",
    ),
    (
        "snapshot_parts",
        "CREATE TABLE snapshot_parts (
    sweep INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (sweep, kind, number, generation)
) WITHOUT ROWID",
    ),
];

/// Makes way for the tables of this format in a store of format 1 or 2.
pub(super) const SET_OLD_TABLES_ASIDE: &str = "
DROP TABLE metrics;
DROP TABLE trials;
DROP TABLE sweeps;
DROP TABLE store;
DROP INDEX events_of_sweep;
ALTER TABLE events RENAME TO old_events;
";
/// Removes what [`SET_OLD_TABLES_ASIDE`] has left.
pub(super) const DROP_OLD_EVENTS: &str = "DROP TABLE old_events";
/// Returns 1 if the file has the tables of [`FIRST_CHECKED`], whatever its `user_version` says.
pub(super) const HAS_HEADS: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'heads'";
