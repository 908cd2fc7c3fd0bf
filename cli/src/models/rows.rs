//! The rows of a file, as a model reads them.

use std::path::Path;

use caviar_common::data::Task;
use caviar_data::{DataError, ReadCounts, ReadOptions, Schema, SchemaReader};

use crate::args::models::RowsArguments;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show::text;

/// Rows that are read and predicted at once.
pub(super) const BATCH: usize = 4_096;

/// Opens the file for a model.
pub(super) fn open<'s>(
    schema: &'s Schema,
    rows: &RowsArguments,
    labels: Option<&Path>,
    needs_label: bool,
) -> anyhow::Result<SchemaReader<'s>> {
    let options = ReadOptions {
        delimiter: rows.delimiter,
        header: rows.header,
        needs_label,
        labels: labels.map(|path| path.display().to_string()),
    };
    let path = rows.data.display().to_string();
    Ok(SchemaReader::open(schema, &path, &options).map_err(|error| in_input(&error))?)
}

/// An error in the file as a mistake in the arguments.
pub(super) fn in_input(error: &DataError) -> Failure {
    Failure::from_text(&error.to_string()).in_input()
}

/// Tells what was left out or not known.
pub(super) fn tell(schema: &Schema, counts: &ReadCounts) {
    let labels: Vec<String> = schema.labels().map(|it| format!("{:?}", it.name)).collect();
    let label = labels.join(" or ");
    for (column, &cells) in schema.columns.iter().zip(&counts.unknown_categories) {
        if cells > 0 {
            talk(&format!(
                "note: {} of column {:?} {} a category that the training did not have",
                text::count(cells, "cell"),
                column.name,
                if cells == 1 { "has" } else { "have" },
            ));
        }
    }
    if counts.unlabelled > 0 {
        let rows = text::count(counts.unlabelled, "row");
        talk(&format!("note: left out {rows} without a label in {label}"));
    }
    if counts.unknown_classes > 0 && schema.task() == Task::Classification {
        talk(&format!(
            "note: left out {} with a class in {label} that the model does not know",
            text::count(counts.unknown_classes, "row"),
        ));
    }
}
