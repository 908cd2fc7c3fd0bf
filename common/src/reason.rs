//! Why a trial was chosen: what proposed it, where the search looked, and what a model expected.

use serde::{Deserialize, Serialize};

use crate::assignment::Value;
use crate::ids::TrialNumber;

/// The method that proposed an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A uniform draw over the whole space.
    Random,
    /// The next point of the Sobol sequence.
    Sobol,
    /// The next point of the grid.
    Grid,
    /// A uniform draw in the box of a round.
    Round,
    /// One of the first points, before there are enough results for a model: the centre of the
    /// space, then a Sobol sequence.
    Initial,
    /// The best of many candidates in and around a moving box, ranked by a local model.
    Ranked,
    /// A uniform draw in the range of the best trials: the part of the search that uses no model.
    Plain,
    /// The best assignment of an earlier sweep.
    WarmStart,
    /// The best of several candidates, ranked by tree-structured Parzen estimators.
    Tpe,
}

impl Source {
    /// Every source, as the wire's decoder accepts them.
    pub const ALL: [Self; 9] = [
        Self::Random,
        Self::Sobol,
        Self::Grid,
        Self::Round,
        Self::Initial,
        Self::Ranked,
        Self::Plain,
        Self::WarmStart,
        Self::Tpe,
    ];

    /// The name in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Grid => "grid",
            Self::Round => "round",
            Self::Initial => "initial",
            Self::Ranked => "ranked",
            Self::Plain => "plain",
            Self::WarmStart => "warm_start",
            Self::Tpe => "tpe",
        }
    }
}

/// The values of one parameter inside a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// The values from `low` to `high`.
    Range {
        /// The smallest value of the side.
        low: Value,
        /// The largest value of the side.
        high: Value,
    },
    /// Only these of the choices.
    Choices(Vec<Value>),
}

/// One side of a box: a parameter and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The name of the parameter.
    pub parameter: String,
    /// The values that the box includes.
    pub extent: Extent,
}

/// A part of the space: one side per parameter, in the order of the space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SearchBox {
    /// One side per parameter.
    pub sides: Vec<Side>,
}

/// The objective that a model expected of a trial: the middle of its prediction and one standard
/// deviation to either side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// One standard deviation worse than the middle.
    pub worse: f64,
    /// The middle of the prediction.
    pub middle: f64,
    /// One standard deviation better than the middle.
    pub better: f64,
}

/// How a trial ranked among the candidates that a model compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The trial at the centre of the box, the best one at that time.
    pub centre: u32,
    /// The side of the box on the unit interval, before the length scales stretch it.
    pub side: f64,
    /// The model's length scale of each parameter of the space, in its order, on the unit interval.
    pub length_scales: Vec<f64>,
    /// The objective that the model expected.
    pub expected: Expected,
    /// The natural logarithm of the expected improvement, in the units of the model.
    pub score: f64,
    /// Its rank by that score, from 1. Candidates with a better rank were tried before or are in
    /// flight.
    pub rank: u32,
    /// How many candidates the model ranked.
    pub candidates: u32,
}

/// Why a trial was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The method that proposed it.
    pub source: Source,
    /// The round, from 1; `None` for strategies without rounds.
    pub round: Option<u32>,
    /// The box in which the search looked; `None` if it looked everywhere.
    #[serde(rename = "box")]
    pub search_box: Option<SearchBox>,
    /// How many entries of the sweep's log of results the decision took into account.
    #[serde(default)]
    pub seen: u32,
    /// How the model ranked it, for a trial of [`Source::Ranked`].
    #[serde(default)]
    pub ranking: Option<Ranking>,
    /// The trial of the earlier sweep whose random numbers the training uses, for a trial of
    /// [`Source::WarmStart`]; `None` for those of its own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<TrialNumber>,
}

impl Reason {
    /// A reason with only a source, for methods that use neither rounds, boxes nor results.
    pub const fn from_source(source: Source) -> Self {
        Self { source, round: None, search_box: None, seen: 0, ranking: None, replays: None }
    }
}
