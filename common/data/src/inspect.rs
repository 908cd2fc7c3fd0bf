//! What is in a table, for a person who decides what to train on.

use std::collections::BTreeMap;

use caviar_common::data::{ColumnType, DataNote, DataSpec, NoteLevel, Task};
use caviar_common::numbers::{index, to_u64};
use serde::Serialize;

use crate::content::Content;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::examples::Targets;
use crate::file_error::FileError;
use crate::forms::format_date;
use crate::inputs::Inputs;
use crate::leaks::part_alone;
use crate::load::{column_names, read};
use crate::memory::MemoryBudget;
use crate::table::{Column, Why};

/// Most frequent texts of a category, and most classes, that are listed.
const LISTED: usize = 10;

/// The columns of a table, without their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The names of the columns: those of the first row, or `column1`, `column2` and so on.
    pub names: Vec<String>,
    /// Whether the first row has the names. If the spec does not say so, a first row that looks
    /// like data does not. True for formats that have no first row of names.
    pub is_first_row: bool,
}

/// What is in a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Rows that have a label.
    pub rows: u64,
    /// All columns but the label, in the order of the file.
    pub columns: Vec<ColumnProfile>,
    /// The column to predict; of several, the first.
    pub label: LabelProfile,
    /// The other columns to predict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_labels: Vec<LabelProfile>,
    /// What was detected, and what can mislead.
    pub notes: Vec<DataNote>,
}

/// What is in one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// The name of the column.
    pub name: String,
    /// `number`, `boolean`, `category`, `date`; `text` for one that differs in most rows, and
    /// `ignored` for one that the spec leaves out.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether it is an input of the network.
    pub is_input: bool,
    /// Rows without a value; `None` if it was not read.
    pub missing: Option<u64>,
    /// Different values, without the missing one; `None` if they were not counted.
    pub different: Option<u64>,
    /// The part of the baseline's error that the column saves without the others, from 0 to 1: of
    /// the Brier score of classes, or of the squared error. `None` if it is no input, or there are
    /// too few rows.
    pub alone: Option<f64>,
    /// The least and the greatest value and the median, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[String; 3]>,
    /// The most frequent texts and their rows, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frequent: Vec<(String, u64)>,
}

/// What is in the column to predict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelProfile {
    /// The name of the column.
    pub name: String,
    /// The task that it suggests, or that the spec asks for.
    pub task: Task,
    /// Different labels.
    pub different: u64,
    /// The most frequent classes and their rows, at most ten; empty for regression.
    pub classes: Vec<(String, u64)>,
    /// The least and the greatest value and the median, for regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 3]>,
}

/// Reads a table only to find its columns that can be the label. In an NPZ file
/// these are the arrays.
///
/// # Errors
/// The file is not a table, cannot be read, or has its labels in a second file.
pub fn header(spec: &DataSpec) -> Result<Header, DataError> {
    let (names, is_first_row) = column_names(spec)?;
    Ok(Header { names, is_first_row })
}

