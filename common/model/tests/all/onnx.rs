//! ONNX files: their structure, and what they predict in onnxruntime.

use std::fmt::Write;
use std::path::Path;

use caviar_common::data::Task;
use caviar_common::numbers::{real, single};
use caviar_common::train::Activation;
use caviar_data::{Encoding, Schema};
use caviar_model::{Model, OnnxForm, OnnxOptions, Place, onnx, onnx_inputs};
use prost::Message;
use serde_json::{Value, json};

use crate::python::{python, run};
use crate::sample::{
    Raw, Sample, ensemble, linear, many_categories, model, several_labels, table, tolerance,
    with_numbers_of_no_value,
};
use crate::staged::{staged, staged_ensemble, stages};

const RAW: OnnxOptions = OnnxOptions { form: OnnxForm::Raw, fold_batch_norm: false };
const CORE: OnnxOptions = OnnxOptions { form: OnnxForm::Core, fold_batch_norm: false };

/// Runs every model of `cases.json` on its inputs and prints the outputs.
const PROGRAM: &str = r#"
import json
import numpy, onnx, onnxruntime
from onnx import checker

onnxruntime.set_default_logger_severity(3)
TYPES = {
    "tensor(double)": numpy.float64,
    "tensor(float)": numpy.float32,
    "tensor(uint8)": numpy.uint8,
    "tensor(string)": object,
}
results = []
for case in json.load(open("cases.json")):
    proto = onnx.load(case["file"])
    checker.check_model(proto, full_check=True)
    assert proto.ir_version == 8
    session = onnxruntime.InferenceSession(case["file"], providers=["CPUExecutionProvider"])
    feed = {}
    for argument in session.get_inputs():
        values = case["inputs"][argument.name]
        if argument.type == "tensor(double)":
            values = [[float("nan") if v is None else v for v in row] for row in values]
        feed[argument.name] = numpy.array(values, dtype=TYPES[argument.type])
    assert sorted(feed) == sorted(case["inputs"])
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(None, feed)
    results.append({name: output.tolist() for name, output in zip(names, outputs)})
print(json.dumps(results))
"#;

/// Models to run, and what they predict.
struct Cases {
    folder: tempfile::TempDir,
    cases: Vec<Value>,
    expected: Vec<Expected>,
}

struct Expected {
    features: Vec<Vec<f32>>,
    /// What the plain network predicts for each row.
    rows: Vec<Vec<f64>>,
    schema: Schema,
    form: OnnxForm,
}

impl Cases {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, cases: Vec::new(), expected: Vec::new() }
    }

    /// The model on the inputs, as a JSON object, whose encoded form is `features`.
    fn add(&mut self, model: &Model, options: OnnxOptions, features: &[Vec<f32>], inputs: Value) {
        let file = format!("{}.onnx", self.cases.len());
        std::fs::write(self.folder.path().join(&file), onnx(model, options).unwrap()).unwrap();
        self.cases.push(json!({ "file": file, "inputs": inputs }));
        self.expected.push(Expected {
            features: features.to_vec(),
            rows: features.iter().map(|row| model.predict_row(row).unwrap()).collect(),
            schema: model.schema().clone(),
            form: options.form,
        });
    }

    /// The model on the validation split, in both forms.
    fn add_sample(&mut self, model: &Model, sample: &Sample, fold_batch_norm: bool) {
        let inputs = raw_inputs(model, &sample.raw);
        let features = &sample.features;
        self.add(model, OnnxOptions { fold_batch_norm, ..RAW }, features, inputs);
        let inputs = json!({ "features": features });
        self.add(model, OnnxOptions { fold_batch_norm, ..CORE }, features, inputs);
    }

    fn run(self) {
        let Some(python) = python("numpy, onnx, onnxruntime") else { return };
        let path: &Path = self.folder.path();
        std::fs::write(path.join("cases.json"), serde_json::to_vec(&self.cases).unwrap()).unwrap();
        let results: Vec<Value> = serde_json::from_str(&run(&python, PROGRAM, path)).unwrap();
        assert_eq!(results.len(), self.expected.len());
        for (case, (result, expected)) in results.iter().zip(&self.expected).enumerate() {
            expected.compare(case, result);
        }
    }
}

