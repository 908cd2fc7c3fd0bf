//! The limits of every data set.

/// Most numbers (rows times columns) of a table.
pub const MAX_VALUES: usize = 1 << 29;
/// Most inputs (rows times features): 8 GiB of f32, most of them in temporary files.
pub const MAX_INPUTS: usize = 1 << 31;
/// Most features of a row.
pub const MAX_FEATURES: usize = 1 << 20;
/// Largest size of a number in a table, so that no sum of squares overflows.
pub const MAX_NUMBER: f64 = 1e100;
/// Most different texts of a category. A column with more is free text.
pub const MAX_CATEGORIES: usize = 1 << 16;
/// Most values of a category that has an input for each of them.
pub const MAX_ONE_HOT: usize = 64;
/// Most values of a category that have vectors of their own.
pub const MAX_EMBEDDED_VALUES: usize = 65_535;
/// Most classes of a label.
pub const MAX_CLASSES: usize = 1 << 16;
/// Longest name of a class, in bytes.
pub const MAX_LABEL_BYTES: usize = 1 << 10;
/// Longest row of a CSV file, in bytes: room for 63 bytes of each of the most features.
pub const MAX_RECORD_BYTES: usize = 1 << 26;
/// Fewest rows: 2 to train on, because batch normalisation needs them, and 1 to validate on.
pub const MIN_ROWS: usize = 3;
