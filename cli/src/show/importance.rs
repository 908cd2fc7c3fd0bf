//! Which hyperparameters mattered: a bar for the share of each.

use std::io::{self, Write};

use caviar_common::view::{ImportanceView, SweepView};

use super::page::{Page, Tone, width};
use super::table::{Cell, Column, Table};
use super::text;

/// Pairs that are shown.
const PAIRS: usize = 5;
/// Characters of the bar for a share of 100 % where there is room for it.
const LONGEST_BAR: usize = 40;
/// A bar shorter than this is left out, because it could show hardly any share.
const SHORTEST_BAR: usize = 8;
/// Characters of a share with the gaps on both sides.
const SHARE_WIDTH: usize = 11;
/// Characters that a name keeps before the bar gets any.
const LEAST_NAME: usize = 24;

/// Writes a bar for every hyperparameter, and the strongest pairs. On a narrow page the bars give
/// way first, then the names are shortened.
pub(crate) fn text(
    out: &mut impl Write,
    sweep: &SweepView,
    view: &ImportanceView,
    page: Page,
) -> io::Result<()> {
    let trials = text::count(view.trials.into(), "trial");
    let provisional = match view.provisional {
        0 => String::new(),
        n => format!(" ({n} of them with the value that they are expected to reach)"),
    };
    let headline = format!(
        "{}: share of the variation in {} that each hyperparameter explains, learnt from \
         {trials}{provisional}",
        sweep.name,
        sweep.spec.objective.metric.name()
    );
    page.write(out, Tone::Strong, 2, &headline)?;
    writeln!(out)?;
    let single = view.parameters.iter().map(|share| (share.parameter.clone(), share.share));
    let pairs = view.pairs.iter().take(PAIRS);
    let pairs = pairs.map(|pair| (pair.parameters.join(" with "), pair.share));
    let rows: Vec<(String, f64)> = single.chain(pairs).collect();
    let longest = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let room = page.columns.map_or(LONGEST_BAR, |columns| {
        columns.saturating_sub(longest.min(LEAST_NAME) + SHARE_WIDTH).min(LONGEST_BAR)
    });
    let room = if room < SHORTEST_BAR { 0 } else { room };
    let mut table =
        Table::new([Column::new("").shortened_to(LEAST_NAME), Column::new(""), Column::new("")]);
    for (name, share) in rows {
        table.row([name.into(), percent(share).into(), Cell::new(Tone::Busy, bar(share, room))]);
    }
    table.write(out, page)
}

/// Rounding in the forest can exceed 1 by a few bits.
fn percent(share: f64) -> String {
    format!("{:5.1} %", 100.0 * share.clamp(0.0, 1.0))
}

fn bar(share: f64, room: usize) -> String {
    let room = f64::from(u32::try_from(room).unwrap_or(u32::MAX));
    let length = share.clamp(0.0, 1.0) * room;
    (0u32..).map(f64::from).take_while(|place| place + 0.5 <= length).map(|_| '#').collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    fn shown(view: &ImportanceView, page: Page) -> String {
        let mut out = Vec::new();
        text(&mut out, &samples::sweep(), view, page).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bars_have_the_length_of_their_share() {
        let expected = "\
digits: share of the variation in validation_accuracy that each hyperparameter explains, \
learnt from 60 trials (40 of them with the value that they are expected to reach)

learning_rate               75.0 %  ##############################
layers                       0.1 %
learning_rate with layers    5.0 %  ##
";
        assert_eq!(shown(&samples::importance(), Page::default()), expected);
    }

    #[test]
    fn a_share_above_one_by_a_rounding_error_is_shown_as_100_percent() {
        let mut view = samples::importance();
        view.parameters[0].share = 1.000_000_000_000_000_2;
        view.parameters[1].share = 1.01;
        let text = shown(&view, Page::default());
        assert_eq!(text.matches("100.0 %").count(), 2, "{text}");
    }

    #[test]
    fn the_bar_gives_way_before_the_figures() {
        let text = shown(&samples::importance(), Page::with_columns(40));
        assert!(text.contains("75.0 %") && !text.contains('#'), "{text}");
    }
}
