//! Reading the store off the driver's thread: a few connections that requests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, mem};

use caviar_common::error::ErrorClass;
use tokio::sync::Semaphore;

use crate::store::StoreError;
use crate::store::query::{Reader, Readers};

/// Connections that read the store at once. More would compete with the driver for the cores.
const CONNECTIONS: usize = 2;
/// Queries that may wait for a connection. Each takes some milliseconds, so the last one waits for
/// some seconds.
const MAX_WAITING: usize = 1_024;

/// Why the store was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Too many queries wait.
    #[error("the coordinator is busy: {MAX_WAITING} queries wait; hint: try again later")]
    Busy,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has no tables for reading.
    #[error("internal error: this store has no tables to read")]
    Unreadable,
    /// A bug: the query panicked.
    #[error("internal error: a query panicked")]
    Died,
}

impl ReadError {
    /// The error class, which tells a caller what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Busy => ErrorClass::Busy,
            Self::Store(error) => error.class(),
            Self::Unreadable | Self::Died => ErrorClass::Internal,
        }
    }
}

/// Connections that read the store.
pub(super) struct Reads {
    readers: Arc<dyn Readers>,
    idle: Mutex<Vec<Box<dyn Reader>>>,
    /// One for each query that is carried out.
    running: Arc<Semaphore>,
    /// One for each query that waits or is carried out.
    accepted: Arc<Semaphore>,
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

impl Reads {
    pub(super) fn new(readers: Arc<dyn Readers>) -> Self {
        let (running, accepted) =
            (Semaphore::new(CONNECTIONS), Semaphore::new(CONNECTIONS + MAX_WAITING));
        let (running, accepted) = (Arc::new(running), Arc::new(accepted));
        Self { readers, idle: Mutex::default(), running, accepted }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Box<dyn Reader>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a query on a thread that may block.
    pub(super) async fn query<T, F>(self: &Arc<Self>, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let accepted =
            Arc::clone(&self.accepted).try_acquire_owned().map_err(|_| ReadError::Busy)?;
        let running =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_| ReadError::Busy)?;
        let reads = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permits = (accepted, running);
            reads.carry_out(query)
        });
        task.await.map_err(|_| ReadError::Died)?
    }

    fn carry_out<T>(
        &self,
        query: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError>,
    ) -> Result<T, ReadError> {
        let idle = self.idle().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.readers.open()?,
        };
        let result = query(reader.as_mut())?;
        // A connection that failed is closed instead.
        self.idle().push(reader);
        Ok(result)
    }

    /// Closes the connections that are idle.
    pub(super) fn close(&self) {
        drop(mem::take(&mut *self.idle()));
    }
}
