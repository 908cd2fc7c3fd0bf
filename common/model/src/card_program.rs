//! The Python program in a model card that feeds a text table to `model.onnx`.
//!
//! It reads every cell as text, as Caviar does, and converts each column by the way in which the
//! cells of the training were written. Left to pandas, some cells would become other values: a
//! category with a blank before it, a date with two digits for its year, or a missing text that
//! pandas compares as a number.

use std::collections::BTreeMap;

use caviar_common::data::{ColumnType, Task};
use caviar_data::{InputColumn, Schema};
use serde_json::Value;

/// The lines of the program. `names` are the inputs of the graph, in the order of the columns.
pub(crate) fn program(schema: &Schema, names: &[String]) -> String {
    let mut lines = vec![
        "import onnxruntime".to_owned(),
        "import pandas".to_owned(),
        String::new(),
        "session = onnxruntime.InferenceSession(\"model.onnx\")".to_owned(),
        "# Every cell as text. A file with another delimiter needs sep=\";\" or the like."
            .to_owned(),
    ];
    // A file without a header has columns that are called by their places.
    let is_numbered = |column: &InputColumn| {
        let number = column.name.strip_prefix("column");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    if schema.columns.iter().all(is_numbered) {
        lines.push(
            "rows = pandas.read_csv(\"rows.csv\", header=None, dtype=str, keep_default_na=False)"
                .to_owned(),
        );
        lines.push(
            "rows.columns = [f\"column{place + 1}\" for place in range(rows.shape[1])]".to_owned(),
        );
    } else {
        lines.push(
            "rows = pandas.read_csv(\"rows.csv\", dtype=str, keep_default_na=False)".to_owned(),
        );
    }
    lines.push("rows = rows.apply(lambda cells: cells.str.strip())".to_owned());
    for (column, name) in schema.columns.iter().zip(names) {
        if column.name != *name {
            lines.push(format!("rows[{}] = rows[{}]", python(name), python(&column.name)));
        }
    }
    conversions(&mut lines, schema, names);
    lines.push("feed = {}".to_owned());
    lines.push("for item in session.get_inputs():".to_owned());
    lines.push("    kind = object if item.type == \"tensor(string)\" else float".to_owned());
    lines.push("    feed[item.name] = rows[[item.name]].to_numpy(dtype=kind)".to_owned());
    let results = match schema.task() {
        Task::Classification => "label, probabilities",
        Task::Regression => "(label,)",
    };
    lines.push(format!("{results} = session.run(None, feed)"));
    lines.join("\n") + "\n"
}

/// Converts the columns that are not text, those of one form together.
fn conversions(lines: &mut Vec<String>, schema: &Schema, names: &[String]) {
    let mut groups: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (column, name) in schema.columns.iter().zip(names) {
        if let Some(conversion) = conversion(column) {
            groups.entry(conversion).or_default().push(python(name));
        }
    }
    if groups.is_empty() {
        return;
    }
    let missing = schema.missing_among_numbers().map(python);
    lines.push(format!("missing = [{}]", missing.collect::<Vec<_>>().join(", ")));
    for (conversion, names) in groups {
        lines.push(format!("for name in [{}]:", names.join(", ")));
        lines.push("    cells = rows[name].mask(rows[name].isin(missing))".to_owned());
        lines.extend(conversion.into_iter().map(|line| format!("    {line}")));
    }
}

/// The lines that turn `cells` into the numbers of the input; `None` for a category.
fn conversion(column: &InputColumn) -> Option<Vec<String>> {
    let form = serde_json::to_value(column).ok().and_then(|mut column| {
        let form = column.get_mut("form").map(Value::take)?;
        form.as_object()?.values().next().cloned()
    });
    match column.kind {
        ColumnType::Category => None,
        ColumnType::Boolean => Some(vec![
            "yes = cells.str.lower().isin([\"true\", \"yes\", \"t\", \"y\", \"on\"])".to_owned(),
            "rows[name] = yes.astype(float).mask(cells.isna())".to_owned(),
        ]),
        ColumnType::Number => Some(vec![number(form.as_ref())]),
        ColumnType::Date => Some(date(form.as_ref())),
    }
}

fn number(form: Option<&Value>) -> String {
    let text = |key: &str| form.and_then(|form| form.get(key)).and_then(Value::as_str);
    let is_percent = form.and_then(|form| form.get("percent")) == Some(&Value::Bool(true));
    let has_comma = text("decimal") == Some("comma");
    let mut cells = "cells".to_owned();
    if is_percent {
        cells.push_str(".str.rstrip(\"%\").str.rstrip()");
    }
    let separator = match text("thousands").unwrap_or("none") {
        "mark" if has_comma => Some("."),
        "mark" => Some(","),
        "blank" => Some(" "),
        "apostrophe" => Some("'"),
        "quote" => Some("\u{2019}"),
        "no_break_space" => Some("\u{a0}"),
        "narrow_no_break_space" => Some("\u{202f}"),
        _ => None,
    };
    if let Some(separator) = separator {
        cells.push_str(&format!(".str.replace({}, \"\", regex=False)", python(separator)));
    }
    if has_comma {
        cells.push_str(".str.replace(\",\", \".\", regex=False)");
    }
    if is_percent {
        cells = format!("({cells} + \"e-2\")");
    }
    format!("rows[name] = {cells}.astype(float)")
}

fn date(form: Option<&Value>) -> Vec<String> {
    let kind = form.and_then(|form| match form {
        Value::String(kind) => Some(kind.as_str()),
        Value::Object(kind) => kind.keys().next().map(String::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    });
    if kind == Some("time_of_day") {
        return vec![
            "times = pandas.to_datetime(cells, format=\"mixed\")".to_owned(),
            "rows[name] = (times - times.dt.normalize()) / pandas.Timedelta(days=1)".to_owned(),
        ];
    }
    let is_iso = form == Some(&serde_json::json!({ "year_month_day": "dash" })) || kind.is_none();
    let options = match kind {
        _ if is_iso => "format=\"ISO8601\"",
        Some("day_month_year") => "format=\"mixed\", dayfirst=True",
        _ => "format=\"mixed\"",
    };
    let mut lines = Vec::new();
    if matches!(kind, Some("month_day_year" | "day_month_year")) {
        lines.push("# Of years with two digits, 69 is 1969 and 68 is 2068.".to_owned());
        lines.push(
            "century = lambda m: m[1] + (\"19\" if m[2] >= \"69\" else \"20\") + m[2]".to_owned(),
        );
        lines.push(
            "cells = cells.str.replace(r\"^(\\d+\\D\\d+\\D)(\\d\\d)(?!\\d)\", century, regex=True)"
                .to_owned(),
        );
    }
    lines.push(format!("days = pandas.to_datetime(cells, utc=True, {options})"));
    lines.push("start = pandas.Timestamp(\"1970-01-01\", tz=\"UTC\")".to_owned());
    lines.push("rows[name] = (days - start) / pandas.Timedelta(days=1)".to_owned());
    lines
}

/// A text as Python writes it: JSON has the same form for every text.
pub(crate) fn python(text: &str) -> String {
    Value::from(text).to_string()
}
