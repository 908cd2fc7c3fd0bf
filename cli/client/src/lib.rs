//! A typed client for Caviar's coordinator.
//!
//! [`Client`] starts, reads and controls sweeps over gRPC. It checks every reply and turns it into
//! the types of [`caviar_common`], so that a program that uses it never sees the wire.
//!
//! ```
//! use caviar_client::Client;
//! use caviar_client::caviar_common::spec::file;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let server = caviar_coordinator::start(caviar_coordinator::ServerConfig {
//! #     listen: "127.0.0.1:0".parse()?,
//! #     store: folder.path().join("caviar.db"),
//! #     core: caviar_core::input::Config::default(),
//! #     ticks: true,
//! # })
//! # .await?;
//! # let address = server.address().to_string();
//! // `address` is where the coordinator listens, such as "127.0.0.1:7070".
//! let client = Client::connect(&address).await?;
//!
//! let sweep = file::parse(
//!     r#"
//!     name = "digits"
//!     [data]
//!     source = "builtin:digits"
//!     [space]
//!     learning_rate = { scale = "log", low = 1e-4, high = 1.0 }
//!     [search]
//!     trials = 20
//!     "#,
//! )?;
//! client.create_sweep("my-first-request", &sweep.spec).await?;
//!
//! let digits = client.sweep("digits").await?;
//! assert_eq!(digits.counts.completed, 0);
//! assert_eq!(digits.notes, ["no worker is connected"]);
//!
//! client.cancel_sweep("digits").await?;
//! # drop(client);
//! # server.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Dialer`] connects without the typed client. The worker uses it, and a program that calls a
//! service of `caviar.v1` that [`Client`] does not cover can use it too.
#![forbid(unsafe_code)]

mod artifacts;
mod client;
mod dial;
mod error;
mod holder;
mod probe;
mod stream;
mod sweeps;
mod trials;
mod workers;

pub use caviar_blob;
pub use caviar_common;
pub use caviar_common::address::{Address, AddressError};

pub use crate::artifacts::{ArtifactUsage, Artifacts, Download, Uploaded};
pub use crate::client::Client;
pub use crate::dial::{DialError, Dialer};
pub use crate::error::{Error, Request};
pub use crate::holder::holder_of;
pub use crate::stream::{Replies, SweepChanges, TrialReplies};
