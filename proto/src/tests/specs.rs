//! Specs, both of sweep files and generated ones, are the same after a round trip.

use caviar_common::data::DataSummary;
use caviar_common::error::Problems;
use caviar_common::space::Holds;
use caviar_common::spec::{SweepSpec, file};
use proptest::prelude::{BoxedStrategy, ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::sample::{select, subsequence};

use super::domain::summary;
use super::roundtrip::over_the_wire;
use crate::convert::spec::{decode_spec, encode_spec};
use crate::v1;

/// Entries of `[space]`. Any selection is legal if it includes what the conditions of its entries
/// name.
const SPACE: [&str; 9] = [
    "layers = { low = 1, high = 4 }",
    "units_3 = { scale = \"log\", low = 8, high = 16 }",
    "learning_rate = { low = 1e-4, high = 1 }",
    "learning_rate_decay = { low = 0.0, high = 0.3 }",
    "batch_size = { type = \"int\", low = 16.0, high = 256 }",
    "units = { choices = [32, 64, 128] }",
    "activation = { choices = [\"relu\", \"tanh\"] }",
    "optimizer = { choices = [\"momentum\", \"adam\"] }",
    "momentum = { low = 0.8, high = 0.999, when = { optimizer = [\"momentum\"] } }",
];

const FIXED: [&str; 4] =
    ["epochs = 30", "dropout = 0.25", "weight_decay = 1e-5", "normalization = \"after\""];

const SEARCH: [&str; 7] = [
    "strategy = \"random\"\ntrials = 60\norder = \"as_completed\"",
    "strategy = \"sobol\"\ntrials = 65536\nparallelism = 4096",
    "strategy = \"grid\"\ntrials = 5000",
    "trials = 7",
    "strategy = \"zoom\"\ntrials = 9\nwarm_start = \"earlier.sweep\"",
    "strategy = \"tpe\"\ntrials = 9\n[stopping]\nrule = \"median\"",
    "strategy = \"rounds\"\ntrials = 60\nrounds = [30, 20, 10]\nparallelism = 8",
];

const OBJECTIVE: [&str; 3] =
    ["", "metric = \"train_loss\"", "metric = \"validation_accuracy\"\ngoal = \"minimize\""];

pub(super) fn sweep_file(space: &[&str], fixed: &[&str], search: &str, objective: &str) -> String {
    let space =
        if space.is_empty() { String::new() } else { format!("[space]\n{}\n", space.join("\n")) };
    let fixed = fixed.join("\n");
    format!(
        "name = \"s\"\nseed = 11\n[data]\nsource = \"d.csv\"\nlabel = \"y\"\n\
         [fixed]\n{fixed}\n{space}[search]\n{search}\n[objective]\n{objective}\n"
    )
}

/// Specs with every kind of parameter, condition, strategy and objective.
pub(super) fn spec() -> BoxedStrategy<SweepSpec> {
    let space = subsequence(SPACE.to_vec(), 0..=SPACE.len());
    let fixed = subsequence(FIXED.to_vec(), 0..=FIXED.len());
    (space, fixed, select(SEARCH.as_slice()), select(OBJECTIVE.as_slice()), any::<u64>())
        .prop_filter_map(
            "momentum needs an optimizer in the space",
            |(space, fixed, search, objective, seed)| {
                let parsed = file::parse(&sweep_file(&space, &fixed, search, objective)).ok()?;
                Some(SweepSpec { seed, ..parsed.spec })
            },
        )
        .boxed()
}

fn there_and_back(spec: &SweepSpec) -> Result<SweepSpec, Problems> {
    decode_spec(over_the_wire(&encode_spec(spec)))
}

#[test]
fn a_sweep_file_with_everything_is_the_same_after_a_round_trip() {
    let spec = file::parse(&sweep_file(&SPACE, &FIXED, SEARCH[6], OBJECTIVE[2])).unwrap().spec;
    assert_eq!(spec.space.dimensions(), SPACE.len());
    let holds = |name| spec.space.get(name).unwrap().when.as_ref().map(|c| c.holds.clone());
    assert_eq!(holds("units_3"), Some(Holds::AtLeast(3)));
    assert!(matches!(holds("momentum"), Some(Holds::OneOf(_))));
    assert_eq!(there_and_back(&spec).unwrap(), spec);
}

#[test]
fn every_search_and_objective_of_the_tables_is_legal() {
    for (i, search) in SEARCH.iter().enumerate() {
        for objective in OBJECTIVE {
            assert!(
                file::parse(&sweep_file(&SPACE, &FIXED, search, objective)).is_ok(),
                "{i} {objective}"
            );
        }
    }
}

#[test]
fn a_condition_that_follows_from_the_name_is_not_sent() {
    let spec = file::parse(&sweep_file(&SPACE, &[], SEARCH[3], "")).unwrap().spec;
    let parameters = encode_spec(&spec).space.unwrap().parameters;
    let conditional: Vec<&str> =
        parameters.iter().filter(|p| p.when.is_some()).map(|p| p.name.as_str()).collect();
    assert_eq!(conditional, ["momentum"]);
}

#[test]
fn a_field_that_a_client_leaves_out_has_the_default_of_the_sweep_file() {
    let wire = v1::SweepSpec {
        name: Some("d".to_owned()),
        data: Some(v1::DataSpec {
            source: Some("builtin:digits".to_owned()),
            ..v1::DataSpec::default()
        }),
        search: Some(v1::SearchSpec { trials: Some(10), ..v1::SearchSpec::default() }),
        ..v1::SweepSpec::default()
    };
    let written = "name = \"d\"\n[data]\nsource = \"builtin:digits\"\n[search]\ntrials = 10\n";
    assert_eq!(decode_spec(wire).unwrap(), file::parse(written).unwrap().spec);
}

#[test]
fn an_empty_message_is_refused_with_every_required_field() {
    let problems = decode_spec(v1::SweepSpec::default()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["name", "data.source", "search.trials"]);
}

#[test]
fn problems_have_the_paths_of_the_sweep_file() {
    let text = sweep_file(&SPACE, &FIXED, SEARCH[6], "");
    let mut wire = encode_spec(&file::parse(&text).unwrap().spec);
    for parameter in &mut wire.space.as_mut().unwrap().parameters {
        if parameter.name == "learning_rate" {
            parameter.low = Some(v1::Value { kind: Some(v1::value::Kind::Float(2.0)) });
        }
    }
    let from_wire = decode_spec(wire).unwrap_err();
    let from_file =
        file::parse(&text.replace("low = 1e-4", "low = 2.0").replace("high = 1 }", "high = 1.0 }"))
            .unwrap_err();
    let said = |problems: &Problems| -> Vec<(String, String)> {
        problems.iter().map(|p| (p.field.clone(), p.message.clone())).collect()
    };
    assert_eq!(said(&from_wire), said(&from_file));
    assert_eq!(from_wire.iter().next().unwrap().field, "space.learning_rate.low");
}

const EXTERNAL: &str = r#"name = "s"
[data]
source = "external"
[fixed]
epochs = 9
"fold.number" = 3
[space]
C = { scale = "log", low = 1e-3, high = 1e3 }
kernel = { choices = ["rbf", "poly"] }
degree = { low = 2, high = 5, when = { kernel = ["poly"] } }
[search]
trials = 7
[objective]
metric = "f1-macro"
goal = "maximize"
"#;

#[test]
fn an_external_spec_is_the_same_after_a_round_trip() {
    let spec = file::parse(EXTERNAL).unwrap().spec;
    assert_eq!(there_and_back(&spec).unwrap(), spec);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn specs_are_the_same_after_a_round_trip(spec in spec()) {
        prop_assert_eq!(there_and_back(&spec).unwrap(), spec);
    }

    #[test]
    fn specs_with_the_default_space_are_the_same_after_a_round_trip(
        mut spec in spec(),
        data in summary(),
        train in 1..100_000u64,
    ) {
        spec.resolve(&DataSummary { train, ..data });
        prop_assert_eq!(there_and_back(&spec).unwrap(), spec);
    }
}
