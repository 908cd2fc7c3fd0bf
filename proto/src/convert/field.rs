//! Paths of fields, and the checks that many messages share.
//!
//! A function that reads a message reports paths inside that message; whoever reads the message
//! around it puts its own field in front. So a path costs nothing until there is something to
//! report.

use std::fmt::Display;
use std::ops::RangeInclusive;

use caviar_common::error::Problem;
use caviar_common::limits::{MAX_NAME_CHARS, MAX_TEXT_CHARS};

/// Characters of an offending text that a problem shows.
const SHOWN_CHARS: usize = 40;

/// Puts the field around it in front of a problem's path.
pub(super) trait Within<T> {
    /// The problem lies in `field`.
    fn within(self, field: &str) -> Result<T, Problem>;
    /// The problem lies in element `index` of `field`.
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

/// A field that must be there.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::new(field, "missing: it must be sent"))
}

/// The error for an enum of the wire that is unspecified, or has a number that this version does
/// not know.
pub(super) fn unknown_number(field: &str, number: i32) -> Problem {
    let message = if number == 0 {
        "unspecified: it must be sent"
    } else {
        "unknown: is the other side newer than this one?"
    };
    Problem::with_value(field, number, message)
}

/// A number in `legal`.
pub(super) fn in_range<T: Copy + Display + PartialOrd>(
    field: &str,
    value: T,
    legal: RangeInclusive<T>,
) -> Result<T, Problem> {
    if legal.contains(&value) {
        return Ok(value);
    }
    Err(Problem::with_value(
        field,
        value,
        format!("write a number from {} to {}", legal.start(), legal.end()),
    ))
}

/// A number from 1: 0 is what the wire says for a number that was not sent.
pub(super) fn positive<T: Copy + Display + PartialOrd + From<u8>>(
    field: &str,
    value: T,
) -> Result<T, Problem> {
    if value >= T::from(1) {
        Ok(value)
    } else {
        Err(Problem::with_value(field, value, "write a number from 1"))
    }
}

/// A list of at most `most` elements.
pub(super) fn at_most<T>(field: &str, list: Vec<T>, most: usize) -> Result<Vec<T>, Problem> {
    check_count(field, list.len(), most)?;
    Ok(list)
}

/// A count of at most `most`.
pub(super) fn check_count(field: &str, count: usize, most: usize) -> Result<(), Problem> {
    if count <= most {
        Ok(())
    } else {
        Err(Problem::with_value(field, format!("{count} elements"), format!("send at most {most}")))
    }
}

/// A duration in seconds.
pub(super) fn seconds(field: &str, value: f64) -> Result<f64, Problem> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(Problem::with_value(field, value, "write a number of seconds from 0"))
    }
}

/// A text of bounded length.
pub(super) fn text(field: &str, value: String) -> Result<String, Problem> {
    if is_within(&value, MAX_TEXT_CHARS) {
        return Ok(value);
    }
    Err(Problem::with_value(
        field,
        shown(&value),
        format!("write at most {MAX_TEXT_CHARS} characters"),
    ))
}

/// A text of bounded length that may be absent.
pub(super) fn optional_text(field: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    value.map(|value| text(field, value)).transpose()
}

/// The name of a hyperparameter. Whether there is such a hyperparameter is for the checked spec to
/// say.
pub(super) fn parameter_name(field: &str, value: String) -> Result<String, Problem> {
    if !value.is_empty() && is_within(&value, MAX_NAME_CHARS) {
        return Ok(value);
    }
    Err(Problem::with_value(
        field,
        shown(&value),
        format!("write the name of a hyperparameter, 1 to {MAX_NAME_CHARS} characters"),
    ))
}

fn is_within(text: &str, most_chars: usize) -> bool {
    // A text has at least as many bytes as characters: most need no counting.
    text.len() <= most_chars || text.chars().nth(most_chars).is_none()
}

/// A text as a problem shows it: quoted, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("{start:?}{dots}")
}

/// A text for people as it leaves: cut to what the other side accepts, because a long reason must
/// not cost the connection that brings it.
pub(super) fn clip(text: &str) -> String {
    if is_within(text, MAX_TEXT_CHARS) {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT_CHARS - 3).chain("...".chars()).collect()
}

/// A limit as a count of elements.
pub(super) fn elements(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
