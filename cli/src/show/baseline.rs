//! What a model without inputs reaches, next to the winner.

use caviar_common::data::{DataSpec, SplitSpec};
use caviar_common::measure::Measure;
use caviar_common::metric::{Measured, Metric, Point, Score};
use caviar_common::numbers::{real, to_usize};
use caviar_common::view::{SweepView, TrialView};

use super::text;

/// The least likelihood, as a multiple of the baseline's, that counts as better for a single look.
const LEAST_FACTOR: f64 = 20.0;

/// The scores of the baseline; `None` if the sweep has none.
pub(super) fn row(sweep: &SweepView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let test = match baseline.test.filter(|_| sweep.test.is_some()) {
        Some(test) => format!("; test {}", text::score(&test)),
        None => String::new(),
    };
    Some(format!("validation {}{test}", text::score(&baseline.validation)))
}

/// For regression, the part of the baseline's squared error that the best trial saves: the loss by
/// itself has no unit that a person knows. `None` for classes, and if the objective is a measure,
/// which says more.
pub(super) fn saved(sweep: &SweepView, best: &TrialView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let Some(Point::Network(counting)) = &best.counting else { return None };
    let part = |score: &Score, baseline: &Score| {
        let part = 1.0 - score.loss / baseline.loss;
        let is_shown = score.accuracy.is_none() && score.measured.is_none() && part.is_finite();
        is_shown.then(|| format!("{:.1} %", 100.0 * part))
    };
    let validation = part(&counting.validation, &baseline.validation)?;
    let test = sweep.test.as_ref().and_then(|test| test.score).zip(baseline.test);
    let test = test.and_then(|(score, baseline)| part(&score, &baseline));
    let test = test.map_or_else(String::new, |part| format!("; test {part}"));
    Some(format!("validation {validation}{test} of the baseline's squared error"))
}

/// The error of the best trial in the unit of the label: the root of its mean squared error. `None`
/// for classes and several labels, and if it is the objective.
pub(super) fn rmse(sweep: &SweepView, best: &TrialView) -> Option<String> {
    let deviation = sweep.data.label_deviation?;
    let Some(Point::Network(counting)) = &best.counting else { return None };
    let measured = counting.validation.measured.map(|it| it.measure);
    if measured == Some(Measure::Rmse) {
        return None;
    }
    let root = |loss: f64| text::number(loss.sqrt() * deviation);
    let test = sweep.test.as_ref().and_then(|test| test.score);
    let test = test.map_or_else(String::new, |score| format!("; test {}", root(score.loss)));
    let validation = root(counting.validation.loss);
    Some(format!("validation {validation}{test}, in the unit of the label"))
}

/// A sentence if the best trial, at its counting epoch, does not beat the baseline on the
/// validation or the test split.
pub(super) fn verdict(sweep: &SweepView, best: &TrialView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let Some(Point::Network(counting)) = &best.counting else { return None };
    let metric = &sweep.spec.objective.metric;
    let is_drawn = is_drawn(&sweep.spec.data);
    // The winner is the best of many looks at the validation split, and looks at the test once.
    let looks = u64::from(sweep.budget) * u64::from(sweep.spec.max_epochs());
    let rows = sweep.data.validation;
    let later = Looks { metric, rows: sweep.data.test, looks: 1, is_drawn };
    if !is_better(
        &counting.validation,
        &baseline.validation,
        &Looks { metric, rows, looks, is_drawn },
    ) {
        return Some(
            "no better than the baseline on the validation split: the inputs did not help"
                .to_owned(),
        );
    }
    let test = sweep.test.as_ref().and_then(|test| test.score)?;
    if !is_better(&test, &baseline.test?, &later) {
        return Some(
            "no better than the baseline on the test split: the validation score flatters"
                .to_owned(),
        );
    }
    None
}

/// A sentence if the probabilities of the best trial are better than those of the baseline, but not
/// the classes that they lead to: those of a rare class seldom exceed one half.
pub(super) fn remark(sweep: &SweepView, best: &TrialView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let Some(Point::Network(counting)) = &best.counting else { return None };
    let test = sweep.test.as_ref().and_then(|test| test.score).zip(baseline.test);
    let (split, rows, (score, baseline)) = match test {
        Some(pair) => ("test", sweep.data.test, pair),
        None => ("validation", sweep.data.validation, (counting.validation, baseline.validation)),
    };
    let (accuracy, share) = score.accuracy.zip(baseline.accuracy)?;
    let saved = 1.0 - score.loss / baseline.loss;
    let is_remarkable = !is_more_accurate(accuracy, share, rows) && saved > 0.0;
    is_remarkable.then(|| {
        format!(
            "no more accurate than the most frequent class on the {split} split, but its \
             probabilities are better: the loss is {:.1} % lower",
            100.0 * saved
        )
    })
}

