//! A box in the space: where a sampler draws from, and what `caviar status` shows of it.

use caviar_common::reason::{Extent, SearchBox, Side};
use caviar_common::space::{Domain, Space};

/// A part of the unit cube of a space, with one interval per parameter in the order of the space.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Region {
    pub(crate) sides: Vec<Interval>,
}

/// The part of one parameter's values that lies in a [`Region`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Interval {
    /// For a number: low and high end, both within [0, 1].
    Between(f64, f64),
    /// For a choice: the indices of the values.
    Among(Vec<usize>),
}

impl Region {
    /// The whole space.
    pub(crate) fn whole(space: &Space) -> Self {
        Self { sides: space.parameters().iter().map(|p| Interval::whole(&p.domain)).collect() }
    }

    /// The region in the units of the parameters.
    pub(crate) fn to_box(&self, space: &Space) -> SearchBox {
        let sides = space.parameters().iter().zip(&self.sides).map(|(parameter, side)| Side {
            parameter: parameter.name.clone(),
            extent: side.to_extent(&parameter.domain),
        });
        SearchBox { sides: sides.collect() }
    }
}

impl Interval {
    fn whole(domain: &Domain) -> Self {
        match domain {
            Domain::Choice { values } => Self::Among((0..values.len()).collect()),
            Domain::Float { .. } | Domain::Int { .. } => Self::Between(0.0, 1.0),
        }
    }

    /// An interval of the wrong kind is taken for the whole domain.
    fn to_extent(&self, domain: &Domain) -> Extent {
        match (domain, self) {
            (Domain::Choice { values }, Self::Among(chosen)) => {
                Extent::Choices(chosen.iter().filter_map(|i| values.get(*i).cloned()).collect())
            }
            (Domain::Choice { values }, Self::Between(..)) => Extent::Choices(values.clone()),
            (Domain::Float { .. } | Domain::Int { .. }, Self::Between(low, high)) => {
                Extent::Range { low: domain.decode(*low), high: domain.decode(*high) }
            }
            (Domain::Float { .. } | Domain::Int { .. }, Self::Among(_)) => {
                Extent::Range { low: domain.decode(0.0), high: domain.decode(1.0) }
            }
        }
    }
}
