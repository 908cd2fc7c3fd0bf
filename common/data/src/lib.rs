//! The data of a sweep: readers, splits and standardisation.
//!
//! [`load()`] reads the data that a [`DataSpec`](caviar_common::data::DataSpec) names and checks
//! every value. [`split()`] draws the splits from the sweep's seed and standardises them with the
//! statistics of the training split only. [`prepare`] does both. All three are functions of their
//! arguments and the files, so every worker gets the same examples. The [digest](Dataset::digest)
//! tells whether two machines read the same data.
//!
//! A data set is sent to other machines as a block: [`BlockSource`] makes its bytes, and
//! [`Dataset::from_block`] reads them from a file that is mapped into memory.
//!
//! ```
//! use caviar_common::data::DataSpec;
//!
//! let spec = DataSpec {
//!     source: "builtin:digits".to_owned(),
//!     validation: 0.2,
//!     test: 0.1,
//!     ..DataSpec::default()
//! };
//! let (splits, summary) = caviar_data::prepare(&spec, 7)?;
//! assert_eq!((summary.features, summary.outputs), (64, 10));
//! assert_eq!((summary.train, summary.validation, summary.test), (1258, 359, 180));
//! assert_eq!(splits.train.features.dim(), (1258, 64));
//!
//! let error = caviar_data::load(&DataSpec { source: "digits.xlsx".to_owned(), ..spec });
//! assert!(error.unwrap_err().to_string().starts_with("digits.xlsx: unknown format"));
//! # Ok::<(), caviar_data::DataError>(())
//! ```

mod arrays;
mod block;
mod block_error;
mod cells;
#[cfg(feature = "arrow")]
mod columnar;
mod content;
mod dataset;
mod delimited;
mod draw;
mod embedded;
mod encode;
mod error;
mod error_class;
mod examples;
mod fault;
mod features;
mod fields;
mod file_error;
mod folds;
mod format;
mod forms;
mod given;
mod idx;
mod inputs;
mod inspect;
mod labels;
mod leaks;
mod libsvm;
pub mod limits;
mod load;
mod map;
mod memory;
mod missing;
mod numpy;
mod pixels;
mod reader;
mod schema;
mod schema_check;
mod schema_error;
mod scratch;
mod shelf;
mod sparse;
mod split;
mod splits;
mod spool;
mod standard;
mod stored;
mod stream;
mod summary;
mod suspicions;
mod table;
mod task_rule;
#[cfg(test)]
mod tests;
mod text;
mod weights;

pub use block::BlockSource;
pub use block_error::BlockError;
pub use dataset::Dataset;
pub use embedded::{CategoryInput, Embedded};
pub use encode::{Encoder, Encoding, Number, OneHot, Parts};
pub use error::DataError;
pub use examples::{Examples, Numbers, RowWeight, Targets};
pub use fault::{BadCell, Fault};
pub use features::{FeatureWindow, Features, FileFeatures};
pub use file_error::FileError;
pub use inspect::{ColumnProfile, Header, Inspection, LabelProfile, header, inspect};
pub use load::{load, load_within, prepare};
pub use map::Bytes;
pub use memory::MemoryBudget;
pub use reader::{ReadCounts, ReadOptions, RowBatch, SchemaReader, Truth};
pub use schema::{InputColumn, Label, Schema};
pub use schema_check::SchemaFault;
pub use schema_error::SchemaError;
pub use split::{SplitRows, split, split_rows, split_within, whole};
pub use splits::{Fold, Splits};
pub use standard::Standard;
