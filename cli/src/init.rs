//! `caviar init`: a sweep file is written for a table.
//!
//! The label is the column that the user names, or a column with a usual name such as `label`, or
//! the last column; on a terminal the user is asked. The task follows from the label's values. The
//! choice of the preset for the size of the data is written out, so that it can be edited.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_common::data::{DataNote, DataSpec, DataSummary, NoteLevel, TableSpec, Task};
use caviar_common::ids::Name;
use caviar_common::metric::Metric;
use caviar_common::space::{Domain, Parameter};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Objective, SweepSpec};

use crate::args::Init;
use crate::failure::Failure;
use crate::label;
use crate::progress::talk;
use crate::show::page::Page;
use crate::show::text;

/// The seed of the new sweep, whose splits the notes in the file describe.
const SEED: u64 = 1;
/// Columns of a comment in the file.
const COMMENT_COLUMNS: usize = 96;

/// Writes a sweep file for the data.
pub(crate) fn init(args: &Init) -> anyhow::Result<()> {
    let output = output(args)?;
    let data = label::choose(&args.data, &args.label)?;
    let (_, summary) = caviar_data::prepare(&data, SEED)
        .map_err(|error| Failure::from_text(&error.to_string()).in_input())?;
    let task = summary.task.unwrap_or_default();
    let sweep = Draft { name: name_of(&output)?, source: source(args, &output)?, data, task };
    let text = sweep.text(args.trials, &summary)?;
    write_new(&output, &text)?;
    talk(&format!("wrote {}: {}", output.display(), sweep.describe(&summary)));
    for note in summary.notes.iter().filter(|note| note.level == NoteLevel::Warning) {
        talk(&format!("warning: {}", note.text));
    }
    talk(&format!("hint: to see what is in the data: caviar inspect {}", output.display()));
    talk(&format!("hint: to run it: caviar run {}", output.display()));
    Ok(())
}

/// What the file says about the data.
struct Draft {
    name: Name,
    source: String,
    /// How the data is read from here. The file has another path.
    data: DataSpec,
    task: Task,
}

impl Draft {
    fn describe(&self, data: &DataSummary) -> String {
        let what = match self.task {
            Task::Classification => format!("one of {} classes", data.outputs),
            Task::Regression if data.outputs > 1 => "numbers".to_owned(),
            Task::Regression => "a number".to_owned(),
        };
        let labels = self.data.label_names().map(|name| format!("{name:?}"));
        format!(
            "predict {} ({what}) from {}",
            labels.collect::<Vec<_>>().join(", "),
            text::count(data.features.into(), "input")
        )
    }

    /// The file, with what the preset chooses for the size of the data.
    fn text(&self, trials: u32, data: &DataSummary) -> anyhow::Result<String> {
        let (head, search) = (self.head(&data.notes), format!("[search]\ntrials = {trials}\n"));
        let mut spec: SweepSpec = parse(&format!("{head}{search}"))
            .map_err(|problems| Failure::File { file: "the new sweep file".to_owned(), problems })?
            .spec;
        spec.resolve(data);
        let fixed: String =
            spec.fixed.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let space: String = spec.space.parameters().iter().map(space_line).collect();
        let objective = objective(self.task, &spec.objective);
        Ok(format!(
            "\
{head}[fixed]                            # hyperparameters that are not searched
{fixed}
[space]                            # the hyperparameters to search
{space}
{search}
{objective}"
        ))
    }

    /// Everything before the hyperparameters.
    fn head(&self, notes: &[DataNote]) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let comments: String = notes.iter().map(comment).collect();
        let name = quoted(self.name.as_str());
        let source = quoted(&self.source);
        let labels: Vec<String> = self.data.label_names().map(quoted).collect();
        let label = match labels.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let task = self.task.name();
        let header = header(&self.data.table);
        format!(
            "\
# Written by caviar init. All keys are explained in docs/sweep-file.md.
name = {name}
seed = {SEED}                           # the same seed gives the same trials and the same winner

[data]
source = {source}
label = {label}
task = \"{task}\"
validation = 0.2                   # fraction of the rows that judge a trial
test = 0.1                         # fraction of the rows that score the winner, once
{header}{comments}
"
        )
    }
}

/// The metric that the preset chooses, and one that the author might rather have.
fn objective(task: Task, objective: &Objective) -> String {
    let comment = match (&objective.metric, task) {
        (Metric::ValidationLoss, Task::Classification) => {
            "the log loss; or \"validation_accuracy\""
        }
        (Metric::ValidationLoss, Task::Regression) => "the mean squared error; or \"mae\"",
        (
            Metric::TrainLoss
            | Metric::TrainAccuracy
            | Metric::ValidationAccuracy
            | Metric::Measure(_)
            | Metric::Named(_),
            _,
        ) => "the share that is classified correctly",
    };
    let metric = format!("metric = {:?}", objective.metric.name());
    format!("[objective]\n{metric:<35}# {comment}\n")
}

fn space_line(parameter: &Parameter) -> String {
    let name = &parameter.name;
    match &parameter.domain {
        Domain::Float { scale, low, high } => {
            format!(
                "{name} = {{ scale = \"{}\", low = {}, high = {} }}\n",
                scale.name(),
                toml::Value::Float(*low),
                toml::Value::Float(*high)
            )
        }
        Domain::Int { scale, low, high } => format!(
            "{name} = {{ type = \"int\", scale = \"{}\", low = {low}, high = {high} }}\n",
            scale.name()
        ),
        Domain::Choice { values } => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("{name} = {{ choices = [{}] }}\n", values.join(", "))
        }
    }
}

/// The line that says that the file has no header.
const fn header(table: &TableSpec) -> &'static str {
    match table.header {
        Some(false) => "header = false                     # the first row looks like data\n",
        Some(true) | None => "",
    }
}

