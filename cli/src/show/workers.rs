//! The workers.

use std::io::{self, Write};
use std::time::Duration;

use caviar_common::view::WorkerView;

use super::table::Table;
use super::text;

/// A table for people.
pub(crate) fn table(
    out: &mut impl Write,
    workers: &[WorkerView],
    columns: Option<usize>,
) -> io::Result<()> {
    let mut table = Table::with_headings(["worker", "state", "slots", "heard", "trials"]);
    for worker in workers {
        let trials: Vec<String> =
            worker.trials.iter().map(|(sweep, trial)| format!("{sweep}/{trial}")).collect();
        let heard = format!("{} ago", text::duration(Duration::from_millis(worker.silent_ms)));
        table.row([
            worker.worker.to_string(),
            state(worker).to_owned(),
            worker.slots.to_string(),
            heard,
            trials.join(" "),
        ]);
    }
    table.write(out, columns)
}

const fn state(worker: &WorkerView) -> &'static str {
    match (worker.connected, worker.draining) {
        (false, _) => "away",
        (true, true) => "draining",
        (true, false) => "connected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caviar_common::ids::{Name, TrialNumber};

    #[test]
    fn every_worker_has_a_line() {
        let name = |text| Name::parse("name", text).unwrap();
        let worker = WorkerView {
            worker: name("node-1"),
            slots: 2,
            connected: true,
            draining: false,
            trials: vec![(name("digits"), TrialNumber(3)), (name("digits"), TrialNumber(4))],
            silent_ms: 1_240,
        };
        let away = WorkerView {
            worker: name("node-2"),
            connected: false,
            trials: Vec::new(),
            silent_ms: 70_000,
            ..worker.clone()
        };
        let mut out = Vec::new();
        table(&mut out, &[worker, away], None).unwrap();
        let expected = "\
worker  state      slots  heard           trials
node-1  connected  2      1.2 s ago       digits/3 digits/4
node-2  away       2      1 min 10 s ago
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
