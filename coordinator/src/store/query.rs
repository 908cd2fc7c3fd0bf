//! What can be read of a store while it is written: trials and their curves.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::outcome::TrialState;
use caviar_common::spec::Goal;
use caviar_common::view::TrialView;
use caviar_core::snapshot::{LoadJob, LoadedSweep};

use super::StoreError;

/// The order of a list of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialOrder {
    /// By trial number, ascending.
    #[default]
    Number,
    /// Completed trials, the best first; then all others by number.
    Objective,
}

/// Which trials to list.
#[derive(Clone, Debug)]
pub struct TrialQuery {
    /// The sweep of the trials.
    pub sweep: SweepId,
    /// Whether a high objective is good.
    pub goal: Goal,
    /// How many trials the sweep has at least. If the store has fewer, it is damaged.
    pub known: u32,
    /// Only trials in these states; empty for all states.
    pub states: Vec<TrialState>,
    /// The order of the list.
    pub order: TrialOrder,
    /// Only the trials after this one, in `order`; `None` begins with the first.
    pub after: Option<TrialNumber>,
    /// At most this many trials.
    pub limit: usize,
    /// The most metric values in the curves of all trials together. The first trial has its whole
    /// curve in any case. `None` if no curves are wanted.
    pub max_values: Option<usize>,
}

impl TrialQuery {
    /// All trials of a sweep by number, without curves.
    pub fn all(sweep: SweepId, goal: Goal) -> Self {
        let (known, states, order) = (0, Vec::new(), TrialOrder::Number);
        let (after, limit, max_values) = (None, usize::MAX, None);
        Self { sweep, goal, known, states, order, after, limit, max_values }
    }
}

/// Some of the trials that a query selects.
#[derive(Clone, Debug, Default)]
pub struct TrialPage {
    /// The trials, with the times at which they started and ended. None is shown as parked, because
    /// the store does not know it.
    pub trials: Vec<TrialView>,
    /// True if more trials follow.
    pub has_more: bool,
}

/// A connection that reads a store.
pub trait Reader: Send {
    /// The trials that a query selects.
    ///
    /// # Errors
    /// The store cannot be read, or a row differs from what was written.
    fn trials(&mut self, query: &TrialQuery) -> Result<TrialPage, StoreError>;

    /// A trial with its curve; `None` if the store does not have it.
    ///
    /// # Errors
    /// As [`Reader::trials`].
    fn trial(
        &mut self,
        sweep: SweepId,
        trial: TrialNumber,
    ) -> Result<Option<TrialView>, StoreError>;

    /// Loads a sweep that has ended from the last snapshot.
    ///
    /// # Errors
    /// As [`Reader::trials`].
    fn load(&mut self, job: LoadJob) -> Result<LoadedSweep, StoreError>;
}

/// Opens connections that read a store.
pub trait Readers: Send + Sync {
    /// Opens one more connection.
    ///
    /// # Errors
    /// The store cannot be opened.
    fn open(&self) -> Result<Box<dyn Reader>, StoreError>;
}