/// A note as a comment of the file.
fn comment(note: &DataNote) -> String {
    let kind = match note.level {
        NoteLevel::Info => "note",
        NoteLevel::Warning => "warning",
    };
    let lines = Page::default().at_most(COMMENT_COLUMNS).wrap(&format!("{kind}: {}", note.text), 2);
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

/// The name of the data without its folder and its endings.
fn stem(data: &Path) -> String {
    let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A legal name of a sweep, as near to the name of its file as possible.
fn name_of(file: &Path) -> anyhow::Result<Name> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(legal).take(64).collect();
    let name = name.trim_start_matches(['-', '_']);
    let parsed = Name::parse_sweep("name", name);
    parsed.or_else(|_| Name::parse_sweep("name", "sweep")).map_err(|it| anyhow::anyhow!("{it}"))
}

fn output(args: &Init) -> anyhow::Result<PathBuf> {
    let output = args.output.clone().unwrap_or_else(|| format!("{}.toml", stem(&args.data)).into());
    if output.exists() {
        return Err(already_exists(&output).into());
    }
    Ok(output)
}

fn already_exists(output: &Path) -> Failure {
    Failure::hinted(
        format!("{} already exists", output.display()),
        "to write another file: --output PATH",
    )
}

/// The path of the data as the sweep file should have it: relative to the file in the simple case
/// that both are named from the same folder, and else absolute.
fn source(args: &Init, output: &Path) -> anyhow::Result<String> {
    let is_in_this_folder = output.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let path = if args.data.is_absolute() || is_in_this_folder {
        args.data.clone()
    } else {
        std::path::absolute(&args.data)?
    };
    path.into_os_string().into_string().map_err(|_| anyhow::anyhow!("the path is not UTF-8"))
}

fn write_new(output: &Path, text: &str) -> anyhow::Result<()> {
    let shown = output.display();
    match File::create_new(output) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(already_exists(output).into())
        }
        Err(error) => Err(error).with_context(|| format!("cannot create {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iris data.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn written(data: &str, label: Option<&str>) -> (String, SweepSpec) {
        let (folder, path) = file(data);
        let output = folder.path().join("out.toml");
        let label = label.map(str::to_owned).into_iter().collect();
        init(&Init { data: path, label, output: Some(output.clone()), trials: 5 }).unwrap();
        let text = std::fs::read_to_string(output).unwrap();
        let spec = parse(&text).unwrap().spec;
        (text, spec)
    }

    fn rows(label: impl Fn(u32) -> String) -> String {
        let rows = (0..60).map(|n| format!("{},{},{}\n", label(n), 3 * n, n * n));
        "kind,a,Target\n".to_owned() + &rows.collect::<String>()
    }

    #[test]
    fn the_file_is_a_sweep_with_what_the_preset_chooses() {
        let (text, spec) =
            written(&rows(|n| ["x", "y"][usize::from(n % 2 == 1)].to_owned()), Some("kind"));
        assert_eq!(spec.name.as_str(), "out", "two files of one table are two sweeps");
        assert_eq!(name_of(Path::new("a/iris data.toml")).unwrap().as_str(), "iris-data");
        assert_eq!(name_of(Path::new("my.v2.toml")).unwrap().as_str(), "my-v2");
        assert_eq!((spec.search.trials, spec.data.task), (5, Some(Task::Classification)));
        assert_eq!(spec.data.label.as_deref(), Some("kind"));
        let mut default = spec.clone();
        (default.fixed, default.space) = Default::default();
        default.resolve(&DataSummary { train: 42, numbers: 2, ..DataSummary::default() });
        assert!(!spec.fixed.is_empty(), "{text}");
        assert_eq!((&spec.fixed, &spec.space), (&default.fixed, &default.space), "{text}");
    }

    #[test]
    fn a_column_with_a_usual_name_is_the_label_and_its_values_tell_the_task() {
        let (_, spec) = written(&rows(|n| n.to_string()), None);
        assert_eq!(spec.data.label.as_deref(), Some("Target"));
        assert_eq!(spec.data.task, Some(Task::Regression));
        for (labels, task) in [
            (["0.5", "0.7", "0.9"], Task::Regression),
            (["7", "8", "9"], Task::Classification),
            (["red", "blue", "green"], Task::Classification),
        ] {
            let label = |n: u32| labels[usize::try_from(n % 3).unwrap()].to_owned();
            let (_, spec) = written(&rows(label), Some("kind"));
            assert_eq!(spec.data.task, Some(task), "{labels:?}");
        }
    }

    #[test]
    fn a_file_without_a_header_gets_numbered_columns_and_its_notes_are_comments() {
        let rows: String =
            (0..60).map(|n| format!("{n};{},5;{}\n", n % 7, ["a", "b"][n % 2])).collect();
        let (text, spec) = written(&rows, None);
        assert_eq!(spec.data.label.as_deref(), Some("column3"));
        assert_eq!(spec.data.table.header, Some(false));
        assert!(text.contains("# note: the cells are separated by ';'"), "{text}");
        assert!(text.contains("# warning: \"column1\" is only the number of the row"), "{text}");
    }

    #[test]
    fn a_file_that_exists_is_not_overwritten() {
        let (folder, data) = file(&rows(|n| n.to_string()));
        let output = folder.path().join("out.toml");
        std::fs::write(&output, "mine").unwrap();
        let args = Init { data, label: Vec::new(), output: Some(output.clone()), trials: 5 };
        assert!(init(&args).unwrap_err().to_string().ends_with("out.toml already exists"));
        assert_eq!(std::fs::read_to_string(output).unwrap(), "mine");
    }
}
