#![allow(clippy::as_conversions, reason = "the numbers of the tests are small")]

use proptest::prelude::*;

use super::*;
use crate::seed::{Purpose, Seed};

fn float(scale: Scale, low: f64, high: f64) -> Domain {
    Domain::Float { scale, low, high }
}

fn draws(domain: &Domain, n: u64) -> Vec<Value> {
    (0..n).map(|i| domain.decode(Seed::derive(7, i, Purpose::Sample).stream(0).uniform())).collect()
}

#[test]
fn half_of_the_momenta_from_09_to_0999_are_above_099() {
    let values = draws(&float(Scale::OneMinusLog, 0.9, 0.999), 10_000);
    let above = values.iter().filter(|v| v.as_f64().unwrap() > 0.99).count();
    assert!((4_800..5_200).contains(&above), "{above}");
}

#[test]
fn a_quarter_of_the_learning_rates_from_1e4_to_1_is_in_each_decade() {
    let mut decades = [0; 4];
    for value in draws(&float(Scale::Log, 1e-4, 1.0), 10_000) {
        let decade = (value.as_f64().unwrap().log10() + 4.0).floor().min(3.0);
        decades[decade as usize] += 1;
    }
    assert!(decades.iter().all(|d| (2_350..2_650).contains(d)), "{decades:?}");
}

#[test]
fn integers_reach_both_ends_with_an_equal_share() {
    let mut counts = [0; 4];
    for value in draws(&Domain::Int { scale: Scale::Linear, low: 1, high: 4 }, 10_000) {
        counts[usize::try_from(value.as_i64().unwrap() - 1).unwrap()] += 1;
    }
    assert!(counts.iter().all(|c| (2_350..2_650).contains(c)), "{counts:?}");
}

#[test]
fn the_first_draws_of_every_scale_never_change() {
    let domains = [
        float(Scale::Linear, 0.0, 1.0),
        float(Scale::Log, 1e-4, 1.0),
        float(Scale::OneMinusLog, 0.9, 0.999),
        Domain::Int { scale: Scale::Linear, low: 32, high: 128 },
        Domain::Int { scale: Scale::Log, low: 16, high: 256 },
        Domain::Choice { values: vec![Value::Text("relu".into()), Value::Text("tanh".into())] },
    ];
    let drawn: Vec<String> = domains
        .iter()
        .map(|d| draws(d, 4).iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(drawn, GOLDEN);
}

const GOLDEN: [&str; 6] = [
    "0.6146952006040199 0.7438780701543545 0.22372831914648017 0.8547195807777782",
    "0.028759464975112944 0.09451751189371571 7.850788480996045e-4 0.26234834154118536",
    "0.9941032923207366 0.9967473011233905 0.9643102618425996 0.9980476357868142",
    "91 104 53 114",
    "87 125 29 171",
    "\"tanh\" \"tanh\" \"relu\" \"tanh\"",
];

fn conditional() -> Space {
    let optimizer = Parameter {
        name: "optimizer".into(),
        domain: Domain::Choice {
            values: vec![Value::Text("adam".into()), Value::Text("sgd".into())],
        },
        when: None,
        points: None,
    };
    let beta2 = Parameter {
        name: "beta2".into(),
        domain: float(Scale::OneMinusLog, 0.9, 0.9999),
        when: Some(Condition {
            parameter: "optimizer".into(),
            holds: Holds::OneOf(vec![Value::Text("adam".into())]),
        }),
        points: None,
    };
    Space::new(vec![beta2, optimizer]).unwrap()
}

#[test]
fn a_parameter_is_active_only_if_its_condition_holds() {
    let space = conditional();
    assert_eq!(space.parameters()[0].name, "optimizer");
    assert_eq!(space.decode(&[0.2, 0.5]).len(), 2);
    assert_eq!(space.decode(&[0.8, 0.5]).len(), 1);
    let mut bad = space.decode(&[0.8, 0.5]);
    bad.insert("beta2", Value::Float(0.95));
    assert!(!space.contains(&bad));
}

#[test]
fn conditions_that_form_a_circle_are_refused() {
    let a = Parameter {
        name: "a".into(),
        domain: float(Scale::Linear, 0.0, 1.0),
        when: Some(Condition { parameter: "b".into(), holds: Holds::AtLeast(1) }),
        points: None,
    };
    let b = Parameter {
        name: "b".into(),
        when: Some(Condition { parameter: "a".into(), holds: Holds::AtLeast(1) }),
        ..a.clone()
    };
    assert!(Space::new(vec![a, b]).is_none());
}

proptest! {
    #[test]
    fn every_point_decodes_into_the_space_and_back(
        unit in 0.0..=1.0f64,
        low in 1i64..500,
        width in 0i64..500,
    ) {
        let domains = [
            float(Scale::Linear, low as f64, (low + width) as f64),
            float(Scale::Log, low as f64 * 1e-5, (low + width) as f64 * 1e-5),
            float(Scale::OneMinusLog, 0.1, 0.1 + 0.8999 * (width as f64 / 500.0)),
            Domain::Int { scale: Scale::Linear, low, high: low + width },
            Domain::Int { scale: Scale::Log, low, high: low + width },
        ];
        for domain in domains {
            let value = domain.decode(unit);
            let code = domain.encode(&value);
            prop_assert!(code.is_some(), "{domain:?} {value}");
            prop_assert!((0.0..=1.0).contains(&code.unwrap()));
            if let (Domain::Int { .. }, Some(code)) = (&domain, code) {
                prop_assert_eq!(domain.decode(code), value);
            }
        }
    }
}
