//! Progress of a sweep on standard error: bars that are drawn again and again on a terminal, and a
//! line from time to time elsewhere, such as in a log or on a terminal that cannot move its cursor.

mod lines;
mod pace;
pub(crate) mod screen;

use std::io::{self, Write};
use std::time::Instant;

use caviar_common::outcome::SweepState;
use caviar_common::view::{SweepView, TrialView};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use self::lines::Lines;
use self::pace::{Pace, work};
use self::screen::{Lengths, screen};
use crate::show::page::Page;
use crate::show::sweep::total;

/// Lines of running trials; a taller terminal shows no more.
const MOST_TRIALS: usize = 16;

/// Writes a line to standard error. A failure to do so cannot be reported anywhere. The line is
/// not broken at the width of the terminal, so that commands in it can be copied.
pub(crate) fn talk(line: &str) {
    let _unwritten = writeln!(io::stderr().lock(), "{line}");
}

/// Shows how a sweep makes progress.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Bars, on a terminal.
    Bars(Box<Bars>),
    /// Lines, in a log or a pipe.
    Lines(Lines),
}

impl Progress {
    /// Chooses the form that standard error can show. The notes of a sweep are about its workers;
    /// `has_notes` is false where the only worker is inside this process.
    pub(crate) fn new(has_notes: bool) -> Self {
        let page = Page::of(&Term::stderr());
        if page.columns.is_some() {
            Self::Bars(Box::new(Bars { has_notes, ..Bars::default() }))
        } else {
            Self::Lines(Lines::new(has_notes))
        }
    }

    /// Whether the running trials are shown, so that the caller should ask for them.
    pub(crate) const fn shows_trials(&self) -> bool {
        matches!(self, Self::Bars(_))
    }

    /// Shows the sweep as it is now, and its running trials.
    pub(crate) fn show(&mut self, sweep: &SweepView, running: &[TrialView]) {
        match self {
            Self::Bars(bars) => bars.show(sweep, running, Instant::now()),
            Self::Lines(lines) => {
                if let Some(line) = lines.next(sweep, Instant::now()) {
                    talk(&line);
                }
            }
        }
    }

    /// Removes the bars, so that the result follows the last line.
    pub(crate) fn clear(&mut self) {
        if let Self::Bars(bars) = self {
            let _unseen = bars.all.clear();
        }
    }
}

/// Whether the sweep is paused or has no worker. Such a time must not count for the estimate of the
/// time left.
fn is_idle(sweep: &SweepView) -> bool {
    sweep.state == SweepState::Paused || (sweep.has_no_worker() && !sweep.state.is_final())
}

/// Lines on a terminal that replace each other. [`mod@screen`] lays them out; each is shown by a
/// bar that has nothing but a message.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    has_notes: bool,
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    pace: Pace,
}

impl Bars {
    fn show(&mut self, sweep: &SweepView, running: &[TrialView], now: Instant) {
        let term = Term::stderr();
        let page = Page::of(&term);
        if is_idle(sweep) {
            self.pace = Pace::default();
        }
        let done = sweep.counts.finished();
        let left = self.pace.left(done, work(done, running), total(sweep), now);
        let shown;
        let sweep = if self.has_notes {
            sweep
        } else {
            shown = SweepView { notes: Vec::new(), ..sweep.clone() };
            &shown
        };
        let rows = term.size_checked().map_or(MOST_TRIALS, |(rows, _)| usize::from(rows));
        let above = 4 + sweep.notes.len();
        let lengths = Lengths { left, lines: rows.saturating_sub(above).clamp(1, MOST_TRIALS) };
        self.draw(&screen(sweep, running, lengths, page));
    }

    fn draw(&mut self, lines: &[String]) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.all.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            let style = ProgressStyle::with_template("{msg}");
            let line = ProgressBar::new(0)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.lines.push(self.all.add(line));
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            if bar.message() != *line {
                bar.set_message(line.clone());
            }
        }
    }
}
