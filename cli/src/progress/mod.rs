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
use indicatif::{ProgressBar, ProgressStyle};

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
            Self::Bars(Box::new(Bars::new(has_notes)))
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
            bars.bar.finish_and_clear();
        }
    }
}

/// Whether the sweep is paused or has no worker. Such a time must not count for the estimate of the
/// time left.
fn is_idle(sweep: &SweepView) -> bool {
    sweep.state == SweepState::Paused || (sweep.has_no_worker() && !sweep.state.is_final())
}

/// Lines on a terminal that replace each other. [`mod@screen`] lays them out. They are the message
/// of one bar, so that they are drawn together.
#[derive(Debug)]
pub(crate) struct Bars {
    has_notes: bool,
    bar: ProgressBar,
    pace: Pace,
}

impl Bars {
    fn new(has_notes: bool) -> Self {
        let style = ProgressStyle::with_template("{msg}");
        let bar =
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { has_notes, bar, pace: Pace::default() }
    }

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
        let text = screen(sweep, running, lengths, page).join("\n");
        if self.bar.message() != text {
            self.bar.set_message(text);
        }
    }
}
