//! The folder of a model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_model::{
    Model, ModelFile, OnnxForm, OnnxOptions, card, onnx, pytorch_example, safetensors,
};
use serde_json::json;

use super::figures;
use crate::args::models::{FolderArguments, ModelFormat};
use crate::failure::Failure;
use caviar_metrics::Report;

/// What precedes the measures in the card of a model that was trained on all rows.
const REFIT: &str = "This model was trained on all rows of the data, so that none are left to \
                     measure it. These are the figures of the same networks when they were \
                     trained without the rows that measure them.\n\n";

/// What the folder of a model is made from.
pub(super) struct Contents<'a> {
    pub(super) model: &'a Model,
    pub(super) arguments: &'a FolderArguments,
    /// The measures by split.
    pub(super) reports: &'a [(String, Report)],
    /// The model was trained on all rows, and the measures are those of the model before.
    pub(super) is_refit: bool,
    /// The sweep file, as the sweep ran.
    pub(super) sweep: String,
    /// What can mislead in the data.
    pub(super) warnings: Vec<String>,
}

/// Writes the folder, and says what it has. It appears when it is complete.
pub(super) fn write(default_name: &str, contents: &Contents<'_>) -> anyhow::Result<String> {
    let folder = &contents.arguments.folder(default_name);
    check_free(folder)?;
    let files = contents.files()?;
    let partial = partial(folder);
    let _gone = fs::remove_dir_all(&partial);
    let writing = || format!("writing {}", folder.display());
    fs::create_dir_all(&partial).with_context(writing)?;
    for (name, bytes) in &files {
        fs::write(partial.join(name), bytes).with_context(writing)?;
    }
    // An empty folder may be there.
    let _none = fs::remove_dir(folder);
    fs::rename(&partial, folder).with_context(writing)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    Ok(format!("{}: {}", folder.display(), names.join(", ")))
}

impl FolderArguments {
    /// The folder that is written.
    pub(super) fn folder(&self, default_name: &str) -> PathBuf {
        self.output.clone().unwrap_or_else(|| PathBuf::from(default_name))
    }
}

/// Refuses a folder that has files, and a path that is a file.
pub(super) fn check_free(folder: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !folder.exists(),
    };
    if is_free {
        return Ok(());
    }
    let hint = "to write another folder: -o DIR; or remove this one first";
    Err(Failure::hinted(format!("{} is there already", folder.display()), hint).in_input())
}

fn partial(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl Contents<'_> {
    fn files(&self) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let Self { model, reports, .. } = self;
        let mut files = Vec::new();
        let mut kinds = Vec::new();
        for format in [
            ModelFormat::Caviar,
            ModelFormat::Onnx,
            ModelFormat::OnnxCore,
            ModelFormat::Safetensors,
        ] {
            if !self.arguments.format.contains(&format) {
                continue;
            }
            let (file, bytes) = self.file(format)?;
            files.push((file.name(), bytes));
            kinds.push(file);
            if format == ModelFormat::Safetensors {
                files.push(("model.py", pytorch_example(model).into_bytes()));
            }
        }
        let metrics = if reports.is_empty() {
            "There are none: the splits have too many rows.".to_owned()
        } else {
            figures::markdown(reports, self.model.schema())
        };
        let metrics = if self.is_refit { format!("{REFIT}{metrics}") } else { metrics };
        let metrics = format!("{metrics}{}", self.warnings_in_card());
        let mut by_split: serde_json::Map<String, serde_json::Value> =
            reports.iter().map(|(split, report)| (split.clone(), json!(report))).collect();
        let labels = figures::several(self.model.schema());
        if !labels.is_empty() {
            // The order of `outputs` in each report.
            by_split.insert("labels".to_owned(), json!(labels));
        }
        let pretty = |value: &serde_json::Value| -> anyhow::Result<Vec<u8>> {
            let mut bytes = serde_json::to_vec_pretty(value)?;
            bytes.push(b'\n');
            Ok(bytes)
        };
        files.push(("README.md", card(model, &metrics, &kinds).into_bytes()));
        files.push(("config.json", pretty(&model.config())?));
        let metrics =
            if self.is_refit { json!({"before_refit": by_split}) } else { json!(by_split) };
        files.push(("metrics.json", pretty(&metrics)?));
        files.push(("sweep.toml", self.sweep.clone().into_bytes()));
        Ok(files)
    }

    /// The warnings as a list in Markdown; nothing without any.
    fn warnings_in_card(&self) -> String {
        if self.warnings.is_empty() {
            return String::new();
        }
        let line = |warning: &String| format!("- {}\n", warning.replace(['|', '\n', '\r'], " "));
        let lines: String = self.warnings.iter().map(line).collect();
        format!("\n\nThe data can make these figures mislead:\n\n{lines}")
    }

    fn file(&self, format: ModelFormat) -> anyhow::Result<(ModelFile, Vec<u8>)> {
        let model = self.model;
        let as_onnx = |form| {
            let options = OnnxOptions { form, fold_batch_norm: self.arguments.fold_batch_norm };
            onnx(model, options).map(|bytes| (ModelFile::Onnx(form), bytes))
        };
        Ok(match format {
            ModelFormat::Caviar => (ModelFile::Caviar, model.to_bytes()?),
            ModelFormat::Onnx => as_onnx(OnnxForm::Raw)?,
            ModelFormat::OnnxCore => as_onnx(OnnxForm::Core)?,
            ModelFormat::Safetensors => (ModelFile::Safetensors, safetensors(model)),
        })
    }
}
