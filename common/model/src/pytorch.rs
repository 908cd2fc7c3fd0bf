//! `model.py`: a Python module that builds the network in PyTorch and loads `model.safetensors`.

use std::fmt::Write;

use caviar_common::train::Activation;
use caviar_data::Standard;

use crate::model::{Layer, Member, Model, Place};
use crate::torch_stage;

const START: &str = r#""""The network of model.safetensors in PyTorch.

The inputs are those of "features" in config.json, already encoded: "schema" has the means, the
deviations and the categories. The outputs are {outputs}.

    model = load("model.safetensors")
    predictions = predict(model, torch.zeros(1, {width}))
"""

import torch
from safetensors.torch import load_file
from torch import nn


class Hidden(nn.Module):
    """A linear layer and its activation, with batch normalisation before, after, or not at all."""

    def __init__(self, inputs, outputs, activation, bias=True, norm=None, epsilon=1e-5):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.activation = activation
        self.place = norm
        if norm is not None:
            self.norm = nn.BatchNorm1d(outputs, eps=epsilon)

    def forward(self, x):
        x = self.linear(x)
        if self.place == "before":
            x = self.norm(x)
        x = self.activation(x)
        if self.place == "after":
            x = self.norm(x)
        return x


class Network(nn.Module):
    """Hidden layers and the output layer, after the stage before them if there is one."""

    def __init__(self, layers, output, stage=None):
        super().__init__()
        if stage is not None:
            self.stage = stage
        self.has_stage = stage is not None
        self.layers = nn.ModuleList(layers)
        self.output = output

    def forward(self, x):
        if self.has_stage:
            x = self.stage(x)
        for layer in self.layers:
            x = layer(x)
        return self.output(x)


"#;

const SINGLE: &str = r#"def build():
    """The network without its weights."""
    return networks()[0]


def outputs(model, x):
    """What each network says."""
    return [model(x)]


"#;

const ENSEMBLE: &str = r#"class Ensemble(nn.Module):
    """Several networks."""

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)


def build():
    """The networks without their weights."""
    return Ensemble(networks())


def outputs(model, x):
    """What each network says."""
    return [member(x) for member in model.members]


"#;

const END: &str = r#"

def load(path="model.safetensors"):
    """The model, for predictions."""
    model = build()
    model.load_state_dict(load_file(path))
    return model.eval()
"#;

/// The text of the module, for exactly this architecture.
///
/// `build()` makes the modules, `load(path)` fills them from the file of [`safetensors`], and
/// `predict(model, x)` returns what [`Model::predict_row`] does.
///
/// [`safetensors`]: crate::safetensors()
pub fn pytorch_example(model: &Model) -> String {
    let schema = model.schema();
    let outputs = if !schema.more_labels.is_empty() {
        "numbers in the units of the labels, one column for each"
    } else if schema.label.standard.is_some() {
        "numbers in the units of the label"
    } else {
        "the probabilities of the classes"
    };
    let start = START.replace("{outputs}", outputs);
    let mut text = start.replace("{width}", &schema.width().to_string());
    if model.members().iter().any(|member| !member.stage.is_empty()) {
        let has_categories = !schema.encoder.categories().is_empty();
        text += &torch_stage::module(has_categories);
    }
    text += "def networks():\n    return [\n";
    for member in model.members() {
        network(&mut text, member, schema.width());
    }
    text += "    ]\n\n\n";
    text += if model.is_ensemble() { ENSEMBLE } else { SINGLE };
    predict(&mut text, model);
    text += END;
    text
}

/// Appends the expression of one network. Writing to a text cannot fail.
fn network(text: &mut String, member: &Member, width: usize) {
    *text += "        Network(\n            [\n";
    let Some((output, hidden)) = member.layers.split_last() else { return };
    for layer in hidden {
        *text += &format!("                {},\n", hidden_layer(layer));
    }
    *text += "            ],\n";
    let bias = if output.bias.is_some() { "" } else { ", bias=False" };
    let (inputs, outputs) = (output.inputs, output.outputs);
    *text += &format!("            nn.Linear({inputs}, {outputs}{bias}),\n");
    if let Some(stage) = torch_stage::expression(&member.stage, width) {
        *text += &format!("            {stage},\n");
    }
    *text += "        ),\n";
}

fn hidden_layer(layer: &Layer) -> String {
    let activation = layer.activation.map_or("nn.Identity()", activation);
    let mut text = format!("Hidden({}, {}, {activation}", layer.inputs, layer.outputs);
    if layer.bias.is_none() {
        text += ", bias=False";
    }
    if let Some(norm) = &layer.norm {
        let place = match norm.place {
            Place::BeforeActivation => "before",
            Place::AfterActivation => "after",
        };
        let _infallible = write!(text, ", norm=\"{place}\", epsilon={:?}", f64::from(norm.epsilon));
    }
    text + ")"
}

const fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "nn.ReLU()",
        Activation::LeakyRelu => "nn.LeakyReLU(0.01)",
        Activation::Tanh => "nn.Tanh()",
        Activation::Sigmoid => "nn.Sigmoid()",
        Activation::Gelu => "nn.GELU()",
        Activation::Silu => "nn.SiLU()",
        Activation::Mish => "nn.Mish()",
        Activation::Selu => "nn.SELU()",
    }
}

/// Appends the function `predict`.
fn predict(text: &mut String, model: &Model) {
    let weights: Vec<f64> = model.members().iter().map(|member| member.weight).collect();
    let list = |values: Vec<f64>| format!("{values:?}");
    *text += "def predict(model, x):\n";
    let standards = model.schema().standards();
    match standards.as_slice() {
        [_, ..] => {
            let factor = |standard: &Standard| {
                let factor = standard.restore(1.0) - standard.mean;
                if standard.scale == 0.0 { 0.0 } else { factor }
            };
            let numbers = |numbers: Vec<f64>| match numbers.as_slice() {
                [only] => format!("{only:?}"),
                several => format!("torch.tensor({several:?}, dtype=torch.float64)"),
            };
            let factors = numbers(standards.iter().map(factor).collect());
            let means = numbers(standards.iter().map(|standard| standard.mean).collect());
            *text += "    \"\"\"The numbers of the rows of x.\"\"\"\n";
            *text += &format!("    weights = {}\n", list(weights));
            *text +=
                "    terms = [w * out.double() for w, out in zip(weights, outputs(model, x))]\n";
            if standards.len() > 1 {
                *text += &format!("    deviations = {factors}\n    means = {means}\n");
                *text += "    return sum(terms) * deviations + means\n";
            } else {
                *text += &format!("    return sum(terms) * {factors} + {means}\n");
            }
        }
        [] => {
            let temperatures =
                model.members().iter().map(|member| member.about.temperature).collect();
            *text += "    \"\"\"The probabilities of the classes for the rows of x.\"\"\"\n";
            *text += &format!("    weights = {}\n", list(weights));
            *text += &format!("    temperatures = {}\n", list(temperatures));
            *text += "    parts = zip(weights, temperatures, outputs(model, x))\n";
            *text += "    return sum(w * torch.softmax(out / t, dim=1) for w, t, out in parts)\n";
        }
    }
}
