//! The views of sweeps, trials and workers that clients get.

mod importance;
mod state;
mod sweep;
mod trial;
mod worker;

pub use importance::{MAX_PAIRS, decode_importance, encode_importance};
pub use state::{
    sweep_state_from_wire, sweep_state_to_wire, trial_state_from_wire, trial_state_to_wire,
};
pub use sweep::{decode_sweep, decode_test, encode_sweep, encode_test};
pub use trial::{decode_trial, encode_trial};
pub use worker::{decode_worker, encode_worker};
