//! The rows as text.

use std::io::{self, Write};

use super::rows::{Row, State};
use crate::show::page::{Page, Tone};

/// Columns of the name of a check, and of a state, with the gap after them.
const CHECK: usize = 10;
const STATE: usize = 13;
/// Longest line in columns, in a pipe and a log file too. A word that is longer stays whole there.
const MOST_COLUMNS: usize = 80;

/// Writes each row and each next step, on several lines if they are long.
pub(super) fn text(out: &mut impl Write, rows: &[Row], page: Page) -> io::Result<()> {
    let (page, indent) = (page.at_most(MOST_COLUMNS), CHECK + STATE);
    for row in rows {
        let (check, state) = (row.check.name(), row.state.text());
        let line = match row.state {
            State::NotChecked => format!("{check:CHECK$}{state}: {}", row.found),
            State::Ok | State::Warning | State::Failed => {
                format!("{check:CHECK$}{state:STATE$}{}", row.found)
            }
        };
        for line in page.wrap(&line, indent) {
            match line.strip_prefix(&format!("{check:CHECK$}{state}")) {
                Some(rest) => {
                    let state = page.paint(tone(row.state), state);
                    writeln!(out, "{check:CHECK$}{state}{rest}")?;
                }
                None => writeln!(out, "{line}")?,
            }
        }
        for next in &row.next {
            page.write(out, Tone::Plain, indent, &format!("{:indent$}next: {next}", ""))?;
        }
    }
    Ok(())
}

const fn tone(state: State) -> Tone {
    match state {
        State::Ok => Tone::Good,
        State::Warning => Tone::Waiting,
        State::Failed => Tone::Bad,
        State::NotChecked => Tone::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::rows::Check;

    #[test]
    fn what_was_found_and_what_to_do_next_are_in_one_column() {
        let row = |check, state, found: &str, next: &[&str]| Row {
            check,
            address: None,
            state,
            found: found.to_owned(),
            next: next.iter().map(|&next| next.to_owned()).collect(),
        };
        let rows = [
            row(Check::Join, State::Ok, "found", &[]),
            row(Check::Tcp, State::Failed, "a:1: connection refused", &["start one", "or not"]),
            row(Check::Tls, State::NotChecked, "no connection", &[]),
        ];
        let mut out = Vec::new();
        text(&mut out, &rows, Page::default()).unwrap();
        let expected = "\
join      ok           found
tcp       failed       a:1: connection refused
                       next: start one
                       next: or not
tls       not checked: no connection
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let long = [row(Check::Tcp, State::Failed, &"no ".repeat(99), &[&"try it ".repeat(99)])];
        for (rows, page, most) in [
            (rows.as_slice(), Page::with_columns(40), 40),
            (&long, Page::with_columns(200), MOST_COLUMNS),
            (&long, Page::default(), MOST_COLUMNS),
        ] {
            let mut out = Vec::new();
            text(&mut out, rows, page).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= most), "{text}");
        }
    }
}
