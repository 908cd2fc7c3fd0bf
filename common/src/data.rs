//! Which data a sweep trains on, and what is known of it before anything runs.

use serde::{Deserialize, Serialize};

/// What is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes: softmax and cross-entropy.
    #[default]
    Classification,
    /// A number: a linear output and squared error, of the target standardised by the training
    /// split.
    Regression,
}

/// Where the data lies and how it is split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// `builtin:digits`, or the path of a `.csv` file with a header, or of an IDX image file (`.gz`
    /// too); or [`EXTERNAL`].
    pub source: String,
    /// CSV: the label column, by name.
    pub label: Option<String>,
    /// IDX: the path of the label file.
    pub labels: Option<String>,
    /// What is predicted.
    pub task: Task,
    /// Share of the examples in the validation split, in (0, 1).
    pub validation: f64,
    /// Share of the examples in the test split, in [0, 1); 0 for none.
    pub test: f64,
}

/// The source of a sweep whose trials other programs run: they ask for them, and nothing is read.
pub const EXTERNAL: &str = "external";

impl DataSpec {
    /// Of an external sweep.
    pub fn external() -> Self {
        let task = Task::Classification;
        Self {
            source: EXTERNAL.to_owned(),
            label: None,
            labels: None,
            task,
            validation: 0.0,
            test: 0.0,
        }
    }

    /// Whether other programs run the trials.
    pub fn is_external(&self) -> bool {
        self.source == EXTERNAL
    }
}

/// What a sweep must know of its data: the network's ends, the arithmetic of an epoch, and whether
/// it is still the same data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Examples in the training split.
    pub train: u64,
    /// Examples in the validation split.
    pub validation: u64,
    /// Examples in the test split.
    pub test: u64,
    /// Inputs of the network.
    pub features: u32,
    /// Outputs of the network: the classes, or 1 for regression.
    pub outputs: u32,
    /// BLAKE3 of the features and labels as read, in hexadecimal.
    pub digest: String,
}
