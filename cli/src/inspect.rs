//! `caviar inspect`: what is in a table, and what can mislead.

use std::io::{self, Write};
use std::path::Path;

use caviar_common::data::{DataSpec, Task};
use caviar_common::numbers::{real, to_u64, to_usize};
use caviar_data::limits::MAX_ONE_HOT;
use caviar_data::{ColumnProfile, Inspection, LabelProfile};

use crate::args::Inspect;
use crate::failure::Failure;
use crate::label;
use crate::show;
use crate::show::notes::write_note;
use crate::show::page::{Page, Tone};
use crate::show::table::{Column, Table};
use crate::show::text;
use crate::sweep_file::data_of_file;

/// Most texts of a category that a line shows.
const SHOWN_TEXTS: usize = 3;

/// Describes a table, or the data of a sweep file.
pub(crate) fn inspect(args: &Inspect) -> anyhow::Result<()> {
    let data = spec(args)?;
    let inspection = caviar_data::inspect(&data)
        .map_err(|error| Failure::from_text(&error.to_string()).in_input())?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &inspection)?;
    } else {
        write(&mut out, &args.file.display().to_string(), &inspection, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

fn spec(args: &Inspect) -> anyhow::Result<DataSpec> {
    if !is_sweep_file(&args.file) {
        return label::choose(&args.file, &args.label);
    }
    let mut data = data_of_file(&args.file)?;
    if !args.label.is_empty() {
        label::set(&mut data, &args.label)?;
    }
    Ok(data)
}

fn is_sweep_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn write(out: &mut impl Write, file: &str, inspection: &Inspection, page: Page) -> io::Result<()> {
    let Inspection { rows, columns, label, more_labels, notes } = inspection;
    let inputs = columns.iter().filter(|column| column.is_input).count();
    let headline = format!(
        "{file}: {}, {}, {inputs} of them inputs",
        text::count(*rows, "row"),
        text::count(to_u64(columns.len() + 1 + more_labels.len()), "column"),
    );
    page.write(out, Tone::Strong, 2, &headline)?;
    for label in std::iter::once(label).chain(more_labels) {
        page.write(out, Tone::Plain, 7, &format!("label  {}", describe_label(label, *rows)))?;
    }
    writeln!(out)?;
    let mut table = Table::new([
        Column::new("column").shortened_to(22),
        Column::new("type"),
        Column::new("missing").ranked(3),
        Column::new("different").ranked(4),
        Column::new("alone").ranked(1),
        Column::new("values").ended_at(16),
        Column::new("use").ranked(2),
    ]);
    for column in columns {
        table.row([
            column.name.clone(),
            column.kind.to_owned(),
            column.missing.map_or_else(String::new, |missing| share(missing, *rows)),
            column.different.map_or_else(String::new, |different| different.to_string()),
            column.alone.map_or_else(String::new, |part| format!("{:.0} %", 100.0 * part)),
            values(column),
            usage(column).to_owned(),
        ]);
    }
    table.write(out, page)?;
    if !notes.is_empty() {
        writeln!(out)?;
    }
    notes.iter().try_for_each(|note| write_note(out, note, page))
}

fn describe_label(label: &LabelProfile, rows: u64) -> String {
    let LabelProfile { name, task, different, classes, range } = label;
    match (task, range) {
        (Task::Regression, Some([low, high, median])) => format!(
            "{name}: a number to predict, {} to {}, median {}",
            text::number(*low),
            text::number(*high),
            text::number(*median)
        ),
        (Task::Regression, None) => format!("{name}: a number to predict"),
        (Task::Classification, _) => {
            let shown =
                classes.iter().map(|(class, count)| format!("{class} {}", share(*count, rows)));
            let more = different.saturating_sub(to_u64(classes.len()));
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let shown = shown.collect::<Vec<_>>().join(", ");
            format!("{name}: {different} classes: {shown}{more}")
        }
    }
}

/// A count as a share of the rows.
fn share(count: u64, rows: u64) -> String {
    let share = real(to_usize(count)) / real(to_usize(rows.max(1)));
    if count == 0 { "0 %".to_owned() } else { format!("{:.1} %", 100.0 * share) }
}

/// What becomes of a column. A category is embedded if the training split has that many values.
fn usage(column: &ColumnProfile) -> &'static str {
    let is_long = column.different.is_some_and(|values| values > to_u64(MAX_ONE_HOT));
    match (column.is_input, column.kind) {
        (false, _) => "left out",
        (true, "category") if is_long => "embedded input",
        (true, _) => "input",
    }
}

fn values(column: &ColumnProfile) -> String {
    if let Some([low, high, median]) = &column.range {
        return format!("{} .. {}, median {}", short(low), short(high), short(median));
    }
    let shown = column.frequent.iter().take(SHOWN_TEXTS);
    let shown: Vec<String> = shown.map(|(text, count)| format!("{text} ({count})")).collect();
    shown.join(", ")
}

/// A number with four significant digits. A date stays as it is.
fn short(value: &str) -> String {
    value.parse().map_or_else(|_| value.to_owned(), text::number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_its_columns_its_label_and_what_can_mislead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.csv");
        let row = |n: usize| {
            let (sex, age) =
                (["f", "m", "m"][n % 3], if n.is_multiple_of(4) { "" } else { "30.5" });
            format!("{n},{sex},{age},2024-01-{:02},person {n},{}\n", 1 + n % 28, n % 2)
        };
        let rows: String = (1..=60).map(row).collect();
        std::fs::write(&path, format!("id,sex,age,day,name,target\n{rows}")).unwrap();
        let data = label::choose(&path, &[]).unwrap();
        let inspection = caviar_data::inspect(&data).unwrap();
        let mut out = Vec::new();
        write(&mut out, "people.csv", &inspection, Page::default()).unwrap();
        let expected = "\
people.csv: 60 rows, 6 columns, 3 of them inputs
label  target: 2 classes: 0 50.0 %, 1 50.0 %

column  type      missing  different  alone  values                                       use
id      number    0 %      60                1 .. 60, median 30                           left out
sex     category  0 %      2          0 %    m (40), f (20)                               input
age     number    25.0 %   1          33 %   30.5 .. 30.5, median 30.5                    input
day     date      0 %      28         0 %    2024-01-01 .. 2024-01-28, median 2024-01-13  input
name    text               60                                                             left out

";
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("warning  \"id\" is only the number of the row"), "{text}");
        assert!(text.contains("note     text that differs in most rows is no input: \"name\""));
    }

    #[test]
    fn a_category_of_many_values_is_embedded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shops.csv");
        let shown = |shops: usize| {
            let rows: String =
                (0..shops * 3).map(|row| format!("shop {},{}\n", row % shops, row % 2)).collect();
            std::fs::write(&path, format!("shop,y\n{rows}")).unwrap();
            let inspection = caviar_data::inspect(&label::choose(&path, &[]).unwrap()).unwrap();
            let mut out = Vec::new();
            write(&mut out, "shops.csv", &inspection, Page::default()).unwrap();
            String::from_utf8(out).unwrap().contains("  embedded input\n")
        };
        assert!(!shown(64) && shown(65));
    }
}
