//! The trials of a sweep.

use std::io::{self, Write};
use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::metric::{Metric, Point};
use caviar_common::view::{SweepView, TrialView};

use super::output_error;
use super::sweep::objective;
use super::table::Table;
use super::text;

/// The parameters that are searched, in the order of the space.
pub(super) fn parameters(sweep: &SweepView) -> Vec<&str> {
    sweep.spec.space.parameters().iter().map(|p| p.name.as_str()).collect()
}

/// The metrics that have a column: those of networks; of other programs, the objective and what
/// else the best trial brought.
pub(super) fn metrics(sweep: &SweepView) -> Vec<Metric> {
    if !sweep.spec.data.is_external() {
        return Metric::ALL.to_vec();
    }
    let objective = &sweep.spec.objective.metric;
    let last = sweep.best.as_ref().and_then(|best| best.last.as_ref());
    let others = match last {
        Some(Point::Named(named)) => {
            named.metrics.keys().filter(|name| name.as_str() != objective.name()).cloned().collect()
        }
        Some(Point::Network(_)) | None => Vec::new(),
    };
    std::iter::once(objective.clone()).chain(others.into_iter().map(Metric::Named)).collect()
}

/// A table for people.
pub(crate) fn table(
    out: &mut impl Write,
    sweep: &SweepView,
    trials: &[TrialView],
    columns: Option<usize>,
) -> io::Result<()> {
    let parameters = parameters(sweep);
    let first = ["trial", "state", "round", "epoch", sweep.spec.objective.metric.name()];
    let mut table =
        Table::with_headings(first.iter().chain(&parameters).copied().chain(["time", "worker"]));
    for trial in trials {
        let epoch = format!("{}/{}", trial.last.as_ref().map_or(0, Point::epoch), trial.epochs);
        let round = trial.reason.round.map_or_else(String::new, |round| round.to_string());
        let mut cells = vec![
            trial.trial.to_string(),
            trial.state.name().to_owned(),
            round,
            epoch,
            objective(&sweep.spec, trial),
        ];
        cells.extend(
            parameters
                .iter()
                .map(|name| trial.assignment.get(name).map_or_else(|| "-".to_owned(), text::value)),
        );
        cells.push(trial.seconds.map_or_else(String::new, time));
        cells.push(trial.worker.as_ref().map_or_else(String::new, ToString::to_string));
        table.row(cells);
    }
    table.write(out, columns)?;
    failures(out, trials)
}

/// Trials are short: their times are told apart by tenths of a second.
fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(short) if short < Duration::from_mins(1) => format!("{seconds:.1} s"),
        _ => text::seconds(seconds),
    }
}

fn failures(out: &mut impl Write, trials: &[TrialView]) -> io::Result<()> {
    trials
        .iter()
        .filter_map(|t| Some((t.trial, t.message.as_ref()?)))
        .try_for_each(|(trial, why)| writeln!(out, "trial {trial}: {why}"))
}

/// CSV: a row for every trial.
pub(crate) fn csv(out: &mut impl Write, sweep: &SweepView, trials: &[TrialView]) -> io::Result<()> {
    let parameters = parameters(sweep);
    let mut writer = csv::Writer::from_writer(out);
    let first = ["trial", "state", "source", "round", "epochs", "objective", "epoch"];
    let columns = metrics(sweep);
    let last = ["seconds", "worker", "attempts", "message"];
    writer
        .write_record(
            first
                .iter()
                .copied()
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
                .map(|metric| optional(trial.last.as_ref().and_then(|last| last.get(metric)))),
        );
        cells.extend(tail(trial));
        writer.write_record(&cells).map_err(output_error)?;
    }
    writer.flush()
}

/// Number, state, source, round, epochs and objective.
pub(super) fn head(trial: &TrialView) -> Vec<String> {
    vec![
        trial.trial.to_string(),
        trial.state.name().to_owned(),
        trial.reason.source.name().to_owned(),
        trial.reason.round.map_or_else(String::new, |round| round.to_string()),
        trial.epochs.to_string(),
        optional(trial.objective),
    ]
}

/// The values of the assignment in full; nothing for what is not active.
pub(super) fn values<'a>(
    trial: &'a TrialView,
    parameters: &'a [&str],
) -> impl Iterator<Item = String> + 'a {
    parameters.iter().map(|name| trial.assignment.get(name).map_or_else(String::new, full))
}

/// What differs between two runs that are otherwise the same, and why a trial failed.
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
        Value::Text(text) => text.clone(),
        Value::Int(_) | Value::Float(_) => value.to_string(),
    }
}

/// A number in full, as it can be read back.
pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn people_get_a_table() {
        let mut out = Vec::new();
        table(&mut out, &samples::sweep(), &samples::trials(), None).unwrap();
        let expected = "\
trial  state      round  epoch  validation_accuracy  learning_rate  layers  time   worker
0      completed  1      2/2    0.9500               0.01           2       1.5 s  local
1      diverged   1      1/2                         0.9            2       1.5 s  local
2      completed  2      2/2    0.9778               0.05           2       1.5 s  local
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn programs_get_full_numbers() {
        let mut out = Vec::new();
        csv(&mut out, &samples::sweep(), &samples::trials()).unwrap();
        let expected = "\
trial,state,source,round,epochs,objective,epoch,learning_rate,layers,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,worker,attempts,message
0,completed,round,1,2,0.95,2,0.01,2,0.25,0.95,0.25,0.95,1.5,local,1,
1,diverged,round,1,2,,1,0.9,2,NaN,0.1,NaN,0.1,1.5,local,1,
2,completed,round,2,2,0.9777777777777777,2,0.05,2,0.1,0.9777777777777777,0.1,0.9777777777777777,1.5,local,1,
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
