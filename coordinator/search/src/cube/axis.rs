//! One coordinate of the unit cube, with what its conversions need computed once.
//!
//! The results are the same, bit for bit, as those of [`Domain::encode`] and [`Domain::decode`]. A
//! conversion there takes the logarithms of both ends of the range each time, and a sampler that
//! reads a million trials after a restart makes eight million conversions.

use caviar_common::numbers::{floor_to_i64, floor_to_usize, real, real_from_i64, to_u64, to_usize};
use caviar_common::scale::Scale;
use caviar_common::space::Domain;

use super::INACTIVE;

/// The cells per unit of a float parameter: two floats in the same cell count as the same value.
/// 2^-30 is far smaller than any step of a search and far larger than a rounding error.
const FLOAT_CELLS: f64 = 1_073_741_824.0;

/// A domain as one coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    Float(Range),
    /// The range is from `low - 1/2` to `high + 1/2`.
    Int {
        low: i64,
        high: i64,
        range: Range,
    },
    /// The number of values.
    Choice(usize),
}

/// A range of numbers, and its ends on the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    scale: Scale,
    low: f64,
    high: f64,
    first: f64,
    last: f64,
}

impl Range {
    fn new(scale: Scale, low: f64, high: f64) -> Self {
        Self { scale, low, high, first: forward(scale, low), last: forward(scale, high) }
    }

    /// The same as [`Scale::encode`].
    fn encode(&self, value: f64) -> f64 {
        if self.first == self.last {
            return 0.0;
        }
        let unit = (forward(self.scale, value) - self.first) / (self.last - self.first);
        unit.clamp(0.0, 1.0)
    }

    /// The same as [`Scale::decode`].
    fn decode(&self, unit: f64) -> f64 {
        if unit <= 0.0 {
            return self.low;
        }
        if unit >= 1.0 {
            return self.high;
        }
        let point = self.first + unit * (self.last - self.first);
        let value = match self.scale {
            Scale::Linear => point,
            Scale::Log => libm::exp(point),
            Scale::OneMinusLog => 1.0 - libm::exp(-point),
        };
        value.clamp(self.low, self.high)
    }
}

/// A value on its scale, as in [`caviar_common::scale`].
pub(crate) fn forward(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => libm::log(value),
        Scale::OneMinusLog => -libm::log(1.0 - value),
    }
}

impl Axis {
    pub(super) fn new(domain: &Domain) -> Self {
        match domain {
            Domain::Float { scale, low, high } => Self::Float(Range::new(*scale, *low, *high)),
            Domain::Int { scale, low, high } => Self::Int {
                low: *low,
                high: *high,
                range: Range::new(*scale, real_from_i64(*low) - 0.5, real_from_i64(*high) + 0.5),
            },
            Domain::Choice { values } => Self::Choice(values.len()),
        }
    }

    /// The coordinate of a cell of the [history](crate::history): [`INACTIVE`] if the domain does
    /// not have its value.
    pub(super) fn encode(&self, cell: u64) -> f64 {
        match self {
            Self::Float(range) => {
                let value = f64::from_bits(cell);
                let is_inside = range.low <= value && value <= range.high;
                if is_inside { range.encode(value) } else { INACTIVE }
            }
            Self::Int { low, high, range } => {
                let value = cell.cast_signed();
                let is_inside = (*low..=*high).contains(&value);
                if is_inside { range.encode(real_from_i64(value)) } else { INACTIVE }
            }
            Self::Choice(count) => (real(to_usize(cell)) + 0.5) / real(*count),
        }
    }

    /// The whole number at a coordinate.
    fn decode_int(low: i64, high: i64, range: &Range, unit: f64) -> i64 {
        floor_to_i64(range.decode(unit.clamp(0.0, 1.0)) + 0.5).clamp(low, high)
    }

