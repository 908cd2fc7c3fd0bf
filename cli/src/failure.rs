//! Errors of the command line, and how they are written.

use std::io::{self, Write};

use caviar_client::{Address, ConnectionError, Error};
use caviar_common::error::{ErrorClass, Problems};
use caviar_coordinator::ServerError;
use caviar_process::{Exit, Report, text_with_causes};
use serde::Serialize;

/// An error with a form of its own. Every other error is written as `error: ...`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// An error with advice.
    #[error("{message}")]
    Hinted {
        /// What is wrong, without a full stop.
        message: String,
        /// What to do about it, one sentence each.
        hints: Vec<String>,
        /// The exit code.
        exit: Exit,
    },
    /// A sweep file with mistakes.
    #[error("{file} cannot be used")]
    File {
        /// The file's path as the user wrote it.
        file: String,
        /// The mistakes, by line.
        problems: Problems,
    },
    /// A run that SIGINT or SIGTERM ended.
    #[error("interrupted")]
    Interrupted {
        /// What is kept, one line for each sweep.
        kept: Vec<String>,
        /// The command that continues the run.
        hint: String,
    },
}

impl Failure {
    /// An error with one hint.
    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::with_hints(message, vec![hint.into()])
    }

    /// An error with any number of hints.
    pub(crate) fn with_hints(message: impl Into<String>, hints: Vec<String>) -> Self {
        Self::Hinted { message: message.into(), hints, exit: Exit::Failure }
    }

    /// The error as a mistake in the arguments or in a file that they name.
    pub(crate) fn in_input(self) -> Self {
        match self {
            Self::Hinted { message, hints, .. } => {
                Self::Hinted { message, hints, exit: Exit::Usage }
            }
            Self::File { .. } | Self::Interrupted { .. } => self,
        }
    }

    /// Wrong arguments, without the usage of the command.
    pub(crate) fn from_clap(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>());
        let message = parts.next().unwrap_or_default().join(" ");
        let hints = parts.filter_map(|words| match words.as_slice() {
            ["tip:", advice @ ..] => Some(advice.join(" ")),
            _ => None,
        });
        let message = message.trim_start_matches("error: ").to_owned();
        Self::with_hints(message, hints.collect()).in_input()
    }

    /// An error of reading a file that the arguments name.
    pub(crate) fn unreadable(error: &anyhow::Error) -> Self {
        Self::from_text(&text_with_causes(error.as_ref())).in_input()
    }

    /// An error whose text may end with hints of its own: `it failed; hint: try again`.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut parts = text.split("; hint: ").map(str::to_owned);
        let message = parts.next().unwrap_or_default();
        Self::with_hints(message, parts.collect())
    }

    fn with_more_hints(mut self, more: Vec<String>) -> Self {
        if let Self::Hinted { hints, .. } = &mut self {
            hints.extend(more);
        }
        self
    }

    /// The exit code if nothing else is known of the error.
    const fn exit(&self) -> Exit {
        match self {
            Self::Hinted { exit, .. } => *exit,
            Self::File { .. } => Exit::Usage,
            Self::Interrupted { .. } => Exit::Interrupted,
        }
    }

    /// Writes the error in its form: `error: ...` and its hints, or the lines of a sweep file.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Hinted { message, hints, .. } => {
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
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let message = match error {
            Error::Invalid { problems, .. } => {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            Error::Unreachable { .. }
            | Error::Untrusted { .. }
            | Error::NoReply { .. }
            | Error::NotACoordinator { .. }
            | Error::Refused { .. }
            | Error::Unreadable { .. }
            | _ => error.to_string(),
        };
        Self::with_hints(message, hints(error))
    }
}

fn hints(error: &Error) -> Vec<String> {
    let elsewhere = "name the coordinator with --coordinator HOST:PORT or CAVIAR_COORDINATOR";
    match error {
        Error::Untrusted { hints, .. } => hints.clone(),
        Error::Unreachable { url, hints, .. } => {
            let mut hints = hints.clone();
            hints.push(how_to_reach(url));
            hints.push(format!(
                "or {elsewhere}; to read a store without a coordinator: --store PATH"
            ));
            hints
        }
        Error::NoReply { .. } | Error::NotACoordinator { .. } => {
            vec![format!("{elsewhere}; it listens on port 7070 unless it is told otherwise")]
        }
        Error::Refused { url, class, hints, .. } => {
            if hints.is_empty() && matches!(class, ErrorClass::Unavailable | ErrorClass::Busy) {
                vec![format!("the coordinator at {url} stopped or is overloaded: try again")]
            } else {
                hints.clone()
            }
        }
        Error::Unreadable { .. } => vec!["use the same version on both sides".to_owned()],
        // A new kind of error has no hint until it gets one here.
        Error::Invalid { .. } | _ => Vec::new(),
    }
}

