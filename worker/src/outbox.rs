//! The epochs of one lease that the coordinator has not acknowledged yet. After a reconnect they
//! are sent again.

use std::collections::VecDeque;

use caviar_common::limits::MAX_POINTS_PER_REPORT;
use caviar_common::metric::EpochMetrics;

/// A queue of unacknowledged epochs, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    points: VecDeque<EpochMetrics>,
    /// The last epoch that was sent on the current connection; 0 if none was.
    sent: u32,
}

impl Outbox {
    /// Adds an epoch, which stays until it is acknowledged.
    pub(crate) fn push(&mut self, point: EpochMetrics) {
        self.points.push_back(point);
    }

    /// Drops every epoch up to and including `epoch`, which the coordinator has stored.
    pub(crate) fn acknowledge(&mut self, epoch: u32) {
        while self.points.front().is_some_and(|point| point.epoch <= epoch) {
            self.points.pop_front();
        }
    }

    /// Marks all epochs as unsent, for a new connection.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// True if an epoch has not been sent on the current connection.
    pub(crate) fn has_unsent(&self) -> bool {
        self.points.back().is_some_and(|point| point.epoch > self.sent)
    }

    /// Takes all unsent epochs, at most [`MAX_POINTS_PER_REPORT`]; `None` if all were sent.
    pub(crate) fn next_report(&mut self) -> Option<Vec<EpochMetrics>> {
        let first = self.points.partition_point(|point| point.epoch <= self.sent);
        let points: Vec<EpochMetrics> =
            self.points.range(first..).take(MAX_POINTS_PER_REPORT).copied().collect();
        self.sent = points.last()?.epoch;
        Some(points)
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::metric::Score;

    use super::*;

    fn outbox(epochs: u32) -> Outbox {
        let score = Score { loss: 1.0, accuracy: None };
        let mut outbox = Outbox::default();
        (1..=epochs)
            .for_each(|epoch| outbox.push(EpochMetrics { epoch, train: score, validation: score }));
        outbox
    }

    fn epochs(report: Option<Vec<EpochMetrics>>) -> Vec<u32> {
        report.unwrap_or_default().iter().map(|point| point.epoch).collect()
    }

    #[test]
    fn a_report_contains_all_unsent_epochs_up_to_the_limit() {
        let mut outbox = outbox(1_500);
        assert_eq!(epochs(outbox.next_report()), (1..=1_024).collect::<Vec<_>>());
        assert!(outbox.has_unsent());
        assert_eq!(epochs(outbox.next_report()), (1_025..=1_500).collect::<Vec<_>>());
        assert!(!outbox.has_unsent());
        assert_eq!(outbox.next_report(), None);
    }

    #[test]
    fn only_unacknowledged_epochs_are_sent_again() {
        let mut outbox = outbox(5);
        assert_eq!(epochs(outbox.next_report()).len(), 5);
        outbox.acknowledge(3);
        assert!(!outbox.has_unsent());
        outbox.rewind();
        assert_eq!(epochs(outbox.next_report()), [4, 5]);
        outbox.acknowledge(u32::MAX);
        outbox.rewind();
        assert_eq!(outbox.next_report(), None);
    }
}
