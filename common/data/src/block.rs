//! Blocks: a data set as one file that is mapped into memory.
//!
//! A block has what a reader returns: the columns, the targets and their schema. It is a function
//! of the data only, and not of the path, the machine or the time, so two clients that read the
//! same data make the same bytes, and the hash of the bytes names the data set.
//!
//! ```text
//! byte 0   "CAVIARBK"           magic
//!      8   version              u32, 2, or 3 if rows have weights, or 4 with several labels
//!     12   length of the schema u32
//!     16   length of the file   u64
//!     24   0                    u64, reserved
//!     32   schema               JSON, UTF-8
//!          columns              one after the other, each as its schema says
//!          roles                the columns that decide splits, in the same way
//!          targets              u32 classes or f64 values: one per row, or one per label
//! ```
//!
//! All numbers are little-endian. A column is stored in the fewest bytes that keep its numbers
//! exactly (see [`crate::cells`]); the pixels of images are one section, image by image.
//!
//! The bytes come from other machines. [`Dataset::from_block`] checks every length before it is
//! used, and every number, and computes the digest again.

use std::borrow::Cow;
use std::io;

use caviar_blob::Source;
use caviar_common::data::{ColumnType, DataNote, Task};
use caviar_common::limits::{MAX_DATA_NOTES, MAX_LABELS, MAX_NOTE_COLUMNS, MAX_TEXT_CHARS};
use caviar_common::numbers::{real, to_u64, to_usize};
use serde::{Deserialize, Serialize};

use crate::block_error::BlockError;
use crate::cells::{Cells, Pack, Section};
use crate::dataset::{Dataset, Parts};
use crate::examples::{Numbers, Targets};
use crate::forms::Form;
use crate::inputs::Inputs;
use crate::limits::{
    MAX_CATEGORIES, MAX_CLASSES, MAX_FEATURES, MAX_LABEL_BYTES, MAX_NUMBER, MAX_VALUES,
};
use crate::map::Bytes;
use crate::pixels::Pixels;
use crate::table::{
    Column, GIVEN_POOL, GIVEN_TEST, GIVEN_VALIDATION, LabelColumn, Roles, is_weight,
};

const MAGIC: &[u8; 8] = b"CAVIARBK";
/// The version of blocks without weights, which earlier builds read too.
const VERSION: u32 = 2;
/// The version of blocks with the weights of rows.
const WEIGHTED_VERSION: u32 = 3;
/// The version of blocks with several labels.
const SEVERAL_VERSION: u32 = 4;
/// Bytes before the schema.
const HEAD_BYTES: usize = 32;
/// Longest schema, in bytes. The names of the most classes, each of the greatest length, fit.
const MAX_SCHEMA_BYTES: usize = 1 << 27;
/// Bytes of a class, and of a value to predict.
const CLASS_BYTES: usize = 4;
const VALUE_BYTES: usize = 8;

/// What the numbers of a block mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Schema {
    task: Task,
    rows: usize,
    inputs: InputsSchema,
    label: LabelSchema,
    /// The other columns to predict, which are numbers. The targets are row by row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_labels: Vec<LabelSchema>,
    #[serde(default, skip_serializing_if = "RolesSchema::is_default")]
    roles: RolesSchema,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<DataNote>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputsSchema {
    Columns(Vec<ColumnSchema>),
    Pixels { height: usize, width: usize },
}

/// One column. A later release can add a type or a storage, which this release then refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ColumnSchema {
    name: String,
    #[serde(rename = "type")]
    kind: ColumnType,
    #[serde(flatten)]
    pack: Pack,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
}

/// How the columns that decide splits are stored, after the inputs and in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct RolesSchema {
    group: Option<Pack>,
    time: Option<Pack>,
    given: Option<Pack>,
    seasonal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<Pack>,
}

impl RolesSchema {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn row_bytes(&self) -> usize {
        let packs = [self.group, self.time, self.given, self.weight].into_iter().flatten();
        packs.map(|pack| pack.width.bytes()).sum()
    }
}

/// The column to predict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LabelSchema {
    name: String,
    /// The names of the classes, in order; empty for regression.
    classes: Vec<String>,
    /// How its numbers were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
}

/// A data set as the bytes of a block. The columns are not copied.
#[derive(Debug)]
pub struct BlockSource<'a> {
    head: Vec<u8>,
    dataset: &'a Dataset,
    targets: Vec<u8>,
    /// Where each part begins, and at last where the block ends, in bytes.
    starts: Vec<u64>,
}

