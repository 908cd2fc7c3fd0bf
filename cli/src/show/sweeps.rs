//! The list of sweeps, one line each.

use std::io::{self, Write};

use caviar_common::metric::Score;
use caviar_common::view::SweepView;

use super::sweep::{View, state, total};
use super::table::{Cell, Column, Table};
use super::text::objective;
use super::{page::Tone, text};

/// Writes a line for every sweep. On a narrow page the data is left out first, then the number, the
/// test score, the metric and the count of finished trials.
pub(crate) fn list(out: &mut impl Write, sweeps: &[SweepView], view: View) -> io::Result<()> {
    let mut table = Table::new([
        Column::new("number").ranked(5),
        Column::new("sweep").shortened_to(12),
        Column::new("state"),
        Column::new("finished").ranked(2),
        Column::new("best").ranked(1),
        Column::new("metric").ranked(3).shortened_to(12),
        Column::new("test").ranked(4),
        Column::new("data").ranked(6).shortened_to(12),
    ]);
    for sweep in sweeps {
        let best =
            sweep.best.as_ref().map_or_else(String::new, |best| objective(&sweep.spec, best));
        let score = sweep.test.as_ref().and_then(|test| test.score.as_ref());
        let (state, tone) = state(sweep, view.origin);
        table.row([
            sweep.id.to_string().into(),
            Cell::new(Tone::Strong, sweep.name.to_string()),
            Cell::new(tone, state),
            format!("{}/{}", sweep.counts.finished(), total(sweep)).into(),
            best.into(),
            sweep.spec.objective.metric.name().into(),
            score.map_or_else(String::new, one_value).into(),
            source(sweep).into(),
        ]);
    }
    table.write(out, view.page)
}

/// The test score in one value: the accuracy of a classification, the loss of a regression.
fn one_value(score: &Score) -> String {
    match score.accuracy {
        Some(accuracy) => format!("accuracy {accuracy:.4}"),
        None => format!("loss {}", text::number(score.loss)),
    }
}

/// The file name of the data, which identifies it better than the beginning of a long path.
fn source(sweep: &SweepView) -> String {
    let source = sweep.spec.data.source.as_str();
    source.rsplit('/').next().unwrap_or(source).to_owned()
}

#[cfg(test)]
mod tests {
    use caviar_common::outcome::SweepState;
    use caviar_common::view::Counts;

    use super::super::sweep::Origin;
    use super::super::tests::samples;
    use super::*;

    fn shown(sweeps: &[SweepView], view: View) -> String {
        let mut out = Vec::new();
        list(&mut out, sweeps, view).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_sweep_has_one_line() {
        let text = shown(&[samples::sweep()], View::default());
        let expected = "\
number  sweep   state      finished  best    metric               test             data
1       digits  completed  3/3       0.9778  validation_accuracy  accuracy 0.9667  builtin:digits
";
        assert_eq!(text, expected);
    }

    #[test]
    fn cancelled_trials_do_not_count_as_finished() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Cancelled;
        sweep.counts = Counts { cancelled: 2, ..Counts::default() };
        (sweep.best, sweep.test) = (None, None);
        let view = View { origin: Origin::Store, ..View::default() };
        assert!(shown(&[sweep.clone()], view).contains("digits  cancelled  0/3 "));
        assert_eq!(total(&sweep), 3);
    }
}
