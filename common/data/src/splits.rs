//! The splits of a data set, which a training needs.

use std::sync::Arc;

use crate::examples::Examples;
use crate::schema::Schema;

/// The splits of one data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// The rows to train on.
    pub train: Examples,
    /// The rows whose metrics the search optimises.
    pub validation: Examples,
    /// The rows on which only the winner is scored; `None` if the share is 0.
    pub test: Option<Examples>,
    /// Outputs of the network: the number of classes, or 1 for regression.
    pub outputs: u32,
    /// What turned the rows into examples, which a model needs to predict others; `None` for
    /// examples that were made otherwise.
    pub schema: Option<Arc<Schema>>,
}
