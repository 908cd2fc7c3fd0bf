//! The coordinator: it keeps sweeps, hands their trials to workers, and stores every result.
//!
//! ```text
//! client, worker --gRPC--> rpc --Input--> driver (one thread) --step--> caviar_core::Coordinator
//!                                           |  ^                              |
//!                              replies, messages, views                     events
//!                                              |                              v
//!                                              +------ once committed ---- store
//! ```
//! The state machine itself is in `caviar-core`, which does no I/O. This crate adds the I/O:
//! [`store`] keeps the events, [`artifacts`] keeps data sets and other large files, [`driver`] owns
//! the state machine and the store, and the services translate between them and `caviar.v1`.
//! [`program`] is the command line.
//!
//! [`start`] runs a coordinator inside any program:
//!
//! ```
//! use caviar_coordinator::{ServerConfig, start};
//! use caviar_core::input::Config;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let store = folder.path().join("caviar.db");
//! // `store` is the path of a file that is created if it does not exist, such as "caviar.db".
//! let server = start(ServerConfig {
//!     listen: "127.0.0.1:0".parse()?, // port 0: any free port
//!     store,
//!     core: Config::default(),
//!     ticks: true,
//! })
//! .await?;
//! println!("workers and clients connect to http://{}", server.address());
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod address_file;
pub mod artifacts;
pub mod driver;
mod incoming;
pub mod program;
mod rpc;
mod server;
pub mod store;

pub use server::{Server, ServerConfig, ServerError, start, start_with};
