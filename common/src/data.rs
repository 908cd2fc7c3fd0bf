//! Which data a sweep trains on, and the facts about it that the search needs.

use serde::{Deserialize, Serialize};

use crate::blob::Blob;

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
    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
        }
    }
}

/// Where the data is, and how it is split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// `builtin:digits`; the path of a `.csv` file with a header or of an IDX image file, either
    /// also gzipped; or [`EXTERNAL`].
    pub source: String,
    /// The name of the label column of a CSV file.
    pub label: Option<String>,
    /// The path of the label file of an IDX image file.
    pub labels: Option<String>,
    /// The kind of prediction.
    pub task: Task,
    /// Share of the rows in the validation split, above 0 and below 1.
    pub validation: f64,
    /// Share of the rows in the test split, at least 0 and below 1; 0 for no test split.
    pub test: f64,
}

/// The source of a sweep whose trials external clients run. No data is read.
pub const EXTERNAL: &str = "external";

impl DataSpec {
    /// The data of an external sweep.
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

    /// Whether external clients run the trials.
    pub fn is_external(&self) -> bool {
        self.source == EXTERNAL
    }
}

/// What the coordinator stores of the data: the shape of the network's ends, the number of
/// examples in an epoch, and a digest that tells whether a worker has the same data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Rows in the training split.
    pub train: u64,
    /// Rows in the validation split.
    pub validation: u64,
    /// Rows in the test split.
    pub test: u64,
    /// Inputs of the network.
    pub features: u32,
    /// Outputs of the network: the number of classes, or 1 for regression.
    pub outputs: u32,
    /// BLAKE3 of the features and labels as read, in hexadecimal.
    pub digest: String,
    /// The data as a block; `None` for data that the coordinator and the workers read at its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Blob>,
}
