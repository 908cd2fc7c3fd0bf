//! The vocabulary of Caviar: the words of the design as types, checked once and used everywhere.
//!
//! Nothing here does I/O, and nothing here knows of tokio, tonic or prost.
#![forbid(unsafe_code)]

pub mod address;
pub mod ask;
pub mod assignment;
pub mod backoff;
pub mod cost;
pub mod data;
pub mod error;
pub mod grid;
pub mod hyper;
pub mod ids;
pub mod limits;
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
pub mod view;
