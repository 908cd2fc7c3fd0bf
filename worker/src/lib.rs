//! The worker: it holds leases, trains their trials, and reports the results.
//!
//! ```text
//! Driver (one task)
//!   |-- Agent     pure: the held leases, and what the coordinator has not acknowledged
//!   |-- Runners   one thread per trial; all share the data, which is read once, and the memory
//!   `-- link      one gRPC stream to the coordinator, opened again whenever it breaks
//! ```
//!
//! Data that the coordinator keeps is fetched once for each host; see the module `cache`.
//!
//! A grant arrives over the link, the agent records its lease, and a runner trains it. Epochs and
//! results go back the same way. The agent keeps them until the coordinator acknowledges that they
//! are stored. The runners continue while there is no connection.
//!
//! [`run`] is a worker inside any program:
//!
//! ```
//! use caviar_worker::caviar_common::ids::Name;
//! use caviar_worker::caviar_client::{Dialer, Target};
//! use caviar_worker::{BlobPlaces, CheckpointConfig, LeaveRules, WorkerConfig, run};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = WorkerConfig {
//!     // A coordinator without encryption. See `SharedDialer::find` for the usual ones.
//!     coordinator: Dialer::new(Target::plain("http://127.0.0.1:7070")?, None)?.into(),
//!     name: Name::parse("name", "my-worker")?,
//!     slots: 2,
//!     memory: Some("4GiB".parse()?),
//!     checkpoints: CheckpointConfig::default(),
//!     blobs: BlobPlaces::default(),
//!     leave: LeaveRules::default(),
//! };
//! // It works until `stop` is ready. A coordinator that is not there yet is waited for.
//! let stop = tokio::time::sleep(std::time::Duration::from_millis(50));
//! run(config, stop).await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod agent;
mod cache;
mod checkpoints;
mod control;
mod data;
mod driver;
mod events;
mod held;
mod host_memory;
mod leave;
mod link;
mod memory;
mod outbox;
mod pace;
pub mod program;
mod runner;
mod slots;
mod time_limit;
mod transfers;

use std::sync::Arc;

use caviar_client::SharedDialer;
use caviar_common::error::ErrorClass;
use caviar_common::ids::{Incarnation, Name};
use caviar_common::limits::MAX_SLOTS;
use futures_core::future::BoxFuture;
use tokio::sync::mpsc;

pub use {caviar_client, caviar_common};

pub use crate::cache::{BlobPlaces, CacheReport, NetworkFileSystem};
pub use crate::checkpoints::{CheckpointConfig, CheckpointError, Checkpoints, MemoryCheckpoints};
pub use crate::host_memory::available_memory;
pub use crate::leave::{LeaveRules, longest_lead};
pub use crate::memory::{BadMemoryLimit, MemoryLimit};
pub use crate::slots::SlotChoice;
pub use crate::time_limit::time_left_of_slurm_job;

use crate::agent::{Agent, Identity};
use crate::cache::{Blobs, Fetcher};
use crate::checkpoints::ArtifactCheckpoints;
use crate::driver::{Driver, Stop};
use crate::leave::Leave;
use crate::runner::Runners;
use crate::transfers::Transfers;

/// Events of runners that may wait for the driver. The driver handles them at once, so a runner
/// rarely has to wait until the channel has room.
const EVENTS: usize = 256;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// How the coordinator is reached. A join string from a file is read again when the coordinator
    /// refuses the worker or cannot be reached.
    pub coordinator: SharedDialer,
    /// The name, unique among the workers of a coordinator.
    pub name: Name,
    /// Number of trials to train at once, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// Memory for all trials and their data together; `None` for no limit.
    pub memory: Option<MemoryLimit>,
    /// Where checkpoints are stored, and how often.
    pub checkpoints: CheckpointConfig,
    /// Where it keeps data that the coordinator sends, and where it finds such data.
    pub blobs: BlobPlaces,
    /// When it leaves on its own.
    pub leave: LeaveRules,
}

/// Why a worker cannot start, or has left without a connection. Otherwise it retries after every
/// failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// The number of slots is out of range.
    #[error("slots = {slots}: expected a number from 1 to {MAX_SLOTS}")]
    Slots {
        /// The number that was given.
        slots: u32,
    },
    /// The worker left as idle, but it had no connection to get trials on.
    #[error("the worker leaves without a connection to {url}: {reason}")]
    NotConnected {
        /// The address of the coordinator.
        url: String,
        /// Why the last connection ended, or could not be opened.
        reason: String,
    },
}

impl WorkerError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Slots { .. } => ErrorClass::Invalid,
            Self::NotConnected { .. } => ErrorClass::Unavailable,
        }
    }

    /// What to do about it, for people.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Slots { .. } => "one slot per core is a good choice",
            Self::NotConnected { .. } => "caviar doctor says why a worker does not join",
        }
    }
}

/// Works for a coordinator until `stop` is ready or the coordinator drains the worker.
///
/// On `stop`, every training writes a checkpoint at its next mini-batch and ends, and its lease is
/// released. The worker takes up to four seconds to deliver checkpoints and finished results, and
/// longer if its time limit leaves more time. A drained worker first finishes the trials that it
/// holds. While the coordinator cannot be reached, the worker keeps trying to connect.
///
/// # Errors
/// The configuration is wrong, and nothing was started; or the worker left as idle without a
/// connection.
pub fn run<'a>(
    config: WorkerConfig,
    stop: impl Future<Output = ()> + Send + 'a,
) -> BoxFuture<'a, Result<(), WorkerError>> {
    // Boxed so that the worker is compiled here, and not again in each crate that awaits it.
    Box::pin(work(config, Box::pin(stop)))
}

async fn work(config: WorkerConfig, stop: Stop<'_>) -> Result<(), WorkerError> {
    if !(1..=MAX_SLOTS).contains(&config.slots) {
        return Err(WorkerError::Slots { slots: config.slots });
    }
    let leave = Leave::new(config.leave, config.name.as_str(), tokio::time::Instant::now());
    let identity = Identity {
        worker: config.name,
        incarnation: Incarnation(rand::random()),
        slots: config.slots,
        can_park: config.memory.is_none(),
    };
    let span = tracing::info_span!("session", worker = %identity.worker);
    let (sender, events) = mpsc::channel(EVENTS);
    let blobs = Blobs::new(config.blobs, Fetcher::new(config.coordinator.clone()));
    let CheckpointConfig { place, every } = config.checkpoints;
    let place =
        place.unwrap_or_else(|| Arc::new(ArtifactCheckpoints::new(config.coordinator.clone())));
    let driver = Driver::new(
        Agent::new(identity),
        Runners::new(sender, config.memory, Some(blobs), Some(every)),
        events,
        config.coordinator,
        (Transfers::new(place), stop, leave),
    );
    tracing::Instrument::instrument(driver.run(), span).await
}
