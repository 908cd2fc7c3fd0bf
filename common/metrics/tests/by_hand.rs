//! Small examples whose results are calculated by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

use caviar_common::data::Task;
use caviar_common::error::ErrorClass;
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::Goal;
use caviar_metrics::ensemble::{EnsembleError, average, select};
use caviar_metrics::{
    Measure, Outputs, Predictions, PredictionsError, Report, ensemble, interval, resamples,
    temperature,
};

/// Rows of two classes with the probability of class 1.
fn binary(truth: &[u32], of_class_1: &[f32]) -> Predictions {
    let probabilities = of_class_1.iter().flat_map(|p| [1.0 - p, *p]).collect();
    Predictions::from_probabilities(2, truth.to_vec(), probabilities).unwrap()
}

fn values(truth: &[f64], predicted: &[f64]) -> Predictions {
    Predictions::from_values(truth.to_vec(), predicted.to_vec()).unwrap()
}

/// Three classes. The predicted classes are 0, 0, 1, 2, 2.
fn three_classes() -> Predictions {
    let probabilities = [
        [0.75, 0.25, 0.0],
        [0.5, 0.5, 0.0],
        [0.25, 0.75, 0.0],
        [0.25, 0.25, 0.5],
        [0.0, 0.25, 0.75],
    ];
    Predictions::from_probabilities(3, vec![0, 1, 1, 1, 2], probabilities.concat()).unwrap()
}

fn assert_close(found: Option<f64>, expected: f64) {
    assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}, expected {expected}");
}

#[test]
fn measures_that_count_classes() {
    let predictions = three_classes();
    assert_close(predictions.measure(Measure::Accuracy), 3.0 / 5.0);
    // The recalls are 1, 1/3 and 1.
    assert_close(predictions.measure(Measure::BalancedAccuracy), 7.0 / 9.0);
    // 2 * hits / (rows of the class + rows predicted as the class).
    assert_close(predictions.measure(Measure::MacroF1), (2.0 / 3.0 + 2.0 / 4.0 + 2.0 / 3.0) / 3.0);
    let weighted = predictions.with_weights(vec![1.0, 0.0, 2.0, 1.0, 4.0]).unwrap();
    assert_close(weighted.measure(Measure::Accuracy), 7.0 / 8.0);
    assert_close(weighted.measure(Measure::BalancedAccuracy), (1.0 + 2.0 / 3.0 + 1.0) / 3.0);
}

#[test]
fn measures_of_several_outputs_are_means() {
    // Of scikit-learn 1.9 with multioutput="uniform_average".
    let truth = vec![0.5, 1.0, -1.0, 1.0, 7.0, -6.0];
    let predicted = vec![0.0, 2.0, -1.0, 2.0, 8.0, -5.0];
    let both = Predictions::from_rows(2, truth.clone(), predicted.clone()).unwrap();
    assert_eq!((both.rows(), both.width(), both.numbers()), (3, 2, 6));
    assert_close(both.measure(Measure::Mae), 0.75);
    assert_close(both.measure(Measure::Rmse), 0.822_748_612_183_951_3);
    assert_close(both.measure(Measure::R2), 0.936_800_526_662_277_9);
    let weighted = both.clone().with_weights(vec![1.0, 0.0, 3.0]).unwrap();
    assert_close(weighted.measure(Measure::Mae), 0.9375);
    // Each by itself, and its figures in a report.
    let each = both.of_each_output();
    assert_close(each[0].measure(Measure::Mae), 0.5);
    assert_close(each[1].measure(Measure::Mae), 1.0);
    let report = Report::of(&weighted, 1);
    assert_eq!(report.outputs.len(), 2);
    let mae = |output: usize| report.outputs[output].iter().find(|it| it.measure == Measure::Mae);
    assert_close(mae(0).unwrap().value, 0.875);
    assert!(Report::of(&each[0], 1).outputs.is_empty());
    // They are stored, and one output as before.
    let stored = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<Predictions>(&stored).unwrap(), both);
    let single = serde_json::to_string(&values(&[1.0], &[2.0])).unwrap();
    assert!(!single.contains("\"outputs\":1"), "{single}");
    // A constant output has no share of a variance.
    let constant = Predictions::from_rows(2, vec![1.0, 3.0, 2.0, 3.0], vec![1.0; 4]).unwrap();
    assert_eq!(constant.measure(Measure::R2), None);
    let short = Predictions::from_rows(2, truth[..5].to_vec(), predicted[..5].to_vec());
    assert!(matches!(short, Err(PredictionsError::Length { list: "the true values", .. })));
    let other = Predictions::from_rows(3, truth, predicted).unwrap();
    assert_eq!(Predictions::concatenated(vec![both, other]), Err(PredictionsError::Mixed));
}

