//! `README.md`: the model card, which says what a model is for people who find it.

use caviar_common::data::{ColumnType, Task};
use caviar_data::{Encoding, InputColumn, Schema, Standard};

use crate::card_program::program;
use crate::model::{About, Model};
use crate::onnx::{OnnxForm, onnx_inputs};

/// Most columns that the card lists.
const MAX_COLUMNS: usize = 200;
/// Most categories or classes that the card lists for one column.
const MAX_TEXTS: usize = 10;
/// Longest text of one category or class, in characters.
const MAX_TEXT_CHARS: usize = 40;

/// What the card says of a category with many values.
const EMBEDDED_RULE: &str = "| `Embedded` | one input, a whole number: that of `numbers` at the \
    place of the category, `missing` for a missing value, or `unknown` for an unknown category. \
    The network has a vector for each number. |\n";

/// A file of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFile {
    /// The file of [`Model::to_bytes`].
    Caviar,
    /// The file of [`onnx`](crate::onnx()).
    Onnx(OnnxForm),
    /// The file of [`safetensors`](crate::safetensors()), next to the module of
    /// [`pytorch_example`](crate::pytorch_example).
    Safetensors,
}

impl ModelFile {
    /// The name in the folder of the model.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caviar => "model.caviar",
            Self::Onnx(OnnxForm::Raw) => "model.onnx",
            Self::Onnx(OnnxForm::Core) => "model-core.onnx",
            Self::Safetensors => "model.safetensors",
        }
    }
}

/// The model card in Markdown. `metrics` is the ready text of the section of that name, without its
/// heading, and `files` are those in the folder.
pub fn card(model: &Model, metrics: &str, files: &[ModelFile]) -> String {
    let mut text = front_matter(model.schema());
    summary(&mut text, model);
    inputs(&mut text, model.schema());
    add(&mut text, "\n## Metrics\n\n");
    add(&mut text, metrics.trim());
    add(&mut text, "\n");
    intended_use(&mut text, model.schema());
    origin(&mut text, model);
    add(&mut text, "\n## How to load it\n");
    for &file in files {
        load(&mut text, model, file);
    }
    let is_encoded =
        |file: &ModelFile| matches!(file, ModelFile::Onnx(OnnxForm::Core) | ModelFile::Safetensors);
    if files.iter().any(is_encoded) {
        encoded_inputs(&mut text, model.schema());
    }
    text
}

fn add(text: &mut String, part: &str) {
    text.push_str(part);
}

/// What sites that publish models read.
fn front_matter(schema: &Schema) -> String {
    let kind = if schema.pixels.is_some() { "image" } else { "tabular" };
    let task = schema.task().name();
    format!(
        "---\nlibrary_name: caviar\npipeline_tag: {kind}-{task}\ntags:\n- caviar\n- {kind}\n---\n\n"
    )
}

fn summary(text: &mut String, model: &Model) {
    let schema = model.schema();
    let names = |name: fn(&str) -> String, separator: &str| {
        let names = schema.labels().map(|label| name(&label.name));
        names.collect::<Vec<_>>().join(separator)
    };
    let label = names(plain, ", ");
    let what = match schema.task() {
        Task::Classification => {
            let classes = listed(&schema.label.classes);
            format!("which of {} classes a row has: {classes}", schema.label.classes.len())
        }
        Task::Regression if schema.more_labels.is_empty() => "a number".to_owned(),
        Task::Regression => format!("{} numbers", schema.outputs()),
    };
    let networks = match model.members() {
        [_] => "It is a neural network".to_owned(),
        members => format!("It is an average of {} neural networks", members.len()),
    };
    let parameters: usize = model.members().iter().map(crate::model::Member::parameters).sum();
    add(
        text,
        &format!(
            "# {label}\n\nThis model predicts `{}`: {what}.\n{networks} with {parameters} \
             parameters, found by Caviar.\n",
            names(code, "`, `")
        ),
    );
}

fn inputs(text: &mut String, schema: &Schema) {
    add(text, "\n## Inputs\n\n");
    if let Some([height, width]) = schema.pixels {
        add(text, &format!("Images of {height} x {width} pixels, one byte each, row by row.\n"));
        return;
    }
    add(text, "| column | type | values | a missing value becomes |\n|---|---|---|---|\n");
    for (column, encoding) in schema.columns.iter().zip(schema.encodings()).take(MAX_COLUMNS) {
        let name = plain(&column.name);
        let (values, missing) = (values(column), missing(column, encoding));
        add(text, &format!("| {name} | {} | {values} | {missing} |\n", column.kind.name()));
    }
    if schema.columns.len() > MAX_COLUMNS {
        let more = schema.columns.len() - MAX_COLUMNS;
        add(text, &format!("\n`config.json` lists {more} more columns.\n"));
    }
    add(text, "\nA text that the training did not have counts as none of the categories.\n");
    if schema.encodings().iter().any(is_embedded) {
        add(
            text,
            "In a column with more than 64 categories, it counts as one of the rare ones, if \
             there are any.\n",
        );
    }
}

