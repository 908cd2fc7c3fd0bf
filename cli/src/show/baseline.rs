//! What a model without inputs reaches, next to the winner.

use caviar_common::measure::Measure;
use caviar_common::metric::{Measured, Point, Score};
use caviar_common::numbers::{real, to_usize};
use caviar_common::view::{SweepView, TrialView};

use super::text;

/// The scores of the baseline; `None` if the sweep has none.
pub(super) fn row(sweep: &SweepView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let test = match baseline.test.filter(|_| sweep.test.is_some()) {
        Some(test) => format!("; test {}", text::score(&test)),
        None => String::new(),
    };
    Some(format!("validation {}{test}", text::score(&baseline.validation)))
}

/// A sentence if the best trial, at its counting epoch, does not beat the baseline on the
/// validation or the test split.
///
/// An accuracy counts as better if it is above that of the baseline by more than its standard
/// error, the root of p (1 - p) / rows, so that a few lucky rows do not count. For regression the
/// losses are compared. If the objective is a measure, either suffices, and an area under the ROC
/// curve above 0.5.
pub(super) fn verdict(sweep: &SweepView, best: &TrialView) -> Option<String> {
    let baseline = sweep.data.baseline?;
    let Some(Point::Network(counting)) = &best.counting else { return None };
    if !is_better(&counting.validation, &baseline.validation, sweep.data.validation) {
        return Some(
            "no better than the baseline on the validation split: the inputs did not help"
                .to_owned(),
        );
    }
    let test = sweep.test.as_ref().and_then(|test| test.score)?;
    if !is_better(&test, &baseline.test?, sweep.data.test) {
        return Some(
            "no better than the baseline on the test split: the validation score flatters"
                .to_owned(),
        );
    }
    None
}

fn is_better(score: &Score, baseline: &Score, rows: u64) -> bool {
    let has_less_loss = score.loss < baseline.loss;
    let is_more_accurate = score.accuracy.zip(baseline.accuracy).map(|(accuracy, share)| {
        let error = (share * (1.0 - share) / real(to_usize(rows.max(1)))).sqrt();
        accuracy > share + error
    });
    match (score.measured, is_more_accurate) {
        (Some(Measured { measure: Measure::RocAuc, value }), _) => value > 0.5,
        (Some(_), Some(is_more_accurate)) => is_more_accurate || has_less_loss,
        (None, Some(is_more_accurate)) => is_more_accurate,
        (_, None) => has_less_loss,
    }
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
    fn an_accuracy_is_better_if_it_is_above_the_noise() {
        let score = |accuracy, loss| Score { accuracy, loss, measured: None };
        let baseline = score(Some(0.5), 0.7);
        assert!(is_better(&score(Some(0.56), 0.9), &baseline, 100));
        assert!(!is_better(&score(Some(0.55), 0.1), &baseline, 100), "one standard error is 0.05");
        assert!(!is_better(&score(Some(0.5), 0.1), &baseline, 1_000_000));
        assert!(is_better(&score(None, 0.9), &score(None, 1.0), 10));
        assert!(!is_better(&score(None, f64::NAN), &score(None, 1.0), 10));
    }
}
