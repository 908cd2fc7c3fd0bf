//! Where a weight matrix or a vector lies in a flat buffer of parameters, gradients or moments.
#![allow(
    clippy::indexing_slicing,
    reason = "ranges are laid out by Layout over buffers of its length"
)]

use std::ops::Range;

use crate::kernels::{offset, padded};

/// A matrix [rows, columns] in panels, inside a flat buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    start: usize,
    /// Rows that are stored: a weight matrix has its rows padded.
    stored_rows: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Hands out the places of a flat buffer.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    len: usize,
}

impl Layout {
    /// A place for a weight matrix [inputs, outputs].
    pub(crate) fn matrix(&mut self, inputs: usize, outputs: usize) -> Tensor {
        self.place(padded(inputs), inputs, outputs)
    }

    /// A place for one value a unit.
    pub(crate) fn vector(&mut self, units: usize) -> Tensor {
        self.place(1, 1, units)
    }

    fn place(&mut self, stored_rows: usize, rows: usize, columns: usize) -> Tensor {
        let tensor = Tensor { start: self.len, stored_rows, rows, columns };
        self.len = tensor.range().end;
        tensor
    }

    /// Floats handed out so far, padding included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Tensor {
    /// Its part of the flat buffer, padding included.
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.stored_rows * padded(self.columns)
    }

    /// Where its elements lie in the flat buffer, in row-major order and without padding.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.rows).flat_map(move |row| {
            (0..self.columns).map(move |column| self.start + offset(self.stored_rows, row, column))
        })
    }

    /// Its part of `flat`.
    pub(crate) fn of(self, flat: &[f32]) -> &[f32] {
        &flat[self.range()]
    }

    /// Its part of `flat`, to write.
    pub(crate) fn of_mut(self, flat: &mut [f32]) -> &mut [f32] {
        &mut flat[self.range()]
    }
}
