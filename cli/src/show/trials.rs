//! The trials of a sweep, as a table for people and as CSV for programs.

use std::io::{self, Write};
use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::metric::{Metric, Point};
use caviar_common::outcome::TrialState;
use caviar_common::view::{SweepView, TrialView};

use super::output_error;
use super::page::{Page, Tone};
use super::table::{Cell, Column, Table};
use super::text;
use super::text::objective;

/// The names of the searched parameters, in the order of the space.
pub(super) fn parameters(sweep: &SweepView) -> Vec<&str> {
    sweep.spec.space.parameters().iter().map(|p| p.name.as_str()).collect()
}

/// The metrics that have a column. A sweep of networks has all of theirs, the last of them the
/// measure that is its objective if it is one; an external sweep has its
/// objective and whatever else its best trial reported.
pub(super) fn metrics(sweep: &SweepView) -> Vec<Metric> {
    if !sweep.spec.data.is_external() {
        let objective = &sweep.spec.objective.metric;
        let measure = objective.measure().map(Metric::Measure);
        return Metric::ALL.into_iter().chain(measure).collect();
    }
    let objective = &sweep.spec.objective.metric;
    let counting = sweep.best.as_ref().and_then(|best| best.counting.as_ref());
    let others = match counting {
        Some(Point::Named(named)) => {
            named.metrics.keys().filter(|name| name.as_str() != objective.name()).cloned().collect()
        }
        Some(Point::Network(_)) | None => Vec::new(),
    };
    std::iter::once(objective.clone()).chain(others.into_iter().map(Metric::Named)).collect()
}

/// The rank of the first parameter's column. On a narrow page the worker is left out first, then
/// the time, the round, the parameters from the last to the first, and the epoch.
const FIRST_PARAMETER: usize = 2;

/// Writes a table for people. Numbers are rounded.
pub(crate) fn table(
    out: &mut impl Write,
    sweep: &SweepView,
    trials: &[TrialView],
    page: Page,
) -> io::Result<()> {
    let parameters = parameters(sweep);
    let has_rounds = trials.iter().any(|trial| trial.reason.round.is_some());
    let last = FIRST_PARAMETER + parameters.len();
    let mut columns = vec![Column::new("trial"), Column::new("state")];
    columns.extend(has_rounds.then(|| Column::new("round").ranked(last)));
    columns.push(Column::new("epoch").ranked(1));
    columns.push(Column::new(sweep.spec.objective.metric.name()));
    columns.extend(
        parameters.iter().enumerate().map(|(place, name)| {
            Column::new(*name).ranked(FIRST_PARAMETER + place).shortened_to(10)
        }),
    );
    columns.push(Column::new("time").ranked(last + 1));
    columns.push(Column::new("worker").ranked(last + 2).shortened_to(8));
    let mut table = Table::new(columns);
    for trial in trials {
        table.row(row(sweep, trial, &parameters, has_rounds));
    }
    table.write(out, page)?;
    failures(out, trials, page)
}

fn row(sweep: &SweepView, trial: &TrialView, parameters: &[&str], has_rounds: bool) -> Vec<Cell> {
    let (state, tone) = state(trial);
    let is_best = sweep.best.as_ref().is_some_and(|best| best.trial == trial.trial);
    let value = if is_best { Tone::Strong } else { Tone::Plain };
    let round = trial.reason.round.map_or_else(String::new, |round| round.to_string());
    let epoch = trial.last.as_ref().map_or(0, Point::epoch);
    let mut cells = vec![trial.trial.to_string().into(), Cell::new(tone, state)];
    cells.extend(has_rounds.then(|| round.into()));
    cells.push(format!("{epoch}/{}", trial.epochs).into());
    cells.push(Cell::new(value, objective(&sweep.spec, trial)));
    cells.extend(parameters.iter().map(|name| {
        Cell::from(trial.assignment.get(name).map_or_else(|| "-".to_owned(), text::value))
    }));
    cells.push(trial.seconds.map_or_else(String::new, time).into());
    cells.push(trial.worker.as_ref().map_or_else(String::new, ToString::to_string).into());
    cells
}

/// The state in a word, and its tone. A parked trial counts as running, but has no slot.
pub(crate) fn state(trial: &TrialView) -> (&'static str, Tone) {
    match trial.state {
        TrialState::Running if trial.parked => ("parked", Tone::Waiting),
        state @ TrialState::Running => (state.name(), Tone::Busy),
        state @ TrialState::Completed => (state.name(), Tone::Good),
        state @ (TrialState::Queued | TrialState::Stopped) => (state.name(), Tone::Faint),
        state @ (TrialState::Diverged | TrialState::Failed | TrialState::Cancelled) => {
            (state.name(), Tone::Bad)
        }
    }
}

