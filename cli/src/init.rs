//! `caviar init`: a sweep file is written for a CSV file.
//!
//! The label is the column that the user names, or a column with a usual name such as `label`, or
//! the last column; on a terminal the user is asked. The task follows from the label's values. The
//! default space for the size of the data is written out, so that it can be edited.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_common::data::{DataSpec, DataSummary, Task};
use caviar_common::ids::Name;
use caviar_common::space::{Domain, Parameter};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use flate2::bufread::MultiGzDecoder;

use crate::args::Init;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show::text;

/// Names of label columns, the most usual first. Case does not matter.
const USUAL_LABELS: [&str; 8] =
    ["label", "target", "class", "y", "species", "outcome", "category", "diagnosis"];
/// Integers with more different values than this are a number to predict and not classes.
const MOST_INTEGER_CLASSES: usize = 20;

/// Writes a sweep file for the data.
pub(crate) fn init(args: &Init) -> anyhow::Result<()> {
    let shown = args.data.display().to_string();
    let header = header(&args.data)?;
    let output = output(args)?;
    let label = match &args.label {
        Some(label) => label.clone(),
        None => match usual_label(&header) {
            Some(label) => label,
            None => ask(&shown, &header)?,
        },
    };
    let Some(column) = header.iter().position(|name| *name == label) else {
        let columns = header.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let message = format!("--label {label:?}: {shown} has no such column");
        return Err(Failure::hinted(message, format!("its columns are {columns}"))
            .in_input()
            .into());
    };
    let task = task_of(&args.data, column).map_err(|error| Failure::unreadable(&error))?;
    let data = DataSpec {
        source: shown.clone(),
        label: Some(label.clone()),
        task: Some(task),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let (_, summary) = caviar_data::prepare(&data, 0)
        .map_err(|error| Failure::from_text(&error.to_string()).in_input())?;
    let sweep = Draft { name: name_of(&args.data)?, source: source(args, &output)?, label, task };
    let text = sweep.text(args.trials, &summary)?;
    write_new(&output, &text)?;
    talk(&format!("wrote {}: {}", output.display(), sweep.describe(&summary)));
    talk(&format!("hint: to run it: caviar run {}", output.display()));
    Ok(())
}

/// What the file says about the data.
struct Draft {
    name: Name,
    source: String,
    label: String,
    task: Task,
}

impl Draft {
    fn describe(&self, data: &DataSummary) -> String {
        let what = match self.task {
            Task::Classification => format!("one of {} classes", data.outputs),
            Task::Regression => "a number".to_owned(),
        };
        format!(
            "predict {:?} ({what}) from {}",
            self.label,
            text::count(data.features.into(), "column")
        )
    }

    /// The file, with the default space for the size of the data.
    fn text(&self, trials: u32, data: &DataSummary) -> anyhow::Result<String> {
        let (head, search) = (self.head(), format!("[search]\ntrials = {trials}\n"));
        let mut spec: SweepSpec = parse(&format!("{head}{search}"))
            .map_err(|problems| Failure::File { file: "the new sweep file".to_owned(), problems })?
            .spec;
        spec.resolve(data);
        let space: String = spec.space.parameters().iter().map(space_line).collect();
        let heading = "[space]                            # the hyperparameters to search";
        Ok(format!("{head}{heading}\n{space}\n{search}"))
    }

    /// Everything before the space.
    fn head(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let name = quoted(self.name.as_str());
        let source = quoted(&self.source);
        let label = quoted(&self.label);
        let task = match self.task {
            Task::Classification => "classification",
            Task::Regression => "regression",
        };
        format!(
            "\
# Written by caviar init. All keys are explained in docs/sweep-file.md.
name = {name}
seed = 1                           # the same seed gives the same trials and the same winner

[data]
source = {source}
label = {label}
task = \"{task}\"
validation = 0.2                   # fraction of the rows that judge a trial
test = 0.1                         # fraction of the rows that score the winner, once

[fixed]                            # hyperparameters that are not searched
epochs = 30
optimizer = \"momentum\"

"
        )
    }
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

/// A reader of the file's text, which is decompressed if it begins as gzip does.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut file = BufReader::new(file);
    let start = file.fill_buf().with_context(|| format!("cannot read {shown}"))?;
    let is_compressed = start.starts_with(&[0x1f, 0x8b]);
    Ok(if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The names of the columns.
fn header(path: &Path) -> anyhow::Result<Vec<String>> {
    let name = path.to_string_lossy().to_lowercase();
    let shown = path.display();
    if !name.strip_suffix(".gz").unwrap_or(&name).ends_with(".csv") {
        return Err(Failure::hinted(
            format!("{shown} is not a CSV file: expected a name that ends in .csv or .csv.gz"),
            "for images in IDX files, start from examples/mnist.toml",
        )
        .in_input()
        .into());
    }
    let names = column_names(path).map_err(|error| Failure::unreadable(&error))?;
    if names.len() < 2 {
        let message = format!("{shown} has one column: expected a label and at least one other");
        let hint = "the columns of a CSV file are separated by commas";
        return Err(Failure::hinted(message, hint).in_input().into());
    }
    Ok(names)
}

fn column_names(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let header = reader.headers().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(header.iter().map(|name| name.trim().to_owned()).collect())
}

fn usual_label(header: &[String]) -> Option<String> {
    USUAL_LABELS
        .iter()
        .find_map(|usual| header.iter().find(|name| name.eq_ignore_ascii_case(usual)))
        .cloned()
}

/// Asks for the label on a terminal. Elsewhere, and for an empty answer, it is the last column.
fn ask(shown: &str, header: &[String]) -> anyhow::Result<String> {
    let last = header.last().cloned().unwrap_or_default();
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        talk(&format!("note: the label is taken to be the last column, {last:?}; see --label"));
        return Ok(last);
    }
    talk(&format!("The columns of {shown} are: {}", header.join(", ")));
    loop {
        write!(stderr, "Which column is to be predicted? [{last}] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        let read = stdin.lock().read_line(&mut answer)?;
        let answer = answer.trim();
        if read == 0 || answer.is_empty() {
            return Ok(last);
        }
        if header.iter().any(|name| name == answer) {
            return Ok(answer.to_owned());
        }
        talk(&format!("There is no column {answer:?}."));
    }
}

/// A classification if the labels are text, or a few different integers.
fn task_of(path: &Path, column: usize) -> anyhow::Result<Task> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(open(path)?);
    let mut values = BTreeSet::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("cannot read {}", path.display()))?;
        let Some(cell) = record.get(column).map(str::trim) else { continue };
        if cell.parse::<f64>().is_err() {
            return Ok(Task::Classification);
        }
        let is_integer = cell.parse::<i64>().is_ok();
        if values.len() <= MOST_INTEGER_CLASSES {
            values.insert(cell.to_owned());
        }
        if !is_integer || values.len() > MOST_INTEGER_CLASSES {
            // A text further down would make it a classification after all; the check of the data
            // reports that cell.
            return Ok(Task::Regression);
        }
    }
    Ok(Task::Classification)
}

