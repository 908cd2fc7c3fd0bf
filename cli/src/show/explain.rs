//! Why a trial was chosen, what became of it, and what came of that.

use std::io::{self, Write};

use caviar_common::outcome::TrialState;
use caviar_common::reason::{Ranking, Reason, Source};
use caviar_common::space::{Domain, Parameter};
use caviar_common::spec::StoppingRule;
use caviar_common::view::{StoppedView, SweepView, TrialView};
use serde::Serialize;

use super::sweep::objective;
use super::table::Table;
use super::text;

/// Everything there is to say of one trial.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation<'a> {
    trial: &'a TrialView,
    /// Its place among the completed trials, from 1.
    place: Option<usize>,
    completed: usize,
    /// Trials whose box was laid around this one.
    centre_of: Vec<u32>,
}

impl<'a> Explanation<'a> {
    /// From all trials of the sweep.
    pub(crate) fn new(sweep: &SweepView, trial: &'a TrialView, trials: &[TrialView]) -> Self {
        let loss = |t: &TrialView| {
            t.objective.filter(|v| v.is_finite() && t.state == TrialState::Completed)
        };
        let loss = |t: &TrialView| loss(t).map(|value| sweep.spec.objective.goal.as_cost(value));
        let losses: Vec<(f64, u32)> =
            trials.iter().filter_map(|t| Some((loss(t)?, t.trial.0))).collect();
        // Of equals the lowest number is the best.
        let place = loss(trial)
            .map(|own| 1 + losses.iter().filter(|other| **other < (own, trial.trial.0)).count());
        let around = |t: &&TrialView| {
            t.reason.ranking.as_ref().is_some_and(|ranking| ranking.centre == trial.trial.0)
        };
        let centre_of = trials.iter().filter(around).map(|t| t.trial.0).collect();
        Self { trial, place, completed: losses.len(), centre_of }
    }

    /// For people.
    pub(crate) fn text(
        &self,
        out: &mut impl Write,
        sweep: &SweepView,
        columns: Option<usize>,
    ) -> io::Result<()> {
        let Reason { ranking, .. } = &self.trial.reason;
        writeln!(out, "{}", self.headline(sweep))?;
        writeln!(out, "chosen   {}", chosen(sweep, &self.trial.reason))?;
        if let Some(ranking) = ranking {
            writeln!(out, "expected {}", expected(sweep, ranking))?;
        }
        if let Some(stopped) = &self.trial.stopped {
            writeln!(out, "stopped  {}", why_stopped(sweep, *stopped))?;
        }
        if let Some(message) = &self.trial.message {
            writeln!(out, "failed   {message}")?;
        }
        writeln!(out, "changed  {}", self.changed())?;
        writeln!(out)?;
        self.values(sweep).write(out, columns)
    }

    fn headline(&self, sweep: &SweepView) -> String {
        let metric = sweep.spec.objective.metric.name();
        let value = objective(&sweep.spec, self.trial);
        let result = if value.is_empty() { String::new() } else { format!(": {metric} {value}") };
        let place = self.place.map_or_else(String::new, |place| {
            format!(", place {place} of {} completed", self.completed)
        });
        format!(
            "trial {} of {} is {}{result}{place}",
            self.trial.trial,
            sweep.name,
            self.trial.state.name()
        )
    }

    fn changed(&self) -> String {
        match self.centre_of.as_slice() {
            [] => "no box was laid around it".to_owned(),
            [one] => format!("the box of trial {one} was laid around it"),
            [first, .., last] => {
                format!(
                    "the boxes of {} trials, {first} to {last}, were laid around it",
                    self.centre_of.len()
                )
            }
        }
    }

    /// A row for each parameter: its value, where it was looked for, and how far the model thinks
    /// that a change of it matters.
    fn values(&self, sweep: &SweepView) -> Table {
        let Reason { search_box, ranking, .. } = &self.trial.reason;
        let mut headings = vec!["parameter", "value", "space"];
        headings.extend(search_box.as_ref().map(|_| "box"));
        headings.extend(ranking.as_ref().map(|_| "length scale"));
        let mut table = Table::with_headings(headings);
        for (place, parameter) in sweep.spec.space.parameters().iter().enumerate() {
            let value = self
                .trial
                .assignment
                .get(&parameter.name)
                .map_or_else(|| "inactive".to_owned(), text::value);
            let mut row = vec![parameter.name.clone(), value, range(parameter)];
            row.extend(
                search_box.as_ref().map(|search_box| text::side(search_box, &parameter.name)),
            );
            row.extend(
                ranking
                    .as_ref()
                    .and_then(|r| r.length_scales.get(place))
                    .map(|scale| text::number(*scale)),
            );
            table.row(row);
        }
        table
    }
}

