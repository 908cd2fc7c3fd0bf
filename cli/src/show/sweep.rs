//! Sweeps: the list, and one of them with its rounds and its winner.

use std::io::{self, Write};

use caviar_common::metric::Point;
use caviar_common::outcome::SweepState;
use caviar_common::spec::{Goal, Strategy, SweepSpec};
use caviar_common::view::{Counts, RoundView, SweepView, TestView, TrialView};

use super::table::Table;
use super::text;

/// Rounds beside each other in one table.
const ROUNDS_ABREAST: usize = 5;

/// Whether a sweep that is shown can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A coordinator has it.
    Live,
    /// It was read from a store that no coordinator has.
    Stored,
}

/// How sweeps are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Whether they can go on.
    pub(crate) standing: Standing,
    /// Columns of the terminal, if it is one.
    pub(crate) columns: Option<usize>,
}

impl View {
    /// On standard output.
    pub(crate) fn on_stdout(standing: Standing) -> Self {
        Self { standing, columns: super::columns() }
    }
}

/// The state in a word. What no coordinator has does not run, whatever it did last.
fn state(sweep: &SweepView, standing: Standing) -> &'static str {
    match (standing, sweep.state) {
        (Standing::Stored, SweepState::Running | SweepState::Scoring) => "interrupted",
        (_, state) => state.name(),
    }
}

/// Every sweep in one line.
pub(crate) fn list(out: &mut impl Write, sweeps: &[SweepView], view: View) -> io::Result<()> {
    let mut table = Table::with_headings([
        "number", "sweep", "state", "done", "best", "metric", "test", "data",
    ]);
    for sweep in sweeps {
        let done = format!("{}/{}", sweep.counts.done(), total(sweep));
        let best =
            sweep.best.as_ref().map_or_else(String::new, |best| objective(&sweep.spec, best));
        let test = sweep
            .test
            .as_ref()
            .and_then(|test| test.score.as_ref())
            .map_or_else(String::new, text::score);
        let metric = sweep.spec.objective.metric.name().to_owned();
        table.row([
            sweep.id.to_string(),
            sweep.name.to_string(),
            state(sweep, view.standing).to_owned(),
            done,
            best,
            metric,
            test,
            source(sweep),
        ]);
    }
    table.write(out, view.columns)
}

/// The file name of the data, which tells more than the beginning of a long path.
fn source(sweep: &SweepView) -> String {
    let source = sweep.spec.data.source.as_str();
    source.rsplit('/').next().unwrap_or(source).to_owned()
}

/// Trials that the sweep is planned to have. A grid may have fewer points than its budget; then the
/// end tells.
pub(crate) fn total(sweep: &SweepView) -> u32 {
    match sweep.state {
        SweepState::Completed | SweepState::Scoring => sweep.counts.done(),
        SweepState::Running | SweepState::Paused | SweepState::Cancelled => {
            sweep.spec.search.trials
        }
    }
}

/// The objective of a trial, or nothing.
pub(crate) fn objective(spec: &SweepSpec, trial: &TrialView) -> String {
    trial.objective.map_or_else(String::new, |value| text::metric(&spec.objective.metric, value))
}

/// One sweep: how it is going, its rounds, its best trial.
pub(crate) fn status(out: &mut impl Write, sweep: &SweepView, view: View) -> io::Result<()> {
    writeln!(
        out,
        "sweep {} (number {}) is {}: {}",
        sweep.name,
        sweep.id,
        state(sweep, view.standing),
        counts(sweep.counts, total(sweep))
    )?;
    write_data(out, sweep)?;
    if let Some(trial) = sweep.waits_for {
        writeln!(out, "note  the next decision waits for trial {trial}")?;
    }
    for note in &sweep.notes {
        writeln!(out, "note  {note}")?;
    }
    if sweep.spec.search.strategy == Strategy::Rounds {
        write_rounds(out, sweep, view.columns.unwrap_or(usize::MAX))?;
    }
    if !sweep.boxes.is_empty() {
        writeln!(out)?;
        boxes_table(sweep).write(out, view.columns)?;
    }
    match &sweep.best {
        Some(best) => {
            writeln!(out)?;
            winner(out, sweep, best, sweep.test.as_ref())
        }
        None => Ok(()),
    }
}

