//! The file that lists hosts.

use std::path::Path;

use caviar_common::error::{Problem, Problems};
use caviar_common::limits::MAX_SLOTS;

use super::shown;
use crate::failure::Failure;

/// A host and how many trials it trains at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// What ssh dials: `host` or `user@host`, as `~/.ssh/config` understands it.
    pub(crate) address: String,
    /// The address without the user, for messages.
    pub(crate) name: String,
    /// `None` for all cores.
    pub(crate) slots: Option<u32>,
}

/// Reads a file with one host on each line.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Host>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("{}: {error}", shown(path));
        Failure::hinted(message, "write one host on each line: user@node1 slots=8").in_input()
    })?;
    let hosts = parse(&text).map_err(|problems| Failure::File { file: shown(path), problems })?;
    if hosts.is_empty() {
        let message = format!("{} has no host", shown(path));
        return Err(Failure::hinted(message, "write one on each line: user@node1 slots=8")
            .in_input()
            .into());
    }
    Ok(hosts)
}

/// Every line that is not empty and no comment is a host.
fn parse(text: &str) -> Result<Vec<Host>, Problems> {
    let (mut hosts, mut problems): (Vec<Host>, Vec<Problem>) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let problem = match host(line) {
            Ok(host) if hosts.iter().any(|known| known.address == host.address) => {
                Problem::with_value("host", &host.address, "it is in the file already")
            }
            Ok(host) => {
                hosts.push(host);
                continue;
            }
            Err(problem) => problem,
        };
        problems.push(Problem { line: Some(index + 1), ..problem });
    }
    if problems.is_empty() { Ok(hosts) } else { Err(problems.into_iter().collect()) }
}

fn host(line: &str) -> Result<Host, Problem> {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or_default();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.:@[]%".contains(c);
    if address.starts_with('-') || !address.chars().all(is_legal) {
        let message = "expected a host or user@host";
        return Err(Problem::with_value("host", format!("{address:?}"), message));
    }
    let mut slots = None;
    for word in words {
        let Some(("slots", number)) = word.split_once('=') else {
            let message = "the only setting of a host is slots=N";
            return Err(Problem::with_value("setting", format!("{word:?}"), message));
        };
        let number = number.parse::<u32>().ok().filter(|n| (1..=MAX_SLOTS).contains(n));
        let message = format!("expected a number from 1 to {MAX_SLOTS}");
        slots = Some(number.ok_or_else(|| Problem::with_value("slots", word, &message))?);
    }
    let name = address.rsplit('@').next().unwrap_or(address).to_owned();
    Ok(Host { address: address.to_owned(), name, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_host_with_its_slots() {
        let hosts = parse("# four nodes\nada@node1 slots=8\n\nnode2  # all cores\n").unwrap();
        let expected = [
            Host { address: "ada@node1".into(), name: "node1".into(), slots: Some(8) },
            Host { address: "node2".into(), name: "node2".into(), slots: None },
        ];
        assert_eq!(hosts, expected);
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        for (text, line, field) in [
            ("-oProxyCommand=x\n", 1, "host"),
            ("no;de\n", 1, "host"),
            ("node1\nnode1\n", 2, "host"),
            ("# a\nnode1 slots=0\n", 2, "slots"),
            ("node1 slots=many\n", 1, "slots"),
            ("node2 cores=8\n", 1, "setting"),
        ] {
            let problems = parse(text).unwrap_err();
            let found: Vec<(Option<usize>, &str)> =
                problems.iter().map(|problem| (problem.line, problem.field.as_str())).collect();
            assert_eq!(found, [(Some(line), field)], "{text}");
        }
    }
}
