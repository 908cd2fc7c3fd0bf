//! `model.onnx`: a model that runs in ONNX runtimes, with opset 17 and version 8 of the format.
//!
//! The raw form has one input `[N, 1]` for each column, with its name, and the encoding of
//! [`Schema`](caviar_data::Schema) inside the graph:
//!
//! | type of the column | input | missing |
//! |---|---|---|
//! | number | double | NaN |
//! | boolean | double, 1 or 0 | NaN |
//! | date | double: days since 1970-01-01 00:00 UTC, the time as a fraction | NaN |
//! | category | string, without blanks around it | `""`, `NA` and the other texts of the schema |
//!
//! A text that the training did not have is 0 in all inputs of its column, or one of the rare ones
//! if the column has many values. Images have one input
//! `pixels` of bytes, `[N, height * width]`. The outputs of classification are `label`, the names
//! of the classes `[N]`, and `probabilities`, floats `[N, classes]`. That of regression is `label`,
//! doubles `[N, outputs]` in the units of the labels, in the order of the schema.
//!
//! The core form has one input `features`, floats `[N, width]`, which are encoded already. Its
//! outputs are `label`, the number of the class as an int64 `[N]`, and `probabilities`; or `value`,
//! doubles `[N, outputs]`.
//!
//! The raw form needs `CategoryMapper` of the domain `ai.onnx.ml` if there are categories, which
//! tract has as well as onnxruntime; the newer `LabelEncoder` is missing there. All other operators
//! are core operators, and a runtime that has only these runs such a model in the core form.

mod dates;
mod graph;
mod inputs;
mod network;
mod proto;
mod stage;

use caviar_common::numbers::index;
use prost::Message;

use self::graph::{Graph, ML_DOMAIN};
use self::proto::tensor_proto::DataType;
use self::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::error::ModelError;
use crate::model::Model;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const ML_OPSET: i64 = 3;
/// The output of predictions.
const LABEL: &str = "label";
/// The output of probabilities.
const PROBABILITIES: &str = "probabilities";
/// The output of numbers in the core form.
const VALUE: &str = "value";
/// The input of the core form.
const FEATURES: &str = "features";
/// The most bytes of a message that runtimes read.
const MAX_BYTES: usize = 0x7fff_ffff;

/// How a model is written as ONNX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// What the inputs are.
    pub form: OnnxForm,
    /// Whether batch normalisation becomes a part of weights and biases.
    pub fold_batch_norm: bool,
}

/// What the inputs of an ONNX model are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnnxForm {
    /// The columns of the table.
    #[default]
    Raw,
    /// One matrix of encoded inputs.
    Core,
}

/// The bytes of the model as an ONNX file. The same model always has the same bytes.
///
/// # Errors
/// The file would be larger than 2 GiB, which is the limit of the format; or a folded weight is too
/// large for an f32.
pub fn onnx(model: &Model, options: OnnxOptions) -> Result<Vec<u8>, ModelError> {
    if options.fold_batch_norm {
        let unfolded = OnnxOptions { fold_batch_norm: false, ..options };
        return onnx(&model.fold_batch_norm()?, unfolded);
    }
    let mut graph = Graph::default();
    let features = match options.form {
        OnnxForm::Raw => inputs::encode(&mut graph, model.schema()),
        OnnxForm::Core => {
            graph.input(FEATURES, DataType::Float, model.schema().width());
            FEATURES.to_owned()
        }
    };
    let mean = network::mean(&mut graph, model, &features);
    outputs(&mut graph, model, &mean, options.form);
    let file = file(graph, model);
    let bytes = file.encoded_len();
    if bytes > MAX_BYTES {
        return Err(ModelError::LargeOnnx { bytes });
    }
    Ok(file.encode_to_vec())
}

/// The names of the inputs of the raw form: the names of the columns in the order of the schema. A
/// column without a name is `column1` and so on, and one named as an output has `input_` before its
/// name.
pub fn onnx_inputs(model: &Model) -> Vec<String> {
    inputs::names(model.schema())
}

fn outputs(graph: &mut Graph, model: &Model, mean: &str, form: OnnxForm) {
    let schema = model.schema();
    if schema.label.standard.is_some() {
        network::restore(graph, model, mean);
        let name = match form {
            OnnxForm::Raw => LABEL,
            OnnxForm::Core => VALUE,
        };
        graph.name_last(name);
        graph.output(name, DataType::Double, Some(index(schema.outputs())));
        return;
    }
    graph.name_last(PROBABILITIES);
    let class = network::largest(graph, PROBABILITIES);
    let kind = match form {
        OnnxForm::Raw => {
            let classes = graph.texts(&schema.label.classes);
            graph.node("Gather", &[&classes, &class]);
            DataType::String
        }
        OnnxForm::Core => DataType::Int64,
    };
    graph.name_last(LABEL);
    graph.output(LABEL, kind, None);
    graph.output(PROBABILITIES, DataType::Float, Some(schema.label.classes.len()));
}

fn file(graph: Graph, model: &Model) -> ModelProto {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let mut opset_import = vec![opset("", OPSET)];
    if graph.uses_ml() {
        opset_import.push(opset(ML_DOMAIN, ML_OPSET));
    }
    let labels: Vec<&str> = model.schema().labels().map(|label| label.name.as_str()).collect();
    let about = model.members().first().map(|member| &member.about);
    let config =
        StringStringEntryProto { key: "config".to_owned(), value: model.config().to_string() };
    ModelProto {
        ir_version: IR_VERSION,
        opset_import,
        producer_name: "caviar".to_owned(),
        producer_version: about.map_or_else(String::new, |about| about.caviar.clone()),
        doc_string: format!("Predicts {}", labels.join(", ")),
        graph: Some(graph.finish()),
        metadata_props: vec![config],
    }
}