fn write_data(out: &mut impl Write, sweep: &SweepView) -> io::Result<()> {
    let data = &sweep.data;
    if sweep.spec.data.is_external() {
        return writeln!(out, "data  external: other programs ask for the trials and run them");
    }
    writeln!(
        out,
        "data  {}: {} training, {} validation, {} test examples, {}",
        sweep.spec.data.source,
        data.train,
        data.validation,
        data.test,
        text::count(data.features.into(), "feature"),
    )
}

fn counts(counts: Counts, total: u32) -> String {
    let named = [
        (counts.completed, "completed"),
        (counts.stopped, "stopped"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.running, "running"),
        (counts.queued, "queued"),
    ];
    let parts: Vec<String> =
        named.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
    let trials = format!("{}/{}", counts.done(), text::count(total.into(), "trial"));
    if parts.is_empty() { trials } else { format!("{trials}, {}", parts.join(", ")) }
}

/// The rounds side by side, so that one sees each side of the box shrink; as many as fit.
fn write_rounds(out: &mut impl Write, sweep: &SweepView, columns: usize) -> io::Result<()> {
    let tables =
        |abreast: usize| sweep.rounds.chunks(abreast).map(|rounds| rounds_table(sweep, rounds));
    let abreast = (1..=ROUNDS_ABREAST)
        .rev()
        .find(|abreast| tables(*abreast).all(|table| table.width() <= columns))
        .unwrap_or(1);
    tables(abreast).try_for_each(|table| {
        writeln!(out)?;
        table.write(out, None)
    })
}

fn rounds_table(sweep: &SweepView, rounds: &[RoundView]) -> Table {
    let line = |name: &str, cell: &dyn Fn(&RoundView) -> String| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(rounds.iter().map(cell)).collect()
    };
    let metric = &sweep.spec.objective.metric;
    let mut table = Table::with_headings(line("", &|round| format!("round {}", round.round)));
    table.row(line("trials", &|round| {
        if round.done == round.trials {
            round.done.to_string()
        } else {
            format!("{} of {}", round.done, round.trials)
        }
    }));
    for parameter in sweep.spec.space.parameters() {
        let side = |round: &RoundView| {
            round
                .search_box
                .as_ref()
                .map_or_else(|| "-".to_owned(), |b| text::side(b, &parameter.name))
        };
        table.row(line(&parameter.name, &side));
    }
    let best = |round: &RoundView| {
        round.best.map_or_else(|| "-".to_owned(), |best| text::metric(metric, best))
    };
    table.row(line(&format!("best {}", metric.name()), &best));
    table
}

/// Boxes side by side, from the first to the latest.
fn boxes_table(sweep: &SweepView) -> Table {
    let headings = sweep.boxes.iter().map(|of| format!("box of trial {}", of.trial));
    let mut table = Table::with_headings(std::iter::once(String::new()).chain(headings));
    for parameter in sweep.spec.space.parameters() {
        let sides = sweep.boxes.iter().map(|of| text::side(&of.search_box, &parameter.name));
        table.row(std::iter::once(parameter.name.clone()).chain(sides));
    }
    table
}

/// The best trial: its scores and its values.
pub(crate) fn winner(
    out: &mut impl Write,
    sweep: &SweepView,
    best: &TrialView,
    test: Option<&TestView>,
) -> io::Result<()> {
    let round = best.reason.round.map_or_else(String::new, |round| format!(" of round {round}"));
    let goal = match sweep.spec.objective.goal {
        Goal::Maximize => "highest",
        Goal::Minimize => "lowest",
    };
    let metric = sweep.spec.objective.metric.name();
    writeln!(
        out,
        "best trial {}{round}: {goal} {metric} {}",
        best.trial,
        objective(&sweep.spec, best)
    )?;
    let mut table = Table::default();
    match &best.last {
        Some(Point::Network(last)) => {
            table.row(["  validation".to_owned(), text::score(&last.validation)])
        }
        Some(Point::Named(last)) => {
            let others = last.metrics.iter().filter(|(name, _)| name.as_str() != metric);
            others.for_each(|(name, value)| table.row([format!("  {name}"), text::number(*value)]));
        }
        None => {}
    }
    if let Some(test) = test {
        table.row(["  test".to_owned(), test_text(test)]);
    }
    for (name, value) in best.assignment.iter() {
        table.row([format!("  {name}"), text::value(value)]);
    }
    table.write(out, None)
}

