//! Figures about predictions, as text.

use std::fmt::Write;

use caviar_common::numbers::to_u64;
use caviar_data::Schema;
use caviar_metrics::{Figure, Report};

use crate::show::table::{Column, Table};
use crate::show::text;

/// Most classes whose figures and confusions are shown.
const MAX_CLASSES: usize = 20;
/// Longest name of a class in a heading, in characters.
const MAX_HEADING_CHARS: usize = 12;
/// The heading of what a model without inputs reaches.
const WITHOUT_INPUTS: &str = "without inputs";

/// A value with its interval: `0.9833 [0.9611, 1]`.
pub(super) fn value(figure: &Figure) -> String {
    let Some(value) = figure.value else { return "undefined".to_owned() };
    match figure.interval {
        Some(interval) => {
            format!("{} [{}, {}]", short(value), short(interval.low), short(interval.high))
        }
        None => short(value),
    }
}

/// Four decimals, or fewer from 10 on: a large number says enough without them. A very small or a
/// very large one has four digits and an exponent.
fn short(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        _ => 4,
    };
    if value == 0.0 || (0.001..1e6).contains(&size) {
        let text = format!("{value:.decimals$}");
        let is_whole = decimals == 0;
        if is_whole { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    } else {
        format!("{value:.3e}")
    }
}

/// The measures of several reports next to each other, one column for each, and last what a model
/// without inputs reaches on the rows of the last report.
pub(super) fn table(reports: &[(&str, &Report)]) -> Table {
    let headings = reports.iter().map(|(name, _)| Column::new(*name));
    let headings = [Column::new("measure")].into_iter().chain(headings);
    let mut table = Table::new(headings.chain([Column::new(WITHOUT_INPUTS).ranked(1)]));
    let Some((_, last)) = reports.last() else { return table };
    for figure in &last.figures {
        let cells = reports
            .iter()
            .map(|(_, report)| report.figure(figure.measure).map_or_else(String::new, value));
        let cells = [figure.measure.name().to_owned()].into_iter().chain(cells);
        table.row(cells.chain([without_inputs(figure)]));
    }
    table
}

/// What a model without inputs reaches.
fn without_inputs(figure: &Figure) -> String {
    figure.without_inputs.map_or_else(|| "undefined".to_owned(), short)
}

/// The names of the labels, if there are several; empty otherwise.
pub(super) fn several(schema: &Schema) -> Vec<&str> {
    let labels = schema.labels().filter(|_| !schema.more_labels.is_empty());
    labels.map(|label| label.name.as_str()).collect()
}

/// The measures of each label by itself; `None` unless there are several.
pub(super) fn outputs(report: &Report, schema: &Schema) -> Option<Table> {
    let first = report.outputs.first()?;
    let headings = first.iter().map(|figure| Column::new(figure.measure.name()));
    let mut table = Table::new([Column::new("label")].into_iter().chain(headings));
    for (name, figures) in several(schema).into_iter().zip(&report.outputs) {
        table.row([name.to_owned()].into_iter().chain(figures.iter().map(value)));
    }
    Some(table)
}

/// Precision, recall and the confusions of each class.
pub(super) fn classes(report: &Report, names: &[String]) -> Option<Table> {
    let classes = report.classes.as_ref().filter(|_| names.len() <= MAX_CLASSES)?;
    let class = Column::new("class").shortened_to(12);
    let headings = ["rows", "precision", "recall", "F1"].map(Column::new);
    let headings = [class].into_iter().chain(headings);
    // Shortened headings of different classes could look alike, so long names have numbers.
    let is_long = names.iter().any(|name| name.chars().count() > MAX_HEADING_CHARS);
    let names: Vec<(String, String)> = names
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let number = class + 1;
            if is_long {
                (format!("{number} {name}"), format!("as {number}"))
            } else {
                (name.clone(), format!("as {name}"))
            }
        })
        .collect();
    let predicted = names.iter().map(|(_, heading)| Column::new(heading));
    let mut table = Table::new(headings.chain(predicted));
    for (((name, _), figures), row) in names.iter().zip(&classes.figures).zip(&classes.confusion) {
        // A class without rows has no figures, and the averages leave it out.
        let judged = |number: f64| {
            if figures.support > 0.0 { short(number) } else { "-".to_owned() }
        };
        let numbers = [figures.precision, figures.recall, figures.f1].map(judged);
        let confusion = row.iter().map(|count| short(*count));
        let cells = std::iter::once(short(figures.support)).chain(numbers).chain(confusion);
        table.row([name.clone()].into_iter().chain(cells));
    }
    Some(table)
}