/// What a score was chosen by: a metric of some rows, in a number of looks at them.
struct Looks<'a> {
    metric: &'a Metric,
    rows: u64,
    looks: u64,
    /// Whether the rows are like those of the training, and count the same.
    is_drawn: bool,
}

/// Whether the splits are drawn at random, and every row counts once. Only then the shares of the
/// classes in the training split are those of the rows that are judged.
const fn is_drawn(data: &DataSpec) -> bool {
    let SplitSpec { group, time, validation_source, test_source, .. } = &data.split;
    let is_given = validation_source.is_some() || test_source.is_some();
    group.is_none() && time.is_none() && !is_given && data.weights.column.is_none()
}

/// Whether a score is better than that of the baseline, and not by luck.
///
/// An accuracy is better if it is above that of the baseline by more than its standard error, the
/// root of p (1 - p) / rows. With an objective other than the accuracy, a likelihood suffices that
/// is 20 times that of the baseline for every look, if the splits are drawn at random. If the
/// inputs are of no use, a fixed prediction reaches that factor at most once in 20 times (Markov's
/// inequality), and the best of `looks` predictions too. For regression the losses are compared,
/// and an area under the ROC curve is better above 0.5.
fn is_better(score: &Score, baseline: &Score, of: &Looks<'_>) -> bool {
    let Some((accuracy, share)) = score.accuracy.zip(baseline.accuracy) else {
        return score.loss < baseline.loss;
    };
    let is_more_accurate = is_more_accurate(accuracy, share, of.rows);
    if matches!(of.metric, Metric::ValidationAccuracy | Metric::TrainAccuracy) {
        return is_more_accurate;
    }
    if let Some(Measured { measure: Measure::RocAuc, value }) = score.measured {
        return value > 0.5;
    }
    let gained = real(to_usize(of.rows.max(1))) * (baseline.loss - score.loss);
    is_more_accurate
        || of.is_drawn && gained > (LEAST_FACTOR * real(to_usize(of.looks.max(1)))).ln()
}

/// Whether an accuracy is above the share of the most frequent class by more than the standard
/// error of that.
fn is_more_accurate(accuracy: f64, share: f64, rows: u64) -> bool {
    let rows = real(to_usize(rows.max(1)));
    // Where the baseline is right about no row, or about all, one row more is luck.
    let likely = share.clamp(1.0 / rows, 1.0 - 1.0 / rows);
    accuracy > share + (likely * (1.0 - likely) / rows).sqrt()
}

#[cfg(test)]
mod tests {
    use caviar_common::data::Baseline;

    use super::super::tests::samples;
    use super::*;

    #[test]
    fn the_verdict_is_about_the_epoch_that_counts() {
        let mut sweep = samples::sweep();
        let score = |accuracy| Score { loss: 0.5, accuracy: Some(accuracy), measured: None };
        let (validation, test) = (score(0.9), Some(score(0.9)));
        sweep.data.baseline = Some(Baseline { validation, test });
        let mut best = samples::trials().remove(2);
        let Some(Point::Network(mut worse)) = best.last else { panic!("it was trained") };
        worse.validation = score(0.8);
        best.last = Some(Point::Network(worse));
        assert_eq!(verdict(&sweep, &best), None, "the last epoch is worse than the baseline");
        best.counting = best.last.clone();
        assert!(verdict(&sweep, &best).is_some());
    }

    #[test]
    fn the_saved_part_of_the_squared_error_is_for_regression_only() {
        let mut sweep = samples::sweep();
        let score = |loss, accuracy| Score { loss, accuracy, measured: None };
        sweep.data.baseline = Some(Baseline { validation: score(0.8, None), test: None });
        let mut best = samples::trials().remove(2);
        let Some(Point::Network(mut counting)) = best.counting else { panic!("it was trained") };
        let mut saved = |validation| {
            counting.validation = validation;
            best.counting = Some(Point::Network(counting));
            super::saved(&sweep, &best)
        };
        let expected = "validation 75.0 % of the baseline's squared error";
        assert_eq!(saved(score(0.2, None)).as_deref(), Some(expected));
        assert_eq!(saved(score(0.2, Some(0.9))), None, "classes");
        let value = 0.7;
        let measured = Some(Measured { measure: Measure::R2, value });
        assert_eq!(saved(Score { measured, ..score(0.2, None) }), None, "it has an R2");
    }

