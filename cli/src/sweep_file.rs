//! A sweep file on disk: it is read and checked together with its data, and its paths are made
//! absolute.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytesize::ByteSize;
use caviar_client::caviar_blob::{Blob, Outline};
use caviar_client::{Client, CreateOptions, Error, Uploaded};
use caviar_common::data::{DataSpec, DataSummary};
use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_common::ids::Name;
use caviar_common::limits::MAX_SWEEP_FILE_BYTES;
use caviar_common::measure::Measure;
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::{SweepFile, parse};
use caviar_common::view::SweepView;
use caviar_data::{BlockSource, DataError, Dataset, load};
use toml::de::DeTable;

use crate::failure::Failure;
use crate::progress::talk;

/// Smallest block about which the user is told, in bytes: it takes a second at 100 Mbit/s.
const WORTH_A_NOTE: u64 = 12_500_000;

/// What a sweep file is read for, which decides where its data must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To train on this machine: the data must be readable, and external sweeps are refused.
    Run,
    /// To validate the file and its data: the data must be readable.
    Check,
    /// To send it to a coordinator, with its data. Data that exists only on the machine of the
    /// coordinator is not an error: it then reads the data itself.
    Submit,
}

/// A sweep file without mistakes.
#[derive(Debug)]
pub(crate) struct SweepSource {
    shown: String,
    file: SweepFile,
    data: Option<ReadData>,
    /// The sweep, with absolute paths.
    pub(crate) spec: SweepSpec,
}

/// Data that was read on this machine.
#[derive(Debug)]
struct ReadData {
    dataset: Dataset,
    summary: DataSummary,
}

impl SweepSource {
    /// Reads and checks a sweep file and its data.
    pub(crate) fn read(path: &Path, name: Option<&Name>, purpose: Purpose) -> anyhow::Result<Self> {
        if is_data(path) {
            return Err(not_a_sweep_file(path).into());
        }
        let shown = path.display().to_string();
        let text = text_of(path).map_err(|error| Failure::unreadable(&error))?;
        let mut file = match parse(&text) {
            Ok(file) => file,
            Err(mut problems) => {
                add_data_problem(&text, path, purpose, &mut problems);
                return Err(Failure::File { file: shown, problems }.into());
            }
        };
        if let Some(name) = name {
            file.spec.name = name.clone();
        }
        let mut spec = file.spec.clone();
        make_absolute(&mut spec.data, path)?;
        let mut source = Self { shown, file, data: None, spec };
        match source.check_data(purpose) {
            Ok(data) => Ok(Self { data, ..source }),
            Err(problems) => Err(source.failure(problems).into()),
        }
    }

    /// The data, or `None` for an external sweep and for data that is not on this machine.
    pub(crate) fn data(&self) -> Option<&DataSummary> {
        self.data.as_ref().map(|data| &data.summary)
    }

    /// The sweep with the default space of its data filled in.
    pub(crate) fn filled_spec(&self) -> SweepSpec {
        let mut spec = self.spec.clone();
        if let Some(data) = self.data() {
            spec.resolve(data);
        }
        spec
    }

    /// Whether the file asks for something else than the sweep that was created from it.
    pub(crate) fn has_changed_since(&self, sweep: &SweepView) -> bool {
        let mut spec = self.spec.clone();
        spec.resolve(&sweep.data);
        !sweep.spec.answers(&spec)
    }

    /// Reads the data and checks the sweep on it.
    fn check_data(&mut self, purpose: Purpose) -> Result<Option<ReadData>, Problems> {
        let written = &self.file.spec.data;
        let measure = self.spec.objective.metric.measure();
        let data = data_of(&self.spec.data, written, (self.spec.seed, measure), purpose)?;
        if let Some(ReadData { summary, .. }) = &data {
            let mut spec = self.spec.clone();
            spec.resolve(summary);
            spec.check_new(Some(summary))?;
        }
        Ok(data)
    }

    /// Makes the coordinator have the data as a block, unless every release has it. `None` if it
    /// has to read the data at its path: the data is not on this machine, or its release is older.
    async fn upload(&self, client: &Client) -> anyhow::Result<Option<Blob>> {
        let Some(ReadData { dataset, .. }) = &self.data else { return Ok(None) };
        if self.spec.data.source.starts_with("builtin:") {
            return Ok(None);
        }
        let source = BlockSource::new(dataset).context("the data cannot be sent")?;
        let outline = Outline::of(&source).context("the data cannot be sent")?;
        let block = outline.blob();
        match client.artifacts().upload(&outline, &source).await? {
            Uploaded::NotSupported => return Ok(None),
            Uploaded::WasThere => {}
            Uploaded::Sent if block.bytes >= WORTH_A_NOTE => {
                talk(&format!("{} of data were sent to the coordinator", ByteSize(block.bytes)));
            }
            Uploaded::Sent => {}
        }
        Ok(Some(block))
    }

