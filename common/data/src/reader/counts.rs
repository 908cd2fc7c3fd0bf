//! What a reader met that its caller may want to report.

/// What was counted while a table was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Rows that were returned.
    pub rows: u64,
    /// Rows without a label, which were left out because labels were asked for.
    pub unlabelled: u64,
    /// Rows with a class that the model does not know.
    pub unknown_classes: u64,
    /// For each column of the schema, in its order, how many cells have a category that the data of
    /// the training did not have. Their inputs are 0.
    pub unknown_categories: Vec<u64>,
}
