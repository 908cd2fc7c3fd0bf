//! The vocabulary of Caviar: the types that all other crates share, each checked when it is made.
//!
//! - A sweep begins as text: [`spec::file::parse`] reads a sweep file into a [`spec::SweepSpec`].
//!   The table of [`hyper`] has every hyperparameter with its legal values.
//! - [`space`], [`scale`] and [`grid`] describe what is searched; [`assignment`] holds the values
//!   of one trial, and [`hyper::train_spec`] turns them into a [`train::TrainSpec`].
//! - [`message`] and [`ask`] are the conversations with workers and external clients;
//!   [`view`] is what clients see.
//! - [`error`] has the problems that a user reads, [`limits`] the limit of every input.
//!
//! The crate performs no I/O and does not depend on tokio, tonic or prost.
//!
//! ```
//! use caviar_common::spec::file;
//!
//! let sweep = r#"
//! name = "iris"
//! [data]
//! source = "iris.csv"
//! label = "species"
//! validation = 1.5
//! [search]
//! trials = 30
//! "#;
//! let problems = file::parse(sweep).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "line 6: data.validation = 1.5: expected a number between 0 and 1, such as 0.2"
//! );
//!
//! let spec = file::parse(&sweep.replace("1.5", "0.25")).unwrap().spec;
//! assert_eq!(spec.search.trials, 30);
//! ```
#![forbid(unsafe_code)]

pub mod address;
pub mod ask;
pub mod assignment;
pub mod backoff;
pub mod blob;
pub mod compact;
pub mod cost;
pub mod data;
pub mod duration;
pub mod error;
pub mod grid;
pub mod hyper;
pub mod ids;
pub mod join;
pub mod limits;
pub mod measure;
pub mod merit;
pub mod message;
pub mod metric;
pub mod numbers;
pub mod outcome;
pub mod reason;
pub mod scale;
pub mod seed;
pub mod space;
pub mod spec;
pub mod text;
pub mod train;
pub mod utc;
pub mod view;
