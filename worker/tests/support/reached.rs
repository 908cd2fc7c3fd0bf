//! How often the random steps reached each case that matters.

#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) results_sent_again: u32,
    pub(crate) epochs_sent_again: u32,
    pub(crate) grants_lost: u32,
    pub(crate) runners_cancelled: u32,
    pub(crate) grants_while_a_runner_stops: u32,
    pub(crate) releases: u32,
    pub(crate) runners_parked: u32,
    pub(crate) runners_unparked: u32,
    pub(crate) ends_while_parked: u32,
    pub(crate) checkpoints: u32,
    pub(crate) checkpoints_of_released: u32,
    pub(crate) models: u32,
}

impl Reached {
    /// Whether each case was reached often enough to be tested.
    pub(crate) fn is_enough(&self) -> bool {
        let counts = [
            self.results_sent_again,
            self.epochs_sent_again,
            self.grants_lost,
            self.runners_cancelled,
            self.grants_while_a_runner_stops,
            self.releases,
            self.runners_parked,
            self.runners_unparked,
            self.ends_while_parked,
            self.checkpoints,
            self.models,
        ];
        counts.iter().all(|count| *count > 20) && self.checkpoints_of_released > 5
    }
}