#[test]
fn classes_that_do_not_occur_are_left_out() {
    // Class 0 occurs, class 1 is only predicted, and class 2 neither.
    let rows = vec![0.75, 0.25, 0.0, 0.25, 0.75, 0.0];
    let predictions = Predictions::from_probabilities(3, vec![0, 0], rows).unwrap();
    assert_close(predictions.measure(Measure::BalancedAccuracy), 0.5);
    assert_close(predictions.measure(Measure::MacroF1), (2.0 / 3.0 + 0.0) / 2.0);
    assert_eq!(predictions.measure(Measure::RocAuc), None);
    assert_close(predictions.measure(Measure::PrAuc), 1.0);
}

#[test]
fn measures_of_probabilities() {
    let predictions = binary(&[1, 0], &[0.75, 0.5]);
    assert_close(predictions.measure(Measure::LogLoss), -(libm::log(0.75) + libm::log(0.5)) / 2.0);
    assert_close(predictions.measure(Measure::Brier), (0.0625 + 0.25) / 2.0);
    // Rows of three classes: 0.125, 0.5, 0.125, 0.875 and 0.125.
    assert_close(three_classes().measure(Measure::Brier), 1.75 / 5.0);
    // A probability of 0 is clipped to 2^-23 and not to 0.
    let certain = binary(&[1], &[0.0]);
    assert_close(certain.measure(Measure::LogLoss), 23.0 * libm::log(2.0));
    // A row is divided by its sum.
    let halves = Predictions::from_probabilities(2, vec![1], vec![0.125, 0.375]).unwrap();
    assert_close(halves.measure(Measure::LogLoss), -libm::log(0.75));
}

#[test]
fn areas_count_ties_as_half() {
    // Pairs of a positive and a negative score: of 0.75 both wins, of 0.5 one win and one tie.
    let predictions = binary(&[1, 1, 0, 0], &[0.75, 0.5, 0.5, 0.25]);
    assert_close(predictions.measure(Measure::RocAuc), 3.5 / 4.0);
    // Precision 1 at 0.75, and 2/3 at 0.5, where the second half of the positive rows is.
    assert_close(predictions.measure(Measure::PrAuc), 0.5 * 1.0 + 0.5 * 2.0 / 3.0);
    // The negative row at 0.5 counts three times.
    let weighted = predictions.with_weights(vec![1.0, 1.0, 3.0, 1.0]).unwrap();
    assert_close(weighted.measure(Measure::RocAuc), (4.0 + 1.5 + 1.0) / 8.0);
    assert_close(weighted.measure(Measure::PrAuc), 0.5 + 0.5 * 2.0 / 5.0);
    // Without a positive or a negative row.
    for (class, pr_auc) in [(0, None), (1, Some(1.0))] {
        let single = binary(&[class, class], &[0.25, 0.75]);
        assert_eq!(single.measure(Measure::RocAuc), None);
        assert_eq!(single.measure(Measure::PrAuc), pr_auc);
    }
}

#[test]
fn measures_of_values() {
    let predictions = values(&[1.0, 2.0, 6.0], &[1.0, 4.0, 5.0]);
    assert_close(predictions.measure(Measure::Rmse), (5.0f64 / 3.0).sqrt());
    assert_close(predictions.measure(Measure::Mae), 1.0);
    // The mean is 3, and the squared deviations are 4, 1 and 9.
    assert_close(predictions.measure(Measure::R2), 1.0 - 5.0 / 14.0);
    assert_eq!(predictions.measure(Measure::Accuracy), None);
    // Three times 0.1 has another mean than 0.1, and still no variance.
    assert_eq!(values(&[0.1; 3], &[0.1; 3]).measure(Measure::R2), None);
}

