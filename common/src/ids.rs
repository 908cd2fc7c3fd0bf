//! Names and numbers that identify sweeps, trials, workers and the like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::limits::MAX_NAME_CHARS;
use crate::text::quoted;

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
    /// The number of a sweep in its store, from 1. Never used twice.
    SweepId(u64)
}
number! {
    /// The number of a trial in its sweep, from 0.
    TrialNumber(u32)
}
number! {
    /// The number of an execution of a trial, from 1.
    AttemptNumber(u32)
}
number! {
    /// Identifies a store. Drawn at random when the store is created.
    StoreId(u64)
}
number! {
    /// The number of a lease in its store, which is a holder's right to one attempt. Numbers only
    /// grow and are never used twice.
    LeaseId(u64)
}
number! {
    /// Identifies one process of a worker. Drawn at random when the process starts.
    Incarnation(u64)
}
number! {
    /// The number of a worker's connection since the coordinator started.
    SessionId(u64)
}

/// A name that people type: 1 to 64 ASCII letters, digits, `-`, `_` and `.`, starting with a letter
/// or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a name. `field` is the path that the error names.
    ///
    /// ```
    /// use caviar_common::ids::Name;
    ///
    /// assert_eq!(Name::parse("name", "digits-2")?.as_str(), "digits-2");
    /// let problem = Name::parse("name", "größe").unwrap_err();
    /// assert!(problem.message.ends_with("'ö' is not allowed"));
    /// # Ok::<(), caviar_common::error::Problem>(())
    /// ```
    ///
    /// # Errors
    /// A problem that says which characters a name may have, and what is wrong with this one.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let Some(fault) = fault(text) else { return Ok(Self(text.to_owned())) };
        let message = format!(
            "expected 1 to {MAX_NAME_CHARS} ASCII letters, digits, '-', '_' or '.', starting with \
             a letter or a digit; {fault}"
        );
        Err(Problem::with_value(field, quoted(text), message))
    }

    /// Checks the name of a sweep. Users also refer to sweeps by number, so a sweep's name must
    /// not be a number.
    ///
    /// # Errors
    /// As [`Name::parse`], and a problem for a name of only digits.
    pub fn parse_sweep(field: &str, text: &str) -> Result<Self, Problem> {
        let name = Self::parse(field, text)?;
        if text.chars().all(|c| c.is_ascii_digit()) {
            let message = "a name of only digits would be taken for the number of a sweep: \
                           expected a name with a letter, such as run-7";
            return Err(Problem::with_value(field, quoted(text), message));
        }
        Ok(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a name; `None` if it is legal.
fn fault(text: &str) -> Option<String> {
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = text.chars().count();
    match (text.chars().next(), text.chars().find(|c| !is_legal(c))) {
        (None, _) => Some("it is empty".to_owned()),
        (_, Some(other)) => Some(format!("{other:?} is not allowed")),
        (Some(first), None) if !first.is_ascii_alphanumeric() => {
            Some(format!("it starts with {first:?}"))
        }
        _ => (length > MAX_NAME_CHARS).then(|| format!("it has {length} characters")),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What identifies a token in lists and in the audit log: 8 hexadecimal digits, not a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub String);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str) -> String {
        Name::parse("name", name).unwrap_err().to_string()
    }

    #[test]
    fn a_name_has_few_characters_and_a_bounded_length() {
        for good in ["a", "digits", "run-2.1_b", "7", &"x".repeat(64)] {
            assert!(Name::parse("name", good).is_ok(), "{good}");
        }
        for (bad, fault) in [
            ("", "it is empty"),
            ("-a", "it starts with '-'"),
            ("a b", "' ' is not allowed"),
            ("größe", "'ö' is not allowed"),
        ] {
            assert_eq!(
                error(bad),
                format!(
                    "name = {bad:?}: expected 1 to 64 ASCII letters, digits, '-', '_' or '.', \
                     starting with a letter or a digit; {fault}"
                )
            );
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_shown_in_full() {
        let long = "a".repeat(65);
        assert!(error(&long).starts_with(&format!("name = \"{long}\": ")), "{}", error(&long));
        assert!(error(&long).ends_with("it has 65 characters"), "{}", error(&long));
        let endless = error(&"a".repeat(201));
        let shown = format!("name = \"{}...\" (201 characters): ", "a".repeat(200));
        assert!(endless.starts_with(&shown), "{endless}");
    }

    #[test]
    fn the_name_of_a_sweep_is_not_a_number() {
        for good in ["digits", "7a", "1-2", "2.1"] {
            assert!(Name::parse_sweep("name", good).is_ok(), "{good}");
        }
        for bad in ["7", "007", "é"] {
            assert!(Name::parse_sweep("name", bad).is_err(), "{bad}");
        }
    }
}
