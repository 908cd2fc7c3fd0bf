//! What a reader returns, in whatever format the data is.

use caviar_common::data::DataSpec;

use crate::dataset::{Dataset, Parts};
use crate::error::DataError;
use crate::table::Table;

/// Data as a reader returns it.
pub(crate) enum Content {
    Table(Table),
    Images(Parts),
}

impl Content {
    /// Checks the data as a whole. `label_field` is the field of the sweep file that names the
    /// labels.
    pub(crate) fn into_dataset(
        self,
        spec: &DataSpec,
        label_field: &'static str,
    ) -> Result<Dataset, DataError> {
        match self {
            Self::Table(table) => Dataset::from_table(table, spec, label_field),
            Self::Images(parts) => Dataset::new(parts, &spec.source, label_field),
        }
    }
}
