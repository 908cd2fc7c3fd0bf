//! The memory limit of a worker: a trial is admitted only when it fits into the memory that is
//! left.
//!
//! The limit covers the data sets, which all slots share and which count once, and the running
//! trials. A trial that does not fit waits until others end. Trials are admitted in the order of
//! their arrival, so that small trials cannot delay a large one indefinitely.
//!
//! An equal share for every slot would need no waiting. But it would refuse trials that fit, and it
//! would no longer hold once a sweep with other data begins.
//!
//! ```text
//! admit = wait for permission to start -> read the data -> reserve bytes (may wait) -> train
//!         `StartPermit`                                    `Reservation`
//! ```

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use caviar_common::ids::LeaseId;
use caviar_data::Splits;
use caviar_nn::data_bytes;

use crate::cache::Blobs;
use crate::control::Flags;
use crate::data::{DataCache, DataKey, LoadError};

/// The smallest limit. No trial fits into less, so a smaller number most likely lacks its unit.
const MIN_LIMIT: ByteSize = ByteSize::mib(1);

/// The bytes that the trials of a worker and their data may use together; at least 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit(ByteSize);

impl MemoryLimit {
    /// The limit in bytes.
    pub const fn bytes(self) -> u64 {
        self.0.as_u64()
    }
}

/// Why a text is not a [`MemoryLimit`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMemoryLimit {
    /// The text is not a size.
    #[error("expected a number and its unit, such as 4GiB, 512MiB or 2GB")]
    NoSize,
    /// The size is too small for any trial.
    #[error(
        "{0} is too small for any trial: expected at least 1MiB, with the unit, such as 4GiB, \
         512MiB or 2GB"
    )]
    TooSmall(ByteSize),
}

impl FromStr for MemoryLimit {
    type Err = BadMemoryLimit;

    /// `4GiB` is 4 x 1024^3 bytes; `4GB` and `4G` are 4 x 1000^3 bytes. A number without a unit is
    /// in bytes.
    fn from_str(text: &str) -> Result<Self, BadMemoryLimit> {
        let size: ByteSize = text.trim().parse().map_err(|_| BadMemoryLimit::NoSize)?;
        if size < MIN_LIMIT { Err(BadMemoryLimit::TooSmall(size)) } else { Ok(Self(size)) }
    }
}

/// Why a worker does not admit a trial.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// The data cannot be loaded.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// The trial would not fit even if no other trial ran.
    #[error(
        "it needs {trial} in addition to {data} of data, but --memory is {limit}: \
         use --memory {}, or a smaller batch_size, units or layers",
        .trial.as_u64().saturating_add(.data.as_u64())
    )]
    TooLarge {
        /// What the trial would allocate.
        trial: ByteSize,
        /// The size of its data.
        data: ByteSize,
        /// The limit for both together.
        limit: ByteSize,
    },
}

/// Admits trials to the memory of a worker, and holds the data that they share.
#[derive(Debug)]
pub(crate) struct Memory {
    /// `None` for no limit.
    limit: Option<MemoryLimit>,
    data: DataCache,
    ledger: Mutex<Ledger>,
    /// Notified when a waiting trial may be admitted or was stopped.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Bytes that admitted trials may allocate, without their data.
    reserved_bytes: u64,
    /// Trials that wait for permission to start, and the one that has it; in order of arrival.
    queue: VecDeque<LeaseId>,
}

