//! The interface of a sampler: what it is asked, and what it replies.

use caviar_common::assignment::Assignment;
use caviar_common::reason::Reason;

use crate::history::History;

/// A question to a sampler: which hyperparameters should this trial have?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The number of the trial that is to start, counted from 0.
    pub trial: u32,
    /// The assignments of all trials so far, and all decisions on them. Between two questions to
    /// the same sampler, the history only grows.
    pub history: &'a History,
    /// The numbers of the trials in flight that have no entry in the log yet, in ascending order.
    pub pending: &'a [u32],
}

/// A sampler's reply to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub enum SamplerReply {
    /// Start the trial with this assignment.
    Suggest(Suggestion),
    /// Ask again after the next decision: this trial depends on results that are missing.
    Wait,
    /// Every point of the space has been tried or is in flight.
    Exhausted,
}

/// An assignment, and why the sampler chose it.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// A value for every active parameter.
    pub assignment: Assignment,
    /// What `caviar explain` shows for the trial.
    pub reason: Reason,
}

/// Chooses the hyperparameters of trials.
///
/// A sampler is a function of the question and of what it was built from. It may keep intermediate
/// results between two questions, but these must not change a reply.
pub trait Sampler: std::fmt::Debug + Send {
    /// Chooses the hyperparameters of one trial.
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply;

    /// True if the reply to this question takes microseconds, however long the history is. Then it
    /// is not worth moving the sampler to another thread.
    fn is_quick(&self, question: &Question<'_>) -> bool;
}

/// The results of an earlier sweep, from which a sweep with `warm_start` learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WarmStart {
    /// The assignment and the cost of each trial, in any order. The values lie in the earlier
    /// sweep's ranges. The cost is `None` for a trial that diverged or failed.
    pub results: Vec<(Assignment, Option<f64>)>,
}
