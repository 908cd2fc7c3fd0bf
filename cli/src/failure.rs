//! What the command line says when something is wrong.

use std::io::{self, Write};

use caviar_common::error::{ErrorClass, Problems};
use caviar_proto::status::{class_of, problems_of};
use serde::Serialize;
use tonic::Status;

/// An error with a form of its own. Everything else is printed as `error: ...`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something is wrong, and this is what can be done about it.
    #[error("{message}")]
    Hinted {
        /// What is wrong.
        message: String,
        /// What to do.
        hints: Vec<String>,
    },
    /// A sweep file with mistakes.
    #[error("{file} cannot be used")]
    File {
        /// The file as it was named.
        file: String,
        /// The mistakes.
        problems: Problems,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted {
        /// What is kept.
        kept: Vec<String>,
        /// How to go on.
        hint: String,
    },
}

impl Failure {
    /// An error with a hint.
    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Hinted { message: message.into(), hints: vec![hint.into()] }
    }

    /// An error whose text may end with hints of its own, as those of the coordinator do.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut parts = text.split("; hint: ").map(str::to_owned);
        Self::Hinted { message: parts.next().unwrap_or_default(), hints: parts.collect() }
    }

    /// What a coordinator's refusal means to a person.
    pub(crate) fn of_status(status: &Status, url: &str) -> Self {
        if let Some(problems) = problems_of(status) {
            let message = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Self::Hinted { message, hints: Vec::new() };
        }
        let (class, mut failure) = (class_of(status), Self::of_text(status.message()));
        if let Self::Hinted { hints, .. } = &mut failure
            && hints.is_empty()
            && matches!(class, ErrorClass::Unavailable | ErrorClass::Busy)
        {
            hints.push(format!("the coordinator at {url} went away or is too busy: try again"));
        }
        failure
    }

    /// Writes it as one JSON object on one line.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let (hints, problems): (&[String], Vec<ProblemObject<'_>>) = match self {
            Self::Hinted { hints, .. } => (hints, Vec::new()),
            Self::Interrupted { hint, .. } => (std::slice::from_ref(hint), Vec::new()),
            Self::File { file, problems } => {
                let objects = problems.iter().map(|problem| ProblemObject {
                    file,
                    line: problem.line,
                    field: &problem.field,
                    value: problem.value.as_deref(),
                    message: &problem.message,
                });
                (&[], objects.collect())
            }
        };
        let message = match self {
            Self::Interrupted { kept, .. } => kept.join("; "),
            Self::Hinted { .. } | Self::File { .. } => self.to_string(),
        };
        let object = ErrorObject { error: ErrorBody { message, hints, problems } };
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }

    /// Writes it in its own form.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Hinted { message, hints } => {
                writeln!(out, "error: {message}")?;
                hints.iter().try_for_each(|hint| writeln!(out, "hint: {hint}"))
            }
            Self::File { file, problems } => {
                problems.iter().try_for_each(|problem| match problem.line {
                    Some(line) => writeln!(out, "{file}:{line}: {problem}"),
                    None => writeln!(out, "{file}: {problem}"),
                })
            }
            Self::Interrupted { kept, hint } => {
                kept.iter().try_for_each(|line| writeln!(out, "{line}"))?;
                writeln!(out, "hint: {hint}")
            }
        }
    }
}

/// The form of an error with `--json`: one object, on one line of standard error.
#[derive(Serialize)]
struct ErrorObject<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: String,
    hints: &'a [String],
    /// Mistakes in a sweep file; absent for other errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemObject<'a>>,
}

#[derive(Serialize)]
struct ProblemObject<'a> {
    file: &'a str,
    /// From 1; `null` if the mistake has no place in the file.
    line: Option<usize>,
    field: &'a str,
    value: Option<&'a str>,
    message: &'a str,
}

/// Whether the reader of standard output went away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use caviar_common::error::Problem;

    fn text(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn mistakes_of_a_file_are_shown_where_they_are() {
        let low = Problem {
            line: Some(12),
            ..Problem::with_value("space.learning_rate.low", "0.0", "a log scale needs low > 0")
        };
        let problems: Problems = [low, Problem::new("name", "missing")].into_iter().collect();
        let failure = Failure::File { file: "digits.toml".to_owned(), problems };
        assert_eq!(
            text(&failure),
            "digits.toml:12: space.learning_rate.low = 0.0: a log scale needs low > 0\ndigits.toml: name: missing\n"
        );
    }

    #[test]
    fn an_error_can_be_one_json_object() {
        let json = |failure: &Failure| -> serde_json::Value {
            let mut out = Vec::new();
            failure.write_json(&mut out).unwrap();
            assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            serde_json::from_slice(&out).unwrap()
        };
        assert_eq!(
            json(&Failure::hinted("no", "yes")),
            serde_json::json!({ "error": { "message": "no", "hints": ["yes"] } })
        );
        let problem = Problem { line: Some(2), ..Problem::with_value("seed", "\"x\"", "wrong") };
        let problems: Problems = [problem].into_iter().collect();
        let value = json(&Failure::File { file: "a.toml".to_owned(), problems });
        assert_eq!(value["error"]["message"], "a.toml cannot be used");
        assert_eq!(value["error"]["problems"][0]["line"], 2);
        assert_eq!(value["error"]["problems"][0]["field"], "seed");
    }

    #[test]
    fn other_errors_bring_hints() {
        assert_eq!(text(&Failure::hinted("no", "yes")), "error: no\nhint: yes\n");
        let status = caviar_proto::status::new(
            ErrorClass::NotFound,
            "there is no sweep \"x\"; hint: there is digits",
        );
        assert_eq!(
            text(&Failure::of_status(&status, "http://a")),
            "error: there is no sweep \"x\"\nhint: there is digits\n"
        );
        let status = caviar_proto::status::new(ErrorClass::Unavailable, "broken");
        assert!(
            text(&Failure::of_status(&status, "http://a"))
                .contains("hint: the coordinator at http://a went away")
        );
    }

    #[test]
    fn a_broken_pipe_is_found_below_other_errors() {
        let error =
            anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("other")));
    }
}
