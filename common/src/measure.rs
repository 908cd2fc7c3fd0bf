//! Measures: numbers that say how good predictions are. `caviar-metrics` computes them.

use serde::{Deserialize, Serialize};

/// One number that says how good predictions are. Every measure counts each row with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of the rows whose class is predicted. The predicted class is the one with the
    /// largest probability, and the lowest of those with equal ones.
    Accuracy,
    /// The mean, over the classes that occur, of the share of their rows that are predicted right.
    BalancedAccuracy,
    /// The mean, over the classes that occur or are predicted, of F1: the harmonic mean of
    /// precision and recall, or 0 if no row of the class is predicted right.
    MacroF1,
    /// The mean of -ln p, where p is the probability of the true class. All probabilities are first
    /// clipped to [e, 1 - e], where e = 2^-23 is the precision of an f32. Then each row is divided
    /// by its sum, as earlier releases of scikit-learn did.
    LogLoss,
    /// The area under the ROC curve. Of two classes, class 1 is the positive one. For more classes,
    /// the mean over the classes that occur, each against all others.
    RocAuc,
    /// The average precision, a sum that approximates the area under the curve of precision and
    /// recall without interpolation. Classes as for the area under the ROC curve.
    PrAuc,
    /// The Brier score. For two classes the mean of (p - y)^2, where p is the probability of class
    /// 1 and y is 1 in rows of that class and else 0. For more classes the mean over the rows of
    /// the sum of (p - y)^2 over all classes.
    Brier,
    /// The root of the mean squared error, in the units of the label.
    Rmse,
    /// The mean absolute error, in the units of the label.
    Mae,
    /// 1 - (sum of squared errors) / (sum of squared deviations from the mean of the truth). It is
    /// undefined if all true values are equal, for which scikit-learn returns 0 or 1.
    R2,
}

impl Measure {
    /// All measures, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::MacroF1,
        Self::LogLoss,
        Self::RocAuc,
        Self::PrAuc,
        Self::Brier,
        Self::Rmse,
        Self::Mae,
        Self::R2,
    ];

    /// The name in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::MacroF1 => "macro_f1",
            Self::LogLoss => "log_loss",
            Self::RocAuc => "roc_auc",
            Self::PrAuc => "pr_auc",
            Self::Brier => "brier",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::R2 => "r2",
        }
    }

    /// The measure called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// Whether larger values are better.
    pub const fn increases(self) -> bool {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::RocAuc
            | Self::PrAuc
            | Self::R2 => true,
            Self::LogLoss | Self::Brier | Self::Rmse | Self::Mae => false,
        }
    }

    /// True for a measure of predicted classes, false for one of predicted numbers.
    pub const fn needs_classes(self) -> bool {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::LogLoss
            | Self::RocAuc
            | Self::PrAuc
            | Self::Brier => true,
            Self::Rmse | Self::Mae | Self::R2 => false,
        }
    }
}
