//! The sweep file: TOML, read into a [`Draft`] with the line of every field, so that each mistake
//! is shown where it was made.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SweepSpec;
use super::draft::{Draft, DraftParameter};
use crate::assignment::Value;
use crate::error::{Problem, Problems};
use crate::ids::Name;
use crate::limits::{MAX_PARALLELISM, MAX_TRIALS};
use crate::text;

/// What is said of a value that is no number.
const NUMBER: &str = "write a number";

/// A sweep file that was read: the spec, and where its fields stand.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// The checked spec.
    pub spec: SweepSpec,
    lines: Lines,
}

impl SweepFile {
    /// Adds the lines of this file to problems that were found later, in the data, say.
    pub fn locate(&self, problems: &mut Problems) {
        problems.locate(|field| self.lines.of(field));
    }
}

/// Reads and checks a sweep file.
///
/// # Errors
/// Every problem of the file, with its line, in the order of the file. Where the text is
/// no TOML, the places where it is not.
pub fn parse(text: &str) -> Result<SweepFile, Problems> {
    let (draft, lines, mut problems) = read(text)?;
    // A number for a name is shown beside the other mistakes.
    if let Some(Err(problem)) = draft.name.as_deref().map(|name| Name::parse_sweep("name", name)) {
        problems.push(problem);
    }
    match draft.check_after(problems).and_then(|spec| spec.check_new(None).map(|()| spec)) {
        Ok(spec) => Ok(SweepFile { spec, lines }),
        Err(mut problems) => {
            problems.locate(|field| lines.of(field));
            Err(problems)
        }
    }
}

fn read(text: &str) -> Result<(Draft, Lines, Problems), Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |(i, e): (usize, &toml::de::Error)| Problem {
            line: e.span().map(|span| line_at(text, span.start)),
            ..Problem::new(
                format!(
                    "TOML syntax{}",
                    if i == 0 { String::new() } else { format!(" ({})", i + 1) }
                ),
                e.message().to_owned(),
            )
        };
        return Err(errors.iter().enumerate().map(problem).collect());
    }
    let mut reader = Reader { text, lines: Lines::default(), problems: Problems::default() };
    let draft = reader.draft(root.get_ref());
    Ok((draft, reader.lines, reader.problems))
}

/// The line of every field of a file.
#[derive(Clone, Debug, Default)]
struct Lines {
    of: BTreeMap<String, usize>,
}