const fn is_embedded(encoding: &Encoding) -> bool {
    matches!(encoding, Encoding::Embedded(_))
}

fn values(column: &InputColumn) -> String {
    match column.kind {
        ColumnType::Category => listed(&column.categories),
        ColumnType::Number | ColumnType::Boolean | ColumnType::Date => {
            column.written().map_or_else(|| column.kind.name().to_owned(), |form| plain(&form))
        }
    }
}

fn missing(column: &InputColumn, encoding: &Encoding) -> String {
    let with_indicator = |what: &str, has_indicator: bool| {
        let indicator = if has_indicator { ", and an input says so" } else { "" };
        format!("{what}{indicator}")
    };
    match encoding {
        Encoding::Number { number } if number.has_indicator => {
            with_indicator(&format!("the median, {}", number.median), true)
        }
        Encoding::Number { number } => format!("the mean, {}", number.standard.mean),
        Encoding::Date { days, .. } if days.has_indicator => with_indicator("the median", true),
        Encoding::Date { .. } => "the mean".to_owned(),
        Encoding::Binary { has_indicator, .. } if column.kind == ColumnType::Boolean => {
            with_indicator("neither", *has_indicator)
        }
        Encoding::OneHot(one_hot) if one_hot.missing.is_some() => {
            "a category of its own".to_owned()
        }
        Encoding::Embedded(embedded) if embedded.missing != embedded.unknown => {
            "a category of its own".to_owned()
        }
        Encoding::Embedded(embedded) if embedded.unknown > 0 => "one of the rare ones".to_owned(),
        Encoding::Binary { .. } | Encoding::OneHot(_) | Encoding::Embedded(_) => {
            "none of the categories".to_owned()
        }
        Encoding::Season { .. } => "no part of the year, week or day".to_owned(),
    }
}

fn intended_use(text: &mut String, schema: &Schema) {
    add(
        text,
        &format!(
            "\n## Intended use\n\nThe model is for rows from the same source as its training data. \
             It was chosen by its score on a validation split of these data, so the figures of \
             that split are optimistic. It was not examined on data of other sources or later \
             times, nor for its errors on groups of people. Check it on data of your own before \
             you rely on it, and do not let it decide about people by itself.\n\n{}",
            match schema.task() {
                Task::Classification =>
                    "Its probabilities are estimates, and it knows no class but those above.\n",
                Task::Regression =>
                    "It says nothing about the uncertainty of a number, and extrapolates poorly.\n",
            }
        ),
    );
}

fn origin(text: &mut String, model: &Model) {
    add(text, "\n## Where it is from\n\n");
    let Some(About { caviar, sweep, seed, data_digest, .. }) =
        model.members().first().map(|member| &member.about)
    else {
        return;
    };
    add(
        text,
        &format!(
            "| | |\n|---|---|\n| Caviar | {} |\n| sweep | {} |\n| seed of the sweep | {seed} |\n\
             | digest of the data | `{}` |\n\n",
            plain(caviar),
            plain(sweep),
            code(data_digest)
        ),
    );
    add(text, "| trial | epoch | weight | temperature | layers | hyperparameters |\n");
    add(text, "|---|---|---|---|---|---|\n");
    for member in model.members() {
        let About { trial, epoch, temperature, hyperparameters, .. } = &member.about;
        let widths = member.layers.iter().map(|layer| layer.outputs.to_string());
        let first = member.layers.first().map(|layer| layer.inputs.to_string());
        let layers: Vec<String> = first.into_iter().chain(widths).collect();
        let layers = layers.join(" - ");
        let weight = member.weight;
        let hyperparameters = code(&hyperparameters.to_string());
        add(
            text,
            &format!(
                "| {trial} | {epoch} | {weight} | {temperature} | {layers} | \
                 `{hyperparameters}` |\n"
            ),
        );
    }
}

