//! The steps of the model of a worker and a coordinator.

use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Dial,
    Disconnect,
    /// The worker sends a message.
    WorkerSends,
    /// The coordinator receives a message.
    CoordinatorReceives,
    /// The worker receives a message.
    WorkerReceives,
    Grant,
    Revoke(usize),
    /// The coordinator stops a trial at a rung.
    Stop(usize),
    Park(usize),
    Unpark(usize),
    Epoch(usize),
    Finish(usize),
    Unable(usize),
    /// A runner writes a checkpoint.
    Checkpoint(usize),
    /// A checkpoint is stored, or cannot be.
    Stored(usize),
    Drain,
    /// The worker is told to stop.
    Leave,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Dial),
        2 => Just(Step::Disconnect),
        12 => Just(Step::WorkerSends),
        12 => Just(Step::CoordinatorReceives),
        14 => Just(Step::WorkerReceives),
        8 => Just(Step::Grant),
        2 => any::<usize>().prop_map(Step::Revoke),
        2 => any::<usize>().prop_map(Step::Stop),
        5 => any::<usize>().prop_map(Step::Park),
        3 => any::<usize>().prop_map(Step::Unpark),
        12 => any::<usize>().prop_map(Step::Epoch),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Unable),
        3 => any::<usize>().prop_map(Step::Checkpoint),
        3 => any::<usize>().prop_map(Step::Stored),
        1 => Just(Step::Drain),
    ]
}
