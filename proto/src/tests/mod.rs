//! Tests of the wire: every message is the same after a round trip, and no received message can
//! cause a panic or exceed a limit.

mod checkpoints;
mod domain;
mod hostile;
mod importance;
mod limits;
mod roundtrip;
mod specs;
mod status;
mod views;