impl<'a> BlockSource<'a> {
    /// The block of a data set.
    ///
    /// # Errors
    /// The schema is too long.
    pub fn new(dataset: &'a Dataset) -> Result<Self, BlockError> {
        let schema = Schema::of(dataset);
        let version = match (schema.more_labels.is_empty(), schema.roles.weight.is_some()) {
            (false, _) => SEVERAL_VERSION,
            (true, true) => WEIGHTED_VERSION,
            (true, false) => VERSION,
        };
        let schema = serde_json::to_vec(&schema)
            .map_err(|error| BlockError::Schema { what: error.to_string() })?;
        let schema_bytes = u32::try_from(schema.len()).ok();
        let Some(schema_bytes) = schema_bytes.filter(|_| schema.len() <= MAX_SCHEMA_BYTES) else {
            return Err(BlockError::LongSchema { bytes: to_u64(schema.len()) });
        };
        let targets = match dataset.targets() {
            Targets::Classes(rows) => rows.iter().flat_map(|class| class.to_le_bytes()).collect(),
            Targets::Values(rows) => {
                rows.all().iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        };
        let mut source = Self { head: Vec::new(), dataset, targets, starts: Vec::new() };
        let after_schema: usize = source.parts().map(<[u8]>::len).sum();
        let bytes = HEAD_BYTES + schema.len() + after_schema;
        let mut head = Vec::with_capacity(HEAD_BYTES + schema.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&version.to_le_bytes());
        head.extend_from_slice(&schema_bytes.to_le_bytes());
        head.extend_from_slice(&to_u64(bytes).to_le_bytes());
        head.extend_from_slice(&0u64.to_le_bytes());
        head.extend_from_slice(&schema);
        source.head = head;
        let mut end = 0;
        let mut starts = vec![end];
        for part in source.parts() {
            end += to_u64(part.len());
            starts.push(end);
        }
        source.starts = starts;
        Ok(source)
    }

    /// The parts of the file, in order.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (columns, pixels) = match self.dataset.inputs() {
            Inputs::Columns(columns) => (columns.as_slice(), None),
            Inputs::Pixels(pixels) => (&[][..], Some(pixels.bytes())),
        };
        let columns = columns.iter().map(|column| column.cells.bytes());
        let roles = self.dataset.roles().cells().map(Cells::bytes);
        let inputs = columns.chain(pixels).chain(roles);
        std::iter::once(self.head.as_slice()).chain(inputs).chain([&*self.targets])
    }

    fn part(&self, index: usize) -> Option<&[u8]> {
        let inputs = match self.dataset.inputs() {
            Inputs::Columns(columns) => columns.as_slice(),
            Inputs::Pixels(_) => &[],
        };
        match index.checked_sub(1).map(|column| inputs.get(column)) {
            Some(Some(column)) => Some(column.cells.bytes()),
            // The head, or one of the few parts after the columns.
            Some(None) | None => self.parts().nth(index),
        }
    }
}

