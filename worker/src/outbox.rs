//! The epochs of one lease that the coordinator has not acknowledged yet. After a reconnect they
//! are sent again.

use std::collections::VecDeque;

use caviar_common::limits::MAX_POINTS_PER_REPORT;
use caviar_common::metric::EpochMetrics;

/// An epoch that ended.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    metrics: EpochMetrics,
    /// Training time of the attempt when the epoch ended.
    seconds: f64,
}

/// Consecutive epochs to report together.
#[derive(Debug, PartialEq)]
pub(crate) struct Epochs {
    /// The epochs, oldest first.
    pub(crate) points: Vec<EpochMetrics>,
    /// Training time of the attempt, in seconds, when the last of them ended.
    pub(crate) seconds: f64,
}

/// A queue of unacknowledged epochs, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    epochs: VecDeque<Epoch>,
    /// The last epoch that was sent on the current connection; 0 if none was.
    sent: u32,
}

impl Outbox {
    /// Adds an epoch, which stays until it is acknowledged.
    pub(crate) fn push(&mut self, metrics: EpochMetrics, seconds: f64) {
        self.epochs.push_back(Epoch { metrics, seconds });
    }

    /// Drops every epoch up to and including `epoch`, which the coordinator has stored.
    pub(crate) fn acknowledge(&mut self, epoch: u32) {
        while self.epochs.front().is_some_and(|oldest| oldest.metrics.epoch <= epoch) {
            self.epochs.pop_front();
        }
    }

    /// Marks all epochs as unsent, for a new connection.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// True if an epoch has not been sent on the current connection.
    pub(crate) fn has_unsent(&self) -> bool {
        self.epochs.back().is_some_and(|latest| latest.metrics.epoch > self.sent)
    }

    /// Takes all unsent epochs, at most [`MAX_POINTS_PER_REPORT`]; `None` if all were sent.
    pub(crate) fn next_report(&mut self) -> Option<Epochs> {
        let first = self.epochs.partition_point(|epoch| epoch.metrics.epoch <= self.sent);
        let unsent = self.epochs.range(first..).take(MAX_POINTS_PER_REPORT);
        let seconds = unsent.clone().next_back()?.seconds;
        let points: Vec<EpochMetrics> = unsent.map(|epoch| epoch.metrics).collect();
        self.sent = points.last()?.epoch;
        Some(Epochs { points, seconds })
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::metric::Score;

    use super::*;

    fn outbox(epochs: u32) -> Outbox {
        let score = Score { loss: 1.0, accuracy: None, measured: None };
        let mut outbox = Outbox::default();
        for epoch in 1..=epochs {
            let metrics = EpochMetrics { epoch, train: score, validation: score, spread: None };
            outbox.push(metrics, f64::from(epoch));
        }
        outbox
    }

    fn epochs(report: Option<Epochs>) -> Vec<u32> {
        report.map_or_else(Vec::new, |report| report.points.iter().map(|p| p.epoch).collect())
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
        let report = outbox.next_report().unwrap();
        assert_eq!((report.points.len(), report.seconds), (5, 5.0));
        outbox.acknowledge(3);
        assert!(!outbox.has_unsent());
        outbox.rewind();
        assert_eq!(epochs(outbox.next_report()), [4, 5]);
        outbox.acknowledge(u32::MAX);
        outbox.rewind();
        assert_eq!(outbox.next_report(), None);
    }
}
