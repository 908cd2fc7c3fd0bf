//! Lines for a log: when the sweep starts, after every round, and after a silence.

use std::time::{Duration, Instant};

use caviar_common::outcome::SweepState;
use caviar_common::view::SweepView;

use super::is_idle;
use super::pace::{Pace, work};
use crate::show::sweep::total;
use crate::show::text;
use crate::show::text::objective;

/// The longest time without a line while the sweep makes progress.
const SILENCE: Duration = Duration::from_secs(10);

/// Decides what to write, and when.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    has_notes: bool,
    pace: Pace,
    last: Option<Instant>,
    rounds_done: usize,
    /// Whether the last line reported an idle sweep.
    said_idle: bool,
}

impl Lines {
    /// Lines with or without the notes about workers.
    pub(super) fn new(has_notes: bool) -> Self {
        Self { has_notes, ..Self::default() }
    }

    /// The line to write now, if any. A sweep that is idle is reported once.
    pub(super) fn next(&mut self, sweep: &SweepView, now: Instant) -> Option<String> {
        let done = sweep.counts.finished();
        let rounds_done =
            sweep.rounds.iter().filter(|round| round.finished == round.trials).count();
        let is_new_round = rounds_done > self.rounds_done;
        let is_silent = self.last.is_none_or(|last| now.duration_since(last) >= SILENCE);
        let idle = is_idle(sweep);
        if idle {
            self.pace = Pace::default();
        }
        let is_due = if idle { !self.said_idle } else { is_new_round || is_silent };
        if !is_due {
            return None;
        }
        self.said_idle = idle;
        (self.last, self.rounds_done) = (Some(now), rounds_done);
        let left = if idle || sweep.state.is_final() {
            None
        } else {
            self.pace.left(done, work(done, &[]), total(sweep), now)
        };
        let round =
            if is_new_round { format!("round {rounds_done} done, ") } else { String::new() };
        let left = left.map_or_else(String::new, |left| format!(", {} left", text::duration(left)));
        let notes = sweep.notes.iter().filter(|_| self.has_notes);
        let notes: String = notes.map(|note| format!("; {note}")).collect();
        let paused = if sweep.state == SweepState::Paused { ", paused" } else { "" };
        Some(format!(
            "{}: {round}{done} of {} trials finished{paused}{}{left}{notes}",
            sweep.name,
            total(sweep),
            best(sweep),
        ))
    }
}

/// `, best completed validation_accuracy 0.9778 (trial 12)`
fn best(sweep: &SweepView) -> String {
    sweep.best.as_ref().map_or_else(String::new, |best| {
        let metric = sweep.spec.objective.metric.name();
        let value = objective(&sweep.spec, best);
        format!(", best completed {metric} {value} (trial {})", best.trial)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::samples;
    use caviar_common::view::NO_WORKER;

    #[test]
    fn a_log_gets_a_line_for_every_round_and_after_every_silence() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.counts.completed = 0;
        sweep.rounds.iter_mut().for_each(|round| round.finished = 0);
        let mut lines = Lines::default();
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        assert_eq!(
            lines.next(&sweep, second(0)).unwrap(),
            "digits: 1 of 3 trials finished, best completed validation_accuracy 0.9778 (trial 2)"
        );
        assert_eq!(lines.next(&sweep, second(1)), None);
        sweep.rounds[0].finished = 2;
        sweep.counts.completed = 1;
        assert_eq!(
            lines.next(&sweep, second(4)).unwrap(),
            "digits: round 1 done, 2 of 3 trials finished, best completed validation_accuracy \
             0.9778 (trial 2), 4.0 s left"
        );
        assert_eq!(lines.next(&sweep, second(5)), None);
        assert!(lines.next(&sweep, second(14)).is_some());
    }

    #[test]
    fn a_sweep_without_a_worker_gets_one_line_and_no_estimate() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.rounds.clear();
        sweep.best = None;
        sweep.counts.completed = 0;
        let mut lines = Lines::new(true);
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut next = |sweep: &SweepView, n| lines.next(sweep, second(n));
        assert_eq!(next(&sweep, 0).unwrap(), "digits: 1 of 3 trials finished");
        sweep.counts.completed = 1;
        assert_eq!(next(&sweep, 20).unwrap(), "digits: 2 of 3 trials finished, 20 s left");
        sweep.notes = vec![NO_WORKER.to_owned()];
        assert_eq!(
            next(&sweep, 21).unwrap(),
            "digits: 2 of 3 trials finished; no worker is connected"
        );
        for n in 22..3_600 {
            assert_eq!(next(&sweep, n), None);
        }
        sweep.notes.clear();
        assert_eq!(next(&sweep, 3_600).unwrap(), "digits: 2 of 3 trials finished");
    }
}