#[test]
fn a_model_without_inputs_predicts_the_shares_or_the_mean() {
    // Class 0 has the weight 1 of 4, and class 1 the weight 3.
    let probabilities = vec![f32::NAN, 0.5, 1.0, 0.0, 0.0, 1.0];
    let classes = Predictions::from_probabilities(2, vec![0, 1, 1], probabilities).unwrap();
    let constant = classes.with_weights(vec![1.0, 2.0, 1.0]).unwrap().without_inputs();
    assert_close(constant.measure(Measure::Accuracy), 0.75);
    assert_close(constant.measure(Measure::RocAuc), 0.5);
    let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
    assert_close(constant.measure(Measure::LogLoss), entropy);

    let two = Predictions::from_rows(2, vec![1.0, 5.0, 3.0, 9.0], vec![0.0; 4]).unwrap();
    let constant = two.without_inputs();
    assert_close(constant.measure(Measure::Mae), 1.5);
    assert_eq!(constant.measure(Measure::R2), Some(0.0));
    // The mean is rounded as it is in the measure.
    let thirds = values(&[0.1, 0.2, 0.7, 0.3, 0.9, 0.4, 1.7], &[0.0; 7]);
    assert_eq!(thirds.without_inputs().measure(Measure::R2), Some(0.0));
}

#[test]
fn nan_is_wrong_or_makes_the_measure_nan() {
    let probabilities = vec![f32::NAN, f32::NAN, 0.25, 0.75];
    let predictions = Predictions::from_probabilities(2, vec![0, 1], probabilities).unwrap();
    assert_close(predictions.measure(Measure::Accuracy), 0.5);
    assert_close(predictions.measure(Measure::BalancedAccuracy), 0.5);
    for measure in [Measure::LogLoss, Measure::Brier, Measure::RocAuc, Measure::PrAuc] {
        assert!(predictions.measure(measure).unwrap().is_nan(), "{}", measure.name());
        assert_eq!(interval(measure, &predictions, 1), None);
    }
    let report = Report::of(&predictions, 1);
    assert_eq!(report.classes.unwrap().confusion, [[0.0, 0.0], [0.0, 1.0]]);
    // A row of weight 0 is absent, whatever it holds.
    let weighted = predictions.with_weights(vec![0.0, 1.0]).unwrap();
    assert_close(weighted.measure(Measure::Brier), 0.0625);
    assert!(values(&[1.0, 2.0], &[f64::NAN, 2.0]).measure(Measure::Mae).unwrap().is_nan());
}

#[test]
fn every_measure_has_a_name_a_goal_and_a_task() {
    for measure in Measure::ALL {
        assert_eq!(Measure::from_name(measure.name()), Some(measure));
        assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
    }
    assert_eq!(Measure::from_name("auc"), None);
    assert_eq!((Goal::of(Measure::Rmse), Goal::of(Measure::R2)), (Goal::Minimize, Goal::Maximize));
    let of_values: Vec<&str> = Task::Regression.measures().map(Measure::name).collect();
    assert_eq!(of_values, ["rmse", "mae", "r2"]);
}

#[test]
fn wrong_predictions_are_refused() {
    let of = |classes, truth: &[u32], p: &[f32]| {
        Predictions::from_probabilities(classes, truth.to_vec(), p.to_vec()).unwrap_err()
    };
    let texts = [
        of(2, &[], &[]),
        of(1, &[0], &[1.0]),
        of(2, &[0, 1], &[0.5, 0.5]),
        of(2, &[0, 2], &[0.5; 4]),
        of(2, &[0, 1], &[0.5, 0.5, 1.5, 0.5]),
        Predictions::from_values(vec![1.0], vec![]).unwrap_err(),
        Predictions::from_values(vec![f64::INFINITY], vec![1.0]).unwrap_err(),
        binary(&[0, 1], &[0.5; 2]).with_weights(vec![1.0, -1.0]).unwrap_err(),
        binary(&[0, 1], &[0.5; 2]).with_weights(vec![0.0, 0.0]).unwrap_err(),
        binary(&[0, 1], &[0.5; 2]).with_weights(vec![1.0]).unwrap_err(),
    ]
    .map(|error: PredictionsError| {
        assert_eq!(error.class(), ErrorClass::Invalid);
        error.to_string()
    });
    assert_eq!(
        texts,
        [
            "there are no predictions: expected at least one row",
            "1 classes: expected at least 2",
            "the probabilities: expected 4 numbers, found 2",
            "row 1: class 2: expected a class below 2",
            "row 1: probability 1.5: expected a number from 0 to 1",
            "the predicted values: expected 1 numbers, found 0",
            "row 0: the true value is inf: expected a finite number",
            "row 1: weight -1: expected a finite number of at least 0",
            "the weights have the sum 0e0: expected a sum from 1e-100 to 1e100",
            "the weights: expected 2 numbers, found 1",
        ]
    );
}

