//! The cost of a trial: what trials are compared by.

use caviar_common::metric::{finite_or_text, number_or_text};
use caviar_search::TotalF64;
use serde::{Deserialize, Serialize};

/// The sign-adjusted objective of a trial: lower is better. It is infinite for a trial that
/// diverged, failed, or has no finite objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(
    #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")] pub f64,
);

impl Cost {
    /// The cost of a trial; infinite for `None`.
    pub fn new(cost: Option<f64>) -> Self {
        Self(cost.unwrap_or(f64::INFINITY))
    }

    /// The cost, if it is finite.
    pub fn finite(self) -> Option<f64> {
        Some(self.0).filter(|cost| cost.is_finite())
    }
}

/// A cost as rungs compare it: -0.0 equals 0.0.
pub(super) const fn comparable(cost: f64) -> TotalF64 {
    TotalF64(cost + 0.0)
}
