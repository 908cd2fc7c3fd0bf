//! Between the wire and the words of `caviar-common`: the only code that sees both.
//!
//! Every `decode_` takes what a peer sent, which may be anything, and returns a checked value or
//! what is wrong with which field: `report.points[3].validation.loss`. Every limit of
//! [`caviar_common::limits`] is enforced here. Every `encode_` takes a checked value and cannot
//! fail; texts for people are cut to what the other side accepts.

mod field;
mod metrics;
pub mod spec;
pub mod trial;
mod value;
pub mod view;
pub mod worker;
