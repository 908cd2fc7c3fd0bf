#![allow(clippy::as_conversions, reason = "the numbers are small")]

use caviar_common::assignment::Assignment;
use caviar_common::scale::Scale;
use caviar_common::seed::Stream;
use caviar_common::space::{Condition, Holds, Parameter};

use super::forest::{Leaf, Side};
use super::*;

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter { name: name.into(), domain, when: None, points: None }
}

fn unit(name: &str) -> Parameter {
    parameter(name, Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 })
}

fn choice(name: &str, values: &[&str]) -> Parameter {
    parameter(
        name,
        Domain::Choice { values: values.iter().map(|v| Value::Text((*v).into())).collect() },
    )
}

fn stream() -> Stream {
    Seed::derive(9, 0, Purpose::Sample).stream(0)
}

/// The costs of `n` random trials.
fn trials(space: &Space, n: usize, cost: impl Fn(&Assignment) -> f64) -> Vec<(Assignment, f64)> {
    let mut stream = stream();
    let mut draw =
        || space.decode(&space.parameters().iter().map(|_| stream.uniform()).collect::<Vec<_>>());
    (0..n).map(|_| draw()).map(|a| (a.clone(), cost(&a))).collect()
}

/// A history with the trials, and the costs with their numbers.
fn history(space: &Space, results: &[(Assignment, f64)]) -> (History, Vec<(u32, f64)>) {
    let mut history = History::new(space.clone());
    let mut add = |(a, cost): &(Assignment, f64)| (history.push_trial(a).unwrap(), *cost);
    let costs = results.iter().map(&mut add).collect();
    (history, costs)
}

fn importance_of(
    space: &Space,
    results: &[(Assignment, f64)],
    measure: Measure,
    seed: u64,
) -> Result<Importance, TooLittle> {
    let (history, costs) = history(space, results);
    importance(&history, &costs, measure, seed)
}

fn number(assignment: &Assignment, name: &str) -> f64 {
    assignment.get(name).and_then(Value::as_f64).unwrap()
}

fn share(importance: &Importance, name: &str) -> f64 {
    importance.parameters.iter().find(|p| p.name == name).unwrap().share
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} {b}");
}

fn between(sides: [(f64, f64); 2], value: f64) -> Leaf {
    Leaf { value, sides: sides.iter().map(|(low, high)| Side::Between(*low, *high)).collect() }
}

/// The value is 0 below x = 0.25. Above, it is 4 below y = 0.5 and 8 elsewhere. By hand: the mean
/// is 0.75 (4 + 8) / 2 = 4.5, and the variance 0.25 * 4.5^2 + 0.375 (0.5^2 + 3.5^2) = 9.75. The
/// mean over y is 0 or 6, so the variance of x is 0.25 * 4.5^2 + 0.75 * 1.5^2 = 6.75. The mean over
/// x is 3 or 6, so the variance of y is 1.5^2 = 2.25. The rest, 0.75, is that of the pair.
#[test]
fn the_variances_of_three_boxes_are_those_computed_by_hand() {
    let boxes = [
        between([(0.0, 0.25), (0.0, 1.0)], 0.0),
        between([(0.25, 1.0), (0.0, 0.5)], 4.0),
        between([(0.25, 1.0), (0.5, 1.0)], 8.0),
    ];
    let partition = Partition::new(&[Axis::Line, Axis::Line], boxes.to_vec());
    close(partition.variance(), 9.75);
    close(partition.variance_of(0), 6.75);
    close(partition.variance_of(1), 2.25);
    close(partition.variance_of_pair(0, 1), 9.75);
}

