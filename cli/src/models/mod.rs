//! Models: writing them, predicting with them, and judging them.

pub(crate) mod evaluate;
mod export;
mod figures;
mod folder;
pub(crate) mod predict;
mod refit;
mod rows;
mod selection;

pub(crate) use export::model;
pub(crate) use refit::refit;

use std::io::ErrorKind;
use std::path::Path;

use caviar_model::Model;

use crate::failure::Failure;

/// The name of the file of a model in its folder.
const MODEL_FILE: &str = "model.caviar";

/// Reads the model in a folder or a file.
fn load(path: &Path) -> anyhow::Result<Model> {
    let file = if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() };
    let bytes = std::fs::read(&file).map_err(|error| {
        let is_other = |name| path.join(name).exists();
        let others = ["model.onnx", "model-core.onnx", "model.safetensors"];
        let hint = if error.kind() == ErrorKind::NotFound && others.into_iter().any(is_other) {
            "this model is for other programs; to write one that Caviar reads: caviar model NAME, \
             without --format"
        } else {
            "expected a folder that caviar model has written, or its file model.caviar; to write \
             that of a sweep: caviar model NAME"
        };
        Failure::hinted(format!("{} cannot be read: {error}", file.display()), hint).in_input()
    })?;
    let model = Model::from_bytes(&bytes);
    Ok(model
        .map_err(|error| Failure::from_text(&format!("{}: {error}", file.display())).in_input())?)
}
