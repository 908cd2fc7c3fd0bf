//! The input of the trainer: examples that are split and standardised.

use crate::features::Features;

/// The examples of one split.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// The standardised inputs, `[rows, features]`.
    pub features: Features,
    /// One target per row.
    pub targets: Targets,
    /// How much each row counts; `None` if every row counts once.
    pub weights: Option<Vec<RowWeight>>,
}

/// How much one row counts, both at least 0 and finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowWeight {
    /// Its weight in the loss. In the training split that of its class is a factor of it.
    pub loss: f32,
    /// Its weight in the accuracy and the measures.
    pub measures: f32,
}

/// The values to predict: as read with `V` = f64, and standardised with `V` = f32.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets<V = f32> {
    /// The class of each row, from 0.
    Classes(Vec<u32>),
    /// The value of each row.
    Values(Vec<V>),
}

impl<V> Targets<V> {
    /// The number of targets.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are no targets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The items of some rows, in the order of the rows.
pub(crate) fn pick<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
    let mut picked = Vec::with_capacity(rows.len());
    picked.extend(rows.iter().filter_map(|&row| all.get(row).copied()));
    picked
}
