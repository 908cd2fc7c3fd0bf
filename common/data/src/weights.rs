//! How much each row counts: the weights of rows and of their classes.

use caviar_common::data::{ClassWeights, DataSpec};
use caviar_common::numbers::{index, real, single};
use caviar_common::text::nearest;

use crate::dataset::Dataset;
use crate::delimited::listed;
use crate::draw::Rows;
use crate::error::{CLASS_WEIGHTS, DataError, WEIGHT, shown};
use crate::examples::{RowWeight, Targets, pick};

/// The weights of rows by a column, and of classes by the spec.
pub(crate) struct Weights<'a> {
    dataset: &'a Dataset,
    /// The factor of each class in the training split; `None` if all are 1.
    classes: Option<Vec<f64>>,
}

impl<'a> Weights<'a> {
    /// Learns the weights of classes from the training split. Checks that some row of each split
    /// counts.
    ///
    /// # Errors
    /// A class of the spec does not exist, or no row of a split counts.
    pub(crate) fn new(
        dataset: &'a Dataset,
        spec: &DataSpec,
        rows: &Rows,
    ) -> Result<Self, DataError> {
        let classes = spec.weights.classes.as_ref();
        let classes = classes.map(|given| of_classes(given, dataset, &rows.train)).transpose()?;
        let weights = Self { dataset, classes: classes.flatten() };
        let is_zero = |rows: &[usize], of: fn(&Self, usize) -> f64| {
            !rows.is_empty() && rows.iter().all(|&row| of(&weights, row) == 0.0)
        };
        let folds = rows.folds.iter().map(|fold| ("validation", fold));
        let splits =
            [("training", &rows.train), ("validation", &rows.validation), ("test", &rows.test)];
        for (split, rows) in splits.into_iter().chain(folds) {
            if is_zero(rows, Self::of_row) {
                return Err(DataError::NoWeight { field: WEIGHT, split });
            }
        }
        for (train, _) in rows.parts() {
            if is_zero(&train, Self::of_row) {
                return Err(DataError::NoWeight { field: WEIGHT, split: "training" });
            }
            if is_zero(&train, Self::in_training) {
                return Err(DataError::NoWeight { field: CLASS_WEIGHTS, split: "training" });
            }
        }
        Ok(weights)
    }

    /// The weight of a row in every loss and measure.
    pub(crate) fn of_row(&self, row: usize) -> f64 {
        self.dataset.roles().weight.as_ref().map_or(1.0, |cells| cells.get(row))
    }

    /// The weighted mean of the values of rows; `None` if every row counts once.
    pub(crate) fn mean(&self, values: &[(usize, f64)]) -> Option<f64> {
        self.dataset.roles().weight.as_ref()?;
        let total: f64 = values.iter().map(|(row, _)| self.of_row(*row)).sum();
        let sum: f64 = values.iter().map(|(row, value)| self.of_row(*row) * value).sum();
        Some(sum / total)
    }

    /// The weight of a row in the training loss.
    fn in_training(&self, row: usize) -> f64 {
        let class = match self.dataset.targets() {
            Targets::Classes(classes) => classes.get(row).copied(),
            Targets::Values(_) => None,
        };
        let factor = self.classes.as_ref().zip(class);
        let factor = factor.and_then(|(factors, class)| factors.get(index(class)).copied());
        self.of_row(row) * factor.unwrap_or(1.0)
    }

    /// The weights of the rows of the training split; `None` if all count once.
    pub(crate) fn of_training(&self, rows: &[usize]) -> Option<Vec<RowWeight>> {
        let is_weighted = self.classes.is_some() || self.dataset.roles().weight.is_some();
        is_weighted.then(|| self.of(rows, Self::in_training))
    }

    /// The weights of the rows of another split; `None` if all count once.
    pub(crate) fn of_others(&self, rows: &[usize]) -> Option<Vec<RowWeight>> {
        self.dataset.roles().weight.is_some().then(|| self.of(rows, Self::of_row))
    }

    fn of(&self, rows: &[usize], in_loss: fn(&Self, usize) -> f64) -> Vec<RowWeight> {
        let mut weights = Vec::with_capacity(rows.len());
        weights.extend(rows.iter().map(|&row| RowWeight {
            loss: single(in_loss(self, row)),
            measures: single(self.of_row(row)),
        }));
        weights
    }
}

/// The factor of each class; `None` for numbers to predict.
fn of_classes(
    given: &ClassWeights,
    dataset: &Dataset,
    train: &[usize],
) -> Result<Option<Vec<f64>>, DataError> {
    let Targets::Classes(classes) = dataset.targets() else { return Ok(None) };
    let names = dataset.classes();
    let mut factors = vec![1.0; names.len()];
    match given {
        ClassWeights::Balanced => {
            let mut counts = vec![0_usize; names.len()];
            for class in pick(classes, train) {
                if let Some(count) = counts.get_mut(index(class)) {
                    *count += 1;
                }
            }
            let seen = counts.iter().filter(|count| **count > 0).count();
            for (factor, count) in factors.iter_mut().zip(&counts).filter(|(_, count)| **count > 0)
            {
                *factor = real(train.len()) / (real(seen) * real(*count));
            }
        }
        ClassWeights::Given(weights) => {
            for (name, weight) in weights {
                let place = names.iter().position(|class| class == name);
                let factor = place.and_then(|place| factors.get_mut(place));
                *factor.ok_or_else(|| unknown(name, names))? = *weight;
            }
        }
    }
    Ok(Some(factors))
}

fn unknown(class: &str, names: &[String]) -> DataError {
    let near = nearest(class, names.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("did you mean {:?}?", shown(near)),
        None => "names are compared as they are written".to_owned(),
    };
    DataError::UnknownClass { class: shown(class), classes: listed(names), hint }
}