    /// The coordinate that the value at a coordinate has.
    pub(super) fn snapped(&self, unit: f64) -> f64 {
        match self {
            Self::Float(range) if range.low < range.high => unit.clamp(0.0, 1.0),
            Self::Float(range) => range.encode(range.low),
            Self::Int { low, high, range } => {
                range.encode(real_from_i64(Self::decode_int(*low, *high, range, unit)))
            }
            Self::Choice(count) => (real(to_usize(self.cell(unit))) + 0.5) / real(*count),
        }
    }

    /// The cell in which a coordinate lies: for whole numbers and choices, the index of the value.
    pub(super) fn cell(&self, unit: f64) -> u64 {
        match self {
            Self::Float(range) if range.low < range.high => {
                to_u64(floor_to_usize(unit * FLOAT_CELLS))
            }
            Self::Float(_) => 0,
            Self::Int { low, high, range } => {
                Self::decode_int(*low, *high, range, unit).abs_diff(*low)
            }
            Self::Choice(count) => {
                to_u64(floor_to_usize(unit * real(*count)).min(count.saturating_sub(1)))
            }
        }
    }
}

/// The cell of a domain in which a coordinate lies.
pub(crate) fn cell(domain: &Domain, unit: f64) -> u64 {
    Axis::new(domain).cell(unit)
}

#[cfg(test)]
mod tests {
    use caviar_common::assignment::Value;
    use proptest::prelude::*;

    use super::*;

    fn domain() -> impl Strategy<Value = Domain> {
        let scale = prop_oneof![Just(Scale::Linear), Just(Scale::Log), Just(Scale::OneMinusLog)];
        let float = (scale, 0.001..0.999f64, 0.001..0.999f64)
            .prop_map(|(scale, a, b)| Domain::Float { scale, low: a.min(b), high: a.max(b) });
        let scale = prop_oneof![Just(Scale::Linear), Just(Scale::Log)];
        let int = (scale, 1..1_000_000i64, 1..1_000i64)
            .prop_map(|(scale, low, more)| Domain::Int { scale, low, high: low + more });
        let choice = (1..7i64)
            .prop_map(|count| Domain::Choice { values: (0..count).map(Value::Int).collect() });
        prop_oneof![float, int, choice, Just(Domain::Int { scale: Scale::Log, low: 3, high: 3 })]
    }

    /// The cell of a value in the history.
    fn packed(domain: &Domain, value: &Value) -> u64 {
        match (domain, value) {
            (Domain::Float { .. }, Value::Float(v)) => v.to_bits(),
            (Domain::Int { .. }, Value::Int(v)) => v.cast_unsigned(),
            (Domain::Choice { values }, _) => {
                to_u64(values.iter().position(|v| v == value).unwrap())
            }
            _ => panic!("{domain:?} {value:?}"),
        }
    }

    proptest! {
        #[test]
        fn conversions_have_the_same_bits_as_those_of_the_domain(
            domain in domain(),
            unit in prop_oneof![0.0..1.0f64, Just(0.0), Just(1.0)],
            outside in -1e7..1e7f64,
        ) {
            let axis = Axis::new(&domain);
            let value = domain.decode(unit);
            let encoded = domain.encode(&value).unwrap();
            prop_assert_eq!(axis.encode(packed(&domain, &value)).to_bits(), encoded.to_bits());
            let snapped = axis.snapped(unit);
            match &domain {
                Domain::Float { low, high, .. } if low < high => prop_assert_eq!(snapped, unit),
                Domain::Float { .. } | Domain::Int { .. } | Domain::Choice { .. } => {
                    prop_assert_eq!(snapped.to_bits(), encoded.to_bits());
                }
            }
            if let (Domain::Int { low, .. }, Some(v)) = (&domain, value.as_i64()) {
                prop_assert_eq!(axis.cell(unit), v.abs_diff(*low));
            }
            let other = match domain {
                Domain::Float { .. } => Value::Float(outside),
                Domain::Int { .. } => Value::Int(floor_to_i64(outside)),
                Domain::Choice { .. } => value,
            };
            let expected = domain.encode(&other).unwrap_or(INACTIVE);
            prop_assert_eq!(axis.encode(packed(&domain, &other)), expected);
        }
    }
}
