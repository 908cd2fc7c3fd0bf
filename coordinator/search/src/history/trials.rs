//! The assignments of some trials, packed into cells.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::numbers::{to_u32, to_u64, to_usize};
use caviar_common::space::{Domain, Space};

use super::{HistoryError, MOST_PARAMETERS, ROWS};

/// Rows of a mask and one cell per parameter, and the values that no cell can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TrialChunk {
    /// In rows: the mask of the parameters that have a value, and the cells of the parameters.
    pub(super) cells: Vec<u64>,
    /// The values that no cell can hold, in the order of their places in `cells`.
    pub(super) odd: Vec<(u32, OddValue)>,
}

/// A value that its domain does not describe. Floats are kept as their bits, so that two chunks
/// with the same values are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OddValue {
    Int(i64),
    Float(u64),
    Text(String),
}

impl TrialChunk {
    /// The number of trials.
    pub(super) fn len(&self, space: &Space) -> usize {
        self.cells.len() / stride(space)
    }

    /// Appends the assignment of a trial. After an error nothing has changed.
    pub(super) fn push(
        &mut self,
        space: &Space,
        assignment: &Assignment,
    ) -> Result<(), HistoryError> {
        if space.dimensions() > MOST_PARAMETERS {
            return Err(HistoryError::TooManyParameters(space.dimensions()));
        }
        let unknown = |(name, _): &(&str, &Value)| space.get(name).is_none();
        let values =
            space.parameters().iter().enumerate().map(|(j, p)| (j, p, assignment.get(&p.name)));
        if values.clone().filter(|(_, _, value)| value.is_some()).count() != assignment.len()
            && let Some((name, _)) = assignment.iter().find(unknown)
        {
            return Err(HistoryError::UnknownParameter(name.to_owned()));
        }
        if self.cells.is_empty() {
            self.cells.reserve_exact(ROWS * stride(space));
        }
        let start = self.cells.len();
        let mask = values.clone().fold(0, |mask, (j, _, v)| mask | u64::from(v.is_some()) << j);
        self.cells.push(mask);
        for (j, parameter, value) in values {
            let cell = value.and_then(|value| pack(&parameter.domain, value));
            if let (None, Some(value)) = (cell, value) {
                self.odd.push((to_u32(start + 1 + j), OddValue::new(value)));
            }
            self.cells.push(cell.unwrap_or(0));
        }
        Ok(())
    }

    /// Frees what the chunk, which is full, does not need. A clone of a tail grows by doubling.
    pub(super) fn shrink(&mut self) {
        self.cells.shrink_to_fit();
        self.odd.shrink_to_fit();
    }

    /// The assignment in a row; `None` if there is no such row.
    pub(super) fn row<'a>(&'a self, space: &'a Space, row: usize) -> Option<Row<'a>> {
        let start = row * stride(space);
        let (mask, cells) = self.cells.get(start..start + stride(space))?.split_first()?;
        Some(Row { space, mask: *mask, cells, first: start + 1, odd: &self.odd })
    }
}

/// The packed assignment of a trial.
pub(crate) struct Row<'a> {
    space: &'a Space,
    mask: u64,
    cells: &'a [u64],
    /// The place of the first cell in the chunk.
    first: usize,
    /// The odd values of the chunk.
    odd: &'a [(u32, OddValue)],
}

impl Row<'_> {
    /// True if parameter `j` has a value.
    pub(crate) const fn has(&self, j: usize) -> bool {
        self.mask >> j & 1 == 1
    }

    /// The cells of all parameters; `None` if the chunk has values that are in no cell.
    pub(crate) fn cells(&self) -> Option<&[u64]> {
        self.odd.is_empty().then_some(self.cells)
    }

    /// The value of parameter `j`; `None` if it has no value.
    pub(crate) fn value(&self, j: usize) -> Option<Value> {
        let cell = self.cells.get(j).filter(|_| self.has(j))?;
        let place = to_u32(self.first + j);
        match self.odd.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(found) => self.odd.get(found).map(|(_, value)| value.to_value()),
            Err(_) => unpack(&self.space.parameters().get(j)?.domain, *cell),
        }
    }
}

impl OddValue {
    fn new(value: &Value) -> Self {
        match value {
            Value::Int(v) => Self::Int(*v),
            Value::Float(v) => Self::Float(v.to_bits()),
            Value::Text(v) => Self::Text(v.to_string()),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Int(v) => Value::Int(*v),
            Self::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Self::Text(v) => Value::Text(v.as_str().into()),
        }
    }
}

/// The cells of a row: the mask, and one per parameter.
pub(super) fn stride(space: &Space) -> usize {
    space.dimensions() + 1
}

/// The cell of a value; `None` if the domain has no cell for it.
pub(crate) fn pack(domain: &Domain, value: &Value) -> Option<u64> {
    match (domain, value) {
        (Domain::Float { .. }, Value::Float(v)) => Some(v.to_bits()),
        (Domain::Int { .. }, Value::Int(v)) => Some(v.cast_unsigned()),
        (Domain::Choice { values }, _) => {
            values.iter().position(|v| is_identical(v, value)).map(to_u64)
        }
        (Domain::Float { .. }, Value::Int(_) | Value::Text(_))
        | (Domain::Int { .. }, Value::Float(_) | Value::Text(_)) => None,
    }
}

/// The value in a cell; `None` if a choice has no such value.
pub(crate) fn unpack(domain: &Domain, cell: u64) -> Option<Value> {
    match domain {
        Domain::Float { .. } => Some(Value::Float(f64::from_bits(cell))),
        Domain::Int { .. } => Some(Value::Int(cell.cast_signed())),
        Domain::Choice { values } => values.get(to_usize(cell)).cloned(),
    }
}

/// Stricter than equality, for which 0.0 and -0.0 are the same.
fn is_identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}
