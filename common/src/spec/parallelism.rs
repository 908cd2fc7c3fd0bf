//! How many trials are in flight, and how many that is for a number of slots.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Order, SearchSpec, Strategy, SweepSpec};
use crate::limits::MAX_PARALLELISM;

/// The name of [`Parallelism::Auto`] in files.
pub const AUTO: &str = "auto";
/// Trials in flight for each slot with [`Parallelism::Auto`] in virtual time. Chosen by measurement
/// in docs/decisions/0010-stopping.md.
const PER_SLOT: u32 = 4;
/// With [`Order::AsCompleted`], one more trial is in flight for this many slots, so that a slot
/// does not wait for a decision. More of them would only wait.
const SLOTS_PER_SPARE: u32 = 4;
/// Fewest trials in flight with [`Parallelism::Auto`], for any number of slots. It is right for two
/// cores, where a sweep of an earlier release has the same number.
const LEAST: u32 = 8;
/// With [`Parallelism::Auto`], a search that learns has at most one in this many of its trials in
/// flight, so that most trials are chosen after results. Chosen by measurement in
/// docs/decisions/0010-stopping.md.
const LEARNING_SHARE: u32 = 4;

/// How many trials are in flight in virtual time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parallelism {
    /// As many as the slots need. The coordinator replaces it by a number when it accepts the
    /// sweep, so a stored sweep never has it.
    #[default]
    Auto,
    /// This many, from 1 to [`MAX_PARALLELISM`].
    Trials(u32),
}

impl Parallelism {
    /// The number; for [`Parallelism::Auto`] the number without any slots.
    pub const fn trials(self) -> u32 {
        match self {
            Self::Auto => LEAST,
            Self::Trials(trials) => trials,
        }
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Trials(trials) => write!(f, "{trials}"),
        }
    }
}

impl SearchSpec {
    /// The number that [`Parallelism::Auto`] stands for with this many slots: four trials for each
    /// slot, or a quarter more than slots with [`Order::AsCompleted`], as far as the budget can use
    /// them, but at least 8.
    ///
    /// For example, 64 slots get 256 trials in flight if the budget has 1,024 trials or more, and
    /// 2 slots get 8.
    pub fn auto_parallelism(&self, slots: u32) -> u32 {
        let wanted = match self.order {
            Order::Virtual => slots.saturating_mul(PER_SLOT),
            Order::AsCompleted => slots.saturating_add(slots.div_ceil(SLOTS_PER_SPARE)),
        };
        let most = match self.strategy {
            Strategy::Zoom | Strategy::Tpe => self.trials / LEARNING_SHARE,
            Strategy::Rounds | Strategy::Random | Strategy::Sobol | Strategy::Grid => {
                self.most_in_flight()
            }
        };
        wanted.min(most).clamp(LEAST, MAX_PARALLELISM)
    }

    /// The most trials that can ever be in flight: those of the budget, or of the largest round.
    pub fn most_in_flight(&self) -> u32 {
        self.rounds.iter().copied().max().unwrap_or(self.trials)
    }
}

impl SweepSpec {
    /// True if this accepted sweep is what `requested` asks for. A request with
    /// [`Parallelism::Auto`] asks for no particular number.
    pub fn answers(&self, requested: &Self) -> bool {
        let mut requested = requested.clone();
        if requested.search.parallelism == Parallelism::Auto {
            requested.search.parallelism = self.search.parallelism;
        }
        requested == *self
    }
}

impl Serialize for Parallelism {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Trials(trials) => serializer.serialize_u32(*trials),
        }
    }
}

impl<'de> Deserialize<'de> for Parallelism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stored;

        impl Visitor<'_> for Stored {
            type Value = Parallelism;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of trials or {AUTO:?}")
            }

            fn visit_u64<E: Error>(self, trials: u64) -> Result<Parallelism, E> {
                let trials = u32::try_from(trials).map_err(E::custom)?;
                Ok(Parallelism::Trials(trials))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Parallelism, E> {
                if text == AUTO { Ok(Parallelism::Auto) } else { Err(E::custom("not a number")) }
            }
        }

        deserializer.deserialize_any(Stored)
    }
}
