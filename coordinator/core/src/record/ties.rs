//! What decides between equally good trials.

use serde::{Deserialize, Serialize};

/// What decides between completed trials of equal cost.
///
/// On a validation split of few rows many trials have the same accuracy. The first one of them is
/// an arbitrary choice; the one with the lowest loss is surer of what it gets right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The trial number alone, as in stores of release 0.1.
    #[default]
    Number,
    /// The validation loss of the epoch that counts, and then the trial number.
    Loss,
}

impl Ties {
    /// True if the trial number alone decides, which events do not say.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn are_by_number(&self) -> bool {
        *self == Self::Number
    }
}