fn raw_inputs(model: &Model, raw: &[Raw]) -> Value {
    let names = onnx_inputs(model);
    assert_eq!(names.len(), raw.len());
    let values = raw.iter().map(|column| match column {
        Raw::Numbers(numbers) => json!(numbers.iter().map(|value| [*value]).collect::<Vec<_>>()),
        Raw::Texts(texts) => json!(texts.iter().map(|text| [text]).collect::<Vec<_>>()),
    });
    Value::Object(names.into_iter().zip(values).collect())
}

impl Expected {
    fn compare(&self, case: usize, result: &Value) {
        let rows =
            |name: &str| -> Vec<Vec<f64>> { serde_json::from_value(result[name].clone()).unwrap() };
        let classes = &self.schema.label.classes;
        let is_regression = classes.is_empty();
        let name = match (is_regression, self.form) {
            (false, _) => "probabilities",
            (true, OnnxForm::Raw) => "label",
            (true, OnnxForm::Core) => "value",
        };
        let found = rows(name);
        assert_eq!(found.len(), self.rows.len());
        for (row, (found, expected)) in found.iter().zip(&self.rows).enumerate() {
            assert_eq!(found.len(), expected.len());
            for (output, (found, expected)) in found.iter().zip(expected).enumerate() {
                let tolerance = tolerance(&self.schema, &self.features[row], output, *expected);
                assert!(
                    (found - expected).abs() <= tolerance,
                    "case {case}, row {row}: {found} instead of {expected}"
                );
            }
            if !is_regression {
                let best = first_largest(found);
                let label = match self.form {
                    OnnxForm::Raw => json!(classes[best]),
                    OnnxForm::Core => json!(best),
                };
                assert_eq!(result["label"][row], label, "case {case}, row {row}");
            }
        }
    }
}

fn first_largest(values: &[f64]) -> usize {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().position(|&value| value == largest).unwrap()
}

#[test]
fn onnxruntime_predicts_the_same_with_every_activation_and_normalisation() {
    use Activation::{Gelu, LeakyRelu, Mish, Relu, Selu, Sigmoid, Silu, Tanh};
    use Place::{AfterActivation, BeforeActivation};
    let sample = table(Task::Classification, false);
    let mut cases = Cases::new();
    for (activation, place, fold) in [
        (Relu, None, false),
        (LeakyRelu, Some(BeforeActivation), false),
        (Tanh, Some(AfterActivation), false),
        (Sigmoid, Some(BeforeActivation), true),
        (Gelu, Some(AfterActivation), true),
        (Silu, None, true),
        (Mish, Some(BeforeActivation), false),
        (Selu, None, false),
    ] {
        cases.add_sample(&model(&sample.schema, activation, place), &sample, fold);
    }
    cases.run();
}

#[test]
fn onnxruntime_predicts_the_same_for_ensembles_regression_and_seasons() {
    let mut cases = Cases::new();
    for task in Task::ALL {
        for season in [false, true] {
            let sample = table(task, season);
            cases.add_sample(&ensemble(&sample.schema), &sample, season);
            cases.add_sample(&linear(&sample.schema), &sample, season);
            cases.add_sample(&model(&sample.schema, Activation::Relu, None), &sample, false);
        }
    }
    cases.run();
}

#[test]
fn onnxruntime_predicts_the_same_for_several_labels() {
    let sample = several_labels();
    let mut cases = Cases::new();
    cases.add_sample(&ensemble(&sample.schema), &sample, true);
    cases.add_sample(&linear(&sample.schema), &sample, false);
    assert!(cases.expected[0].rows.iter().all(|row| row.len() == 3 && row[2] == 7.0));
    cases.run();
}

#[test]
fn onnxruntime_predicts_the_same_with_every_stage() {
    let mut cases = Cases::new();
    for task in Task::ALL {
        let sample = table(task, false);
        for stage in stages(&sample.schema) {
            cases.add_sample(&staged(&sample.schema, stage), &sample, false);
        }
        cases.add_sample(&staged_ensemble(&sample.schema), &sample, true);
    }
    cases.run();
}

