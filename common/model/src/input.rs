//! What a network computes from its encoded inputs before its first layer.
//!
//! Some of the inputs are numbers, standardised by the schema. A stage scales them, embeds them,
//! and multiplies the result, with the inputs that are no numbers in their places, by learnt
//! factors. Each of the three may be left out.
//!
//! Other inputs are the numbers of the values of a category with many values. A stage always
//! replaces each of them by a vector of its own, which is learnt.
//!
//! The inputs of the first layer begin with the encoded inputs. In the place of a number is the
//! first of the columns that it becomes, and the others follow at the end, number by number. The
//! same holds for categories, whose other columns come last.

use caviar_common::limits::MAX_EMBEDDING_SIZE;
use caviar_common::numbers::{floor_to_usize, index};
use caviar_data::CategoryInput;

use crate::error::StageFault;

/// The cosines of a periodic embedding for each number.
pub const PERIODS: usize = 16;
/// The bins of a piecewise linear embedding for each number, at most.
pub const BINS: usize = 48;
/// The inputs of the first layer for each embedded category.
pub const CATEGORY_COLUMNS: usize = index(caviar_common::train::CATEGORY_COLUMNS);

/// The stage before the first layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputStage {
    /// The encoded inputs that are numbers, ascending; empty if numbers stay as they are.
    pub numbers: Vec<usize>,
    /// How each number is scaled.
    pub scaling: NumberScaling,
    /// What becomes of each scaled number; `None` leaves it as it is.
    pub embedding: Option<NumberEmbedding>,
    /// The encoded inputs that are numbers of the values of a category, ascending.
    pub categories: Vec<CategoryEmbedding>,
    /// The learnt factors of the inputs of the first layer; `None` if all are 1.
    pub factors: Option<Vec<f32>>,
}

/// How numbers are scaled. All of it is computed in 32-bit floats, so exported models have the same
/// bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum NumberScaling {
    /// They are not changed.
    #[default]
    Standard,
    /// u / sqrt(1 + (u / 3)^2), where u = (x - median) factor. Each list is `[numbers]`.
    Robust {
        /// The median of each number in the training split.
        medians: Vec<f32>,
        /// 1 / (upper quartile - lower quartile) of each number.
        factors: Vec<f32>,
    },
    /// A function for each number.
    Quantile(Vec<Knots>),
}

/// A continuous function that is linear between knots and constant outside; 0 without knots. There
/// are no knots or at least 2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knots {
    /// Where the knots are, strictly ascending.
    pub places: Vec<f32>,
    /// The values at the knots.
    pub values: Vec<f32>,
}

/// An embedding: each number x becomes h(x) W + b, with its own h, W and b, and before it x itself
/// if h is periodic.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberEmbedding {
    /// The functions h of each number.
    pub basis: Basis,
    /// The columns of W, at least 1.
    pub size: usize,
    /// The matrices W, `[numbers, functions, size]`, row by row.
    pub weights: Vec<f32>,
    /// The vectors b, `[numbers, size]`.
    pub bias: Vec<f32>,
}

/// The vectors of the values of one category.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryEmbedding {
    /// The encoded input that is the number of a value: from 1, or 0 for an unknown value.
    pub place: usize,
    /// The largest number of a value.
    pub values: usize,
    /// The vector of each value but 0, whose vector is 0: `[values, CATEGORY_COLUMNS]`, row by row.
    pub weights: Vec<f32>,
}

/// The functions h of an embedding.
#[derive(Clone, Debug, PartialEq)]
pub enum Basis {
    /// cos(2 pi w x + b) with [`PERIODS`] learnt w and b for each number.
    Periodic {
        /// The w, `[numbers, PERIODS]`.
        frequencies: Vec<f32>,
        /// The b, `[numbers, PERIODS]`, in radians.
        phases: Vec<f32>,
    },
    /// (x - start) / (end - start) for each of [`BINS`] bins, at least 0 except in the first bin,
    /// and at most 1 except in the last one. A bin that a number does not have is 0.
    PiecewiseLinear {
        /// The edges of the bins of each number, strictly ascending: none, or 2 to `BINS` + 1.
        edges: Vec<Vec<f32>>,
    },
}

/// One bin of a piecewise linear embedding: (x - start) factor, between low and high.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// The lower edge.
    pub start: f32,
    /// 1 / (upper edge - lower edge), 0 for a bin that the number does not have.
    pub factor: f32,
    /// The lowest value: 0, but the lowest float in the first bin.
    pub low: f32,
    /// The highest value: 1, but the highest float in the last bin.
    pub high: f32,
}

