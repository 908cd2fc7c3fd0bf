//! All figures about predictions.

use caviar_common::measure::Measure;
use serde::{Deserialize, Serialize};

use crate::classes::Choices;
use crate::interval::{Interval, intervals};
use crate::predictions::{Outputs, Predictions};
use crate::stored;

/// All figures about predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The number of rows, those of weight 0 included.
    pub rows: usize,
    /// Every measure of the task, in the order of [`Measure::ALL`].
    pub figures: Vec<Figure>,
    /// What is known of each class; `None` for regression.
    pub classes: Option<ClassReport>,
    /// Every measure of each output by itself, if there are several; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Vec<Figure>>,
}

/// A measure with its value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What the value measures.
    pub measure: Measure,
    /// Its value, which can be NaN or infinite; `None` if it is undefined, see
    /// [`Predictions::measure`].
    #[serde(with = "stored::optional")]
    pub value: Option<f64>,
    /// Its 95 % interval; `None` as described at [`interval`](crate::interval()).
    pub interval: Option<Interval>,
    /// The value of a model without inputs: [`Predictions::without_inputs`].
    #[serde(with = "stored::optional", default)]
    pub without_inputs: Option<f64>,
}

/// The figures of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// [classes, classes]: the total weight of the rows of each true class (row) that are predicted
    /// as each class (column). Without weights it is the number of rows. A row whose probabilities
    /// are NaN is in no column.
    pub confusion: Vec<Vec<f64>>,
    /// The figures of each class, by its number.
    pub figures: Vec<ClassFigures>,
}

/// The figures of one class. A share of no rows is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// The share of the rows predicted to be of this class that are.
    pub precision: f64,
    /// The share of the rows of this class that are predicted as such.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The total weight of the rows of this class. Without weights it is the number of rows.
    pub support: f64,
}

impl Report {
    /// The report about these predictions. The seed is that of the intervals.
    pub fn of(predictions: &Predictions, seed: u64) -> Self {
        let outputs = predictions.of_each_output();
        let several = outputs.iter().filter(|_| outputs.len() > 1);
        Self {
            rows: predictions.rows(),
            figures: figures(predictions, seed),
            classes: ClassReport::of(predictions),
            outputs: several.map(|output| figures(output, seed)).collect(),
        }
    }

    /// The figure of a measure; `None` if the task does not have it.
    pub fn figure(&self, measure: Measure) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.measure == measure)
    }
}

/// Every measure of the task.
fn figures(predictions: &Predictions, seed: u64) -> Vec<Figure> {
    let measures: Vec<Measure> = predictions.task().measures().collect();
    let intervals = intervals(&measures, predictions, seed);
    let constant = predictions.without_inputs();
    let figure = |(measure, interval)| {
        let (value, without_inputs) = (predictions.measure(measure), constant.measure(measure));
        Figure { measure, value, interval, without_inputs }
    };
    measures.into_iter().zip(intervals).map(figure).collect()
}

impl ClassReport {
    /// The figures of each class; `None` for regression.
    fn of(predictions: &Predictions) -> Option<Self> {
        let Outputs::Classes { classes, truth, probabilities } = predictions.outputs() else {
            return None;
        };
        let choices = Choices::new(*classes, truth, probabilities);
        let weights = predictions.all_weights();
        let figures = choices.counts(&weights).into_iter().map(|counts| ClassFigures {
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            support: counts.support,
        });
        Some(Self { confusion: choices.confusion(&weights), figures: figures.collect() })
    }
}
