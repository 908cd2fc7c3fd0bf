//! What the whole-system tests share: a simulated cluster of the real coordinator and the real
//! agents, and real processes.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a failure here fails the test that uses it, and should be reported at once"
)]

pub mod home;
pub mod launch;
pub mod processes;
pub mod python;
pub mod scripted;
pub mod simulation;
pub mod wait;
pub mod watch;
