//! How a sweep is going, on standard error: bars on a terminal, now and then a line elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use caviar_common::ids::TrialNumber;
use caviar_common::metric::Point;
use caviar_common::outcome::SweepState;
use caviar_common::view::{SweepView, TrialView};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::show::columns_of;
use crate::show::sweep::{objective, total};
use crate::show::text;

/// The longest silence where there is no terminal.
const SILENCE: Duration = Duration::from_secs(10);
/// Trials with a bar of their own; more would not fit a terminal.
const MOST_BARS: usize = 16;

/// Says something to whoever watches. Nobody is left to hear of a failure to write there.
pub(crate) fn talk(line: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{line}");
}

/// Shows how a sweep is going.
#[derive(Debug)]
pub(crate) enum Progress {
    /// On a terminal.
    Bars(Box<Bars>),
    /// Elsewhere.
    Lines(Lines),
}

impl Progress {
    /// For standard error as it is. The notes of a sweep are about its workers: `notes` is for
    /// those that are elsewhere.
    pub(crate) fn new(notes: bool) -> Self {
        if io::stderr().is_terminal() {
            Self::Bars(Box::new(Bars { notes, ..Bars::default() }))
        } else {
            Self::Lines(Lines { notes, ..Lines::default() })
        }
    }

    /// Whether the running trials are shown, so that it is worth asking for them.
    pub(crate) const fn wants_trials(&self) -> bool {
        matches!(self, Self::Bars(_))
    }

    /// Shows the sweep as it is now, and the trials that run.
    pub(crate) fn show(&mut self, sweep: &SweepView, running: &[TrialView]) {
        match self {
            Self::Bars(bars) => bars.show(sweep, running),
            Self::Lines(lines) => {
                if let Some(line) = lines.next(sweep, Instant::now()) {
                    talk(&line);
                }
            }
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&mut self) {
        if let Self::Bars(bars) = self {
            let _unseen = bars.all.clear();
        }
    }
}

/// How fast something goes, from when it was first seen.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    done: u32,
}

impl Pace {
    /// Time left if it goes on as it went.
    fn left(&self, done: u32, total: u32, now: Instant) -> Option<Duration> {
        let progress =
            done.checked_sub(self.done).filter(|progress| *progress > 0 && done < total)?;
        now.duration_since(self.since)
            .checked_mul(total.saturating_sub(done))?
            .checked_div(progress)
    }
}

/// Whether nothing goes on: a time in which nothing can be done tells nothing of the time that is
/// left.
fn is_idle(sweep: &SweepView) -> bool {
    sweep.state == SweepState::Paused || (sweep.has_no_worker() && !sweep.state.is_final())
}

fn and_left(left: Option<Duration>) -> String {
    left.map_or_else(String::new, |left| format!(", {} left", text::duration(left)))
}

/// `best validation_accuracy 0.9778 (trial 12)`
fn best(sweep: &SweepView) -> Option<String> {
    let best = sweep.best.as_ref()?;
    Some(format!(
        "best {} {} (trial {})",
        sweep.spec.objective.metric.name(),
        objective(&sweep.spec, best),
        best.trial
    ))
}

/// Lines for a log.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    notes: bool,
    pace: Option<Pace>,
    last: Option<Instant>,
    rounds_done: usize,
    /// Whether the last line said that nothing goes on.
    said_idle: bool,
}

impl Lines {
    /// What is worth saying now: that it begins, that a round is done, or anything after a silence.
    /// While nothing goes on, that is said once.
    fn next(&mut self, sweep: &SweepView, now: Instant) -> Option<String> {
        let done = sweep.counts.done();
        let rounds_done = sweep.rounds.iter().filter(|round| round.done == round.trials).count();
        let round_is_new = rounds_done > self.rounds_done;
        let silent = self.last.is_none_or(|last| now.duration_since(last) >= SILENCE);
        let idle = is_idle(sweep);
        if idle {
            self.pace = None;
        }
        let is_worth_it = if idle { !self.said_idle } else { round_is_new || silent };
        if !is_worth_it {
            return None;
        }
        self.said_idle = idle;
        (self.last, self.rounds_done) = (Some(now), rounds_done);
        let left = if idle {
            None
        } else {
            self.pace.get_or_insert(Pace { since: now, done }).left(done, total(sweep), now)
        };
        let left = left.filter(|_| !sweep.state.is_final());
        let round =
            if round_is_new { format!("round {rounds_done} done, ") } else { String::new() };
        let best = best(sweep).map_or_else(String::new, |best| format!(", {best}"));
        let notes: String =
            sweep.notes.iter().filter(|_| self.notes).map(|note| format!("; {note}")).collect();
        let paused = if sweep.state == SweepState::Paused { ", paused" } else { "" };
        Some(format!(
            "{}: {round}{done}/{} trials{paused}{best}{}{notes}",
            sweep.name,
            total(sweep),
            and_left(left)
        ))
    }
}

/// Bars on a terminal: one for the sweep, and below it one for every running trial.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    notes: bool,
    all: MultiProgress,
    sweep: Option<(ProgressBar, Pace)>,
    trials: BTreeMap<TrialNumber, (ProgressBar, Pace)>,
}

impl Bars {
    fn show(&mut self, sweep: &SweepView, running: &[TrialView]) {
        let now = Instant::now();
        self.show_sweep(sweep, now);
        let all = &self.all;
        self.trials.retain(|number, (bar, _)| {
            let runs = running.iter().any(|trial| trial.trial == *number);
            if !runs {
                bar.finish_and_clear();
                all.remove(bar);
            }
            runs
        });
        for trial in running.iter().take(MOST_BARS) {
            self.show_trial(sweep, trial, now);
        }
    }