/// The measures of several reports as a table in Markdown, with those of each label if there are
/// several.
pub(super) fn markdown(reports: &[(String, Report)], schema: &Schema) -> String {
    let mut page = String::new();
    let mut line = |text: String| {
        // A string takes any text.
        let _always = writeln!(page, "{text}");
    };
    let headings = reports
        .iter()
        .map(|(name, report)| format!(" {name}, {} |", text::count(to_u64(report.rows), "row")));
    line(format!("| measure |{} {WITHOUT_INPUTS} |", headings.collect::<String>()));
    line(format!("|---|{}---|", "---|".repeat(reports.len())));
    let Some((_, last)) = reports.last() else { return page };
    for figure in &last.figures {
        let cells = reports.iter().map(|(_, report)| {
            let figure = report.figure(figure.measure);
            format!(" {} |", figure.map_or_else(String::new, value))
        });
        let (name, constant) = (figure.measure.name(), without_inputs(figure));
        line(format!("| `{name}` |{} {constant} |", cells.collect::<String>()));
    }
    for (output, label) in several(schema).into_iter().enumerate() {
        // A text in a cell: no sign of Markdown ends it.
        let label = label.replace(['|', '`', '\n', '\r'], " ");
        for (place, figure) in last.figures.iter().enumerate() {
            let alone = last.outputs.get(output).and_then(|all| all.get(place));
            let constant = alone.map_or_else(String::new, without_inputs);
            let cells = reports.iter().map(|(_, report)| {
                let figure = report.outputs.get(output).and_then(|all| all.get(place));
                format!(" {} |", figure.map_or_else(String::new, value))
            });
            let name = figure.measure.name();
            line(format!("| `{name}` of `{label}` |{} {constant} |", cells.collect::<String>()));
        }
    }
    line(String::new());
    line("In brackets are 95 % intervals, by the bootstrap over the rows.".to_owned());
    if let Some((name, _)) = reports.last() {
        line(format!(
            "A model without inputs predicts the shares of the classes, or the mean, of the \
             {name} rows."
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_of_classes_have_numbers_in_the_headings() {
        let shown = |names: [&str; 2]| {
            let probabilities = vec![0.9, 0.1, 0.2, 0.8];
            let predictions =
                caviar_metrics::Predictions::from_probabilities(2, vec![0, 1], probabilities);
            let report = Report::of(&predictions.unwrap(), 1);
            let mut out = Vec::new();
            let table = classes(&report, &names.map(str::to_owned)).unwrap();
            table.write(&mut out, crate::show::page::Page::default()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(shown(["no", "yes"]).lines().next().unwrap().ends_with("as no  as yes"));
        let long = shown(["Status: Charged Off", "Status: Fully Paid"]);
        let expected = "\
class                  rows  precision  recall  F1  as 1  as 2
1 Status: Charged Off  1     1          1       1   1     0
2 Status: Fully Paid   1     1          1       1   0     1
";
        assert_eq!(long, expected);
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.98333, "0.9833"),
            (1.0, "1"),
            (0.0, "0"),
            (12.0, "12"),
            (54.32109, "54.32"),
            (987.654, "987.7"),
            (-2127.0424, "-2127"),
            (12000.0, "12000"),
            (1.234e-7, "1.234e-7"),
        ] {
            assert_eq!(short(number), text);
        }
    }
}
