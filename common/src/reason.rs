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
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 4] = [Self::Random, Self::Sobol, Self::Grid, Self::Round];

    /// The name used in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Grid => "grid",
            Self::Round => "round",
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
}
