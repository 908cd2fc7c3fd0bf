//! The bytes of a model.

use caviar_common::data::Task;
use caviar_common::train::Activation;
use caviar_data::Schema;
use caviar_model::{Basis, InputStage, Model, ModelError, NumberScaling, Place};
use proptest::prelude::*;

use crate::sample::{ensemble, least_stage, many_categories, model, several_labels, table};
use crate::staged::{staged, staged_ensemble, stages};

/// Offset of the description in a file.
const DESCRIPTION: usize = 24;

fn bytes() -> Vec<u8> {
    let schema = table(Task::Classification, false).schema;
    ensemble(&schema).to_bytes().unwrap()
}

/// The file with another description, and lengths and a checksum that fit it.
fn with_description(bytes: &[u8], change: impl FnOnce(String) -> String) -> Vec<u8> {
    let length = usize::try_from(u32::from_le_bytes(bytes[12..16].try_into().unwrap())).unwrap();
    let (old, floats) = bytes[DESCRIPTION..bytes.len() - 32].split_at(length);
    let new = change(String::from_utf8(old.to_vec()).unwrap());
    let mut out = bytes[..12].to_vec();
    out.extend(u32::try_from(new.len()).unwrap().to_le_bytes());
    out.extend(u64::try_from(DESCRIPTION + new.len() + floats.len() + 32).unwrap().to_le_bytes());
    out.extend(new.as_bytes());
    out.extend(floats);
    let digest = blake3::hash(&out);
    out.extend(digest.as_bytes());
    out
}