/// Reads a table and describes it. The spec names the label.
///
/// # Errors
/// Those of [`load`](crate::load()), and files of images, which have no columns.
pub fn inspect(spec: &DataSpec) -> Result<Inspection, DataError> {
    let (content, label_field) = read(spec, MemoryBudget::DEFAULT)?;
    let Content::Table(table) = content else {
        return Err(FileError::Images { path: spec.source.clone() }.into());
    };
    let names = table.names.clone();
    let mut profiles: BTreeMap<String, ColumnProfile> = BTreeMap::new();
    for skipped in &table.skipped {
        profiles.insert(
            skipped.name.clone(),
            ColumnProfile {
                name: skipped.name.clone(),
                kind: match skipped.why {
                    Why::FreeText(_) => "text",
                    Why::Ignored => "ignored",
                },
                is_input: false,
                missing: None,
                different: match skipped.why {
                    Why::FreeText(different) => different.map(to_u64),
                    Why::Ignored => None,
                },
                alone: None,
                range: None,
                frequent: Vec::new(),
            },
        );
    }
    for column in &table.columns {
        profiles.insert(column.name.clone(), profile(column));
    }
    let dataset = Dataset::from_table(table, spec, label_field)?;
    if let Inputs::Columns(columns) = dataset.inputs() {
        for column in columns {
            if let Some(profile) = profiles.get_mut(&column.name) {
                profile.is_input = true;
                profile.alone = part_alone(column, dataset.targets());
            }
        }
    }
    let mut labels = dataset.labels().enumerate().map(|label| label_profile(&dataset, label));
    let label = labels.next().unwrap_or_else(|| label_profile(&dataset, (0, dataset.label())));
    let more_labels = labels.collect();
    let mut notes = dataset.notes().to_vec();
    notes.extend(dataset.rare_classes());
    notes.sort_by_key(|note| note.level == NoteLevel::Info);
    Ok(Inspection {
        rows: to_u64(dataset.targets().len()),
        columns: names.iter().filter_map(|name| profiles.remove(name)).collect(),
        label,
        more_labels,
        notes,
    })
}

fn profile(column: &Column) -> ColumnProfile {
    let mut values: Vec<f64> = column.cells.iter().filter(|value| !value.is_nan()).collect();
    let missing = column.cells.len() - values.len();
    values.sort_unstable_by(f64::total_cmp);
    let different = values.chunk_by(|a, b| a == b).count();
    let is_category = !column.categories.is_empty();
    let mut frequent: Vec<(String, u64)> = Vec::new();
    if is_category {
        let texts = values.chunk_by(|a, b| a == b).zip(&column.categories);
        frequent = texts.map(|(rows, text)| (text.clone(), to_u64(rows.len()))).collect();
        most_frequent(&mut frequent);
    }
    let show = |value: f64| match column.kind {
        ColumnType::Date => format_date(value).unwrap_or_default(),
        ColumnType::Number | ColumnType::Boolean | ColumnType::Category => value.to_string(),
    };
    let range = match values.as_slice() {
        [low, .., high] if !is_category => Some([show(*low), show(*high), show(median(&values))]),
        _ => None,
    };
    ColumnProfile {
        name: column.name.clone(),
        kind: column.kind.name(),
        is_input: false,
        missing: Some(to_u64(missing)),
        different: Some(to_u64(different)),
        alone: None,
        range,
        frequent,
    }
}

/// The lower of the middle numbers, which is one of the column.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Keeps the most frequent texts, and of equally frequent ones the first by their bytes.
fn most_frequent(texts: &mut Vec<(String, u64)>) {
    texts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    texts.truncate(LISTED);
}

/// What is in the label of that name, which is the output of that number.
fn label_profile(dataset: &Dataset, (output, name): (usize, &str)) -> LabelProfile {
    let name = name.to_owned();
    match dataset.targets() {
        Targets::Classes(rows) => {
            let mut counts = vec![0_u64; dataset.classes().len()];
            for row in rows {
                if let Some(count) = counts.get_mut(index(*row)) {
                    *count += 1;
                }
            }
            let mut classes: Vec<(String, u64)> =
                dataset.classes().iter().cloned().zip(counts).collect();
            let different = to_u64(classes.len());
            most_frequent(&mut classes);
            LabelProfile { name, task: Task::Classification, different, classes, range: None }
        }
        Targets::Values(numbers) => {
            let mut values: Vec<f64> = numbers.output(output).copied().collect();
            values.sort_unstable_by(f64::total_cmp);
            let different = to_u64(values.chunk_by(|a, b| a == b).count());
            let range = match values.as_slice() {
                [low, .., high] => Some([*low, *high, median(&values)]),
                _ => None,
            };
            LabelProfile { name, task: Task::Regression, different, classes: Vec::new(), range }
        }
    }
}
