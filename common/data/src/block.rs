//! Blocks: a data set as one file that is mapped into memory.
//!
//! A block has what a reader returns: the numbers and their schema. It is a function of the data
//! only, and not of the path, the machine or the time, so two clients that read the same data make
//! the same bytes, and the hash of the bytes names the data set.
//!
//! ```text
//! byte 0   "CAVIARBK"           magic
//!      8   version              u32, 1
//!     12   length of the schema u32
//!     16   length of the file   u64
//!     24   0                    u64, reserved
//!     32   schema               JSON, UTF-8
//!          zeros up to a multiple of 64
//!      F   features             f32, row by row: rows x columns
//!          zeros up to a multiple of 64
//!      T   targets              u32 classes or f32 values: one per row
//! ```
//!
//! All numbers are little-endian. The features are row-major, because that is how they are used: a
//! split gathers rows, and a mini-batch gathers rows of a split. So the largest part of a block is
//! read in place from the mapped file, and copied once, when its rows are standardised. With one
//! array for each column every row would be gathered from as many places.
//!
//! The bytes come from other machines. [`Dataset::from_block`] checks every length before it is
//! used, and every number, and computes the digest again.

use std::borrow::Cow;
use std::io;

use caviar_blob::Source;
use caviar_common::data::Task;
use caviar_common::numbers::{to_u64, to_usize};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use crate::dataset::{Dataset, Parts};
use crate::error::BlockError;
use crate::examples::Targets;
use crate::features::{Features, NUMBER_BYTES, floats};
use crate::limits::{MAX_CLASSES, MAX_FEATURES, MAX_LABEL_BYTES, MAX_VALUES};
use crate::map::Bytes;

const MAGIC: &[u8; 8] = b"CAVIARBK";
const VERSION: u32 = 1;
/// Bytes before the schema.
const HEAD_BYTES: usize = 32;
/// What the features and the targets are aligned to: a line of the cache.
const ALIGNMENT: usize = 64;
/// Longest schema, in bytes. The names of the most classes, each of the greatest length, fit.
const MAX_SCHEMA_BYTES: usize = 1 << 27;

/// What the numbers of a block mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Schema {
    task: Task,
    rows: usize,
    columns: Vec<Column>,
    label: Label,
    /// Whether the features are the pixels of an image file.
    pixels: bool,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: ColumnKind,
}

/// The type of a column. A later release can add one, which this release then refuses by name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ColumnKind {
    /// A finite number in every row.
    Number,
}

/// The column to predict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Label {
    name: String,
    /// The names of the classes, in order; empty for regression.
    classes: Vec<String>,
}

/// A data set as the bytes of a block. The features and targets are not copied.
#[derive(Debug)]
pub struct BlockSource<'a> {
    head: Vec<u8>,
    features: Cow<'a, [u8]>,
    padding: usize,
    targets: Cow<'a, [u8]>,
}

impl<'a> BlockSource<'a> {
    /// The block of a data set.
    ///
    /// # Errors
    /// The schema is too long.
    pub fn new(dataset: &'a Dataset) -> Result<Self, BlockError> {
        let view = dataset.features();
        let features = match view.to_slice() {
            Some(features) => numbers(features),
            None => Cow::Owned(view.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        let targets = match dataset.targets() {
            Targets::Classes(classes) => numbers(classes),
            Targets::Values(values) => numbers(values),
        };
        let schema = Schema::of(dataset);
        let schema = serde_json::to_vec(&schema)
            .map_err(|error| BlockError::Schema { what: error.to_string() })?;
        if schema.len() > MAX_SCHEMA_BYTES {
            return Err(BlockError::LongSchema { bytes: to_u64(schema.len()) });
        }
        let start = (HEAD_BYTES + schema.len()).next_multiple_of(ALIGNMENT);
        let padding = padding(features.len());
        let bytes = start + features.len() + padding + targets.len();
        let mut head = Vec::with_capacity(start);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        // The schema is shorter than its limit, which fits.
        head.extend_from_slice(&u32::try_from(schema.len()).unwrap_or(u32::MAX).to_le_bytes());
        head.extend_from_slice(&to_u64(bytes).to_le_bytes());
        head.extend_from_slice(&0u64.to_le_bytes());
        head.extend_from_slice(&schema);
        head.resize(start, 0);
        Ok(Self { head, features, padding, targets })
    }

    /// The parts of the file, in order.
    fn parts(&self) -> [&[u8]; 4] {
        const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
        [&self.head, &self.features, ZEROS.get(..self.padding).unwrap_or_default(), &self.targets]
    }
}

/// Numbers as little-endian bytes, in place where the machine has this order.
fn numbers<T: zerocopy::IntoBytes + zerocopy::Immutable + LittleEndian>(
    values: &[T],
) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(values.as_bytes())
    } else {
        Cow::Owned(values.iter().flat_map(LittleEndian::to_le).collect())
    }
}