fn test_text(test: &TestView) -> String {
    match (&test.score, &test.message) {
        (Some(score), _) if test.reproduced => text::score(score),
        (Some(score), _) => {
            format!("{} (trained again for it, the winner came out different)", text::score(score))
        }
        (None, Some(message)) => format!("no score: {message}"),
        (None, None) => "no score".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::ids::TrialNumber;
    use caviar_common::view::BoxView;

    use super::super::samples;
    use super::*;

    const LIVE: View = View { standing: Standing::Live, columns: None };

    fn shown(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_finished_sweep_shows_rounds_and_winner() {
        let text = shown(|out| status(out, &samples::sweep(), LIVE));
        let expected = "\
sweep digits (number 1) is completed: 3/3 trials, 2 completed, 1 diverged
data  builtin:digits: 1257 training, 360 validation, 180 test examples, 64 features

                          round 1    round 2
trials                    2          1
learning_rate             1e-4 .. 1  0.01 .. 0.2
layers                    1 .. 4     2
best validation_accuracy  0.9500     0.9778

best trial 2 of round 2: highest validation_accuracy 0.9778
  validation     accuracy 0.9778, loss 0.1
  test           accuracy 0.9667, loss 0.125
  layers         2
  learning_rate  0.05
";
        assert_eq!(text, expected);
    }

    #[test]
    fn rounds_stand_below_each_other_where_it_is_narrow() {
        let text = shown(|out| status(out, &samples::sweep(), View { columns: Some(40), ..LIVE }));
        assert!(
            text.contains("                          round 1\ntrials                    2\n"),
            "{text}"
        );
        assert!(
            text.contains("\n\n                          round 2\ntrials                    1\n"),
            "{text}"
        );
    }

    #[test]
    fn boxes_stand_side_by_side_from_the_first_to_the_latest() {
        let mut sweep = samples::sweep();
        sweep.boxes = std::mem::take(&mut sweep.rounds)
            .into_iter()
            .filter_map(|round| {
                Some(BoxView {
                    trial: TrialNumber(10 * round.round),
                    search_box: round.search_box?,
                })
            })
            .collect();
        sweep.spec.search.strategy = Strategy::Zoom;
        let text = shown(|out| status(out, &sweep, LIVE));
        let expected = "
               box of trial 10  box of trial 20
learning_rate  1e-4 .. 1        0.01 .. 0.2
layers         1 .. 4           2

best trial";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn the_list_has_one_line_each() {
        let text = shown(|out| list(out, &[samples::sweep()], LIVE));
        let expected = "\
number  sweep   state      done  best    metric               test                         data
1       digits  completed  3/3   0.9778  validation_accuracy  accuracy 0.9667, loss 0.125  builtin:digits
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_was_cancelled_is_not_done() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Cancelled;
        sweep.counts = Counts { cancelled: 2, ..Counts::default() };
        (sweep.best, sweep.test) = (None, None);
        assert!(
            shown(|out| list(out, &[sweep.clone()], View { standing: Standing::Stored, ..LIVE }))
                .contains("digits  cancelled  0/3 ")
        );
        assert!(
            shown(|out| status(out, &sweep, LIVE))
                .starts_with("sweep digits (number 1) is cancelled: 0/3 trials, 2 cancelled\n")
        );
        assert_eq!(total(&sweep), 3);
    }

    #[test]
    fn a_sweep_in_progress_says_what_it_waits_for() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.waits_for = Some(caviar_common::ids::TrialNumber(1));
        sweep.notes = vec!["no worker is connected".to_owned()];
        let text = shown(|out| status(out, &sweep, LIVE));
        assert!(
            text.contains(
                "note  the next decision waits for trial 1\nnote  no worker is connected\n"
            ),
            "{text}"
        );
        let text = shown(|out| status(out, &sweep, View { standing: Standing::Stored, ..LIVE }));
        assert!(text.starts_with("sweep digits (number 1) is interrupted: "), "{text}");
    }
}
