//! Handlers of the inputs: requests about sweeps, messages of workers, requests of external
//! clients, and the passing of time.
//!
//! A handler reads the state and emits events. It refuses a request by returning a refusal, with
//! which the events emitted before remain part of the step.

mod extend;
mod external;
mod leases;
mod sweeps;
mod warm_start;
mod workers;
