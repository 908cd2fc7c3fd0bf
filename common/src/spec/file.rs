//! The sweep file: TOML, read into a [`Draft`]. The line of every field is kept, so that each
//! mistake is reported with its line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SweepSpec;
use super::draft::{Draft, DraftClassWeights, DraftData, DraftParameter};
use super::parallelism::AUTO;
use super::rules::{EXPECTED_CLASS_WEIGHTS, EXPECTED_TEST, EXPECTED_VALIDATION, expected_whole};
use crate::assignment::Value;
use crate::error::{Problem, Problems};
use crate::ids::Name;
use crate::limits::{MAX_FOLDS, MAX_MODELS, MAX_PARALLELISM, MAX_REPEATS, MAX_TRIALS};
use crate::text;

const EXPECTED_LABEL: &str = "expected the name of a column, or a list of several numeric columns \
                              such as [\"width\", \"height\"]";
/// The legal values of a number without a range of its own.
const EXPECTED_NUMBER: &str = "expected a number";
/// The same for NaN and the infinities, which TOML calls numbers.
const EXPECTED_FINITE: &str = "expected a finite number";
/// Longest value that an error shows, in characters.
const SHOWN_CHARS: usize = 60;

/// A sweep file that passed every check: its spec, and the lines of its fields.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// The checked spec. Its space is empty if the file has none.
    pub spec: SweepSpec,
    lines: Lines,
}

impl SweepFile {
    /// Adds the lines of this file to problems that a later check found, for example in the data.
    pub fn locate(&self, problems: &mut Problems) {
        problems.locate(|field| self.lines.line_of(field));
    }
}

/// Reads and checks a sweep file. Reads no data.
///
/// # Errors
/// Every problem of the file, with its line, in the order of the file. If the text is not TOML,
/// only the syntax errors.
pub fn parse(text: &str) -> Result<SweepFile, Problems> {
    let (draft, lines, mut problems) = read(text)?;
    // Checked here and not only in check_new, so that it is reported along with other mistakes.
    if let Some(Err(problem)) = draft.name.as_deref().map(|name| Name::parse_sweep("name", name)) {
        problems.push(problem);
    }
    match draft.check_after(problems).and_then(|spec| spec.check_new(None).map(|()| spec)) {
        Ok(spec) => Ok(SweepFile { spec, lines }),
        Err(mut problems) => {
            problems.locate(|field| lines.line_of(field));
            Err(problems)
        }
    }
}

fn read(text: &str) -> Result<(Draft, Lines, Problems), Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |(i, e): (usize, &toml::de::Error)| {
            // Problems of one field are merged, so every error after the first has a number.
            let number = if i == 0 { String::new() } else { format!(" ({})", i + 1) };
            Problem {
                line: e.span().map(|span| line_at(text, span.start)),
                ..Problem::new(format!("TOML syntax{number}"), e.message().to_owned())
            }
        };
        return Err(errors.iter().enumerate().map(problem).collect());
    }
    let mut reader = Reader { text, lines: Lines::default(), problems: Problems::default() };
    let draft = reader.draft(root.get_ref());
    Ok((draft, reader.lines, reader.problems))
}

/// The line of every field of a file, by its path.
#[derive(Clone, Debug, Default)]
struct Lines {
    by_field: BTreeMap<String, usize>,
}

