//! `caviar check`: a sweep file and its data are validated, and what would run is shown.

use std::io::{self, Write};

use caviar_common::data::{ClassWeights, DataSummary, Task, WeightSpec};
use caviar_common::space::{Domain, Parameter};
use caviar_common::spec::{Parallelism, SweepSpec};
use serde::Serialize;

use crate::args::Check;
use crate::show;
use crate::show::notes::write_note;
use crate::show::page::{Page, Tone};
use crate::show::table::{Column, Table};
use crate::show::text;
use crate::sweep_file::{Purpose, SweepSource};

/// The object that `--json` writes.
#[derive(Serialize)]
struct Checked<'a> {
    valid: bool,
    spec: &'a SweepSpec,
    data: Option<&'a DataSummary>,
}

/// Validates the file and shows what it asks for. A mistake is an error.
pub(crate) fn check(args: &Check) -> anyhow::Result<()> {
    let source = SweepSource::read(&args.file, None, Purpose::Check)?;
    let spec = source.filled_spec();
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &Checked { valid: true, spec: &spec, data: source.data() })?;
    } else {
        let file = args.file.display().to_string();
        write(&mut out, &file, &spec, source.data(), Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

fn write(
    out: &mut impl Write,
    file: &str,
    spec: &SweepSpec,
    data: Option<&DataSummary>,
    page: Page,
) -> io::Result<()> {
    page.write(out, Tone::Good, 2, &format!("{file} is valid"))?;
    let mut line =
        |name: &str, text: &str| page.write(out, Tone::Plain, 11, &format!("{name:<11}{text}"));
    line("sweep", spec.name.as_str())?;
    line("data", &describe(spec, data))?;
    if let Some(baseline) = data.and_then(|data| data.baseline) {
        let of = match spec.data.task.unwrap_or_default() {
            Task::Classification => "always the most frequent class",
            Task::Regression => "always the mean",
        };
        line("baseline", &format!("validation {}: {of}", text::score(&baseline.validation)))?;
    }
    if let Some(weights) = weights(&spec.data.weights) {
        line("weights", &weights)?;
    }
    let search = &spec.search;
    line(
        "search",
        &format!(
            "{}, {}, {}; stopping rule {}",
            search.strategy.name(),
            text::count(search.trials.into(), "trial"),
            at_a_time(search.parallelism),
            spec.stopping.name()
        ),
    )?;
    let objective = &spec.objective;
    line("objective", &format!("{} {}", objective.goal.name(), objective.metric.name()))?;
    if spec.fixed.iter().next().is_some() {
        let fixed = spec.fixed.iter().map(|(name, value)| format!("{name} {}", text::value(value)));
        line("fixed", &fixed.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(out)?;
    let mut table = Table::new([
        Column::new("parameter").shortened_to(10),
        Column::new("space").ended_at(12),
        Column::new("scale").ranked(1),
    ]);
    for parameter in spec.space.parameters() {
        table.row([parameter.name.clone(), show::explain::range(parameter), scale(parameter)]);
    }
    table.write(out, page)?;
    let Some(data) = data else { return Ok(()) };
    if !data.notes.is_empty() {
        writeln!(out)?;
    }
    data.notes.iter().try_for_each(|note| write_note(out, note, page))
}

/// How much rows count; `None` if each counts once.
fn weights(spec: &WeightSpec) -> Option<String> {
    let classes = spec.classes.as_ref().map(|classes| match classes {
        ClassWeights::Balanced => "all classes count the same in the training loss".to_owned(),
        ClassWeights::Given(weights) => {
            let weights = weights.iter().map(|(name, it)| format!("{name} {}", text::number(*it)));
            format!("in the training loss {}", weights.collect::<Vec<_>>().join(", "))
        }
    });
    let column = spec.column.as_ref().map(|column| format!("a row counts by its {column:?}"));
    let parts: Vec<String> = [column, classes].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn at_a_time(parallelism: Parallelism) -> String {
    match parallelism {
        Parallelism::Auto => "as many at a time as the slots need".to_owned(),
        Parallelism::Trials(trials) => format!("{trials} at a time"),
    }
}

fn describe(spec: &SweepSpec, data: Option<&DataSummary>) -> String {
    let Some(data) = data else {
        return "external: other programs ask for the trials and run them".to_owned();
    };
    let output = match spec.data.task.unwrap_or_default() {
        Task::Classification => format!("{} classes", data.outputs),
        Task::Regression if data.outputs > 1 => format!("{} numbers to predict", data.outputs),
        Task::Regression => "a number to predict".to_owned(),
    };
    format!(
        "{}: {}, {}, {output}",
        spec.data.source,
        text::splits(data),
        text::count(data.features.into(), "input"),
    )
}

fn scale(parameter: &Parameter) -> String {
    match &parameter.domain {
        Domain::Float { scale, .. } | Domain::Int { scale, .. } => scale.name().to_owned(),
        Domain::Choice { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::samples;

    #[test]
    fn a_valid_file_shows_its_data_its_search_and_its_space() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        write(&mut out, "a.toml", &sweep.spec, Some(&sweep.data), Page::default()).unwrap();
        let expected = "\
a.toml is valid
sweep      digits
data       builtin:digits: 1257 training, 360 validation, 180 test examples, 64 inputs, 10 classes
search     rounds, 3 trials, as many at a time as the slots need; stopping rule none
objective  maximize validation_accuracy
fixed      epochs 2, optimizer momentum

parameter      space      scale
learning_rate  1e-4 .. 1  log
layers         1 .. 4     linear
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
