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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use caviar_common::ids::{SweepId, TrialNumber};
    use caviar_common::view::TrialView;
    use caviar_core::snapshot::{LoadJob, LoadedSweep};

    use super::*;
    use crate::store::query::{TrialPage, TrialQuery};

    struct Empty;

    impl Readers for Empty {
        fn open(&self) -> Result<Box<dyn Reader>, StoreError> {
            Ok(Box::new(Self))
        }
    }

    impl Reader for Empty {
        fn trials(&mut self, _: &TrialQuery) -> Result<TrialPage, StoreError> {
            Ok(TrialPage::default())
        }

        fn trial(&mut self, _: SweepId, _: TrialNumber) -> Result<Option<TrialView>, StoreError> {
            Ok(None)
        }

        fn load(&mut self, job: LoadJob) -> Result<LoadedSweep, StoreError> {
            let (place, detail) = (job.sweep().to_string(), "it was never stored".to_owned());
            Err(StoreError::Corrupt { place, detail })
        }
    }

    #[tokio::test]
    async fn queries_beyond_those_that_may_wait_are_refused_at_once() {
        let reads = Arc::new(Reads::new(Arc::new(Empty)));
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let accepted = || {
            let (reads, gate) = (Arc::clone(&reads), Arc::clone(&gate));
            async move {
                let wait = move |_: &mut dyn Reader| {
                    // The error means that all may go.
                    gate.lock().unwrap().recv().unwrap_err();
                    Ok(())
                };
                reads.query(wait).await
            }
        };
        let mut waiting: Vec<_> =
            (0..CONNECTIONS + MAX_WAITING).map(|_| Box::pin(accepted())).collect();
        for query in &mut waiting {
            let poll = std::future::poll_fn(|context| {
                std::task::Poll::Ready(query.as_mut().poll(context).is_pending())
            });
            assert!(poll.await);
        }
        let error = accepted().await.unwrap_err();
        assert!(matches!(error, ReadError::Busy), "{error}");
        assert_eq!(error.class(), ErrorClass::Busy);
        drop(go);
        for query in waiting {
            query.await.unwrap();
        }
        accepted().await.unwrap();
        assert!(reads.idle().len() <= CONNECTIONS, "connections are shared");
    }
}
