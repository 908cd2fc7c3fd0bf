//! What Caviar's programs have in common, so that `caviar`, `caviar-coordinator` and
//! `caviar-worker` log, stop and fail alike.
//!
//! [`main`] starts logging and a runtime, runs the program's body, and turns its end into an exit
//! code. [`Signals`] counts the requests to stop. [`Exit`] lists the exit codes. [`Report`] is what
//! a program writes when it fails.
//!
//! ```
//! use caviar_process::{Exit, Options, Report};
//!
//! async fn body() -> Result<Exit, Report> {
//!     let port = "70700".parse::<u16>();
//!     port.map_err(|error| Report::new(Exit::Usage, &error).with_hint("write 0 to 65535"))?;
//!     Ok(Exit::Success)
//! }
//!
//! let code = caviar_process::main(Options::default(), body());
//! assert_eq!(code, std::process::ExitCode::from(2));
//! ```
//!
//! Logging may lose lines, but it never delays or ends the program: see [`Log`].
#![forbid(unsafe_code)]

mod exit;
mod files;
mod log;
mod path;
mod program;
mod queue;
mod report;
mod signals;

pub use crate::exit::Exit;
pub use crate::files::raise_open_files;
pub use crate::log::{Log, LogError};
pub use crate::path::expand_path;
pub use crate::program::{Options, main};
pub use crate::report::{Report, text_with_causes};
pub use crate::signals::Signals;
pub use tracing_subscriber::filter::LevelFilter;
