//! Why a trial was chosen.

use serde::{Deserialize, Serialize};

use crate::assignment::Value;

/// What proposed an assignment.
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
    /// One of the first points, before there is enough to learn from: the centre of the space, then
    /// a Sobol sequence.
    Initial,
    /// The best of many candidates in and around a moving box, by a local model.
    Ranked,
    /// A uniform draw in the range of the best trials: the share that trusts no model.
    Plain,
    /// The best of an earlier sweep.
    WarmStart,
    /// The best of some candidates by trees of Parzen estimators.
    Tpe,
}

impl Source {
    /// All sources.
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

    /// The name used in files, on the wire and on the command line.
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

/// Where the search looks along one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// From `low` to `high`, on the parameter's scale.
    Range {
        /// Least value.
        low: Value,
        /// Greatest value.
        high: Value,
    },
    /// Among these.
    Choices(Vec<Value>),
}

/// One side of a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The parameter.
    pub parameter: String,
    /// Where it is looked for.
    pub extent: Extent,
}

/// Where the search looks now: one side per parameter of the space, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SearchBox {
    /// The sides.
    pub sides: Vec<Side>,
}

/// What a model expected of a trial: the middle and one standard deviation to either side, in units
/// of the objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// One deviation worse.
    pub worse: f64,
    /// The middle.
    pub middle: f64,
    /// One deviation better.
    pub better: f64,
}

/// How a trial came out first among candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The trial in the middle of the box: the best one then known.
    pub centre: u32,
    /// The side of the box on the unit interval, before it is stretched by the length scales.
    pub side: f64,
    /// The model's length scale of each parameter of the space, in its order, on the unit interval.
    pub length_scales: Vec<f64>,
    /// What the model expected.
    pub expected: Expected,
    /// The natural logarithm of the expected improvement, in the model's units.
    pub score: f64,
    /// Its rank by that score, from 1: better ones were tried before or are in flight.
    pub rank: u32,
    /// Out of so many candidates.
    pub candidates: u32,
}

/// Why a trial was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What proposed it.
    pub source: Source,
    /// The round, from 1, for strategies that have rounds.
    pub round: Option<u32>,
    /// Where the search looked; none where it looked everywhere without a box.
    #[serde(rename = "box")]
    pub search_box: Option<SearchBox>,
    /// Entries of the sweep's log of results that the decision saw.
    #[serde(default)]
    pub seen: u32,
    /// For a [`Source::Ranked`] trial, what the model made of it.
    #[serde(default)]
    pub ranking: Option<Ranking>,
}

impl Reason {
    /// A reason that says no more than where the assignment came from.
    pub const fn from_source(source: Source) -> Self {
        Self { source, round: None, search_box: None, seen: 0, ranking: None }
    }
}
