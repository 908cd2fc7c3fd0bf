//! The embedding of categories: each value has a vector, which is learnt.
//!
//! An encoded input is the number of a value, from 1, and the vector of number v is row v - 1 of
//! the category's table. The number 0 is an unknown value, whose vector is 0. The gradient by
//! a vector is the sum of the gradients of the rows with that value. They are added in the order of
//! the rows, one column at a time, so the sum has the same bits on every family of kernels.
#![allow(
    clippy::indexing_slicing,
    reason = "buffers are made for the largest mini-batch, and places come from the layout"
)]

use caviar_common::numbers::{floor_to_usize, single};
use caviar_common::seed::Stream;
use caviar_model::{CATEGORY_COLUMNS, CategoryEmbedding};

use crate::kernels::{offset, padded};
use crate::tensor::{Layout, Tensor};

/// The tables of all categories.
pub(crate) struct Categories {
    /// The tables one after the other, row by row.
    tensor: Tensor,
    tables: Vec<Table>,
}

/// The table of one category.
struct Table {
    /// The encoded input, in whose place is the first column.
    place: usize,
    /// Where the other columns begin among the inputs of the first layer.
    others: usize,
    /// The first row among those of all tables.
    first: usize,
    values: usize,
}

impl Categories {
    /// The tables for these categories, with a place from `layout`; `None` without categories.
    /// Their other columns begin at `others` among the inputs of the first layer.
    pub(crate) fn new(
        layout: &mut Layout,
        fitted: &[CategoryEmbedding],
        others: usize,
    ) -> Option<Self> {
        if fitted.is_empty() {
            return None;
        }
        let mut first = 0;
        let mut tables = Vec::with_capacity(fitted.len());
        for (category, number) in fitted.iter().zip(0..) {
            let others = others + number * (CATEGORY_COLUMNS - 1);
            let CategoryEmbedding { place, values, .. } = *category;
            tables.push(Table { place, others, first, values });
            first += values;
        }
        Some(Self { tensor: layout.vector(first * CATEGORY_COLUMNS), tables })
    }

    /// The floats of all tables among the parameters, with padding; saturates.
    pub(crate) fn parameters(fitted: &[CategoryEmbedding]) -> usize {
        let values = fitted.iter().map(|category| category.values);
        let rows = values.fold(0, usize::saturating_add);
        padded(rows.saturating_mul(CATEGORY_COLUMNS))
    }

    /// The place of all tables in the parameters.
    pub(crate) const fn tensor(&self) -> Tensor {
        self.tensor
    }

    /// Draws the vectors from the standard normal distribution, as PyTorch's `Embedding` does.
    pub(crate) fn initialise(&self, stream: &mut Stream, parameters: &mut [f32]) {
        for position in self.tensor.positions() {
            parameters[position] = single(stream.normal());
        }
    }

    /// Sets the vectors of values to 0 that no example has. Steps would not change them, and what
    /// was drawn says nothing. `examples` returns an input of each.
    pub(crate) fn forget_absent<I: Iterator<Item = f32>>(
        &self,
        examples: impl Fn(usize) -> I,
        parameters: &mut [f32],
    ) {
        let all = self.tensor.of_mut(parameters);
        for table in &self.tables {
            let mut is_absent = vec![true; table.values];
            for number in examples(table.place) {
                if let Some(row) = table.row(number) {
                    is_absent[row] = false;
                }
            }
            for (row, _) in is_absent.into_iter().enumerate().filter(|(_, is_absent)| *is_absent) {
                let first = (table.first + row) * CATEGORY_COLUMNS;
                all[first..first + CATEGORY_COLUMNS].fill(0.0);
            }
        }
    }

    /// Sets the vectors to those of the same categories.
    pub(crate) fn load(&self, from: &[CategoryEmbedding], parameters: &mut [f32]) {
        let weights = from.iter().flat_map(|category| &category.weights);
        for (position, weight) in self.tensor.positions().zip(weights) {
            parameters[position] = *weight;
        }
    }

    /// Fills `to`, the same categories, with the vectors.
    pub(crate) fn export(&self, parameters: &[f32], to: &mut [CategoryEmbedding]) {
        let all = self.tensor.of(parameters);
        for (table, to) in self.tables.iter().zip(to) {
            let weights = &all[table.first * CATEGORY_COLUMNS..];
            to.weights = weights[..table.values * CATEGORY_COLUMNS].to_vec();
        }
    }

    /// Writes the vectors of the values in `input` [rows, inputs] to `mixed` [rows, width]. Both
    /// are in panels.
    pub(crate) fn forward(
        &self,
        rows: usize,
        parameters: &[f32],
        input: &[f32],
        mixed: &mut [f32],
    ) {
        let all = self.tensor.of(parameters);
        for table in &self.tables {
            for row in 0..rows {
                let vector = match table.vector(input[offset(rows, row, table.place)]) {
                    Some(first) => &all[first..first + CATEGORY_COLUMNS],
                    None => &[0.0; CATEGORY_COLUMNS],
                };
                for (column, &weight) in vector.iter().enumerate() {
                    mixed[offset(rows, row, table.column(column))] = weight;
                }
            }
        }
    }

    /// Writes the gradients by the vectors, where `gradient` is that by what [`Self::forward`]
    /// wrote.
    pub(crate) fn backward(
        &self,
        rows: usize,
        input: &[f32],
        gradient: &[f32],
        gradients: &mut [f32],
    ) {
        let all = self.tensor.of_mut(gradients);
        all.fill(0.0);
        for table in &self.tables {
            for row in 0..rows {
                let value = input[offset(rows, row, table.place)];
                let Some(first) = table.vector(value) else { continue };
                let vector = &mut all[first..first + CATEGORY_COLUMNS];
                for (column, sum) in vector.iter_mut().enumerate() {
                    *sum += gradient[offset(rows, row, table.column(column))];
                }
            }
        }
    }
}

/// What the identity of a training says of these categories; nothing without any.
pub(crate) fn tables_identity(fitted: &[CategoryEmbedding]) -> String {
    let table = |it: &CategoryEmbedding| format!(" table {} {}", it.place, it.values);
    fitted.iter().map(table).collect()
}

impl Table {
    /// Where the vector of the value with this number begins among all vectors; `None` for
    /// a number that is not one of the category's.
    fn vector(&self, number: f32) -> Option<usize> {
        self.row(number).map(|row| (self.first + row) * CATEGORY_COLUMNS)
    }

    /// The row of this table for the value with this number.
    fn row(&self, number: f32) -> Option<usize> {
        let row = floor_to_usize(f64::from(number)).checked_sub(1)?;
        (row < self.values).then_some(row)
    }

    /// Where a column is among the inputs of the first layer.
    const fn column(&self, column: usize) -> usize {
        if column == 0 { self.place } else { self.others + column - 1 }
    }
}
