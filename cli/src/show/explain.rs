//! Why a trial was chosen, how it ended, and which later trials followed from it.

use std::io::{self, Write};

use caviar_common::outcome::TrialState;
use caviar_common::reason::{Ranking, Reason, Source};
use caviar_common::space::{Domain, Parameter};
use caviar_common::spec::StoppingRule;
use caviar_common::view::{StoppedView, SweepView, TrialView};
use serde::Serialize;

use super::page::{Page, Tone};
use super::table::{Cell, Column, Table};
use super::text::objective;
use super::{text, trials};

/// Width of the names at the beginning of the lines.
const INDENT: usize = 9;

/// Why a trial was chosen, how it ended, and which later trials followed from it.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation<'a> {
    trial: &'a TrialView,
    /// Its place among the completed trials, from 1; `None` unless it is completed.
    place: Option<usize>,
    completed: usize,
    /// Later trials that were drawn from a box around this one.
    centre_of: Vec<u32>,
}

impl<'a> Explanation<'a> {
    /// Compares the trial with all trials of its sweep.
    pub(crate) fn new(sweep: &SweepView, trial: &'a TrialView, trials: &[TrialView]) -> Self {
        let goal = sweep.spec.objective.goal;
        let cost = |trial: &TrialView| {
            let value = trial.objective.filter(|value| value.is_finite())?;
            (trial.state == TrialState::Completed).then(|| goal.as_cost(value))
        };
        let costs: Vec<(f64, u32)> =
            trials.iter().filter_map(|other| Some((cost(other)?, other.trial.0))).collect();
        // Among equals, the lowest number is the best.
        let place = cost(trial)
            .map(|own| 1 + costs.iter().filter(|other| **other < (own, trial.trial.0)).count());
        let is_around = |other: &&TrialView| {
            let ranking = other.reason.ranking.as_ref();
            ranking.is_some_and(|ranking| ranking.centre == trial.trial.0)
        };
        let centre_of = trials.iter().filter(is_around).map(|other| other.trial.0).collect();
        Self { trial, place, completed: costs.len(), centre_of }
    }

    /// Writes the explanation for people: a line for each question, and a table of the values.
    pub(crate) fn text(
        &self,
        out: &mut impl Write,
        sweep: &SweepView,
        page: Page,
    ) -> io::Result<()> {
        page.write(out, Tone::Strong, 2, &self.headline(sweep))?;
        let mut line = |name: &str, text: &str| {
            page.write(out, Tone::Plain, INDENT, &format!("{name:<INDENT$}{text}"))
        };
        line("chosen", &chosen(sweep, &self.trial.reason))?;
        if let Some(ranking) = &self.trial.reason.ranking {
            line("expected", &expected(sweep, ranking))?;
        }
        if let Some(stopped) = &self.trial.stopped {
            line("stopped", &why_stopped(sweep, *stopped))?;
        }
        if let Some(message) = &self.trial.message {
            line("failed", message)?;
        }
        if let Some(again) = text::trained_again(self.trial.retrained_epochs) {
            line("lost", &format!("{again}, in {} attempts", self.trial.attempts))?;
        }
        line("followed", &self.followed())?;
        writeln!(out)?;
        self.values(sweep, page).write(out, page)
    }

    fn headline(&self, sweep: &SweepView) -> String {
        let metric = sweep.spec.objective.metric.name();
        let value = objective(&sweep.spec, self.trial);
        let result = if value.is_empty() { String::new() } else { format!(": {metric} {value}") };
        let place = self.place.map_or_else(String::new, |place| {
            format!(", place {place} of {} completed", self.completed)
        });
        let (state, _) = trials::state(self.trial);
        format!("trial {} of {} is {state}{result}{place}", self.trial.trial, sweep.name)
    }

    fn followed(&self) -> String {
        match self.centre_of.as_slice() {
            [] => "no later trial was drawn from a box around it".to_owned(),
            [one] => format!("trial {one} was drawn from a box around it"),
            [first, .., last] => format!(
                "{} trials, from {first} to {last}, were drawn from boxes around it",
                self.centre_of.len()
            ),
        }
    }

    /// A row for each parameter: its value, its range, the range of the box, and the length scale,
    /// which is the distance over which the model expects the objective to change. On a narrow page
    /// the length scale is left out first, then the range.
    fn values(&self, sweep: &SweepView, page: Page) -> Table {
        let Reason { search_box, ranking, .. } = &self.trial.reason;
        let mut columns = vec![
            Column::new("parameter").shortened_to(10),
            Column::new("value").ended_at(10),
            Column::new("space").ranked(2),
        ];
        columns.extend(search_box.as_ref().map(|_| Column::new("box").ranked(1)));
        columns.extend(ranking.as_ref().map(|_| Column::new("length scale").ranked(3)));
        let mut table = Table::new(columns);
        for (place, parameter) in sweep.spec.space.parameters().iter().enumerate() {
            let value = self.trial.assignment.get(&parameter.name);
            let value = value.map_or_else(|| "inactive".to_owned(), text::value);
            let mut row = vec![
                parameter.name.clone().into(),
                Cell::new(Tone::Strong, value),
                page.list(range(parameter)).into(),
            ];
            let side = search_box.as_ref().map(|it| page.list(text::side(it, &parameter.name)));
            row.extend(side.map(Cell::from));
            let scale = ranking.as_ref().and_then(|it| it.length_scales.get(place));
            row.extend(scale.map(|scale| Cell::from(text::number(*scale))));
            table.row(row);
        }
        table
    }
}

