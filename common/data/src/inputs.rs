//! The inputs of a data set, before they are encoded.

use crate::pixels::Pixels;
use crate::table::Column;

/// What a network is trained on, before it is encoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Inputs {
    Columns(Vec<Column>),
    Pixels(Pixels),
}

impl Inputs {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Columns(columns) => columns.first().map_or(0, |column| column.cells.len()),
            Self::Pixels(pixels) => pixels.rows(),
        }
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Columns(columns) => columns.len(),
            Self::Pixels(pixels) => pixels.width(),
        }
    }
}
