//! Where the data of a sweep is, and what was found in it.

use caviar_common::data::{
    Baseline, ClassWeights, DataNote, DataSpec, DataSummary, NoteLevel, SplitSpec, TableSpec, Task,
    WeightSpec,
};
use caviar_common::error::Problem;
use caviar_common::limits::{MAX_DATA_NOTES, MAX_NOTE_COLUMNS};
use caviar_common::text::{one_of, quoted};

use super::artifacts::{decode_optional_blob, encode_blob};
use super::field::{Within, at_most, clip, finite, required, text};
use super::metrics::{decode_optional_score, encode_score};
use crate::v1;

/// Converts where the data is to the wire, with every default filled in.
pub fn encode_data(data: &DataSpec) -> v1::DataSpec {
    if data.is_external() {
        return v1::DataSpec { source: Some(data.source.clone()), ..v1::DataSpec::default() };
    }
    let has_share = data.split.validation_source.is_none() && data.split.folds.is_none();
    v1::DataSpec {
        source: Some(data.source.clone()),
        label: data.label.clone(),
        more_labels: data.more_labels.clone(),
        labels: data.labels.clone(),
        task: data.task.map(|task| task.name().to_owned()),
        // A share next to folds or a file with the split would be refused.
        validation: has_share.then_some(data.validation),
        test: data.split.test_source.is_none().then_some(data.test),
        table: encode_table(&data.table),
        split: encode_split(&data.split),
        weights: encode_weights(&data.weights),
    }
}

fn encode_split(split: &SplitSpec) -> Option<v1::SplitSpec> {
    let SplitSpec { group, time, validation_source, test_source, folds } = split.clone();
    let folds = folds.map(u64::from);
    let wire = v1::SplitSpec { group, time, validation_source, test_source, folds };
    (wire != v1::SplitSpec::default()).then_some(wire)
}

fn encode_weights(weights: &WeightSpec) -> Option<v1::WeightSpec> {
    let WeightSpec { classes, column } = weights.clone();
    let (class_weights, of_classes) = match classes {
        Some(ClassWeights::Balanced) => (Some(ClassWeights::BALANCED.to_owned()), None),
        Some(ClassWeights::Given(weights)) => (None, Some(weights)),
        None => (None, None),
    };
    let of_classes = of_classes.unwrap_or_default();
    let wire = v1::WeightSpec { class_weights, of_classes, column };
    (wire != v1::WeightSpec::default()).then_some(wire)
}

fn encode_table(table: &TableSpec) -> Option<v1::TableSpec> {
    let TableSpec { delimiter, header, columns, ignore, types, missing } = table;
    let wire = v1::TableSpec {
        delimiter: delimiter.map(String::from),
        header: *header,
        columns: columns.clone(),
        ignore: ignore.clone(),
        types: types.iter().map(|(name, kind)| (name.clone(), kind.name().to_owned())).collect(),
        missing: missing.clone(),
    };
    (wire != v1::TableSpec::default()).then_some(wire)
}

pub(super) fn encode_summary(data: &DataSummary) -> v1::DataSummary {
    let note = |note: &DataNote| v1::DataNote {
        level: note.level.name().to_owned(),
        code: note.code.clone(),
        columns: note.columns.iter().map(|name| clip(name)).collect(),
        text: clip(&note.text),
    };
    v1::DataSummary {
        train: data.train,
        validation: data.validation,
        test: data.test,
        features: data.features,
        numbers: data.numbers,
        pixels: data.pixels,
        categories: data.categories,
        category_values: data.category_values,
        outputs: data.outputs,
        folds: data.folds,
        digest: data.digest.clone(),
        block: data.block.as_ref().map(encode_blob),
        task: data.task.map(|task| task.name().to_owned()),
        label_deviation: data.label_deviation,
        baseline: data.baseline.map(|baseline| v1::Baseline {
            validation: Some(encode_score(&baseline.validation)),
            test: baseline.test.as_ref().map(encode_score),
        }),
        notes: data.notes.iter().map(note).collect(),
    }
}

pub(super) fn decode_summary(wire: v1::DataSummary) -> Result<DataSummary, Problem> {
    let notes = at_most("notes", wire.notes, MAX_DATA_NOTES)?.into_iter().enumerate();
    Ok(DataSummary {
        train: wire.train,
        validation: wire.validation,
        test: wire.test,
        features: wire.features,
        numbers: wire.numbers,
        pixels: wire.pixels,
        categories: wire.categories,
        category_values: wire.category_values,
        outputs: wire.outputs,
        folds: wire.folds.max(1),
        digest: text("digest", wire.digest)?,
        block: decode_optional_blob("block", wire.block)?,
        task: wire.task.map(|name| decode_task(&name)).transpose()?,
        label_deviation: wire
            .label_deviation
            .map(|deviation| finite("label_deviation", deviation))
            .transpose()?,
        baseline: wire.baseline.map(decode_baseline).transpose().within("baseline")?,
        notes: notes.map(|(i, note)| decode_note(note).at("notes", i)).collect::<Result<_, _>>()?,
    })
}

fn decode_task(name: &str) -> Result<Task, Problem> {
    Task::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| {
        let message = format!("expected {}", one_of(Task::ALL.map(Task::name)));
        Problem::with_value("task", quoted(name), message)
    })
}

fn decode_baseline(wire: v1::Baseline) -> Result<Baseline, Problem> {
    let validation = decode_optional_score("validation", wire.validation)?;
    Ok(Baseline {
        validation: required("validation", validation)?,
        test: decode_optional_score("test", wire.test)?,
    })
}

fn decode_note(wire: v1::DataNote) -> Result<DataNote, Problem> {
    let levels = [NoteLevel::Info, NoteLevel::Warning];
    let level = levels.into_iter().find(|level| level.name() == wire.level).ok_or_else(|| {
        let message = format!("expected {}", one_of(levels.map(NoteLevel::name)));
        Problem::with_value("level", quoted(&wire.level), message)
    })?;
    let columns = at_most("columns", wire.columns, MAX_NOTE_COLUMNS)?.into_iter().enumerate();
    Ok(DataNote {
        level,
        code: text("code", wire.code)?,
        columns: columns
            .map(|(i, name)| text("", name).at("columns", i))
            .collect::<Result<_, _>>()?,
        text: text("text", wire.text)?,
    })
}
