//! The training, validation and test splits of a data set.

use std::sync::Arc;

use caviar_common::data::DataSpec;
use caviar_common::numbers::index;
use caviar_common::seed::{Purpose, Seed};

use crate::dataset::Dataset;
use crate::draw::Rows;
use crate::encode::Encoder;
use crate::error::{DataError, shown};
use crate::examples::{Examples, Numbers, RowWeight, Targets, pick, pick_rows};
use crate::features::{Features, INPUT_BYTES};
use crate::inputs::Inputs;
use crate::memory::MemoryBudget;
use crate::schema::{InputColumn, Label, Schema};
use crate::splits::{Fold, Splits};
use crate::standard::Standard;
use crate::stream::Stream;
use crate::table::{Column, LabelColumn};
use crate::weights::Weights;

/// Draws the splits of `dataset` by the shares in `spec` and the sweep's seed, and encodes them.
///
/// The validation and test splits have the rounded share of all rows, and of every class its exact
/// share rounded up or down, as far as each class keeps a row to train on. A class with one row is
/// in the training split only. Regression is split at random. Rows keep their order within a split.
/// With `group`, `time` or given files in the spec, they decide instead. With `folds`, the training
/// split has all rows that are not in the test split, and they are dealt to folds that have the
/// same classes; with `group` as well, whole groups are dealt.
///
/// The columns become inputs, and for regression the targets are standardised, with what the
/// training split tells: means and standard deviations, medians for missing values, and which
/// categories there are. Pixels of an image file keep their contrast: each has its own mean, and
/// all share one standard deviation. All folds share one encoding, so that their models have the
/// same inputs.
///
/// # Errors
/// A share out of range, a split without a row or in which no row counts, a training split of fewer
/// than 2 rows, a weight of an unknown class, or more inputs than the limit.
pub fn split(dataset: &Dataset, spec: &DataSpec, sweep_seed: u64) -> Result<Splits, DataError> {
    split_within(dataset, spec, sweep_seed, MemoryBudget::DEFAULT)
}

/// Does what [`split`] does, with another limit for what is in memory.
///
/// Inputs of more than `memory.inputs_bytes` are written to temporary files, and the rows of the
/// training split are in random order there. The order depends on the seed and the number of rows
/// only.
///
/// # Errors
/// Those of [`split`], a cross-validation of inputs that are in files, and a temporary file that
/// cannot be written.
pub fn split_within(
    dataset: &Dataset,
    spec: &DataSpec,
    sweep_seed: u64,
    memory: MemoryBudget,
) -> Result<Splits, DataError> {
    encoded(dataset, spec, &Rows::draw(dataset, spec, sweep_seed)?, (sweep_seed, memory))
}

/// All rows of `dataset` as the training split, encoded with what they tell, and no other split.
///
/// # Errors
/// More inputs than the limit, or a temporary file that cannot be written.
pub fn whole(dataset: &Dataset, spec: &DataSpec, sweep_seed: u64) -> Result<Splits, DataError> {
    let train = (0..dataset.targets().len()).collect();
    let rows = Rows { train, ..Rows::default() };
    encoded(dataset, spec, &rows, (sweep_seed, MemoryBudget::DEFAULT))
}

fn encoded(
    dataset: &Dataset,
    spec: &DataSpec,
    rows: &Rows,
    (sweep_seed, memory): (u64, MemoryBudget),
) -> Result<Splits, DataError> {
    let encoder = Encoder::fit(dataset.inputs(), dataset.roles(), &rows.train)?;
    let outputs = Outputs::fit(dataset, &rows.train)?;
    let weights = Weights::new(dataset, spec, rows)?;
    let of = |features: Features, rows: &[usize], weights: Option<Vec<RowWeight>>| Examples {
        features,
        targets: outputs.of(dataset.targets(), rows),
        weights,
    };
    let judged = |features: Features, rows: &[usize]| of(features, rows, weights.of_others(rows));
    let inputs = dataset.inputs();
    let bytes = encoder.width().saturating_mul(inputs.rows()).saturating_mul(INPUT_BYTES);
    let (train, validation, test, mut folds) = (&rows.train, &rows.validation, &rows.test, vec![]);
    let (train, validation, test) = if bytes <= memory.inputs_bytes {
        let in_memory = |rows: &[usize]| Features::from(encoder.encode(inputs, rows));
        folds.extend(rows.folds.iter().map(|fold| Fold {
            train: others(train, fold),
            validation: judged(in_memory(fold), fold),
        }));
        (
            of(in_memory(train), train, weights.of_training(train)),
            judged(in_memory(validation), validation),
            (!test.is_empty()).then(|| judged(in_memory(test), test)),
        )
    } else {
        if !rows.folds.is_empty() {
            return Err(DataError::LargeFolds { bytes, most: memory.inputs_bytes });
        }
        let stream = Stream { encoder: &encoder, inputs, window_bytes: memory.window_bytes };
        let in_file = |rows: &[usize]| -> Result<Examples, DataError> {
            Ok(judged(Features::File(stream.in_order(rows)?), rows))
        };
        let (order, places) = shuffled(train, sweep_seed);
        let features = Features::File(stream.shuffled(train, &places)?);
        (
            of(features, &order, weights.of_training(&order)),
            in_file(validation)?,
            (!test.is_empty()).then(|| in_file(test)).transpose()?,
        )
    };
    let schema = schema(dataset, encoder, &outputs.0, &spec.table.missing);
    let schema = Some(Arc::new(schema));
    Ok(Splits { train, validation, folds, test, outputs: dataset.outputs(), schema })
}

