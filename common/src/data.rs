//! Which data a sweep trains on, and the facts about it that the search needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::limits::MAX_INPUT_BYTES_IN_MEMORY;
use crate::measure::Measure;
use crate::metric::Score;
use crate::numbers::to_u64;
use crate::text::quoted;
use crate::train::CATEGORY_COLUMNS;

/// The kind of prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes: softmax and cross-entropy.
    #[default]
    Classification,
    /// A number: a linear output and the squared error of the target, which is standardised by the
    /// training split.
    Regression,
}

impl Task {
    /// Both tasks, in the order in which errors list them.
    pub const ALL: [Self; 2] = [Self::Classification, Self::Regression];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
        }
    }

    /// The measures of predictions of this kind, in the order in which they are shown.
    pub fn measures(self) -> impl Iterator<Item = Measure> {
        let has_classes = self == Self::Classification;
        Measure::ALL.into_iter().filter(move |measure| measure.needs_classes() == has_classes)
    }
}

/// Where the data is, how it is read, and how it is split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// `builtin:digits`; the path of a table or of an IDX image file; or [`EXTERNAL`].
    pub source: String,
    /// The name of the label column of a table; of several, the first.
    pub label: Option<String>,
    /// The other columns to predict, if there are several. All are numbers then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_labels: Vec<String>,
    /// The path of the label file of an IDX image file.
    pub labels: Option<String>,
    /// The kind of prediction. `None` asks for the task that the label suggests, until
    /// [`SweepSpec::resolve`](crate::spec::SweepSpec::resolve) sets it.
    pub task: Option<Task>,
    /// Share of the rows in the validation split, above 0 and below 1.
    pub validation: f64,
    /// Share of the rows in the test split, at least 0 and below 1; 0 for no test split.
    pub test: f64,
    /// How the rows and columns of a table are read.
    #[serde(default, skip_serializing_if = "TableSpec::is_default")]
    pub table: TableSpec,
    /// Which rows of a table stay together or are given to a split.
    #[serde(default, skip_serializing_if = "SplitSpec::is_default")]
    pub split: SplitSpec,
    /// How much each row counts.
    #[serde(default, skip_serializing_if = "WeightSpec::is_default")]
    pub weights: WeightSpec,
}

/// How much each row counts. Without weights, every row counts once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightSpec {
    /// The weights of the classes, which count in the training loss only.
    pub classes: Option<ClassWeights>,
    /// A column with the weight of each row, which counts in every loss and measure. It is not an
    /// input.
    pub column: Option<String>,
}

impl WeightSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How much the rows of each class count in the training loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All classes together count the same: n / (K n_k) for class k of K, with n_k of the n rows of
    /// the training split.
    Balanced,
    /// By the names of the classes, from 0 to [`MAX_ROW_WEIGHT`](crate::limits::MAX_ROW_WEIGHT).
    /// Those that are not named have the weight 1.
    Given(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// The name of [`ClassWeights::Balanced`] in files and on the wire.
    pub const BALANCED: &str = "balanced";
}

/// How the rows and columns of a table are read. What is absent is detected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableSpec {
    /// The character between two cells of a text file.
    pub delimiter: Option<char>,
    /// Whether the first row of a text file names the columns. Without a header they are called
    /// `column1`, `column2` and so on.
    pub header: Option<bool>,
    /// The only columns that are inputs, by name; empty for all columns.
    pub columns: Vec<String>,
    /// Columns that are not inputs, by name.
    pub ignore: Vec<String>,
    /// The types of columns, by name, where they differ from the detected ones.
    pub types: BTreeMap<String, ColumnType>,
    /// Texts that stand for a missing value, in addition to the usual ones.
    pub missing: Vec<String>,
}

impl TableSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the rows of a table are split, where they are not drawn one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitSpec {
    /// A column. All rows with the same value of it are in the same split.
    pub group: Option<String>,
    /// A column of dates or numbers. The latest rows are the test split, and those before them the
    /// validation split.
    pub time: Option<String>,
    /// The path of a table with the columns of `source`, whose rows are the validation split.
    pub validation_source: Option<String>,
    /// The same for the test split.
    pub test_source: Option<String>,
    /// The number of folds of a cross-validation. Every row that is not in the test split is in one
    /// fold, and a trial is trained once for each fold, which validates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<u32>,
}

impl SplitSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The type of a column, which decides how it becomes inputs of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A number, standardised by the training split.
    Number,
    /// One of two words, such as yes and no.
    Boolean,
    /// One of several texts, compared as they are written.
    Category,
    /// A date, with or without a time of day.
    Date,
}

impl ColumnType {
    /// All types, in the order in which errors list them.
    pub const ALL: [Self; 4] = [Self::Number, Self::Boolean, Self::Category, Self::Date];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Category => "category",
            Self::Date => "date",
        }
    }
}

/// The source of a sweep whose trials external clients run. No data is read.
pub const EXTERNAL: &str = "external";

