//! The record: the events of a store, and the state that they make.
//!
//! ```text
//! Event { sweep, payload } --apply--> Record { sweeps, leases, .. }
//! ```
//! [`apply()`] is the only function that changes a [`Record`](state::Record). Live operation and
//! recovery both call it, so a coordinator that replays its events has the state of the one that
//! wrote them. The fields of the state are visible in this module only; the rest of the crate reads
//! them through getters. [`event`] defines what happened, [`state`] what follows from it.
//! [`sampling`] asks a sampler for the next trial, and [`replay`] does so again for every trial of
//! a stored log. [`snapshot`] shortens a restart, and keeps what sweeps that have ended do not need
//! in memory.

mod abandon;
mod apply;
mod broken;
mod cost;
pub mod curve;
mod earlier;
pub mod event;
mod execution;
mod replay;
pub(crate) mod sampling;
pub mod snapshot;
pub mod state;
mod steering;
mod suggestion;
mod ties;

pub(crate) use abandon::{abandon, leave_a_gap, reserve};
pub(crate) use apply::apply;
pub use broken::Broken;
pub use replay::{Difference, replay_decisions};