/// The rows in random order, and the place of each of `rows` in it.
fn shuffled(rows: &[usize], sweep_seed: u64) -> (Vec<usize>, Vec<u32>) {
    let mut from: Vec<u32> = (0..).take(rows.len()).collect();
    // Stream 0 draws the splits.
    Seed::derive(sweep_seed, 0, Purpose::Split).stream(1).shuffle(&mut from);
    let mut places = vec![0; rows.len()];
    for (place, &row) in (0..).zip(&from) {
        if let Some(slot) = places.get_mut(index(row)) {
            *slot = place;
        }
    }
    let order = from.iter().filter_map(|&row| rows.get(index(row)).copied()).collect();
    (order, places)
}

/// The places in `pool` of the rows that are not in `fold`. Both are ascending.
fn others(pool: &[usize], fold: &[usize]) -> Vec<u32> {
    let mut others = Vec::with_capacity(pool.len().saturating_sub(fold.len()));
    let places = (0..).zip(pool).filter(|(_, row)| fold.binary_search(row).is_err());
    others.extend(places.map(|(place, _)| place));
    others
}

/// The schema of a data set whose training split gave `encoder` and `standards`.
fn schema(
    dataset: &Dataset,
    encoder: Encoder,
    standards: &[Standard],
    missing: &[String],
) -> Schema {
    let (columns, pixels) = match dataset.inputs() {
        Inputs::Columns(columns) => {
            let column = |column: &Column| InputColumn {
                name: column.name.clone(),
                kind: column.kind,
                form: column.form,
                categories: column.categories.clone(),
            };
            (columns.iter().map(column).collect(), None)
        }
        Inputs::Pixels(pixels) => {
            let (height, width) = pixels.size();
            (Vec::new(), Some([height, width]))
        }
    };
    let label = Label {
        name: dataset.label().to_owned(),
        classes: dataset.classes().to_vec(),
        standard: standards.first().copied(),
        form: dataset.label_form(),
    };
    let more = dataset.more_labels().iter().zip(standards.iter().skip(1));
    let more_labels = more.map(|(LabelColumn { name, form }, standard)| Label {
        name: name.clone(),
        classes: Vec::new(),
        standard: Some(*standard),
        form: *form,
    });
    let (more_labels, missing) = (more_labels.collect(), missing.to_vec());
    Schema { columns, pixels, encoder, label, more_labels, missing }
}

/// The numbers of the rows of each split, from 0 and ascending.
///
/// Rows are counted as the dataset has them: those of `source`, then those of `validation_source`
/// and `test_source`, without the rows that have no label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitRows {
    /// The rows to train on.
    pub train: Vec<usize>,
    /// The rows whose metrics the search optimises; empty in a cross-validation.
    pub validation: Vec<usize>,
    /// The rows on which only the winner is scored; empty if the share is 0.
    pub test: Vec<usize>,
    /// The rows of each fold of a cross-validation, which together are `train`; empty without.
    pub folds: Vec<Vec<usize>>,
}

/// Draws the rows that [`split`] puts into each split.
///
/// # Errors
/// Those of [`split`], except for the number of inputs.
pub fn split_rows(
    dataset: &Dataset,
    spec: &DataSpec,
    sweep_seed: u64,
) -> Result<SplitRows, DataError> {
    let Rows { train, validation, test, folds } = Rows::draw(dataset, spec, sweep_seed)?;
    Ok(SplitRows { train, validation, test, folds })
}

/// How the targets of regression are standardised, output by output; empty for classes.
#[derive(Clone)]
pub(crate) struct Outputs(Vec<Standard>);

impl Outputs {
    /// The standard deviation of the only label of numbers; `None` for classes and several labels.
    pub(crate) fn only_deviation(&self) -> Option<f64> {
        let [only] = self.0.as_slice() else { return None };
        Some(1.0 / only.scale).filter(|deviation| deviation.is_finite())
    }

    /// Learns from the rows `train`.
    ///
    /// # Errors
    /// A label has no scale in these rows, so that it could not be restored in others.
    pub(crate) fn fit(dataset: &Dataset, train: &[usize]) -> Result<Self, DataError> {
        let Targets::Values(numbers) = dataset.targets() else { return Ok(Self(Vec::new())) };
        let standard = |(output, name): (usize, &str)| {
            let of_row = |&row: &usize| numbers.row(row).get(output).copied();
            let picked: Vec<f64> = train.iter().filter_map(of_row).collect();
            let standard = Standard::of(&picked);
            if standard.scale > 0.0 {
                return Ok(standard);
            }
            let first = picked.first().copied().unwrap_or_default();
            let why = if picked.iter().all(|value| *value == first) {
                format!("is {first} in every row of the training split")
            } else {
                "has a deviation in the training split that no 64-bit float can hold".to_owned()
            };
            Err(DataError::NoScale { label: shown(name), why })
        };
        Ok(Self(dataset.labels().enumerate().map(standard).collect::<Result<_, _>>()?))
    }

    /// A number of each output in the units of its label.
    pub(crate) fn restored(&self, standardised: &[f64]) -> Vec<f64> {
        self.0.iter().zip(standardised).map(|(it, value)| it.restore(*value)).collect()
    }

    pub(crate) fn of(&self, targets: &Targets<f64>, rows: &[usize]) -> Targets {
        match targets {
            Targets::Classes(classes) => Targets::Classes(pick(classes, rows)),
            Targets::Values(numbers) => {
                let picked = pick_rows(numbers, rows);
                let standards = self.0.iter().cycle();
                let mut standardised = Vec::with_capacity(picked.len());
                standardised.extend(picked.iter().zip(standards).map(|(v, it)| it.apply(*v)));
                let numbers = Numbers::from_rows(numbers.outputs(), standardised);
                Targets::Values(numbers.unwrap_or_else(|| Vec::new().into()))
            }
        }
    }
}
