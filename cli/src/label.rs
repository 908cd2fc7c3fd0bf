//! Which column of a table is to be predicted: the one that the user names, one with a usual name,
//! the one that the user chooses on a terminal, or the last one.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use caviar_common::data::{DataSpec, Task};
use caviar_common::limits::MAX_LABELS;
use caviar_common::text::likely;

use crate::failure::Failure;
use crate::progress::talk;

/// Names of label columns, the most usual first. Case does not matter.
const USUAL_LABELS: [&str; 8] =
    ["label", "target", "class", "y", "species", "outcome", "category", "diagnosis"];

/// How the table at `path` is read, with its labels: those `given`, or the one that is likely or
/// chosen.
pub(crate) fn choose(path: &Path, given: &[String]) -> anyhow::Result<DataSpec> {
    let shown = path.display().to_string();
    let mut data =
        DataSpec { source: shown.clone(), validation: 0.2, test: 0.1, ..DataSpec::default() };
    let header = caviar_data::header(&data)
        .map_err(|error| Failure::from_text(&error.to_string()).in_input())?;
    if !header.is_first_row {
        data.table.header = Some(false);
        talk(&format!(
            "note: the first row of {shown} looks like data, so its columns are called column1 to \
             column{}",
            header.names.len()
        ));
    }
    let names = &header.names;
    if names.len() < 2 {
        let message = format!("{shown} has one column: expected a label and at least one other");
        let hint = "the columns of a table are separated by one character, such as a comma";
        return Err(Failure::hinted(message, hint).in_input().into());
    }
    let labels = match (given, usual_label(names)) {
        ([], Some(label)) => vec![label],
        ([], None) => vec![ask(&shown, names)?],
        (given, _) => given.to_vec(),
    };
    if let Some(label) = labels.iter().find(|label| !names.contains(label)) {
        let message = format!("--label {label:?}: {shown} has no such column");
        return Err(Failure::hinted(message, columns_like(label, names)).in_input().into());
    }
    set(&mut data, &labels)?;
    Ok(data)
}

/// What to name instead of `label`: the column that is likely meant, or else any of them.
fn columns_like(label: &str, names: &[String]) -> String {
    match likely(label, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {name:?}?"),
        None => {
            let columns: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            format!("its columns are {}", columns.join(", "))
        }
    }
}

/// Sets the labels of `data`. Several are numbers.
pub(crate) fn set(data: &mut DataSpec, labels: &[String]) -> anyhow::Result<()> {
    let mut earlier = BTreeSet::new();
    if let Some(twice) = labels.iter().find(|label| !earlier.insert(label.as_str())) {
        let message = format!("--label {twice:?} is given twice: expected different columns");
        return Err(Failure::from_text(&message).in_input().into());
    }
    if labels.len() > MAX_LABELS {
        let count = labels.len();
        let message = format!("--label is given {count} times: expected at most {MAX_LABELS}");
        return Err(Failure::from_text(&message).in_input().into());
    }
    let mut labels = labels.iter().cloned();
    (data.label, data.more_labels) = (labels.next(), labels.collect());
    data.task = (!data.more_labels.is_empty()).then_some(Task::Regression);
    Ok(())
}

fn usual_label(names: &[String]) -> Option<String> {
    USUAL_LABELS
        .iter()
        .find_map(|usual| names.iter().find(|name| name.eq_ignore_ascii_case(usual)))
        .cloned()
}

/// Asks for the label on a terminal. Elsewhere, and for an empty answer, it is the last column.
fn ask(shown: &str, names: &[String]) -> anyhow::Result<String> {
    let last = names.last().cloned().unwrap_or_default();
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        talk(&format!("note: the label is taken to be the last column, {last:?}; see --label"));
        return Ok(last);
    }
    talk(&format!("The columns of {shown} are: {}", names.join(", ")));
    loop {
        write!(stderr, "Which column is to be predicted? [{last}] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        let read = stdin.lock().read_line(&mut answer)?;
        let answer = answer.trim();
        if read == 0 || answer.is_empty() {
            return Ok(last);
        }
        if names.iter().any(|name| name == answer) {
            return Ok(answer.to_owned());
        }
        talk(&format!("There is no column {answer:?}."));
    }
}
