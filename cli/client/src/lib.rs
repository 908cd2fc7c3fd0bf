//! A typed client for Caviar's coordinator.
//!
//! [`Client`] starts, reads and controls sweeps over gRPC. It checks every reply and turns it into
//! the types of [`caviar_common`], so that a program that uses it never sees the wire.
//!
//! ```
//! use caviar_client::caviar_common::join::Role;
//! use caviar_client::caviar_common::spec::file;
//! use caviar_client::{Client, Dialer, Finder};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let server = caviar_coordinator::start(caviar_coordinator::ServerConfig {
//! #     listen: "127.0.0.1:0".parse()?,
//! #     store: folder.path().join("caviar.db"),
//! #     core: caviar_core::input::Config::default(),
//! #     ticks: true,
//! #     security: caviar_coordinator::Security::Plain,
//! # })
//! # .await?;
//! # let finder = Finder { coordinator: Some(server.url()), ..Finder::default() };
//! // Without options, it finds what a coordinator of this user has left in the home folder:
//! // let finder = Finder::from_environment(None, None);
//! let dialer = Dialer::new(finder.find(Role::Submit)?, None)?;
//! let client = Client::connect(&dialer).await?;
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

#[cfg(feature = "clap")]
mod arguments;
mod artifacts;
mod client;
mod connection;
mod dial;
mod error;
mod examine;
mod holder;
mod probe;
mod shared;
mod stream;
mod sweeps;
mod tls;
mod tokens;
mod trials;
mod trust;
mod workers;

pub use caviar_blob;
pub use caviar_common;
pub use caviar_common::address::{Address, AddressError};

#[cfg(feature = "clap")]
pub use crate::arguments::ConnectionArguments;
pub use crate::artifacts::{ArtifactUsage, Artifacts, Download, Uploaded};
pub use crate::client::{Client, ClockReading};
pub use crate::connection::{Connected, ConnectionError};
pub use crate::dial::{Channel, DialError, Dialer, DialerError};
pub use crate::error::{Error, Request};
pub use crate::examine::{ConnectProblem, Examined, Opened, Reached};
pub use crate::holder::holder_of;
pub use crate::probe::ProbeOutcome;
pub use crate::shared::SharedDialer;
pub use crate::stream::{Replies, SweepChanges, TrialReplies};
pub use crate::sweeps::CreateOptions;
pub use crate::tls::{TlsProblem, Validity};
pub use crate::tokens::{Authority, CoordinatorInfo, CreatedToken, Token};
pub use crate::trust::{
    ClientCertificate, FindError, Finder, Found, FoundIn, PinError, SecretFileError, Target,
    pin_of, read_secret_file,
};