#[test]
fn stored_predictions_are_read_back_and_checked() {
    let text = serde_json::to_string(&values(&[1.5, 2.0], &[0.1, f64::NEG_INFINITY])).unwrap();
    assert_eq!(
        text,
        r#"{"outputs":{"values":{"truth":[1.5,2.0],"predicted":[0.1,"-inf"]}},"weights":null}"#
    );
    let back: Predictions = serde_json::from_str(&text).unwrap();
    assert_eq!(back, values(&[1.5, 2.0], &[0.1, f64::NEG_INFINITY]));
    let text = serde_json::to_string(&binary(&[1], &[0.1])).unwrap();
    assert_eq!(serde_json::from_str::<Predictions>(&text).unwrap(), binary(&[1], &[0.1]));
    let wrong = serde_json::from_str::<Predictions>(&text.replace("[1]", "[2]")).unwrap_err();
    assert!(wrong.to_string().contains("class 2: expected a class below 2"), "{wrong}");
    let nan = Predictions::from_probabilities(2, vec![0], vec![f32::NAN; 2]).unwrap();
    let back = serde_json::to_string(&nan).unwrap();
    let back: Predictions = serde_json::from_str(&back).unwrap();
    assert!(back.measure(Measure::Brier).unwrap().is_nan());
}

/// Rows that are right with the probability `share` each.
fn coin_flips(rows: usize, share: f64, stream: &mut Stream) -> Predictions {
    let hits: Vec<f32> =
        (0..rows).map(|_| if stream.uniform() < share { 0.75 } else { 0.25 }).collect();
    binary(&vec![1; rows], &hits)
}

#[test]
fn the_interval_of_an_accuracy_is_that_of_a_binomial() {
    // 800 hits in 1000 rows have a standard error of sqrt(0.8 * 0.2 / 1000) = 0.01265.
    let scores: Vec<f32> = (0..1000).map(|row| if row < 800 { 0.75 } else { 0.25 }).collect();
    let predictions = binary(&[1; 1000], &scores);
    let found = interval(Measure::Accuracy, &predictions, 3).unwrap();
    assert!((found.low - (0.8 - 0.0248)).abs() < 0.003, "{found:?}");
    assert!((found.high - (0.8 + 0.0248)).abs() < 0.003, "{found:?}");
    assert_eq!(interval(Measure::Accuracy, &predictions, 3), Some(found));
    assert_ne!(interval(Measure::Accuracy, &predictions, 4), Some(found));
}

#[test]
fn most_intervals_contain_the_true_accuracy() {
    let mut stream = Seed::derive(5, 0, Purpose::Sample).stream(0);
    let samples = (0..120).filter(|seed| {
        let predictions = coin_flips(80, 0.7, &mut stream);
        let found = interval(Measure::Accuracy, &predictions, *seed).unwrap();
        (found.low..=found.high).contains(&0.7)
    });
    // 95 % of 120 are 114, with a standard error of 2.4.
    let covered = samples.count();
    assert!((107..=119).contains(&covered), "{covered} of 120");
}

#[test]
fn resamples_without_a_value_are_skipped_if_they_are_few() {
    // A resample has none of 5 positive rows among 200 with probability 0.6 %, and misses the only
    // one among 20 with 36 %.
    let with_positive = |positive, rows: u32| {
        let truth: Vec<u32> = (0..rows).map(|row| u32::from(row < positive)).collect();
        let scores: Vec<f32> = (0..rows).map(|row| ((row * 7 % 32) as f32) / 32.0).collect();
        interval(Measure::RocAuc, &binary(&truth, &scores), 1)
    };
    assert!(with_positive(5, 200).is_some());
    assert_eq!(with_positive(1, 20), None);
}

