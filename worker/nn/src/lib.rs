//! Batch-normalised networks on CPUs: data, layers, optimisers, the trainer. No async, no RPC.
mod activation;
mod batch_norm;
#[doc(hidden)]
pub mod bench;
mod check;
mod checkpoint;
mod dropout;
mod elementary;
pub mod error;
mod kernels;
mod layer;
mod loss;
mod memory;
mod network;
mod optimizer;
mod passes;
mod products;
mod schedule;
mod tensor;
pub mod trainer;

pub use error::TrainError;
pub use kernels::kernel_family;
#[doc(hidden)]
pub use kernels::multiply_add;
pub use memory::{data_bytes, trial_bytes};
pub use trainer::Trainer;

#[cfg(test)]
mod tests;