/// How the strategy chose the point.
fn chosen(sweep: &SweepView, reason: &Reason) -> String {
    // A trial has a result at each rung, too.
    let rungs = if sweep.spec.stopping == StoppingRule::None { "" } else { " at rungs and ends" };
    let seen = match reason.seen {
        1 => "after 1 result".to_owned(),
        seen => format!("after {seen} results{rungs}"),
    };
    match (reason.source, &reason.ranking) {
        (Source::Random, _) => "at random from the whole space".to_owned(),
        (Source::Sobol, _) => "as the next point of the Sobol sequence".to_owned(),
        (Source::Grid, _) => "as the next point of the grid".to_owned(),
        (Source::Round, _) => {
            let round = reason.round.map_or_else(String::new, |round| format!(" of round {round}"));
            format!("at random in the box{round}")
        }
        (Source::Initial, _) => "as one of the first points, which cover the whole space until \
                                 there are results to learn from"
            .to_owned(),
        (Source::Plain, _) => format!(
            "at random in the range of the best trials, {seen}: a part of the trials does not \
             use the model"
        ),
        (Source::WarmStart, _) => {
            let earlier = sweep.spec.search.warm_start.as_ref();
            let earlier = earlier.map_or_else(String::new, |name| format!(" {name}"));
            format!("as the best trial of the earlier sweep{earlier}; no rung stops it")
        }
        (Source::Tpe, _) => format!("by a tree-structured Parzen estimator, {seen}"),
        (Source::Ranked, None) => format!("as the best candidate of a local model, {seen}"),
        (Source::Ranked, Some(ranking)) => format!(
            "as number {} of {} candidates by expected improvement, {seen}; most candidates were \
             in a box of side {} around trial {}",
            ranking.rank,
            ranking.candidates,
            text::number(ranking.side),
            ranking.centre
        ),
    }
}

/// What the model predicted for the point.
fn expected(sweep: &SweepView, ranking: &Ranking) -> String {
    let metric = |value| text::metric(&sweep.spec.objective.metric, value);
    let expected = ranking.expected;
    format!(
        "{}, within one standard deviation {} to {}",
        metric(expected.middle),
        metric(expected.worse),
        metric(expected.better)
    )
}

/// Where a trial was stopped, and by which rule.
fn why_stopped(sweep: &SweepView, stopped: StoppedView) -> String {
    let StoppedView { epoch, rank, of } = stopped;
    let rule = match sweep.spec.stopping {
        StoppingRule::Halving => "; only the best third continues",
        StoppingRule::Median => "; only trials not worse than the median continue",
        StoppingRule::None => "",
    };
    format!("at epoch {epoch}, with rank {rank} of the {of} trials that had reached it{rule}")
}

/// All values that a parameter may take.
pub(crate) fn range(parameter: &Parameter) -> String {
    match &parameter.domain {
        Domain::Choice { values } => values.iter().map(text::value).collect::<Vec<_>>().join(" | "),
        domain @ (Domain::Float { .. } | Domain::Int { .. }) => {
            format!("{} .. {}", text::value(&domain.decode(0.0)), text::value(&domain.decode(1.0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::ids::AttemptNumber;

    use super::super::tests::samples;
    use super::*;

    fn explained(trial: &TrialView, trials: &[TrialView]) -> String {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        Explanation::new(&sweep, trial, trials).text(&mut out, &sweep, Page::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_ranked_trial_says_what_the_model_expected() {
        let trials = samples::ranked_trials();
        let text = explained(&trials[2], &trials);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "trial 2 of digits is completed: validation_accuracy 0.9778, place 1 of 2 \
                 completed",
                "chosen   as number 1 of 256 candidates by expected improvement, after 2 results; \
                 most candidates were in a box of side 0.4 around trial 0",
                "expected 0.9300, within one standard deviation 0.9100 to 0.9500",
                "followed no later trial was drawn from a box around it",
                "",
                "parameter      value  space      box          length scale",
                "learning_rate  0.05   1e-4 .. 1  0.01 .. 0.2  0.3",
                "layers         2      1 .. 4     2            1.25",
            ]
        );
    }

    #[test]
    fn a_stopped_trial_says_where_and_a_centre_names_the_trials_around_it() {
        let trials = samples::ranked_trials();
        let mut stopped = trials[2].clone();
        stopped.stopped = Some(StoppedView { epoch: 2, rank: 4, of: 9 });
        assert!(
            explained(&stopped, &trials)
                .contains("\nstopped  at epoch 2, with rank 4 of the 9 trials that had reached it")
        );
        stopped.retrained_epochs = 1;
        stopped.attempts = AttemptNumber(3);
        assert!(
            explained(&stopped, &trials).contains(
                "\nlost     1 epoch was trained again after a lost worker, in 3 attempts\n"
            )
        );
        assert!(
            explained(&trials[0], &trials)
                .contains("\nfollowed trial 2 was drawn from a box around it\n")
        );
        assert!(explained(&trials[1], &trials).starts_with(
            "trial 1 of digits is diverged\nchosen   at random in the box of round 1\n"
        ));
    }
}
