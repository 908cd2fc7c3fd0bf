//! The embedded store: SQLite in one file, owned by one process.
//!
//! Opening takes an advisory lock and keeps it, so two coordinators can never write one history.
//! The connection stays in WAL mode with a shared lock of SQLite, which keeps older releases away.
//! The write-ahead log is synced at every commit (`synchronous = FULL`): what was appended survives
//! a power cut. A store that can only be read is opened without lock and log, see
//! [`SqliteStore::open_for_reading`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use caviar_common::ids::{StoreId, SweepId};
use caviar_common::utc;
use caviar_core::event::Payload;
use caviar_core::snapshot::Restored;
use rusqlite::{Connection, TransactionBehavior};

use super::heads::{Deleted, Heads, Ledger};
use super::load::Loaded;
use super::lock::{Identity, LastBatch, Lock};
use super::order::Orders;
use super::query::Readers;
use super::read::SqliteReaders;
use super::snapshots::{Index, Saving};
use super::write::Writer;
use super::{
    Batch, Events, Mark, Position, Snapshot, Store, StoreError, deletion, open, snapshots,
};

/// A store in one file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    ledger: Ledger,
    heads: Heads,
    /// The checksums of the rows of sweeps as they were written last.
    shown: BTreeMap<SweepId, i64>,
    orders: Arc<Orders>,
    /// The stored snapshot, if it was read or written.
    snapshot: Option<Index>,
    /// The snapshot that is being written.
    saving: Option<Saving>,
    /// True once a snapshot was written since the store was opened.
    has_saved: bool,
    path: PathBuf,
    access: Access,
}

/// How a store was opened.
#[derive(Debug)]
enum Access {
    /// For writing. A file system without locks gives no lock.
    Write {
        lock: Option<Lock>,
        identity: Identity,
        has_failed: bool,
    },
    Read,
}

impl SqliteStore {
    /// Opens the store at `path` for reading and writing, or creates it. A store of an older format
    /// is upgraded.
    ///
    /// # Errors
    /// Another process has it open, it is not a Caviar store, a later release wrote it, commits are
    /// missing from it, or the system does not let this process write it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::check_place(path)?;
        let lock = Lock::take(path)?;
        let (connection, ledger) = open::for_writing(path, lock.as_ref())?;
        let heads = Heads::read(&connection, &ledger)?;
        let identity = Identity::of(path)?;
        let access = Access::Write { lock, identity, has_failed: false };
        Ok(Self::new(connection, (ledger, heads), path, access))
    }

    /// Opens the store at `path` as [`SqliteStore::open`] does, or for reading only if it cannot be
    /// written.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], or the system does not let this process read the file.
    pub fn open_for_reading(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path) {
            // SQLite takes the lock for reading before it finds that it cannot write. So this is
            // not a store that another process has open.
            Err(error @ (StoreError::NotWritable { .. } | StoreError::Full { .. })) => {
                tracing::debug!(path = %path.display(), %error, "opening for reading only");
                let (connection, ledger) = open::for_reading(path)?;
                let heads = Heads::read(&connection, &ledger)?;
                Ok(Self::new(connection, (ledger, heads), path, Access::Read))
            }
            result => result,
        }
    }

    fn new(
        connection: Connection,
        (ledger, heads): (Ledger, Heads),
        path: &Path,
        access: Access,
    ) -> Self {
        let (shown, orders, path) = (BTreeMap::new(), Arc::default(), path.to_owned());
        Self {
            connection,
            ledger,
            heads,
            shown,
            orders,
            snapshot: None,
            saving: None,
            has_saved: false,
            path,
            access,
        }
    }

    /// Writes a batch in one transaction.
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let at = utc::to_millisecond(SystemTime::now());
        let failed = |source| StoreError::database("write events", source);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let ledger = Ledger { sequence: batch.sequence, ..self.ledger };
        let mut writer = Writer::new(&transaction, ledger, &self.heads.good);
        for event in &batch.events {
            writer.write_event(event, &at)?;
        }
        writer.write_rows(&batch.rows, &mut self.shown)?;
        let written = writer.finish()?;
        transaction.commit().map_err(failed)?;
        self.ledger = written.ledger;
        self.heads.good.extend(written.heads);
        self.orders.update(&written.keys);
        for event in &batch.events {
            if matches!(event.payload, Payload::SweepDeleted(_)) {
                self.orders.forget(event.sweep);
                self.shown.remove(&event.sweep);
            }
        }
        Ok(())
    }

    /// Checks after a commit that the store is still where it was, and notes the batch.
    fn confirm(&self) -> Result<(), StoreError> {
        let Access::Write { lock, identity, .. } = &self.access else { return Ok(()) };
        identity.check()?;
        if let Some(lock) = lock {
            lock.check()?;
            let (store, sequence) = (self.ledger.id, self.ledger.sequence);
            lock.note(LastBatch { store, sequence });
        }
        Ok(())
    }

    /// Marks the store as closed in order, and moves the log into the database.
    fn close(&mut self) -> Result<(), StoreError> {
        let failed = |source| StoreError::database("close", source);
        let transaction = self.connection.transaction().map_err(failed)?;
        Ledger { is_open: false, ..self.ledger }.update(&transaction)?;
        transaction.commit().map_err(failed)?;
        let is_busy = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        if !self.connection.query_row(sql, [], is_busy).map_err(failed)? {
            // The end of the connection may remove the log.
            open::set_keeps_log(&self.connection, false).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let access = std::mem::replace(&mut self.access, Access::Read);
        let Access::Write { lock, identity, has_failed: false } = access else { return };
        if identity.check().is_err() {
            return;
        }
        match self.close() {
            Ok(()) => drop(lock.map(Lock::remove)),
            // The next opening reads the log instead.
            Err(error) => tracing::debug!(%error, "the store was not closed in order"),
        }
    }
}

