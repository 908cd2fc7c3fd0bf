//! What the readers return, before it is checked as a whole.

use crate::labels::Labels;

/// Values and labels as they were read.
pub(crate) struct Raw {
    /// The features, row by row; each row has one value per feature name.
    pub(crate) values: Vec<f32>,
    pub(crate) feature_names: Vec<String>,
    pub(crate) labels: Labels,
    /// The name of the column with the labels.
    pub(crate) label: String,
    /// Whether the features are the pixels of an image file, which share one unit.
    pub(crate) has_pixels: bool,
}
