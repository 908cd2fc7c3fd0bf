//! The input stage in the file of a model: its shapes as JSON, and its floats.

use caviar_common::numbers::to_u64;
use serde::{Deserialize, Serialize};

use crate::input::{
    Basis, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, Knots, NumberEmbedding, NumberScaling,
    PERIODS,
};
use crate::reader::Reader;

/// The shapes of an [`InputStage`].
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StoredStage {
    numbers: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scaling: Option<StoredScaling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding: Option<StoredEmbedding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<StoredCategory>,
    /// The number of factors; `None` if all are 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factors: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredScaling {
    Robust,
    /// The knots of each number.
    Quantile(Vec<usize>),
}

#[derive(Serialize, Deserialize)]
struct StoredEmbedding {
    size: usize,
    /// The edges of each number if it is piecewise linear; `None` if it is periodic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<usize>>,
}

#[derive(Serialize, Deserialize)]
struct StoredCategory {
    place: usize,
    values: usize,
}

impl StoredStage {
    /// The shapes of a stage; `None` if it changes nothing.
    pub(crate) fn of(stage: &InputStage) -> Option<Self> {
        let scaling = match &stage.scaling {
            NumberScaling::Standard => None,
            NumberScaling::Robust { .. } => Some(StoredScaling::Robust),
            NumberScaling::Quantile(knots) => Some(StoredScaling::Quantile(
                knots.iter().map(|knots| knots.places.len()).collect(),
            )),
        };
        let embedding = stage.embedding.as_ref().map(|embedding| StoredEmbedding {
            size: embedding.size,
            edges: match &embedding.basis {
                Basis::Periodic { .. } => None,
                Basis::PiecewiseLinear { edges } => Some(edges.iter().map(Vec::len).collect()),
            },
        });
        let factors = stage.factors.as_ref().map(Vec::len);
        let numbers = stage.numbers.clone();
        let category =
            |it: &CategoryEmbedding| StoredCategory { place: it.place, values: it.values };
        let categories = stage.categories.iter().map(category).collect();
        (!stage.is_empty()).then_some(Self { numbers, scaling, embedding, categories, factors })
    }

    /// The floats that the stage stores; saturates.
    pub(crate) fn floats(&self) -> u64 {
        let count = to_u64(self.numbers.len());
        let sum = |lens: &[usize]| lens.iter().map(|&len| to_u64(len)).fold(0, u64::saturating_add);
        let scaling = match &self.scaling {
            None => 0,
            Some(StoredScaling::Robust) => count.saturating_mul(2),
            Some(StoredScaling::Quantile(knots)) => sum(knots).saturating_mul(2),
        };
        let embedding = self.embedding.as_ref().map_or(0, |embedding| {
            let basis = match &embedding.edges {
                None => count.saturating_mul(to_u64(2 * PERIODS)),
                Some(edges) => sum(edges),
            };
            let columns = count.saturating_mul(to_u64(embedding.size));
            basis.saturating_add(columns.saturating_mul(to_u64(embedding.functions() + 1)))
        });
        let values = self.categories.iter().map(|category| to_u64(category.values));
        let categories =
            values.fold(0, u64::saturating_add).saturating_mul(to_u64(CATEGORY_COLUMNS));
        scaling
            .saturating_add(embedding)
            .saturating_add(categories)
            .saturating_add(to_u64(self.factors.unwrap_or(0)))
    }

    /// The stage with the next floats; `None` if there are too few.
    pub(crate) fn read(&self, reader: &mut Reader<'_>) -> Option<InputStage> {
        let count = self.numbers.len();
        let scaling = match &self.scaling {
            None => NumberScaling::Standard,
            Some(StoredScaling::Robust) => NumberScaling::Robust {
                medians: reader.floats(count)?,
                factors: reader.floats(count)?,
            },
            Some(StoredScaling::Quantile(lens)) => {
                let mut read = |&len: &usize| {
                    Some(Knots { places: reader.floats(len)?, values: reader.floats(len)? })
                };
                NumberScaling::Quantile(lens.iter().map(&mut read).collect::<Option<_>>()?)
            }
        };
        let embedding = match &self.embedding {
            None => None,
            Some(stored) => Some(stored.read(count, reader)?),
        };
        let mut category = |&StoredCategory { place, values }: &StoredCategory| {
            let weights = reader.floats(values.checked_mul(CATEGORY_COLUMNS)?)?;
            Some(CategoryEmbedding { place, values, weights })
        };
        let categories = self.categories.iter().map(&mut category).collect::<Option<_>>()?;
        let factors = match self.factors {
            None => None,
            Some(len) => Some(reader.floats(len)?),
        };
        let numbers = self.numbers.clone();
        Some(InputStage { numbers, scaling, embedding, categories, factors })
    }
}

impl StoredEmbedding {
    fn functions(&self) -> usize {
        let edges = Vec::new();
        let periodic = Basis::Periodic { frequencies: Vec::new(), phases: Vec::new() };
        let basis = if self.edges.is_some() { Basis::PiecewiseLinear { edges } } else { periodic };
        basis.functions()
    }

    fn read(&self, count: usize, reader: &mut Reader<'_>) -> Option<NumberEmbedding> {
        let basis = match &self.edges {
            None => {
                let len = count.checked_mul(PERIODS)?;
                Basis::Periodic { frequencies: reader.floats(len)?, phases: reader.floats(len)? }
            }
            Some(lens) => {
                let edges = lens.iter().map(|&len| reader.floats(len)).collect::<Option<_>>()?;
                Basis::PiecewiseLinear { edges }
            }
        };
        let columns = count.checked_mul(self.size)?;
        Some(NumberEmbedding {
            size: self.size,
            weights: reader.floats(columns.checked_mul(basis.functions())?)?,
            bias: reader.floats(columns)?,
            basis,
        })
    }
}
