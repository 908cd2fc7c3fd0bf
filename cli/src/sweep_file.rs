//! A sweep file as a person names it: read, checked together with its data, its paths made
//! absolute.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use caviar_common::data::{DataSpec, DataSummary};
use caviar_common::error::{Problem, Problems};
use caviar_common::ids::Name;
use caviar_common::limits::MAX_SWEEP_FILE_BYTES;
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::{SweepFile, parse};
use caviar_common::view::SweepView;
use caviar_data::{DataError, prepare};
use caviar_proto::status::problems_of;
use toml::de::DeTable;
use tonic::Code;

use crate::client::Client;
use crate::failure::Failure;

/// Whether the data must be readable on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataIs {
    /// It is trained on here.
    Here,
    /// The coordinator and the workers read it; if it is here too, it is checked.
    Elsewhere,
}

/// A sweep file that was read and found good.
#[derive(Debug)]
pub(crate) struct Checked {
    shown: String,
    file: SweepFile,
    /// What it asks for, with absolute paths.
    pub(crate) spec: SweepSpec,
}

impl Checked {
    /// Reads and checks a sweep file and its data.
    pub(crate) fn read(path: &Path, name: Option<&Name>, data_is: DataIs) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let text = text_of(path)?;
        let mut file = match parse(&text) {
            Ok(file) => file,
            Err(mut problems) => {
                data_problem_beside(&text, path, data_is, &mut problems);
                return Err(Failure::File { file: shown, problems }.into());
            }
        };
        if let Some(name) = name {
            file.spec.name = name.clone();
        }
        let mut spec = file.spec.clone();
        make_absolute(&mut spec.data, path)?;
        let checked = Self { shown, file, spec };
        match checked.data_problem(data_is) {
            Some(problems) => Err(checked.refused(problems).into()),
            None => Ok(checked),
        }
    }

    /// What is wrong with the data, or with the sweep on this data.
    fn data_problem(&self, data_is: DataIs) -> Option<Problems> {
        match data_of(&self.spec.data, &self.file.spec.data, self.spec.seed, data_is) {
            Ok(None) => None,
            Ok(Some(data)) => {
                let mut spec = self.spec.clone();
                spec.fill_space(&data);
                spec.check_new(Some(&data)).err()
            }
            Err(problem) => Some(problem.into()),
        }
    }

    /// Gives the sweep to a coordinator. `taken` is what can be done if there is one of that name.
    pub(crate) async fn create(
        &self,
        client: &mut Client,
        taken: &[String],
    ) -> anyhow::Result<SweepView> {
        let status = match client.create(&request_id(), &self.spec).await? {
            Ok(view) => return Ok(view),
            Err(status) => status,
        };
        Err(match problems_of(&status) {
            Some(problems) => self.refused(problems),
            None if status.code() == Code::AlreadyExists => Failure::Hinted {
                message: format!("there is a sweep {} already", self.spec.name),
                hints: taken.to_vec(),
            },
            None => client.failure(&status),
        }
        .into())
    }

    /// The error for problems that were found after the file was read, shown where they are in the
    /// file.
    fn refused(&self, mut problems: Problems) -> Failure {
        self.file.locate(&mut problems);
        Failure::File { file: self.shown.clone(), problems }
    }
}

/// A mark that no other request has: this process, now.
fn request_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    format!("cli-{}-{now}", std::process::id())
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut text = String::new();
    let read = file
        .take(MAX_SWEEP_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(
        u64::try_from(read).is_ok_and(|read| read <= MAX_SWEEP_FILE_BYTES),
        "{shown} is no sweep file: it is larger than 1 MiB"
    );
    Ok(text)
}

/// Paths in a sweep file are relative to it. The coordinator and the workers run elsewhere, so they
/// are told absolute ones.
fn make_absolute(data: &mut DataSpec, sweep_file: &Path) -> anyhow::Result<()> {
    let directory = sweep_file.parent().unwrap_or(Path::new(""));
    let absolute = |path: &str| -> anyhow::Result<String> {
        let path: PathBuf = std::path::absolute(directory.join(path))
            .with_context(|| format!("the path {path:?}"))?;
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("the path {} is no text", path.display()))
    };
    if !data.source.is_empty() && !data.source.starts_with("builtin:") && !data.is_external() {
        data.source = absolute(&data.source)?;
    }
    if let Some(labels) = &mut data.labels {
        *labels = absolute(labels)?;
    }
    Ok(())
}

/// The data, unless it is elsewhere; or what is wrong with it, in terms of the file: `written` is
/// what stands there.
fn data_of(
    data: &DataSpec,
    written: &DataSpec,
    seed: u64,
    data_is: DataIs,
) -> Result<Option<DataSummary>, Problem> {
    if data.is_external() {
        let message = "its trials are run by other programs, and caviar run has none: start a coordinator and caviar submit it";
        let problem = Problem::with_value("data.source", format!("{:?}", written.source), message);
        return if data_is == DataIs::Here { Err(problem) } else { Ok(None) };
    }
    let error = match prepare(data, seed) {
        Ok((_, summary)) => return Ok(Some(summary)),
        Err(DataError::Open { .. }) if data_is == DataIs::Elsewhere => return Ok(None),
        Err(error) => error,
    };
    let field = error.field();
    let value = match field {
        "data.source" => Some(format!("{:?}", written.source)),
        "data.label" => written.label.as_ref().map(|label| format!("{label:?}")),
        "data.labels" => written.labels.as_ref().map(|labels| format!("{labels:?}")),
        "data.validation" => Some(written.validation.to_string()),
        "data.test" => Some(written.test.to_string()),
        _ => None,
    };
    Err(Problem { value, ..Problem::new(field, error.to_string()) })
}