/// Of the choices a, b and c, the value of b is 6. The others have 0 below x = 0.5 and 3 above. By
/// hand: the mean is (6 + 2 * 1.5) / 3 = 3, and the variance (9 + 9 + 0) / 3 = 6. The means over x
/// are 1.5, 6 and 1.5, so the choice's variance is (2.25 + 9 + 2.25) / 3 = 4.5. The means over the
/// choice are 2 and 4, so the variance of x is 1.
#[test]
fn a_box_may_include_choices_that_are_not_adjacent() {
    let leaf = |among: [bool; 3], low, high, value| Leaf {
        value,
        sides: vec![Side::Among(among.to_vec()), Side::Between(low, high)],
    };
    let ends = [true, false, true];
    let boxes = vec![
        leaf([false, true, false], 0.0, 1.0, 6.0),
        leaf(ends, 0.0, 0.5, 0.0),
        leaf(ends, 0.5, 1.0, 3.0),
    ];
    let partition = Partition::new(&[Axis::Choices(3), Axis::Line], boxes);
    close(partition.variance(), 6.0);
    close(partition.variance_of(0), 4.5);
    close(partition.variance_of(1), 1.0);
    close(partition.variance_of_pair(0, 1), 6.0);
}

/// The cost is a sum of three terms with the variances 3/4, 9/12 and 1/12.
#[test]
fn the_shares_of_a_sum_are_those_of_its_terms_and_no_pair_has_one() {
    let space = Space::new(vec![
        choice("kind", &["a", "b", "c", "d"]),
        unit("steep"),
        unit("flat"),
        unit("idle"),
    ])
    .unwrap();
    let of_kind =
        |a: &Assignment| if a.get("kind").and_then(Value::as_str) == Some("d") { 2.0 } else { 0.0 };
    let results =
        trials(&space, 2000, |a| of_kind(a) + 3.0 * number(a, "steep") + number(a, "flat"));
    let found = importance_of(&space, &results, Measure::Scales, 1).unwrap();
    let all = 0.75 + 0.75 + 1.0 / 12.0;
    for (name, variance) in [("kind", 0.75), ("steep", 0.75), ("flat", 1.0 / 12.0), ("idle", 0.0)] {
        assert!((share(&found, name) - variance / all).abs() < 0.03, "{name} {found:?}");
    }
    assert!(found.pairs.iter().all(|p| p.share < 0.02), "{found:?}");
    let total: f64 =
        found.parameters.iter().map(|p| p.share).chain(found.pairs.iter().map(|p| p.share)).sum();
    assert!(total > 0.95 && total <= 1.0 + 1e-9, "{total}");
}

/// All of the variance of x * y is the pair's if both are uniform around 0.
#[test]
fn the_share_of_a_product_belongs_to_the_pair() {
    let space = Space::new(vec![unit("x"), unit("y"), unit("z")]).unwrap();
    let results = trials(&space, 1000, |a| {
        (number(a, "x") - 0.5) * (number(a, "y") - 0.5) + 0.02 * number(a, "z")
    });
    let found = importance_of(&space, &results, Measure::Scales, 1).unwrap();
    let first = &found.pairs[0];
    assert_eq!(first.names, ["x", "y"]);
    assert!(first.share > 0.7 && share(&found, "x") < 0.1 && share(&found, "y") < 0.1, "{found:?}");
}

/// Every decade of the rate changes the cost by 1. As numbers, nine tenths of the rates lie in the
/// last decade.
#[test]
fn the_measure_says_which_values_have_weight() {
    let rate = parameter("rate", Domain::Float { scale: Scale::Log, low: 1e-4, high: 1.0 });
    let space = Space::new(vec![rate, unit("other")]).unwrap();
    let results =
        trials(&space, 500, |a| libm::log10(number(a, "rate")).abs() + 2.0 * number(a, "other"));
    let share_under =
        |measure| share(&importance_of(&space, &results, measure, 1).unwrap(), "rate");
    assert!(
        share_under(Measure::Scales) > 0.75 && share_under(Measure::Values) < 0.5,
        "{} {}",
        share_under(Measure::Scales),
        share_under(Measure::Values)
    );
}

/// With one parameter, its variance is that of the function, and here the mean of the shares was
/// rounded to 1.0000000000000002. Clients refuse a share above 1.
#[test]
fn a_share_is_never_above_1() {
    let space = Space::new(vec![unit("x")]).unwrap();
    let results = trials(&space, 1001, |a| libm::sin(70.0 * number(a, "x")));
    let found = importance_of(&space, &results, Measure::Scales, 3).unwrap();
    assert!(found.parameters[0].share <= 1.0, "{found:?}");
    assert!(found.parameters[0].share > 1.0 - 1e-12, "{found:?}");
}