impl DataSpec {
    /// The label as a sweep file has it: a text in quotes, or a list of several; `None` without a
    /// label.
    pub fn written_label(&self) -> Option<String> {
        let names: Vec<String> = self.label_names().map(quoted).collect();
        match names.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            several => Some(format!("[{}]", several.join(", "))),
        }
    }

    /// The names of the columns to predict, in the order of the outputs; none if no label is given.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.label.iter().chain(&self.more_labels).map(String::as_str)
    }

    /// The data of an external sweep.
    pub fn external() -> Self {
        Self { source: EXTERNAL.to_owned(), ..Self::default() }
    }

    /// Whether external clients run the trials.
    pub fn is_external(&self) -> bool {
        self.source == EXTERNAL
    }
}

/// What the coordinator stores of the data: the shape of the network's ends, the number of
/// examples in an epoch, and a digest that tells whether a worker has the same data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Rows in the training split; of a cross-validation the rows of all folds.
    pub train: u64,
    /// Rows in the validation split; of a cross-validation the rows of all folds.
    pub validation: u64,
    /// Rows in the test split.
    pub test: u64,
    /// Inputs of the network.
    pub features: u32,
    /// The inputs that are numbers or the days of dates, which can be scaled and embedded; 0 in the
    /// records of early releases, whose trials had neither.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub numbers: u32,
    /// Whether the inputs are the pixels of images.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pixels: bool,
    /// The inputs that are numbers of the values of a category, which are embedded; 0 in the
    /// records of early releases.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub categories: u32,
    /// The values of these categories that have a vector, all together.
    #[serde(default, skip_serializing_if = "is_none")]
    pub category_values: u64,
    /// Outputs of the network: the number of classes, or 1 for regression.
    pub outputs: u32,
    /// The folds of a cross-validation, at least 2; 1 without.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub folds: u32,
    /// BLAKE3 of the columns and labels as read, in hexadecimal.
    pub digest: String,
    /// The data as a block; `None` for data that the coordinator and the workers read at its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Blob>,
    /// The kind of prediction; `None` for external data, and in the records of early releases,
    /// whose specs always name the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The standard deviation of the label in the training split, if there is one label of
    /// numbers. The networks learn the label divided by it, so the root of a loss times it is an
    /// error in the unit of the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_deviation: Option<f64>,
    /// What a model without inputs reaches; `None` for external data and in early records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// What was noticed about the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<DataNote>,
}

impl Default for DataSummary {
    fn default() -> Self {
        Self {
            train: 0,
            validation: 0,
            test: 0,
            features: 0,
            numbers: 0,
            pixels: false,
            categories: 0,
            category_values: 0,
            outputs: 0,
            folds: 1,
            digest: String::new(),
            block: None,
            task: None,
            label_deviation: None,
            baseline: None,
            notes: Vec::new(),
        }
    }
}

impl DataSummary {
    /// Whether the inputs of all rows are in temporary files, because as 32-bit floats they take
    /// more than [`MAX_INPUT_BYTES_IN_MEMORY`].
    pub fn is_in_files(&self) -> bool {
        // With folds, the rows to validate on are those of the training split.
        let validation = if self.folds > 1 { 0 } else { self.validation };
        let rows = self.train.saturating_add(validation).saturating_add(self.test);
        let bytes = rows.saturating_mul(4).saturating_mul(self.features.into());
        bytes > to_u64(MAX_INPUT_BYTES_IN_MEMORY)
    }

    /// The inputs of the first layer if numbers are not embedded: a category that is embedded has
    /// [`CATEGORY_COLUMNS`].
    pub fn first_inputs(&self) -> u64 {
        let added = u64::from(self.categories).saturating_mul(u64::from(CATEGORY_COLUMNS - 1));
        u64::from(self.features).saturating_add(added)
    }

    /// The weights of the embedded categories.
    pub fn category_weights(&self) -> u64 {
        self.category_values.saturating_mul(u64::from(CATEGORY_COLUMNS))
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(folds: &u32) -> bool {
    *folds == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The scores of the best model without inputs: for classification it predicts the shares of the
/// classes in the training split, and for regression the mean of the training split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Over the validation split.
    pub validation: Score,
    /// Over the test split; `None` without a test split.
    pub test: Option<Score>,
}

/// Something about the data that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataNote {
    /// Whether it can mislead, or only says what was detected.
    pub level: NoteLevel,
    /// The kind of the note, for programs: a name in `snake_case` such as `numbers_rows`.
    pub code: String,
    /// The columns that the note is about, the first few if they are many; empty if it is about the
    /// file or the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// A sentence for the user, which names the columns and what to do.
    pub text: String,
}

/// The code of the note that all rows of the validation split have the same class.
pub const ONE_CLASS: &str = "one_class";
/// The code of the note that all rows of the validation split have the same number to predict.
pub const ONE_VALUE: &str = "one_value";

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteLevel {
    /// Says what was detected or decided.
    Info,
    /// Says what can mislead the search or its reader.
    Warning,
}

impl NoteLevel {
    /// The name on the wire and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}