/// A number of four bytes.
trait LittleEndian {
    fn to_le(&self) -> [u8; NUMBER_BYTES];
}

impl LittleEndian for u32 {
    fn to_le(&self) -> [u8; NUMBER_BYTES] {
        self.to_le_bytes()
    }
}

impl LittleEndian for f32 {
    fn to_le(&self) -> [u8; NUMBER_BYTES] {
        self.to_le_bytes()
    }
}

/// Zeros between two parts. The first part has `bytes`.
const fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT) - bytes
}

impl Source for BlockSource<'_> {
    fn bytes(&self) -> u64 {
        self.parts().into_iter().map(|part| to_u64(part.len())).sum()
    }

    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let mut skip = to_usize(offset);
        let mut chunk = Vec::new();
        for part in self.parts() {
            let Some(rest) = part.get(skip..) else {
                skip -= part.len();
                continue;
            };
            skip = 0;
            let missing = length - chunk.len();
            if chunk.is_empty()
                && let Some(whole) = rest.get(..missing)
            {
                return Ok(Cow::Borrowed(whole));
            }
            chunk.extend_from_slice(rest.get(..missing).unwrap_or(rest));
        }
        if chunk.len() == length {
            Ok(Cow::Owned(chunk))
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl Schema {
    fn of(dataset: &Dataset) -> Self {
        let column = |name: &String| Column { name: name.clone(), kind: ColumnKind::Number };
        Self {
            task: dataset.task(),
            rows: dataset.targets().len(),
            columns: dataset.feature_names().iter().map(column).collect(),
            label: Label { name: dataset.label().to_owned(), classes: dataset.classes().to_vec() },
            pixels: dataset.has_pixels(),
        }
    }

    /// Checks what does not depend on the numbers.
    fn check(&self) -> Result<(), BlockError> {
        let wrong = |what: &str| Err(BlockError::Schema { what: what.to_owned() });
        let width = self.columns.len();
        if width == 0 || width > MAX_FEATURES {
            return wrong("columns: expected 1 to 1048576");
        }
        if self.rows.checked_mul(width).is_none_or(|values| values > MAX_VALUES) {
            return wrong("rows: too many for the number of columns");
        }
        let classes = &self.label.classes;
        let has_classes = self.task == Task::Classification;
        if has_classes == classes.is_empty() || classes.len() > MAX_CLASSES {
            return wrong("label.classes: expected names for classification, none for regression");
        }
        if classes.iter().any(|name| name.len() > MAX_LABEL_BYTES) {
            return wrong("label.classes: a name is too long");
        }
        Ok(())
    }
}

/// The parts of a block whose lengths fit.
struct Layout {
    schema: Schema,
    /// Where the features begin, in bytes.
    features: usize,
    /// Where the targets begin.
    targets: usize,
}

impl Layout {
    fn read(bytes: &[u8]) -> Result<Self, BlockError> {
        let found = to_u64(bytes.len());
        let Some((magic, [version, schema_bytes, low, high])) = head(bytes) else {
            return Err(BlockError::NotABlock);
        };
        if magic != *MAGIC {
            return Err(BlockError::NotABlock);
        }
        if version != VERSION {
            return Err(BlockError::Version { found: version });
        }
        let expected = u64::from(high) << 32 | u64::from(low);
        let schema_bytes = to_usize(u64::from(schema_bytes));
        if schema_bytes > MAX_SCHEMA_BYTES {
            return Err(BlockError::LongSchema { bytes: to_u64(schema_bytes) });
        }
        let schema = bytes.get(HEAD_BYTES..HEAD_BYTES + schema_bytes);
        let schema = schema.ok_or(BlockError::Length { found, expected })?;
        let schema: Schema = serde_json::from_slice(schema)
            .map_err(|error| BlockError::Schema { what: error.to_string() })?;
        schema.check()?;
        let features = (HEAD_BYTES + schema_bytes).next_multiple_of(ALIGNMENT);
        // The limits of the schema keep these sums far below the largest number.
        let feature_bytes = schema.rows * schema.columns.len() * NUMBER_BYTES;
        let targets = (features + feature_bytes).next_multiple_of(ALIGNMENT);
        let end = to_u64(targets + schema.rows * NUMBER_BYTES);
        if found != end || found != expected {
            return Err(BlockError::Length { found, expected: end });
        }
        Ok(Self { schema, features, targets })
    }
}

/// The magic and the four words after it.
fn head(bytes: &[u8]) -> Option<([u8; 8], [u32; 4])> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (words, _) = rest.get(..HEAD_BYTES - 8)?.as_chunks::<NUMBER_BYTES>();
    let mut numbers = [0; 4];
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = u32::from_le_bytes(*word);
    }
    Some((*magic, numbers))
}

