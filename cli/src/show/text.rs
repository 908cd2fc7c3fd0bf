//! Numbers, durations and values in the form in which people read them.

use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::data::DataSummary;
use caviar_common::metric::{EpochMetrics, Measured, Metric, Point, Score};
use caviar_common::reason::{Extent, SearchBox};
use caviar_common::spec::SweepSpec;
use caviar_common::view::{SweepView, TrialView};

/// Significant digits of a number in a table.
const DIGITS: i32 = 4;

/// A number with four significant digits, and one more just below 1, where momenta differ.
pub(crate) fn number(value: f64) -> String {
    let scientific = format!("{value:.3e}");
    let Some((mantissa, exponent)) =
        scientific.split_once('e').and_then(|(m, e)| Some((m, e.parse::<i32>().ok()?)))
    else {
        return scientific;
    };
    if !(-3..6).contains(&exponent) {
        return format!("{}e{exponent}", without_zeros(mantissa));
    }
    let just_below_one = (0.9..1.0).contains(&value.abs());
    let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
    without_zeros(&format!(
        "{value:.decimals$}",
        decimals = if just_below_one { decimals + 1 } else { decimals }
    ))
    .to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A hyperparameter's value, with floats rounded.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Int(v) => v.to_string(),
        Value::Float(v) => number(*v),
        Value::Text(v) => v.to_string(),
    }
}

/// The objective of a trial, or an empty text before it has one.
pub(crate) fn objective(spec: &SweepSpec, trial: &TrialView) -> String {
    trial.objective.map_or_else(String::new, |value| metric(&spec.objective.metric, value))
}

/// ` ± 0.0087 over 3 trainings`, the standard deviation of the objective over the folds and repeats
/// of the trial at its counting epoch; `None` for a single training.
pub(crate) fn spread(sweep: &SweepView, trial: &TrialView) -> Option<String> {
    let Some(Point::Network(EpochMetrics { spread: Some(spread), .. })) = trial.counting else {
        return None;
    };
    let spread = metric(&sweep.spec.objective.metric, spread);
    Some(format!(" ± {spread} over {}", count(sweep.trainings().into(), "training")))
}

/// ` (epoch 12 of 30)` for a trial whose counting epoch is not its latest one.
pub(crate) fn earlier_epoch(trial: &TrialView) -> Option<String> {
    let (counting, last) = (trial.counting_epoch()?, trial.last.as_ref()?.epoch());
    (counting < last).then(|| format!(" (epoch {counting} of {})", trial.epochs))
}

/// A value of a metric. Accuracies have four decimals, so that their digits align in a column.
pub(crate) fn metric(metric: &Metric, value: f64) -> String {
    if metric.needs_classes() { format!("{value:.4}") } else { number(value) }
}

/// A score: the measure that is the objective, if there is one, the accuracy, which only a
/// classification has, and the loss.
pub(crate) fn score(score: &Score) -> String {
    let measured = score.measured.map(|Measured { measure, value }| {
        format!("{} {}", measure.name(), metric(&Metric::Measure(measure), value))
    });
    let accuracy = score.accuracy.map(|accuracy| format!("accuracy {accuracy:.4}"));
    let loss = Some(format!("loss {}", number(score.loss)));
    [measured, accuracy, loss].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The range of `parameter` in a box, or an empty text if the box has no such side.
pub(crate) fn side(search_box: &SearchBox, parameter: &str) -> String {
    match search_box.sides.iter().find(|side| side.parameter == parameter).map(|side| &side.extent)
    {
        Some(Extent::Range { low, high }) if low == high => value(low),
        Some(Extent::Range { low, high }) => format!("{} .. {}", value(low), value(high)),
        Some(Extent::Choices(values)) => values.iter().map(value).collect::<Vec<_>>().join(" | "),
        None => String::new(),
    }
}

/// A duration with two units at most: `4.2 s`, `3 min 20 s`, `2 h 5 min`, `7 d 0 h`. The second
/// unit is rounded where it is minutes or hours.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..172_770 => {
            let minutes = (seconds + 30) / 60;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
        _ => {
            let hours = (seconds + 1_800) / 3_600;
            format!("{} d {} h", hours / 24, hours % 24)
        }
    }
}

/// A duration given in seconds, or `?` if it is not a duration, such as NaN.
pub(crate) fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "?".to_owned(), duration)
}

/// `1 trial`, `2 trials`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// How many examples each split of the data has, or how many are in how many folds.
pub(crate) fn splits(data: &DataSummary) -> String {
    let DataSummary { train, validation, test, folds, .. } = data;
    if *folds > 1 {
        format!("{train} examples in {folds} folds, {test} test examples")
    } else {
        format!("{train} training, {validation} validation, {test} test examples")
    }
}

/// How many epochs were trained again; `None` if none were.
pub(crate) fn trained_again(epochs: u64) -> Option<String> {
    let were = if epochs == 1 { "was" } else { "were" };
    (epochs > 0)
        .then(|| format!("{} {were} trained again after a lost worker", count(epochs, "epoch")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use caviar_common::reason::Side;

    #[test]
    fn numbers_keep_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.031_415_926, "0.03142"),
            (0.998_765_4, "0.99877"),
            (0.9, "0.9"),
            (1e-4, "1e-4"),
            (3.162_277e-5, "3.162e-5"),
            (128.0, "128"),
            (12_345.678, "12346"),
            (1e9, "1e9"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (4.24, "4.2 s"),
            (59.9, "59 s"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (7_199.0, "2 h 0 min"),
            (172_769.0, "47 h 59 min"),
            (172_770.0, "2 d 0 h"),
            (604_799.0, "7 d 0 h"),
        ] {
            assert_eq!(super::seconds(seconds), text);
        }
        assert_eq!(super::seconds(f64::NAN), "?");
    }

    #[test]
    fn a_side_is_a_value_a_range_or_a_list() {
        let range = |low, high| Extent::Range { low, high };
        let sides = vec![
            Side {
                parameter: "learning_rate".into(),
                extent: range(Value::Float(1e-4), Value::Float(1.0)),
            },
            Side { parameter: "layers".into(), extent: range(Value::Int(2), Value::Int(2)) },
            Side {
                parameter: "activation".into(),
                extent: Extent::Choices(vec![
                    Value::Text("relu".into()),
                    Value::Text("tanh".into()),
                ]),
            },
        ];
        let search_box = SearchBox { sides };
        assert_eq!(side(&search_box, "learning_rate"), "1e-4 .. 1");
        assert_eq!(side(&search_box, "layers"), "2");
        assert_eq!(side(&search_box, "activation"), "relu | tanh");
        assert_eq!(side(&search_box, "units"), "");
    }
}