fn error_of(bytes: &[u8]) -> String {
    Model::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn models_of_all_kinds_come_back_from_their_bytes() {
    for task in Task::ALL {
        for season in [false, true] {
            let schema = table(task, season).schema;
            for model in [
                model(&schema, Activation::Mish, None),
                model(&schema, Activation::Relu, Some(Place::AfterActivation)),
                ensemble(&schema),
            ] {
                let bytes = model.to_bytes().unwrap();
                assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
                assert_eq!(Model::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
            }
        }
    }
}

#[test]
fn models_with_a_stage_come_back_and_others_keep_their_version() {
    let schema = table(Task::Classification, false).schema;
    let version = |bytes: &[u8]| bytes[8];
    let mut models: Vec<Model> =
        stages(&schema).into_iter().map(|stage| staged(&schema, stage)).collect();
    models.push(staged_ensemble(&schema));
    for model in models {
        let bytes = model.to_bytes().unwrap();
        assert_eq!(version(&bytes), 2);
        assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
        assert!(!model.config()["members"][0]["stage"].is_null());
    }
    let plain = model(&schema, Activation::Relu, None);
    assert_eq!(version(&plain.to_bytes().unwrap()), 1);
    assert!(plain.config()["members"][0]["stage"].is_null());
}

#[test]
fn models_of_several_labels_come_back_and_labels_that_do_not_fit_are_refused() {
    let schema = several_labels().schema;
    let model = ensemble(&schema);
    let bytes = model.to_bytes().unwrap();
    assert_eq!(bytes[8], 3);
    assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
    assert_eq!(model.config()["labels"], serde_json::json!(["target", "small", "constant"]));
    let single = table(Task::Regression, false).schema;
    assert_eq!(model.members()[0].layers[2].outputs, 3);
    let members = model.members().to_vec();
    let error = Model::new(single, members.clone()).unwrap_err().to_string();
    assert!(error.contains("outputs"), "{error}");
    let twice = |name: &str| with_description(&bytes, |it| it.replace("\"small\"", name));
    let error = error_of(&twice("\"target\""));
    assert!(error.ends_with("has a label whose columns repeat"), "{error}");
    let mut classes = table(Task::Classification, false).schema;
    classes.more_labels = schema.more_labels.clone();
    let error = Model::new(classes, members).unwrap_err().to_string();
    assert!(error.ends_with("columns are several, and not all of them numbers"), "{error}");
}

#[test]
fn a_stage_that_does_not_fit_is_refused() {
    let schema = table(Task::Classification, false).schema;
    let fault = |number: usize, change: fn(&mut InputStage)| {
        let whole = staged(&schema, stages(&schema)[number].clone());
        let mut member = whole.members()[0].clone();
        change(&mut member.stage);
        Model::new(schema.clone(), vec![member]).unwrap_err().to_string()
    };
    let says = |text: String, what: &str| assert!(text.contains(what), "{text}");
    says(fault(0, |stage| stage.numbers.reverse()), "the input stage of network 0 has numbers");
    says(fault(6, |stage| stage.numbers.push(99)), "not below");
    says(fault(0, |stage| stage.factors = Some(vec![1.0])), "another number of factors");
    says(fault(4, |stage| stage.scaling = NumberScaling::Quantile(vec![])), "knots");
    says(
        fault(5, |stage| {
            stage.scaling = NumberScaling::Robust { medians: vec![], factors: vec![] };
        }),
        "has medians of another length",
    );
    says(
        fault(1, |stage| stage.embedding.as_mut().unwrap().weights[0] = f32::NAN),
        "has weight of another length than its shape, or a number that is not finite",
    );
    says(fault(1, |stage| stage.embedding.as_mut().unwrap().size = 65), "makes 65 inputs");
    says(
        fault(1, |stage| {
            let edges = vec![vec![1.0]];
            stage.embedding.as_mut().unwrap().basis = Basis::PiecewiseLinear { edges };
        }),
        "edges of bins",
    );
}

#[test]
fn models_that_embed_categories_come_back() {
    for task in Task::ALL {
        let schema = many_categories(task).schema;
        let places = schema.encoder.categories().len();
        assert_eq!((places, schema.encoder.numbers().len()), (2, 6));
        let mut models: Vec<Model> =
            stages(&schema).into_iter().map(|stage| staged(&schema, stage)).collect();
        models.extend([staged_ensemble(&schema), model(&schema, Activation::Relu, None)]);
        for model in models {
            let bytes = model.to_bytes().unwrap();
            assert_eq!(bytes[8], 4);
            assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
            let config = &model.config()["members"][0]["stage"]["categories"];
            assert_eq!(config.as_array().unwrap().len(), 2);
            assert_eq!(config[0]["values"], model.members()[0].stage.categories[0].values);
            let names = model.feature_names();
            assert_eq!(names.len(), schema.width());
            assert_eq!(names[model.members()[0].stage.categories[1].place], "city");
        }
    }
}

#[test]
fn categories_that_do_not_fit_are_refused() {
    let schema = many_categories(Task::Classification).schema;
    let whole = ensemble(&schema);
    let fault = |change: fn(&mut InputStage)| {
        let mut members = whole.members().to_vec();
        change(&mut members[1].stage);
        Model::new(schema.clone(), members).unwrap_err().to_string()
    };
    let says = |text: String, what: &str| assert!(text.contains(what), "{text}");
    let other = "stage of network 1 does not embed the 2 categories of the schema";
    says(fault(|stage| stage.categories.clear()), other);
    says(fault(|stage| stage.categories.reverse()), other);
    says(fault(|stage| stage.categories[0].place += 1), other);
    says(fault(|stage| stage.categories[0].values += 1), other);
    let length = "stage of network 1 has categories of another length than its shape";
    says(fault(|stage| stage.categories[1].weights.truncate(8)), length);
    says(fault(|stage| stage.categories[1].weights[3] = f32::INFINITY), length);
    says(fault(|stage| stage.numbers = vec![stage.categories[0].place]), "or categories");
    // Without a schema that has them, there are none.
    let plain = table(Task::Classification, false).schema;
    let stage = InputStage { categories: least_stage(&schema).categories, ..least_stage(&plain) };
    let mut member = model(&plain, Activation::Relu, None).members()[0].clone();
    member.stage = stage;
    says(Model::new(plain, vec![member]).unwrap_err().to_string(), "does not embed the 0 ");
}

#[test]
fn a_description_of_categories_that_does_not_fit_is_refused() {
    let schema = many_categories(Task::Classification).schema;
    let bytes = model(&schema, Activation::Relu, None).to_bytes().unwrap();
    let encoding = |text: &str| text.find("\"Embedded\"").unwrap();
    let changed = |from: &str, to: &str, after: fn(&str) -> usize| {
        let changed = with_description(&bytes, |text| {
            let (before, rest) = text.split_at(after(&text));
            assert!(rest.contains(from), "{from} in {rest}");
            before.to_owned() + &rest.replacen(from, to, 1)
        });
        error_of(&changed)
    };
    let stage = |text: &str| text.find("\"stage\"").unwrap();
    let values = |at: fn(&str) -> usize| {
        let text = String::from_utf8_lossy(&bytes[DESCRIPTION..]).into_owned();
        let rest = text[at(&text)..].split("\"values\":").nth(1).unwrap().to_owned();
        rest.split(|it: char| !it.is_ascii_digit()).next().unwrap().to_owned()
    };
    let number = format!("\"values\":{}", values(encoding));
    let all = [
        ("\"numbers\":[", "\"numbers\":[1,", "encoding has another number of categories"),
        ("\"numbers\":[1", "\"numbers\":[4000", "names one that it does not have"),
        ("\"missing\":", "\"missing\":9", "names one that it does not have"),
        ("\"unknown\":", "\"unknown\":9", "names one that it does not have"),
        (number.as_str(), "\"values\":0", "has no values"),
        (number.as_str(), "\"values\":65538", "values are more than the limit of a category"),
        (number.as_str(), "\"values\":65537", "does not embed the 2 categories of the schema"),
    ];
    for (from, to, expected) in all {
        let error = changed(from, to, encoding);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    let number = format!("\"values\":{}", values(stage));
    let error = changed(&number, "\"values\":7", stage);
    assert!(error.contains("bytes of weights, but its description says"), "{error}");
    let huge = changed(&number, "\"values\":18446744073709551615", stage);
    assert!(huge.contains("description says 184467440737095"), "{huge}");
}

#[test]
fn models_of_early_releases_whose_rare_categories_share_an_input_are_read() {
    let schema = table(Task::Classification, false).schema;
    let mut json = serde_json::to_value(&schema).unwrap();
    let place = schema.columns.iter().position(|column| column.name == "city").unwrap();
    let one_hot = &mut json["encoder"]["Columns"][place]["OneHot"];
    one_hot["slots"][3] = one_hot["slots"][5].clone();
    let schema: Schema = serde_json::from_value(json).unwrap();
    let model = model(&schema, Activation::Relu, None);
    assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    assert!(model.feature_names().iter().any(|name| name == "city is rare"));
}

#[test]
fn a_model_of_images_comes_back() {
    let schema: Schema = serde_json::from_value(serde_json::json!({
        "columns": [], "pixels": [2, 3],
        "encoder": { "Pixels": vec![serde_json::json!({ "mean": 3.5, "scale": 0.1 }); 6] },
        "label": { "name": "digit", "classes": ["0", "1"] },
    }))
    .unwrap();
    let model = model(&schema, Activation::Relu, None);
    assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    assert_eq!(model.feature_names()[4], "pixel_1_1");
}

#[test]
fn errors_name_what_is_wrong() {
    let bytes = bytes();
    assert_eq!(
        error_of(b"a,b,c\n1,2,3\n"),
        "not a model of Caviar: expected a file that `caviar model` has written"
    );
    assert!(error_of(b"").starts_with("not a model"));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert!(error_of(&newer).starts_with("the file has version 9 of the format: expected 1"));
    let cut = error_of(&bytes[..100]);
    assert!(cut.ends_with(&format!("expected {} bytes, found 100", bytes.len())), "{cut}");
    let mut damaged = bytes.clone();
    damaged[200] ^= 4;
    assert!(error_of(&damaged).starts_with("the model is damaged: its checksum is wrong"));
}

#[test]
fn a_description_that_does_not_fit_is_refused_even_with_a_right_checksum() {
    let bytes = bytes();
    let first = |from: &str, to: &str| {
        let changed = with_description(&bytes, |text| {
            assert!(text.contains(from), "{from} in {text}");
            text.replacen(from, to, 1)
        });
        error_of(&changed)
    };
    let all = [
        (r#""outputs":8"#, r#""outputs":9"#, "bytes of weights, but its description says"),
        (r#""outputs":8"#, r#""outputs":18446744073709551615"#, "description says 18446744073709"),
        (r#""weight":0.5"#, r#""weight":0.7"#, "the weights of the networks sum to 1.2"),
        (r#""weight":0.5"#, r#""weight":-0.5"#, "network 0 has the weight -0.5"),
        (r#""temperature":1.5"#, r#""temperature":0.0"#, "network 0 has the temperature 0"),
        (r#""epsilon":"#, r#""epsilon":-"#, "layer 0 of network 0 has running variances"),
        (r#""activation":"silu""#, r#""activation":"step""#, "unknown variant `step`"),
        (r#","activation":"silu""#, "", "hidden layers have an activation"),
        (
            r#""name":"size""#,
            r#""name":"amount""#,
            r#"the model's schema has the column "amount" twice"#,
        ),
        (r#""blue","green""#, r#""green","blue""#, "categories are not sorted, or repeat"),
        (r#""blue","green""#, r#""green""#, "encoding has another number of categories"),
        (r#""width":5"#, r#""width":4"#, "encoding names an input that it does not have"),
        (r#""width":5"#, r#""width":4000000000"#, "more than the limit of a category"),
        (r#""type":"boolean""#, r#""type":"number""#, "encoding does not fit its type"),
        (r#""classes":["high","#, r#""classes":["#, "has 3 outputs: expected 2"),
        (r#""classes":["high","#, r#""classes":["low","#, "label whose classes repeat"),
        (r#""columns":["#, r#""pixels":[2,2],"columns":["#, "than its encoder"),
    ];
    for (from, to, expected) in all {
        let error = first(from, to);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let schema = table(Task::Regression, false).schema;
    let good = model(&schema, Activation::Relu, Some(Place::BeforeActivation));
    let mut members = good.members().to_vec();
    members[0].layers[1].weights[3] = f32::NAN;
    let error = Model::new(schema.clone(), members).unwrap_err();
    assert!(matches!(error, ModelError::BadNumber { member: 0, layer: 1, .. }), "{error}");
    let mut members = good.members().to_vec();
    members[0].about.temperature = 2.0;
    let error = Model::new(schema.clone(), members).unwrap_err();
    assert!(matches!(error, ModelError::Temperature { .. }), "{error}");
    let error = Model::new(schema, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the model has 0 networks: expected 1 to 256");
}

#[test]
fn inputs_have_names() {
    let schema = table(Task::Classification, false).schema;
    let names = model(&schema, Activation::Relu, None).feature_names();
    assert_eq!(names.len(), schema.width());
    for name in [
        "amount",
        "amount is missing",
        "flag",
        "flag is missing",
        "colour = red",
        "colour is missing",
        "side = right",
        "city = c07",
        "bought",
        "bought: sine of the year",
        "born: cosine of the week",
    ] {
        assert!(names.iter().any(|other| other == name), "{name} in {names:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_damage_is_overlooked(seed in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let bytes = bytes();
        // Every part of the file is hit: the numbers are most of it.
        for part in [0..DESCRIPTION, DESCRIPTION..bytes.len(), bytes.len() - 32..bytes.len()] {
            let position = part.start + seed.index(part.len());
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            prop_assert!(Model::from_bytes(&damaged).is_err());
            prop_assert!(Model::from_bytes(&bytes[..position]).is_err());
            let longer = [&bytes[..], &bytes[..=position]].concat();
            prop_assert!(Model::from_bytes(&longer).is_err());
        }
    }

    #[test]
    fn no_description_makes_it_panic(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let bytes = bytes();
        let changed = with_description(&bytes, |text| {
            let mut text: Vec<char> = text.chars().collect();
            for (index, digit) in &at {
                let digits: Vec<usize> =
                    (0..text.len()).filter(|&i| text[i].is_ascii_digit()).collect();
                text[digits[index.index(digits.len())]] = char::from(b'0' + digit % 10);
            }
            text.into_iter().collect()
        });
        if let Ok(model) = Model::from_bytes(&changed) {
            prop_assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
        }
    }
}