fn load(text: &mut String, model: &Model, file: ModelFile) {
    add(text, &format!("\n### {}\n\n", file.name()));
    match file {
        ModelFile::Caviar => add(
            text,
            "Caviar reads the columns by their names and adds its predictions:\n\n```\n\
             caviar predict model.caviar rows.csv -o predictions.csv\n```\n",
        ),
        ModelFile::Onnx(OnnxForm::Raw) => onnx_raw(text, model),
        ModelFile::Onnx(OnnxForm::Core) => add(
            text,
            "The input `features` are the encoded inputs that `config.json` names, as 32-bit \
             floats.\n\n```python\nimport onnxruntime\n\n\
             session = onnxruntime.InferenceSession(\"model-core.onnx\")\n\
             outputs = session.run(None, {\"features\": features})\n```\n",
        ),
        ModelFile::Safetensors => add(
            text,
            "`model.py` builds the network in PyTorch. Its inputs are the encoded inputs that\n\
             `config.json` names.\n\n```python\nimport model\n\nnetwork = model.load()\n\
             predictions = model.predict(network, features)\n```\n",
        ),
    }
}

/// How raw columns become the inputs of the network, for readers of `config.json`.
fn encoded_inputs(text: &mut String, schema: &Schema) {
    let farthest = Standard::FARTHEST;
    add(text, "\n### The encoded inputs\n\n");
    if schema.pixels.is_some() {
        add(
            text,
            "In `config.json`, `schema.encoder` has a mean and a scale for each pixel. Its input \
             is\n(byte - mean) x scale. The scale is 1 / deviation.\n",
        );
        return;
    }
    let embedded = if schema.encodings().iter().any(is_embedded) { EMBEDDED_RULE } else { "" };
    add(
        text,
        &format!(
            "In `config.json`, `schema.encoder` has a rule for each of `schema.columns`, in the \
             same order.\n\n\
             | rule | inputs |\n|---|---|\n\
             | `Number` | (x - mean) x scale, from -{farthest} to {farthest}; the scale is \
             1 / deviation. A missing x is the mean. With `has_indicator` it is the median, and a \
             second input is 1 if x is missing, else 0. |\n\
             | `Binary` | 1 for the value `positive`, -1 for other values, 0 for a missing or \
             unknown one. True is 1 and false is 0; a category is its place in `categories`, from \
             0. With `has_indicator`, a second input as above. |\n\
             | `OneHot` | `width` inputs, all 0 but one, which is 1: that of `slots` at the place \
             of the category, or `missing` for a missing value. For an unknown category all are \
             0. |\n\
             {embedded}| `Date` | the days since 1970-01-01 00:00 UTC as in `Number`, then the \
             parts of the date. A missing date has the parts of the median. |\n\
             | `Season` | only the parts of the date; 0 for a missing date |\n\n\
             The parts are sin(2 pi f) and cos(2 pi f) for each of `year`, `week` and `day` that \
             is true. The\nfraction f is the time since the start of that year, week (Monday) or \
             day, divided by its length.\nCompute in 64-bit floats, and round the inputs to \
             32-bit floats.\n"
        ),
    );
}

/// How a table becomes the inputs of the raw form.
fn onnx_raw(text: &mut String, model: &Model) {
    let schema = model.schema();
    add(text, "```python\n");
    if schema.pixels.is_none() {
        add(text, &program(schema, &onnx_inputs(model)));
    } else {
        let results = match schema.task() {
            Task::Classification => "label, probabilities",
            Task::Regression => "(label,)",
        };
        add(
            text,
            &format!(
                "import onnxruntime\n\nsession = onnxruntime.InferenceSession(\"model.onnx\")\n\
                 # One row of bytes for each image: numpy.uint8, [images, height * width].\n\
                 {results} = session.run(None, {{\"pixels\": pixels}})\n"
            ),
        );
    }
    add(text, "```\n");
}

/// The first few texts.
fn listed(texts: &[String]) -> String {
    let mut shown: Vec<String> = texts.iter().take(MAX_TEXTS).map(|text| plain(text)).collect();
    if texts.len() > MAX_TEXTS {
        shown.push(format!("and {} more", texts.len() - MAX_TEXTS));
    }
    shown.join(", ")
}

/// A text of the data as Markdown that shows it and does nothing else, shortened.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == MAX_TEXT_CHARS {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.push(' ');
            continue;
        }
        if "\\`*_{}[]<>()#!|~&$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// A text between backticks in a table.
fn code(text: &str) -> String {
    let readable = |character: char| {
        if character.is_control() || character == '`' { ' ' } else { character }
    };
    text.chars().map(readable).collect::<String>().replace('|', "\\|")
}