#[test]
fn large_predictions_have_fewer_resamples() {
    let rows = |rows| resamples(&values(&vec![0.0; rows], &vec![0.0; rows]));
    assert_eq!([100_000, 200_000, 2_000_000].map(rows), [1000, 500, 100]);
}

#[test]
fn a_report_has_the_measures_of_its_task() {
    let predictions = three_classes();
    let report = Report::of(&predictions, 9);
    assert_eq!(report.rows, 5);
    assert_eq!(report.figures.len(), 7);
    for figure in &report.figures {
        assert_eq!(figure.value, predictions.measure(figure.measure));
        assert_eq!(figure.interval, interval(figure.measure, &predictions, 9));
        let constant = predictions.without_inputs();
        assert_eq!(figure.without_inputs, constant.measure(figure.measure));
    }
    let classes = report.classes.as_ref().unwrap();
    assert_eq!(classes.confusion, [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]);
    let of_1 = classes.figures[1];
    assert_eq!((of_1.precision, of_1.recall, of_1.f1, of_1.support), (1.0, 1.0 / 3.0, 0.5, 3.0));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);

    let report = Report::of(&values(&[1.0, 2.0, 4.0], &[1.0, 2.0, f64::INFINITY]), 9);
    assert_eq!(report.classes, None);
    assert_eq!(report.figure(Measure::Mae).unwrap().value, Some(f64::INFINITY));
    assert_eq!(report.figure(Measure::Mae).unwrap().interval, None);
}

#[test]
fn the_ensemble_weighs_its_members() {
    // Every row is 0. The errors of (2 a + b) / 3 are (0, 0), and no other mixture is that good.
    let of = |predicted: [f64; 2]| values(&[0.0, 0.0], &predicted);
    let members = [of([9.0, 9.0]), of([1.0, -1.0]), of([-2.0, 2.0])];
    let weights = select(&members, Measure::Rmse, 10, usize::MAX).unwrap();
    assert_eq!(weights, [(1, 2.0 / 3.0), (2, 1.0 / 3.0)]);
    let ensemble = average(&members, &weights).unwrap();
    assert!(ensemble.measure(Measure::Rmse).unwrap() < 1e-15);
    // One round selects the best member. The first of equal ones is selected.
    assert_eq!(select(&members, Measure::Rmse, 1, usize::MAX).unwrap(), [(1, 1.0)]);
    let equal = [members[1].clone(), members[1].clone()];
    assert_eq!(select(&equal, Measure::Rmse, 5, usize::MAX).unwrap(), [(0, 1.0)]);
    // Members that are NaN have no part.
    let diverged = [of([f64::NAN, 0.0]), members[1].clone()];
    assert_eq!(select(&diverged, Measure::Rmse, 5, usize::MAX).unwrap(), [(1, 1.0)]);
}

#[test]
fn probabilities_are_averaged() {
    let members = [binary(&[1, 0], &[0.75, 0.5]), binary(&[1, 0], &[0.25, 0.0])];
    let average = average(&members, &[(0, 1.0), (1, 3.0)]).unwrap();
    assert_eq!(average, binary(&[1, 0], &[0.375, 0.125]));
}

#[test]
fn members_of_other_rows_are_refused() {
    let members = [binary(&[1, 0], &[0.75, 0.5]), binary(&[1, 1], &[0.25, 0.0])];
    let of = |members: &[Predictions]| select(members, Measure::Accuracy, 5, usize::MAX);
    assert_eq!(of(&members), Err(EnsembleError::OtherRows { member: 1 }));
    let weighted = members[0].clone().with_weights(vec![1.0, 2.0]).unwrap();
    let mixed = [members[0].clone(), weighted];
    assert_eq!(of(&mixed), Err(EnsembleError::OtherRows { member: 1 }));
    assert_eq!(of(&[]), Err(EnsembleError::Empty));
    let rmse = select(&members[..1], Measure::Rmse, 5, usize::MAX).unwrap_err();
    assert_eq!(rmse.to_string(), "no member has a finite rmse");
    let of = |weights: &[(usize, f64)]| ensemble::average(&members[..1], weights).unwrap_err();
    assert_eq!(of(&[(1, 1.0)]), EnsembleError::UnknownMember { member: 1, members: 1 });
    assert_eq!(of(&[(0, -1.0)]), EnsembleError::BadWeight { member: 0, weight: -1.0 });
    assert_eq!(of(&[(0, 0.0)]), EnsembleError::Empty);
}