impl Source for BlockSource<'_> {
    fn bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        // The last part that begins at or before the offset.
        let mut index = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(index).copied().unwrap_or_default();
        let mut skip = to_usize(offset - start);
        let mut chunk = Vec::new();
        while let Some(part) = self.part(index).filter(|_| chunk.len() < length) {
            let rest = part.get(skip..).unwrap_or_default();
            let missing = length - chunk.len();
            if chunk.is_empty()
                && let Some(whole) = rest.get(..missing)
            {
                return Ok(Cow::Borrowed(whole));
            }
            chunk.extend_from_slice(rest.get(..missing).unwrap_or(rest));
            skip = 0;
            index += 1;
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
        let column = |column: &Column| ColumnSchema {
            name: column.name.clone(),
            kind: column.kind,
            pack: column.cells.packing(),
            categories: column.categories.clone(),
            form: column.form,
        };
        Self {
            task: dataset.task(),
            rows: dataset.targets().len(),
            inputs: match dataset.inputs() {
                Inputs::Columns(columns) => {
                    InputsSchema::Columns(columns.iter().map(column).collect())
                }
                Inputs::Pixels(pixels) => {
                    let (height, width) = pixels.size();
                    InputsSchema::Pixels { height, width }
                }
            },
            label: LabelSchema {
                name: dataset.label().to_owned(),
                classes: dataset.classes().to_vec(),
                form: dataset.label_form(),
            },
            more_labels: {
                let labels = dataset.more_labels().iter().cloned();
                let schema = |LabelColumn { name, form }| {
                    let classes = Vec::new();
                    LabelSchema { name, classes, form }
                };
                labels.map(schema).collect()
            },
            roles: {
                let Roles { group, time, given, seasonal, weight } = dataset.roles();
                let pack = |cells: &Option<Cells>| cells.as_ref().map(Cells::packing);
                let (group, time, given) = (pack(group), pack(time), pack(given));
                let (seasonal, weight) = (seasonal.clone(), pack(weight));
                RolesSchema { group, time, given, seasonal, weight }
            },
            notes: dataset.notes().to_vec(),
        }
    }

    /// Checks what does not depend on the numbers.
    fn check(&self) -> Result<(), BlockError> {
        let wrong = |what: &str| Err(BlockError::Schema { what: what.to_owned() });
        let width = match &self.inputs {
            InputsSchema::Columns(columns) => Some(columns.len()),
            InputsSchema::Pixels { height, width } => height.checked_mul(*width),
        };
        let Some(width) = width.filter(|width| (1..=MAX_FEATURES).contains(width)) else {
            return wrong("inputs: expected 1 to 1048576 columns or pixels");
        };
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
        let more = &self.more_labels;
        let have_classes = has_classes || more.iter().any(|label| !label.classes.is_empty());
        if more.len() >= MAX_LABELS || !more.is_empty() && have_classes {
            return wrong("more_labels: expected at most 63, without classes, for regression");
        }
        if let InputsSchema::Columns(columns) = &self.inputs
            && let Some(what) = columns.iter().find_map(ColumnSchema::mistake)
        {
            return wrong(what);
        }
        let is_long = |text: &String| text.chars().count() > MAX_TEXT_CHARS;
        let is_short_note = |note: &DataNote| {
            note.columns.len() <= MAX_NOTE_COLUMNS
                && !note.columns.iter().chain([&note.code, &note.text]).any(is_long)
        };
        if self.notes.len() > MAX_DATA_NOTES || !self.notes.iter().all(is_short_note) {
            return wrong("notes: too many or too long");
        }
        Ok(())
    }

    /// Bytes of all columns or pixels.
    fn input_bytes(&self) -> usize {
        match &self.inputs {
            InputsSchema::Columns(columns) => {
                columns.iter().map(|column| column.pack.width.bytes() * self.rows).sum()
            }
            InputsSchema::Pixels { height, width } => height * width * self.rows,
        }
    }

    fn target_bytes(&self) -> usize {
        match self.task {
            Task::Classification => CLASS_BYTES * self.rows,
            Task::Regression => VALUE_BYTES * self.rows * (1 + self.more_labels.len()),
        }
    }
}

impl ColumnSchema {
    fn mistake(&self) -> Option<&'static str> {
        let texts = &self.categories;
        if self.kind != ColumnType::Category {
            return (!texts.is_empty()).then_some("categories: only a category has them");
        }
        if texts.len() > MAX_CATEGORIES || texts.iter().any(|text| text.len() > MAX_LABEL_BYTES) {
            return Some("categories: too many or too long");
        }
        let is_sorted = texts.windows(2).all(|pair| pair.first() < pair.last());
        (!is_sorted).then_some("categories: expected different texts in order")
    }
}

/// A block whose lengths fit.
struct Layout {
    schema: Schema,
    /// Where the columns begin, in bytes.
    start: usize,
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
        if ![VERSION, WEIGHTED_VERSION, SEVERAL_VERSION].contains(&version) {
            return Err(BlockError::Version { found: version });
        }
        let expected = u64::from(high) << 32 | u64::from(low);
        let schema_bytes = to_usize(u64::from(schema_bytes));
        if schema_bytes > MAX_SCHEMA_BYTES {
            return Err(BlockError::LongSchema { bytes: to_u64(schema_bytes) });
        }
        let start = HEAD_BYTES + schema_bytes;
        let schema = bytes.get(HEAD_BYTES..start);
        let schema = schema.ok_or(BlockError::Length { found, expected })?;
        let schema: Schema = serde_json::from_slice(schema)
            .map_err(|error| BlockError::Schema { what: error.to_string() })?;
        schema.check()?;
        // The limits of the schema keep these sums far below the largest number.
        let role_bytes = schema.roles.row_bytes() * schema.rows;
        let end = to_u64(start + schema.input_bytes() + role_bytes + schema.target_bytes());
        if found != end || found != expected {
            return Err(BlockError::Length { found, expected: end });
        }
        Ok(Self { schema, start })
    }
}

/// The magic and the four words after it.
fn head(bytes: &[u8]) -> Option<([u8; 8], [u32; 4])> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (words, _) = rest.get(..HEAD_BYTES - 8)?.as_chunks::<4>();
    let mut numbers = [0; 4];
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = u32::from_le_bytes(*word);
    }
    Some((*magic, numbers))
}

