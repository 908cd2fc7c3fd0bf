//! Data as it was read and checked, before it is split.

use caviar_common::data::{ColumnType, DataNote, DataSpec, NoteLevel, Task};
use caviar_common::numbers::{to_u32, to_u64};

use crate::error::{DataError, shown};
use crate::examples::Targets;
use crate::fields::{GROUP, TIME, TYPES, WEIGHT};
use crate::forms::Form;
use crate::inputs::Inputs;
use crate::limits::{MAX_FEATURES, MAX_VALUES, MIN_ROWS};
use crate::suspicions::examine;
use crate::table::{LabelColumn, Roles, Table};

/// The codes of the notes about columns that are no inputs.
const LEFT_OUT: [&str; 4] = ["numbers_rows", "identifies_rows", "empty", "free_text"];

/// Data as it was read: typed columns, one target per row, at least [`MIN_ROWS`] rows and at least
/// two different targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    parts: Parts,
    digest: String,
}

/// What a reader returns, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    pub(crate) inputs: Inputs,
    /// One target for each row of the inputs.
    pub(crate) targets: Targets<f64>,
    pub(crate) classes: Vec<String>,
    pub(crate) label: String,
    /// How the numbers of the label were written; `None` for classes, and for a file that stores
    /// numbers.
    pub(crate) label_form: Option<Form>,
    /// The other columns to predict.
    pub(crate) more_labels: Vec<LabelColumn>,
    pub(crate) roles: Roles,
    /// What the reader detected, and what can mislead.
    pub(crate) notes: Vec<DataNote>,
}

