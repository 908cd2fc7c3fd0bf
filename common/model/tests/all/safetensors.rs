//! The weights as PyTorch reads them.

use caviar_common::data::Task;
use caviar_common::train::Activation;
use caviar_model::{Model, Place, pytorch_example, safetensors};
use serde_json::Value;

use crate::python::{can_import, python, run};
use crate::sample::{
    Sample, ensemble, linear, many_categories, model, several_labels, table, tolerance,
    with_numbers_of_no_value,
};
use crate::staged::{staged, staged_ensemble, stages};

const ACTIVATIONS: [Activation; 8] = [
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::Silu,
    Activation::Mish,
    Activation::Selu,
];
const PLACES: [Option<Place>; 3] =
    [None, Some(Place::BeforeActivation), Some(Place::AfterActivation)];

/// The header of a safetensors file, and where the numbers begin.
fn header(bytes: &[u8]) -> (Value, usize) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let end = 8 + usize::try_from(length).unwrap();
    (serde_json::from_slice(&bytes[8..end]).unwrap(), end)
}

/// Runs `model.py` with the file of the model, and compares with the plain predictions.
fn compare_in_python(sample: &Sample, model: &Model) {
    let Some(python) = python("numpy") else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("model.safetensors", &safetensors(model));
    write("model.py", pytorch_example(model).as_bytes());
    write("features.json", &serde_json::to_vec(&sample.features).unwrap());
    let is_real = can_import(&python, "torch, safetensors.torch");
    if !is_real {
        write("torch_stub.py", include_bytes!("torch_stub.py"));
    }
    let program = format!(
        "import sys, json; sys.path.insert(0, '.')\n{}import torch\nimport model\n\
         x = torch.tensor(json.load(open('features.json')))\n\
         print(json.dumps(model.predict(model.load(), x).tolist()))",
        if is_real { "" } else { "import torch_stub\n" }
    );
    let predictions: Vec<Vec<f64>> =
        serde_json::from_str(&run(&python, &program, folder.path())).unwrap();
    assert_eq!(predictions.len(), sample.features.len());
    for (features, predicted) in sample.features.iter().zip(predictions) {
        let expected = model.predict_row(features).unwrap();
        assert_eq!(predicted.len(), expected.len());
        for (output, (predicted, expected)) in predicted.iter().zip(expected).enumerate() {
            let tolerance = tolerance(&sample.schema, features, output, expected);
            assert!((predicted - expected).abs() <= tolerance, "{predicted} {expected}");
        }
    }
}

#[test]
fn names_shapes_and_order_are_those_of_pytorch() {
    let schema = table(Task::Classification, false).schema;
    let model = model(&schema, Activation::Relu, Some(Place::AfterActivation));
    let bytes = safetensors(&model);
    let (header, start) = header(&bytes);
    assert_eq!(start % 8, 0);
    assert_eq!(header["__metadata__"]["format"], "pt");
    let config: Value =
        serde_json::from_str(header["__metadata__"]["config"].as_str().unwrap()).unwrap();
    assert_eq!(config, model.config());
    let shape = |name: &str| header[name]["shape"].to_string();
    assert_eq!(shape("layers.1.linear.weight"), "[5,8]");
    assert_eq!(shape("layers.1.linear.bias"), "[5]");
    assert_eq!(shape("layers.1.norm.weight"), "[5]");
    assert_eq!(shape("layers.1.norm.running_var"), "[5]");
    assert_eq!(shape("output.weight"), "[3,5]");
    assert_eq!(shape("output.bias"), "[3]");
    // W is transposed: its second output is the second row.
    let offset = header["output.weight"]["data_offsets"][0].as_u64().unwrap();
    let at = start + usize::try_from(offset).unwrap() + 5 * 4;
    let second = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(second, model.members()[0].layers[2].weights[1]);
    assert_eq!(safetensors(&model), bytes);
}

#[test]
fn the_networks_of_an_ensemble_have_numbers() {
    let schema = table(Task::Regression, false).schema;
    let bytes = safetensors(&ensemble(&schema));
    let (header, start) = header(&bytes);
    for name in ["members.0.layers.0.norm.bias", "members.2.output.weight"] {
        assert!(header.get(name).is_some(), "{name}");
    }
    let ends = header
        .as_object()
        .unwrap()
        .values()
        .filter_map(|entry| entry.get("data_offsets").and_then(|offsets| offsets[1].as_u64()));
    assert_eq!(ends.max(), u64::try_from(bytes.len() - start).ok());
}

#[test]
fn the_python_module_predicts_the_same() {
    let sample = table(Task::Classification, false);
    for (activation, place) in ACTIVATIONS.into_iter().zip(PLACES.into_iter().cycle()) {
        compare_in_python(&sample, &model(&sample.schema, activation, place));
    }
    compare_in_python(&sample, &ensemble(&sample.schema));
    let sample = table(Task::Regression, true);
    compare_in_python(&sample, &model(&sample.schema, Activation::Gelu, None));
    compare_in_python(&sample, &ensemble(&sample.schema));
    let sample = several_labels();
    compare_in_python(&sample, &model(&sample.schema, Activation::Gelu, None));
    compare_in_python(&sample, &ensemble(&sample.schema));
}

#[test]
fn the_python_module_predicts_the_same_with_every_stage() {
    let sample = table(Task::Classification, false);
    for stage in stages(&sample.schema) {
        compare_in_python(&sample, &staged(&sample.schema, stage));
    }
    compare_in_python(&sample, &staged_ensemble(&sample.schema));
}

#[test]
fn the_python_module_predicts_the_same_with_embedded_categories() {
    let sample = many_categories(Task::Regression);
    for stage in stages(&sample.schema) {
        compare_in_python(&sample, &staged(&sample.schema, stage));
    }
    compare_in_python(&sample, &staged_ensemble(&sample.schema));
    let model = linear(&sample.schema);
    compare_in_python(&sample, &model);
    compare_in_python(&with_numbers_of_no_value(many_categories(Task::Regression)), &model);
    let (header, _) = header(&safetensors(&model));
    let values: usize = sample.schema.encoder.categories().iter().map(|it| it.values).sum();
    assert_eq!(header["stage.categories"]["shape"], serde_json::json!([values, 8]));
}

#[test]
fn folded_batch_normalisation_predicts_the_same() {
    let sample = table(Task::Classification, false);
    for place in PLACES {
        let model = model(&sample.schema, Activation::Mish, place);
        let folded = model.fold_batch_norm().unwrap();
        assert!(folded.members()[0].layers.iter().all(|layer| layer.norm.is_none()));
        for features in &sample.features {
            let (before, after) = (model.predict_row(features), folded.predict_row(features));
            for (before, after) in before.unwrap().iter().zip(after.unwrap()) {
                assert!((before - after).abs() < 1e-5, "{place:?} {before} {after}");
            }
        }
    }
}

#[test]
fn a_row_of_another_width_has_no_prediction() {
    let sample = table(Task::Classification, false);
    let model = model(&sample.schema, Activation::Relu, None);
    assert_eq!(model.predict_row(&[0.0]), None);
    let probabilities = model.predict_row(&sample.features[0]).unwrap();
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}
