//! The splits of a data set, which a training needs, and the folds of a cross-validation.

use std::sync::Arc;

use crate::examples::Examples;
use crate::schema::Schema;

/// The splits of one data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// The rows to train on.
    pub train: Examples,
    /// The rows whose metrics the search optimises. A cross-validation has none: each of its folds
    /// has its own.
    pub validation: Examples,
    /// The folds of a cross-validation, at least 2; empty without.
    pub folds: Vec<Fold>,
    /// The rows on which only the winner is scored; `None` if the share is 0.
    pub test: Option<Examples>,
    /// Outputs of the network: the number of classes, or 1 for regression.
    pub outputs: u32,
    /// What turned the rows into examples, which a model needs to predict others; `None` for
    /// examples that were made otherwise.
    pub schema: Option<Arc<Schema>>,
}

/// One fold of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// The rows of [`Splits::train`] that a model for this fold is trained on, ascending: those of
    /// all other folds.
    pub train: Vec<u32>,
    /// The rows of this fold, which validate that model.
    pub validation: Examples,
}

impl Splits {
    /// The examples that validate a model for the fold with this index; without folds, or for an
    /// index beyond them, those of the validation split.
    pub fn validation(&self, fold: usize) -> &Examples {
        self.folds.get(fold).map_or(&self.validation, |fold| &fold.validation)
    }

    /// The number of models that each assignment needs: the number of folds, or 1.
    pub fn parts(&self) -> usize {
        self.folds.len().max(1)
    }
}