impl Dataset {
    /// Leaves out the columns that would mislead, and checks the data as a whole.
    pub(crate) fn from_table(
        table: Table,
        spec: &DataSpec,
        label_field: &'static str,
    ) -> Result<Self, DataError> {
        let path = spec.source.as_str();
        check_roles(&table, spec)?;
        let rows = table.labels.len();
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { path: path.to_owned(), rows });
        }
        let (targets, classes) = table.labels.finish();
        let (columns, found) = examine(table.columns, &targets, spec);
        let mut notes = table.notes;
        notes.extend(found);
        if columns.is_empty() {
            let left_out = notes.iter().filter(|note| LEFT_OUT.contains(&note.code.as_str()));
            let why = left_out.map(|note| note.text.as_str()).collect::<Vec<_>>().join("; ");
            return Err(DataError::NoInputs { path: path.to_owned(), why });
        }
        // Warnings first: a long list is cut at its end.
        notes.sort_by_key(|note| note.level == NoteLevel::Info);
        let inputs = Inputs::Columns(columns);
        let Table { label, label_form, more_labels, roles, .. } = table;
        let parts =
            Parts { inputs, targets, classes, label, label_form, more_labels, roles, notes };
        Self::new(parts, path, label_field)
    }

    /// Checks the data as a whole. `label_field` is the field of the sweep file that names the
    /// labels.
    pub(crate) fn new(
        parts: Parts,
        path: &str,
        label_field: &'static str,
    ) -> Result<Self, DataError> {
        let path = || path.to_owned();
        let (rows, classes) = (parts.targets.len(), &parts.classes);
        let width = parts.inputs.columns();
        if width > MAX_FEATURES || width.checked_mul(rows).is_none_or(|all| all > MAX_VALUES) {
            return Err(DataError::TooLarge { path: path() });
        }
        if rows < MIN_ROWS {
            return Err(DataError::TooFewRows { path: path(), rows });
        }
        if let Some(value) = only_label(&parts) {
            return Err(DataError::OneLabel {
                field: label_field,
                path: path(),
                value: shown(&value),
            });
        }
        // With fewer than two rows per class nothing can be learnt. Usually the label is a number,
        // and the task is regression.
        if classes.len() * 2 > rows {
            return Err(DataError::ManyClasses {
                field: label_field,
                path: path(),
                classes: classes.len(),
                rows,
            });
        }
        let digest = digest(&parts);
        Ok(Self { parts, digest })
    }

    /// The same data without notes, for data that is part of the program.
    pub(crate) fn without_notes(mut self) -> Self {
        self.parts.notes.clear();
        self
    }

    pub(crate) const fn inputs(&self) -> &Inputs {
        &self.parts.inputs
    }

    pub(crate) const fn label_form(&self) -> Option<Form> {
        self.parts.label_form
    }

    /// The columns to predict after the first one.
    pub(crate) fn more_labels(&self) -> &[LabelColumn] {
        &self.parts.more_labels
    }

    pub(crate) const fn roles(&self) -> &Roles {
        &self.parts.roles
    }

    /// The targets as read: for each row an index into [`classes`](Self::classes), or for
    /// regression its numbers.
    pub fn targets(&self) -> &Targets<f64> {
        &self.parts.targets
    }

    /// The names of the classes, in order; empty for regression.
    ///
    /// They are compared as they are written, so `1` and `1.0` are two classes. If all names are
    /// numbers they are sorted by value (`2` before `10`), and otherwise by the bytes of their
    /// UTF-8 text.
    pub fn classes(&self) -> &[String] {
        &self.parts.classes
    }

    /// The names of the columns that are inputs, in the order of the file.
    pub fn column_names(&self) -> Vec<String> {
        match &self.parts.inputs {
            Inputs::Columns(columns) => columns.iter().map(|column| column.name.clone()).collect(),
            Inputs::Pixels(pixels) => pixels.names(),
        }
    }

    /// The values of the column at `index` as numbers, row by row: 1 and 0 for a boolean, days
    /// since 1970-01-01 for a date, and for a category its place among the
    /// [categories](Self::categories). A missing value is NaN. Empty if the column does not exist.
    pub fn column(&self, index: usize) -> Vec<f64> {
        match &self.parts.inputs {
            Inputs::Columns(columns) => {
                columns.get(index).map(|column| column.cells.iter().collect()).unwrap_or_default()
            }
            Inputs::Pixels(pixels) if index < pixels.width() => {
                let pixel = |row| pixels.row(row).get(index).map_or(f64::NAN, |&b| f64::from(b));
                (0..pixels.rows()).map(pixel).collect()
            }
            Inputs::Pixels(_) => Vec::new(),
        }
    }

    /// The type of the column at `index`; `None` if the column does not exist.
    pub fn column_type(&self, index: usize) -> Option<ColumnType> {
        match &self.parts.inputs {
            Inputs::Columns(columns) => columns.get(index).map(|column| column.kind),
            Inputs::Pixels(pixels) => (index < pixels.width()).then_some(ColumnType::Number),
        }
    }

    /// The texts of the column at `index` in order, if it is a category; empty otherwise.
    pub fn categories(&self, index: usize) -> &[String] {
        match &self.parts.inputs {
            Inputs::Columns(columns) => {
                columns.get(index).map(|column| column.categories.as_slice()).unwrap_or_default()
            }
            Inputs::Pixels(_) => &[],
        }
    }

    /// What was detected in the data, and what can mislead.
    pub fn notes(&self) -> &[DataNote] {
        &self.parts.notes
    }

    /// The names of all columns to predict, in the order of the outputs.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let more = self.parts.more_labels.iter().map(|label| label.name.as_str());
        std::iter::once(self.label()).chain(more)
    }

    /// The name of the column to predict; of several, the first.
    pub fn label(&self) -> &str {
        &self.parts.label
    }

    /// The kind of prediction that the targets are for.
    pub const fn task(&self) -> Task {
        match self.parts.targets {
            Targets::Classes(_) => Task::Classification,
            Targets::Values(_) => Task::Regression,
        }
    }

    /// The BLAKE3 hash, in hexadecimal, of the types and values of all columns, the targets and the
    /// names of the classes. It does not depend on how the values were written or stored, nor on
    /// the names of the columns.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Outputs of the network: the number of classes, or for regression of labels.
    pub(crate) fn outputs(&self) -> u32 {
        match &self.parts.targets {
            Targets::Classes(_) => to_u32(self.parts.classes.len()).max(1),
            Targets::Values(numbers) => to_u32(numbers.outputs()),
        }
    }
}