impl Lines {
    /// The line of `field`, or of the innermost table around it that is in the file.
    fn line_of(&self, field: &str) -> Option<usize> {
        let mut path = field;
        loop {
            if let Some(line) = self.by_field.get(path) {
                return Some(*line);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

/// The line, from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// Walks the parsed file. Collects the line of each key, and a problem for each unknown key and
/// each value of the wrong type.
struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    problems: Problems,
}

/// One table of the file, and the keys that the reader has asked for.
struct Section<'t, 'i> {
    path: String,
    known: Vec<&'static str>,
    /// `None` if the file does not have this table.
    table: Option<&'t DeTable<'i>>,
}

impl<'t, 'i> Section<'t, 'i> {
    fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table?.get(key)
    }
}

impl Reader<'_> {
    fn draft(&mut self, root: &DeTable<'_>) -> Draft {
        let mut top = self.open(String::new(), Some(root));
        let mut draft = Draft {
            name: self.text(&mut top, "name"),
            seed: self.whole(&mut top, "seed", 0, u64::MAX),
            preset: self.text(&mut top, "preset"),
            ..Draft::default()
        };

        draft.data = self.data(&mut top);

        let fixed = self.section(&mut top, "fixed");
        draft.fixed = self.values(&fixed);
        if top.table.is_some_and(|t| t.contains_key("space")) {
            let space = self.section(&mut top, "space");
            draft.space = Some(self.parameters(&space));
        } else {
            top.known.push("space");
        }

        let mut search = self.section(&mut top, "search");
        draft.search.strategy = self.text(&mut search, "strategy");
        draft.search.trials = self.whole(&mut search, "trials", 1, MAX_TRIALS);
        draft.search.rounds = self.wholes(&mut search, "rounds");
        draft.search.parallelism = self.parallelism(&mut search);
        draft.search.order = self.text(&mut search, "order");
        draft.search.warm_start = self.text(&mut search, "warm_start");
        draft.search.replays = self.whole(&mut search, "replays", 0, MAX_TRIALS - 1);
        self.close(&search);

        let mut objective = self.section(&mut top, "objective");
        draft.objective.metric = self.text(&mut objective, "metric");
        draft.objective.goal = self.text(&mut objective, "goal");
        draft.objective.epoch = self.text(&mut objective, "epoch");
        draft.objective.repeats = self.whole(&mut objective, "repeats", 1, MAX_REPEATS);
        self.close(&objective);

        let mut stopping = self.section(&mut top, "stopping");
        draft.stopping.rule = self.text(&mut stopping, "rule");
        self.close(&stopping);

        let mut keep = self.section(&mut top, "keep");
        draft.keep.models = self.whole(&mut keep, "models", 0, MAX_MODELS);
        self.close(&keep);
        self.close(&top);
        draft
    }

    fn data(&mut self, top: &mut Section<'_, '_>) -> DraftData {
        let expected_types = "expected columns and their types, such as { zip = \"category\" }";
        let mut data = self.section(top, "data");
        let labels = self.entry(&mut data, "label", EXPECTED_LABEL, labels).unwrap_or_default();
        let mut labels = labels.into_iter();
        let draft = DraftData {
            source: self.text(&mut data, "source"),
            label: labels.next(),
            more_labels: labels.collect(),
            labels: self.text(&mut data, "labels"),
            task: self.text(&mut data, "task"),
            validation: self.number(&mut data, "validation", EXPECTED_VALIDATION),
            test: self.number(&mut data, "test", EXPECTED_TEST),
            delimiter: self.text(&mut data, "delimiter"),
            header: self.entry(&mut data, "header", "expected true or false", DeValue::as_bool),
            columns: self.texts(&mut data, "columns"),
            ignore: self.texts(&mut data, "ignore"),
            types: self.entry(&mut data, "types", expected_types, types),
            missing: self.texts(&mut data, "missing"),
            group: self.text(&mut data, "group"),
            time: self.text(&mut data, "time"),
            validation_source: self.text(&mut data, "validation_source"),
            test_source: self.text(&mut data, "test_source"),
            folds: self.whole(&mut data, "folds", 2, MAX_FOLDS),
            class_weights: self.entry(
                &mut data,
                "class_weights",
                EXPECTED_CLASS_WEIGHTS,
                class_weights,
            ),
            weight: self.text(&mut data, "weight"),
        };
        if let Some(weights) = data.table.and_then(|table| table.get("class_weights")) {
            self.open(data.field("class_weights"), weights.get_ref().as_table());
        }
        if let Some(types) = data.table.and_then(|table| table.get("types")) {
            self.open(data.field("types"), types.get_ref().as_table());
        }
        self.close(&data);
        draft
    }

    /// Starts a table and notes the line of each of its keys.
    fn open<'t, 'i>(&mut self, path: String, table: Option<&'t DeTable<'i>>) -> Section<'t, 'i> {
        let section = Section { path, known: Vec::new(), table };
        for (key, _) in table.into_iter().flatten() {
            let line = line_at(self.text, key.span().start);
            self.lines.by_field.insert(section.field(key.get_ref()), line);
        }
        section
    }

    /// Starts the table `key` of `parent`. An absent table has no entries.
    fn section<'t, 'i>(
        &mut self,
        parent: &mut Section<'t, 'i>,
        key: &'static str,
    ) -> Section<'t, 'i> {
        let field = parent.field(key);
        let table = parent.take(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.mistake(&field, value, &format!("expected a section: [{key}]"));
            }
            table
        });
        self.open(field, table)
    }

    /// Ends a table. Reports every key that the reader did not ask for as unknown.
    fn close(&mut self, section: &Section<'_, '_>) {
        for (key, _) in section.table.into_iter().flatten() {
            let key: &str = key.get_ref();
            if !section.known.contains(&key) {
                let message = match text::nearest(key, section.known.iter().copied()) {
                    Some(near) => format!("unknown key: did you mean {near}?"),
                    None => format!("unknown key: expected one of {}", section.known.join(", ")),
                };
                self.problems.push(Problem::new(section.field(key), message));
            }
        }
    }

    fn mistake(&mut self, field: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        self.problems.push(Problem::with_value(field, shown(self.text, value), expected));
    }

    /// The entry `key`, converted by `convert`. Where `convert` returns `None` the value is
    /// reported, with `expected` as what would be right.
    fn entry<'t, 'i, T>(
        &mut self,
        section: &mut Section<'t, 'i>,
        key: &'static str,
        expected: &str,
        convert: impl Fn(&'t DeValue<'i>) -> Option<T>,
    ) -> Option<T> {
        let value = section.take(key)?;
        let result = convert(value.get_ref());
        if result.is_none() {
            // A TOML number that was refused as a number is NaN or infinite.
            let is_endless =
                expected == EXPECTED_NUMBER && matches!(value.get_ref(), DeValue::Float(_));
            let expected = if is_endless { EXPECTED_FINITE } else { expected };
            self.mistake(&section.field(key), value, expected);
        }
        result
    }

    fn text(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
        self.entry(section, key, "expected text in quotes", |v| v.as_str().map(str::to_owned))
    }

    fn texts(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<String>> {
        let expected = "expected a list of texts, such as [\"id\"]";
        self.entry(section, key, expected, |v| {
            v.as_array()?.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    fn number(
        &mut self,
        section: &mut Section<'_, '_>,
        key: &'static str,
        expected: &str,
    ) -> Option<f64> {
        self.entry(section, key, expected, |v| scalar(v).and_then(|v| v.as_f64()))
    }

    fn whole(
        &mut self,
        section: &mut Section<'_, '_>,
        key: &'static str,
        least: u64,
        most: impl Into<u64>,
    ) -> Option<u64> {
        self.entry(section, key, &expected_whole(least, most), whole)
    }

    /// The number of trials in flight; `None` for `"auto"`, which is the default.
    fn parallelism(&mut self, search: &mut Section<'_, '_>) -> Option<u64> {
        let expected = format!("{} or {AUTO:?}", expected_whole(1, MAX_PARALLELISM));
        let read = |value: &DeValue<'_>| match value.as_str() {
            Some(text) => (text == AUTO).then_some(None),
            None => whole(value).map(Some),
        };
        self.entry(search, "parallelism", &expected, read).flatten()
    }

    fn wholes(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<u64>> {
        let expected = "expected a list of whole numbers, such as [30, 20, 10]";
        self.entry(section, key, expected, |v| {
            v.as_array()?.iter().map(|v| whole(v.get_ref())).collect()
        })
    }

    /// An end of a range. A text is accepted here and refused by the check of the range, which
    /// knows the legal values.
    fn scalar(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<Value> {
        self.entry(section, key, EXPECTED_NUMBER, scalar)
    }

    /// Every entry of `[fixed]`.
    fn values(&mut self, section: &Section<'_, '_>) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        for (key, value) in section.table.into_iter().flatten() {
            let is_float = matches!(value.get_ref(), DeValue::Float(_));
            match value_of(value.get_ref()) {
                Some(v) => values.push((key.get_ref().to_string(), v)),
                None => {
                    let expected =
                        if is_float { EXPECTED_FINITE } else { "expected a number or quoted text" };
                    self.mistake(&section.field(key.get_ref()), value, expected);
                }
            }
        }
        values
    }

    /// Every entry of `[space]`.
    fn parameters(&mut self, section: &Section<'_, '_>) -> Vec<DraftParameter> {
        let mut parameters = Vec::new();
        for (key, value) in section.table.into_iter().flatten() {
            let field = section.field(key.get_ref());
            match value.get_ref().as_table() {
                Some(table) => {
                    let entry = self.open(field, Some(table));
                    parameters.push(self.parameter(key.get_ref(), entry));
                }
                None => {
                    let expected = "expected a range { low = ..., high = ... } or \
                                    { choices = [...] }; a single value belongs in [fixed]";
                    self.mistake(&field, value, expected);
                }
            }
        }
        parameters
    }

    fn parameter(&mut self, name: &str, mut entry: Section<'_, '_>) -> DraftParameter {
        let expected_choices = "expected a list, such as [\"relu\", \"tanh\"]";
        let expected_when =
            "expected a parameter and its values, such as { optimizer = [\"adam\"] }";
        let draft = DraftParameter {
            name: name.to_owned(),
            kind: self.text(&mut entry, "type"),
            scale: self.text(&mut entry, "scale"),
            low: self.scalar(&mut entry, "low"),
            high: self.scalar(&mut entry, "high"),
            choices: self.entry(&mut entry, "choices", expected_choices, list),
            when: self.entry(&mut entry, "when", expected_when, condition),
            points: self.whole(&mut entry, "points", 1, MAX_TRIALS),
        };
        self.close(&entry);
        draft
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    value.as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok())
}

fn scalar(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.as_ref().into())),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(Value::Int),
        DeValue::Float(f) => {
            f.as_str().parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
        }
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A value of a hyperparameter: true and false are names too.
fn value_of(value: &DeValue<'_>) -> Option<Value> {
    let name = value.as_bool().map(|is_true| if is_true { "true" } else { "false" });
    name.map_or_else(|| scalar(value), |name| Some(Value::Text(name.into())))
}

fn list(value: &DeValue<'_>) -> Option<Vec<Value>> {
    value.as_array()?.iter().map(|v| value_of(v.get_ref())).collect()
}

/// The name of a column, or a list of at least one.
fn labels(value: &DeValue<'_>) -> Option<Vec<String>> {
    if let Some(name) = value.as_str() {
        return Some(vec![name.to_owned()]);
    }
    let names = value.as_array()?.iter().map(|name| name.get_ref().as_str().map(str::to_owned));
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

fn types(value: &DeValue<'_>) -> Option<Vec<(String, String)>> {
    value
        .as_table()?
        .iter()
        .map(|(key, v)| Some((key.get_ref().to_string(), v.get_ref().as_str()?.to_owned())))
        .collect()
}

/// The name of a rule, or classes and their weights.
fn class_weights(value: &DeValue<'_>) -> Option<DraftClassWeights> {
    if let Some(rule) = value.as_str() {
        return Some(DraftClassWeights::Rule(rule.to_owned()));
    }
    let weight = |v: &DeValue<'_>| scalar(v).and_then(|v| v.as_f64());
    let entries = value.as_table()?.iter();
    let entries = entries.map(|(key, v)| Some((key.get_ref().to_string(), weight(v.get_ref())?)));
    entries.collect::<Option<_>>().map(DraftClassWeights::Given)
}

fn condition(value: &DeValue<'_>) -> Option<Vec<(String, Vec<Value>)>> {
    let one_or_more = |v: &DeValue<'_>| list(v).or_else(|| value_of(v).map(|v| vec![v]));
    value
        .as_table()?
        .iter()
        .map(|(key, v)| Some((key.get_ref().to_string(), one_or_more(v.get_ref())?)))
        .collect()
}

/// The value as the file has it: its first line, cut if it is long.
fn shown(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    let written = text.get(value.span()).unwrap_or("?").lines().next().unwrap_or("?");
    text::shortened(written, SHOWN_CHARS)
}