impl InputStage {
    /// The inputs of the first layer for this number of encoded inputs.
    pub fn width(&self, inputs: usize) -> usize {
        let more = self.numbers.len().saturating_mul(self.columns().saturating_sub(1));
        let of_categories = self.categories.len().saturating_mul(CATEGORY_COLUMNS - 1);
        inputs.saturating_add(more).saturating_add(of_categories)
    }

    /// Whether the stage changes nothing.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.categories.is_empty() && self.factors.is_none()
    }

    /// The inputs of the first layer for each number.
    pub fn columns(&self) -> usize {
        self.embedding.as_ref().map_or(1, NumberEmbedding::columns)
    }

    /// Where each input of the first layer is in a matrix that has all columns of each number, then
    /// those of each category, and then the other inputs.
    #[cfg(feature = "export")]
    pub(crate) fn order(&self, inputs: usize) -> Vec<usize> {
        let columns = self.columns();
        let first_category = self.numbers.len() * columns;
        let first_other = first_category + self.categories.len() * CATEGORY_COLUMNS;
        let mut others = first_other..;
        let mut numbers = (0..).step_by(columns.max(1));
        let mut categories = (first_category..).step_by(CATEGORY_COLUMNS);
        let mut source = |place: usize| {
            if self.is_number(place) {
                numbers.next()
            } else if self.is_category(place) {
                categories.next()
            } else {
                others.next()
            }
        };
        let mut order: Vec<usize> = (0..inputs).filter_map(&mut source).collect();
        let rest = |number: usize| number * columns + 1..(number + 1) * columns;
        order.extend((0..self.numbers.len()).flat_map(rest));
        let firsts = (first_category..first_other).step_by(CATEGORY_COLUMNS);
        order.extend(firsts.flat_map(|first| first + 1..first + CATEGORY_COLUMNS));
        order
    }

    /// The encoded inputs that stay as they are before the factors.
    #[cfg(feature = "export")]
    pub(crate) fn others(&self, inputs: usize) -> Vec<usize> {
        (0..inputs).filter(|&place| !self.is_number(place) && !self.is_category(place)).collect()
    }

    #[cfg(feature = "export")]
    fn is_number(&self, place: usize) -> bool {
        self.numbers.binary_search(&place).is_ok()
    }

    #[cfg(feature = "export")]
    fn is_category(&self, place: usize) -> bool {
        self.categories.binary_search_by_key(&place, |category| category.place).is_ok()
    }

    /// Scales the numbers in `rows`, rows of `width` encoded inputs.
    pub fn scale(&self, rows: &mut [f32], width: usize) {
        if self.scaling == NumberScaling::Standard {
            return;
        }
        for row in rows.chunks_exact_mut(width.max(1)) {
            for (number, &place) in self.numbers.iter().enumerate() {
                if let Some(value) = row.get_mut(place) {
                    *value = self.scaling.apply(number, *value);
                }
            }
        }
    }

    /// The inputs of the first layer for one row of encoded inputs, in f64 after the scaling.
    pub(crate) fn apply(&self, features: &[f32]) -> Vec<f64> {
        let mut row = features.to_vec();
        self.scale(&mut row, features.len());
        let mut out: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
        for (number, &place) in self.numbers.iter().enumerate() {
            let (Some(embedding), Some(value)) = (&self.embedding, out.get(place)) else { break };
            let mut columns = embedding.columns_of(number, *value).into_iter();
            if let (Some(value), Some(first)) = (out.get_mut(place), columns.next()) {
                *value = first;
            }
            out.extend(columns);
        }
        for category in &self.categories {
            let Some(value) = out.get_mut(category.place) else { break };
            let mut columns = category.columns_of(*value).into_iter();
            *value = columns.next().unwrap_or_default();
            out.extend(columns);
        }
        if let Some(factors) = &self.factors {
            out.iter_mut().zip(factors).for_each(|(value, factor)| *value *= f64::from(*factor));
        }
        out
    }

    /// What the stage is made of: a name for programs, the shape, the numbers, and whether they are
    /// learnt.
    pub(crate) fn tensors(&self) -> Vec<StageTensor<'_>> {
        let count = self.numbers.len();
        let mut tensors = Vec::new();
        let mut add = |name, shape: &[usize], values, is_learnt| {
            tensors.push(StageTensor { name, shape: shape.to_vec(), values, is_learnt });
        };
        match &self.scaling {
            NumberScaling::Standard => {}
            NumberScaling::Robust { medians, factors } => {
                add("medians", &[count], medians, false);
                add("scales", &[count], factors, false);
            }
            NumberScaling::Quantile(knots) => {
                for knots in knots {
                    add("places", &[knots.places.len()], &knots.places, false);
                    add("values", &[knots.values.len()], &knots.values, false);
                }
            }
        }
        if let Some(embedding) = &self.embedding {
            match &embedding.basis {
                Basis::Periodic { frequencies, phases } => {
                    add("frequencies", &[count, PERIODS], frequencies, true);
                    add("phases", &[count, PERIODS], phases, true);
                }
                Basis::PiecewiseLinear { edges } => {
                    edges.iter().for_each(|edges| add("edges", &[edges.len()], edges, false));
                }
            }
            let functions = embedding.basis.functions();
            add("weight", &[count, functions, embedding.size], &embedding.weights, true);
            add("bias", &[count, embedding.size], &embedding.bias, true);
        }
        for CategoryEmbedding { values, weights, .. } in &self.categories {
            add(CATEGORIES, &[*values, CATEGORY_COLUMNS], weights, true);
        }
        if let Some(factors) = &self.factors {
            add("factors", &[factors.len()], factors, true);
        }
        tensors
    }

    /// Checks that the parts fit each other, the number of encoded inputs, and those of them that
    /// are numbers of categories.
    pub(crate) fn check(
        &self,
        inputs: usize,
        categories: &[CategoryInput],
    ) -> Result<(), StageFault> {
        let own = self.categories.iter().map(CategoryEmbedding::input);
        if !own.eq(categories.iter().copied()) {
            return Err(StageFault::Categories { expected: categories.len() });
        }
        let is_category =
            |number: &usize| categories.binary_search_by_key(number, |it| it.place).is_ok();
        if self.numbers.iter().any(is_category) {
            return Err(StageFault::Numbers { inputs });
        }
        if !is_ascending(&self.numbers) || self.numbers.iter().any(|&number| number >= inputs) {
            return Err(StageFault::Numbers { inputs });
        }
        let count = self.numbers.len();
        match &self.scaling {
            NumberScaling::Standard | NumberScaling::Robust { .. } => {}
            NumberScaling::Quantile(knots) => {
                if knots.len() != count || !knots.iter().all(Knots::is_legal) {
                    return Err(StageFault::Knots);
                }
            }
        }
        if let Some(embedding) = &self.embedding {
            if embedding.columns() > index(MAX_EMBEDDING_SIZE) || embedding.size == 0 {
                return Err(StageFault::Size { size: embedding.columns() });
            }
            if let Basis::PiecewiseLinear { edges } = &embedding.basis {
                let is_legal = |edges: &Vec<f32>| {
                    edges.len() != 1 && edges.len() <= BINS + 1 && is_ascending(edges)
                };
                if edges.len() != count || !edges.iter().all(is_legal) {
                    return Err(StageFault::Edges);
                }
            }
        }
        if self.factors.as_ref().is_some_and(|factors| factors.len() != self.width(inputs)) {
            return Err(StageFault::Factors { expected: self.width(inputs) });
        }
        for StageTensor { name, shape, values, .. } in self.tensors() {
            let expected = shape.iter().fold(1_usize, |all, &size| all.saturating_mul(size));
            if values.len() != expected || !values.iter().all(|value| value.is_finite()) {
                return Err(StageFault::Values { name });
            }
        }
        Ok(())
    }
}