/// Checks that a label has no other role: it could not have both.
fn check_roles(table: &Table, spec: &DataSpec) -> Result<(), DataError> {
    let group = spec.split.group.iter().map(|name| (GROUP, name));
    let time = spec.split.time.iter().map(|name| (TIME, name));
    let weight = spec.weights.column.iter().map(|name| (WEIGHT, name));
    let typed = spec.table.types.keys().map(|name| (TYPES, name));
    let is_label = |name: &String| {
        *name == table.label || table.more_labels.iter().any(|label| label.name == *name)
    };
    match group.chain(time).chain(weight).chain(typed).find(|(_, n)| is_label(n)) {
        None => Ok(()),
        Some((field, name)) => {
            let remedy = if field == TYPES {
                "remove it; data.task says how the label is read"
            } else {
                "expected another column, or another data.label"
            };
            Err(DataError::LabelToo { field, name: shown(name), remedy })
        }
    }
}

/// The label of every row if all rows have the same one. Of several labels, the first such one with
/// its name.
fn only_label(parts: &Parts) -> Option<String> {
    match (&parts.targets, parts.classes.as_slice()) {
        (Targets::Classes(_), [only]) => Some(only.clone()),
        (Targets::Classes(_), _) => None,
        (Targets::Values(numbers), _) => (0..numbers.outputs()).find_map(|output| {
            let first = numbers.output(output).next()?;
            let is_same = numbers.output(output).all(|value| value == first);
            let name = match (parts.more_labels.as_slice(), output.checked_sub(1)) {
                ([], _) => String::new(),
                (_, None) => format!("{} = ", parts.label),
                (more, Some(place)) => format!("{} = ", more.get(place)?.name),
            };
            is_same.then(|| format!("{name}{first}"))
        }),
    }
}

/// Hashes little-endian numbers. Each length comes before the items that it counts, so that two
/// different data sets never give the same bytes.
fn digest(parts: &Parts) -> String {
    let mut hasher = blake3::Hasher::new();
    let sizes = [parts.targets.len(), parts.inputs.columns()];
    hash_words(&mut hasher, sizes.map(|size| to_u64(size).to_le_bytes()).into_iter());
    match &parts.inputs {
        Inputs::Columns(columns) => {
            for column in columns {
                hasher.update(column.kind.name().as_bytes());
                hash_texts(&mut hasher, &column.categories);
                let values = column.cells.iter().map(|value| one_nan(value).to_le_bytes());
                hash_words(&mut hasher, values);
            }
        }
        Inputs::Pixels(pixels) => {
            hasher.update(b"pixels");
            hasher.update(pixels.bytes());
        }
    }
    match &parts.targets {
        Targets::Classes(numbers) => {
            hasher.update(b"c");
            hash_words(&mut hasher, numbers.iter().map(|number| number.to_le_bytes()));
        }
        Targets::Values(numbers) => {
            hasher.update(b"v");
            if numbers.outputs() > 1 {
                hasher.update(&to_u64(numbers.outputs()).to_le_bytes());
            }
            hash_words(&mut hasher, numbers.all().iter().map(|value| value.to_le_bytes()));
        }
    }
    hash_texts(&mut hasher, &parts.classes);
    for cells in parts.roles.cells() {
        hasher.update(b"role");
        hash_words(&mut hasher, cells.iter().map(|value| one_nan(value).to_le_bytes()));
    }
    hasher.finalize().to_hex().to_string()
}

/// The number, with one bit pattern for every NaN.
const fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn hash_texts(hasher: &mut blake3::Hasher, texts: &[String]) {
    hasher.update(&to_u64(texts.len()).to_le_bytes());
    for text in texts {
        hasher.update(&to_u64(text.len()).to_le_bytes());
        hasher.update(text.as_bytes());
    }
}

/// Hashes words in pieces of 64 KiB, because BLAKE3 is much slower with single words.
fn hash_words<const N: usize>(hasher: &mut blake3::Hasher, words: impl Iterator<Item = [u8; N]>) {
    const PIECE: usize = 1 << 16;
    let mut piece = Vec::with_capacity(PIECE);
    for word in words {
        piece.extend_from_slice(&word);
        if piece.len() >= PIECE {
            hasher.update(&piece);
            piece.clear();
        }
    }
    hasher.update(&piece);
}
