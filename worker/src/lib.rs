//! The worker: holds leases, trains, reports.
//!
//! ```text
//! Driver (one task)
//!   |-- Agent     pure: the leases it holds, what the coordinator has not acknowledged yet
//!   |-- Runners   one thread for every trial in work; the data is read once for all of them, and they share the memory
//!   `-- link      one gRPC stream to the coordinator, dialled again for ever
//! ```
//!
//! A grant comes over the link, the agent records the lease, a runner trains. Every epoch and the
//! end go back the same way, and the agent keeps them until the coordinator says that they are
//! stored. Without a connection the runners train on.
#![forbid(unsafe_code)]

pub mod agent;
mod control;
mod data;
mod driver;
mod link;
mod memory;
mod outbox;
mod pace;
pub mod program;
mod runner;

use caviar_client::{AddressError, Dialer};
use caviar_common::error::ErrorClass;
use caviar_common::ids::{Incarnation, Name};
use caviar_common::limits::MAX_SLOTS;
use tokio::sync::mpsc;

pub use crate::memory::{BadMemoryLimit, MemoryLimit};

use crate::agent::{Agent, Identity};
use crate::driver::Driver;
use crate::runner::Runners;

/// Events of runners that the driver has not taken yet. It takes them at once; a runner waits only
/// if it does not.
const EVENTS: usize = 256;

/// Who a worker is and whom it works for.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The coordinator's address in any form that [`Dialer::new`] understands.
    pub coordinator: String,
    /// The worker's name, unique among the workers of a coordinator.
    pub name: Name,
    /// Trials trained at once, 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// What all of them and their data may take together; none for no limit.
    pub memory: Option<MemoryLimit>,
}

/// Why a worker cannot even begin. Later there is nothing that it does not get over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// The coordinator's address is not an address.
    #[error("coordinator {0}")]
    Address(#[from] AddressError),
    /// The number of slots is out of range.
    #[error("slots = {slots}: write 1 to {MAX_SLOTS}")]
    Slots {
        /// The number.
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

    /// What would be right, for people.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Address(_) => "write HOST:PORT, for example 127.0.0.1:7070",
            Self::Slots { .. } => "one slot per core is a good number",
        }
    }
}

/// Works for a coordinator until `stop` is ready or the coordinator drains the worker.
///
/// On `stop` every training ends at its next mini-batch and is given back; what is finished is
/// handed in, for at most some two seconds. When drained, the worker first finishes what it holds.
/// A coordinator that is away, or goes away, is waited for.
///
/// # Errors
/// The configuration is wrong; nothing was begun.
pub async fn run(config: WorkerConfig, stop: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let dialer = Dialer::new(&config.coordinator)?;
    if !(1..=MAX_SLOTS).contains(&config.slots) {
        return Err(WorkerError::Slots { slots: config.slots });
    }
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
        stop,
    );
    tracing::Instrument::instrument(driver.run(), span).await;
    Ok(())
}