#[test]
fn equal_seeds_give_equal_shares_and_other_seeds_similar_ones() {
    let space = Space::new(vec![unit("x"), choice("kind", &["a", "b"]), unit("y")]).unwrap();
    let results = trials(&space, 100, |a| number(a, "x") + 0.3 * number(a, "y"));
    let found = |seed| importance_of(&space, &results, Measure::Scales, seed).unwrap();
    assert_eq!(found(1), found(1));
    assert_ne!(found(1), found(2));
    assert!((share(&found(1), "x") - share(&found(2), "x")).abs() < 0.05);
    assert_eq!(found(1).parameters[0].name, "x");
}

#[test]
fn shares_do_not_depend_on_the_unit_of_the_cost_and_ignore_costs_that_are_not_finite() {
    let space = Space::new(vec![unit("x"), unit("y")]).unwrap();
    let plain = trials(&space, 60, |a| number(a, "x") + 0.5 * number(a, "y"));
    let mut huge: Vec<(Assignment, f64)> =
        plain.iter().map(|(a, cost)| (a.clone(), cost * 2f64.powi(1000) * 0.5)).collect();
    huge.insert(30, (plain[0].0.clone(), f64::NAN));
    huge.push((plain[1].0.clone(), f64::INFINITY));
    let (plain, huge) = (
        importance_of(&space, &plain, Measure::Scales, 4).unwrap(),
        importance_of(&space, &huge, Measure::Scales, 4).unwrap(),
    );
    assert_eq!(huge.trials, 60);
    assert!((share(&plain, "x") - share(&huge, "x")).abs() < 1e-6, "{plain:?} {huge:?}");
}

#[test]
fn inactive_parameters_have_a_share_and_parameters_with_one_value_have_none() {
    let a = Holds::OneOf(vec![Value::Text("a".into())]);
    let of_a =
        Parameter { when: Some(Condition { parameter: "kind".into(), holds: a }), ..unit("of_a") };
    let one = parameter("one", Domain::Int { scale: Scale::Linear, low: 3, high: 3 });
    let space =
        Space::new(vec![choice("kind", &["a", "b"]), of_a, one, choice("only", &["x"])]).unwrap();
    let results = trials(&space, 200, |a| a.get("of_a").and_then(Value::as_f64).unwrap_or(3.0));
    for measure in [Measure::Scales, Measure::Values] {
        let found = importance_of(&space, &results, measure, 1).unwrap();
        assert!(share(&found, "kind") > 0.5 && share(&found, "of_a") > 0.001, "{found:?}");
        assert_eq!((share(&found, "one"), share(&found, "only")), (0.0, 0.0));
    }
}

#[test]
fn too_few_trials_and_equal_costs_are_refused() {
    let space = Space::new(vec![unit("x")]).unwrap();
    let few = trials(&space, 9, |a| number(a, "x"));
    assert_eq!(importance_of(&space, &few, Measure::Scales, 1), Err(TooLittle::Trials(9)));
    for cost in [0.1, 0.0, -1e300] {
        assert_eq!(
            importance_of(&space, &trials(&space, 30, |_| cost), Measure::Scales, 1),
            Err(TooLittle::Difference(30))
        );
    }
}

/// Three of a hundred trials with y above 0.9 nearly diverged. If they are not capped, they
/// determine the shares.
#[test]
fn the_costs_of_trials_that_nearly_diverged_are_capped() {
    let space = Space::new(vec![unit("x"), unit("y")]).unwrap();
    let mut results = trials(&space, 100, |a| number(a, "x"));
    let outliers: Vec<usize> =
        (0..100).filter(|i| number(&results[*i].0, "y") > 0.9).take(3).collect();
    outliers.iter().for_each(|i| results[*i].1 = 1e9);
    let (history, mut results) = history(&space, &results);
    let share_of_x = |results: &[(u32, f64)]| {
        share(&importance(&history, results, Measure::Scales, 1).unwrap(), "x")
    };
    let raw = share_of_x(&results);
    assert_eq!(cap(&mut results), 3);
    assert!(results.iter().all(|(_, cost)| *cost < 10.0));
    assert!(raw < 0.3 && share_of_x(&results) > raw, "{raw} {}", share_of_x(&results));
    assert_eq!(cap(&mut results), 0);
}
