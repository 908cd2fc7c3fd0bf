//! Names and numbers of things.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::limits::MAX_NAME_CHARS;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A sweep, from 1 in its store; never used twice.
    SweepId(u64)
}
number! {
    /// A trial, from 0 in its sweep.
    TrialNumber(u32)
}
number! {
    /// An execution of a trial, from 1.
    AttemptNumber(u32)
}
number! {
    /// A store: drawn at random when it is made. Leases are numbered within one.
    StoreId(u64)
}
number! {
    /// A worker's right to one attempt; grows over the life of a store and is never used twice.
    LeaseId(u64)
}
number! {
    /// One process of a worker: drawn at random when it starts.
    Incarnation(u64)
}
number! {
    /// One connection of a worker, as the coordinator numbers them since it started.
    SessionId(u64)
}

/// A name that people type: 1 to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or
/// digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a name. `field` is its path, for the error.
    ///
    /// # Errors
    /// A problem that says which characters a name may have.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let starts_well = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= MAX_NAME_CHARS && text.chars().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(MAX_NAME_CHARS).collect();
        let message = format!(
            "write 1 to {MAX_NAME_CHARS} letters, digits, '-', '_' or '.', beginning with a letter or a digit"
        );
        Err(Problem::with_value(field, format!("{shown:?}"), message))
    }

    /// Checks the name of a sweep. Sweeps are also asked for by number, so no name is one.
    ///
    /// # Errors
    /// As [`Name::parse`], and a problem with a name of digits alone.
    pub fn parse_sweep(field: &str, text: &str) -> Result<Self, Problem> {
        let name = Self::parse(field, text)?;
        if text.chars().all(|c| c.is_ascii_digit()) {
            let message = "every sweep has a number too, and this would be taken for one: write a name with a letter in it";
            return Err(Problem::with_value(field, format!("{text:?}"), message));
        }
        Ok(name)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_an_alphabet_and_a_length() {
        for good in ["a", "digits", "run-2.1_b", "7"] {
            assert!(Name::parse("name", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "é", &"x".repeat(65)] {
            assert!(Name::parse("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_sweep_is_named_by_a_number() {
        for good in ["digits", "7a", "1-2", "2.1"] {
            assert!(Name::parse_sweep("name", good).is_ok(), "{good}");
        }
        for bad in ["7", "007", "é"] {
            assert!(Name::parse_sweep("name", bad).is_err(), "{bad}");
        }
    }
}
