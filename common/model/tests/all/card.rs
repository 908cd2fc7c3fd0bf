//! The model card.

use caviar_common::data::Task;
use caviar_common::train::Activation;
use caviar_data::Schema;
use caviar_model::{ModelFile, OnnxForm, OnnxOptions, card, onnx};
use serde_json::json;

use crate::python::{can_import, python, run};
use crate::sample::{ROWS, ensemble, many_categories, model, several_labels, table, tolerance};

const FILES: [ModelFile; 4] = [
    ModelFile::Caviar,
    ModelFile::Onnx(OnnxForm::Raw),
    ModelFile::Onnx(OnnxForm::Core),
    ModelFile::Safetensors,
];

#[test]
fn the_card_says_what_the_model_is() {
    let schema = table(Task::Classification, false).schema;
    let text = card(&ensemble(&schema), "| accuracy |\n|---|\n| 0.9 |\n", &FILES);
    for part in [
        "---\nlibrary_name: caviar\npipeline_tag: tabular-classification\n",
        "# target\n\nThis model predicts `target`: which of 3 classes a row has: high, low, ",
        "It is an average of 3 neural networks with ",
        "| size | number | numbers such as 1.5 or 2e-3 | the mean, ",
        "| flag | boolean | true or false | neither, and an input says so |\n",
        "| colour | category | a \"b\", blue, green, red, violet | a category of its own |\n",
        "| side | category | left, right | none of the categories |\n",
        "c09, and 50 more | none of the categories |\n",
        "| hour | date | times of day such as 12:30 | the mean |\n",
        "\n## Metrics\n\n| accuracy |\n|---|\n| 0.9 |\n\n## Intended use\n",
        "| seed of the sweep | 18446744073709551615 |\n",
        "| 3 | 12 | 0.5 | 1.5 | ",
        " - 8 - 5 - 3 | `{\"learning_rate\":0.1,\"hidden\":[8,5]}` |\n",
        "\n### model.caviar\n",
        "\n### model.onnx\n",
        "\n### model-core.onnx\n",
        "\n### model.safetensors\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn the_card_says_how_categories_with_many_values_are_encoded() {
    let text = |schema: &Schema| card(&model(schema, Activation::Relu, None), "", &FILES);
    let many = text(&many_categories(Task::Classification).schema);
    for part in [
        " more | a category of its own |\n",
        " more | one of the rare ones |\n",
        "\nIn a column with more than 64 categories, it counts as one of the rare ones, ",
        "\n| `Embedded` | one input, a whole number: that of `numbers` at the place",
    ] {
        assert!(many.contains(part), "{part:?} in\n{many}");
    }
    let few = text(&table(Task::Classification, false).schema);
    assert!(!few.contains("rare") && !few.contains("Embedded"), "{few}");
}

#[test]
fn names_in_the_data_cannot_change_the_card() {
    let schema: Schema = serde_json::from_value(json!({
        "columns": [{ "name": "a|b\n# *c*", "type": "number" }],
        "encoder": { "Columns": [{ "Number": { "number": {
            "standard": { "mean": 1.0, "scale": 2.0 }, "median": 0.5, "has_indicator": true,
        } } }] },
        "label": { "name": "<b>`x`", "classes": ["[no](http)", "x".repeat(1000)] },
    }))
    .unwrap();
    let text = card(&model(&schema, Activation::Relu, None), "None.", &[]);
    let row = "| a\\|b \\# \\*c\\* | number | number | the median, 0.5, and an input says so |\n";
    assert!(text.contains(row), "{text}");
    assert!(text.contains("# \\<b\\>\\`x\\`\n\nThis model predicts `<b> x `: "), "{text}");
    assert!(text.contains(&format!("\\[no\\]\\(http\\), {}....\n", "x".repeat(40))), "{text}");
}

#[test]
fn the_program_in_the_card_predicts_from_a_file() {
    for sample in Task::ALL.map(|task| table(task, false)).into_iter().chain([several_labels()]) {
        let task = sample.schema.task();
        let model = ensemble(&sample.schema);
        let text = card(&model, "", &[ModelFile::Onnx(OnnxForm::Raw)]);
        let (_, program) = text.split_once("```python\n").unwrap();
        let (program, _) = program.split_once("```").unwrap();
        let Some(python) = python("numpy, onnxruntime") else { return };
        if !can_import(&python, "pandas") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let bytes = onnx(&model, OnnxOptions::default()).unwrap();
        std::fs::write(folder.path().join("model.onnx"), bytes).unwrap();
        std::fs::write(folder.path().join("rows.csv"), &sample.csv).unwrap();
        let result = if task == Task::Regression { "label" } else { "probabilities" };
        let program = format!("{program}\nimport json\nprint(json.dumps({result}.tolist()))");
        let found: Vec<Vec<f64>> =
            serde_json::from_str(&run(&python, &program, folder.path())).unwrap();
        assert_eq!(found.len(), ROWS);
        for (found, features) in found.iter().zip(&sample.features) {
            let expected = model.predict_row(features).unwrap();
            for (output, (found, expected)) in found.iter().zip(expected).enumerate() {
                let tolerance = tolerance(&sample.schema, features, output, expected);
                assert!((found - expected).abs() <= tolerance, "{found} {expected}");
            }
        }
    }
}
