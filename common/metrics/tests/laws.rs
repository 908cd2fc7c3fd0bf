//! Laws that hold for all predictions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::Goal;
use caviar_metrics::ensemble::{average, select};
use caviar_metrics::{Measure, Outputs, Predictions, Report, temperature};
use proptest::collection::vec;
use proptest::prelude::*;

/// A row: its class, one integer for each class, and its weight. The probabilities of two classes
/// are multiples of 1/16, so that ties are common and 1 - p is exact.
type Row = (u32, Vec<u32>, u32);

fn rows() -> impl Strategy<Value = (u32, Vec<Row>)> {
    (2u32..6).prop_flat_map(|classes| {
        let row = (0..classes, vec(0u32..17, classes as usize), 0u32..4);
        (Just(classes), vec(row, 1..40))
    })
}

/// Probabilities from one integer for each class.
fn probabilities(integers: &[u32]) -> Vec<f32> {
    if let [first, _] = integers {
        let p = *first as f32 / 16.0;
        return vec![p, 1.0 - p];
    }
    let sum = integers.iter().sum::<u32>() as f32;
    let of = |x: &u32| if sum > 0.0 { *x as f32 / sum } else { 1.0 / integers.len() as f32 };
    integers.iter().map(of).collect()
}

fn unweighted(classes: u32, rows: &[Row]) -> Predictions {
    let truth = rows.iter().map(|(class, ..)| *class).collect();
    let all = rows.iter().flat_map(|(_, integers, _)| probabilities(integers)).collect();
    Predictions::from_probabilities(classes as usize, truth, all).unwrap()
}

/// `None` if all weights are 0.
fn weighted(classes: u32, rows: &[Row]) -> Option<Predictions> {
    let weights = rows.iter().map(|(.., weight)| f64::from(*weight)).collect();
    unweighted(classes, rows).with_weights(weights).ok()
}

fn regression() -> impl Strategy<Value = Predictions> {
    vec((-9i32..10, -9i32..10), 1..30).prop_map(|rows| {
        let (truth, predicted) =
            rows.into_iter().map(|(y, p)| (f64::from(y), f64::from(p))).unzip();
        Predictions::from_values(truth, predicted).unwrap()
    })
}

/// Whether two values are equal up to rounding.
fn is_close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12,
        (None, None) => true,
        _ => false,
    }
}

fn cost(measure: Measure, predictions: &Predictions) -> Option<f64> {
    predictions.measure(measure).map(|value| Goal::of(measure).as_cost(value))
}

