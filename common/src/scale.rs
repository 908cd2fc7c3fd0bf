//! Scales: how the values of a parameter lie on the unit interval, so that a uniform draw there is
//! a sensible draw here.

use serde::{Deserialize, Serialize};

/// The scale on which a parameter is sampled uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The value itself: units, layers.
    Linear,
    /// Its logarithm: the learning rate is 10^r with r uniform.
    Log,
    /// The logarithm of its distance from 1: momentum is 1 - 10^r with r uniform, because an
    /// average over 1 / (1 - beta) steps changes most near 1.
    OneMinusLog,
}

impl Scale {
    /// The name used in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::OneMinusLog => "one_minus_log",
        }
    }

    /// The scale of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Linear, Self::Log, Self::OneMinusLog].into_iter().find(|s| s.name() == name)
    }

    /// What is wrong with the range [`low`, `high`] on this scale, if anything: `low <= high` is
    /// taken as given.
    pub fn objection(self, low: f64, high: f64) -> Option<&'static str> {
        match self {
            Self::Log if low <= 0.0 => Some("a log scale needs low > 0"),
            Self::OneMinusLog if high >= 1.0 => Some("a one_minus_log scale needs high < 1"),
            Self::Linear | Self::Log | Self::OneMinusLog => None,
        }
    }

    /// The point of [0, 1] at which `value` lies between `low` and `high`; 0 where the range is a
    /// single value.
    pub fn encode(self, value: f64, low: f64, high: f64) -> f64 {
        let (v, a, b) = (self.forward(value), self.forward(low), self.forward(high));
        if a == b { 0.0 } else { ((v - a) / (b - a)).clamp(0.0, 1.0) }
    }

    /// The value at `unit` in [0, 1] between `low` and `high`; never outside them.
    ///
    /// Uses the `libm` crate and not the platform's library, so that a sampled value is the same on
    /// every machine.
    pub fn decode(self, unit: f64, low: f64, high: f64) -> f64 {
        // The ends are exact: the way there and back through the logarithm is not.
        if unit <= 0.0 {
            return low;
        }
        if unit >= 1.0 {
            return high;
        }
        let (a, b) = (self.forward(low), self.forward(high));
        self.backward(a + unit * (b - a)).clamp(low, high)
    }

    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => libm::log(value),
            Self::OneMinusLog => -libm::log(1.0 - value),
        }
    }

    fn backward(self, point: f64) -> f64 {
        match self {
            Self::Linear => point,
            Self::Log => libm::exp(point),
            Self::OneMinusLog => 1.0 - libm::exp(-point),
        }
    }
}