#[test]
fn a_text_that_the_training_did_not_have_is_0_in_all_inputs() {
    let mut sample = table(Task::Classification, false);
    let model = model(&sample.schema, Activation::Tanh, None);
    let names = model.feature_names();
    for (column, raw) in sample.schema.columns.iter().zip(&mut sample.raw) {
        let Raw::Texts(texts) = raw else { continue };
        texts.iter_mut().step_by(2).for_each(|text| "nowhere".clone_into(text));
        let starts = [format!("{} = ", column.name), format!("{} is ", column.name)];
        for (input, name) in names.iter().enumerate() {
            if starts.iter().any(|start| name.starts_with(start.as_str())) {
                sample.features.iter_mut().step_by(2).for_each(|row| row[input] = 0.0);
            }
        }
    }
    let mut cases = Cases::new();
    cases.add_sample(&model, &sample, false);
    cases.run();
}

#[test]
fn onnxruntime_predicts_the_same_with_embedded_categories() {
    let mut cases = Cases::new();
    for task in Task::ALL {
        let sample = many_categories(task);
        for stage in stages(&sample.schema) {
            cases.add_sample(&staged(&sample.schema, stage), &sample, false);
        }
        cases.add_sample(&staged_ensemble(&sample.schema), &sample, true);
        cases.add_sample(&linear(&sample.schema), &sample, false);
    }
    cases.run();
}

#[test]
fn a_text_that_the_training_did_not_have_is_like_a_rare_one() {
    let mut sample = many_categories(Task::Classification);
    let inputs = sample.schema.encoder.categories();
    let columns = sample.schema.columns.iter().zip(sample.schema.encodings()).zip(&mut sample.raw);
    let mut inputs = inputs.into_iter();
    for ((_, encoding), raw) in columns {
        let (Encoding::Embedded(embedded), Raw::Texts(texts)) = (encoding, raw) else { continue };
        let place = inputs.next().unwrap().place;
        let number = |number: u32| single(f64::from(number));
        assert!(embedded.unknown > 0);
        for (row, text) in texts.iter_mut().enumerate() {
            let text_and_number = match row % 3 {
                0 => ("nowhere", embedded.unknown),
                1 => ("NA", embedded.missing),
                _ => continue,
            };
            text_and_number.0.clone_into(text);
            sample.features[row][place] = number(text_and_number.1);
        }
    }
    let mut cases = Cases::new();
    cases.add_sample(&linear(&sample.schema), &sample, false);
    cases.run();
}

#[test]
fn a_number_that_no_value_has_is_that_of_an_unknown_one() {
    let sample = with_numbers_of_no_value(many_categories(Task::Regression));
    let mut cases = Cases::new();
    let inputs = json!({ "features": &sample.features });
    cases.add(&linear(&sample.schema), CORE, &sample.features, inputs);
    cases.run();
}

#[test]
fn the_usual_texts_for_a_missing_value_are_missing() {
    let mut sample = table(Task::Classification, false);
    for raw in &mut sample.raw {
        let Raw::Texts(texts) = raw else { continue };
        texts.iter_mut().filter(|text| text.is_empty()).for_each(|text| "NA".clone_into(text));
    }
    let mut cases = Cases::new();
    cases.add_sample(&model(&sample.schema, Activation::Tanh, None), &sample, false);
    cases.run();
}

#[test]
fn images_are_bytes() {
    let standards: Vec<Value> =
        (0..6).map(|pixel| json!({ "mean": 100.0 + real(pixel), "scale": 0.02 })).collect();
    let schema: Schema = serde_json::from_value(json!({
        "columns": [], "pixels": [2, 3],
        "encoder": { "Pixels": standards },
        "label": { "name": "digit", "classes": ["0", "1", "2"] },
    }))
    .unwrap();
    let bytes: Vec<[u8; 6]> = vec![[0, 255, 3, 100, 200, 7], [1, 2, 3, 4, 5, 6], [9; 6]];
    let standardised = |(pixel, &byte): (usize, &u8)| {
        caviar_common::numbers::single((f64::from(byte) - 100.0 - real(pixel)) * 0.02)
    };
    let features: Vec<Vec<f32>> =
        bytes.iter().map(|row| row.iter().enumerate().map(standardised).collect()).collect();
    let model = model(&schema, Activation::Relu, Some(Place::BeforeActivation));
    assert_eq!(onnx_inputs(&model), ["pixels"]);
    let mut cases = Cases::new();
    cases.add(&model, RAW, &features, json!({ "pixels": bytes }));
    cases.run();
}

