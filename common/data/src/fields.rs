//! The fields of `[data]` in a sweep file, which errors name.

pub(crate) const SOURCE: &str = "data.source";
pub(crate) const LABEL: &str = "data.label";
pub(crate) const LABELS: &str = "data.labels";
pub(crate) const VALIDATION: &str = "data.validation";
pub(crate) const TEST: &str = "data.test";
pub(crate) const DELIMITER: &str = "data.delimiter";
pub(crate) const MISSING: &str = "data.missing";
pub(crate) const HEADER: &str = "data.header";
pub(crate) const COLUMNS: &str = "data.columns";
pub(crate) const IGNORE: &str = "data.ignore";
pub(crate) const TYPES: &str = "data.types";
pub(crate) const GROUP: &str = "data.group";
pub(crate) const TIME: &str = "data.time";
pub(crate) const WEIGHT: &str = "data.weight";
pub(crate) const CLASS_WEIGHTS: &str = "data.class_weights";
pub(crate) const VALIDATION_SOURCE: &str = "data.validation_source";
pub(crate) const FOLDS: &str = "data.folds";
pub(crate) const TEST_SOURCE: &str = "data.test_source";