impl Lines {
    /// The line of `field`, or of the innermost table around it that the file has.
    fn of(&self, field: &str) -> Option<usize> {
        let mut path = field;
        loop {
            if let Some(line) = self.of.get(path) {
                return Some(*line);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// Walks the file, noting lines and mistakes of type.
struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    problems: Problems,
}

/// One table of the file: its path, and its entries that nobody has asked for yet.
struct Section<'t, 'i> {
    path: String,
    known: Vec<&'static str>,
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
            name: self.text_of(&mut top, "name"),
            seed: self.whole_of(&mut top, "seed", 0, u64::MAX),
            ..Draft::default()
        };

        let mut data = self.section(&mut top, "data");
        draft.data.source = self.text_of(&mut data, "source");
        draft.data.label = self.text_of(&mut data, "label");
        draft.data.labels = self.text_of(&mut data, "labels");
        draft.data.task = self.text_of(&mut data, "task");
        draft.data.validation = self.number_of(&mut data, "validation");
        draft.data.test = self.number_of(&mut data, "test");
        self.close(&data);

        let fixed = self.section(&mut top, "fixed");
        draft.fixed = self.values_of(&fixed);
        if top.table.is_some_and(|t| t.contains_key("space")) {
            let space = self.section(&mut top, "space");
            draft.space = Some(self.parameters_of(&space));
        } else {
            top.known.push("space");
        }

        let mut search = self.section(&mut top, "search");
        draft.search.strategy = self.text_of(&mut search, "strategy");
        draft.search.trials = self.whole_of(&mut search, "trials", 1, MAX_TRIALS);
        draft.search.rounds = self.wholes_of(&mut search, "rounds");
        draft.search.parallelism = self.whole_of(&mut search, "parallelism", 1, MAX_PARALLELISM);
        draft.search.order = self.text_of(&mut search, "order");
        draft.search.warm_start = self.text_of(&mut search, "warm_start");
        self.close(&search);

        let mut objective = self.section(&mut top, "objective");
        draft.objective.metric = self.text_of(&mut objective, "metric");
        draft.objective.goal = self.text_of(&mut objective, "goal");
        self.close(&objective);

        let mut stopping = self.section(&mut top, "stopping");
        draft.stopping.rule = self.text_of(&mut stopping, "rule");
        self.close(&stopping);
        self.close(&top);
        draft
    }

    /// Begins a table and notes the line of each of its keys.
    fn open<'t, 'i>(&mut self, path: String, table: Option<&'t DeTable<'i>>) -> Section<'t, 'i> {
        let section = Section { path, known: Vec::new(), table };
        for (key, _) in table.into_iter().flatten() {
            let line = line_at(self.text, key.span().start);
            self.lines.of.insert(section.field(key.get_ref()), line);
        }
        section
    }

    /// Begins the table `key` of `parent`; an absent one has no entries.
    fn section<'t, 'i>(
        &mut self,
        parent: &mut Section<'t, 'i>,
        key: &'static str,
    ) -> Section<'t, 'i> {
        let field = parent.field(key);
        let table = parent.take(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.mistake(&field, value, &format!("write a section: [{key}]"));
            }
            table
        });
        self.open(field, table)
    }

    /// Ends a table: what nobody asked for is unknown.
    fn close(&mut self, section: &Section<'_, '_>) {
        for (key, _) in section.table.into_iter().flatten() {
            let key: &str = key.get_ref();
            if !section.known.contains(&key) {
                let message = match text::nearest(key, section.known.iter().copied()) {
                    Some(near) => format!("unknown key: did you mean {near}?"),
                    None => format!("unknown key: write one of {}", section.known.join(", ")),
                };
                self.problems.push(Problem::new(section.field(key), message));
            }
        }
    }

    fn mistake(&mut self, field: &str, value: &Spanned<DeValue<'_>>, right: &str) {
        self.problems.push(Problem::with_value(field, shown(self.text, value), right));
    }

    /// The entry `key` as `read` understands it; what it does not understand is a mistake, and
    /// `right` says what would do.
    fn entry<'t, 'i, T>(
        &mut self,
        section: &mut Section<'t, 'i>,
        key: &'static str,
        right: &str,
        read: impl Fn(&'t DeValue<'i>) -> Option<T>,
    ) -> Option<T> {
        let value = section.take(key)?;
        let result = read(value.get_ref());
        if result.is_none() {
            // A number that is refused as a number is NaN or infinite.
            let is_endless = right == NUMBER && matches!(value.get_ref(), DeValue::Float(_));
            self.mistake(
                &section.field(key),
                value,
                if is_endless { "write a finite number" } else { right },
            );
        }
        result
    }

    fn text_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
        self.entry(section, key, "write a text in quotes", |v| v.as_str().map(str::to_owned))
    }

    fn number_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<f64> {
        self.entry(section, key, NUMBER, |v| scalar(v).and_then(|v| v.as_f64()))
    }

    fn whole_of(
        &mut self,
        section: &mut Section<'_, '_>,
        key: &'static str,
        least: u64,
        most: impl Into<u64>,
    ) -> Option<u64> {
        self.entry(
            section,
            key,
            &format!("write a whole number from {least} to {}", most.into()),
            whole,
        )
    }

    fn wholes_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<u64>> {
        self.entry(section, key, "write a list of whole numbers, such as [30, 20, 10]", |v| {
            v.as_array()?.iter().map(|v| whole(v.get_ref())).collect()
        })
    }

    fn scalar_of(&mut self, section: &mut Section<'_, '_>, key: &'static str) -> Option<Value> {
        self.entry(section, key, NUMBER, scalar)
    }

    /// Every entry of `[fixed]`.
    fn values_of(&mut self, section: &Section<'_, '_>) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        for (key, value) in section.table.into_iter().flatten() {
            match scalar(value.get_ref()) {
                Some(v) => values.push((key.get_ref().to_string(), v)),
                None if matches!(value.get_ref(), DeValue::Float(_)) => {
                    self.mistake(&section.field(key.get_ref()), value, "write a finite number");
                }
                None => self.mistake(
                    &section.field(key.get_ref()),
                    value,
                    "write one number or one text in quotes",
                ),
            }
        }
        values
    }

    /// Every entry of `[space]`.
    fn parameters_of(&mut self, section: &Section<'_, '_>) -> Vec<DraftParameter> {
        let mut parameters = Vec::new();
        for (key, value) in section.table.into_iter().flatten() {
            let field = section.field(key.get_ref());
            match value.get_ref().as_table() {
                Some(table) => {
                    let entry = self.open(field, Some(table));
                    parameters.push(self.parameter(key.get_ref(), entry));
                }
                None => {
                    self.mistake(&field, value, "write a range { low = ..., high = ... } or { choices = [...] }; one value goes in [fixed]")
                }
            }
        }
        parameters
    }

    fn parameter(&mut self, name: &str, mut entry: Section<'_, '_>) -> DraftParameter {
        let draft = DraftParameter {
            name: name.to_owned(),
            kind: self.text_of(&mut entry, "type"),
            scale: self.text_of(&mut entry, "scale"),
            low: self.scalar_of(&mut entry, "low"),
            high: self.scalar_of(&mut entry, "high"),
            choices: self.entry(
                &mut entry,
                "choices",
                "write a list, such as [\"relu\", \"tanh\"]",
                list,
            ),
            when: self.entry(
                &mut entry,
                "when",
                "write the values it is active for: { optimizer = [\"adam\"] }",
                condition,
            ),
            points: self.whole_of(&mut entry, "points", 1, MAX_TRIALS),
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
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(Value::Int),
        DeValue::Float(f) => {
            f.as_str().parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
        }
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn list(value: &DeValue<'_>) -> Option<Vec<Value>> {
    value.as_array()?.iter().map(|v| scalar(v.get_ref())).collect()
}

fn condition(value: &DeValue<'_>) -> Option<Vec<(String, Vec<Value>)>> {
    let one = |v: &DeValue<'_>| list(v).or_else(|| scalar(v).map(|v| vec![v]));
    value
        .as_table()?
        .iter()
        .map(|(key, v)| Some((key.get_ref().to_string(), one(v.get_ref())?)))
        .collect()
}

/// The value as it stands in the file, cut where it is long.
fn shown(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    const MOST_CHARS: usize = 60;
    let written = text.get(value.span()).unwrap_or("?").lines().next().unwrap_or("?");
    if written.chars().count() > MOST_CHARS {
        let start: String = written.chars().take(MOST_CHARS).collect();
        return format!("{start}...");
    }
    written.to_owned()
}
