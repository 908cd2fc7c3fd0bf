//! Memory: a trial takes its own only when it fits beside what is there.
//!
//! What is there is the data, which all slots share and which counts once, and the trials that run.
//! A trial that fits only alone waits until others end. First come, first served: a large trial is
//! not passed over for ever by small ones. An equal share for every slot would need no waiting, but
//! it would refuse trials that fit, and would not hold once a sweep with other data begins.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use caviar_common::ids::LeaseId;
use caviar_data::Splits;
use caviar_nn::data_bytes;

use crate::data::{DataCache, LoadError, Wanted};

/// Less holds no trial: who asks for it forgot the unit.
const LEAST: ByteSize = ByteSize::mib(1);

/// The bytes that the trials of a worker and their data may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit(ByteSize);

/// Why a text is no [`MemoryLimit`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMemoryLimit {
    /// It is no size.
    #[error("write a number and its unit, such as 4GiB, 512MiB or 2GB")]
    NoSize,
    /// It is too small for any trial.
    #[error("{0} hold no trial: write at least 1MiB, with the unit, such as 4GiB, 512MiB or 2GB")]
    TooSmall(ByteSize),
}

impl FromStr for MemoryLimit {
    type Err = BadMemoryLimit;

    /// `4GiB` has 4 x 1024^3 bytes, `4GB` and `4G` 4 x 1000^3; a number without a unit is in bytes.
    fn from_str(text: &str) -> Result<Self, BadMemoryLimit> {
        let size: ByteSize = text.trim().parse().map_err(|_| BadMemoryLimit::NoSize)?;
        if size < LEAST { Err(BadMemoryLimit::TooSmall(size)) } else { Ok(Self(size)) }
    }
}

/// Why a trial is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no data for it.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// It would not fit even alone.
    #[error(
        "it needs {trial} beside {data} of data, and --memory is {limit}: --memory {} would do, or a smaller batch_size, units or layers",
        .trial.as_u64().saturating_add(.data.as_u64())
    )]
    TooLarge {
        /// What it needs.
        trial: ByteSize,
        /// What its data takes.
        data: ByteSize,
        /// What both may take.
        limit: ByteSize,
    },
}

/// The memory of a worker, and its data.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: Option<MemoryLimit>,
    data: DataCache,
    book: Mutex<Book>,
    /// Somebody may come in, or was told to stop.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    /// Bytes of the trials that are in, without their data.
    trials: u64,
    /// Who wants to come in, the longest first.
    queue: VecDeque<LeaseId>,
}

impl Memory {
    pub(crate) fn new(limit: Option<MemoryLimit>) -> Self {
        Self { limit, data: DataCache::default(), book: Mutex::default(), changed: Condvar::new() }
    }

    /// Reads the data, and waits until a trial fits that needs as many bytes beside it as
    /// `bytes_of` says; none if it is `stopped` first.
    ///
    /// With a limit, one comes in after the other, because the size of data is known only once it
    /// is read: beyond the limit there can be the data of the one that comes next, and nothing
    /// else.
    ///
    /// # Errors
    /// There is no data, or it would not fit even alone.
    pub(crate) fn enter(
        &self,
        lease: LeaseId,
        stopped: &AtomicBool,
        wanted: Wanted<'_>,
        bytes_of: impl FnOnce(&Splits) -> u64,
    ) -> Result<Option<Place<'_>>, Refused> {
        let Some(_turn) = self.turn(lease, stopped) else { return Ok(None) };
        // Declared after the turn, and so let go before it: the next one counts what is there.
        let data = self.data.get(wanted)?;
        let room = self.room(bytes_of(&data), &data, stopped)?;
        Ok(room.map(|room| Place { data, room }))
    }

    /// Those who wait look again whether they were stopped.
    pub(crate) fn wake(&self) {
        // Nobody is between a look and the sleep after it while this has the book.
        drop(self.book());
        self.changed.notify_all();
    }

    fn turn(&self, lease: LeaseId, stopped: &AtomicBool) -> Option<Turn<'_>> {
        let mut book = self.book();
        book.queue.push_back(lease);
        let turn = Turn { memory: self, lease };
        let is_first = |book: &Book| self.limit.is_none() || book.queue.front() == Some(&lease);
        let is_let_in = self.wait(book, stopped, is_first).is_some();
        is_let_in.then_some(turn)
    }

    fn room(
        &self,
        bytes: u64,
        data: &Splits,
        stopped: &AtomicBool,
    ) -> Result<Option<Room<'_>>, Refused> {
        let (trial, data) = (ByteSize(bytes), ByteSize(data_bytes(data)));
        if let Some(MemoryLimit(limit)) = self.limit
            && bytes.saturating_add(data.as_u64()) > limit.as_u64()
        {
            return Err(Refused::TooLarge { trial, data, limit });
        }
        let book = self.book();
        if !self.fits(book.trials, bytes) {
            tracing::info!(memory = %trial, "trial waits for memory that others use");
        }
        let Some(mut book) = self.wait(book, stopped, |book| self.fits(book.trials, bytes)) else {
            return Ok(None);
        };
        book.trials = book.trials.saturating_add(bytes);
        Ok(Some(Room { memory: self, bytes }))
    }

    /// Waits for something; none if it is stopped first.
    fn wait<'a>(
        &self,
        book: MutexGuard<'a, Book>,
        stopped: &AtomicBool,
        ready: impl Fn(&Book) -> bool,
    ) -> Option<MutexGuard<'a, Book>> {
        let must_wait = |book: &mut Book| !ready(book) && !stopped.load(Ordering::Relaxed);
        let book = self.changed.wait_while(book, must_wait).unwrap_or_else(PoisonError::into_inner);
        ready(&book).then_some(book)
    }

    /// Whether so many bytes fit beside the `trials` that are in and all data. Data that nobody
    /// uses gives way.
    fn fits(&self, trials: u64, bytes: u64) -> bool {
        let Some(MemoryLimit(limit)) = self.limit else { return true };
        let fits =
            || trials.saturating_add(bytes).saturating_add(self.data.bytes()) <= limit.as_u64();
        fits() || {
            self.data.forget_unused();
            fits()
        }
    }

    /// Every change of it is a single step: a panic leaves nothing half-done.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trial's place: its data, and room for what it allocates. To be dropped after that.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// What it trains on; let go before the room.
    data: Arc<Splits>,
    room: Room<'a>,
}

impl Place<'_> {
    /// What it trains on.
    pub(crate) fn data(&self) -> Arc<Splits> {
        Arc::clone(&self.data)
    }

    /// Bytes that it may allocate.
    pub(crate) const fn bytes(&self) -> u64 {
        self.room.bytes
    }
}

/// The right to be the next that comes in.
struct Turn<'a> {
    memory: &'a Memory,
    lease: LeaseId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.memory.book().queue.retain(|lease| *lease != self.lease);
        self.memory.changed.notify_all();
    }
}

#[derive(Debug)]
struct Room<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut book = self.memory.book();
        book.trials = book.trials.saturating_sub(self.bytes);
        self.memory.changed.notify_all();
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