    fn show_sweep(&mut self, sweep: &SweepView, now: Instant) {
        let (done, total) = (sweep.counts.done(), total(sweep));
        let all = &self.all;
        let (bar, pace) = self.sweep.get_or_insert_with(|| {
            let bar = all.add(ProgressBar::new(total.into()).with_prefix(sweep.name.to_string()));
            (bar, Pace { since: now, done })
        });
        let round = sweep.rounds.iter().find(|round| round.done < round.trials);
        let mut message = round.map_or_else(
            || sweep.state.name().to_owned(),
            |round| format!("round {}", round.round),
        );
        if let Some(best) = best(sweep) {
            message = format!("{message}, {best}");
        }
        if let Some(trial) = sweep.waits_for {
            message = format!("{message}, waits for trial {trial}");
        }
        for note in sweep.notes.iter().filter(|_| self.notes) {
            message = format!("{message}; {note}");
        }
        if is_idle(sweep) {
            *pace = Pace { since: now, done };
        }
        let frame = frame(32, columns());
        bar.set_style(style(&format!(
            "{{prefix:.bold}} {}{{pos}}/{{len}} trials  {{wide_msg}}",
            frame.replace("COLOUR", "green")
        )));
        bar.set_length(total.into());
        bar.set_position(done.into());
        bar.set_message(format!("{message}{}", and_left(pace.left(done, total, now))));
    }

    fn show_trial(&mut self, sweep: &SweepView, trial: &TrialView, now: Instant) {
        let epoch = trial.last.as_ref().map_or(0, Point::epoch);
        let all = &self.all;
        let (bar, pace) = self.trials.entry(trial.trial).or_insert_with(|| {
            let bar = all.add(
                ProgressBar::new(trial.epochs.into())
                    .with_prefix(format!("  trial {}", trial.trial)),
            );
            (bar, Pace { since: now, done: epoch })
        });
        let objective = match trial.objective {
            Some(_) => {
                format!("{} {}", sweep.spec.objective.metric.name(), objective(&sweep.spec, trial))
            }
            None => text::assignment(&trial.assignment),
        };
        if is_idle(sweep) {
            *pace = Pace { since: now, done: epoch };
        }
        let frame = frame(24, columns());
        bar.set_style(style(&format!(
            "{{prefix:<12}} {}epoch {{pos}}/{{len}}  {{wide_msg}}",
            frame.replace("COLOUR", "cyan")
        )));
        bar.set_position(epoch.into());
        bar.set_message(format!("{objective}{}", and_left(pace.left(epoch, trial.epochs, now))));
    }
}

/// Columns of the terminal that the bars are on; a common width where it does not say.
fn columns() -> usize {
    columns_of(&console::Term::stderr()).unwrap_or(80)
}

/// The frame of a bar with room for the text beside it: shorter than `most` on a narrow terminal,
/// and none on a very narrow one.
fn frame(most: usize, columns: usize) -> String {
    match columns {
        ..40 => String::new(),
        40..80 => format!("[{{bar:{}.COLOUR}}] ", most * (columns - 30) / 80),
        80.. => format!("[{{bar:{most}.COLOUR}}] "),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;
    use caviar_common::view::NO_WORKER;

    #[test]
    fn time_left_follows_the_pace_since_it_was_first_seen() {
        let since = Instant::now();
        let pace = Pace { since, done: 10 };
        let now = since + Duration::from_secs(20);
        assert_eq!(pace.left(20, 60, now), Some(Duration::from_secs(80)));
        assert_eq!(pace.left(10, 60, now), None);
    }

    #[test]
    fn bars_are_short_where_it_is_narrow() {
        assert_eq!(frame(32, 120), "[{bar:32.COLOUR}] ");
        assert_eq!(frame(32, 60), "[{bar:12.COLOUR}] ");
        assert_eq!(frame(24, 40), "[{bar:3.COLOUR}] ");
        assert_eq!(frame(24, 39), "");
    }

    #[test]
    fn a_log_hears_of_every_round_and_never_too_often() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.counts.completed = 0;
        sweep.rounds.iter_mut().for_each(|round| round.done = 0);
        let mut lines = Lines::default();
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        assert_eq!(
            lines.next(&sweep, second(0)).unwrap(),
            "digits: 1/3 trials, best validation_accuracy 0.9778 (trial 2)"
        );
        assert_eq!(lines.next(&sweep, second(1)), None);
        sweep.rounds[0].done = 2;
        sweep.counts.completed = 1;
        let line = lines.next(&sweep, second(4)).unwrap();
        assert_eq!(
            line,
            "digits: round 1 done, 2/3 trials, best validation_accuracy 0.9778 (trial 2), 4.0 s left"
        );
        assert_eq!(lines.next(&sweep, second(5)), None);
        assert!(lines.next(&sweep, second(14)).is_some());
    }

    #[test]
    fn without_a_worker_there_is_one_line_and_no_estimate() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.rounds.clear();
        sweep.best = None;
        sweep.counts.completed = 0;
        let mut lines = Lines { notes: true, ..Lines::default() };
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        assert_eq!(lines.next(&sweep, second(0)).unwrap(), "digits: 1/3 trials");
        sweep.counts.completed = 1;
        assert_eq!(lines.next(&sweep, second(20)).unwrap(), "digits: 2/3 trials, 20 s left");
        sweep.notes = vec![NO_WORKER.to_owned()];
        assert_eq!(
            lines.next(&sweep, second(21)).unwrap(),
            "digits: 2/3 trials; no worker is connected"
        );
        for n in 22..3_600 {
            assert_eq!(lines.next(&sweep, second(n)), None);
        }
        sweep.notes.clear();
        assert_eq!(lines.next(&sweep, second(3_600)).unwrap(), "digits: 2/3 trials");
    }
}
