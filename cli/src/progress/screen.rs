//! What a terminal shows while a sweep runs, as a function of the sweep and the width.
//!
//! ```text
//! letters [===========>             ] 24/60 trials  2 running, 2 parked  12 min 34 s left
//!   validation_accuracy: best completed 0.8356 (trial 12), best running 0.9525 (trial 27)
//!   waits for trial 27
//!   trial 27 [========>             ] epoch 12/30  0.9525
//!   trial 25 [===>                  ] epoch  6/30  0.8100  parked
//! ```
//!
//! Where that is too wide, the bars give way first, then the numbers of running and parked trials,
//! then the name of the sweep. The number of finished trials, the time left and the best values
//! stay.

use std::time::Duration;

use caviar_common::metric::Point;
use caviar_common::outcome::SweepState;
use caviar_common::view::{SweepView, TrialView};

use crate::show::page::{Page, Tone, shorten, shorten_end, width};
use crate::show::sweep::{best_running, in_order, total};
use crate::show::text;
use crate::show::text::objective;

/// Columns where the terminal does not say how many it has.
const USUAL_COLUMNS: usize = 80;
/// The longest and the shortest bar of the sweep, without its brackets.
const SWEEP_BAR: (usize, usize) = (32, 6);
/// The longest and the shortest bar of a trial, without its brackets.
const TRIAL_BAR: (usize, usize) = (24, 6);
/// A name of a sweep is not shortened below this.
const LEAST_NAME: usize = 8;

/// What the screen shows besides the sweep and its trials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// The time left, where it can be estimated.
    pub(crate) left: Option<Duration>,
    /// Lines for running trials.
    pub(crate) lines: usize,
}

/// The lines of the screen, none wider than the page.
pub(crate) fn screen(
    sweep: &SweepView,
    running: &[TrialView],
    lengths: Lengths,
    page: Page,
) -> Vec<String> {
    let columns = page.columns.unwrap_or(USUAL_COLUMNS);
    let mut lines = vec![sweep_line(sweep, running, lengths.left).fit(columns, page)];
    lines.extend(
        best_lines(sweep, running, columns)
            .iter()
            .map(|line| page.paint(Tone::Strong, &shorten_end(line, columns))),
    );
    lines.extend(
        remarks(sweep)
            .iter()
            .map(|remark| page.paint(Tone::Waiting, &shorten_end(&format!("  {remark}"), columns))),
    );
    let trials = in_order(running);
    let shown = if trials.len() > lengths.lines { lengths.lines.max(1) - 1 } else { trials.len() };
    lines.extend(trial_lines(sweep, trials.get(..shown).unwrap_or_default(), columns, page));
    if let Some(more) = trials.len().checked_sub(shown).filter(|more| *more > 0) {
        let more = format!("  and {more} more");
        lines.push(page.paint(Tone::Faint, &shorten_end(&more, columns)));
    }
    lines
}

/// The parts of a line with a bar.
struct BarLine {
    name: String,
    tone: Tone,
    bar: (usize, usize),
    done: u32,
    total: u32,
    /// Parts that never give way.
    figures: Vec<String>,
    /// A part that gives way after the bar.
    detail: String,
    /// A part that stays, at the end.
    last: String,
}

impl BarLine {
    /// The line for a page: figures first, then as much of the name, the detail and the bar as the
    /// rest of the line holds.
    fn fit(&self, columns: usize, page: Page) -> String {
        let gap = 2;
        let figures = self.figures.join("  ");
        let mut room = columns.saturating_sub(width(&figures));
        let last = Some(&self.last).filter(|it| !it.is_empty() && width(it) + gap <= room);
        room -= last.map_or(0, |last| width(last) + gap);
        let most = room.saturating_sub(1).min((columns / 4).max(LEAST_NAME));
        let name = shorten(&self.name, most);
        room = room.saturating_sub(width(&name) + 1);
        let detail = Some(&self.detail).filter(|it| !it.is_empty() && width(it) + gap <= room);
        room -= detail.map_or(0, |detail| width(detail) + gap);
        let (longest, shortest) = self.bar;
        let bar = room.saturating_sub(3).min(longest);
        let mut line = if name.is_empty() {
            String::new()
        } else {
            format!("{} ", page.paint(Tone::Strong, &name))
        };
        if bar >= shortest {
            let bar = draw(self.done, self.total, bar);
            line = format!("{line}[{}] ", page.paint(self.tone, &bar));
        }
        line.push_str(&page.paint(Tone::Plain, &shorten_end(&figures, columns)));
        for part in [detail, last].into_iter().flatten() {
            line = format!("{line}  {part}");
        }
        line
    }
}

/// A bar of `length` characters.
fn draw(done: u32, total: u32, length: usize) -> String {
    let share = f64::from(done.min(total)) / f64::from(total.max(1));
    let filled = (1..=length)
        .take_while(|n| {
            let n = u32::try_from(*n).unwrap_or(u32::MAX);
            f64::from(n) <= share * f64::from(u32::try_from(length).unwrap_or(u32::MAX))
        })
        .count();
    let head = if filled < length && filled > 0 { ">" } else { "" };
    let body = "=".repeat(filled.saturating_sub(head.len()));
    format!("{:<length$}", format!("{body}{head}"))
}

