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
//! use caviar_common::join::{Role, trust_folder};
//! use caviar_coordinator::{Security, ServerConfig, TlsOptions, start};
//! use caviar_core::input::Config;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let store = folder.path().join("caviar.db");
//! // `store` is the path of a file that is created if it does not exist, such as "caviar.db".
//! let trust = trust_folder(&store);
//! let server = start(ServerConfig {
//!     listen: "127.0.0.1:0".parse()?, // port 0: any free port
//!     store,
//!     core: Config::default(),
//!     ticks: true,
//!     // The authority and the tokens are kept next to the store.
//!     security: Security::Tls(TlsOptions { folder: Some(trust), ..TlsOptions::default() }),
//! })
//! .await?;
//! println!("it listens on {}", server.url());
//! // What a worker on another host needs to connect.
//! let join = server.join(Role::Worker);
//! # assert!(join.is_some());
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod address_file;
pub mod artifacts;
pub mod driver;
mod farewell;
mod incoming;
pub mod program;
mod rpc;
mod server;
pub mod store;
pub mod trust;

pub use server::{Server, ServerConfig, ServerError, start, start_with};
pub use trust::{Security, TlsOptions, TrustError};