impl Store for SqliteStore {
    fn id(&self) -> StoreId {
        self.ledger.id
    }

    fn position(&self) -> Position {
        Position { term: self.ledger.term, sequence: self.ledger.sequence }
    }

    fn read_only_path(&self) -> Option<&Path> {
        match &self.access {
            Access::Read => Some(&self.path),
            Access::Write { .. } => None,
        }
    }

    fn load(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
        Ok(Box::new(Loaded::new(&self.connection, &self.heads)))
    }

    fn restore(&mut self) -> Option<Restored> {
        match snapshots::read(&self.connection, &self.heads.good) {
            Ok(Some((index, restored))) => {
                self.snapshot = Some(index);
                Some(restored)
            }
            Ok(None) => None,
            Err(reason) => {
                tracing::warn!("the snapshot is not used, and all events are read: {reason}");
                None
            }
        }
    }

    fn load_rest(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
        Ok(Box::new(match &self.snapshot {
            Some(index) => Loaded::after(&self.connection, &self.heads, index),
            None => Loaded::new(&self.connection, &self.heads),
        }))
    }

    fn mark(&self) -> Option<Mark> {
        let is_writable = matches!(self.access, Access::Write { .. });
        let (last_event, heads) = (self.ledger.last_event, &self.heads.good);
        is_writable.then(|| Mark { last_event, heads: heads.clone() })
    }

    fn begin_save(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        if matches!(self.access, Access::Read) {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        while self.save_some()? {}
        self.saving = Some(Saving::new(snapshot, self.snapshot.as_ref(), !self.has_saved));
        self.has_saved = true;
        Ok(())
    }

    fn save_some(&mut self) -> Result<bool, StoreError> {
        let Some(saving) = &mut self.saving else { return Ok(false) };
        if let Some(index) = saving.write_some(&mut self.connection, &self.heads.good)? {
            self.snapshot = Some(index);
        }
        if saving.is_over() {
            self.saving = None;
        }
        Ok(self.saving.is_some())
    }

    fn forget_snapshot(&mut self, sweep: SweepId) -> Result<(), StoreError> {
        (self.snapshot, self.saving) = (None, None);
        match self.access {
            Access::Read => Ok(()),
            Access::Write { .. } => snapshots::forget(&self.connection, sweep),
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let Batch { term, sequence, .. } = *batch;
        let Position { term: last_term, sequence: last } = self.position();
        match &mut self.access {
            Access::Read => return Err(StoreError::ReadOnly(self.path.clone())),
            Access::Write { .. } if term != last_term || sequence != last + 1 => {
                return Err(StoreError::OutOfOrder { term, sequence, last_term, last });
            }
            Access::Write { has_failed, .. } => *has_failed = true,
        }
        self.write(batch)?;
        self.confirm()?;
        if let Access::Write { has_failed, .. } = &mut self.access {
            *has_failed = false;
        }
        Ok(())
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        if matches!(self.access, Access::Read) {
            return Ok(false);
        }
        let is_left = |heads: &Heads| heads.good.values().any(|h| h.deleted == Deleted::Partly);
        if !is_left(&self.heads) {
            return Ok(false);
        }
        let failed = |source| StoreError::database("remove a deleted sweep", source);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let mut ledger = self.ledger;
        let removed = deletion::remove_some(&transaction, &self.heads.good, &mut ledger)?;
        ledger.update(&transaction)?;
        transaction.commit().map_err(failed)?;
        self.ledger = ledger;
        self.heads.good.extend(removed);
        Ok(is_left(&self.heads))
    }

    fn readers(&self) -> Option<Arc<dyn Readers>> {
        let identity = match &self.access {
            Access::Write { identity, .. } => Some(identity.clone()),
            Access::Read => None,
        };
        let (path, orders) = (self.path.clone(), Arc::clone(&self.orders));
        Some(Arc::new(SqliteReaders { path, identity, orders }))
    }
}
