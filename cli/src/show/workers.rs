//! The workers of a coordinator, one line each.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use caviar_common::view::WorkerView;

use super::page::{Page, Tone};
use super::table::{Cell, Column, Table};
use super::text;

/// Writes a line for every worker. On a narrow page the time since its last message is left out
/// first, then the trials, then the number of slots.
pub(crate) fn table(out: &mut impl Write, workers: &[WorkerView], page: Page) -> io::Result<()> {
    let mut table = Table::new([
        Column::new("worker").shortened_to(10),
        Column::new("state"),
        Column::new("slots").ranked(1),
        Column::new("last heard").ranked(3),
        Column::new("trials").ranked(2).ended_at(16),
    ]);
    for worker in workers {
        let trials: Vec<String> =
            worker.trials.iter().map(|(sweep, trial)| format!("{sweep}/{trial}")).collect();
        let heard = format!("{} ago", text::duration(Duration::from_millis(worker.silent_ms)));
        let (state, tone) = state(worker);
        table.row([
            Cell::new(Tone::Strong, worker.worker.to_string()),
            Cell::new(tone, state),
            worker.slots.to_string().into(),
            heard.into(),
            trials.join(" ").into(),
        ]);
    }
    table.write(out, page)?;
    idle(out, workers, page)
}

/// Writes how many slots have nothing to do, a line for each cause.
fn idle(out: &mut impl Write, workers: &[WorkerView], page: Page) -> io::Result<()> {
    let sum = |of: fn(&WorkerView) -> u32, of_workers: &[&WorkerView]| {
        of_workers.iter().map(|worker| of(worker)).fold(0, u32::saturating_add)
    };
    let connected: Vec<&WorkerView> = workers.iter().filter(|worker| worker.connected).collect();
    let slots = sum(|worker| worker.slots, &connected);
    let mut causes: BTreeMap<&str, Vec<&WorkerView>> = BTreeMap::new();
    for worker in connected {
        if let Some(cause) = &worker.idle_because {
            causes.entry(cause).or_default().push(worker);
        }
    }
    for (cause, of_workers) in causes {
        let idle = sum(|worker| worker.idle, &of_workers);
        let have = if idle == 1 { "has" } else { "have" };
        writeln!(out)?;
        let line = format!("{idle} of {slots} slots {have} nothing to do: {cause}");
        page.write(out, Tone::Waiting, 2, &line)?;
    }
    Ok(())
}

const fn state(worker: &WorkerView) -> (&'static str, Tone) {
    match (worker.connected, worker.draining) {
        // It has finished what it held.
        (false, true) if worker.trials.is_empty() => ("left", Tone::Faint),
        (false, _) => ("away", Tone::Bad),
        (true, true) => ("draining", Tone::Waiting),
        (true, false) => ("connected", Tone::Good),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn idle_slots_are_counted_by_cause() {
        let mut workers = samples::workers();
        workers[0].idle = 1;
        workers[0].idle_because = Some("sweep s: it keeps 8 trials in flight".to_owned());
        workers[2].idle = 63;
        workers[2].idle_because = Some("the worker leaves".to_owned());
        let mut out = Vec::new();
        table(&mut out, &workers, Page::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\n1 of 66 slots has nothing to do: sweep s: it keeps 8 trials in flight\n\
                        \n63 of 66 slots have nothing to do: the worker leaves\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_worker_that_has_drained_is_not_away() {
        let mut worker = samples::workers().remove(1);
        assert_eq!(state(&worker).0, "away");
        worker.draining = true;
        worker.trials.clear();
        assert_eq!(state(&worker).0, "left");
    }

    #[test]
    fn every_worker_has_a_line() {
        let mut out = Vec::new();
        table(&mut out, &samples::workers(), Page::default()).unwrap();
        let expected = "\
worker                        state      slots  last heard      trials
node-1                        connected  2      1.2 s ago       letters/27 letters/29
node-2                        away       2      1 min 10 s ago
gpu-free-partition-node-0317  draining   64     0.3 s ago       letters/25
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
