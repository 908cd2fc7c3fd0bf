//! The worker: it holds leases, trains their trials, and reports the results.
//!
//! ```text
//! Driver (one task)
//!   |-- Agent     pure: the held leases, and what the coordinator has not acknowledged
//!   |-- Runners   one thread per trial; all share the data, which is read once, and the memory
//!   `-- link      one gRPC stream to the coordinator, opened again whenever it breaks
//! ```
//!
//! A grant arrives over the link, the agent records its lease, and a runner trains it. Epochs and
//! results go back the same way. The agent keeps them until the coordinator acknowledges that they
//! are stored. The runners continue while there is no connection.
//!
//! [`run`] is a worker inside any program:
//!
//! ```
//! use caviar_worker::caviar_common::ids::Name;
//! use caviar_worker::{LeaveRules, WorkerConfig, run};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = WorkerConfig {
//!     coordinator: "127.0.0.1:7070".to_owned(),
//!     name: Name::parse("name", "my-worker")?,
//!     slots: 2,
//!     memory: Some("4GiB".parse()?),
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
mod control;
mod data;
mod driver;
mod leave;
mod link;
mod memory;
mod outbox;
mod pace;
pub mod program;
mod runner;
mod slots;
mod time_limit;

use caviar_client::{AddressError, Dialer};
use caviar_common::error::ErrorClass;
use caviar_common::ids::{Incarnation, Name};
use caviar_common::limits::MAX_SLOTS;
use futures_core::future::BoxFuture;
use tokio::sync::mpsc;

pub use caviar_common;

pub use crate::leave::LeaveRules;
pub use crate::memory::{BadMemoryLimit, MemoryLimit};
pub use crate::slots::SlotChoice;
pub use crate::time_limit::time_left_of_slurm_job;

use crate::agent::{Agent, Identity};
use crate::driver::{Driver, Stop};
use crate::leave::Leave;
use crate::runner::Runners;

/// Events of runners that may wait for the driver. The driver handles them at once, so a runner
/// rarely has to wait until the channel has room.
const EVENTS: usize = 256;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The coordinator's address in any form that [`Dialer::new`] understands.
    pub coordinator: String,
    /// The name, unique among the workers of a coordinator.
    pub name: Name,
    /// Number of trials to train at once, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// Memory for all trials and their data together; `None` for no limit.
    pub memory: Option<MemoryLimit>,
    /// When it leaves on its own.
    pub leave: LeaveRules,
}

/// Why a worker cannot start. Once it has started, it retries after every failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// The coordinator's address is not an address.
    #[error("coordinator {0}")]
    Address(#[from] AddressError),
    /// The number of slots is out of range.
    #[error("slots = {slots}: expected a number from 1 to {MAX_SLOTS}")]
    Slots {
        /// The number that was given.
        slots: u32,
    },
}

impl WorkerError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Address(_) | Self::Slots { .. } => ErrorClass::Invalid,
        }
    }

    /// What to do about it, for people.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Address(_) => "write HOST:PORT, for example 127.0.0.1:7070",
            Self::Slots { .. } => "one slot per core is a good choice",
        }
    }
}

/// Works for a coordinator until `stop` is ready or the coordinator drains the worker.
///
/// On `stop`, every training ends at its next mini-batch and its lease is released. The worker then
/// takes up to two seconds to deliver finished results. A drained worker first finishes the trials
/// that it holds. While the coordinator cannot be reached, the worker keeps trying to connect.
///
/// # Errors
/// The configuration is wrong; nothing was started.
pub fn run<'a>(
    config: WorkerConfig,
    stop: impl Future<Output = ()> + Send + 'a,
) -> BoxFuture<'a, Result<(), WorkerError>> {
    // Boxed so that the worker is compiled here, and not again in each crate that awaits it.
    Box::pin(work(config, Box::pin(stop)))
}

async fn work(config: WorkerConfig, stop: Stop<'_>) -> Result<(), WorkerError> {
    let dialer = Dialer::new(&config.coordinator)?;
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
    let driver = Driver::new(
        Agent::new(identity),
        Runners::new(sender, config.memory),
        events,
        dialer,
        (stop, leave),
    );
    tracing::Instrument::instrument(driver.run(), span).await;
    Ok(())
}