/// The name of the vectors of categories for programs.
pub(crate) const CATEGORIES: &str = "categories";

/// One list of numbers of a stage.
pub(crate) struct StageTensor<'a> {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: &'a [f32],
    pub(crate) is_learnt: bool,
}

impl NumberScaling {
    /// The scaled value of number `number`, counted among the numbers.
    pub fn apply(&self, number: usize, x: f32) -> f32 {
        match self {
            Self::Standard => x,
            Self::Robust { medians, factors } => {
                let at = |list: &[f32]| list.get(number).copied().unwrap_or_default();
                let u = (x - at(medians)) * at(factors);
                let third = u / 3.0;
                u / (1.0 + third * third).sqrt()
            }
            Self::Quantile(knots) => knots.get(number).map_or(0.0, |knots| knots.apply(x)),
        }
    }
}

impl Knots {
    /// The value of the function at x.
    pub fn apply(&self, x: f32) -> f32 {
        let first = self.places.partition_point(|place| *place <= x).saturating_sub(1);
        let first = first.min(self.places.len().saturating_sub(2));
        let at = |list: &[f32], knot: usize| list.get(knot).copied();
        let ends = |list: &[f32]| Some((at(list, first)?, at(list, first + 1)?));
        let Some(((start, end), (low, high))) = ends(&self.places).zip(ends(&self.values)) else {
            return 0.0;
        };
        let share = ((x - start) / (end - start)).clamp(0.0, 1.0);
        low + (high - low) * share
    }

