//! What a sampler learns from: the decisions on trials, in the order in which they were made.

/// Which decision on a trial wrote a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The trial continues past the rung of this number, counted from 0.
    Passed(u32),
    /// The trial was stopped at the rung of this number, counted from 0.
    Stopped(u32),
    /// The trial has ended by itself: it was trained to its last epoch, diverged or failed.
    Ended,
}

/// One entry of the log. [`History::assignment`](crate::History::assignment) has the trial's
/// hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The trial's number, counted from 0.
    pub trial: u32,
    /// Which decision on the trial this is.
    pub stage: Stage,
    /// The objective at this stage, with its sign adjusted so that lower is better. It is `None`
    /// for a trial that diverged, failed, or has no finite objective here. Such a trial counts as
    /// worse than any other.
    pub cost: Option<f64>,
}
