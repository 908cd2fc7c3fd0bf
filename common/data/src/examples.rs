//! The input of the trainer: examples that are split and standardised.

use std::ops::Range;

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
    /// The values of each row.
    Values(Numbers<V>),
}

/// The numbers to predict, one or several for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers<V = f32> {
    /// `[rows, outputs]`, row by row.
    all: Vec<V>,
    /// At least 1.
    outputs: usize,
}

impl<V> Numbers<V> {
    /// The numbers `all`, which are `[rows, outputs]`, row by row. `None` if they are not whole
    /// rows, or a row has none.
    pub fn from_rows(outputs: usize, all: Vec<V>) -> Option<Self> {
        let are_rows = outputs > 0 && all.len().is_multiple_of(outputs);
        are_rows.then_some(Self { all, outputs })
    }

    /// How many numbers a row has, at least 1.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// The number of rows.
    pub const fn rows(&self) -> usize {
        self.all.len() / self.outputs
    }

    /// All numbers, `[rows, outputs]`, row by row.
    pub fn all(&self) -> &[V] {
        &self.all
    }

    /// The numbers of one row, `[outputs]`; empty if it does not exist.
    pub fn row(&self, row: usize) -> &[V] {
        self.rows_of(row..row.saturating_add(1))
    }

    /// The numbers of consecutive rows; empty if one does not exist.
    pub(crate) fn rows_of(&self, rows: Range<usize>) -> &[V] {
        let at = |row: usize| row.saturating_mul(self.outputs);
        self.all.get(at(rows.start)..at(rows.end)).unwrap_or_default()
    }

    /// The numbers of one output, row by row, from 0; empty if it does not exist.
    pub fn output(&self, output: usize) -> impl Iterator<Item = &V> {
        let rows = if output < self.outputs { usize::MAX } else { 0 };
        self.all.iter().skip(output).step_by(self.outputs).take(rows)
    }
}

impl<V> From<Vec<V>> for Numbers<V> {
    /// One number for each row.
    fn from(all: Vec<V>) -> Self {
        Self { all, outputs: 1 }
    }
}

/// The numbers of some rows, in the order of the rows.
pub(crate) fn pick_rows<V: Copy>(numbers: &Numbers<V>, rows: &[usize]) -> Vec<V> {
    let mut picked = Vec::with_capacity(rows.len().saturating_mul(numbers.outputs));
    rows.iter().for_each(|&row| picked.extend_from_slice(numbers.row(row)));
    picked
}

impl<V> Targets<V> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.rows(),
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
