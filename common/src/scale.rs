//! Scales: how the values of a parameter are mapped to the unit interval, so that a uniform draw
//! there is a sensible draw of the parameter.
//!
//! With f the identity, the logarithm, or -ln(1 - x), a value v of the range from a to b is at
//! (f(v) - f(a)) / (f(b) - f(a)). On the log scale from 0.001 to 0.1, for example, 0.01 is at 0.5.

use serde::{Deserialize, Serialize};

/// The scale on which a parameter is sampled uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// f(x) = x, for units and layers.
    Linear,
    /// f(x) = ln x: a learning rate is 10^r with r uniform.
    Log,
    /// f(x) = -ln(1 - x): momentum is 1 - 10^r with r uniform, because an average over
    /// 1 / (1 - momentum) steps changes most near 1.
    OneMinusLog,
}

impl Scale {
    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::OneMinusLog => "one_minus_log",
        }
    }

    /// The scale called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Linear, Self::Log, Self::OneMinusLog].into_iter().find(|s| s.name() == name)
    }

    /// Why this scale cannot have the range from `low` to `high`; `None` if it can. Expects
    /// `low <= high`.
    pub fn objection(self, low: f64, high: f64) -> Option<&'static str> {
        match self {
            Self::Log if low <= 0.0 => Some("a log scale needs low > 0"),
            Self::OneMinusLog if high >= 1.0 => Some("a one_minus_log scale needs high < 1"),
            Self::Linear | Self::Log | Self::OneMinusLog => None,
        }
    }

    /// The point of [0, 1] for `value` in the range from `low` to `high`; 0 if the range is a
    /// single value.
    pub fn encode(self, value: f64, low: f64, high: f64) -> f64 {
        let (v, a, b) = (self.forward(value), self.forward(low), self.forward(high));
        if a == b { 0.0 } else { ((v - a) / (b - a)).clamp(0.0, 1.0) }
    }

    /// The value at `unit` in [0, 1] of the range from `low` to `high`, never outside the range.
    ///
    /// Logarithms come from the `libm` crate, not from the platform's library, so that a sampled
    /// value is the same on every machine.
    pub fn decode(self, unit: f64, low: f64, high: f64) -> f64 {
        // The ends are exact, which the logarithm and its inverse are not.
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