    #[test]
    fn better_probabilities_without_better_classes_are_remarked() {
        let mut sweep = samples::sweep();
        let score = |loss, accuracy| Score { loss, accuracy: Some(accuracy), measured: None };
        let baseline = Baseline { validation: score(0.4, 0.9), test: None };
        sweep.data.baseline = Some(baseline);
        sweep.data.validation = 100;
        let mut best = samples::trials().remove(2);
        let Some(Point::Network(mut counting)) = best.counting else { panic!("it was trained") };
        let mut remarked = |loss, accuracy| {
            counting.validation = score(loss, accuracy);
            best.counting = Some(Point::Network(counting));
            remark(&sweep, &best)
        };
        let expected = "no more accurate than the most frequent class on the validation split, \
                        but its probabilities are better: the loss is 25.0 % lower";
        assert_eq!(remarked(0.3, 0.93).as_deref(), Some(expected), "the standard error is 0.03");
        assert_eq!(remarked(0.3, 0.94), None);
        assert_eq!(remarked(0.4, 0.9), None);
    }

    #[test]
    fn the_error_of_a_number_is_shown_in_the_unit_of_the_label() {
        let mut sweep = samples::sweep();
        let mut best = samples::trials().remove(2);
        assert_eq!(rmse(&sweep, &best), None, "classes");
        sweep.data.label_deviation = Some(30.0);
        let Some(Point::Network(mut counting)) = best.counting else { panic!("it was trained") };
        counting.validation = Score { loss: 0.25, accuracy: None, measured: None };
        best.counting = Some(Point::Network(counting));
        if let Some(test) = &mut sweep.test {
            test.score = Some(Score { loss: 0.36, accuracy: None, measured: None });
        }
        let expected = "validation 15; test 18, in the unit of the label";
        assert_eq!(rmse(&sweep, &best).as_deref(), Some(expected));
    }

    #[test]
    fn an_accuracy_is_better_if_it_is_above_the_noise() {
        let score = |accuracy, loss| Score { accuracy, loss, measured: None };
        let baseline = score(Some(0.5), 0.7);
        let is_better = |score: Score, rows| {
            let metric = &Metric::ValidationAccuracy;
            is_better(&score, &baseline, &Looks { metric, rows, looks: 1, is_drawn: true })
        };
        assert!(is_better(score(Some(0.56), 0.9), 100));
        assert!(!is_better(score(Some(0.55), 0.1), 100), "one standard error is 0.05");
        assert!(!is_better(score(Some(0.5), 0.1), 1_000_000));
    }

    #[test]
    fn a_loss_is_better_if_that_many_looks_would_not_have_found_it() {
        let judged = |accuracy: Option<f64>, gain: f64, looks, is_drawn| {
            let score = Score { accuracy, loss: 0.7 - gain, measured: None };
            let baseline = Score { accuracy: accuracy.map(|_| 0.9), loss: 0.7, measured: None };
            let metric = &Metric::ValidationLoss;
            super::is_better(&score, &baseline, &Looks { metric, rows: 100, looks, is_drawn })
        };
        let is_better = |accuracy, gain, looks| judged(accuracy, gain, looks, true);
        assert!(!judged(Some(0.9), 0.5, 1, false), "the shares may have changed");
        assert!(judged(Some(0.94), 0.0, 1, false), "more accurate");
        // The logarithm of 20 is 2.996, and that of 20 times 1,000 is 9.903.
        assert!(is_better(Some(0.9), 0.0300, 1) && !is_better(Some(0.9), 0.0299, 1));
        assert!(is_better(Some(0.9), 0.0991, 1_000) && !is_better(Some(0.9), 0.0990, 1_000));
        assert!(is_better(Some(0.94), -0.1, 1_000), "more accurate by more than 0.03");
        assert!(!is_better(Some(0.9), f64::NAN, 1));
        assert!(is_better(None, 0.001, 1_000), "regression");
        assert!(!is_better(None, 0.0, 1) && !is_better(None, f64::NAN, 1));
    }
}
