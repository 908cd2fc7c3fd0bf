//! What the trainer reads: examples, already split and standardised.

use ndarray::Array2;

/// The examples of one split.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// Standardised inputs, [rows, features], row-major.
    pub features: Array2<f32>,
    /// One target a row.
    pub targets: Targets,
}

/// What is to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The class of every row, from 0.
    Classes(Vec<u32>),
    /// The value of every row.
    Values(Vec<f32>),
}

/// The splits of one data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// What is trained on.
    pub train: Examples,
    /// What the search decides by.
    pub validation: Examples,
    /// What only the winner is measured on.
    pub test: Option<Examples>,
    /// Outputs of the network: the classes, or 1 for regression.
    pub outputs: u32,
}

impl Targets {
    /// Number of targets.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
