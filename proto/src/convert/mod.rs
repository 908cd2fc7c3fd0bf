//! Conversions between the wire and the types of `caviar-common`.
//!
//! Every `decode_` function takes a message of a peer, whose fields can have any value, and returns
//! a checked value or the first problem, with the path of its field, such as
//! `report.points[3].validation.loss`. It enforces every limit of [`caviar_common::limits`].
//!
//! Every `encode_` function takes a checked value and cannot fail. It cuts texts for people to the
//! length that the other side accepts.

pub mod artifacts;
pub mod data;
mod field;
mod metrics;
pub mod spec;
pub mod trial;
mod value;
pub mod view;
pub mod worker;
