//! Paths of fields, and the checks that many messages share.
//!
//! A function that decodes a message reports paths inside that message. Its caller, which decodes
//! the message around it, prepends its own field. So a path costs nothing unless there is a
//! problem.

use std::fmt::Display;
use std::ops::RangeInclusive;

use caviar_common::error::Problem;
use caviar_common::limits::{MAX_NAME_CHARS, MAX_TEXT_CHARS};
use caviar_common::text::{quoted, shortened};

/// Prepends the enclosing field to the path of a problem.
pub(super) trait Within<T> {
    /// Prepends `field` to the path.
    fn within(self, field: &str) -> Result<T, Problem>;
    /// Prepends element `index` of `field`.
    fn at(self, field: &str, index: usize) -> Result<T, Problem>;
}

impl<T> Within<T> for Result<T, Problem> {
    fn within(self, field: &str) -> Self {
        self.map_err(|problem| Problem { field: join(field, &problem.field), ..problem })
    }

    fn at(self, field: &str, index: usize) -> Self {
        self.map_err(|problem| Problem {
            field: join(&format!("{field}[{index}]"), &problem.field),
            ..problem
        })
    }
}

fn join(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}.{inner}") }
}

/// The value of a field that a message must have.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::new(field, "missing: this field is required"))
}

/// The problem of an enum whose number is 0 or unknown to this version.
pub(super) fn unknown_number(field: &str, number: i32) -> Problem {
    let message = if number == 0 {
        "unspecified: this field is required"
    } else {
        "unknown: the sender may be a newer release"
    };
    Problem::with_value(field, number, message)
}

/// The value if it is in `legal`.
pub(super) fn in_range<T: Copy + Display + PartialOrd>(
    field: &str,
    value: T,
    legal: RangeInclusive<T>,
) -> Result<T, Problem> {
    if legal.contains(&value) {
        return Ok(value);
    }
    let message = format!("expected a number from {} to {}", legal.start(), legal.end());
    Err(Problem::with_value(field, value, message))
}

/// The value if it is at least 1. On the wire 0 means that the field was not sent.
pub(super) fn positive<T: Copy + Display + PartialOrd + From<u8>>(
    field: &str,
    value: T,
) -> Result<T, Problem> {
    if value >= T::from(1) {
        Ok(value)
    } else {
        Err(Problem::with_value(field, value, "expected a number of at least 1"))
    }
}

/// The list if it has at most `most` elements.
pub(super) fn at_most<T>(field: &str, list: Vec<T>, most: usize) -> Result<Vec<T>, Problem> {
    check_count(field, list.len(), most)?;
    Ok(list)
}

/// Checks that a list or map with `count` elements has at most `most`.
pub(super) fn check_count(field: &str, count: usize, most: usize) -> Result<(), Problem> {
    if count <= most {
        Ok(())
    } else {
        let message = format!("has {count} elements: expected at most {most}");
        Err(Problem::new(field, message))
    }
}

/// The value if it is finite and at least 0.
pub(super) fn seconds(field: &str, value: f64) -> Result<f64, Problem> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(Problem::with_value(field, value, "expected a number of seconds of at least 0"))
    }
}

/// The value if it is finite.
pub(super) fn finite(field: &str, value: f64) -> Result<f64, Problem> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Problem::with_value(field, value, "expected a finite number"))
    }
}

/// The value, if there is one, as [`seconds`] checks it.
pub(super) fn optional_seconds(field: &str, value: Option<f64>) -> Result<Option<f64>, Problem> {
    value.map(|value| seconds(field, value)).transpose()
}

/// The text if it has at most [`MAX_TEXT_CHARS`] characters.
pub(super) fn text(field: &str, value: String) -> Result<String, Problem> {
    if is_within(&value, MAX_TEXT_CHARS) {
        return Ok(value);
    }
    let message = format!("expected at most {MAX_TEXT_CHARS} characters");
    Err(Problem::with_value(field, quoted(&value), message))
}

/// Like [`text`], for a field that can be absent.
pub(super) fn optional_text(field: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    value.map(|value| text(field, value)).transpose()
}

/// The name of a hyperparameter, by its length only. The check of the spec knows whether the
/// hyperparameter exists.
pub(super) fn parameter_name(field: &str, value: String) -> Result<String, Problem> {
    if !value.is_empty() && is_within(&value, MAX_NAME_CHARS) {
        return Ok(value);
    }
    let message =
        format!("expected the name of a hyperparameter, of 1 to {MAX_NAME_CHARS} characters");
    Err(Problem::with_value(field, quoted(&value), message))
}

fn is_within(text: &str, most_chars: usize) -> bool {
    // A text has at least as many bytes as characters, so a short one need not be counted.
    text.len() <= most_chars || text.chars().nth(most_chars).is_none()
}

/// A text for people, cut to the length that the other side accepts. A long reason must not make
/// the whole message invalid.
pub(super) fn clip(text: &str) -> String {
    if is_within(text, MAX_TEXT_CHARS) {
        text.to_owned()
    } else {
        shortened(text, MAX_TEXT_CHARS - 3)
    }
}
