//! What a program writes when it fails.

use std::error::Error;

use crate::exit::Exit;

/// What separates the hints in an error's text.
const HINT: &str = "; hint: ";

/// A failure: the text for standard error, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    exit: Exit,
    text: String,
}

impl Report {
    /// Reports an error with its causes, as one line `error: ...` and a line `hint: ...` for each
    /// hint that its text ends with: `it failed; hint: try again`.
    pub fn new(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let text = text_with_causes(error);
        let mut parts = text.split(HINT);
        let message = parts.next().unwrap_or_default();
        let report = Self { exit, text: format!("error: {message}\n") };
        parts.fold(report, Self::with_hint)
    }

    /// Reports these lines as they are.
    pub const fn from_lines(exit: Exit, lines: String) -> Self {
        Self { exit, text: lines }
    }

    /// The report with one more hint.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.text.push_str(&format!("hint: {hint}\n"));
        self
    }

    /// The exit code of a program that fails with this report.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The lines for standard error, each ended by a newline.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The text of an error followed by its causes, as in `writing: disk full`. A cause whose text is
/// part of what precedes it is left out. Causes come before a hint.
pub fn text_with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut hints) = split_hints(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let (more, more_hints) = split_hints(&cause.to_string());
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        if !hints.contains(&more_hints) {
            hints += &more_hints;
        }
        source = cause.source();
    }
    text + &hints
}

/// What comes before the first hint, and the hints with what separates them.
fn split_hints(text: &str) -> (String, String) {
    let (text, hints) = text.split_at(text.find(HINT).unwrap_or(text.len()));
    (text.to_owned(), hints.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failed {
        text: &'static str,
        source: Option<std::io::Error>,
    }

    fn reported(text: &'static str, source: Option<&str>) -> String {
        let source = source.map(std::io::Error::other);
        Report::new(Exit::Failure, &Failed { text, source }).text().to_owned()
    }

    #[test]
    fn every_cause_is_written_once() {
        assert_eq!(reported("writing", Some("disk gone")), "error: writing: disk gone\n");
        assert_eq!(
            reported("writing (disk gone)", Some("disk gone")),
            "error: writing (disk gone)\n"
        );
        assert_eq!(reported("writing", None), "error: writing\n");
    }

    #[test]
    fn hints_have_lines_of_their_own() {
        let text = reported("full; hint: delete something; hint: or buy a disk", None);
        assert_eq!(text, "error: full\nhint: delete something\nhint: or buy a disk\n");
        let text = reported("not written; hint: free space", Some("disk full"));
        assert_eq!(text, "error: not written: disk full\nhint: free space\n");
        let text = reported("full; hint: free space", Some("full; hint: free space"));
        assert_eq!(text, "error: full\nhint: free space\n");
    }
}