#[test]
fn the_temperature_of_an_overconfident_model_is_found() {
    // Right in three rows of four, with odds of 9 that should be 3 = 9^(1/2).
    let predictions = binary(&[1, 1, 1, 0], &[0.9; 4]);
    let found = temperature::fit(&predictions);
    assert!((found - 2.0).abs() < 1e-5, "{found}");
    let Outputs::Classes { probabilities, .. } =
        temperature::apply(found, &predictions).outputs().clone()
    else {
        panic!("they are classes")
    };
    assert!(probabilities.iter().skip(1).step_by(2).all(|p| (p - 0.75).abs() < 1e-5));
    // Odds of 3 that should be 9.
    let truth: Vec<u32> = (0..10).map(|row| u32::from(row > 0)).collect();
    let found = temperature::fit(&binary(&truth, &[0.75; 10]));
    assert!((found - 0.5).abs() < 1e-5, "{found}");
    // Every row right: as certain as can be.
    assert!((temperature::fit(&binary(&[1, 0], &[0.6, 0.4])) - 0.05).abs() < 1e-5);
}

#[test]
fn the_temperature_is_1_where_it_cannot_help() {
    for predictions in [
        binary(&[1, 0], &[0.5, 0.5]),
        binary(&[1, 0], &[f32::NAN, 0.5]),
        values(&[1.0, 2.0], &[1.0, 3.0]),
    ] {
        assert_eq!(temperature::fit(&predictions), 1.0);
    }
    let predictions = binary(&[1, 0], &[0.3, 0.0]);
    assert_eq!(temperature::apply(1.0, &predictions), predictions);
    // A probability of 0 becomes a small one.
    let raised = temperature::apply(20.0, &binary(&[1], &[0.0]));
    assert!(raised.measure(Measure::LogLoss).unwrap() < 5.0);
}

#[test]
fn an_ensemble_has_at_most_as_many_members_as_wanted() {
    // The errors of all three together are 0; those of the best two are not.
    let of = |predicted: [f64; 3]| values(&[0.0; 3], &predicted);
    let members = [of([2.0, -1.0, -1.0]), of([-1.0, 2.0, -1.0]), of([-1.0, -1.0, 2.0])];
    let chosen = |most: usize| -> Vec<usize> {
        let weights = select(&members, Measure::Rmse, 30, most).unwrap();
        weights.into_iter().map(|(member, _)| member).collect()
    };
    assert_eq!(chosen(usize::MAX), [0, 1, 2]);
    assert_eq!(chosen(3), [0, 1, 2]);
    assert_eq!(chosen(2), [0, 1]);
    assert_eq!(chosen(1), [0]);
    assert_eq!(chosen(0), [0], "there is always one");
}

#[test]
fn outputs_in_other_units_count_the_same_once_they_are_scaled() {
    // The first output has millions and no signal, the second thousandths. The second member is
    // right about the second output and a little worse about the first.
    let truth = vec![1e6, 1e-3, -1e6, -1e-3];
    let of = |predicted: Vec<f64>| Predictions::from_rows(2, truth.clone(), predicted).unwrap();
    let members = [of(vec![0.0; 4]), of(vec![-125e3, 1e-3, 125e3, -1e-3])];
    let best = |members: &[Predictions]| select(members, Measure::Rmse, 1, 9).unwrap();
    assert_eq!(best(&members), [(0, 1.0)]);
    let scaled = members.map(|member| member.scaled(&[1e-6, 1e3]));
    assert_eq!(best(&scaled), [(1, 1.0)]);
    assert_eq!(
        scaled[1],
        Predictions::from_rows(2, vec![1.0, 1.0, -1.0, -1.0], vec![-0.125, 1.0, 0.125, -1.0])
            .unwrap()
    );
    let classes = binary(&[1, 0], &[0.75, 0.5]);
    assert_eq!(classes.clone().scaled(&[3.0]), classes);
}
