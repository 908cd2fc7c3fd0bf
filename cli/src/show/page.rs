//! Where output goes: its width, and whether it may have colour.
//!
//! A pipe, a file and a terminal that calls itself `dumb` have no width, so nothing is shortened or
//! left out for them, and they get no colour. Colour and weight also stay off where `NO_COLOR` is
//! set (<https://no-color.org>).

use std::ffi::OsStr;
use std::io::{self, Write};

use console::{Style, Term};
use unicode_width::UnicodeWidthStr;

/// Characters of a list of choices in a table on a terminal.
const LONGEST_LIST: usize = 20;
/// Replaces what was cut from a text.
const ELLIPSIS: char = '…';

/// What a piece of text means, from which its colour and weight follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// The answer that the reader looks for.
    Strong,
    /// Headings and remarks, which may stay in the background.
    Faint,
    /// A sweep, a trial or a worker in good order.
    Good,
    /// A trial that makes progress now.
    Busy,
    /// A trial that waits, and notes.
    Waiting,
    /// A failure or a lost worker.
    Bad,
}

/// The width and the colours that output may use. Layout is a function of the data and of this.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Page {
    /// Columns of the terminal; `None` where lines may have any length.
    pub(crate) columns: Option<usize>,
    /// Whether to use colour and weight.
    pub(crate) has_colour: bool,
    /// Whether a word that is wider than the page stays whole.
    pub(crate) keeps_words: bool,
}

impl Page {
    /// A page for this stream, as it is now: 80 columns on a terminal that does not tell its size.
    pub(crate) fn of(terminal: &Term) -> Self {
        if !terminal.is_term() || is_dumb() {
            return Self::default();
        }
        let columns = usize::from(terminal.size().1);
        let no_color = std::env::var_os("NO_COLOR");
        let has_colour = no_color.as_deref().is_none_or(OsStr::is_empty);
        Self { columns: Some(columns.max(1)), has_colour, keeps_words: false }
    }

    /// A page for standard output.
    pub(crate) fn of_stdout() -> Self {
        Self::of(&Term::stdout())
    }

    /// A page without colour.
    #[cfg(test)]
    pub(crate) fn with_columns(columns: usize) -> Self {
        Self { columns: Some(columns), ..Self::default() }
    }

    /// The same page with lines of at most this width. Where lines may have any length, a word that
    /// is wider stays whole.
    pub(crate) fn at_most(self, most: usize) -> Self {
        let columns = self.columns.map_or(most, |columns| columns.min(most));
        Self { columns: Some(columns), keeps_words: self.columns.is_none(), ..self }
    }

    /// The text in the colour and weight of its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.has_colour || text.is_empty() {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dim(),
            Tone::Good => Style::new().green(),
            Tone::Busy => Style::new().cyan(),
            Tone::Waiting => Style::new().yellow(),
            Tone::Bad => Style::new().red(),
        };
        style.force_styling(true).apply_to(text).to_string()
    }

    /// A list of choices, which may lose its end on a page with a width. A range never does: half a
    /// number is worse than none.
    pub(crate) fn list(self, text: String) -> String {
        match self.columns {
            Some(_) if text.contains(" | ") => shorten_end(&text, LONGEST_LIST),
            _ => text,
        }
    }

    /// Writes a text, broken between words where it is wider than the page. The lines after the
    /// first begin with `indent` spaces.
    pub(crate) fn write(
        self,
        out: &mut impl Write,
        tone: Tone,
        indent: usize,
        text: &str,
    ) -> io::Result<()> {
        self.wrap(text, indent)
            .iter()
            .try_for_each(|line| writeln!(out, "{}", self.paint(tone, line)))
    }

    /// The lines of a text, broken between words. A word that is wider than the page is shortened,
    /// unless the page keeps words.
    pub(crate) fn wrap(self, text: &str, indent: usize) -> Vec<String> {
        let Some(columns) = self.columns.filter(|columns| width(text) > *columns) else {
            return vec![text.to_owned()];
        };
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut is_empty = true;
        for (place, word) in text.split(' ').enumerate() {
            let gap = usize::from(place > 0);
            if !is_empty && width(&line) + gap + width(word) > columns {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                is_empty = true;
            } else if place > 0 {
                line.push(' ');
            }
            if self.keeps_words {
                line.push_str(word);
            } else {
                line.push_str(&shorten(word, columns.saturating_sub(width(&line)).max(1)));
            }
            is_empty &= word.is_empty();
        }
        lines.push(line);
        lines
    }
}

/// Whether the terminal cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A text of at most `most` columns: the middle gives way to an ellipsis, because names differ at
/// their ends.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let tail = kept / 2;
    let end: String = {
        let mut end: Vec<char> = Vec::new();
        for c in text.chars().rev() {
            end.push(c);
            if width(&end.iter().collect::<String>()) > tail {
                end.pop();
                break;
            }
        }
        end.into_iter().rev().collect()
    };
    format!("{}{end}", shorten_end(text, most.saturating_sub(width(&end))))
}

/// A text of at most `most` columns: the end gives way to an ellipsis.
pub(crate) fn shorten_end(text: &str, most: usize) -> String {
    if width(text) <= most || most == 0 {
        return if most == 0 { String::new() } else { text.to_owned() };
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept) + 1 > most {
            kept.pop();
            break;
        }
    }
    kept.push(ELLIPSIS);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_width_can_get_one_and_keeps_long_words() {
        let text = "see /a/long/path/of/a/file for it";
        let page = Page::default().at_most(12);
        assert_eq!(page.wrap(text, 2), ["see", "  /a/long/path/of/a/file", "  for it"]);
        let page = Page::with_columns(20).at_most(12);
        assert_eq!(page.wrap(text, 2), ["see", "  /a/lo…file", "  for it"]);
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shorten("learning_rate", 13), "learning_rate");
        assert_eq!(shorten("learning_rate", 8), "lear…ate");
        assert_eq!(shorten("learning_rate", 7), "lea…ate");
        assert_eq!(shorten("learning_rate", 2), "l…");
        assert_eq!(shorten("learning_rate", 1), "…");
        assert_eq!(shorten("größe größe", 7), "grö…öße");
        assert_eq!(shorten("一二三四五", 5), "一…五");
        assert_eq!(shorten_end("digits/3 digits/4", 9), "digits/3…");
    }

    #[test]
    fn text_breaks_between_words_and_never_passes_the_edge() {
        let page = Page::with_columns(12);
        assert_eq!(page.wrap("one two three", 2), ["one two", "  three"]);
        assert_eq!(page.wrap("short", 2), ["short"]);
        assert_eq!(page.wrap("a word_that_is_too_long for", 2), ["a", "  word_…long", "  for"]);
        assert_eq!(Page::default().wrap("one two three four", 2), ["one two three four"]);
    }

    #[test]
    fn colour_appears_only_on_a_page_that_has_it() {
        assert_eq!(Page::default().paint(Tone::Bad, "failed"), "failed");
        let page = Page { has_colour: true, ..Page::default() };
        assert_eq!(page.paint(Tone::Bad, "failed"), "\u{1b}[31mfailed\u{1b}[0m");
        assert_eq!(page.paint(Tone::Plain, "failed"), "failed");
    }
}
