//! Where a sweep searched: the range of each hyperparameter, box by box.

use std::io::{self, Write};

use caviar_common::view::{RoundView, SweepView};

use super::page::{Page, Tone};
use super::table::{Column, Table};
use super::text;

/// Writes the rounds or the boxes of a sweep, side by side, with a line that explains them. Writes
/// nothing for a strategy that searches the whole space.
pub(super) fn write(out: &mut impl Write, sweep: &SweepView, page: Page) -> io::Result<()> {
    let (what, table) = if sweep.spec.search.strategy.has_rounds() {
        ("the range of each hyperparameter in each round", rounds_table(sweep, page))
    } else if sweep.boxes.is_empty() {
        return Ok(());
    } else {
        (
            "the box from which a trial was drawn, from the first to the latest",
            boxes_table(sweep, page),
        )
    };
    writeln!(out)?;
    let line = format!("Where it searched: {what}.");
    page.write(out, Tone::Faint, 2, &line)?;
    table.write(out, page)
}

/// A table with a column for each heading. On a narrow page the last and the first stay, and those
/// in between are left out, the earliest first.
fn side_by_side(headings: Vec<String>) -> Table {
    let count = headings.len();
    let rank = |place: usize| match place {
        0 => 1,
        _ if place + 1 == count => 0,
        _ => 1 + count - place,
    };
    let columns = headings
        .into_iter()
        .enumerate()
        .map(|(place, heading)| Column::new(heading).ranked(rank(place)));
    Table::new(std::iter::once(Column::new("").shortened_to(12)).chain(columns))
}

fn rounds_table(sweep: &SweepView, page: Page) -> Table {
    let line = |name: &str, cell: &dyn Fn(&RoundView) -> String| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(sweep.rounds.iter().map(cell)).collect()
    };
    let metric = &sweep.spec.objective.metric;
    let headings = sweep.rounds.iter().map(|round| format!("round {}", round.round));
    let mut table = side_by_side(headings.collect());
    table.row(line("trials", &|round| {
        if round.finished == round.trials {
            round.finished.to_string()
        } else {
            format!("{} of {}", round.finished, round.trials)
        }
    }));
    for parameter in sweep.spec.space.parameters() {
        table.row(line(&parameter.name, &|round| match &round.search_box {
            Some(search_box) => page.list(text::side(search_box, &parameter.name)),
            None => "-".to_owned(),
        }));
    }
    table.row(line(&format!("best {}", metric.name()), &|round| match round.best {
        Some(best) => text::metric(metric, best),
        None => "-".to_owned(),
    }));
    table
}

fn boxes_table(sweep: &SweepView, page: Page) -> Table {
    let headings = sweep.boxes.iter().map(|view| format!("trial {}", view.trial));
    let mut table = side_by_side(headings.collect());
    for parameter in sweep.spec.space.parameters() {
        let sides =
            sweep.boxes.iter().map(|view| page.list(text::side(&view.search_box, &parameter.name)));
        table.row(std::iter::once(parameter.name.clone()).chain(sides));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    fn shown(sweep: &SweepView, page: Page) -> String {
        let mut out = Vec::new();
        write(&mut out, sweep, page).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn boxes_are_shown_from_the_first_to_the_latest() {
        let expected = "
Where it searched: the box from which a trial was drawn, from the first to the latest.
               trial 10   trial 20
learning_rate  1e-4 .. 1  0.01 .. 0.2
layers         1 .. 4     2
";
        assert_eq!(shown(&samples::with_boxes(), Page::default()), expected);
    }

    #[test]
    fn the_last_round_stays_where_there_is_room_for_one() {
        let text = shown(&samples::sweep(), Page::with_columns(30));
        assert!(text.contains("not shown at 30 columns: round\n  1\n"), "{text}");
        assert!(text.contains("0.9778") && !text.contains("0.9500"), "{text}");
    }
}