/// What to do where nothing listens.
pub(crate) fn how_to_reach(url: &str) -> String {
    let Ok(address) = url.parse::<Address>() else { return String::new() };
    let (host, port) = (address.host(), address.port());
    let is_loopback = host == "localhost" || host == "::1" || host.starts_with("127.");
    if is_loopback {
        format!("start one with: caviar coordinator --listen :{port}")
    } else {
        format!(
            "check that a coordinator runs on {host} and listens on more than 127.0.0.1, and that \
             no firewall is between; or use a tunnel: ssh -L {port}:127.0.0.1:{port} {host}, and \
             then --coordinator 127.0.0.1:{port}"
        )
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

/// What `caviar` writes when a command fails, and its exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> Report {
    let (failure, exit) = if let Some(failure) = error.downcast_ref::<Failure>() {
        return rendered(failure, failure.exit(), json);
    } else if let Some(error) = error.downcast_ref::<Error>() {
        (Failure::from(error), error.class().into())
    } else if let Some(error) = error.downcast_ref::<ConnectionError>() {
        let failure = match error {
            ConnectionError::Client(error) => error.into(),
            ConnectionError::Away { error, .. } => Failure::from(&**error),
            ConnectionError::Find(_) | ConnectionError::Dialer(_) => {
                Failure::from_text(&text_with_causes(error))
            }
        };
        (failure.with_more_hints(error.hints()), error.class().into())
    } else {
        let class = error.downcast_ref::<ServerError>().map(ServerError::class);
        let exit = class.map_or(Exit::Failure, Exit::from);
        (Failure::from_text(&text_with_causes(error.as_ref())), exit)
    };
    rendered(&failure, exit, json)
}

fn rendered(failure: &Failure, exit: Exit, json: bool) -> Report {
    let mut text = Vec::new();
    let written = if json { failure.write_json(&mut text) } else { failure.write(&mut text) };
    // Writing to memory cannot fail, and JSON of texts always has a form.
    let lines = written.map_or_else(
        |error| format!("error: {error}\n"),
        |()| String::from_utf8_lossy(&text).into_owned(),
    );
    Report::from_lines(exit, lines)
}

/// True if the reader of standard output closed it, as `head` does.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use caviar_client::FindError;
    use caviar_common::error::Problem;

    fn text(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn mistakes_in_a_sweep_file_are_shown_with_their_lines() {
        let low = Problem {
            line: Some(12),
            ..Problem::with_value("space.learning_rate.low", "0.0", "a log scale needs low > 0")
        };
        let problems: Problems = [low, Problem::new("name", "missing")].into_iter().collect();
        let failure = Failure::File { file: "digits.toml".to_owned(), problems };
        assert_eq!(
            text(&failure),
            "digits.toml:12: space.learning_rate.low = 0.0: a log scale needs low > 0\n\
             digits.toml: name: missing\n"
        );
    }

    #[test]
    fn other_errors_are_followed_by_hints() {
        assert_eq!(text(&Failure::hinted("no", "yes")), "error: no\nhint: yes\n");
        assert_eq!(text(&Failure::from_text("no; hint: yes")), "error: no\nhint: yes\n");
        let refused = |class, hints: &[&str]| Error::Refused {
            url: "http://a:1".to_owned(),
            class,
            message: "no".to_owned(),
            hints: hints.iter().map(|hint| (*hint).to_owned()).collect(),
        };
        let known = Failure::from(&refused(ErrorClass::NotFound, &["did you mean x?"]));
        assert_eq!(text(&known), "error: no\nhint: did you mean x?\n");
        let gone = Failure::from(&refused(ErrorClass::Unavailable, &[]));
        assert!(text(&gone).contains("hint: the coordinator at http://a:1 stopped"));
    }

    #[test]
    fn the_hint_names_the_address_that_was_tried() {
        for (url, hint) in [
            ("https://[::1]:7071", "start one with: caviar coordinator --listen :7071\n"),
            ("https://a:7071", "or use a tunnel: ssh -L 7071:127.0.0.1:7071 a, and then"),
        ] {
            let error = Error::Unreachable {
                url: url.to_owned(),
                cause: "no".to_owned(),
                hints: Vec::new(),
            };
            let text = text(&Failure::from(&error));
            assert!(text.contains(hint), "{text}");
        }
    }

    #[test]
    fn a_mistake_in_the_input_exits_with_2_and_an_interruption_with_130() {
        let exit = |error: anyhow::Error| report(&error, false).exit().code();
        let problems = Problems::from(Problem::new("name", "missing"));
        assert_eq!(exit(Failure::File { file: "a.toml".to_owned(), problems }.into()), 2);
        let wrong = FindError::from("ftp://a".parse::<Address>().unwrap_err());
        assert_eq!(exit(ConnectionError::from(wrong).into()), 2);
        let missing = FindError::Missing { wanted: "a coordinator".to_owned(), folder: None };
        let missing = anyhow::Error::from(ConnectionError::from(missing));
        assert_eq!(exit(missing), 1);
        let interrupted = Failure::Interrupted { kept: Vec::new(), hint: String::new() };
        assert_eq!(exit(interrupted.into()), 130);
        assert_eq!(exit(Failure::hinted("no", "yes").into()), 1);
        assert_eq!(exit(Failure::hinted("no", "yes").in_input().into()), 2);
        assert_eq!(exit(anyhow::anyhow!("no")), 1);
    }

    #[test]
    fn a_broken_pipe_is_found_below_other_errors() {
        let error =
            anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("other")));
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
}