/// A duration to a tenth of a second, because many trials are shorter than a minute.
fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(short) if short < Duration::from_mins(1) => format!("{seconds:.1} s"),
        _ => text::seconds(seconds),
    }
}

fn failures(out: &mut impl Write, trials: &[TrialView], page: Page) -> io::Result<()> {
    trials.iter().filter_map(|trial| Some((trial.trial, trial.message.as_ref()?))).try_for_each(
        |(trial, why)| page.write(out, Tone::Bad, 2, &format!("trial {trial}: {why}")),
    )
}

/// Writes CSV with a row for every trial and numbers in full. The metrics are those of the epoch of
/// the objective.
pub(crate) fn csv(out: &mut impl Write, sweep: &SweepView, trials: &[TrialView]) -> io::Result<()> {
    let parameters = parameters(sweep);
    let mut writer = csv::Writer::from_writer(out);
    let first = HEAD.into_iter().chain(["last_epoch"]);
    let columns = metrics(sweep);
    let last = ["seconds", "worker", "attempts", "message"];
    writer
        .write_record(
            first
                .chain(parameters.iter().copied())
                .chain(columns.iter().map(Metric::name))
                .chain(last),
        )
        .map_err(output_error)?;
    for trial in trials {
        let mut cells = head(trial);
        cells.push(trial.last.as_ref().map_or_else(String::new, |last| last.epoch().to_string()));
        cells.extend(values(trial, &parameters));
        cells.extend(
            columns
                .iter()
                .map(|metric| optional(trial.counting.as_ref().and_then(|it| it.get(metric)))),
        );
        cells.extend(tail(trial));
        writer.write_record(&cells).map_err(output_error)?;
    }
    writer.flush()
}

/// The headings of [`head`].
pub(super) const HEAD: [&str; 7] =
    ["trial", "state", "source", "round", "epochs", "objective", "objective_epoch"];

/// The first cells of a row: number, state, source, round, epochs, objective and its epoch.
pub(super) fn head(trial: &TrialView) -> Vec<String> {
    vec![
        trial.trial.to_string(),
        trial.state.name().to_owned(),
        trial.reason.source.name().to_owned(),
        trial.reason.round.map_or_else(String::new, |round| round.to_string()),
        trial.epochs.to_string(),
        optional(trial.objective),
        trial.counting_epoch().map_or_else(String::new, |epoch| epoch.to_string()),
    ]
}

/// The values of the assignment in full, and an empty cell for an inactive parameter.
pub(super) fn values<'a>(
    trial: &'a TrialView,
    parameters: &'a [&str],
) -> impl Iterator<Item = String> + 'a {
    parameters.iter().map(|name| trial.assignment.get(name).map_or_else(String::new, full))
}

/// The last cells of a row: what may differ between two runs of the same sweep, and the message of
/// a failed trial.
pub(super) fn tail(trial: &TrialView) -> [String; 4] {
    [
        optional(trial.seconds),
        trial.worker.as_ref().map_or_else(String::new, ToString::to_string),
        trial.attempts.to_string(),
        trial.message.clone().unwrap_or_default(),
    ]
}

fn full(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Int(_) | Value::Float(_) => value.to_string(),
    }
}

/// A number with all its digits, so that a program reads the same value back.
pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn the_table_rounds_numbers() {
        let mut out = Vec::new();
        table(&mut out, &samples::sweep(), &samples::trials(), Page::default()).unwrap();
        let expected = "\
trial  state      round  epoch  validation_accuracy  learning_rate  layers  time   worker
0      completed  1      2/2    0.9500               0.01           2       1.5 s  local
1      diverged   1      1/2                         0.9            2       1.5 s  local
2      completed  2      2/2    0.9778               0.05           2       1.5 s  local
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn csv_has_numbers_in_full() {
        let mut out = Vec::new();
        csv(&mut out, &samples::sweep(), &samples::trials()).unwrap();
        let expected = "\
trial,state,source,round,epochs,objective,objective_epoch,last_epoch,learning_rate,layers,\
train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,worker,attempts,message
0,completed,round,1,2,0.95,2,2,0.01,2,0.25,0.95,0.25,0.95,1.5,local,1,
1,diverged,round,1,2,,1,1,0.9,2,NaN,0.1,NaN,0.1,1.5,local,1,
2,completed,round,2,2,0.9777777777777777,2,2,0.05,2,\
0.1,0.9777777777777777,0.1,0.9777777777777777,1.5,local,1,
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