impl Memory {
    /// Data comes from `blobs` if the coordinator keeps it; `None` to read all data at its path.
    pub(crate) fn new(limit: Option<MemoryLimit>, blobs: Option<Blobs>) -> Self {
        Self {
            limit,
            data: DataCache::with_blobs(blobs),
            ledger: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Reads the data of a trial, then blocks until `bytes_of(data)` more bytes fit. Returns `None`
    /// if the trial is stopped first.
    ///
    /// With a limit, trials are admitted one at a time, because the size of data is known only
    /// after it was read. At most the data of the trial that is being admitted exceeds the limit.
    ///
    /// # Errors
    /// The data cannot be loaded, or the trial would not fit even if no other trial ran.
    pub(crate) fn admit(
        &self,
        lease: LeaseId,
        flags: &Flags,
        key: DataKey<'_>,
        bytes_of: impl FnOnce(&Splits) -> u64,
    ) -> Result<Option<Admission<'_>>, AdmissionError> {
        let Some(_permit) = self.wait_for_permit(lease, flags) else { return Ok(None) };
        // If the trial is refused or stopped, `data` is dropped before the permit, which is
        // declared first. The next trial then no longer counts this data as used.
        let data = match self.data.get(key, flags) {
            Err(LoadError::Stopped) => return Ok(None),
            data => data?,
        };
        let reservation = self.reserve(bytes_of(&data), &data, flags)?;
        Ok(reservation.map(|reservation| Admission { data, reservation }))
    }

    /// Makes waiting trials check again whether they were stopped.
    pub(crate) fn wake(&self) {
        // A waiting trial holds this lock from its check until it sleeps, so it cannot miss the
        // notification in between.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Blocks until the trial is the first in the queue; `None` if it is stopped first.
    fn wait_for_permit(&self, lease: LeaseId, flags: &Flags) -> Option<StartPermit<'_>> {
        let mut ledger = self.lock();
        ledger.queue.push_back(lease);
        // Created before the wait, so that its drop removes the trial from the queue also when the
        // trial is stopped.
        let permit = StartPermit { memory: self, lease };
        let is_first =
            |ledger: &Ledger| self.limit.is_none() || ledger.queue.front() == Some(&lease);
        let is_granted = self.wait_until(ledger, flags, is_first).is_some();
        is_granted.then_some(permit)
    }

    /// Blocks until `bytes` fit next to all data, and reserves them; `None` if the trial is stopped
    /// first.
    fn reserve(
        &self,
        bytes: u64,
        data: &Splits,
        flags: &Flags,
    ) -> Result<Option<Reservation<'_>>, AdmissionError> {
        let (trial, data) = (ByteSize(bytes), ByteSize(data_bytes(data)));
        if let Some(MemoryLimit(limit)) = self.limit
            && bytes.saturating_add(data.as_u64()) > limit.as_u64()
        {
            return Err(AdmissionError::TooLarge { trial, data, limit });
        }
        let ledger = self.lock();
        if !self.fits(ledger.reserved_bytes, bytes) {
            tracing::info!(memory = %trial, "trial waits for memory that others use");
        }
        let fits = |ledger: &Ledger| self.fits(ledger.reserved_bytes, bytes);
        let Some(mut ledger) = self.wait_until(ledger, flags, fits) else { return Ok(None) };
        ledger.reserved_bytes = ledger.reserved_bytes.saturating_add(bytes);
        Ok(Some(Reservation { memory: self, bytes }))
    }

    /// Blocks until `ready`; `None` if the trial is stopped first.
    fn wait_until<'a>(
        &self,
        ledger: MutexGuard<'a, Ledger>,
        flags: &Flags,
        ready: impl Fn(&Ledger) -> bool,
    ) -> Option<MutexGuard<'a, Ledger>> {
        let stopped = flags.stopped();
        let must_wait = |ledger: &mut Ledger| !ready(ledger) && !stopped.load(Ordering::Relaxed);
        let ledger = flags.while_waiting(|| {
            self.changed.wait_while(ledger, must_wait).unwrap_or_else(PoisonError::into_inner)
        });
        ready(&ledger).then_some(ledger)
    }

    /// Whether `bytes` more fit next to the `reserved` bytes and all data. Drops unused data if
    /// they would not fit otherwise.
    fn fits(&self, reserved: u64, bytes: u64) -> bool {
        let Some(MemoryLimit(limit)) = self.limit else { return true };
        let fits =
            || reserved.saturating_add(bytes).saturating_add(self.data.bytes()) <= limit.as_u64();
        fits() || {
            self.data.drop_unused();
            fits()
        }
    }

    /// Locks the ledger even if it is poisoned: every change is one step, so a panic leaves no
    /// partial change.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of an admitted trial: its data, and the bytes reserved for what it allocates. Drop it
/// only after the trial has freed its memory.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    /// Declared first, so that it is dropped before the reservation ends and wakes other trials.
    data: Arc<Splits>,
    reservation: Reservation<'a>,
}

impl Admission<'_> {
    /// The data to train on.
    pub(crate) fn data(&self) -> Arc<Splits> {
        Arc::clone(&self.data)
    }

    /// The bytes that the trial may allocate, without its data.
    pub(crate) const fn bytes(&self) -> u64 {
        self.reservation.bytes
    }
}

/// A place in the queue and, once it is the first, the permission to read data and reserve memory.
struct StartPermit<'a> {
    memory: &'a Memory,
    lease: LeaseId,
}

impl Drop for StartPermit<'_> {
    fn drop(&mut self) {
        self.memory.lock().queue.retain(|lease| *lease != self.lease);
        self.memory.changed.notify_all();
    }
}

#[derive(Debug)]
struct Reservation<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut ledger = self.memory.lock();
        ledger.reserved_bytes = ledger.reserved_bytes.saturating_sub(self.bytes);
        self.memory.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
