//! The rows of a file of images.

use std::io::Read;

use super::batch::{RowBatch, Truth};
use super::chunks::Labelled;
use super::counts::ReadCounts;
use crate::error::DataError;
use crate::idx::Items;
use crate::schema::Schema;
use crate::schema_error::SchemaError;

/// Images that are read at once.
const IMAGES_AT_ONCE: usize = 64;

/// An open file of images.
pub(super) struct ImageTable<'s> {
    schema: &'s Schema,
    source: Source,
    /// The pixels that are encoded next.
    bytes: Vec<u8>,
}

enum Source {
    /// An IDX file, and the file of its labels with what each byte stands for.
    Files { images: Items<Box<dyn Read>>, labels: Option<(Items<Box<dyn Read>>, Truth)> },
    /// All pixels and labels, and how many images were returned.
    Memory { pixels: Vec<u8>, truth: Option<Truth>, returned: usize },
}

impl<'s> ImageTable<'s> {
    /// Images in an IDX file. `labels` is the file of their labels.
    pub(super) fn files(
        schema: &'s Schema,
        path: &str,
        images: Items<Box<dyn Read>>,
        labels: Option<(Items<Box<dyn Read>>, &str)>,
    ) -> Result<Self, DataError> {
        check_size(schema, path, images.size())?;
        if let Some((items, labels_path)) = &labels
            && items.left() != images.left()
        {
            return Err(DataError::CountMismatch {
                path: (*labels_path).to_owned(),
                labels: items.left(),
                images_path: path.to_owned(),
                images: images.left(),
            });
        }
        let labels = labels.map(|(items, _)| (items, of_bytes(schema)));
        Ok(Self { schema, source: Source::Files { images, labels }, bytes: Vec::new() })
    }

    /// Images of a size in memory. Rows without a label are left out.
    pub(super) fn memory(
        schema: &'s Schema,
        path: &str,
        size: [usize; 2],
        mut pixels: Vec<u8>,
        labels: Option<Labelled>,
    ) -> Result<Self, DataError> {
        check_size(schema, path, size)?;
        if let Some(labels) = &labels {
            labels.retain(&mut pixels, size.iter().product());
        }
        let truth = labels.and_then(|labels| labels.truth);
        let source = Source::Memory { pixels, truth, returned: 0 };
        Ok(Self { schema, source, bytes: Vec::new() })
    }

    /// Adds at most `rows` rows to the batch.
    pub(super) fn read(
        &mut self,
        batch: &mut RowBatch,
        rows: usize,
        counts: &mut ReadCounts,
    ) -> Result<(), DataError> {
        while batch.rows() < rows {
            let wanted = (rows - batch.rows()).min(IMAGES_AT_ONCE);
            let Self { schema, source, bytes } = self;
            let outputs = schema.labels().count();
            bytes.clear();
            let got = match source {
                Source::Files { images, labels } => {
                    let got = images.read(wanted, bytes)?;
                    if let Some((items, truth)) = labels {
                        let mut labels = Vec::with_capacity(got);
                        items.read(got, &mut labels)?;
                        labels
                            .iter()
                            .for_each(|&label| push((truth, 1), label.into(), batch, counts));
                    }
                    got
                }
                Source::Memory { pixels, truth, returned } => {
                    let width = schema.width().max(1);
                    let rest = pixels.get(*returned * width..).unwrap_or_default();
                    let got = (rest.len() / width).min(wanted);
                    bytes.extend_from_slice(rest.get(..got * width).unwrap_or_default());
                    let rows = *returned..*returned + got;
                    if let Some(truth) = truth {
                        rows.for_each(|row| push((truth, outputs), row, batch, counts));
                    }
                    *returned += got;
                    got
                }
            };
            if got == 0 {
                break;
            }
            schema.encoder.encode_pixels(bytes, batch.grow(got));
        }
        Ok(())
    }
}

/// Adds the label at an index, or the numbers of several, to the batch.
fn push(
    (truth, outputs): (&Truth, usize),
    index: usize,
    batch: &mut RowBatch,
    counts: &mut ReadCounts,
) {
    match (truth, &mut batch.truth) {
        (Truth::Classes(all), Some(Truth::Classes(classes))) => {
            let class = all.get(index).copied().flatten();
            counts.unknown_classes += u64::from(class.is_none());
            classes.push(class);
        }
        (Truth::Values(all), Some(Truth::Values(values))) => {
            values.extend(all.chunks(outputs.max(1)).nth(index).unwrap_or_default());
        }
        // Both are of the label's kind.
        (Truth::Classes(_), None | Some(Truth::Values(_)))
        | (Truth::Values(_), None | Some(Truth::Classes(_))) => {}
    }
}

/// The label that each byte of an IDX file stands for.
fn of_bytes(schema: &Schema) -> Truth {
    let bytes = 0..=u8::MAX;
    if schema.label.standard.is_some() {
        return Truth::Values(bytes.map(f64::from).collect());
    }
    let codes = super::cells::codes(&schema.label.classes);
    Truth::Classes(bytes.map(|byte| codes.get(byte.to_string().as_bytes()).copied()).collect())
}

fn check_size(schema: &Schema, path: &str, found: [usize; 2]) -> Result<(), DataError> {
    let path = || path.to_owned();
    match schema.pixels {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(SchemaError::ImageSize { path: path(), found, expected }.into()),
        None => Err(SchemaError::OtherKind {
            path: path(),
            found: "a file of images",
            expected: "a table",
        }
        .into()),
    }
}