    /// Creates the sweep on a coordinator, for the slots that are connected or for `for_slots`.
    /// `taken_hints` are the hints if the name is taken.
    pub(crate) async fn create(
        &self,
        client: &Client,
        for_slots: Option<u32>,
        taken_hints: &[String],
    ) -> anyhow::Result<SweepView> {
        let block = self.upload(client).await?;
        let options = CreateOptions { for_slots, block };
        match client.create_sweep_with(&request_id(), &self.spec, options).await {
            Ok(view) => Ok(view),
            Err(Error::Invalid { problems, .. }) => Err(self.failure(problems).into()),
            Err(error) if error.class() == ErrorClass::Exists => Err(Failure::with_hints(
                format!("a sweep with the name {} already exists", self.spec.name),
                taken_hints.to_vec(),
            )
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The error for problems that were found after the file was parsed, with their lines.
    fn failure(&self, mut problems: Problems) -> Failure {
        self.file.locate(&mut problems);
        Failure::File { file: self.shown.clone(), problems }
    }
}

/// The data of a sweep file, with absolute paths.
pub(crate) fn data_of_file(path: &Path) -> anyhow::Result<DataSpec> {
    let text = text_of(path).map_err(|error| Failure::unreadable(&error))?;
    let file = parse(&text)
        .map_err(|problems| Failure::File { file: path.display().to_string(), problems })?;
    let mut data = file.spec.data;
    make_absolute(&mut data, path)?;
    Ok(data)
}

/// Whether a path looks like a data set, which some users pass instead of a sweep file.
fn is_data(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let compressed = [".gz", ".zst", ".zip"].iter().find_map(|end| name.strip_suffix(end));
    let endings = [
        ".csv", ".tsv", ".txt", ".data", "ubyte", ".idx", ".npy", ".npz", ".svm", ".libsvm",
        ".parquet", ".arrow", ".feather",
    ];
    compressed.is_some() || endings.iter().any(|end| name.ends_with(end))
}

fn not_a_sweep_file(path: &Path) -> Failure {
    let shown = path.display();
    Failure::with_hints(
        format!(
            "{shown} is data and not a sweep file; a sweep file is a short TOML file that names \
             the data, the column to predict, and the number of trials"
        ),
        vec![
            format!("to write a sweep file for it: caviar init {shown}"),
            "to see an example: examples/letters.toml".to_owned(),
        ],
    )
    .in_input()
}

/// A request id that no other request has, from the process id and the time.
pub(crate) fn request_id() -> String {
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
        "{shown} is too large for a sweep file: expected at most 1 MiB"
    );
    Ok(text)
}

/// Makes the paths of a sweep file absolute. They are relative to the file, but the coordinator and
/// the workers run in other folders.
fn make_absolute(data: &mut DataSpec, sweep_file: &Path) -> anyhow::Result<()> {
    let directory = sweep_file.parent().unwrap_or(Path::new(""));
    let absolute = |path: &str| -> anyhow::Result<String> {
        let path: PathBuf = std::path::absolute(directory.join(expand_home(path)?))
            .with_context(|| format!("the path {path:?}"))?;
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("the path {} is not UTF-8", path.display()))
    };
    if !data.source.is_empty() && !data.source.starts_with("builtin:") && !data.is_external() {
        data.source = absolute(&data.source)?;
    }
    let others = [&mut data.labels, &mut data.split.validation_source, &mut data.split.test_source];
    for path in others.into_iter().flatten() {
        *path = absolute(path)?;
    }
    Ok(())
}

/// The path with a leading `~` replaced by the home directory, as a shell does it. `~user` stays.
fn expand_home(path: &str) -> anyhow::Result<PathBuf> {
    let below_home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some(rest) = below_home else { return Ok(PathBuf::from(path)) };
    let home = std::env::home_dir()
        .with_context(|| format!("the path {path:?}: HOME is not set: give the path in full"))?;
    Ok(home.join(rest.trim_start_matches('/')))
}

/// Reads the data. `written` is the data section as the file has it, for the error.
fn data_of(
    data: &DataSpec,
    written: &DataSpec,
    (seed, measure): (u64, Option<Measure>),
    purpose: Purpose,
) -> Result<Option<ReadData>, Problem> {
    if data.is_external() {
        let message = "external programs run the trials of this sweep, but caviar run has none: \
                       start a coordinator and use caviar submit";
        let problem = Problem::with_value("data.source", format!("{:?}", written.source), message);
        return if purpose == Purpose::Run { Err(problem) } else { Ok(None) };
    }
    let read = load(data).and_then(|dataset| {
        let summary = dataset.summary_with(data, seed, measure)?;
        Ok(ReadData { dataset, summary })
    });
    let error = match read {
        Ok(data) => return Ok(Some(data)),
        Err(DataError::Open { .. }) if purpose == Purpose::Submit => return Ok(None),
        Err(error) => error,
    };
    let field = error.field();
    let value = match field {
        "data.source" => Some(format!("{:?}", written.source)),
        "data.label" => written.written_label(),
        "data.weight" => written.weights.column.as_ref().map(|column| format!("{column:?}")),
        "data.labels" => written.labels.as_ref().map(|labels| format!("{labels:?}")),
        "data.validation" => Some(written.validation.to_string()),
        "data.test" => Some(written.test.to_string()),
        _ => None,
    };
    Err(Problem { value, ..Problem::new(field, error.to_string()) })
}

/// Adds the problem of the data to the other problems of a file, so that all are reported at once.
/// This needs a data section that can be parsed on its own.
fn add_data_problem(text: &str, path: &Path, purpose: Purpose, problems: &mut Problems) {
    if problems.touches("data") {
        return;
    }
    let Some((mut data, seed)) = data_section(text) else { return };
    let written = data.clone();
    if make_absolute(&mut data, path).is_err() {
        return;
    }
    if let Err(problem) = data_of(&data, &written, (seed, None), purpose) {
        let line = line_in_data(text, &problem.field);
        problems.push(Problem { line, ..problem });
        problems.locate(|_| None);
    }
}

/// The data section and the seed of a file whose other sections have mistakes.
fn data_section(text: &str) -> Option<(DataSpec, u64)> {
    let whole: toml::Table = text.parse().ok()?;
    let seed = whole
        .get("seed")
        .and_then(toml::Value::as_integer)
        .and_then(|seed| u64::try_from(seed).ok())
        .unwrap_or(0);
    let search: toml::Table =
        [("trials".to_owned(), toml::Value::Integer(1))].into_iter().collect();
    let mut smallest = toml::Table::new();
    smallest.insert("name".to_owned(), "data".into());
    smallest.insert("data".to_owned(), whole.get("data")?.clone());
    smallest.insert("search".to_owned(), search.into());
    parse(&smallest.to_string()).ok().map(|file| (file.spec.data, seed))
}

/// The line of the key of `data.KEY`, or the line of `[data]` if the key is missing.
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
        std::fs::write(directory.path().join("own.csv"), "x,y\n1,a\n2,b\n3,a\n-inf,b\n").unwrap();
        let path = directory.path().join("own.toml");
        std::fs::write(&path, text).unwrap();
        let error = SweepSource::read(&path, None, Purpose::Run).unwrap_err();
        let mut out = Vec::new();
        error.downcast_ref::<Failure>().unwrap().write(&mut out).unwrap();
        let prefix = format!("{}/", directory.path().display());
        String::from_utf8(out).unwrap().lines().map(|line| line.replace(&prefix, "")).collect()
    }

    #[test]
    fn errors_of_the_data_are_reported_together_with_those_of_the_file() {
        let text = "name = \"own\"\n[data]\nsource = \"own.csv\"\nlabel = \"z\"\n[space]\n\
                    learning_rate = { scale = \"log\", low = 0.0, high = 1.0 }\n\
                    [search]\ntrials = 4\n";
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
    fn errors_of_the_data_are_found_in_a_valid_file() {
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
    fn external_sweeps_can_be_submitted_but_not_run() {
        let text = "name = \"own\"\n[data]\nsource = \"external\"\n\
                    [space]\nC = { low = 0.1, high = 1 }\n[search]\ntrials = 4\n\
                    [objective]\nmetric = \"f1\"\ngoal = \"maximize\"\n";
        let expected = "own.toml:3: data.source = \"external\": external programs run the \
                        trials of this sweep, but caviar run has none: ";
        assert!(refusal(text)[0].starts_with(expected), "{:?}", refusal(text));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.toml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            SweepSource::read(&path, None, Purpose::Submit).unwrap().spec.data.source,
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
        data.source = "~/b.csv".to_owned();
        make_absolute(&mut data, Path::new("/sweeps/own.toml")).unwrap();
        assert_eq!(Path::new(&data.source), std::env::home_dir().unwrap().join("b.csv"));
        data.source = "~b.csv".to_owned();
        make_absolute(&mut data, Path::new("/sweeps/own.toml")).unwrap();
        assert_eq!(data.source, "/sweeps/~b.csv");
        data.source = "builtin:digits".to_owned();
        make_absolute(&mut data, Path::new("/sweeps/own.toml")).unwrap();
        assert_eq!(data.source, "builtin:digits");
    }

    #[test]
    fn data_in_place_of_a_sweep_file_is_explained() {
        for name in ["iris.csv", "iris.CSV.gz", "train-images-idx3-ubyte"] {
            let error = SweepSource::read(Path::new(name), None, Purpose::Run).unwrap_err();
            let mut out = Vec::new();
            error.downcast_ref::<Failure>().unwrap().write(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("error: {name} is data and not a sweep file;")));
            let hint = format!("\nhint: to write a sweep file for it: caviar init {name}\n");
            assert!(text.contains(&hint), "{text}");
        }
    }
}