    fn is_legal(&self) -> bool {
        self.places.len() == self.values.len()
            && self.places.len() != 1
            && is_ascending(&self.places)
    }
}

impl CategoryEmbedding {
    /// The input that it replaces.
    pub const fn input(&self) -> CategoryInput {
        CategoryInput { place: self.place, values: self.values }
    }

    /// The vector of the value with this number.
    fn columns_of(&self, number: f64) -> Vec<f64> {
        let before = floor_to_usize(number).checked_sub(1);
        let row = before.and_then(|row| self.weights.chunks_exact(CATEGORY_COLUMNS).nth(row));
        let zeros = [0.0; CATEGORY_COLUMNS];
        row.unwrap_or(&zeros).iter().map(|&weight| f64::from(weight)).collect()
    }
}

impl NumberEmbedding {
    /// The inputs of the first layer for each number.
    pub const fn columns(&self) -> usize {
        self.size + if self.basis.keeps_number() { 1 } else { 0 }
    }

    /// What becomes of the number x.
    fn columns_of(&self, number: usize, x: f64) -> Vec<f64> {
        let kept = self.basis.keeps_number().then_some(x);
        let functions = self.basis.functions();
        let bias = self.bias.iter().skip(number * self.size).take(self.size);
        let mut sums: Vec<f64> = bias.map(|&value| f64::from(value)).collect();
        let weights = self.weights.chunks_exact(self.size.max(1)).skip(number * functions);
        for (value, row) in self.basis.values(number, x).into_iter().zip(weights) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += value * f64::from(*weight);
            }
        }
        kept.into_iter().chain(sums).collect()
    }
}

impl Basis {
    /// The number of functions of each number.
    pub const fn functions(&self) -> usize {
        match self {
            Self::Periodic { .. } => PERIODS,
            Self::PiecewiseLinear { .. } => BINS,
        }
    }

    /// Whether the embedding has the number itself too.
    pub const fn keeps_number(&self) -> bool {
        matches!(self, Self::Periodic { .. })
    }

    /// The values of all functions at x.
    fn values(&self, number: usize, x: f64) -> Vec<f64> {
        match self {
            Self::Periodic { frequencies, phases } => {
                let of = |list: &[f32]| -> Vec<f64> {
                    let list = list.iter().skip(number * PERIODS).take(PERIODS);
                    list.map(|&value| f64::from(value)).collect()
                };
                let pairs = of(frequencies).into_iter().zip(of(phases));
                let angle = |(frequency, phase)| std::f64::consts::TAU * frequency * x + phase;
                pairs.map(|pair| libm::cos(angle(pair))).collect()
            }
            Self::PiecewiseLinear { edges } => {
                let edges = edges.get(number).map(Vec::as_slice).unwrap_or_default();
                let value = |bin: Bin| {
                    let inside = (x - f64::from(bin.start)) * f64::from(bin.factor);
                    inside.clamp(f64::from(bin.low), f64::from(bin.high))
                };
                bins(edges).into_iter().map(value).collect()
            }
        }
    }
}

/// The [`BINS`] bins between edges.
pub fn bins(edges: &[f32]) -> Vec<Bin> {
    let count = edges.len().saturating_sub(1);
    let pairs = edges.iter().zip(edges.iter().skip(1)).enumerate();
    let bin = |(number, (start, end)): (usize, (&f32, &f32))| Bin {
        start: *start,
        factor: 1.0 / (end - start),
        low: if number == 0 { f32::MIN } else { 0.0 },
        high: if number + 1 == count { f32::MAX } else { 1.0 },
    };
    let mut bins: Vec<Bin> = pairs.map(bin).collect();
    bins.resize(BINS, Bin::default());
    bins
}

fn is_ascending<T: PartialOrd>(values: &[T]) -> bool {
    values.iter().zip(values.iter().skip(1)).all(|(a, b)| a < b)
}
