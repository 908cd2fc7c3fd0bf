//! Harness of the tests of the whole: a simulated cluster around the real coordinator and the real
//! agents, and real processes.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "what fails in a harness fails the test that uses it, and should say so at once"
)]

pub mod processes;
pub mod simulation;
pub mod watch;
