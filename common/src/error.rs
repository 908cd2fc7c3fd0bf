//! Errors in words that a caller can act on: the class of an error, and the problems of an input.

use std::fmt;

/// What a caller can do about an error. Every public error enum of Caviar has a `class()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is wrong and stays wrong. Fix it.
    Invalid,
    /// The request names something that does not exist.
    NotFound,
    /// The request creates something that already exists.
    Exists,
    /// The request is well formed, but the current state does not allow it.
    Refused,
    /// The request names a lease, session or page that is not the current one.
    Stale,
    /// A limit is reached. Retry later.
    Busy,
    /// The other side cannot be reached. Retry.
    Unavailable,
    /// Stored data differs from what was written.
    Corrupt,
    /// A bug in Caviar.
    Internal,
}

/// One mistake in one field of an input. Prints as `FIELD = VALUE: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, such as `space.learning_rate.low`.
    pub field: String,
    /// The value as it was written; `None` if the field is absent or the fault is not its value.
    pub value: Option<String>,
    /// What would be right, and where that is not enough, what is wrong.
    pub message: String,
    /// The line in the file, from 1; `None` if the input is not a file.
    pub line: Option<usize>,
}

impl Problem {
    /// A problem that shows no value.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), value: None, message: message.into(), line: None }
    }

    /// A problem with the value of a field. Texts are passed in quotes, see
    /// [`quoted`](crate::text::quoted).
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

impl std::error::Error for Problem {}

/// Every mistake in an input, in the order of the input, at most one per field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Adds a problem unless its field has one already, so that one mistake is reported once.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.iter().any(|p| p.field == problem.field) {
            self.list.push(problem);
        }
    }

    /// Whether no problem was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether `field` or a field inside it has a problem.
    pub fn touches(&self, field: &str) -> bool {
        self.list.iter().any(|p| {
            p.field.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The problems, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Gives each problem without a line the line that `line_of` returns for its field. Then sorts
    /// the problems by line, those without one last.
    pub fn locate(&mut self, line_of: impl Fn(&str) -> Option<usize>) {
        for problem in &mut self.list {
            problem.line = problem.line.or_else(|| line_of(&problem.field));
        }
        self.list.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
    }

    /// `Ok(value)` if no problem was found.
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
    /// One line per problem, which starts with `line N: ` if the line is known.
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
