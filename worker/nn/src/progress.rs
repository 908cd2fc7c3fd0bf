//! How far a training is.

use caviar_common::metric::EpochMetrics;

use crate::loss::Tally;

/// How far a training is. An epoch consists of its mini-batches and then the blocks of examples
/// that are validated at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) epochs_done: u32,
    /// The mini-batches and blocks of the current epoch that are done.
    pub(crate) pieces_done: usize,
    /// The sums over these mini-batches.
    pub(crate) train: Tally,
    /// The sums over these blocks.
    pub(crate) validation: Tally,
    /// The metrics of the last epoch that is done; `None` before the first one ends.
    pub(crate) last: Option<EpochMetrics>,
}