/// The words from byte `start` on.
fn words(bytes: &[u8], start: usize) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.get(start..).unwrap_or_default().as_chunks::<NUMBER_BYTES>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

impl Dataset {
    /// Reads a block. The features stay where they are, in the file that is mapped.
    ///
    /// # Errors
    /// The bytes are not a block, a length or a number is wrong, or the data cannot be trained on.
    pub fn from_block(bytes: Bytes) -> Result<Self, BlockError> {
        let Layout { schema, features: start, targets: at } = Layout::read(bytes.get())?;
        let shape = (schema.rows, schema.columns.len());
        let count = shape.0 * shape.1;
        let targets = words(bytes.get(), at);
        let targets = match schema.task {
            Task::Classification => Targets::Classes(targets.collect()),
            Task::Regression => Targets::Values(targets.map(f32::from_bits).collect()),
        };
        let features = if floats(bytes.get(), start, count).is_some() {
            Features::Block { bytes, start, shape }
        } else {
            let values = words(bytes.get(), start).take(count).map(f32::from_bits).collect();
            let features = Array2::from_shape_vec(shape, values);
            Features::Owned(features.map_err(|_| BlockError::NotABlock)?)
        };
        check_numbers(&features, &targets, schema.label.classes.len())?;
        let feature_names = schema.columns.into_iter().map(|column| column.name).collect();
        let parts = Parts {
            features,
            targets,
            classes: schema.label.classes,
            feature_names,
            label: schema.label.name,
            has_pixels: schema.pixels,
        };
        Self::new(parts, "the block", crate::error::LABEL)
            .map_err(|error| BlockError::Data { what: error.to_string() })
    }
}

/// Checks every feature and every target.
fn check_numbers(features: &Features, targets: &Targets, classes: usize) -> Result<(), BlockError> {
    let features = features.view();
    if features.nrows() != targets.len() {
        return Err(BlockError::NotABlock);
    }
    if !features.iter().all(|value| value.is_finite()) {
        return Err(BlockError::Number { what: "a feature is not finite" });
    }
    match targets {
        Targets::Classes(rows) => {
            let mut seen = vec![false; classes];
            for row in rows {
                let known = usize::try_from(*row).ok().and_then(|class| seen.get_mut(class));
                *known.ok_or(BlockError::Number { what: "a class has no name" })? = true;
            }
            if seen.contains(&false) {
                return Err(BlockError::Number { what: "a class has no row" });
            }
        }
        Targets::Values(values) => {
            if !values.iter().all(|value| value.is_finite()) {
                return Err(BlockError::Number { what: "a target is not finite" });
            }
        }
    }
    Ok(())
}