/// Adds what is wrong with the data to the other problems of a file, if its data section can be
/// understood at all.
fn data_problem_beside(text: &str, path: &Path, data_is: DataIs, problems: &mut Problems) {
    if problems.touches("data") {
        return;
    }
    let Some((mut data, seed)) = data_alone(text) else { return };
    let written = data.clone();
    if make_absolute(&mut data, path).is_err() {
        return;
    }
    if let Err(problem) = data_of(&data, &written, seed, data_is) {
        let line = line_in_data(text, &problem.field);
        problems.push(Problem { line, ..problem });
        problems.locate(|_| None);
    }
}

/// The data section of a file whose other sections are wrong, and its seed.
fn data_alone(text: &str) -> Option<(DataSpec, u64)> {
    let whole: toml::Table = text.parse().ok()?;
    let seed = whole
        .get("seed")
        .and_then(toml::Value::as_integer)
        .and_then(|seed| u64::try_from(seed).ok())
        .unwrap_or(0);
    let search: toml::Table =
        [("trials".to_owned(), toml::Value::Integer(1))].into_iter().collect();
    let mut least = toml::Table::new();
    least.insert("name".to_owned(), "data".into());
    least.insert("data".to_owned(), whole.get("data")?.clone());
    least.insert("search".to_owned(), search.into());
    parse(&least.to_string()).ok().map(|file| (file.spec.data, seed))
}

/// The line of `data.KEY`, or of `[data]`.
fn line_in_data(text: &str, field: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (section, data) = root.get_ref().iter().find(|(key, _)| *key.get_ref() == "data")?;
    let key = field.strip_prefix("data.")?;
    let entry = data.get_ref().as_table()?.iter().find(|(name, _)| *name.get_ref() == key);
    let start = entry.map_or_else(|| section.span().start, |(name, _)| name.span().start);
    Some(1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("own.csv"), "x,y\n1,a\n2,b\n3,a\nNaN,b\n").unwrap();
        let path = directory.path().join("own.toml");
        std::fs::write(&path, text).unwrap();
        let error = Checked::read(&path, None, DataIs::Here).unwrap_err();
        let mut out = Vec::new();
        error.downcast_ref::<Failure>().unwrap().write(&mut out).unwrap();
        let prefix = format!("{}/", directory.path().display());
        String::from_utf8(out).unwrap().lines().map(|line| line.replace(&prefix, "")).collect()
    }

    #[test]
    fn errors_of_the_data_stand_beside_those_of_the_file() {
        let text = "name = \"own\"\n[data]\nsource = \"own.csv\"\nlabel = \"z\"\n[space]\nlearning_rate = { scale = \"log\", low = 0.0, high = 1.0 }\n[search]\ntrials = 4\n";
        let lines = refusal(text);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("own.toml:4: data.label = \"z\": "), "{lines:?}");
        assert!(
            lines[1].starts_with(
                "own.toml:6: space.learning_rate.low = 0.0: a log scale needs low > 0"
            ),
            "{lines:?}"
        );
    }

    #[test]
    fn errors_of_the_data_are_found_in_a_file_that_is_right() {
        let text =
            "name = \"own\"\n[data]\nsource = \"own.csv\"\nlabel = \"y\"\n[search]\ntrials = 4\n";
        let lines = refusal(text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("own.toml:3: data.source = \"own.csv\": ")
                && lines[0].contains("line 5, column \"x\""),
            "{lines:?}"
        );
        let lines = refusal(&text.replace("own.csv", "absent.csv"));
        assert!(lines[0].starts_with("own.toml:3: data.source = \"absent.csv\": "), "{lines:?}");
    }

    #[test]
    fn what_other_programs_run_is_submitted_and_not_run() {
        let text = "name = \"own\"\n[data]\nsource = \"external\"\n[space]\nC = { low = 0.1, high = 1 }\n[search]\ntrials = 4\n\
                    [objective]\nmetric = \"f1\"\ngoal = \"maximize\"\n";
        let expected = "own.toml:3: data.source = \"external\": its trials are run by other programs, and caviar run has none";
        assert!(refusal(text)[0].starts_with(expected), "{:?}", refusal(text));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.toml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            Checked::read(&path, None, DataIs::Elsewhere).unwrap().spec.data.source,
            "external"
        );
    }

    #[test]
    fn paths_become_absolute() {
        let mut data = caviar_common::spec::file::parse(
            "name = \"d\"\n[data]\nsource = \"a/b.csv\"\n[search]\ntrials = 1\n",
        )
        .unwrap()
        .spec
        .data;
        make_absolute(&mut data, Path::new("/sweeps/own.toml")).unwrap();
        assert_eq!(data.source, "/sweeps/a/b.csv");
        data.source = "builtin:digits".to_owned();
        make_absolute(&mut data, Path::new("/sweeps/own.toml")).unwrap();
        assert_eq!(data.source, "builtin:digits");
    }
}
