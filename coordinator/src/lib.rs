//! The coordinator: driver, store, gRPC.
//!
//! ```text
//! client, worker --gRPC--> rpc --Input--> driver (one thread) --step--> caviar_core::Coordinator
//!                                           |  ^                              |
//!                              replies, messages, views                     events
//!                                              |                              v
//!                                              +------ once committed ---- store
//! ```
//! [`start`] gives a [`Server`], whether for the program `caviar-coordinator` or inside of another
//! one. The state machine itself is in `caviar-core`; here is what touches the world: [`store`]
//! keeps the events, [`driver`] owns both, and the services speak `caviar.v1`.
#![forbid(unsafe_code)]

mod address_file;
pub mod driver;
pub mod program;
mod rpc;
mod server;
pub mod store;

pub use server::{Server, ServerConfig, ServerError, start};