/// The name of the data without its folder and its endings.
fn stem(data: &Path) -> String {
    let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A legal name of a sweep, as near to the name of the data as possible.
fn name_of(data: &Path) -> anyhow::Result<Name> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let name: String = stem(data).chars().map(legal).take(64).collect();
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
        let label = label.map(str::to_owned);
        init(&Init { data: path, label, output: Some(output.clone()), trials: 5 }).unwrap();
        let text = std::fs::read_to_string(output).unwrap();
        let spec = parse(&text).unwrap().spec;
        (text, spec)
    }

    fn rows(label: impl Fn(u32) -> String) -> String {
        let rows = (0..60).map(|n| format!("{},{n},{}\n", label(n), n * n));
        "kind,a,Target\n".to_owned() + &rows.collect::<String>()
    }

    #[test]
    fn the_file_is_a_sweep_with_the_default_space() {
        let (text, spec) =
            written(&rows(|n| ["x", "y"][usize::from(n % 2 == 1)].to_owned()), Some("kind"));
        assert_eq!(spec.name.as_str(), "iris-data");
        assert_eq!((spec.search.trials, spec.data.task), (5, Task::Classification));
        assert_eq!(spec.data.label.as_deref(), Some("kind"));
        let mut default = spec.clone();
        default.space = caviar_common::space::Space::default();
        default.resolve(&DataSummary { train: 42, ..DataSummary::default() });
        assert_eq!(spec.space, default.space, "{text}");
    }

    #[test]
    fn a_column_with_a_usual_name_is_the_label_and_its_values_tell_the_task() {
        let (_, spec) = written(&rows(|n| n.to_string()), None);
        assert_eq!(spec.data.label.as_deref(), Some("Target"));
        assert_eq!(spec.data.task, Task::Regression);
        for (label, task) in
            [("0.5", Task::Regression), ("7", Task::Classification), ("red", Task::Classification)]
        {
            let (_folder, path) = file(&rows(|_| label.to_owned()));
            assert_eq!(task_of(&path, 0).unwrap(), task, "{label}");
        }
    }

    #[test]
    fn a_file_that_exists_is_not_overwritten() {
        let (folder, data) = file(&rows(|n| n.to_string()));
        let output = folder.path().join("out.toml");
        std::fs::write(&output, "mine").unwrap();
        let args = Init { data, label: None, output: Some(output.clone()), trials: 5 };
        assert!(init(&args).unwrap_err().to_string().ends_with("out.toml already exists"));
        assert_eq!(std::fs::read_to_string(output).unwrap(), "mine");
    }
}
