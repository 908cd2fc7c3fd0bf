//! A sweep as its author wrote it, before any check. Everything absent is `None`, names are still
//! text, and numbers can have any value.

use crate::assignment::Value;

/// A sweep as written. The fields have the names of the sweep file's keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Required; unique in its store.
    pub name: Option<String>,
    /// Any number; the default is 0.
    pub seed: Option<u64>,
    /// `[data]`, empty if the section is absent.
    pub data: DraftData,
    /// `[fixed]`, in the order of the file.
    pub fixed: Vec<(String, Value)>,
    /// `tabular` or `basic`; the default follows from the data.
    pub preset: Option<String>,
    /// `[space]`; `None` leaves it to the preset.
    pub space: Option<Vec<DraftParameter>>,
    /// `[search]`, empty if the section is absent.
    pub search: DraftSearch,
    /// `[objective]`, empty if the section is absent.
    pub objective: DraftObjective,
    /// `[stopping]`, empty if the section is absent.
    pub stopping: DraftStopping,
    /// `[keep]`, empty if the section is absent.
    pub keep: DraftKeep,
}

/// The section `[data]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftData {
    /// Required: `builtin:digits`, a path, or `external`.
    pub source: Option<String>,
    /// The label column of a table; of several, the first.
    pub label: Option<String>,
    /// The other columns to predict.
    pub more_labels: Vec<String>,
    /// The path of an IDX label file.
    pub labels: Option<String>,
    /// `classification` or `regression`; the default follows from the label.
    pub task: Option<String>,
    /// Share of the validation split, default 0.2.
    pub validation: Option<f64>,
    /// Share of the test split, default 0.1.
    pub test: Option<f64>,
    /// The character between two cells, or its name.
    pub delimiter: Option<String>,
    /// Whether the first row names the columns.
    pub header: Option<bool>,
    /// The only columns that are inputs.
    pub columns: Option<Vec<String>>,
    /// Columns that are not inputs.
    pub ignore: Option<Vec<String>>,
    /// Columns and the names of their types.
    pub types: Option<Vec<(String, String)>>,
    /// Texts that stand for a missing value.
    pub missing: Option<Vec<String>>,
    /// The column whose values keep rows together.
    pub group: Option<String>,
    /// The column that orders the rows in time.
    pub time: Option<String>,
    /// The path of the table with the validation split.
    pub validation_source: Option<String>,
    /// The path of the table with the test split.
    pub test_source: Option<String>,
    /// The number of folds of a cross-validation.
    pub folds: Option<u64>,
    /// The weights of the classes.
    pub class_weights: Option<DraftClassWeights>,
    /// The column with the weight of each row.
    pub weight: Option<String>,
}

/// The key `class_weights` as written.
#[derive(Clone, Debug, PartialEq)]
pub enum DraftClassWeights {
    /// The name of a rule, which is `balanced`.
    Rule(String),
    /// Classes and their weights.
    Given(Vec<(String, f64)>),
}

/// One entry of `[space]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftParameter {
    /// The key of the entry.
    pub name: String,
    /// The key `type`: `int` or `float`.
    pub kind: Option<String>,
    /// `linear`, `log` or `one_minus_log`.
    pub scale: Option<String>,
    /// Lower end of a range.
    pub low: Option<Value>,
    /// Upper end of a range.
    pub high: Option<Value>,
    /// The alternatives, instead of a range.
    pub choices: Option<Vec<Value>>,
    /// Other parameters, and the values for which this one is active. A legal condition names one.
    pub when: Option<Vec<(String, Vec<Value>)>>,
    /// How many points a grid takes of a range.
    pub points: Option<u64>,
}

impl DraftParameter {
    /// The path of `key` in this entry, such as `space.units.low`; of the entry for an empty key.
    pub(super) fn path(&self, key: &str) -> String {
        let dot = if key.is_empty() { "" } else { "." };
        format!("space.{}{dot}{key}", self.name)
    }
}

/// The section `[search]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftSearch {
    /// The name of a strategy, default `zoom`.
    pub strategy: Option<String>,
    /// Required: the number of trials.
    pub trials: Option<u64>,
    /// The trials of each round.
    pub rounds: Option<Vec<u64>>,
    /// Trials in flight; the default is [`Parallelism::Auto`](super::Parallelism::Auto).
    pub parallelism: Option<u64>,
    /// `virtual` (the default) or `as_completed`.
    pub order: Option<String>,
    /// The name of an earlier sweep.
    pub warm_start: Option<String>,
    /// The number of a trial of another sweep, which the only trial repeats.
    pub replays: Option<u64>,
}

/// The section `[objective]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftObjective {
    /// The name of a metric; the default follows from the task and the preset.
    pub metric: Option<String>,
    /// `minimize` or `maximize`; the default follows from the metric.
    pub goal: Option<String>,
    /// `best` or `last`; the default is `best` for networks, and `last` for external programs.
    pub epoch: Option<String>,
    /// How often each assignment is trained, default 1.
    pub repeats: Option<u64>,
}

impl DraftObjective {
    /// Whether the task and the preset choose what is optimised.
    pub(super) const fn names_nothing(&self) -> bool {
        self.metric.is_none() && self.goal.is_none()
    }
}

/// The section `[stopping]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftStopping {
    /// `halving`, `median` or `none`; the default follows from the strategy.
    pub rule: Option<String>,
}

/// The section `[keep]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftKeep {
    /// How many models are kept; the default is that of
    /// [`KeepSpec::DEFAULT`](super::KeepSpec::DEFAULT).
    pub models: Option<u64>,
}
