//! How good the predictions of a model are, and how to combine and calibrate models.
//!
//! - [`Predictions`] hold what a model predicts for the rows of one split, next to the truth.
//! - A [`Measure`] is one number about them: accuracy, log loss, ROC AUC, RMSE and so on.
//! - [`interval()`] says how far a measure may be off, by the bootstrap.
//! - A [`Report`] has all measures of the task, the confusion matrix, and figures of each class.
//! - [`ensemble`] chooses models and averages their predictions; [`temperature`] makes
//!   probabilities less or more certain.
//!
//! The crate is pure: it reads no clock, file or environment, and starts no thread. A result is a
//! function of its arguments, and has the same bits on every machine.
//!
//! ```
//! use caviar_metrics::{Measure, Predictions, Report};
//!
//! // Four rows of two classes. The model is wrong about the second one.
//! let probabilities = vec![0.9, 0.1, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8];
//! let predictions = Predictions::from_probabilities(2, vec![0, 0, 1, 1], probabilities)?;
//! assert_eq!(predictions.measure(Measure::Accuracy), Some(0.75));
//! assert_eq!(predictions.measure(Measure::RocAuc), Some(1.0));
//! assert_eq!(predictions.measure(Measure::Rmse), None);
//!
//! let report = Report::of(&predictions, 7);
//! assert_eq!(report.classes.unwrap().confusion, [[1.0, 1.0], [0.0, 2.0]]);
//! # Ok::<(), caviar_metrics::PredictionsError>(())
//! ```
#![forbid(unsafe_code)]

mod classes;
pub mod ensemble;
mod interval;
mod measure;
mod predictions;
mod ranking;
mod report;
mod stored;
pub mod temperature;

pub use caviar_common::measure::Measure;
pub use interval::{Interval, RESAMPLES, interval, resamples};
pub use predictions::{Outputs, Predictions, PredictionsError};
pub use report::{ClassFigures, ClassReport, Figure, Report};
