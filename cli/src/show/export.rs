//! The whole result of a sweep, for another program.
//!
//! The order and the form of every number are fixed. Two runs of the same sweep give the same bytes
//! except for `seconds`, `worker`, `attempts`, `started_at`, `ended_at` and
//! `retrained_epochs`, which describe how the work was done and not what it found.

use std::io::{self, Write};

use caviar_common::data::DataSummary;
use caviar_common::ids::{Name, TrialNumber};
use caviar_common::measure::Measure;
use caviar_common::metric::{Metric, Point};
use caviar_common::spec::SweepSpec;
use caviar_common::view::{ExtensionView, ResizeView, RoundView, SweepView, TestView, TrialView};
use serde::Serialize;

use super::output_error;
use super::trials::{HEAD, head, metrics, optional, parameters, tail, values};

/// Writes CSV with a row for every epoch of every trial. A trial without an epoch has one row.
pub(crate) struct Csv<'a, W: Write> {
    writer: csv::Writer<W>,
    parameters: Vec<&'a str>,
    metrics: Vec<Metric>,
    sweep: &'a SweepView,
}

impl<'a, W: Write> Csv<'a, W> {
    /// Creates the writer and writes the line of headings.
    pub(crate) fn new(out: W, sweep: &'a SweepView) -> io::Result<Self> {
        let parameters = parameters(sweep);
        let first = HEAD.into_iter().chain(["winner", "test_loss", "test_accuracy"]);
        let metrics = metrics(sweep);
        let test_measure = measure(sweep).map(|measure| format!("test_{}", measure.name()));
        let last = [
            "seconds",
            "worker",
            "attempts",
            "message",
            "started_at",
            "ended_at",
            "retrained_epochs",
        ];
        let mut writer = csv::Writer::from_writer(out);
        let before = first.chain(test_measure.as_deref());
        let before = before.chain(parameters.iter().copied()).chain(["epoch"]);
        writer
            .write_record(before.chain(metrics.iter().map(Metric::name)).chain(last))
            .map_err(output_error)?;
        Ok(Self { writer, parameters, metrics, sweep })
    }

    /// Writes the rows of one trial.
    pub(crate) fn trial(&mut self, trial: &TrialView) -> io::Result<()> {
        if trial.curve.is_empty() {
            return self.row(trial, None);
        }
        trial.curve.iter().try_for_each(|epoch| self.row(trial, Some(epoch)))
    }

    fn row(&mut self, trial: &TrialView, epoch: Option<&Point>) -> io::Result<()> {
        let winner = self.sweep.best.as_ref().is_some_and(|best| best.trial == trial.trial);
        let test = self
            .sweep
            .test
            .as_ref()
            .filter(|test| test.trial == trial.trial)
            .and_then(|test| test.score);
        let mut cells = head(trial);
        cells.extend([
            winner.to_string(),
            optional(test.map(|t| t.loss)),
            optional(test.and_then(|t| t.accuracy)),
        ]);
        cells.extend(
            measure(self.sweep)
                .map(|measure| optional(test.and_then(|test| test.measure(measure)))),
        );
        cells.extend(values(trial, &self.parameters));
        cells.push(epoch.map_or_else(String::new, |epoch| epoch.epoch().to_string()));
        cells.extend(
            self.metrics.iter().map(|metric| optional(epoch.and_then(|epoch| epoch.get(metric)))),
        );
        cells.extend(tail(trial));
        let times = [&trial.times.started_at, &trial.times.ended_at];
        cells.extend(times.map(|time| time.clone().unwrap_or_default()));
        cells.push(trial.retrained_epochs.to_string());
        self.writer.write_record(&cells).map_err(output_error)
    }

    /// Flushes the rows that are still buffered.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The measure that is the objective of a sweep of networks; `None` if it is another metric.
fn measure(sweep: &SweepView) -> Option<Measure> {
    sweep.spec.objective.metric.measure().filter(|_| !sweep.spec.data.is_external())
}

#[derive(Serialize)]
struct Export<'a> {
    sweep: &'a Name,
    state: &'a str,
    spec: &'a SweepSpec,
    data: &'a DataSummary,
    rounds: &'a [RoundView],
    parallelism: u32,
    auto_slots: Option<u32>,
    resizes: &'a [ResizeView],
    budget: u32,
    extensions: &'a [ExtensionView],
    winner: Option<TrialNumber>,
    test: Option<&'a TestView>,
    trials: &'a [TrialView],
}

/// Writes one JSON object: the sweep, the winner and every trial with its curve.
pub(crate) fn json(
    out: &mut impl Write,
    sweep: &SweepView,
    state: &str,
    trials: &[TrialView],
) -> io::Result<()> {
    let export = Export {
        sweep: &sweep.name,
        state,
        spec: &sweep.spec,
        data: &sweep.data,
        rounds: &sweep.rounds,
        parallelism: sweep.parallelism,
        auto_slots: sweep.auto_slots,
        resizes: &sweep.resizes,
        budget: sweep.budget,
        extensions: &sweep.extensions,
        winner: sweep.best.as_ref().map(|best| best.trial),
        test: sweep.test.as_ref(),
        trials,
    };
    super::json(out, &export)
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn every_epoch_has_a_row() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, &sweep).unwrap();
        let mut trials = samples::trials();
        trials[1].curve.clear();
        trials.iter().try_for_each(|trial| csv.trial(trial)).unwrap();
        csv.finish().unwrap();
        let expected = "\
trial,state,source,round,epochs,objective,objective_epoch,winner,test_loss,test_accuracy,\
learning_rate,layers,epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,\
seconds,worker,attempts,message,started_at,ended_at,retrained_epochs
0,completed,round,1,2,0.95,2,false,,,0.01,2,1,0.5,0.9,0.5,0.9,1.5,local,1,,,,0
0,completed,round,1,2,0.95,2,false,,,0.01,2,2,0.25,0.95,0.25,0.95,1.5,local,1,,,,0
1,diverged,round,1,2,,1,false,,,0.9,2,,,,,,1.5,local,1,,,,0
2,completed,round,2,2,0.9777777777777777,2,true,0.125,0.9666666666666667,0.05,2,\
1,0.2,0.96,0.2,0.96,1.5,local,1,,,,0
2,completed,round,2,2,0.9777777777777777,2,true,0.125,0.9666666666666667,0.05,2,\
2,0.1,0.9777777777777777,0.1,0.9777777777777777,1.5,local,1,,,,0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_object_holds_the_curves_and_the_winner() {
        let mut out = Vec::new();
        json(&mut out, &samples::sweep(), "completed", &samples::trials()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["winner"], 2);
        assert_eq!(value["trials"][0]["curve"].as_array().unwrap().len(), 2);
        assert_eq!(value["trials"][1]["curve"][0]["train"]["loss"], serde_json::Value::Null);
        assert_eq!(value["rounds"][0]["box"][0]["parameter"], "learning_rate");
    }
}
