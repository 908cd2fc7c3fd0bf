//! Tests of the wire: everything that leaves comes back as it was, and nothing that arrives can do
//! harm.

mod domain;
mod hostile;
mod limits;
mod roundtrip;
mod specs;
mod status;
