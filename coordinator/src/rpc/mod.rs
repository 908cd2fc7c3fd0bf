//! `caviar.v1` over gRPC. Each service decodes and checks a request, passes it to the driver and
//! encodes the reply.
//!
//! ```text
//! Sweeps, Trials, Workers, Admin, Blobs --> Api: driver, shutdown, limits --> DriverHandle
//! ```
//! This module makes no decisions. Every error leaves it through [`caviar_proto::status`].

mod access;
mod admin;
mod api;
mod artifacts;
mod create;
mod importance;
mod lookup;
mod pages;
mod sweeps;
mod trials;
mod watch;
mod workers;

pub(crate) use access::Access;
pub(crate) use admin::Admin;
pub(crate) use api::Api;
pub(crate) use artifacts::Blobs;
pub(crate) use sweeps::Sweeps;
pub(crate) use trials::Trials;
pub(crate) use workers::Workers;