impl Dataset {
    /// Reads a block. The columns stay where they are, in the file that is mapped.
    ///
    /// # Errors
    /// The bytes are not a block, a length or a number is wrong, or the data cannot be trained on.
    pub fn from_block(bytes: Bytes) -> Result<Self, BlockError> {
        let Layout { schema, start } = Layout::read(bytes.get())?;
        let roles_at = start + schema.input_bytes();
        let targets_at = roles_at + schema.roles.row_bytes() * schema.rows;
        let targets = bytes.get().get(targets_at..).unwrap_or_default();
        let targets = match schema.task {
            Task::Classification => Targets::Classes(words(targets, u32::from_le_bytes)),
            Task::Regression => {
                let numbers = words(targets, f64::from_le_bytes);
                let numbers = Numbers::from_rows(1 + schema.more_labels.len(), numbers);
                // The layout has as many.
                Targets::Values(numbers.unwrap_or_else(|| Vec::new().into()))
            }
        };
        check_targets(&targets, schema.label.classes.len())?;
        let inputs = inputs(schema.inputs, schema.rows, &bytes, start)?;
        let roles = roles(schema.roles, schema.rows, &bytes, roles_at)?;
        let parts = Parts {
            inputs,
            targets,
            classes: schema.label.classes,
            label: schema.label.name,
            label_form: schema.label.form,
            more_labels: {
                let labels = schema.more_labels.into_iter();
                labels.map(|LabelSchema { name, form, .. }| LabelColumn { name, form }).collect()
            },
            roles,
            notes: schema.notes,
        };
        Self::new(parts, "the block", crate::error::LABEL)
            .map_err(|error| BlockError::Data { what: error.to_string() })
    }
}

/// The inputs that begin at byte `start` of a block.
fn inputs(
    schema: InputsSchema,
    rows: usize,
    block: &Bytes,
    start: usize,
) -> Result<Inputs, BlockError> {
    let mut end = start;
    let mut section = |bytes: usize| {
        let range = end..end + bytes;
        end = range.end;
        Section::Block { block: block.clone(), range }
    };
    match schema {
        InputsSchema::Pixels { height, width } => {
            let section = section(height * width * rows);
            Ok(Inputs::Pixels(Pixels::new(height, width, section)))
        }
        InputsSchema::Columns(columns) => {
            let column = |schema: ColumnSchema| {
                let section = section(schema.pack.width.bytes() * rows);
                let cells = Cells::from_section(schema.pack, section);
                let ColumnSchema { name, kind, categories, form, .. } = schema;
                let column = Column { name, kind, cells, categories, form };
                check_column(&column).map(|()| column)
            };
            Ok(Inputs::Columns(columns.into_iter().map(column).collect::<Result<_, _>>()?))
        }
    }
}

/// The columns that are not inputs, from byte `start` of a block on.
fn roles(
    schema: RolesSchema,
    rows: usize,
    block: &Bytes,
    start: usize,
) -> Result<Roles, BlockError> {
    let mut end = start;
    let mut cells = |pack: Option<Pack>| {
        let pack = pack?;
        let range = end..end + pack.width.bytes() * rows;
        end = range.end;
        Some(Cells::from_section(pack, Section::Block { block: block.clone(), range }))
    };
    let (group, time, given) = (cells(schema.group), cells(schema.time), cells(schema.given));
    let weight = cells(schema.weight);
    let all = |cells: &Option<Cells>, is_legal: fn(f64) -> bool| {
        cells.iter().flat_map(Cells::iter).all(is_legal)
    };
    let is_group = |code: f64| code.is_nan() || code >= 0.0 && code.fract() == 0.0;
    let is_given = |part: f64| [GIVEN_POOL, GIVEN_VALIDATION, GIVEN_TEST].contains(&part);
    let are_legal = all(&group, is_group)
        && all(&time, |time| time.abs() <= MAX_NUMBER)
        && all(&given, is_given)
        && all(&weight, is_weight);
    if are_legal {
        Ok(Roles { group, time, given, seasonal: schema.seasonal, weight })
    } else {
        Err(BlockError::Number {
            what: "a group, a time, the file or the weight of a row is wrong",
        })
    }
}

/// The little-endian numbers of a section.
fn words<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| read(*word)).collect()
}

/// Checks every number of a column.
fn check_column(column: &Column) -> Result<(), BlockError> {
    let categories = real(column.categories.len());
    let is_legal = |value: f64| match column.kind {
        ColumnType::Number | ColumnType::Date => value.abs() <= MAX_NUMBER,
        ColumnType::Boolean => value == 0.0 || value == 1.0,
        ColumnType::Category => value >= 0.0 && value < categories && value.fract() == 0.0,
    };
    if column.cells.iter().all(|value| value.is_nan() || is_legal(value)) {
        Ok(())
    } else {
        Err(BlockError::Number { what: "a value does not fit the type of its column" })
    }
}

/// Checks every target.
fn check_targets(targets: &Targets<f64>, classes: usize) -> Result<(), BlockError> {
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
            if !values.all().iter().all(|value| value.abs() <= MAX_NUMBER) {
                return Err(BlockError::Number { what: "a target is not finite" });
            }
        }
    }
    Ok(())
}
