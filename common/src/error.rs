//! What can be wrong, in words that a caller can act on.

use std::fmt;

/// What a caller can do about an error. Every error enum of Caviar has a `class()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is wrong and stays wrong: mend it.
    Invalid,
    /// What is named does not exist.
    NotFound,
    /// What is named exists already.
    Exists,
    /// The request is well formed, but not now: the state forbids it.
    Refused,
    /// The lease, session or page is no longer the current one.
    Stale,
    /// A limit is reached: try later.
    Busy,
    /// The other side cannot be reached: try again.
    Unavailable,
    /// Stored data is not what was written.
    Corrupt,
    /// A bug in Caviar.
    Internal,
}

/// One thing that is wrong with one field of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field: `space.learning_rate.low`.
    pub field: String,
    /// The offending value as it was written, where there is one.
    pub value: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The line in the file, from 1, where the input is a file.
    pub line: Option<usize>,
}

impl Problem {
    /// A problem with a field that has no value.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), value: None, message: message.into(), line: None }
    }

    /// A problem with the value of a field.
    pub fn with_value(
        field: impl Into<String>,
        value: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self { value: Some(value.to_string()), ..Self::new(field, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.field, self.message),
            None => write!(f, "{}: {}", self.field, self.message),
        }
    }
}

/// Everything that is wrong with an input, in the order of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Adds a problem, unless the field has one already: one mistake is reported once.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.iter().any(|p| p.field == problem.field) {
            self.list.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether `field`, or a field inside it, has a problem.
    pub fn touches(&self, field: &str) -> bool {
        self.list.iter().any(|p| {
            p.field.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Gives every problem the line that `line_of` knows for its field, and orders them by line.
    pub fn locate(&mut self, line_of: impl Fn(&str) -> Option<usize>) {
        for problem in &mut self.list {
            problem.line = problem.line.or_else(|| line_of(&problem.field));
        }
        self.list.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
    }

    /// `Ok(value)` if nothing is wrong, else the problems.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.list.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem] }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(iter: I) -> Self {
        let mut problems = Self::default();
        iter.into_iter().for_each(|p| problems.push(p));
        problems
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match problem.line {
                Some(line) => write!(f, "line {line}: {problem}")?,
                None => write!(f, "{problem}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