/// Several models of the same rows.
fn members() -> impl Strategy<Value = Vec<Predictions>> {
    (2u32..5, 1usize..15, 1usize..5).prop_flat_map(|(classes, rows, members)| {
        let truth = vec(0..classes, rows);
        let integers = vec(vec(vec(0u32..17, classes as usize), rows), members);
        (truth, integers).prop_map(move |(truth, members)| {
            let of_member = |rows: Vec<Vec<u32>>| {
                let all = rows.iter().flat_map(|row| probabilities(row)).collect();
                Predictions::from_probabilities(classes as usize, truth.clone(), all).unwrap()
            };
            members.into_iter().map(of_member).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_order_of_the_rows_does_not_matter((classes, mut rows) in rows(), seed: u64) {
        let before = weighted(classes, &rows);
        Seed::derive(seed, 0, Purpose::Shuffle).stream(0).shuffle(&mut rows);
        if let (Some(before), Some(after)) = (before, weighted(classes, &rows)) {
            for measure in Measure::ALL {
                let (before, after) = (before.measure(measure), after.measure(measure));
                prop_assert!(is_close(before, after), "{}: {before:?} {after:?}", measure.name());
            }
        }
    }

    #[test]
    fn the_numbers_of_the_classes_do_not_matter((classes, mut rows) in rows(), shift in 1u32..5) {
        prop_assume!(classes > 2);
        let before = unweighted(classes, &rows);
        for (class, integers, _) in &mut rows {
            *class = (*class + shift) % classes;
            integers.rotate_right((shift % classes) as usize);
        }
        let after = unweighted(classes, &rows);
        for measure in [Measure::LogLoss, Measure::Brier, Measure::RocAuc, Measure::PrAuc] {
            let (before, after) = (before.measure(measure), after.measure(measure));
            prop_assert!(is_close(before, after), "{}: {before:?} {after:?}", measure.name());
        }
    }

    #[test]
    fn a_weight_is_a_number_of_copies((classes, rows) in rows()) {
        if let Some(weighted) = weighted(classes, &rows) {
            let copies: Vec<Row> = rows
                .iter()
                .flat_map(|row| std::iter::repeat_n(row.clone(), row.2 as usize))
                .collect();
            let copies = unweighted(classes, &copies);
            for measure in Measure::ALL {
                let (weighted, copied) = (weighted.measure(measure), copies.measure(measure));
                let name = measure.name();
                prop_assert!(is_close(weighted, copied), "{name}: {weighted:?} {copied:?}");
            }
        }
    }

    #[test]
    fn measures_stay_in_their_bounds((classes, rows) in rows(), values in regression()) {
        let predictions = unweighted(classes, &rows);
        for measure in Measure::ALL {
            let of = predictions.measure(measure).or_else(|| values.measure(measure));
            let Some(value) = of else { continue };
            let least = if measure == Measure::R2 { f64::NEG_INFINITY } else { 0.0 };
            let greatest = match (measure, Goal::of(measure)) {
                (Measure::Brier, _) => if classes == 2 { 1.0 } else { 2.0 },
                (_, Goal::Maximize) => 1.0,
                (_, Goal::Minimize) => f64::INFINITY,
            };
            let (name, rounding) = (measure.name(), 1e-6);
            prop_assert!(value >= least && value <= greatest + rounding, "{name}: {value}");
        }
    }

    #[test]
    fn perfect_predictions_are_perfect((classes, mut rows) in rows(), values in regression()) {
        for (class, integers, _) in &mut rows {
            // For two classes the first integer is that of class 0.
            integers.fill(0);
            integers[*class as usize] = 16;
        }
        let predictions = unweighted(classes, &rows);
        let Outputs::Values { truth, .. } = values.outputs() else { panic!("they are values") };
        let values = Predictions::from_values(truth.clone(), truth.clone()).unwrap();
        for measure in Measure::ALL {
            let of = predictions.measure(measure).or_else(|| values.measure(measure));
            let Some(value) = of else { continue };
            let best = f64::from(u8::from(Goal::of(measure) == Goal::Maximize));
            let tolerance = if measure == Measure::LogLoss { 1e-6 } else { 0.0 };
            prop_assert!((value - best).abs() <= tolerance, "{}: {value}", measure.name());
        }
    }

    #[test]
    fn reversed_scores_have_the_other_area(
        rows in vec((0u32..2, vec(0u32..17, 2), 0u32..4), 1..40),
    ) {
        let reverse =
            |(class, integers, weight): &Row| (*class, vec![16 - integers[0], 0], *weight);
        let reversed: Vec<Row> = rows.iter().map(reverse).collect();
        if let (Some(before), Some(after)) = (weighted(2, &rows), weighted(2, &reversed)) {
            let (before, after) = (before.measure(Measure::RocAuc), after.measure(Measure::RocAuc));
            prop_assert!(is_close(before.map(|area| 1.0 - area), after), "{before:?} {after:?}");
        }
    }

    #[test]
    fn an_ensemble_is_never_worse_than_its_best_member(members in members(), rounds in 0usize..8) {
        for measure in Measure::ALL {
            let costs = members.iter().filter_map(|member| cost(measure, member));
            let best = costs.fold(f64::INFINITY, f64::min);
            let Ok(weights) = select(&members, measure, rounds, usize::MAX) else {
                prop_assert!(best.is_infinite(), "{}", measure.name());
                continue;
            };
            let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
            let ensemble = cost(measure, &average(&members, &weights).unwrap()).unwrap();
            prop_assert!(ensemble <= best, "{}: {ensemble} {best}", measure.name());
        }
    }

    #[test]
    fn a_temperature_never_makes_the_log_loss_worse((classes, rows) in rows()) {
        if let Some(predictions) = weighted(classes, &rows) {
            let found = temperature::fit(&predictions);
            prop_assert!((0.049..20.1).contains(&found), "{found}");
            let scaled = temperature::apply(found, &predictions);
            let [before, after] =
                [&predictions, &scaled].map(|p| p.measure(Measure::LogLoss).unwrap());
            prop_assert!(after <= before, "{found}: {after} {before}");
            // No other one on a grid is better. That the measure clips 0 makes it another problem.
            let is_right_possible = |(class, integers, _): &Row| {
                probabilities(integers)[*class as usize] > 0.0
            };
            prop_assume!(rows.iter().all(is_right_possible));
            for step in 0..60 {
                let other = 0.05 * libm::pow(400.0, f64::from(step) / 59.0);
                let other = temperature::apply(other, &predictions);
                let other = other.measure(Measure::LogLoss).unwrap();
                prop_assert!(after <= other + 1e-5, "{found}: {after} {other}");
            }
        }
    }

    #[test]
    fn nothing_panics_and_stored_predictions_are_read_back(
        truth in vec(0u32..3, 1..12),
        numbers in vec(prop_oneof![Just(f32::NAN), Just(0.0), Just(1.0), 0f32..1.0], 36),
        seed: u64,
    ) {
        let all = numbers[..3 * truth.len()].to_vec();
        let predictions = Predictions::from_probabilities(3, truth.clone(), all).unwrap();
        let report = Report::of(&predictions, seed);
        let text = serde_json::to_string(&report).unwrap();
        let again = serde_json::from_str::<Report>(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
        let text = serde_json::to_string(&predictions).unwrap();
        let again: Predictions = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
        temperature::apply(temperature::fit(&predictions), &predictions);
        let _any = select(&[predictions.clone(), predictions], Measure::LogLoss, 3, usize::MAX);

        let (truth, predicted): (Vec<f64>, Vec<f64>) =
            truth.iter().zip(&numbers).map(|(y, p)| (f64::from(*y), 1.0 / f64::from(*p))).unzip();
        Report::of(&Predictions::from_values(truth, predicted).unwrap(), seed);
    }
}
