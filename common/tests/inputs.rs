//! The hyperparameters of what is before the first layer, in sweep files.
#![allow(clippy::unwrap_used, reason = "tests")]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::DataSummary;
use caviar_common::hyper::train_spec;
use caviar_common::spec::{SweepSpec, file};
use caviar_common::train::{Embedding, RegularizationSchedule, Scaling};

fn parse(fixed: &str, space: &str) -> Result<SweepSpec, String> {
    let text = format!(
        "name = \"s\"\n[data]\nsource = \"a.csv\"\n[fixed]\n{fixed}[space]\n\
         learning_rate = {{ low = 0.1, high = 1.0 }}\n{space}[search]\ntrials = 4\n"
    );
    file::parse(&text).map(|file| file.spec).map_err(|problems| problems.to_string())
}

#[test]
fn every_key_reaches_the_training() {
    let fixed = "scaling = \"robust\"\nembedding = \"periodic\"\nembedding_size = 6\n\
                 embedding_frequency_scale = 0.02\ninput_scaling = true\n\
                 dropout_schedule = \"flat_cosine\"\nweight_decay_schedule = \"flat_cosine\"\n";
    let spec = train_spec(&parse(fixed, "").unwrap().fixed, &Assignment::default()).unwrap();
    assert_eq!(spec.scaling, Scaling::Robust);
    assert_eq!(spec.embedding, Embedding::Periodic { size: 6, frequency_scale: 0.02 });
    assert!(spec.input_scaling);
    let schedules = [spec.dropout_schedule, spec.weight_decay_schedule];
    assert_eq!(schedules, [RegularizationSchedule::FlatCosine; 2]);
}

#[test]
fn true_and_false_are_choices_and_conditions() {
    let space = "input_scaling = { choices = [true, false] }\n\
                 dropout = { low = 0.0, high = 0.5, when = { input_scaling = true } }\n";
    let spec = parse("", space).unwrap();
    let mut assignment = Assignment::default();
    assignment.insert("input_scaling", Value::Text("true".into()));
    let dropout = spec.space.get("dropout").unwrap();
    assert!(spec.space.is_active(dropout, &assignment));
    assert!(train_spec(&spec.fixed, &assignment).unwrap().input_scaling);
    let error = parse("units = true\n", "").unwrap_err();
    assert!(error.ends_with("expected a whole number from 1 to 8192"), "{error}");
    let error = parse("input_scaling = \"yes\"\n", "").unwrap_err();
    assert!(error.ends_with("expected one of \"false\", \"true\""), "{error}");
}

#[test]
fn what_an_embedding_does_not_have_is_refused() {
    let size = "embedding_size = { low = 2, high = 8 }\n";
    let error = parse("", size).unwrap_err();
    let expected = "has no effect with embedding = \"none\": set embedding to \"periodic\" or \
                    \"piecewise_linear\" in [fixed], or remove it";
    assert!(error.ends_with(expected), "{error}");
    assert!(parse("embedding = \"piecewise_linear\"\n", size).is_ok());
    let scale = "embedding_frequency_scale = { low = 0.01, high = 1.0 }\n";
    assert!(parse("embedding = \"piecewise_linear\"\n", scale).is_err());
    let kinds = "embedding = { choices = [\"none\", \"periodic\"] }\n";
    let when = "embedding_size = { low = 2, high = 8, when = { embedding = [\"periodic\"] } }\n";
    assert!(parse("", &format!("{kinds}{when}")).is_ok());
}

#[test]
fn the_largest_network_has_the_largest_embedding() {
    let data =
        DataSummary { train: 1_000, features: 5_000, numbers: 5_000, ..DataSummary::default() };
    let space = "units = { low = 32, high = 8192 }\n";
    let one = "layers = 1\n";
    assert_eq!(parse(one, space).unwrap().check_new(Some(&data)), Ok(()));
    let fixed = "layers = 1\nembedding = \"periodic\"\nembedding_size = 64\n";
    let error = parse(fixed, space).unwrap().check_new(Some(&data)).unwrap_err().to_string();
    assert!(error.contains("has 2621440000 weights"), "{error}");
}

#[test]
fn the_largest_network_has_the_vectors_of_all_categories() {
    let data = DataSummary {
        train: 1_000,
        features: 500,
        categories: 500,
        category_values: 500 * 65_537,
        ..DataSummary::default()
    };
    let space = "units = { low = 32, high = 8192 }\n";
    let spec = parse("layers = 1\n", space).unwrap();
    let few = DataSummary { category_values: 500 * 65, ..data.clone() };
    assert_eq!(spec.check_new(Some(&few)), Ok(()));
    let error = spec.check_new(Some(&data)).unwrap_err().to_string();
    // 65,537 values for each of 500 categories, and 4,000 inputs of the first layer.
    assert!(error.contains("on 4000 features"), "{error}");
    assert!(error.contains("weights, 262148000 of them for categories: expected"), "{error}");
}