fn sweep_line(sweep: &SweepView, running: &[TrialView], left: Option<Duration>) -> BarLine {
    let (done, total) = (sweep.counts.finished(), total(sweep));
    let parked = running.iter().filter(|trial| trial.parked).count();
    let active = running.len() - parked;
    let detail = match (sweep.state, active, parked) {
        (SweepState::Running, 0, 0) => String::new(),
        (SweepState::Running, active, 0) => format!("{active} running"),
        (SweepState::Running, active, parked) => format!("{active} running, {parked} parked"),
        (state, ..) => state.name().to_owned(),
    };
    BarLine {
        name: sweep.name.to_string(),
        tone: Tone::Good,
        bar: SWEEP_BAR,
        done,
        total,
        figures: vec![format!("{done}/{total} trials")],
        detail,
        last: left.map_or_else(String::new, |left| format!("{} left", text::duration(left))),
    }
}

/// The best completed and the best running value, on one line or, where that is too wide, on two.
fn best_lines(sweep: &SweepView, running: &[TrialView], columns: usize) -> Vec<String> {
    let part = |which: &str, trial: &TrialView| {
        format!("best {which} {} (trial {})", objective(&sweep.spec, trial), trial.trial)
    };
    let completed = sweep.best.as_ref().map(|best| part("completed", best));
    let ahead = best_running(sweep, running).map(|trial| part("running", trial));
    let parts: Vec<String> = completed.into_iter().chain(ahead).collect();
    if parts.is_empty() {
        return parts;
    }
    let line = format!("  {}", parts.join(", "));
    let named = format!("  {}: {}", sweep.spec.objective.metric.name(), parts.join(", "));
    match (width(&named) <= columns, width(&line) <= columns) {
        (true, _) => vec![named],
        (false, true) => vec![line],
        (false, false) => parts.into_iter().map(|part| format!("  {part}")).collect(),
    }
}

/// The round, what the sweep waits for, and its notes.
fn remarks(sweep: &SweepView) -> Vec<String> {
    let round = sweep.rounds.iter().find(|round| round.finished < round.trials);
    let round = round.filter(|_| !sweep.state.is_final());
    let round = round.map(|round| {
        format!("round {}: {} of {} trials finished", round.round, round.finished, round.trials)
    });
    let waits = sweep.waits_for.map(|trial| format!("the next decision waits for trial {trial}"));
    round.into_iter().chain(waits).chain(sweep.notes.iter().cloned()).collect()
}

fn trial_lines(sweep: &SweepView, trials: &[TrialView], columns: usize, page: Page) -> Vec<String> {
    let digits = trials.iter().map(|trial| trial.trial.to_string().len()).max().unwrap_or(1);
    let mut lines: Vec<BarLine> =
        trials.iter().map(|trial| trial_line(sweep, trial, digits)).collect();
    // All bars have the length for which the longest line has room.
    let longest = lines.iter().map(|line| width(&line.name) + width(&line.figures.join("  ")));
    let room = columns.saturating_sub(longest.max().unwrap_or(0) + 4);
    for line in &mut lines {
        line.bar.0 = if room < TRIAL_BAR.1 { 0 } else { room.min(TRIAL_BAR.0) };
    }
    lines.iter().map(|line| line.fit(columns, page)).collect()
}

fn trial_line(sweep: &SweepView, trial: &TrialView, digits: usize) -> BarLine {
    let epoch = trial.last.as_ref().map_or(0, Point::epoch);
    let epochs = trial.epochs.to_string().len();
    let value = objective(&sweep.spec, trial);
    let figures = std::iter::once(format!("epoch {epoch:>epochs$}/{}", trial.epochs))
        .chain((!value.is_empty()).then_some(value))
        .chain(trial.parked.then(|| "parked".to_owned()));
    BarLine {
        name: format!("  trial {:<digits$}", trial.trial),
        tone: if trial.parked { Tone::Waiting } else { Tone::Busy },
        bar: TRIAL_BAR,
        done: epoch,
        total: trial.epochs,
        figures: figures.collect(),
        detail: String::new(),
        last: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::samples;

    fn shown(columns: usize, lines: usize) -> Vec<String> {
        let lengths = Lengths { left: Some(Duration::from_secs(754)), lines };
        let (sweep, running) = (samples::running_sweep(), samples::running());
        screen(&sweep, &running, lengths, Page::with_columns(columns))
    }

    #[test]
    fn the_bar_gives_way_before_the_figures() {
        for columns in [40, 60, 80, 120] {
            let lines = shown(columns, 16).join("\n");
            for figure in ["24/60 trials", "12 min 34 s left", "0.8356", "0.9525", "parked"] {
                assert!(lines.contains(figure), "{figure} at {columns} columns:\n{lines}");
            }
        }
        assert!(!shown(40, 16)[0].contains('['));
        assert!(shown(80, 16)[0].contains("[="));
    }

    #[test]
    fn running_trials_come_before_parked_ones() {
        let lines = shown(80, 16);
        let place = |name: &str| lines.iter().position(|line| line.contains(name)).unwrap();
        assert!(place("trial 29 ") < place("trial 25 "), "{lines:?}");
    }

    #[test]
    fn a_low_terminal_shows_how_many_trials_it_leaves_out() {
        let lines = shown(80, 3);
        assert_eq!(lines.last().unwrap(), "  and 2 more");
    }

    #[test]
    fn bars_show_the_share() {
        assert_eq!(draw(0, 10, 10), "          ");
        assert_eq!(draw(5, 10, 10), "====>     ");
        assert_eq!(draw(10, 10, 10), "==========");
        assert_eq!(draw(0, 0, 4), "    ");
    }
}
