//! `model.safetensors`: the weights with PyTorch's names and layout.
//!
//! The format is the length of a header (u64), the header as JSON, and the numbers without gaps.
//! It is written here and not by a library, whose metadata is in a hash map: the same model always
//! has the same bytes.
//!
//! | name | shape | content |
//! |---|---|---|
//! | `layers.0.linear.weight` | `[outputs, inputs]` | transpose of W of the first hidden layer |
//! | `layers.0.linear.bias` | `[outputs]` | b |
//! | `layers.0.norm.weight`, `.bias` | `[outputs]` | gamma and beta |
//! | `layers.0.norm.running_mean`, `.running_var` | `[outputs]` | mean and variance |
//! | `output.weight` | `[outputs, inputs]` | transpose of W of the output layer |
//! | `output.bias` | `[outputs]` | b of the output layer |
//!
//! What is before the first layer has names that begin with `stage.`, such as `stage.weight`, and
//! `model.py` says what they are for.
//!
//! In an ensemble, all names begin with `members.0.` and so on. The metadata has `format`, which is
//! `pt`, and `config`, which is the content of `config.json`.

use caviar_common::numbers::to_u64;
use serde_json::{Map, Value, json};

use crate::error::Tensor;
use crate::model::{Layer, Model};
use crate::torch_stage::{self, TorchTensor};

/// Headers are padded to this, so that the numbers are aligned.
const ALIGNMENT: usize = 8;

/// The bytes of the model as a safetensors file.
pub fn safetensors(model: &Model) -> Vec<u8> {
    let mut header = Map::new();
    let metadata = json!({ "format": "pt", "config": model.config().to_string() });
    header.insert("__metadata__".to_owned(), metadata);
    let mut numbers: Vec<u8> = Vec::new();
    for (number, member) in model.members().iter().enumerate() {
        let prefix = if model.is_ensemble() { format!("members.{number}.") } else { String::new() };
        for TorchTensor { name, shape, values, .. } in torch_stage::tensors(&member.stage) {
            let start = numbers.len();
            numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let offsets = [start, numbers.len()];
            let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets });
            header.insert(format!("{prefix}stage.{name}"), entry);
        }
        for (place, layer) in member.layers.iter().enumerate() {
            let is_output = place + 1 == member.layers.len();
            for (tensor, values) in layer.tensors() {
                let name = name(&prefix, (!is_output).then_some(place), tensor);
                let start = numbers.len();
                let shape = write(layer, tensor, values, &mut numbers);
                let entry = json!({
                    "dtype": "F32",
                    "shape": shape,
                    "data_offsets": [start, numbers.len()],
                });
                header.insert(name, entry);
            }
        }
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    let mut bytes = to_u64(header.len()).to_le_bytes().to_vec();
    bytes.append(&mut header);
    bytes.append(&mut numbers);
    bytes
}

/// Appends the numbers of one list and returns its shape.
fn write(layer: &Layer, tensor: Tensor, values: &[f32], numbers: &mut Vec<u8>) -> Vec<usize> {
    match tensor {
        Tensor::Weights => {
            for output in 0..layer.outputs {
                let column = values.iter().skip(output).step_by(layer.outputs);
                numbers.extend(column.flat_map(|value| value.to_le_bytes()));
            }
            vec![layer.outputs, layer.inputs]
        }
        Tensor::Bias | Tensor::Gamma | Tensor::Beta | Tensor::Mean | Tensor::Variance => {
            numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            vec![values.len()]
        }
    }
}

/// The name of one list. `hidden` is the number of a hidden layer, and `None` for the output layer.
fn name(prefix: &str, hidden: Option<usize>, tensor: Tensor) -> String {
    let (linear, norm) = match hidden {
        Some(layer) => (format!("layers.{layer}.linear"), format!("layers.{layer}.norm")),
        // Only hidden layers have batch normalisation.
        None => ("output".to_owned(), "output.norm".to_owned()),
    };
    match tensor {
        Tensor::Weights => format!("{prefix}{linear}.weight"),
        Tensor::Bias => format!("{prefix}{linear}.bias"),
        Tensor::Gamma => format!("{prefix}{norm}.weight"),
        Tensor::Beta => format!("{prefix}{norm}.bias"),
        Tensor::Mean => format!("{prefix}{norm}.running_mean"),
        Tensor::Variance => format!("{prefix}{norm}.running_var"),
    }
}