fn chosen(sweep: &SweepView, reason: &Reason) -> String {
    let seen =
        format!("after {}", text::count(reason.seen.into(), "entry").replace("entrys", "entries"));
    match (reason.source, &reason.ranking) {
        (Source::Random, _) => "at random from the whole space".to_owned(),
        (Source::Sobol, _) => "the next point of the Sobol sequence".to_owned(),
        (Source::Grid, _) => "the next point of the grid".to_owned(),
        (Source::Round, _) => {
            let round = reason.round.map_or_else(String::new, |round| format!(" of round {round}"));
            format!("at random in the box{round}")
        }
        (Source::Initial, _) => "one of the first points, spread over the whole space before there was enough to learn from".to_owned(),
        (Source::Plain, _) => format!("at random in the range of the best trials, {seen} in the log: the share that trusts no model"),
        (Source::WarmStart, _) => {
            let earlier = sweep.spec.search.warm_start.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            format!("the best of the earlier sweep{earlier}")
        }
        (Source::Tpe, _) => format!("by trees of Parzen estimators, {seen} in the log"),
        (Source::Ranked, None) => format!("ranked by a local model, {seen} in the log"),
        (Source::Ranked, Some(ranking)) => format!(
            "number {} of {} candidates by expected improvement, {seen} in the log, most of them in a box of side {} around trial {}",
            ranking.rank,
            ranking.candidates,
            text::number(ranking.side),
            ranking.centre
        ),
    }
}

fn expected(sweep: &SweepView, ranking: &Ranking) -> String {
    let metric = |value| text::metric(&sweep.spec.objective.metric, value);
    let expected = ranking.expected;
    format!(
        "{}, one deviation to each side {} and {}",
        metric(expected.middle),
        metric(expected.worse),
        metric(expected.better)
    )
}

fn why_stopped(sweep: &SweepView, stopped: StoppedView) -> String {
    let StoppedView { epoch, rank, of } = stopped;
    let go_on = match sweep.spec.stopping {
        StoppingRule::Halving => "the best third goes on",
        StoppingRule::Median => "those not worse than the median go on",
        StoppingRule::None => "all go on",
    };
    format!(
        "at epoch {epoch}, where it was number {rank} of the {of} that had come so far: {go_on}"
    )
}

/// All values of a parameter.
fn range(parameter: &Parameter) -> String {
    match &parameter.domain {
        Domain::Choice { values } => values.iter().map(text::value).collect::<Vec<_>>().join(" | "),
        domain @ (Domain::Float { .. } | Domain::Int { .. }) => {
            format!("{} .. {}", text::value(&domain.decode(0.0)), text::value(&domain.decode(1.0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::reason::Expected;

    use super::super::samples;
    use super::*;

    fn explained(trial: &TrialView, trials: &[TrialView]) -> String {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        Explanation::new(&sweep, trial, trials).text(&mut out, &sweep, None).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_ranked_trial_says_what_the_model_expected_and_a_centre_what_lies_around_it() {
        let mut trials = samples::trials();
        let box_of_round = samples::sweep().rounds.remove(1).search_box;
        let expected = Expected { worse: 0.91, middle: 0.93, better: 0.95 };
        let ranking = Ranking {
            centre: 0,
            side: 0.4,
            length_scales: vec![0.3, 1.25],
            expected,
            score: -1.5,
            rank: 1,
            candidates: 256,
        };
        trials[2].reason = Reason {
            search_box: box_of_round,
            seen: 2,
            ranking: Some(ranking),
            ..Reason::from_source(Source::Ranked)
        };
        let text = explained(&trials[2], &trials);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "trial 2 of digits is completed: validation_accuracy 0.9778, place 1 of 2 completed",
                "chosen   number 1 of 256 candidates by expected improvement, after 2 entries in the log, most of them in a box of side 0.4 around trial 0",
                "expected 0.9300, one deviation to each side 0.9100 and 0.9500",
                "changed  no box was laid around it",
                "",
                "parameter      value  space      box          length scale",
                "learning_rate  0.05   1e-4 .. 1  0.01 .. 0.2  0.3",
                "layers         2      1 .. 4     2            1.25",
            ]
        );
        let mut stopped = trials[2].clone();
        stopped.stopped = Some(StoppedView { epoch: 2, rank: 4, of: 9 });
        assert!(explained(&stopped, &trials).contains(
            "\nstopped  at epoch 2, where it was number 4 of the 9 that had come so far: "
        ));
        assert!(
            explained(&trials[0], &trials)
                .contains("changed  the box of trial 2 was laid around it")
        );
        assert!(explained(&trials[1], &trials).starts_with(
            "trial 1 of digits is diverged\nchosen   at random in the box of round 1\n"
        ));
    }
}