#[test]
fn columns_that_are_named_as_outputs_or_not_at_all_get_other_names() {
    let number = |_| {
        json!({ "Number": { "number": {
        "standard": { "mean": 1.0, "scale": 2.0 }, "median": 0.0, "has_indicator": false,
    } } })
    };
    let names = ["label", "input_label", "", "probabilities", "caviar/Add_7", "0"];
    let columns: Vec<Value> =
        names.iter().map(|name| json!({ "name": name, "type": "number" })).collect();
    let schema: Schema = serde_json::from_value(json!({
        "columns": columns,
        "encoder": { "Columns": names.iter().map(number).collect::<Vec<Value>>() },
        "label": { "name": "price", "standard": { "mean": 7.0, "scale": 0.0 } },
    }))
    .unwrap();
    let model = model(&schema, Activation::Relu, None);
    let expected = [
        "input_label_",
        "input_label",
        "column3",
        "input_probabilities",
        "input_caviar/Add_7",
        "0",
    ];
    assert_eq!(onnx_inputs(&model), expected);
    let raw = vec![Raw::Numbers(vec![1.0, f64::NAN, 3.0]); 6];
    let features: Vec<Vec<f32>> = [0.0, 0.0, 4.0].into_iter().map(|v| vec![v; 6]).collect();
    let mut cases = Cases::new();
    let inputs = raw_inputs(&model, &raw);
    cases.add(&model, RAW, &features, inputs);
    // A label that was constant in training is predicted as its mean.
    assert_eq!(cases.expected[0].rows, [[7.0], [7.0], [7.0]]);
    cases.run();
}

/// The messages of the file that matter to a reader, as this test reads them.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Named>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

fn outline(model: &Model, options: OnnxOptions) -> String {
    let bytes = onnx(model, options).unwrap();
    assert_eq!(onnx(model, options).unwrap(), bytes);
    let file = File::decode(bytes.as_slice()).unwrap();
    let graph = file.graph.unwrap();
    let names = |list: &[Named]| {
        list.iter().map(|named| named.name.as_str()).collect::<Vec<&str>>().join(" ")
    };
    let mut text = format!("version {}", file.ir_version);
    for opset in file.opset_import {
        write!(text, ", {:?} {}", opset.domain, opset.version).unwrap();
    }
    let mut operators: Vec<String> =
        graph.node.iter().map(|node| format!("{}{}", node.domain, node.op_type)).collect();
    if options.form == OnnxForm::Raw {
        operators.retain(|operator| operator.contains("CategoryMapper") || operator == "Softmax");
    }
    write!(text, "\n{}\n{}\n{}", names(&graph.input), names(&graph.output), operators.join(" "))
        .unwrap();
    text
}

#[test]
fn the_raw_form_has_the_columns_as_inputs() {
    let schema = table(Task::Classification, false).schema;
    let model = model(&schema, Activation::Relu, None);
    assert_eq!(
        outline(&model, RAW),
        "version 8, \"\" 17, \"ai.onnx.ml\" 3\n\
         amount size flag answer colour side city bought born hour constant\n\
         label probabilities\n\
         ai.onnx.mlCategoryMapper ai.onnx.mlCategoryMapper ai.onnx.mlCategoryMapper Softmax"
    );
}

#[test]
fn the_core_form_gathers_the_vectors_of_categories() {
    let schema = many_categories(Task::Regression).schema;
    assert_eq!(
        outline(&linear(&schema), CORE),
        "version 8, \"\" 17\nfeatures\nvalue\n\
         Gather Less Greater And Where Cast Add Gather Reshape Gather Concat Gather Gemm Cast Div \
         Add"
    );
}

#[test]
fn the_core_form_has_core_operators_only() {
    let schema = table(Task::Regression, false).schema;
    let model = model(&schema, Activation::Silu, Some(Place::BeforeActivation));
    assert_eq!(
        outline(&model, CORE),
        "version 8, \"\" 17\nfeatures\nvalue\n\
         MatMul BatchNormalization Sigmoid Mul MatMul BatchNormalization Sigmoid Mul Gemm \
         Cast Div Add"
    );
    let folded = OnnxOptions { fold_batch_norm: true, ..CORE };
    assert_eq!(
        outline(&model, folded),
        "version 8, \"\" 17\nfeatures\nvalue\n\
         Gemm Sigmoid Mul Gemm Sigmoid Mul Gemm Cast Div Add"
    );
}
